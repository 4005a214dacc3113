//! The whole way: logs in; people at risk, signals and messages out, each exactly once.

use crate::kit::{Hub, each, stand_in, story};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use base64::Engine;
use chrono::TimeDelta;
use hub::coaching::campaign::{self, CampaignRequest};
use hub::integration::{self, NewIntegration};
use hub::source::logpush::{Outcome, enable};
use hub::{Actor, risk};
use model::{BatchState, MessageState, RiskLevel, SignalState};
use sandbox::{Faults, ReceivedSignal, Sandbox, Sink, SinkFault, SinkFaults};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::scratch::Scratch;
use store::{IntegrationRow, PersonFilter, RiskChangeRow, SignalRow};

const DATASETS: [&str; 6] = [
    "access_requests",
    "audit_logs_v2",
    "email_security_alerts",
    "gateway_dns",
    "gateway_http",
    "warp_toggle_changes",
];

/// The cast of the story that does something, and where it leaves them.
const AT_RISK: &[(&str, &str)] = &[
    ("elena.rossi", "high"),
    ("ines.moreau", "high"),
    ("jonas.weber", "high"),
    ("lucy.brandt", "high"),
    ("mei.tanaka", "high"),
    ("priya.nair", "high"),
    ("rafael.duarte", "medium"),
    ("sam.harlow", "high"),
    ("tom.okafor", "high"),
    ("victor.lindqvist", "medium"),
];

async fn ready(scratch: Scratch, sandbox: &Sandbox) -> (Hub, IntegrationRow) {
    let info = sandbox.info().clone();
    let hub = Hub::start_with(scratch, |settings| {
        settings.smtp.host.clone_from(&info.smtp_host);
        settings.smtp.port = info.smtp_port;
        settings.smtp.encryption = "none".to_owned();
        settings.smtp.from = "Flareward <flareward@tidewater.example>".to_owned();
    })
    .await;
    let connected = hub.connect(sandbox).await;
    assert_eq!(hub.sync().await.outcome.as_str(), "complete");
    let row = integrate(&hub, &connected.connection.account_id, &info.okta_url).await;
    register(&hub, sandbox, &row).await;
    let names = DATASETS.map(str::to_owned);
    let made = enable(
        &hub.app,
        &connected.connection,
        &names,
        None,
        &Actor::CommandLine,
        &|_| {},
    )
    .await;
    let made = made.unwrap();
    assert!(made.iter().all(|one| one.outcome == Outcome::Created), "{made:?}");
    (hub, row)
}

pub(crate) async fn integrate(hub: &Hub, account: &str, tenant_url: &str) -> IntegrationRow {
    let new = NewIntegration {
        integration_type: "Okta".to_owned(),
        tenant_url: tenant_url.to_owned(),
        reference_id: None,
    };
    integration::create(&hub.app, account, &new, &Actor::CommandLine)
        .await
        .unwrap()
}

/// Makes the sandbox's receiver trust an integration, as an administrator of Okta would.
pub(crate) async fn register(hub: &Hub, sandbox: &Sandbox, row: &IntegrationRow) {
    let url = format!("{}/api/v1/security-events-providers", sandbox.info().okta_url);
    let well_known = hub::transmit::well_known_url(&hub.app, row.id.as_str());
    let body = json!({ "name": row.id, "type": "flareward", "settings": { "well_known_url": well_known } });
    let answer = hub.app.egress.http().post(url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

pub(crate) async fn campaign(hub: &Hub, name: &str, webhook_url: Option<&str>) {
    let request = CampaignRequest {
        name: name.to_owned(),
        rules: vec!["*".to_owned()],
        channel: if webhook_url.is_some() { "webhook" } else { "email" }.to_owned(),
        webhook_url: webhook_url.map(SecretString::from),
        delivery_limit_minutes: 0,
        test_mode: false,
        enabled: true,
    };
    campaign::put(&hub.app, None, &request, &Actor::CommandLine)
        .await
        .unwrap();
}

/// Everything that the stages have made, to be compared before and after.
async fn made(hub: &Hub) -> String {
    let store = &hub.app.store;
    let mut people = store
        .person_list(&PersonFilter {
            limit: 1_000,
            ..PersonFilter::default()
        })
        .await
        .unwrap();
    people.retain(|person| person.risk_level != RiskLevel::Unscored);
    format!(
        "{:?}\n{people:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        store.overview().await.unwrap(),
        store.signal_list(None, None, None, 1_000).await.unwrap(),
        store.message_list(None, None, None, 1_000).await.unwrap(),
        store.batch_counts(None).await.unwrap(),
        store.unmapped_list(None, 1_000).await.unwrap(),
    )
}

fn told(level: RiskLevel) -> &'static str {
    match level {
        RiskLevel::Unscored | RiskLevel::Low => "low",
        RiskLevel::Medium => "medium",
        RiskLevel::High => "high",
    }
}

/// What a receiver must have heard of one person, from the changes of their level: the first begins at nothing.
fn expected_chain(mut changes: Vec<RiskChangeRow>) -> Vec<(String, String)> {
    changes.sort_by_key(|change| (change.at, change.current));
    let mut heard = "none";
    let mut chain = Vec::new();
    for change in changes {
        let now = told(change.current);
        if now != heard {
            chain.push((heard.to_owned(), now.to_owned()));
            heard = now;
        }
    }
    chain
}

async fn check_chains(hub: &Hub, received: &[ReceivedSignal]) {
    let store = &hub.app.store;
    let mut chains: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for signal in received.iter().filter(|signal| signal.accepted) {
        assert!(!signal.duplicate && !signal.unknown_user, "{signal:?}");
        chains
            .entry(&signal.subject_email)
            .or_default()
            .push((signal.previous_level.clone(), signal.current_level.clone()));
    }
    for person in store
        .person_list(&PersonFilter {
            limit: 1_000,
            ..PersonFilter::default()
        })
        .await
        .unwrap()
    {
        let changes = store.risk_change_by_person(&person.id, 100).await.unwrap();
        let heard = chains.remove(person.email.as_str()).unwrap_or_default();
        assert_eq!(heard, expected_chain(changes), "{}", person.email);
        for pair in heard.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "{}: a link is missing", person.email);
        }
    }
    assert!(chains.is_empty(), "signals about nobody: {chains:?}");
}

#[tokio::test]
async fn a_week_of_logs_ends_in_levels_signals_and_messages_each_exactly_once() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let (hub, _) = ready(scratch, &sandbox).await;
        let world = sandbox.world();
        campaign(&hub, "chat", Some(&sandbox.info().slack_webhook_url)).await;
        campaign(&hub, "mail", None).await;
        // Every channel and the receiver are ill at first.
        let ill = |status| SinkFault {
            times: 3,
            status: Some(status),
        };
        world.faults_set(Faults {
            sinks: SinkFaults {
                slack: ill(429),
                smtp: ill(451),
                okta: ill(500),
                ..SinkFaults::default()
            },
            ..Faults::default()
        });
        let played = world.story_play_all().await.unwrap();
        hub.settle().await;

        let store = &hub.app.store;
        let mut stored: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for batch in store.batch_list(None, None, 1_000).await.unwrap() {
            assert_eq!(batch.state, BatchState::Detected, "{batch:?}");
            assert_eq!(batch.records, batch.accepted + batch.duplicates + batch.rejected);
            let entry = stored.entry(batch.dataset).or_default();
            entry.0 += batch.accepted as usize;
            entry.1 += batch.rejected as usize;
        }
        let expected: BTreeMap<String, (usize, usize)> = world
            .story_expected()
            .into_iter()
            .map(|(dataset, expected)| (dataset, (expected.records, expected.malformed_lines)))
            .collect();
        assert_eq!(stored, expected);
        let overview = store.overview().await.unwrap();
        assert_eq!(overview.events as usize, played.records);
        let rejects = store.reject_list(None, 10).await.unwrap();
        assert_eq!(rejects.len(), 1);
        assert!(rejects[0].reason.starts_with("not JSON"), "{rejects:?}");

        let mut at_risk = Vec::new();
        for person in store
            .person_list(&PersonFilter {
                limit: 1_000,
                ..PersonFilter::default()
            })
            .await
            .unwrap()
        {
            if person.risk_level != RiskLevel::Unscored {
                let name = person.email.split('@').next().unwrap().to_owned();
                at_risk.push((name, person.risk_level.to_string()));
            }
        }
        let named: Vec<_> = AT_RISK
            .iter()
            .map(|(name, level)| ((*name).to_owned(), (*level).to_owned()))
            .collect();
        assert_eq!(at_risk, named);

        let signals = world.received_signals();
        assert_eq!(signals.iter().filter(|signal| !signal.accepted).count(), 3);
        check_chains(&hub, &signals).await;
        let sent = store
            .signal_list(None, None, Some(SignalState::Delivered), 1_000)
            .await
            .unwrap();
        assert_eq!(sent.len(), signals.len() - 3);
        assert_eq!(store.signal_waiting().await.unwrap(), 0);

        let delivered = store
            .message_list(None, None, Some(MessageState::Delivered), 1_000)
            .await
            .unwrap();
        assert_eq!(
            store.message_list(None, None, None, 1_000).await.unwrap().len(),
            delivered.len()
        );
        let received = world.received_messages();
        for (sink, refused) in [(Sink::Slack, 3), (Sink::Smtp, 3)] {
            let of_sink: Vec<_> = received.iter().filter(|message| message.sink == sink).collect();
            let taken = of_sink.iter().filter(|message| message.accepted).count();
            // Both campaigns coach for everything.
            assert_eq!(taken * 2, delivered.len(), "{sink:?}");
            assert_eq!(of_sink.len(), taken + refused, "{sink:?}");
        }
        let mail = received
            .iter()
            .find(|message| message.sink == Sink::Smtp && message.accepted)
            .unwrap();
        assert!(mail.to[0].ends_with("@tidewater.example"), "{mail:?}");
        assert!(!mail.subject.is_empty());

        let unmapped = store.unmapped_list(None, 1_000).await.unwrap();
        for address in [
            "k.vance@driftwood.example",
            "non_identity@tidewater.cloudflareaccess.com",
        ] {
            assert!(
                unmapped.iter().any(|row| row.identifier == address),
                "{address} is in none of {unmapped:?}"
            );
        }

        let before = made(&hub).await;
        // Every batch comes once more, and every stage looks again.
        world.story_play_all().await.unwrap();
        hub.settle().await;
        let after = made(&hub).await;
        let deliveries = without_deliveries(&before);
        assert_eq!(deliveries, without_deliveries(&after));
        assert_eq!(world.received_signals().len(), signals.len());
        assert_eq!(world.received_messages().len(), received.len());
    })
    .await;
}

/// Without the count of deliveries, which is what a repetition may change.
fn without_deliveries(text: &str) -> String {
    let (before, rest) = text.split_once("deliveries: ").unwrap();
    let (_, after) = rest.split_once(',').unwrap();
    format!("{before}{after}")
}

#[tokio::test]
async fn a_reset_tells_receivers_low_and_the_next_detection_raises_again() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let (hub, _) = ready(scratch, &sandbox).await;
        let who = "omar.said@tidewater.example";
        hub.happen("warp_toggle_changes", &[client_off(who, "2026-11-20T11:00:00Z")])
            .await;
        hub.settle().await;
        assert_eq!(hub.level(who).await, "medium");

        let store = &hub.app.store;
        let person = store.person_by_email(who).await.unwrap().unwrap();
        let reset = async |reason| risk::reset(&hub.app, &person.id, reason, &Actor::CommandLine).await;
        assert!(matches!(reset(" ").await, Err(risk::RiskError::NoReason)));
        hub.clock.advance(TimeDelta::minutes(1));
        assert_eq!(reset("talked to him").await.unwrap(), RiskLevel::Medium);
        assert_eq!(reset("twice").await.unwrap(), RiskLevel::Unscored);
        hub.settle().await;
        assert_eq!(hub.level(who).await, "unscored");

        // What happened before the reset comes late, and is part of what was reset.
        hub.happen("warp_toggle_changes", &[client_off(who, "2026-11-20T10:00:00Z")])
            .await;
        assert_eq!(hub.level(who).await, "unscored");
        hub.clock.advance(TimeDelta::hours(1));
        hub.happen("gateway_dns", &[calls_home(who, "2026-11-20T12:30:00Z")])
            .await;
        hub.settle().await;
        assert_eq!(hub.level(who).await, "high");
        let signals = sandbox.world().received_signals();
        check_chains(&hub, &signals).await;
        let heard: Vec<_> = signals
            .iter()
            .map(|signal| (signal.previous_level.as_str(), signal.current_level.as_str()))
            .collect();
        assert_eq!(heard, [("none", "medium"), ("medium", "low"), ("low", "high")]);
        assert_eq!(signals[1].event["initiating_entity"], "admin");
    })
    .await;
}

fn client_off(who: &str, at: &str) -> Value {
    json!({ "Timestamp": at, "UserEmail": who, "DeviceID": "d", "Toggled": false })
}

pub(crate) fn calls_home(who: &str, at: &str) -> Value {
    json!({ "Datetime": at, "Email": who, "QueryName": "k3f9.sync-node.test", "QueryCategoryIDs": [80],
        "QueryCategoryNames": ["Command and Control & Botnet"], "ResolverDecision": "blockedByCategory",
        "QueryID": format!("{who}{at}") })
}

/// A receiver that answers as it is told, then 202, and keeps what it got: subject, new level, audience, `jti`.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Got {
    status: u16,
    who: String,
    level: String,
    audience: String,
    token: String,
}

impl Receiver {
    async fn serve(&self) -> String {
        let receiver = self.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/secevent+jwt");
            let token = String::from_utf8(body.to_vec()).unwrap();
            let claims = token.split('.').nth(1).unwrap();
            let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(claims)
                .unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            let event = claims["events"].as_object().unwrap().values().next().unwrap();
            let mut answers = receiver.answers.lock().unwrap();
            let (status, body) = if answers.is_empty() {
                (202, "")
            } else {
                answers.remove(0)
            };
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            receiver.got.lock().unwrap().push(Got {
                status,
                who: text(&event["subject"]["user"]["email"])
                    .split('.')
                    .next()
                    .unwrap()
                    .to_owned(),
                level: text(&event["current_level"]),
                audience: text(&claims["aud"]),
                token,
            });
            let retry_after = if status == 429 { "7" } else { "" };
            (
                StatusCode::from_u16(status).unwrap(),
                [("retry-after", retry_after)],
                body,
            )
        };
        stand_in(Router::new().route("/security/api/v1/security-events", post(take))).await
    }

    fn answer(&self, answers: &[(u16, &'static str)]) {
        *self.answers.lock().unwrap() = answers.to_vec();
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn heard(&self) -> Vec<String> {
        self.got()
            .iter()
            .map(|got| format!("{} {} {}", got.who, got.level, got.status))
            .collect()
    }
}

/// A hub with a receiver that can be told what to answer, and two changes of Omar that wait for it.
async fn two_changes(scratch: Scratch) -> (Sandbox, Hub, Receiver, IntegrationRow) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    hub.sync().await;
    let receiver = Receiver::default();
    let row = integrate(&hub, &sandbox.info().account_id, &receiver.serve().await).await;
    let omar = "omar.said@tidewater.example";
    hub.happen("warp_toggle_changes", &[client_off(omar, "2026-11-20T11:00:00Z")])
        .await;
    hub.happen("gateway_dns", &[calls_home(omar, "2026-11-20T11:30:00Z")])
        .await;
    (sandbox, hub, receiver, row)
}

async fn signals(hub: &Hub) -> Vec<SignalRow> {
    let mut rows = hub.app.store.signal_list(None, None, None, 1_000).await.unwrap();
    rows.sort_by_key(|row| (row.subject.clone(), row.position));
    rows
}

#[tokio::test]
async fn signals_about_one_person_keep_their_order_and_others_do_not_wait() {
    each(async |scratch| {
        let (_sandbox, hub, receiver, _) = two_changes(scratch).await;
        receiver.answer(&[(500, ""), (503, "")]);
        let deliver = async || hub::transmit::deliver::run(&hub.app).await.unwrap();
        deliver().await;
        assert_eq!(receiver.heard(), ["omar medium 500"]);
        let waits = signals(&hub).await[0].next_attempt_at;
        assert!(waits > hub.app.store.signal_list(None, None, None, 1).await.unwrap()[0].created_at);

        // Hana's change goes out, whatever Omar's waits for.
        hub.happen(
            "gateway_dns",
            &[calls_home("hana.kim@tidewater.example", "2026-11-20T11:40:00Z")],
        )
        .await;
        receiver.answer(&[]);
        deliver().await;
        assert_eq!(receiver.heard(), ["omar medium 500", "hana high 202"]);

        receiver.answer(&[(429, "")]);
        hub.clock.advance(TimeDelta::seconds(3));
        deliver().await;
        // The receiver asked for seven seconds.
        hub.clock.advance(TimeDelta::seconds(6));
        deliver().await;
        assert_eq!(receiver.heard()[2..], ["omar medium 429"]);
        hub.clock.advance(TimeDelta::seconds(1));
        deliver().await;
        assert_eq!(receiver.heard()[3..], ["omar medium 202", "omar high 202"]);
        let got = receiver.got();
        assert_eq!(got[0].token, got[2].token, "another attempt sends other bytes");
        assert_eq!(got[0].token, got[3].token);
        assert_eq!(deliver().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_signal_that_is_refused_for_good_does_not_hold_up_the_next() {
    each(async |scratch| {
        let (_sandbox, hub, receiver, _) = two_changes(scratch).await;
        receiver.answer(&[(400, r#"{"err":"invalid_request","description":"no"}"#)]);
        hub.settle().await;
        assert_eq!(receiver.heard(), ["omar medium 400", "omar high 202"]);
        let rows = signals(&hub).await;
        assert_eq!(
            (rows[0].state, rows[1].state),
            (SignalState::Dead, SignalState::Delivered)
        );
        assert_eq!(rows[0].problem.as_deref(), Some("invalid_request: no"));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_audience_suspends_until_the_integration_is_changed() {
    each(async |scratch| {
        let (sandbox, hub, receiver, row) = two_changes(scratch).await;
        receiver.answer(&[(400, r#"{"err":"invalid_audience","description":"not us"}"#)]);
        hub.settle().await;
        hub.clock.advance(TimeDelta::hours(1));
        hub.settle().await;
        assert_eq!(receiver.heard(), ["omar medium 400"]);
        let account = sandbox.info().account_id.as_str();
        let suspended = integration::get(&hub.app, account, row.id.as_str())
            .await
            .unwrap();
        assert_eq!(
            suspended.suspended_reason.as_deref(),
            Some("invalid_audience: not us")
        );

        // The tenant was somewhere else all along.
        let elsewhere = Receiver::default();
        let tenant_url = elsewhere.serve().await;
        integration::update(
            &hub.app,
            account,
            row.id.as_str(),
            &tenant_url,
            None,
            true,
            &Actor::CommandLine,
        )
        .await
        .unwrap();
        hub.settle().await;
        assert_eq!(elsewhere.heard(), ["omar medium 202", "omar high 202"]);
        for got in elsewhere.got() {
            assert_eq!(got.audience, tenant_url);
        }
        assert_eq!(receiver.heard().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_an_integration_has_not_sent_is_given_up_when_it_is_switched_off() {
    each(async |scratch| {
        let (sandbox, hub, receiver, row) = two_changes(scratch).await;
        let account = sandbox.info().account_id.as_str();
        let (id, url) = (row.id.as_str(), row.tenant_url.as_str());
        integration::update(&hub.app, account, id, url, None, false, &Actor::CommandLine)
            .await
            .unwrap();
        hub.settle().await;
        assert!(receiver.got().is_empty());
        assert!(
            signals(&hub)
                .await
                .iter()
                .all(|row| row.state == SignalState::Cancelled)
        );
        integration::delete(&hub.app, account, id, &Actor::CommandLine)
            .await
            .unwrap();
        assert!(integration::get(&hub.app, account, id).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn an_absurd_wait_is_cut_to_a_day() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        let wait = async || {
            (
                StatusCode::TOO_MANY_REQUESTS,
                [("retry-after", "18446744073709551615")],
            )
        };
        let tenant = stand_in(Router::new().fallback(wait)).await;
        integrate(&hub, &sandbox.info().account_id, &tenant).await;
        hub.happen(
            "gateway_dns",
            &[calls_home("omar.said@tidewater.example", "2026-11-20T11:30:00Z")],
        )
        .await;
        hub::transmit::deliver::run(&hub.app).await.unwrap();
        let row = signals(&hub).await.remove(0);
        assert_eq!(row.next_attempt_at - row.created_at, TimeDelta::days(1));
    })
    .await;
}

/// The record with a name of its own: repeats of one name are one detection.
fn elsewhere(mut record: Value, number: usize) -> Value {
    let name = format!("a{number}.{}", record["QueryName"].as_str().unwrap());
    record["QueryName"] = name.into();
    record
}

#[tokio::test]
async fn a_message_goes_out_once_though_two_processes_look() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        campaign(&hub, "chat", Some(&sandbox.info().slack_webhook_url)).await;
        let records: Vec<Value> = (0..20)
            .map(|n| {
                let at = format!("2026-11-20T11:30:{n:02}Z");
                elsewhere(calls_home("omar.said@tidewater.example", &at), n)
            })
            .collect();
        hub.happen("gateway_dns", &records).await;
        let second = hub.again().await;
        let (one, two) = tokio::join!(
            hub::coaching::deliver::run(&hub.app),
            hub::coaching::deliver::run(&second)
        );
        // Twenty detections, and one that twenty of a kind make together.
        assert_eq!(one.unwrap() + two.unwrap(), 21);
        let messages = sandbox.world().received_messages();
        assert_eq!(messages.len(), 21);
        let names = messages
            .iter()
            .filter(|message| {
                message.body["text"]
                    .as_str()
                    .unwrap()
                    .contains("k3f9[.]sync-node[.]test")
            })
            .count();
        assert_eq!(names, 20);
    })
    .await;
}

#[tokio::test]
async fn a_person_is_not_written_to_more_often_than_the_campaign_allows() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        let webhook = Some(SecretString::from(sandbox.info().slack_webhook_url.clone()));
        for (name, test_mode) in [("at most hourly", false), ("trial", true)] {
            let request = CampaignRequest {
                name: name.to_owned(),
                rules: vec!["dns-c2".to_owned()],
                channel: "webhook".to_owned(),
                webhook_url: webhook.clone(),
                delivery_limit_minutes: 60,
                test_mode,
                enabled: true,
            };
            campaign::put(&hub.app, None, &request, &Actor::CommandLine)
                .await
                .unwrap();
        }
        let who = "omar.said@tidewater.example";
        let first: Vec<Value> = (0..3)
            .map(|n| elsewhere(calls_home(who, &format!("2026-11-20T11:30:0{n}Z")), n))
            .collect();
        hub.happen("gateway_dns", &first).await;
        // Another rule, another person: neither is meant or held back.
        hub.happen("warp_toggle_changes", &[client_off(who, "2026-11-20T11:40:00Z")])
            .await;
        hub.happen(
            "gateway_dns",
            &[calls_home("hana.kim@tidewater.example", "2026-11-20T11:31:00Z")],
        )
        .await;
        hub.clock.advance(TimeDelta::minutes(61));
        hub.happen("gateway_dns", &[calls_home(who, "2026-11-20T12:45:00Z")])
            .await;
        hub.settle().await;
        let count = async |state| {
            let rows = hub.app.store.message_list(None, None, Some(state), 1_000).await;
            rows.unwrap().len()
        };
        assert_eq!(count(MessageState::Delivered).await, 3);
        assert_eq!(count(MessageState::Test).await, 3);
        assert_eq!(count(MessageState::Suppressed).await, 4);
        assert_eq!(sandbox.world().received_messages().len(), 3);
    })
    .await;
}
