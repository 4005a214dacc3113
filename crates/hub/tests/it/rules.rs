//! The rules as they run in the pipeline: normalised, stored, detected.

use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use rules::book::BookRule;
use sandbox::Sandbox;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use store::scratch::Scratch;
use store::{DetectionFilter, DetectionRow};

#[derive(Deserialize)]
struct Cases {
    fires: OneOrMany,
    silent: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Events(Vec<Case>),
    Sequences { sequences: Vec<Sequence> },
}

#[derive(Deserialize)]
struct Case {
    name: String,
    event: Value,
}

#[derive(Deserialize)]
struct Sequence {
    name: String,
    events: Vec<Value>,
}

impl OneOrMany {
    fn sequences(self) -> Vec<Sequence> {
        match self {
            OneOrMany::Events(cases) => cases
                .into_iter()
                .map(|case| Sequence {
                    name: case.name,
                    events: vec![case.event],
                })
                .collect(),
            OneOrMany::Sequences { sequences } => sequences,
        }
    }
}

/// The cases of a built-in rule.
fn cases(dataset: &str, rule: &str) -> Cases {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let text = std::fs::read_to_string(root.join(format!("{dataset}/{rule}.cases.yml"))).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, |settings| {
        settings.detection.lateness_minutes = 60 * 24 * 7;
    })
    .await;
    hub.connect(&sandbox).await;
    // Everyone that the cases speak of is somebody.
    for name in ["ana.silva", "root.admin"] {
        let email = format!("{name}@corp.example");
        sandbox.world().access_user_add(&email, name);
    }
    hub.sync().await;
    // The cases lie around the 20th of November.
    hub.clock.advance(TimeDelta::days(2));
    (sandbox, hub)
}

async fn detections(hub: &Hub, rule: &str) -> Vec<DetectionRow> {
    let filter = DetectionFilter {
        rule_name: Some(rule.to_owned()),
        limit: 1_000,
        ..DetectionFilter::default()
    };
    hub.app.store.detection_list(&filter).await.unwrap()
}

/// Which dataset a record of a rule's cases is of.
fn dataset_of(rule: &BookRule, event: &Value) -> &'static str {
    match rule.datasets().as_slice() {
        [only] => only.name,
        _ => {
            rules::dataset_of(event.as_object().unwrap().keys().map(String::as_str))
                .unwrap()
                .name
        }
    }
}

#[tokio::test]
async fn every_built_in_rule_finds_what_its_cases_say() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        // The cases of all rules lie in one stretch of time, in no order.
        let hub = Hub::start_in(scratch, folder, |settings| {
            settings.detection.lateness_minutes = 60 * 24 * 400;
        })
        .await;
        hub.connect(&sandbox).await;
        let book = hub.app.rules();
        assert!(book.rules().len() >= 90, "{}", book.rules().len());
        // Everyone that the cases speak of is somebody, and somebody else for each.
        let address = |rule: &BookRule, kind: &str| format!("ana.{}.{kind}@corp.example", rule.name);
        for rule in book.rules() {
            for kind in ["fires", "silent"] {
                sandbox.world().access_user_add(&address(rule, kind), "Ana");
            }
        }
        hub.sync().await;
        hub.clock.advance(TimeDelta::days(2));
        for rule in book.rules() {
            let folder = rule.file.split('/').next().unwrap();
            let Cases { fires, silent } = cases(folder, &rule.name);
            let (fires, silent) = (fires.sequences(), silent.sequences());
            assert!(!fires.is_empty() && !silent.is_empty(), "{}", rule.name);
            for (kind, sequence) in [("silent", &silent[0]), ("fires", &fires[0])] {
                let before = detections(&hub, &rule.name).await.len();
                for (number, event) in sequence.events.iter().enumerate() {
                    let dataset = dataset_of(rule, event);
                    let text = event
                        .to_string()
                        .replace("ana.silva@corp.example", &address(rule, kind));
                    let mut event: Value = serde_json::from_str(&text).unwrap();
                    // Each case is an event of its own, also where several share a key.
                    let key = rules::Dataset::named(dataset).unwrap().key;
                    let id = key.get(usize::from(dataset == "casb_findings"));
                    if let Some(Value::String(text)) = id.and_then(|id| event.get_mut(*id)) {
                        // Of posture results the key is the device, by which rules group.
                        let number = if dataset == "device_posture_results" {
                            0
                        } else {
                            number
                        };
                        text.push_str(&format!("{}{kind}{number}", rule.name));
                    }
                    hub.happen(dataset, &[event]).await;
                }
                let found = detections(&hub, &rule.name).await;
                let is_more = found.len() > before;
                assert_eq!(
                    is_more,
                    kind == "fires",
                    "{} {kind}: {}",
                    rule.name,
                    sequence.name
                );
            }
        }
        let rejects = hub.app.store.reject_list(None, 10).await.unwrap();
        assert!(rejects.is_empty(), "{rejects:?}");
    })
    .await;
}

#[tokio::test]
async fn a_journey_is_found_whichever_of_its_ends_comes_first() {
    let both = |cases: Cases| {
        let fires = cases
            .fires
            .sequences()
            .into_iter()
            .map(|sequence| (true, sequence));
        let silent = cases
            .silent
            .sequences()
            .into_iter()
            .map(|sequence| (false, sequence));
        fires.chain(silent).collect::<Vec<_>>()
    };
    for (number, (fires, sequence)) in both(cases("access_requests", "acc-travel"))
        .into_iter()
        .enumerate()
    {
        let found = std::sync::Mutex::new(BTreeSet::new());
        each(async |scratch| {
            let engine = scratch.store.engine_name();
            for order in ["as it happened", "backwards", "in one batch"] {
                let scratch = match engine {
                    "SQLite" => store::scratch::sqlite().await.unwrap(),
                    _ => store::scratch::stores().await.unwrap().pop().unwrap(),
                };
                let (_sandbox, hub) = ready(scratch).await;
                let mut events = sequence.events.clone();
                if order == "backwards" {
                    events.reverse();
                }
                if order == "in one batch" {
                    hub.happen("access_requests", &events).await;
                } else {
                    for event in events {
                        hub.happen("access_requests", &[event]).await;
                    }
                }
                let ids: BTreeSet<(String, Option<String>)> = detections(&hub, "acc-travel")
                    .await
                    .into_iter()
                    .map(|row| (row.at.to_rfc3339(), row.detail))
                    .collect();
                assert_eq!(!ids.is_empty(), fires, "{} {order}", sequence.name);
                found.lock().unwrap().insert(ids);
            }
        })
        .await;
        let found = found.into_inner().unwrap();
        assert_eq!(found.len(), 1, "case {number}, {}: {found:#?}", sequence.name);
    }
}

#[tokio::test]
async fn a_custom_rule_with_a_mistake_does_not_keep_the_others_from_running() {
    each(async |scratch| {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        let good = "title: Our own\nid: our-own\nname: our-own\nlogsource: {service: gateway_dns}\nlevel: low\n\
                    detection: {a: {QueryName|endswith: .daily.example}, condition: a}\n\
                    flareward: {behaviour: high_risk_domain}\n";
        std::fs::write(rules.join("own.yml"), good).unwrap();
        std::fs::write(rules.join("broken.yml"), "title: [").unwrap();
        std::fs::write(rules.join("unknown.yml"), good.replace("|endswith", "|sounds_like")).unwrap();
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start_in(scratch, folder, |_| {}).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        let book = hub.app.rules();
        let problems = &book.problems;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("broken.yml: "), "{problems:?}");
        assert!(problems[1].contains("sounds_like"), "{problems:?}");
        let event = serde_json::json!({ "Datetime": "2026-11-20T11:00:00Z", "QueryID": "q",
            "Email": "omar.said@tidewater.example", "QueryName": "news.daily.example" });
        hub.happen("gateway_dns", &[event]).await;
        assert_eq!(detections(&hub, "our-own").await.len(), 1);
        assert_eq!(hub.level("omar.said@tidewater.example").await, "low");
    })
    .await;
}
