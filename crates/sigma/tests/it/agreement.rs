//! Both evaluators say the same of any rule and event, and nothing from outside panics.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sigma::{CompiledRule, Placeholders, parse_documents};

/// Texts that meet each other often, with wildcards, dashes, odd letters, numbers, times, addresses.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abAB*?\\\\]{0,5}",
        1 => "[ab]{0,2} [-/\u{2013}]a",
        1 => "[äÄßẞİıſK%]{0,3}",
        1 => "-?[0-9]{1,3}(\\.[0-9])?",
        1 => "[12]0[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:00(Z|\\+02:00)",
        1 => "-?[0-9]{9,19}",
        1 => "(10\\.0\\.[0-9]\\.[0-9]|2001:db8::[0-9]|::ffff:10\\.0\\.0\\.1)",
        1 => Just("true".to_owned()),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => word().prop_map(Value::from),
        2 => (-5_i64..30).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => (-4_i32..8).prop_map(|half| json!(f64::from(half) / 2.0)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn found() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["A", "B", "A.B", "A.A.B", "B.A"]).prop_map(ToOwned::to_owned)
}

fn event() -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), found()), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn modifiers() -> impl Strategy<Value = String> {
    let listed = [
        "",
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|contains|all",
        "|all",
        "|cased",
        "|contains|cased",
        "|neq",
        "|windash",
        "|contains|windash",
        "|re",
        "|re|i",
        "|lt",
        "|lte",
        "|gt",
        "|gte",
        "|cidr",
        "|base64",
        "|base64offset|contains",
        "|wide|contains",
        "|hour",
        "|minute|gt",
        "|week",
        "|day|lte",
        "|month",
        "|year|gte",
        "|exists",
        "|fieldref",
        "|fieldref|contains",
        "|fieldref|startswith|neq",
        "|expand",
        "|fieldref|cased|endswith",
    ];
    prop::sample::select(listed.to_vec()).prop_map(ToOwned::to_owned)
}

fn items() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        3 => scalar(),
        1 => prop::collection::vec(scalar(), 1..4).prop_map(Value::from),
        1 => name().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => prop::sample::select(vec!["10.0.0.0/16", "2001:db8::/64", "0.0.0.0/0", "%p%"]).prop_map(Value::from),
    ];
    let field = prop_oneof![5 => name(), 1 => Just(String::new())];
    let item = (field, modifiers(), value)
        .prop_map(|(field, modifiers, value)| (format!("{field}{modifiers}"), value));
    prop::collection::vec(item, 1..3)
        .prop_map(|items| Value::Object(items.into_iter().collect::<Map<_, _>>()))
}

fn selection() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => items(),
        1 => prop::collection::vec(items(), 1..3).prop_map(Value::from),
        1 => prop::collection::vec(word(), 1..3).prop_map(Value::from),
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
        "2 of them",
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_matcher_and_the_explanation_agree(
        selections in prop::array::uniform3(selection()),
        condition in condition(),
        events in prop::collection::vec(event(), 1..6),
    ) {
        let [one, two, three] = selections;
        // JSON is YAML, so the document needs no writer of its own.
        let document = json!({"title": "t", "logsource": {"service": "s"},
            "detection": {"x1": one, "x2": two, "y": three, "condition": condition}});
        let mut placeholders = Placeholders::none();
        placeholders.set("p", ["a*", "b"]);
        if let Ok(rules) = parse_documents(&document.to_string())
            && let Ok(compiled) = CompiledRule::compile(&rules[0], &placeholders)
        {
            for event in events {
                let explanation = compiled.explain(&event);
                prop_assert_eq!(compiled.matches(&event), explanation.matched, "{} {} {:#?}", document, event, explanation);
            }
        }
    }

    #[test]
    fn an_item_alone_agrees_too(items in items(), events in prop::collection::vec(event(), 1..12)) {
        let document = json!({"title": "t", "logsource": {"service": "s"}, "detection": {"x": items, "condition": "x"}});
        let mut placeholders = Placeholders::none();
        placeholders.set("p", ["a*", "b"]);
        if let Ok(rules) = parse_documents(&document.to_string())
            && let Ok(compiled) = CompiledRule::compile(&rules[0], &placeholders)
        {
            for event in events {
                let explanation = compiled.explain(&event);
                prop_assert_eq!(compiled.matches(&event), explanation.matched, "{} {} {:#?}", document, event, explanation);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(title: t\nlogsource: \\{service: s\\}\ndetection:\n)?[ -~\n:|&*%{}\\[\\]ä-]{0,200}") {
        if let Ok(rules) = parse_documents(&text) {
            for rule in rules {
                if let Ok(compiled) = CompiledRule::compile(&rule, &Placeholders::none()) {
                    compiled.matches(&json!({"a": "b"}));
                }
            }
        }
    }

    #[test]
    fn no_condition_makes_the_reader_panic(condition in "((not|and|or|of|them|all|1|a\\*|a|\\(|\\)) ){0,12}", event in found()) {
        let document = json!({"title": "t", "logsource": {"service": "s"}, "detection": {"a": {"A": 1}, "condition": condition}});
        if let Ok(rules) = parse_documents(&document.to_string()) {
            let compiled = CompiledRule::compile(&rules[0], &Placeholders::none()).unwrap();
            prop_assert_eq!(compiled.matches(&event), compiled.explain(&event).matched);
        }
    }
}
