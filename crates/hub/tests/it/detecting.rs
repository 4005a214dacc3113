//! Rules over several events, from batches to detections: whatever the order, the cuts, the repeats and the restarts.

use crate::kit::{Hub, each, story};
use chrono::{DateTime, TimeDelta, Utc};
use hub::permission::Actor;
use hub::rule_admin;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rules::book::RuleMode;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use store::scratch::Scratch;
use store::{DetectionFilter, DetectionRow};

const RULES: &str = "
title: Visit
name: visit
logsource: {service: gateway_http}
detection: {a: {HTTPHost|endswith: .shop.example}, condition: a}
---
title: Many visits
name: many-visits
logsource: {service: gateway_http}
correlation: {type: event_count, rules: [visit], group-by: [person], timespan: 5m, condition: {gte: 4}}
---
title: Many shops
name: many-shops
correlation: {type: value_count, rules: [visit], group-by: [person], timespan: 5m, condition: {field: HTTPHost, gte: 3}}
---
title: Form
name: form
logsource: {service: gateway_http}
detection: {a: {HTTPMethod: POST}, condition: a}
---
title: Visits, then a form
name: visits-then-form
correlation: {type: temporal_ordered, rules: [many-visits, form], group-by: [person], timespan: 10m, generate: true}
---
title: Few sent
name: few-sent
correlation: {type: value_sum, rules: [visit], group-by: [person], timespan: 5m, condition: {field: UploadedBytes, lt: 40}}
";

/// Without `logsource`, which correlations do not have.
fn rules() -> String {
    RULES.replace("logsource: {service: gateway_http}\ncorrelation", "correlation")
}

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("rules/several.yml"), rules()).unwrap();
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_in(scratch, folder, |_| {}).await;
    assert_eq!(hub.app.rules().problems, Vec::<String>::new());
    hub.connect(&sandbox).await;
    hub.sync().await;
    (sandbox, hub)
}

fn visit(number: usize, who: &str, at: DateTime<Utc>, host: &str, method: &str) -> Value {
    json!({ "Datetime": at.to_rfc3339(), "RequestID": format!("r{number}"), "SessionID": "s", "Email": who,
        "HTTPHost": format!("{host}.shop.example"), "HTTPMethod": method, "UploadedBytes": number % 17 })
}

/// What a detection says, without what hangs on the order of things.
fn told(rows: Vec<DetectionRow>) -> BTreeSet<(String, String, String, String, i64, String)> {
    rows.into_iter()
        .map(|row| {
            (
                row.rule_name,
                row.group_key.unwrap_or_default(),
                row.at.to_rfc3339(),
                row.event_id.0,
                row.matches,
                row.evidence,
            )
        })
        .collect()
}

async fn detections(hub: &Hub, rule: Option<&str>) -> Vec<DetectionRow> {
    let filter = DetectionFilter {
        rule_name: rule.map(str::to_owned),
        limit: 1_000,
        ..DetectionFilter::default()
    };
    hub.app.store.detection_list(&filter).await.unwrap()
}

fn noon() -> DateTime<Utc> {
    "2026-11-20T11:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn any_order_within_the_lateness_and_any_batches_give_the_same_detections() {
    let people = ["omar.said@tidewater.example", "hana.kim@tidewater.example"];
    let mut random = rand::rngs::StdRng::seed_from_u64(11);
    let records: Vec<Value> = (0..160)
        .map(|number| {
            let at = noon() + TimeDelta::seconds(random.random_range(0..1_800));
            let host = format!("h{}", random.random_range(0..6));
            let method = if random.random_range(0..12) == 0 {
                "POST"
            } else {
                "GET"
            };
            visit(number, people[number % 2], at, &host, method)
        })
        .collect();
    let mut ordered = records.clone();
    ordered.sort_by_key(|record| record["Datetime"].as_str().unwrap().to_owned());
    let outcomes = std::sync::Mutex::new(Vec::new());
    for seed in 0..5_u64 {
        each(async |scratch| {
            let (_sandbox, hub) = ready(scratch).await;
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            let mut records = ordered.clone();
            if seed > 0 {
                // Records move by at most eight minutes of the ten that are allowed.
                let mut keyed: Vec<(DateTime<Utc>, Value)> = records
                    .into_iter()
                    .map(|record| {
                        let at: DateTime<Utc> = record["Datetime"].as_str().unwrap().parse().unwrap();
                        (at + TimeDelta::seconds(random.random_range(0..480)), record)
                    })
                    .collect();
                keyed.sort_by_key(|(at, _)| *at);
                records = keyed.into_iter().map(|(_, record)| record).collect();
            }
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                let (batch, more) = rest.split_at(random.random_range(1..=rest.len().min(40)));
                let mut batch = batch.to_vec();
                batch.shuffle(&mut random);
                hub.happen("gateway_http", &batch).await;
                rest = more;
            }
            let own: Vec<DetectionRow> = detections(&hub, None)
                .await
                .into_iter()
                .filter(|row| row.rule_name.contains('-') && !row.rule_name.starts_with("ai-"))
                .collect();
            assert!(own.iter().all(|row| row.person_id.is_some()));
            outcomes.lock().unwrap().push((seed, told(own)));
        })
        .await;
    }
    let outcomes = outcomes.into_inner().unwrap();
    let (_, expected) = &outcomes[0];
    for rule in ["many-visits", "many-shops", "visits-then-form", "few-sent"] {
        assert!(
            expected.iter().any(|told| told.0 == rule),
            "{rule}: {expected:#?}"
        );
    }
    // `visit` is looked at by others, and not reported itself; of `form`, its correlation asks for that.
    assert!(!expected.iter().any(|told| told.0 == "visit"));
    // Event ids hold the connection's id, which each hub makes anew: they are compared by their places.
    let shape =
        |told: &BTreeSet<(String, String, String, String, i64, String)>| -> Vec<(String, String, i64)> {
            let mut all: Vec<_> = told
                .iter()
                .map(|one| (one.0.clone(), one.2.clone(), one.4))
                .collect();
            all.sort();
            all
        };
    for (seed, told) in &outcomes {
        assert_eq!(shape(told), shape(expected), "seed {seed}");
    }
}

#[tokio::test]
async fn repeating_a_batch_changes_nothing_and_a_late_record_revises() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let who = "omar.said@tidewater.example";
        let records: Vec<Value> = [0, 60, 120, 180, 200]
            .into_iter()
            .enumerate()
            .map(|(number, second)| visit(number, who, noon() + TimeDelta::seconds(second), "a", "GET"))
            .collect();
        hub.happen("gateway_http", &records).await;
        let first = detections(&hub, Some("many-visits")).await;
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].at, first[0].matches),
            (noon() + TimeDelta::seconds(180), 4)
        );
        assert_eq!(first[0].detail.as_deref(), Some("4 matches within 5 minutes"));

        let request = hub::detection::replay::ReplayRequest {
            since: noon() - TimeDelta::days(9),
            until: Some(noon() + TimeDelta::days(900)),
            dataset: None,
        };
        let asked = hub::detection::replay::ask(&hub.app, &request, &hub::Actor::CommandLine)
            .await
            .unwrap();
        let ended = hub::driver::replay(&hub.app, &asked.id, &|_, _| {})
            .await
            .unwrap();
        assert_eq!(ended.result.as_deref(), Some(r#"{"records":5,"unread":[]}"#));
        hub.pipeline().await;
        assert_eq!(
            told(detections(&hub, Some("many-visits")).await),
            told(first.clone())
        );

        // One more from before: now the fourth comes earlier, and it is the same detection.
        hub.happen(
            "gateway_http",
            &[visit(9, who, noon() + TimeDelta::seconds(30), "a", "GET")],
        )
        .await;
        let revised = detections(&hub, Some("many-visits")).await;
        assert_eq!(revised.len(), 1);
        assert_eq!(revised[0].id, first[0].id);
        assert_eq!(revised[0].at, noon() + TimeDelta::seconds(120));
        let created = hub.app.store.journal_latest(None, None, 1_000).await.unwrap();
        let ours = created
            .iter()
            .filter(|row| row.kind.as_str() == "detection.created" && row.summary.starts_with("Many visits"))
            .count();
        assert_eq!(ours, 1);
    })
    .await;
}

#[tokio::test]
async fn a_late_record_is_counted_and_put_where_it_belongs() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let who = "omar.said@tidewater.example";
        let at = |minute| noon() + TimeDelta::minutes(minute);
        hub.happen("gateway_http", &[visit(0, who, at(30), "a", "GET")])
            .await;
        let intime: Vec<Value> = (1..3)
            .map(|number| visit(number, who, at(21), "a", "GET"))
            .collect();
        hub.happen("gateway_http", &intime).await;
        let late: Vec<Value> = (3..5)
            .map(|number| visit(number, who, at(17), "a", "GET"))
            .collect();
        hub.happen("gateway_http", &late).await;
        let watermarks = hub.app.store.watermark_list().await.unwrap();
        assert_eq!((watermarks[0].at, watermarks[0].late), (at(30), 2));
        let found = detections(&hub, Some("many-visits")).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].at, found[0].matches), (at(21), 4));
        // A clock that runs ahead makes nothing late.
        let ahead = hub.app.clock.now() + TimeDelta::hours(20);
        hub.happen("gateway_http", &[visit(5, who, ahead, "a", "GET")])
            .await;
        assert_eq!(
            hub.app.store.watermark_list().await.unwrap()[0].at,
            hub.app.clock.now()
        );
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_switched_tested_and_changed_while_running() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let who = "omar.said@tidewater.example";
        let mut number = 0;
        let mut burst = async || {
            let records: Vec<Value> = (0..4)
                .map(|n| {
                    number += 1;
                    let at = noon() + TimeDelta::minutes(number as i64) + TimeDelta::seconds(n);
                    visit(number, who, at, "a", "GET")
                })
                .collect();
            hub.happen("gateway_http", &records).await;
        };
        let actor = Actor::CommandLine;
        rule_admin::set_mode(&hub.app, "many-visits", RuleMode::Test, &actor)
            .await
            .unwrap();
        burst().await;
        assert!(detections(&hub, Some("many-visits")).await.is_empty());
        let counts = hub.app.store.test_counts().await.unwrap();
        assert_eq!(
            (counts[0].rule_id.as_str(), counts[0].matches),
            ("many-visits", 1)
        );

        rule_admin::set_mode(&hub.app, "many-visits", RuleMode::Off, &actor)
            .await
            .unwrap();
        assert_eq!(hub.app.rules().rule("many-visits").unwrap().mode, RuleMode::Off);
        let error = rule_admin::set_mode(&hub.app, "nothing", RuleMode::On, &actor)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no rule named \"nothing\""), "{error}");

        // A filter that is added narrows the rule; one that cannot be honoured is refused whole.
        rule_admin::set_mode(&hub.app, "many-visits", RuleMode::On, &actor)
            .await
            .unwrap();
        let filter =
            "title: Not a\nfilter: {rules: [visit], a: {HTTPHost: a.shop.example}, condition: not a}";
        assert_eq!(
            rule_admin::write_document(&hub.app, "not-a.yml", filter, &actor)
                .await
                .unwrap(),
            1
        );
        let refused =
            rule_admin::write_document(&hub.app, "worse.yml", &filter.replace("visit", "visits"), &actor)
                .await
                .unwrap_err();
        assert!(refused.to_string().contains("visits"), "{refused}");
        burst().await;
        assert!(detections(&hub, Some("many-visits")).await.is_empty());
        rule_admin::remove_document(&hub.app, "not-a.yml", &actor)
            .await
            .unwrap();
        burst().await;
        assert_eq!(detections(&hub, Some("many-visits")).await.len(), 1);
        assert_eq!(
            hub.app
                .store
                .rule_document_versions("not-a.yml", 10)
                .await
                .unwrap()
                .len(),
            2
        );

        // A rule file that changes is taken up by the next look.
        let folder = hub.app.settings.data.dir.join("rules/several.yml");
        std::fs::write(
            &folder,
            rules().replace("title: Many visits", "title: A great many visits"),
        )
        .unwrap();
        assert!(rule_admin::reload(&hub.app).await.unwrap());
        assert_eq!(
            hub.app.rules().rule("many-visits").unwrap().title,
            "A great many visits"
        );
        assert!(!rule_admin::reload(&hub.app).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn repeats_are_one_detection_with_a_count() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let lookup = |number: usize, kind: &str, minute: i64| {
            json!({ "Datetime": (noon() + TimeDelta::minutes(minute)).to_rfc3339(), "QueryID": format!("q{number}"),
                "Email": "omar.said@tidewater.example", "QueryName": "bad.example", "QueryTypeName": kind,
                "QueryCategoryIDs": [131] })
        };
        let triple = [lookup(0, "A", 0), lookup(1, "AAAA", 0), lookup(2, "HTTPS", 1)];
        hub.happen("gateway_dns", &triple).await;
        hub.happen("gateway_dns", &[lookup(3, "A", 40)]).await;
        hub.happen("gateway_dns", &[lookup(4, "A", 2)]).await;
        let mut found = detections(&hub, Some("dns-phishing")).await;
        found.sort_by_key(|row| row.at);
        let counts: Vec<i64> = found.iter().map(|row| row.matches).collect();
        assert_eq!(counts, [4, 1]);
        assert_eq!(found[0].last_at, noon() + TimeDelta::minutes(2));
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_tried_over_the_archive_and_finds_what_it_finds_when_it_runs() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let people = ["omar.said@tidewater.example", "hana.kim@tidewater.example"];
        let records: Vec<Value> = (0..40)
            .map(|number| {
                let at = noon() + TimeDelta::seconds(20 * number as i64);
                visit(number, people[number % 2], at, &format!("h{}", number % 5), "GET")
            })
            .collect();
        for part in records.chunks(7) {
            hub.happen("gateway_http", part).await;
        }
        // The same records once more, in another batch: they count once.
        hub.happen("gateway_http", &records).await;
        let book = hub.app.rules();
        for rule in ["many-visits", "many-shops"] {
            let found = detections(&hub, Some(rule)).await;
            assert!(!found.is_empty());
            let (since, until) = (noon() - TimeDelta::days(1), noon() + TimeDelta::days(1));
            let tried = hub::detection::backtest::run(
                &hub.app,
                &book,
                book.rule(rule).unwrap(),
                since,
                until,
                |_, _| ControlFlow::Continue(()),
            )
            .await
            .unwrap();
            assert_eq!(tried.detections as usize, found.len(), "{rule}: {tried:?}");
            assert_eq!((tried.people, tried.unread.len()), (2, 0));
            assert_eq!(tried.matches, 40);
            let days: u64 = tried.days.values().map(|day| day.detections).sum();
            assert_eq!(days, tried.detections);
        }
    })
    .await;
}

#[tokio::test]
async fn a_mail_is_an_event_of_each_of_its_recipients() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let mail = json!({ "Timestamp": "2026-11-20T11:00:00Z", "AlertID": "m1", "FinalDisposition": "MALICIOUS",
            "Subject": "Invoice", "To": ["Omar.Said@tidewater.example", "hana.kim@tidewater.example", "x@y.example"] });
        hub.happen("email_security_alerts", std::slice::from_ref(&mail)).await;
        hub.happen("email_security_alerts", &[mail, json!({ "Timestamp": "2026-11-20T11:00:00Z", "AlertID": "m2" })])
            .await;
        let search = hub::search::Search {
            dataset: Some("email_security_alerts".to_owned()),
            conditions: vec![hub::search::condition("Subject|contains=voice").unwrap()],
            limit: 100,
            ..hub::search::Search::default()
        };
        let found = hub::search::run(&hub.app, &search, |_, _| {}).await.unwrap();
        let who: BTreeSet<(String, bool)> = found
            .events
            .into_iter()
            .map(|event| (event.identifier.unwrap(), event.person_id.is_some()))
            .collect();
        let expected = [
            ("hana.kim@tidewater.example".to_owned(), true),
            ("omar.said@tidewater.example".to_owned(), true),
            ("x@y.example".to_owned(), false),
        ];
        assert_eq!(who, expected.into());
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.records, counts.accepted, counts.duplicates), (7, 7, 0));
    })
    .await;
}

#[tokio::test]
async fn events_are_found_by_person_time_and_fields() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let people = ["omar.said@tidewater.example", "hana.kim@tidewater.example"];
        let records: Vec<Value> = (0..60)
            .map(|number| {
                let at = noon() + TimeDelta::minutes(number as i64);
                visit(number, people[number % 2], at, &format!("h{}", number % 5), "GET")
            })
            .collect();
        hub.happen("gateway_http", &records).await;
        let person = hub.app.store.person_by_email(people[0]).await.unwrap().unwrap();
        let of = async |search: hub::search::Search| {
            let found = hub::search::run(&hub.app, &search, |_, _| {}).await.unwrap();
            (found.events.len(), found.is_cut)
        };
        let all = hub::search::Search {
            limit: 100,
            ..hub::search::Search::default()
        };
        assert_eq!(of(all.clone()).await, (60, false));
        assert_eq!(
            of(hub::search::Search {
                limit: 10,
                ..all.clone()
            })
            .await,
            (10, true)
        );
        let condition = |text| vec![hub::search::condition(text).unwrap()];
        for (text, expected) in [
            ("HTTPHost=h1.shop.example", 12),
            ("HTTPHost|startswith=h1,H2", 24),
            ("UploadedBytes|gte=15", 6),
            ("HTTPHost.etld1=shop.example", 60),
            ("Nothing=1", 0),
        ] {
            let search = hub::search::Search {
                conditions: condition(text),
                ..all.clone()
            };
            assert_eq!(of(search).await.0, expected, "{text}");
        }
        let narrow = hub::search::Search {
            person: Some(person.id),
            since: Some(noon() + TimeDelta::minutes(10)),
            until: Some(noon() + TimeDelta::minutes(20)),
            dataset: Some("gateway_http".to_owned()),
            ..all.clone()
        };
        assert_eq!(of(narrow).await, (5, false));
        let wrong = hub::search::Search {
            dataset: Some("gateway_smtp".to_owned()),
            ..all
        };
        let error = hub::search::run(&hub.app, &wrong, |_, _| {}).await.unwrap_err();
        assert!(error.to_string().contains("gateway_smtp"), "{error}");
    })
    .await;
}
