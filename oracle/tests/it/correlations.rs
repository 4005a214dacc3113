//! When correlations fire, for events in order.
//!
//! rsigma reports every event at which a condition is true; Flareward reports where it becomes true. The test converts
//! the first to the second, so that it compares every firing and not only the first of a group.

use crate::{EVENTS, runner};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};
use serde_json::{Value, json};
use sigma::{Collection, Match, MatchValue, Placeholders, parse_documents};
use std::cell::Cell;
use std::collections::BTreeMap;

const SPAN_S: i64 = 60;

/// Seconds since the previous event, and the event's fields.
fn event() -> impl Strategy<Value = (i64, Value)> {
    let gap = prop_oneof![4 => 0_i64..25, 1 => prop::sample::select(vec![59_i64, 60, 61, 120])];
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    (
        gap,
        word(&["ana", "bo"]),
        word(&["x", "y", "z", "w"]),
        word(&["a", "a", "b"]),
    )
        .prop_map(|(gap, user, value, kind)| (gap, json!({"User": user, "V": value, "A": kind})))
}

fn bounds() -> impl Strategy<Value = Value> {
    let one = prop::sample::select(vec!["gt", "gte", "lt", "lte", "eq"]);
    prop_oneof![
        4 => (one, 1_i64..5).prop_map(|(bound, number)| json!({bound: number})),
        1 => (1_i64..3, 1_i64..3).prop_map(|(from, more)| json!({"gte": from, "lte": from + more})),
    ]
}

/// Group and time of each of our firings.
fn ours(text: &str, events: &[(i64, Value)]) -> Vec<(String, i64)> {
    let documents = parse_documents(text).unwrap();
    let documents = documents
        .into_iter()
        .map(|document| (String::new(), document))
        .collect();
    let collection = Collection::build(documents, &Placeholders::none());
    assert!(collection.problems.is_empty(), "{:?}", collection.problems);
    let correlation = &collection.correlations[0].correlation;
    let mut groups: BTreeMap<String, Vec<Match>> = BTreeMap::new();
    for (id, (at, event)) in events.iter().enumerate() {
        if collection.rules[0].compiled.matches(event) {
            let text = |name: &str| event[name].as_str().unwrap();
            groups.entry(text("User").to_owned()).or_default().push(Match {
                at_ns: at * 1_000_000_000,
                part: 0,
                id: id as u128,
                value: Some(MatchValue::digest_of(text("V"))),
            });
        }
    }
    let mut fired: Vec<(u128, String, i64)> = Vec::new();
    for (user, mut matches) in groups {
        for firing in correlation.firings(&mut matches) {
            fired.push((firing.id, user.clone(), firing.at_ns / 1_000_000_000));
        }
    }
    fired.sort();
    fired.into_iter().map(|(_, user, at)| (user, at)).collect()
}

/// The same for rsigma's firings, of which only those are kept where the condition becomes true.
fn theirs(text: &str, events: &[(i64, Value)]) -> Vec<(String, i64)> {
    let mut engine = CorrelationEngine::new(CorrelationConfig::default());
    engine
        .add_collection(&rsigma_parser::parse_sigma_yaml(text).unwrap())
        .unwrap();
    let mut before: BTreeMap<String, (i64, bool)> = BTreeMap::new();
    let mut fired = Vec::new();
    for (at, event) in events {
        let results = engine.process_event_at(&JsonEvent::borrow(event), *at);
        if event["A"] != "a" {
            assert!(!results.iter().any(rsigma_eval::EvaluationResult::is_correlation));
            continue;
        }
        let user = event["User"].as_str().unwrap().to_owned();
        let holds = results.iter().any(rsigma_eval::EvaluationResult::is_correlation);
        let held = before
            .insert(user.clone(), (*at, holds))
            .is_some_and(|(last, held)| held && at - last <= SPAN_S);
        if holds && !held {
            fired.push((user, *at));
        }
    }
    fired
}

#[test]
fn counts_of_events_and_values_begin_to_hold_at_the_same_event() {
    let (pairs, mut runner) = runner();
    let (compared, firings) = (Cell::new(0_usize), Cell::new(0_usize));
    let cases = (
        any::<bool>(),
        bounds(),
        prop::collection::vec(event(), 4 * EVENTS),
    );
    let outcome = runner.run(&cases, |(counts_values, mut condition, mut events)| {
        let mut at = 1_767_600_000;
        for (gap, _) in &mut events {
            at += *gap;
            *gap = at;
        }
        // Theirs goes by arrival; ours puts matches of one time in order by value.
        events.sort_by_key(|(at, event)| {
            let MatchValue::Digest(digest) = MatchValue::digest_of(event["V"].as_str().unwrap()) else {
                unreachable!("a text has a digest")
            };
            (*at, digest)
        });
        let kind = if counts_values {
            "value_count"
        } else {
            "event_count"
        };
        if counts_values {
            condition["field"] = json!("V");
        }
        let base = json!({"title": "b", "name": "b", "id": "22222222-2222-4222-8222-222222222222",
            "logsource": {"service": "s"}, "detection": {"x": {"A": "a"}, "condition": "x"}});
        let correlation = json!({"title": "c", "name": "c", "correlation": {"type": kind, "rules": ["b"],
            "group-by": ["User"], "timespan": format!("{SPAN_S}s"), "condition": condition}});
        let text = format!("{base}\n---\n{correlation}");
        let (ours, theirs) = (ours(&text, &events), theirs(&text, &events));
        prop_assert_eq!(&ours, &theirs, "{} {:?}", text, events);
        compared.set(compared.get() + events.len());
        firings.set(firings.get() + ours.len());
        Ok::<(), TestCaseError>(())
    });
    println!("{} events, {} firings compared", compared.get(), firings.get());
    outcome.unwrap();
    assert!(firings.get() > pairs / 20, "{} firings", firings.get());
}
