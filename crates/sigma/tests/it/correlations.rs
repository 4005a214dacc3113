//! When correlations fire: each type, at the boundaries, and for any order of the matches.

#![expect(clippy::unwrap_used, reason = "a document that is not read is a failure")]

use proptest::prelude::*;
use sigma::{Collection, Correlation, Document, Match, MatchValue, PartOf, Placeholders, parse_documents};

const SECOND: i64 = 1_000_000_000;

fn correlation(body: &str) -> Correlation {
    let text = format!("title: t\nname: c\ncorrelation:\n{body}");
    match parse_documents(&text).unwrap().remove(0) {
        Document::Correlation(correlation) => *correlation,
        other => panic!("{other:?}"),
    }
}

fn matched(second: i64, part: usize, id: u128) -> Match {
    Match {
        at_ns: second * SECOND,
        part,
        id,
        value: None,
    }
}

/// The seconds at which the correlation fires, with what it compared.
fn firings(correlation: &Correlation, matches: &[Match]) -> Vec<(i64, f64)> {
    correlation
        .firings(&mut matches.to_vec())
        .into_iter()
        .map(|firing| (firing.at_ns / SECOND, firing.value))
        .collect()
}

fn at(seconds: &[i64]) -> Vec<Match> {
    (0..)
        .zip(seconds)
        .map(|(id, second)| matched(*second, 0, id))
        .collect()
}

#[test]
fn a_count_fires_where_it_begins_to_hold_and_again_after_it_fell() {
    let three = correlation("  type: event_count\n  rules: [a]\n  timespan: 10s\n  condition: {gte: 3}");
    for (seconds, expected) in [
        (vec![0, 1, 2], vec![2]),
        (vec![0, 1, 2, 3, 4, 5], vec![2]),
        // Both ends of the window count.
        (vec![0, 5, 10], vec![10]),
        (vec![0, 5, 11], vec![]),
        // It holds at every match, so it began once.
        (vec![0, 5, 10, 15, 20, 25], vec![10]),
        // It fell in between: a match saw fewer than three.
        (vec![0, 1, 2, 20, 21, 22], vec![2, 22]),
        // An empty window ends what held, also when the next match would hold by itself.
        (vec![0, 0, 0, 60, 60, 60], vec![0, 60]),
        (vec![7, 7, 7], vec![7]),
    ] {
        let found: Vec<i64> = firings(&three, &at(&seconds))
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(found, expected, "{seconds:?}");
    }
    let one = correlation("  type: event_count\n  rules: [a]\n  timespan: 10s\n  condition: {gte: 1}");
    let found: Vec<i64> = firings(&one, &at(&[0, 5, 30]))
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(found, [0, 30]);
}

#[test]
fn bounds_may_be_combined() {
    let some = correlation("  type: event_count\n  rules: [a]\n  timespan: 1m\n  condition: {gt: 1, lte: 3}");
    let found = firings(&some, &at(&[0, 1, 2, 3, 4, 200, 201]));
    assert_eq!(found, [(1, 2.0), (201, 2.0)]);
}

#[test]
fn what_holds_on_is_reported_again_only_when_that_is_asked() {
    let body = "  type: event_count\n  rules: [a]\n  timespan: 10s\n  condition: {gte: 2}\n";
    let matches = at(&(0..100).step_by(5).collect::<Vec<_>>());
    assert_eq!(firings(&correlation(body), &matches).len(), 1);
    let reminded = correlation(&format!("{body}flareward: {{suppress: 30s}}"));
    let found: Vec<i64> = firings(&reminded, &matches)
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(found, [5, 35, 65, 95]);
}

#[test]
fn values_are_counted_summed_averaged_and_ranked() {
    let with = |values: &[(i64, MatchValue)]| -> Vec<Match> {
        (0..)
            .zip(values)
            .map(|(id, (second, value))| Match {
                value: Some(*value),
                ..matched(*second, 0, id)
            })
            .collect()
    };
    let word = MatchValue::digest_of;
    let count =
        correlation("  type: value_count\n  rules: [a]\n  timespan: 10s\n  condition: {field: x, gte: 3}");
    let words = with(&[
        (0, word("a")),
        (1, word("b")),
        (2, word("a")),
        (9, word("c")),
        (12, word("d")),
    ]);
    assert_eq!(firings(&count, &words), [(9, 3.0)]);
    let number = MatchValue::Number;
    let numbers = with(&[
        (0, number(10.0)),
        (1, number(0.5)),
        (2, number(30.0)),
        (20, number(4.0)),
        (21, number(8.0)),
    ]);
    let of = |body: &str| {
        firings(
            &correlation(&format!("{body}\n  rules: [a]\n  timespan: 10s")),
            &numbers,
        )
    };
    assert_eq!(
        of("  type: value_sum\n  condition: {field: x, gt: 40}"),
        [(2, 40.5)]
    );
    assert_eq!(
        of("  type: value_avg\n  condition: {field: x, lte: 6}"),
        [(1, 5.25), (20, 4.0)]
    );
    assert_eq!(
        of("  type: value_percentile\n  condition: {field: x, percentile: 50, gt: 5}"),
        [(0, 10.0), (21, 6.0)]
    );
}

#[test]
fn more_values_than_are_counted_one_by_one_are_estimated_and_say_so() {
    let many =
        correlation("  type: value_count\n  rules: [a]\n  timespan: 1h\n  condition: {field: x, gte: 50000}");
    let mut matches: Vec<Match> = (0..60_000_u32)
        .map(|n| Match {
            value: Some(MatchValue::digest_of(&n.to_string())),
            ..matched(1, 0, n.into())
        })
        .collect();
    let firings = many.firings(&mut matches);
    assert_eq!(firings.len(), 1);
    assert!(firings[0].is_estimate);
    let exact = firings[0].last as f64;
    assert!((45_000.0..55_000.0).contains(&exact), "{exact}");
}

#[test]
fn different_rules_count_in_any_order_or_in_one() {
    let any = correlation("  type: temporal\n  rules: [a, b, c]\n  timespan: 10s");
    let ordered = correlation("  type: temporal_ordered\n  rules: [a, b, c]\n  timespan: 10s");
    for (parts, temporal, in_order) in [
        (vec![(0, 0), (1, 1), (2, 2)], vec![2], vec![2]),
        (vec![(0, 2), (1, 1), (2, 0)], vec![2], vec![]),
        // At the same time counts as one after the other.
        (vec![(5, 0), (5, 1), (5, 2)], vec![5], vec![5]),
        // The last of the three decides; an early `b` does not help.
        (vec![(0, 1), (1, 0), (2, 2), (3, 1), (4, 2)], vec![2], vec![4]),
        // The chain must lie inside the timespan.
        (vec![(0, 0), (6, 1), (11, 2)], vec![], vec![]),
        (vec![(0, 0), (6, 1), (7, 0), (8, 1), (11, 2)], vec![11], vec![11]),
    ] {
        let matches: Vec<Match> = (0..)
            .zip(&parts)
            .map(|(id, (second, part))| matched(*second, *part, id))
            .collect();
        let seconds = |correlation| -> Vec<i64> {
            firings(correlation, &matches)
                .into_iter()
                .map(|(at, _)| at)
                .collect()
        };
        assert_eq!(seconds(&any), temporal, "{parts:?}");
        assert_eq!(seconds(&ordered), in_order, "{parts:?}");
    }
    let two = correlation("  type: temporal\n  rules: [a, b, c]\n  timespan: 10s\n  condition: {gte: 2}");
    assert_eq!(firings(&two, &[matched(0, 0, 0), matched(1, 2, 1)]), [(1, 2.0)]);
    let worded = correlation("  type: temporal\n  timespan: 10s\n  condition: a and (b or not c)");
    assert_eq!(worded.rules, ["a", "b", "c"]);
    assert_eq!(
        firings(&worded, &[matched(0, 2, 0), matched(1, 0, 1), matched(2, 1, 2)]),
        [(2, 3.0)]
    );
    let named = correlation("  type: temporal_ordered\n  timespan: 10s\n  condition: b and a");
    assert_eq!(named.rules, ["b", "a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_matches_come_makes_no_difference(
        mut matches in prop::collection::vec((0_i64..40, 0_usize..3, 0_u64..5), 0..40),
        kind in 0_usize..7,
        limit in 1_u32..6,
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..40),
    ) {
        let kinds = [
            "event_count", "temporal", "temporal_ordered", "value_count", "value_sum", "value_avg", "value_percentile",
        ];
        let field = match kind {
            0..=2 => "",
            6 => "field: x, percentile: 75, ",
            _ => "field: x, ",
        };
        let correlation = correlation(&format!(
            "  type: {}\n  rules: [a, b, c]\n  timespan: 10s\n  condition: {{{field}gte: {limit}}}", kinds[kind]
        ));
        matches.sort_unstable();
        matches.dedup();
        let ordered: Vec<Match> = (0..)
            .zip(&matches)
            .map(|(id, (second, part, value))| Match {
                value: match kind {
                    0..=2 => None,
                    3 => Some(MatchValue::Digest(*value)),
                    _ => Some(MatchValue::Number(*value as f64 / 2.0)),
                },
                ..matched(*second, *part, id)
            })
            .collect();
        let mut shuffled = ordered.clone();
        if !shuffled.is_empty() {
            for (left, right) in swaps {
                let (left, right) = (left.index(shuffled.len()), right.index(shuffled.len()));
                shuffled.swap(left, right);
            }
        }
        let expected = correlation.firings(&mut ordered.clone());
        prop_assert_eq!(&correlation.firings(&mut shuffled), &expected);
        // A second way of counting: every match looks at all others.
        prop_assert_eq!(expected.iter().map(|firing| firing.id).collect::<Vec<_>>(), plainly(&correlation, &ordered, limit, kind));
    }
}

/// Firings by looking at all matches for each match.
fn plainly(_: &Correlation, matches: &[Match], limit: u32, kind: usize) -> Vec<u128> {
    let number = |one: &Match| match one.value {
        Some(MatchValue::Number(number)) => number,
        _ => 0.0,
    };
    let mut fired = Vec::new();
    let mut held: Option<i64> = None;
    for (place, one) in matches.iter().enumerate() {
        let window: Vec<&Match> = matches[..=place]
            .iter()
            .filter(|other| one.at_ns - other.at_ns <= 10 * SECOND)
            .collect();
        let value = match kind {
            0 => window.len() as f64,
            1 => (0..3)
                .filter(|part| window.iter().any(|other| other.part == *part))
                .count() as f64,
            2 => {
                let chain = |parts: &[usize]| {
                    let mut wanted = parts.iter();
                    let mut next = wanted.next();
                    for other in &window {
                        if next == Some(&other.part) {
                            next = wanted.next();
                        }
                    }
                    next.is_none()
                };
                let chains: [(&[usize], f64); 7] = [
                    (&[0, 1, 2], 3.0),
                    (&[0, 1], 2.0),
                    (&[0, 2], 2.0),
                    (&[1, 2], 2.0),
                    (&[0], 1.0),
                    (&[1], 1.0),
                    (&[2], 1.0),
                ];
                chains
                    .iter()
                    .find(|(parts, _)| chain(parts))
                    .map_or(0.0, |(_, length)| *length)
            }
            3 => {
                let mut values: Vec<String> =
                    window.iter().map(|other| format!("{:?}", other.value)).collect();
                values.sort();
                values.dedup();
                values.len() as f64
            }
            4 => window.iter().map(|other| number(other)).sum(),
            5 => window.iter().map(|other| number(other)).sum::<f64>() / window.len() as f64,
            _ => {
                let mut values: Vec<f64> = window.iter().map(|other| number(other)).collect();
                values.sort_by(f64::total_cmp);
                let rank = 0.75 * (values.len() - 1) as f64;
                let below = values[rank.floor() as usize];
                below + (values[rank.ceil() as usize] - below) * rank.fract()
            }
        };
        let holds = value >= f64::from(limit);
        let held_on = held.is_some_and(|last| one.at_ns - last <= 10 * SECOND);
        if holds && !held_on {
            fired.push(one.id);
        }
        held = holds.then_some(one.at_ns);
    }
    fired
}

#[test]
fn what_a_correlation_asks_that_cannot_be_given_is_refused() {
    for (body, reason) in [
        (
            "{type: event_count, timespan: 1m, condition: {gte: 1}}",
            "lists 0 rules",
        ),
        (
            "{type: events, rules: [a], timespan: 1m, condition: {gte: 1}}",
            "`correlation.type`",
        ),
        ("{type: event_count, rules: [a], condition: {gte: 1}}", "timespan"),
        (
            "{type: event_count, rules: [a], timespan: 5 minutes, condition: {gte: 1}}",
            "timespan",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1y, condition: {gte: 1}}",
            "timespan",
        ),
        (
            "{type: event_count, rules: [a], timespan: 400d, condition: {gte: 1}}",
            "timespan",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m}",
            "`correlation.condition` is missing",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m, condition: {above: 1}}",
            "`above`",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m, condition: {gte: many}}",
            "not a number",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m, condition: {field: x, gte: 1}}",
            "does not use a field",
        ),
        (
            "{type: value_sum, rules: [a], timespan: 1m, condition: {gte: 1}}",
            "has no field",
        ),
        (
            "{type: value_sum, rules: [a], timespan: 1m, condition: {field: [x, y], gte: 1}}",
            "several fields",
        ),
        (
            "{type: value_percentile, rules: [a], timespan: 1m, condition: {field: x, gte: 1}}",
            "`percentile`",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m, condition: a and b}",
            "textual condition",
        ),
        (
            "{type: temporal_ordered, timespan: 1m, condition: a or b}",
            "`and`",
        ),
        (
            "{type: event_count, rules: [a, a], timespan: 1m, condition: {gte: 1}}",
            "twice",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m, window: 2, condition: {gte: 1}}",
            "`window`",
        ),
        (
            "{type: event_count, rules: [a], timespan: 1m, aliases: {u: {z: F}}, condition: {gte: 1}}",
            "`u`",
        ),
    ] {
        let text = format!("title: t\ncorrelation: {body}");
        let error = parse_documents(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{body}: {error}");
    }
}

const BASES: &str = "
title: one
name: one
logsource: {service: s}
detection: {a: {A: 1}, condition: a}
---
title: two
id: 22222222-2222-4222-8222-222222222222
logsource: {service: s}
detection: {a: {A: 2}, condition: a}
---
";

fn collected(text: &str) -> Collection {
    let documents = parse_documents(&format!("{BASES}{text}")).unwrap();
    Collection::build(
        documents
            .into_iter()
            .map(|document| ("file".to_owned(), document))
            .collect(),
        &Placeholders::none(),
    )
}

#[test]
fn correlations_are_tied_to_their_rules_by_name_or_id() {
    let collection = collected(
        "title: outer\ncorrelation: {type: temporal_ordered, rules: [inner, one], group-by: [U], timespan: 1h}\n---\n\
         title: inner\nname: inner\ncorrelation: {type: event_count, rules: [22222222-2222-4222-8222-222222222222], \
         group-by: [U, D], timespan: 1m, condition: {gte: 5}}\n",
    );
    assert_eq!(collection.problems, []);
    let names: Vec<&str> = collection
        .correlations
        .iter()
        .map(|one| one.correlation.header.title.as_str())
        .collect();
    assert_eq!(names, ["inner", "outer"]);
    assert_eq!(collection.correlations[1].parts[0].of, PartOf::Correlation(0));
    assert!(!collection.correlations[0].is_reported && collection.correlations[1].is_reported);
    assert!(collection.rules.iter().all(|rule| !rule.is_reported));
    let shown = collected(
        "title: c\ncorrelation: {type: event_count, rules: [one], timespan: 1m, condition: {gte: 5}, generate: true}",
    );
    assert!(shown.rules.iter().all(|rule| rule.is_reported));
}

#[test]
fn what_a_document_refers_to_must_be_there() {
    for (text, reason) in [
        (
            "title: c\ncorrelation: {type: event_count, rules: [three], timespan: 1m, condition: {gte: 5}}",
            "three",
        ),
        (
            "title: c\nname: c\ncorrelation: {type: temporal, rules: [c, one], timespan: 1m}",
            "refers to itself",
        ),
        (
            "title: in\nname: in\ncorrelation: {type: event_count, rules: [one], timespan: 1m, condition: {gte: 5}}\n---\n\
             title: out\ncorrelation: {type: temporal, rules: [in, one], group-by: [U], timespan: 1m}",
            "does not group by U",
        ),
        (
            "title: c\ncorrelation: {type: temporal, rules: [one, 22222222-2222-4222-8222-222222222222], group-by: [u], \
             aliases: {u: {one: A}}, timespan: 1m}",
            "the alias u",
        ),
        (
            "title: f\nfilter: {rules: [three], s: {A: 1}, condition: not s}",
            "three",
        ),
        (
            "title: f\nlogsource: {service: other}\nfilter: {rules: [one], s: {A: 1}, condition: not s}",
            "log source",
        ),
        (
            "title: again\nname: one\nlogsource: {service: s}\ndetection: {a: {A: 1}, condition: a}",
            "name one",
        ),
    ] {
        let collection = collected(text);
        assert_eq!(collection.problems.len(), 1, "{text}: {:?}", collection.problems);
        let problem = collection.problems[0].to_string();
        assert!(
            problem.starts_with("file: ") && problem.contains(reason),
            "{text}: {problem}"
        );
        assert_eq!(collection.rules.len(), 2, "{text}");
    }
}

#[test]
fn a_filter_narrows_the_rules_it_is_for() {
    let event = |who: &str| serde_json::json!({"A": 1, "U": who});
    for (target, narrowed) in [
        ("rules: [one], ", true),
        ("rules: any, ", true),
        ("", true),
        ("rules: [22222222-2222-4222-8222-222222222222], ", false),
    ] {
        let collection = collected(&format!(
            "title: Not the scanner\nlogsource: {{service: s}}\nfilter: {{{target}scanner: {{U: scan}}, condition: not scanner}}"
        ));
        assert_eq!(collection.problems, []);
        let one = &collection.rules[0].compiled;
        assert!(one.matches(&event("ana")));
        assert_eq!(one.matches(&event("scan")), !narrowed, "{target}");
        assert_eq!(one.explain(&event("scan")).matched, !narrowed, "{target}");
    }
}

#[test]
fn rules_are_named_by_uuids_however_those_are_spelled() {
    let documents = parse_documents(
        "title: One\nid: 5D7B7A7E-3D0C-4C7F-9F43-0F3F7F5B2A11\nlogsource: {service: s}\ndetection: {a: {A: 1}, condition: a}\n---\n\
         title: Two\nid: 61e95400-0000-4000-8000-000000000001\nlogsource: {service: s}\ndetection: {a: {A: 2}, condition: a}\n---\n\
         title: Both\ncorrelation:\n  type: temporal\n  timespan: 1m\n  rules: ['{5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a11}', \
         61E95400-0000-4000-8000-000000000001]\n  group-by: [who]\n  aliases:\n    who:\n      \
         5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a11: User\n      61e95400-0000-4000-8000-000000000001: Name\n---\n\
         title: Not\nfilter: {rules: [5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a11], a: {B: 1}, condition: not a}\n",
    )
    .unwrap();
    let named = documents
        .into_iter()
        .map(|document| (String::new(), document))
        .collect();
    let collection = sigma::Collection::build(named, &sigma::Placeholders::none());
    assert_eq!(collection.problems, []);
    let keys: Vec<&str> = collection.correlations[0]
        .parts
        .iter()
        .map(|part| part.key[0].as_str())
        .collect();
    assert_eq!(keys, ["User", "Name"]);
    assert!(collection.find("5d7b7a7e3d0c4c7f9f430f3f7f5b2a11").is_some());
}
