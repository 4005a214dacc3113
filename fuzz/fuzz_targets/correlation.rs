//! The set of matches alone determines when a correlation fires; their order has no effect.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sigma::{Correlation, Document, Match, MatchValue, parse_documents};
use std::sync::LazyLock;

const RULES: usize = 3;

/// Every type with bounds of every form, with and without reminders.
static CORRELATIONS: LazyLock<Vec<Correlation>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (kind, condition) in [
        ("event_count", "{gte: 3}"),
        ("event_count", "{gt: 1, lt: 4}"),
        ("value_count", "{field: V, gte: 2}"),
        ("value_count", "{field: V, eq: 1}"),
        ("temporal", "{gte: 2}"),
        ("temporal", "a and not (b or c)"),
        ("temporal_ordered", "{gte: 3}"),
        ("value_sum", "{field: V, gte: 10}"),
        ("value_avg", "{field: V, lte: 2}"),
        ("value_percentile", "{field: V, percentile: 90, gt: 3}"),
    ] {
        for custom in ["", "flareward: {suppress: 1m}\n"] {
            let text = format!(
                "title: t\n{custom}correlation: {{type: {kind}, rules: [a, b, c], group-by: [u], timespan: 1m, condition: {condition}}}"
            );
            let Ok(mut read) = parse_documents(&text) else { continue };
            if let Some(Document::Correlation(correlation)) = read.pop() {
                all.push(*correlation);
            }
        }
    }
    assert!(all.len() >= 10, "{}", all.len());
    all
});

#[derive(Debug, Arbitrary)]
struct Given {
    far: Option<i64>,
    seconds: u8,
    part: u8,
    id: u8,
    value: Found,
}

#[derive(Debug, Arbitrary)]
enum Found {
    None,
    Digest(u8),
    Half(i8),
    Any(f64),
}

fuzz_target!(|data: &[u8]| {
    let mut from = Unstructured::new(data);
    let Ok(which) = from.arbitrary::<u8>() else { return };
    let Ok(given) = from.arbitrary::<Vec<Given>>() else { return };
    let correlation = &CORRELATIONS[usize::from(which) % CORRELATIONS.len()];
    let mut matches: Vec<Match> = given
        .iter()
        .map(|one| Match {
            at_ns: one.far.unwrap_or(i64::from(one.seconds) * 1_000_000_000),
            part: usize::from(one.part) % RULES,
            id: u128::from(one.id),
            value: match one.value {
                Found::None => None,
                Found::Digest(digest) => Some(MatchValue::Digest(digest.into())),
                Found::Half(halves) => Some(MatchValue::Number(f64::from(halves) / 2.0)),
                Found::Any(number) => Some(MatchValue::Number(number)),
            },
        })
        .collect();
    let mut turned: Vec<Match> = matches.iter().rev().cloned().collect();
    let mut mixed: Vec<Match> = matches.iter().skip(1).step_by(2).chain(matches.iter().step_by(2)).cloned().collect();
    let firings = correlation.firings(&mut matches);
    let told = |firings: &[sigma::Firing]| format!("{firings:?}");
    assert_eq!(told(&firings), told(&correlation.firings(&mut turned)));
    assert_eq!(told(&firings), told(&correlation.firings(&mut mixed)));
    for firing in &firings {
        assert!(firing.first <= firing.last && matches[firing.last].id == firing.id);
    }
});
