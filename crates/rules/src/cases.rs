//! Test cases of rules: records, or sequences of records, on which a rule fires or stays silent. `flareward rules
//! test`.
//!
//! They are in `NAME.cases.yml` next to a rule's file. The production code evaluates them offline. docs/rules.md
//! describes their format.

use super::detector::DetectorScratch;
use super::firing::fire;
use super::matches::Groups;
use crate::book::{BookRule, RuleBook, words};
use crate::{Dataset, dataset_of};
use serde::Deserialize;
use serde_json::Value;
use sigma::PartOf;

/// The cases of one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// Cases in which it must fire.
    pub fires: Expectations,
    /// Cases in which it must not fire.
    pub silent: Expectations,
}

/// Single records, or sequences.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Expectations {
    /// Single records.
    Events(Vec<Case>),
    /// Several records together.
    #[expect(missing_docs, reason = "the sequences")]
    Sequences { sequences: Vec<Sequence> },
}

/// One record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The record.
    pub event: Value,
}

/// Several records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The records, each with a time and an identity.
    pub events: Vec<Value>,
}

/// A failed case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The expected result, and why it was not reached.
    pub reason: String,
}

/// Reads the cases of a rule.
///
/// # Errors
///
/// The problem with the text.
pub fn read(text: &str) -> Result<Cases, String> {
    let yaml = sigma::parse_yaml(text).map_err(|error| error.to_string())?;
    let record = yaml.map(|yaml| yaml.record()).unwrap_or_default();
    serde_json::from_value(record).map_err(|error| words::plain(&error))
}

/// Tests a rule with its cases. Returns the number of cases, and the failed ones.
pub fn judge(book: &RuleBook, rule: &BookRule, cases: &Cases) -> (usize, Vec<Failure>) {
    let mut count = 0;
    let mut failures = Vec::new();
    for (expectations, expected) in [(&cases.fires, true), (&cases.silent, false)] {
        let listed: Vec<(&str, Vec<&Value>)> = match expectations {
            Expectations::Events(events) => events
                .iter()
                .map(|case| (case.name.as_str(), vec![&case.event]))
                .collect(),
            Expectations::Sequences { sequences } => sequences
                .iter()
                .map(|sequence| (sequence.name.as_str(), sequence.events.iter().collect()))
                .collect(),
        };
        if listed.is_empty() {
            let word = if expected { "fires" } else { "silent" };
            failures.push(Failure {
                case: word.to_owned(),
                reason: "no test cases".to_owned(),
            });
        }
        for (name, events) in listed {
            count += 1;
            if let Err(reason) = judged(book, rule, &events, expected) {
                failures.push(Failure {
                    case: name.to_owned(),
                    reason,
                });
            }
        }
    }
    (count, failures)
}

fn judged(book: &RuleBook, rule: &BookRule, events: &[&Value], expected: bool) -> Result<(), String> {
    let mut groups = Groups::default();
    let mut fired = false;
    for (place, event) in events.iter().enumerate() {
        let dataset = dataset_for(rule, event);
        let mut scratch = DetectorScratch::default();
        let line = event.to_string();
        let name = dataset.map(|dataset| dataset.name);
        book.detector
            .look(name, line.as_bytes(), None, &mut scratch)
            .map_err(|error| format!("event {}: {error}", place + 1))?;
        let found = scratch.found;
        if let PartOf::Rule(own) = rule.source
            && !rule.is_stateful()
        {
            let matched = found.rules.contains(&own);
            let explained = rule.explain(event).matched;
            if matched != explained {
                return Err(format!(
                    "the matcher returned {matched} and the explanation {explained}: this is a bug in Flareward"
                ));
            }
            fired |= matched;
        }
        let Some(at_ns) = found.at_ns else { continue };
        for one in found.matches {
            groups.add(one, at_ns, place as u64);
        }
    }
    if rule.is_stateful() {
        fired = fire(&book.detector.watches, groups)
            .iter()
            .any(|firing| firing.reports == rule.source);
    }
    match (expected, fired) {
        (true, false) => Err("expected a match, got none".to_owned()),
        (false, true) => Err("expected no match, got one".to_owned()),
        _ => Ok(()),
    }
}

/// The dataset of a case's record: the rule's own; if it has several, the one that matches the record's fields.
fn dataset_for(rule: &BookRule, event: &Value) -> Option<&'static Dataset> {
    let datasets = rule.datasets();
    if let [only] = datasets.as_slice() {
        return Some(only);
    }
    dataset_of(event.as_object()?.keys().map(String::as_str))
}
