//! The server and `rules run` find the same in the same records, whatever they are like.
//!
//! Logs of several datasets at random: repeats, other letter case, alike lines, damaged lines, envelopes, in batches that
//! are shuffled inside. Each batch is pushed to a hub, and is a file for the rules.

use crate::kit::{Hub, Kept, each, start, story};
use chrono::{DateTime, TimeDelta, Utc};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rules::book::RuleBook;
use rules::file_run::{self, Options, Totals};
use rules::normalise::read_time;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use store::DetectionFilter;

const RULES: &str = "
title: Lookup
name: d-lookup
logsource: {service: gateway_dns}
detection: {a: {QueryName|contains: shop}, condition: a}
---
title: Names
name: d-names
correlation: {type: value_count, rules: [d-lookup], group-by: [Email], timespan: 10m, condition: {field: QueryName, gte: 4}}
---
title: Spellings
name: d-spellings
correlation: {type: value_count, rules: [d-lookup], group-by: [Email], timespan: 10m, condition: {field: 'QueryName|cased', gte: 6}}
---
title: Often
name: d-often
correlation: {type: event_count, rules: [d-lookup], group-by: [QueryName], timespan: 5m, condition: {gte: 3}, generate: true}
flareward: {suppress: 20m}
---
title: Blocked
name: d-blocked
logsource: {service: gateway_network}
detection: {a: {Action: block, DestinationPort: 22}, condition: a}
---
title: Scan
name: d-scan
correlation: {type: event_count, rules: [d-blocked], group-by: [Email], timespan: 2m, condition: {gte: 4}, generate: true}
---
title: Posted
name: d-posted
logsource: {service: gateway_http}
detection: {a: {HTTPMethod: post}, b: {URL|re: '[?&]token=\\w+$'}, condition: a or b}
---
title: Sent
name: d-sent
correlation: {type: value_sum, rules: [d-posted], group-by: [person], timespan: 10m, condition: {field: UploadedBytes, gte: 400}, generate: true}
---
title: Lookup, then form
name: d-then
correlation: {type: temporal_ordered, rules: [d-lookup, d-posted], group-by: [person], timespan: 5m, generate: true}
---
title: Place
name: d-place
logsource: {service: access_requests}
detection: {a: {Action: login, Allowed: true}, condition: a}
flareward: {first_seen: {fields: [Country], days: 30, learning_days: 0}}
---
title: Journey
name: d-journey
logsource: {service: access_requests}
detection: {a: {Action: login, Allowed: true}, condition: a}
flareward: {travel: {speed_kmh: 900, distance_km: 500}}
---
title: Mail
name: d-mail
logsource: {service: email_security_alerts}
detection: {a: {FinalDisposition: malicious}, condition: a}
---
title: Mails
name: d-mails
correlation: {type: event_count, rules: [d-mail], group-by: [person], timespan: 30m, condition: {gte: 2}, generate: true}
";

const PEOPLE: [&str; 4] = [
    "ana@other.example",
    "Ana@Other.example",
    "bo@other.example",
    "CY@other.example",
];

fn one<'t>(random: &mut StdRng, of: &[&'t str]) -> &'t str {
    of.choose(random).unwrap()
}

/// A record of a dataset.
fn record(random: &mut StdRng, dataset: &str, number: usize, at: DateTime<Utc>) -> Value {
    let who = *PEOPLE.choose(random).unwrap();
    let at = match random.random_range(0..4) {
        0 => json!(at.timestamp_nanos_opt().unwrap()),
        1 => json!(at.timestamp_millis().to_string()),
        _ => json!(at.to_rfc3339()),
    };
    let spelled = |random: &mut StdRng, name: &str| -> String {
        name.chars()
            .map(|c| {
                if random.random_bool(0.2) {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect()
    };
    match dataset {
        "gateway_dns" => {
            let host = format!(
                "h{}.{}.example",
                random.random_range(0..5),
                ["shop", "news"].choose(random).unwrap()
            );
            json!({ "Datetime": at, "QueryID": format!("q{number}"), "QueryName": spelled(random, &host), "QueryTypeName": "A",
                "Email": who, "RCode": 0 })
        }
        "gateway_network" => {
            json!({ "Datetime": at, "Email": who, "Action": one(random, &["block", "Block", "allow"]),
            "DestinationIP": "203.0.113.5", "DestinationPort": 22, "TransportProtocol": "tcp", "SourceIP": "10.0.0.1" })
        }
        "gateway_http" => {
            json!({ "Datetime": at, "RequestID": format!("r{number}"), "SessionID": "s", "Email": who,
            "HTTPHost": "x.example", "HTTPMethod": one(random, &["GET", "POST"]),
            "URL": one(random, &["https://x.example/?token=ab_1", "https://x.example/"]),
            "UploadedBytes": number % 170 })
        }
        "access_requests" => {
            json!({ "CreatedAt": at, "RayID": format!("y{number}"), "Email": who, "Action": "login",
            "Allowed": random.random_bool(0.8), "AppDomain": "wiki.corp.example", "AppUUID": "u",
            "Country": one(random, &["de", "DE", "fr", "XX", "t1", "SG", "br"]) })
        }
        _ => {
            json!({ "Timestamp": at, "AlertID": format!("m{number}"), "Subject": "x", "SMTPHeloServerIP": "192.0.2.1",
            "To": PEOPLE[..random.random_range(1..4)], "FinalDisposition": one(random, &["MALICIOUS", "spam"]) })
        }
    }
}

/// The line that a record is written as: nearly always itself.
fn written(random: &mut StdRng, record: &Value, time: &str) -> String {
    let line = record.to_string();
    let with = |field: &str| line.replacen('{', &format!("{{{field},"), 1);
    match random.random_range(0..40) {
        0 => line[..line.len() / 2].to_owned(),
        1 => with(r#""Note":"half \ud83d""#),
        2 => with(r#""Note":1e999"#),
        3 => with("\"Note\":\"a\tb\""),
        4 => format!("{{\"info\":{line}}}"),
        5 => format!("[{line}]"),
        6 => line.replacen(time, "Elsewhen", 1),
        7 => line.replacen(&record[time].to_string(), "\"2099-01-01T00:00:00Z\"", 1),
        8 => "not a record".to_owned(),
        9 => format!("{line}\n{line}"),
        _ => line,
    }
}

/// Batches of lines, each with its dataset, in order of time.
fn batches(seed: u64) -> Vec<(&'static str, String)> {
    const DATASETS: [(&str, &str); 5] = [
        ("gateway_dns", "Datetime"),
        ("gateway_network", "Datetime"),
        ("gateway_http", "Datetime"),
        ("access_requests", "CreatedAt"),
        ("email_security_alerts", "Timestamp"),
    ];
    let mut random = StdRng::seed_from_u64(seed);
    let mut batches = Vec::new();
    let mut earlier: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut number = 0;
    for round in 0..6 {
        for (dataset, time) in DATASETS {
            let begin = start() - TimeDelta::hours(2) + TimeDelta::minutes(4 * round);
            let mut lines = Vec::new();
            for _ in 0..random.random_range(5..14) {
                number += 1;
                let at = begin + TimeDelta::milliseconds(random.random_range(0..240_000) / 500 * 500);
                let record = record(&mut random, dataset, number, at);
                lines.push(written(&mut random, &record, time));
                earlier.entry(dataset).or_default().push(record);
            }
            // Some come again; those without a key are others then.
            if let Some(again) = earlier[dataset].choose(&mut random) {
                lines.push(again.to_string());
            }
            lines.shuffle(&mut random);
            let mark = if random.random_bool(0.2) { "\u{feff}" } else { "" };
            batches.push((dataset, format!("{mark}{}\n", lines.join("\n"))));
        }
    }
    batches
}

/// What was found: of rules about single events how often; of others each firing by its group and time.
#[derive(Debug, Default, PartialEq)]
struct Found {
    single: BTreeMap<String, i64>,
    fired: BTreeMap<(String, String, DateTime<Utc>), i64>,
}

fn over_files(book: &RuleBook, batches: &[(&str, String)]) -> (Found, Totals) {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = batches
        .iter()
        .enumerate()
        .map(|(number, (_, text))| {
            let path = folder.path().join(format!("{number}.ndjson"));
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let kept = Kept::default();
    let out: Mutex<Box<dyn Write + Send>> = Mutex::new(Box::new(kept.clone()));
    let options = Options {
        dataset: None,
        matches: Some(&out),
        threads: 2,
        now: start(),
        progress: &|_| {},
    };
    let totals = file_run::run(book, &files, options).unwrap();
    let mut found = Found::default();
    let bytes = kept.0.lock().unwrap().clone();
    for line in String::from_utf8(bytes).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let rule = line["rule"].as_str().unwrap().to_owned();
        let Some(group) = line["correlation"]["group"].as_object() else {
            *found.single.entry(rule).or_default() += 1;
            continue;
        };
        let group: Vec<String> = group
            .values()
            .map(|value| sigma::fold(value.as_str().unwrap()).into_owned())
            .collect();
        let event = &line["event"];
        let time = ["Datetime", "CreatedAt", "Timestamp"]
            .iter()
            .find_map(|name| read_time(event.get(name)?));
        let key = (rule, group.join(" "), time.unwrap());
        *found.fired.entry(key).or_default() += line["correlation"]["count"].as_i64().unwrap();
    }
    (found, totals)
}

async fn over_server(hub: &Hub, book: &RuleBook, batches: &[(&str, String)]) -> Found {
    for (dataset, text) in batches {
        hub.receive(dataset, text.clone()).await.unwrap();
        hub.pipeline().await;
    }
    let mut found = Found::default();
    for rule in book.rules() {
        let filter = DetectionFilter {
            rule_name: Some(rule.name.clone()),
            limit: 1_000,
            ..DetectionFilter::default()
        };
        for row in hub.app.store.detection_list(&filter).await.unwrap() {
            if !rule.is_stateful() {
                *found.single.entry(rule.name.clone()).or_default() += row.matches;
                continue;
            }
            let group: Vec<String> = serde_json::from_str(&row.group_key.unwrap()).unwrap();
            let key = (rule.name.clone(), group.join(" "), row.at);
            *found.fired.entry(key).or_default() += row.matches;
        }
    }
    found
}

#[tokio::test]
async fn the_server_and_rules_over_files_find_the_same() {
    let (mut records, mut matches, mut firings) = (0, 0, 0);
    for seed in 0..4_u64 {
        let batches = batches(seed);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yml"), RULES).unwrap();
        let book = RuleBook::of_folder(folder.path());
        assert_eq!(book.problems, Vec::<String>::new());
        let (expected, totals) = over_files(&book, &batches);
        records += totals.events;
        matches += expected.single.values().sum::<i64>();
        firings += expected.fired.len();
        assert!(
            totals.repaired > 0 && totals.rejected > 0 && totals.repeated > 0,
            "{totals:?}"
        );
        each(async |scratch| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("rules")).unwrap();
            std::fs::write(folder.path().join("rules/ours.yml"), RULES).unwrap();
            let sandbox = Sandbox::start(story()).await.unwrap();
            let hub = Hub::start_in(scratch, folder, |_| {}).await;
            hub.connect(&sandbox).await;
            let found = over_server(&hub, &book, &batches).await;
            assert_eq!(found.single, expected.single, "seed {seed}");
            let differ = |left: &Found, right: &Found| -> Vec<String> {
                let lacks = left
                    .fired
                    .iter()
                    .filter(|(key, count)| right.fired.get(*key) != Some(*count));
                lacks.map(|one| format!("{one:?}")).collect()
            };
            assert_eq!(
                differ(&found, &expected),
                differ(&expected, &found),
                "seed {seed}"
            );
        })
        .await;
    }
    println!("{records} records: {matches} matches and {firings} firings, the same on both ways");
    assert!(matches > 200 && firings > 60, "{matches} {firings}");
}
