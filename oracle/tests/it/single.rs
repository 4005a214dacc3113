//! Rules about single events, with and without filters.

use crate::{EVENTS, runner};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rsigma_eval::{Engine, JsonEvent};
use serde_json::{Map, Value, json};
use sigma::{Collection, Matcher, Placeholders, Scratch, parse_documents};
use std::cell::Cell;

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["A", "B", "C", "D.E"]).prop_map(ToOwned::to_owned)
}

fn texts(pattern: &'static str) -> BoxedStrategy<Value> {
    pattern.prop_map(Value::from).boxed()
}

/// Modifiers with values for the rules that they can be used with. The alphabet is small, so that many texts match.
fn item() -> impl Strategy<Value = (String, Value)> {
    let family = |modifiers: &'static [&'static str], value: BoxedStrategy<Value>| {
        (prop::sample::select(modifiers), value)
    };
    let many = |value: BoxedStrategy<Value>| {
        prop_oneof![
            value.clone(),
            prop::collection::vec(value, 2..4).prop_map(Value::from)
        ]
        .boxed()
    };
    let several =
        |value: BoxedStrategy<Value>| prop::collection::vec(value, 2..4).prop_map(Value::from).boxed();
    let word = || texts(r"[abAB]{1,3}");
    let plain = || texts(r"[abAä]{1,3}|a\\\*|\\\?b|a\\b");
    let wild = || texts(r"[abAä*?]{1,4}|a\\\*b?|a\\\?|a\\b|a\\\\\*");
    let number = || {
        prop_oneof![
            3 => (-3_i64..5).prop_map(Value::from),
            1 => (-3_i32..4).prop_map(|number| json!(f64::from(number) + 0.5)),
        ]
        .boxed()
    };
    let network = || texts(r"10\.0\.[01]\.0/24|10\.0\.0\.0/(8|16|31)|2001:db8::/(64|127)");
    let kinds = prop_oneof![
        4 => family(&["", "|contains", "|cased", "|contains|cased"], many(wild())),
        2 => family(&["|startswith", "|endswith", "|startswith|cased"], many(plain())),
        2 => family(&["|contains|all", "|startswith|all", "|endswith|all", "|contains|cased|all"], several(word())),
        2 => family(&["|re", "|re|i"], many(texts(r"\^?[abA.]{1,3}[*+?$]?|a\[ab\]\+|\(a\|b\)\{2\}"))),
        3 => family(&["", "|gt", "|gte", "|lt", "|lte"], many(number())),
        1 => family(&["|cidr"], many(network())),
        1 => family(&["|exists"], any::<bool>().prop_map(Value::from).boxed()),
        1 => family(&[""], Just(Value::Null).boxed()),
        1 => family(&[""], any::<bool>().prop_map(Value::from).boxed()),
        1 => family(&["|fieldref", "|fieldref|contains", "|fieldref|startswith", "|fieldref|endswith"], texts("A|B|C")),
        1 => family(&["|windash", "|contains|windash"], texts(r"-[ab]| -a|a-b")),
        1 => family(&["|base64", "|wide|base64"], texts("[ab]{3,4}")),
    ];
    (name(), kinds).prop_map(|(name, (modifiers, value))| (format!("{name}{modifiers}"), value))
}

fn map() -> impl Strategy<Value = Value> {
    prop::collection::vec(item(), 1..3)
        .prop_map(|items| Value::Object(items.into_iter().collect::<Map<_, _>>()))
}

fn selection() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => map(),
        1 => prop::collection::vec(map(), 1..3).prop_map(Value::from),
        1 => prop::collection::vec(texts("[abAB]{2,3}"), 1..3).prop_map(Value::from),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "x1",
        "x2",
        "y",
        "1 of x*",
        "all of x*",
        "1 of them",
        "all of them",
    ])
    .prop_map(ToOwned::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("not ({one})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} and {right}")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("({left} or {right})")),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => texts(r"[abABäÄ*?\\]{0,4}"),
        1 => texts(r"[-/][ab]|a-b|x -a|[\u{2013}]a"),
        1 => texts("YQ==|YWI=|AAYWE|hYWE|FhYQ|hAGEA|YQBhA|[aAYhWE=]{0,5}"),
        1 => texts(r"10\.0\.[0-2]\.[01]|2001:db8::[0-2]"),
        2 => (-3_i64..5).prop_map(Value::from),
        1 => (-3_i32..4).prop_map(|number| json!(f64::from(number) + 0.5)),
        1 => texts("-?[2-9]"),
        1 => any::<bool>().prop_map(Value::from),
        1 => prop::sample::select(vec!["true", "FALSE"]).prop_map(Value::from),
    ]
}

fn event(with_lists: bool) -> impl Strategy<Value = Value> {
    let lists = if with_lists { 2 } else { 0 };
    let found = move || {
        prop_oneof![
            8 => scalar(),
            1 => Just(Value::Null),
            lists => prop::collection::vec(scalar(), 0..4).prop_map(Value::from),
        ]
    };
    let fields = (
        prop::option::weighted(0.8, found()),
        prop::option::weighted(0.8, found()),
        prop::option::weighted(0.6, found()),
        prop::option::weighted(0.5, found()),
        any::<bool>(),
    );
    fields.prop_map(|(a, b, c, e, is_nested)| {
        let mut event = Map::new();
        let named = [("A", a), ("B", b), ("C", c)];
        event.extend(
            named
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        if let Some(e) = e {
            if is_nested {
                event.insert("D".to_owned(), json!({ "E": e }));
            } else {
                event.insert("D.E".to_owned(), e);
            }
        }
        Value::Object(event)
    })
}

/// A document for both engines, and the known reasons for differences.
fn rule(selections: &[Value; 3], condition: &str) -> Value {
    let [one, two, three] = selections;
    json!({"title": "t", "id": "11111111-1111-4111-8111-111111111111", "name": "t",
        "logsource": {"service": "s"},
        "detection": {"x1": one, "x2": two, "y": three, "condition": condition}})
}

/// Matches the events with both engines. Returns the number of compared pairs: zero if one engine refuses the rule.
fn compare(documents: &[Value], events: &[Value]) -> Result<usize, TestCaseError> {
    // JSON is YAML, so the documents need no writer of their own.
    let text: Vec<String> = documents.iter().map(Value::to_string).collect();
    let text = text.join("\n---\n");
    let Ok(read) = parse_documents(&text) else {
        return Ok(0);
    };
    let read = read
        .into_iter()
        .map(|document| (String::new(), document))
        .collect();
    let collection = Collection::build(read, &Placeholders::none());
    if !collection.problems.is_empty() {
        return Ok(0);
    }
    let mut theirs = Engine::new();
    let Ok(read) = rsigma_parser::parse_sigma_yaml(&text) else {
        return Ok(0);
    };
    if !read.errors.is_empty() || theirs.add_collection(&read).is_err() {
        return Ok(0);
    }
    let ours = &collection.rules[0].compiled;
    let matcher = Matcher::new([(0, ours)], &[], &[]);
    let mut scratch = Scratch::default();
    for event in events {
        let line = event.to_string();
        let scanned = matcher
            .scan(line.as_bytes(), &mut scratch, |_, matched| !matched.is_empty())
            .unwrap();
        prop_assert_eq!(scanned, ours.matches(event), "our own two: {} {}", text, event);
        let expected = !theirs.evaluate(&JsonEvent::borrow(event)).is_empty();
        prop_assert_eq!(scanned, expected, "ours and theirs: {} {}", text, event);
    }
    Ok(events.len())
}

fn has_modifier(documents: &Value, modifier: &str) -> bool {
    documents.to_string().contains(&format!("|{modifier}"))
}

/// Whether the known difference about null fields applies: whether a null field exists, and whether two are equal.
fn without_null_where_asked(documents: &Value, events: &mut [Value]) {
    if has_modifier(documents, "exists") || has_modifier(documents, "fieldref") {
        for event in events.iter_mut().filter_map(Value::as_object_mut) {
            event.retain(|_, value| !(value.is_null() || value.get("E").is_some_and(Value::is_null)));
        }
    }
}

/// Items with `all` are not combined with lists in events: see the table of differences.
fn has_all(selections: &[Value; 3]) -> bool {
    selections
        .iter()
        .any(|selection| selection.to_string().contains("|all\""))
}

fn without_lists(event: &Value) -> bool {
    let list = |value: &Value| value.is_array() || value.get("E").is_some_and(Value::is_array);
    !event.as_object().is_some_and(|fields| fields.values().any(list))
}

#[test]
fn rules_about_single_events_match_the_same() {
    let (pairs, mut runner) = runner();
    let (compared, matched) = (Cell::new(0_usize), Cell::new(0_usize));
    let cases = (
        prop::array::uniform3(selection()),
        condition(),
        prop::collection::vec(event(true), EVENTS),
    );
    let outcome = runner.run(&cases, |(selections, condition, mut events)| {
        if has_all(&selections) {
            events.retain(without_lists);
        }
        let document = rule(&selections, &condition);
        without_null_where_asked(&document, &mut events);
        if has_modifier(&document, "fieldref") {
            events.retain(without_lists);
        }
        let count = compare(&[document], &events)?;
        if count == 0 {
            return Err(TestCaseError::reject("refused by one"));
        }
        compared.set(compared.get() + count);
        matched.set(matched.get() + 1);
        Ok(())
    });
    println!("{} pairs of {} rules compared", compared.get(), matched.get());
    outcome.unwrap();
    assert!(compared.get() >= pairs * 3 / 5, "{} of {pairs}", compared.get());
}

#[test]
fn filters_narrow_the_same() {
    let (pairs, mut runner) = runner();
    let compared = Cell::new(0_usize);
    let cases = (
        prop::array::uniform3(map()),
        condition(),
        prop::array::uniform2(map()),
        prop::sample::select(vec![
            "f1",
            "not f1",
            "f1 or f2",
            "f1 and not f2",
            "not (f1 or f2)",
        ]),
        prop::collection::vec(event(false), EVENTS),
    );
    let outcome = runner.run(&cases, |(selections, condition, [one, two], narrowing, mut events)| {
        let filter = json!({"title": "f", "logsource": {"service": "s"},
            "filter": {"rules": ["11111111-1111-4111-8111-111111111111"], "f1": one, "f2": two, "condition": narrowing}});
        let document = rule(&selections, &condition);
        without_null_where_asked(&json!([document, filter]), &mut events);
        let count = compare(&[document, filter], &events)?;
        if count == 0 {
            return Err(TestCaseError::reject("refused by one"));
        }
        compared.set(compared.get() + count);
        Ok(())
    });
    println!("{} pairs compared", compared.get());
    outcome.unwrap();
    assert!(compared.get() >= pairs * 3 / 5, "{} of {pairs}", compared.get());
}
