//! Logs that are read from the API: every record once, whichever way it comes, and what stands in for what is refused.

use crate::kit::{Hub, each, start, story};
use chrono::TimeDelta;
use hub::Actor;
use hub::event::EventFilter;
use hub::settings::Settings;
use hub::source::pull::{Pulled, pull};
use hub::source::{SourceStatus, logpush, status};
use sandbox::{Faults, Sandbox};
use std::collections::BTreeSet;
use store::scratch::Scratch;

async fn ready_with(scratch: Scratch, change: impl FnOnce(&mut Settings)) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, |settings| {
        // The whole story.
        settings.logs.pull_first_hours = 24 * 30;
        change(settings);
    })
    .await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    ready_with(scratch, |_| {}).await
}

async fn round(hub: &Hub, names: &[&str]) -> Vec<Pulled> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let connection = hub.connection().await;
    let pulled = pull(&hub.app, &connection, &names, &|_| {}).await.unwrap();
    hub.pipeline().await;
    pulled
}

async fn stored(hub: &Hub, dataset: &str) -> usize {
    let filter = EventFilter {
        dataset: Some(dataset.to_owned()),
        limit: 1_000,
        ..EventFilter::default()
    };
    hub::event::find(&hub.app, &filter).await.unwrap().events.len()
}

async fn fares(hub: &Hub, dataset: &str, source: &str) -> SourceStatus {
    let all = status(&hub.app, None).await.unwrap();
    let found = all
        .into_iter()
        .find(|row| row.dataset == dataset && row.source == source);
    found.unwrap_or_else(|| panic!("{dataset} by {source} is not shown"))
}

async fn batches(hub: &Hub) -> i64 {
    hub.app.store.batch_counts(None).await.unwrap().batches
}

#[tokio::test]
async fn every_record_is_read_once_and_nothing_new_leaves_no_batch() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        let first = round(&hub, &[]).await;
        assert!(first.iter().all(|one| !one.has_failed), "{first:?}");
        assert_eq!(stored(&hub, "access_requests").await, world.access_login_count());
        assert_eq!(stored(&hub, "audit_logs_v2").await, world.audit_count());
        let filter = EventFilter {
            dataset: Some("access_requests".to_owned()),
            limit: 1,
            ..EventFilter::default()
        };
        let login = hub::event::find(&hub.app, &filter)
            .await
            .unwrap()
            .events
            .remove(0);
        assert!(login.country.is_some() && login.source_ip.is_some() && login.target.is_some());
        let before = batches(&hub).await;
        let again = round(&hub, &[]).await;
        assert!(again.iter().all(|one| one.new_records == 0), "{again:?}");
        // A record that was written late, and one that is new.
        hub.clock.advance(TimeDelta::minutes(10));
        world.access_login_add("late@tidewater.example", start() - TimeDelta::minutes(3), "de");
        world.access_login_add("new@tidewater.example", start() + TimeDelta::minutes(9), "de");
        let next = round(&hub, &[]).await;
        assert_eq!(
            (next[0].dataset.as_str(), next[0].new_records),
            ("access_requests", 2)
        );
        assert_eq!(batches(&hub).await, before + 1);
        let shown = fares(&hub, "access_requests", "pull").await;
        assert_eq!(shown.state.as_str(), "working");
        assert_eq!(shown.lag, Some(TimeDelta::zero()));
        assert_eq!(shown.cursor_at, Some(start() + TimeDelta::minutes(10)));
        // Another process that knows nothing of the place finds nothing new either.
        let connection = hub.connection().await;
        let store = &hub.app.store;
        store
            .log_source_delete(&connection.id, "access_requests", "pull")
            .await
            .unwrap();
        let other = pull(&hub.again().await, &connection, &[], &|_| {}).await.unwrap();
        assert!(other[0].records > 2);
        assert_eq!(other[0].new_records, 0);
    })
    .await;
}

#[tokio::test]
async fn what_logpush_delivers_is_not_pulled_and_is_the_same_event_when_it_is() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        round(&hub, &[]).await;
        let names = ["access_requests".to_owned(), "audit_logs_v2".to_owned()];
        let connection = hub.connection().await;
        logpush::enable(&hub.app, &connection, &names, None, &Actor::CommandLine, &|_| {})
            .await
            .unwrap();
        let audited = world.audit_count();
        let before = [
            stored(&hub, "access_requests").await,
            stored(&hub, "audit_logs_v2").await,
        ];
        world.story_play_all().await.unwrap();
        hub.pipeline().await;
        assert_eq!(
            stored(&hub, "access_requests").await,
            before[0],
            "pushed after they were pulled"
        );
        assert_eq!(stored(&hub, "audit_logs_v2").await, before[1]);
        let left = round(&hub, &[]).await;
        assert!(
            left[..2]
                .iter()
                .all(|one| one.problem.as_deref() == Some("another source delivers this dataset")),
            "{left:?}"
        );
        assert_eq!(fares(&hub, "access_requests", "pull").await.state.as_str(), "off");
        // Who names it wants it.
        hub.clock.advance(TimeDelta::minutes(1));
        let store = &hub.app.store;
        store
            .log_source_delete(&connection.id, "access_requests", "pull")
            .await
            .unwrap();
        let asked = round(&hub, &["access_requests", "audit_logs_v2"]).await;
        assert!(asked[0].records > 0 && asked[0].new_records == 0, "{asked:?}");
        // Making the jobs is in the account's own log.
        assert_eq!(asked[1].new_records, audited - before[1]);
        // When the job is off, pulling takes over by itself.
        world.logpush_disable("access_requests");
        hub.clock.advance(TimeDelta::minutes(5));
        hub::source::run(&hub.app).await.unwrap();
        assert_eq!(
            fares(&hub, "access_requests", "pull").await.state.as_str(),
            "working"
        );
        assert_eq!(fares(&hub, "audit_logs_v2", "pull").await.state.as_str(), "off");
    })
    .await;
}

#[tokio::test]
async fn version_1_stands_in_for_version_2_as_long_as_that_is_refused() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        world.faults_set(Faults {
            unsuccessful_path: Some("/logs/audit".to_owned()),
            ..Faults::default()
        });
        let pulled = round(&hub, &[]).await;
        let names: Vec<&str> = pulled.iter().map(|one| one.dataset.as_str()).collect();
        assert_eq!(
            names,
            [
                "access_requests",
                "audit_logs_v2",
                "audit_logs",
                "risk_score_events"
            ]
        );
        assert!(
            pulled[1]
                .problem
                .as_deref()
                .unwrap()
                .contains("version 1 is read instead")
        );
        assert!(!pulled[1].has_failed);
        assert_eq!(stored(&hub, "audit_logs").await, world.audit_count());
        assert_eq!(round(&hub, &[]).await[2].new_records, 0);
        assert_eq!(fares(&hub, "audit_logs", "pull").await.state.as_str(), "working");
        world.faults_clear();
        let pulled = round(&hub, &[]).await;
        assert_eq!(pulled.len(), 3);
        assert_eq!(stored(&hub, "audit_logs_v2").await, world.audit_count());
        assert_eq!(fares(&hub, "audit_logs", "pull").await.state.as_str(), "off");
    })
    .await;
}

#[tokio::test]
async fn a_round_is_bounded_and_the_next_goes_on() {
    each(async |scratch| {
        let (sandbox, hub) = ready_with(scratch, |settings| settings.logs.pull_pages = 1).await;
        let world = sandbox.world();
        let mut expected = world.access_login_count();
        for number in 0..2_500_i64 {
            // Hundreds within each overlap, many in the same second.
            let at = start() - TimeDelta::hours(1) + TimeDelta::seconds(number / 5);
            world.access_login_add(&format!("person{number}@tidewater.example"), at, "de");
            expected += 1;
        }
        let mut rounds = 0;
        let mut new = 0;
        loop {
            let pulled = round(&hub, &["access_requests"]).await.remove(0);
            assert!(!pulled.has_failed, "{pulled:?}");
            new += pulled.new_records;
            rounds += 1;
            if !pulled.has_more {
                break;
            }
            assert!(rounds < 10, "it never ends");
        }
        assert!(rounds >= 3, "{rounds}");
        assert_eq!(new, expected);
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.accepted, counts.duplicates), (expected as i64, 0));
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_told_and_the_other_log_goes_on() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        world.faults_set(Faults {
            removed_permissions: vec!["Access: Audit Logs Read".to_owned()],
            ..Faults::default()
        });
        hub::source::run(&hub.app).await.unwrap();
        hub.pipeline().await;
        let failing = fares(&hub, "access_requests", "pull").await;
        assert_eq!(failing.state.as_str(), "failing");
        let problem = failing.problem.unwrap();
        assert!(
            problem.contains("lacks the permission \"Access: Audit Logs Read\""),
            "{problem}"
        );
        assert_eq!(stored(&hub, "audit_logs_v2").await, world.audit_count());
        world.faults_clear();
        // Not before its time.
        hub.clock.advance(TimeDelta::minutes(4));
        hub::source::run(&hub.app).await.unwrap();
        assert_eq!(
            fares(&hub, "access_requests", "pull").await.state.as_str(),
            "failing"
        );
        hub.clock.advance(TimeDelta::minutes(1));
        hub::source::run(&hub.app).await.unwrap();
        hub.pipeline().await;
        assert_eq!(stored(&hub, "access_requests").await, world.access_login_count());
        let rows = hub.app.store.journal_latest(None, None, 100).await.unwrap();
        let kinds: BTreeSet<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        assert!(kinds.contains("log_source.failing") && kinds.contains("log_source.recovered"));
        // A list that breaks off half-way is read again from the place that is certain.
        let error = pull(
            &hub.app,
            &hub.connection().await,
            &["gateway_dns".to_owned()],
            &|_| {},
        )
        .await
        .unwrap_err();
        assert!(error.to_string().contains("cannot be pulled"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn pulling_can_be_switched_off() {
    each(async |scratch| {
        let (sandbox, hub) = ready_with(scratch, |settings| settings.logs.pull = false).await;
        let before = sandbox.world().requests();
        hub::source::run(&hub.app).await.unwrap();
        assert_eq!(sandbox.world().requests(), before);
        assert!(status(&hub.app, None).await.unwrap().is_empty());
    })
    .await;
}

/// The id that Cloudflare knows a user by.
async fn user_id(hub: &Hub, sandbox: &Sandbox, email: &str) -> String {
    let account = cloudflare::AccountId::parse(&sandbox.info().account_id).unwrap();
    let connection = hub.connection().await;
    let client = hub.app.client(&connection).unwrap();
    let users = client.risk_summary(&account).await.unwrap();
    let found = users.into_iter().find(|user| user.email == email);
    found.unwrap().user_id
}

/// How often Cloudflare was asked for scores.
fn risk_calls(sandbox: &Sandbox) -> u64 {
    let calls = sandbox.world().requests();
    let of_scores = calls
        .iter()
        .filter(|(call, _)| call.contains("/zt_risk_scoring/"));
    of_scores.map(|(_, count)| count).sum()
}

const RISK: &str = "risk_score_events";
const TRAVELLER: &str = "ines.moreau@tidewater.example";

#[tokio::test]
async fn risk_events_are_read_once_and_only_of_users_who_have_new_ones() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        hub.sync().await;
        let world = sandbox.world();
        let first = round(&hub, &[RISK]).await.remove(0);
        assert!(!first.has_failed, "{first:?}");
        assert_eq!((first.records, first.new_records), (3, 3));
        let filter = EventFilter {
            dataset: Some(RISK.to_owned()),
            limit: 1,
            ..EventFilter::default()
        };
        let newest = hub::event::find(&hub.app, &filter)
            .await
            .unwrap()
            .events
            .remove(0);
        assert_eq!(newest.identifier.as_deref(), Some(TRAVELLER));
        assert_eq!(newest.action.as_deref(), Some("imp_travel"));
        assert_eq!(newest.target.as_deref(), Some("high"));
        assert_eq!(newest.at, start() - TimeDelta::hours(26));
        let (before, calls) = (batches(&hub).await, risk_calls(&sandbox));
        let again = round(&hub, &[RISK]).await.remove(0);
        assert_eq!((again.records, batches(&hub).await), (0, before));
        assert_eq!(risk_calls(&sandbox), calls + 1, "the summary alone");

        assert!(world.risk_trigger(TRAVELLER, "malicious_file", "high"));
        let calls = risk_calls(&sandbox);
        let next = round(&hub, &[RISK]).await.remove(0);
        assert_eq!((next.records, next.new_records), (2, 1));
        assert_eq!(risk_calls(&sandbox), calls + 2, "the summary and one user");
        assert_eq!(stored(&hub, RISK).await, 4);
        // It may be counted before it is told: asked for again until it is older than the overlap.
        assert_eq!(round(&hub, &[RISK]).await[0].records, 2);
        hub.clock.advance(TimeDelta::hours(1));
        assert_eq!(round(&hub, &[RISK]).await[0].records, 0);
        let shown = fares(&hub, RISK, "pull").await;
        assert_eq!(
            (shown.state.as_str(), shown.lag),
            ("working", Some(TimeDelta::zero()))
        );

        // What was removed here does not come back with the next one.
        let person = hub.app.store.person_by_email(TRAVELLER).await.unwrap().unwrap();
        hub::driver::purge(&hub.app, &person, "asked", &Actor::CommandLine, &|_| {})
            .await
            .unwrap();
        assert_eq!(stored(&hub, RISK).await, 2);
        assert!(world.risk_trigger(TRAVELLER, "high_dlp", "medium"));
        assert_eq!(round(&hub, &[RISK]).await[0].new_records, 1);
        assert_eq!(stored(&hub, RISK).await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_round_of_risk_events_is_bounded_and_a_user_who_fails_does_not_stop_the_others() {
    each(async |scratch| {
        let (sandbox, hub) = ready_with(scratch, |settings| settings.logs.pull_pages = 2).await;
        let world = sandbox.world();
        let id = user_id(&hub, &sandbox, TRAVELLER).await;
        world.faults_set(Faults {
            unsuccessful_path: Some(format!("/zt_risk_scoring/{id}")),
            ..Faults::default()
        });
        let mut new = 0;
        let mut failed = 0;
        for _ in 0..3 {
            let pulled = round(&hub, &[RISK]).await.remove(0);
            new += pulled.new_records;
            failed += usize::from(pulled.has_failed);
            assert!(pulled.records <= 2);
        }
        assert_eq!((new, stored(&hub, RISK).await), (2, 2));
        assert!(failed >= 2, "{failed}");
        let failing = fares(&hub, RISK, "pull").await;
        assert_eq!((failing.state.as_str(), failing.cursor_at), ("failing", None));
        let problem = failing.problem.unwrap();
        assert!(
            problem.contains(&id) && problem.contains("of 1 users"),
            "{problem}"
        );
        world.faults_clear();
        assert_eq!(round(&hub, &[RISK]).await[0].new_records, 1);
        assert_eq!(fares(&hub, RISK, "pull").await.state.as_str(), "working");
    })
    .await;
}

#[tokio::test]
async fn risk_events_that_may_not_be_read_name_the_permission_and_a_plan_without_them_is_no_failure() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        world.faults_set(Faults {
            removed_permissions: vec!["Zero Trust: PII Read".to_owned()],
            ..Faults::default()
        });
        assert!(round(&hub, &[RISK]).await[0].has_failed);
        let failing = fares(&hub, RISK, "pull").await;
        let problem = failing.problem.unwrap();
        assert_eq!(failing.state.as_str(), "failing");
        assert!(
            problem.contains("lacks the permission \"Zero Trust: PII Read\""),
            "{problem}"
        );
        world.faults_set(Faults {
            risk_not_entitled: true,
            ..Faults::default()
        });
        let pulled = round(&hub, &[]).await.remove(2);
        assert!(!pulled.has_failed, "{pulled:?}");
        let off = fares(&hub, RISK, "pull").await;
        assert_eq!(off.state.as_str(), "off");
        assert!(off.problem.unwrap().contains("not on this account's plan"));
        world.faults_clear();
        assert_eq!(round(&hub, &[]).await[2].new_records, 3);
        let connection = hub.connection().await;
        let refused = logpush::enable(
            &hub.app,
            &connection,
            &[RISK.to_owned()],
            None,
            &Actor::CommandLine,
            &|_| {},
        )
        .await
        .unwrap_err();
        assert!(
            refused.to_string().contains("Cloudflare does not push"),
            "{refused}"
        );
    })
    .await;
}
