//! All evaluators give the same result for any rule and event, and no external input causes a panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sigma::{CompiledRule, Matcher, Placeholders, Scratch, parse_rules};

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

/// Modifiers, a value for the rule and a value for the event that have a fair chance to meet.
fn meeting() -> impl Strategy<Value = (String, Value, Value)> {
    let family =
        |modifiers: &'static [&'static str], wanted: BoxedStrategy<Value>, found: BoxedStrategy<Value>| {
            (prop::sample::select(modifiers), wanted, found)
                .prop_map(|(modifier, wanted, found)| (modifier.to_owned(), wanted, found))
        };
    let texts = |pattern: &'static str| pattern.prop_map(Value::from).boxed();
    let whole = || {
        prop_oneof![
            (-3_i64..4).prop_map(Value::from),
            (-6_i32..7).prop_map(|half| json!(f64::from(half) / 2.0))
        ]
    };
    let number =
        || prop_oneof![2 => whole(), 1 => whole().prop_map(|number| number.to_string().into())].boxed();
    let placed = &[
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|cased",
        "|contains|cased",
        "|neq",
    ];
    let referring = &[
        "|fieldref",
        "|fieldref|contains",
        "|startswith|fieldref",
        "|fieldref|endswith",
        "|fieldref|cased",
    ];
    let network = texts(r"10\.[01]\.[01]\.0/(8|15|16|31|32)|2001:db8::[0-3]/(0|126|127|128)|0\.0\.0\.0/0");
    let address = texts(r"10\.[0-2]\.[01]\.[01]|2001:DB8::[0-5]|::ffff:10\.[01]\.0\.[01]");
    let time = || {
        prop_oneof![
            r"20(00|20|21|24|26)-(01|02|12)-(0[1-4]|2[89]|3[01])T(00|23):(00|59):(00|59)(\.5)?(Z|\+02:00|-00:30|)"
                .prop_map(Value::from),
            (-2_000_000_000_i64..4_000_000_000).prop_map(Value::from),
            (900_000_000_000_i64..2_000_000_000_000).prop_map(Value::from),
            any::<i64>().prop_map(|number| number.to_string().into()),
        ]
        .boxed()
    };
    let small = |least: i64, most: i64| (least..most).prop_map(Value::from).boxed();
    let empty = || {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            Just(Value::from(""))
        ]
    };
    prop_oneof![
        4 => family(placed, texts("[abA*?]{0,4}"), texts("[abAB]{0,4}")),
        2 => family(placed, texts(r"[aäßİıſK*?\\]{0,3}"), texts(r"[aAäÄßẞİıſKik*?\\]{0,3}")),
        2 => family(&["|windash", "|windash|contains", "|contains|windash"], texts("[ a]?[-/][ab*]"),
            texts("[ a]?[-/\u{2013}\u{2014}\u{2015}][ab]")),
        2 => family(&["|re", "|re|i", "|re|s|m"], texts(r"\^?[abA.]{1,3}[*+?$]?"), texts("[abAB\n]{0,3}")),
        2 => family(&["", "|lt", "|lte", "|gt", "|gte", "|gt|neq"], number(), number()),
        2 => family(&["|cidr", "|cidr|neq"], network, address),
        1 => family(&["|hour", "|minute", "|hour|gt", "|minute|lte"], small(0, 60), time()),
        3 => family(&["|day", "|month", "|week|lte", "|week|gte", "|day|lt"], small(0, 54), time()),
        1 => family(&["|year", "|year|gte"], small(1_969, 2_040), time()),
        1 => family(&["|base64", "|base64offset|contains", "|wide|base64offset|contains", "|utf16|base64"], texts("a{0,2}"),
            texts("YQ==|YWE=|AAYWE|hYWE|FhYQ|hAGEA|YQBhA|//5hAA==|//5hAGEA|[aAYhWE=]{0,5}")),
        2 => family(&["", "|neq"], empty().boxed(),
            prop_oneof![empty(), Just("TRUE".into()), Just(json!([])), Just(json!({}))].boxed()),
        1 => family(&["|exists"], any::<bool>().prop_map(Value::from).boxed(), scalar().boxed()),
        3 => family(referring, prop_oneof![3 => Just("B".into()), 1 => Just("A.B".into())].boxed(), texts("[abA]{0,3}")),
        1 => family(&["|expand", "|contains|expand"], texts("b?%p%"), texts("[aAbB]{0,3}")),
    ]
}

/// The event's value as it is, as a member of a list, inside an object, or under another name.
fn holding(found: Value, other: Value, shape: usize) -> Value {
    match shape {
        0 => json!({"A": [other, found]}),
        1 => json!({"A": {"A": found}, "B": other}),
        2 => json!({"B": found}),
        _ => json!({"A": found, "B": other, "A.B": [found, other]}),
    }
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

/// A line of a record with some of a few keys, more or less in one order, written in one of several styles; some are
/// damaged at one place.
fn line() -> impl Strategy<Value = String> {
    const KEYS: [&str; 6] = [
        "a",
        "b",
        "c",
        "Long name of a key that is compared in two parts",
        "Long name of a key that is compared in twO parts",
        "e\\u0041",
    ];
    let value = prop::sample::select(vec![
        "1",
        "\"a\"",
        "\"\"",
        "[]",
        "[1, \"a\"]",
        "{}",
        "{\"a\":1}",
        "null",
        "true",
        "-2.5",
        "\"\\\"a\\u0061\"",
        "01",
    ]);
    let style = prop::sample::select(vec![("{", ":", ","), ("{", ": ", ", "), ("{ ", " :", " ,")]);
    let parts = prop::collection::vec((0_usize..12, value), 0..6);
    let swapped = prop::option::weighted(0.2, any::<prop::sample::Index>());
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), "[{}\\[\\]\",: 0a\\\\]"));
    (style, parts, any::<bool>(), damage, swapped).prop_map(
        |((open, colon, comma), mut parts, is_sorted, damage, swapped)| {
            if is_sorted {
                parts.sort_by_key(|(key, _)| key % KEYS.len());
            }
            let parts: Vec<String> = parts
                .iter()
                .map(|(key, value)| format!("\"{}\"{colon}{value}", KEYS[key % KEYS.len()]))
                .collect();
            let mut line = format!("{open}{}}}", parts.join(comma));
            if let Some((place, with)) = damage {
                let place = place.index(line.len());
                line.replace_range(place..=place, &with);
            }
            let divides: Vec<usize> = line.match_indices(['{', ',']).map(|(place, _)| place).collect();
            if let Some(place) = swapped.filter(|_| !divides.is_empty()) {
                let place = divides[place.index(divides.len())];
                let other = if line.as_bytes()[place] == b'{' { "," } else { "{" };
                line.replace_range(place..=place, other);
            }
            line
        },
    )
}

fn compiled(document: &Value) -> Option<CompiledRule> {
    let mut placeholders = Placeholders::none();
    placeholders.set("p", ["a*", "b"]);
    CompiledRule::compile(&parse_rules(&document.to_string()).ok()?[0], &placeholders).ok()
}

fn agree(rule: &CompiledRule, document: &Value, event: &Value) -> Result<(), TestCaseError> {
    let explanation = rule.explain(event);
    prop_assert_eq!(
        rule.matches(event),
        explanation.matched,
        "{} {} {:#?}",
        document,
        event,
        explanation
    );
    let matcher = Matcher::new([(7, rule)], &[], &[]);
    prop_assert_eq!(
        scanned(&matcher, &mut Scratch::default(), event).contains(&7),
        explanation.matched,
        "{} {} {:#?}",
        document,
        event,
        matcher
    );
    Ok(())
}

/// The numbers of the rules that the engine for many rules says match.
fn scanned(matcher: &Matcher, scratch: &mut Scratch, event: &Value) -> Vec<usize> {
    let line = event.to_string();
    matcher
        .scan(line.as_bytes(), scratch, |_, matched| matched.to_vec())
        .unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

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
        if let Some(compiled) = compiled(&document) {
            for event in events {
                agree(&compiled, &document, &event)?;
            }
        }
    }

    #[test]
    fn many_rules_together_match_as_each_alone(
        detections in prop::collection::vec((prop::array::uniform3(selection()), condition()), 1..8),
        events in prop::collection::vec(event(), 1..6),
    ) {
        let rules: Vec<CompiledRule> = detections
            .into_iter()
            .filter_map(|([one, two, three], condition)| {
                compiled(&json!({"title": "t", "logsource": {"service": "s"},
                    "detection": {"x1": one, "x2": two, "y": three, "condition": condition}}))
            })
            .collect();
        let matcher = Matcher::new(rules.iter().enumerate(), &[], &[]);
        let mut scratch = Scratch::default();
        for event in events {
            let expected: Vec<usize> =
                rules.iter().enumerate().filter(|(_, rule)| rule.matches(&event)).map(|(place, _)| place).collect();
            prop_assert_eq!(scanned(&matcher, &mut scratch, &event), expected, "{}", event);
        }
    }

    #[test]
    fn values_that_nearly_meet_are_judged_alike(
        (modifiers, wanted, found) in meeting(),
        more in prop::collection::vec((meeting(), 0_usize..6), 1..4),
        all in any::<bool>(),
    ) {
        // The other values are of any family: a list of values, and lists and neighbours in events.
        let mut values = vec![wanted];
        if all {
            values.extend(more.iter().map(|((_, wanted, _), _)| wanted.clone()));
        }
        let key = if all { format!("A{modifiers}|all") } else { format!("A{modifiers}") };
        let document =
            json!({"title": "t", "logsource": {"service": "s"}, "detection": {"x": {key: values}, "condition": "x"}});
        if let Some(compiled) = compiled(&document) {
            for ((_, _, other), shape) in more {
                agree(&compiled, &document, &holding(found.clone(), other, shape))?;
            }
        }
    }

    #[test]
    fn whatever_lines_came_before_a_line_is_read_as_it_stands(lines in prop::collection::vec(line(), 1..12)) {
        let document = json!({"title": "t", "logsource": {"service": "s"},
            "detection": {"x": {"b": [1, "a"]}, "y": {"Long name of a key that is compared in two parts": "*"},
                "z": {"a|contains": "a"}, "condition": "x or y or z"}});
        let Some(rule) = compiled(&document) else {
            return Err(TestCaseError::fail("the rule can be honoured"));
        };
        let matcher = Matcher::new([(0, &rule)], &[], &[]);
        let mut scratch = Scratch::default();
        for line in lines {
            let expected = serde_json::from_str::<Value>(&line).ok().filter(Value::is_object);
            let matched = matcher.scan(line.as_bytes(), &mut scratch, |_, matched| !matched.is_empty()).ok();
            prop_assert_eq!(matched, expected.map(|record| rule.matches(&record)), "{}", &line);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(title: t\nlogsource: \\{service: s\\}\ndetection:\n)?[ -~\n:|&*%{}\\[\\]ä-]{0,200}") {
        if let Ok(rules) = parse_rules(&text) {
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
        if let Ok(rules) = parse_rules(&document.to_string()) {
            let compiled = CompiledRule::compile(&rules[0], &Placeholders::none()).unwrap();
            prop_assert_eq!(compiled.matches(&event), compiled.explain(&event).matched);
        }
    }
}

/// Found by fuzzing: bytes that are no text were taken where no rule looked at them.
#[test]
fn a_line_is_a_record_for_the_engine_when_it_is_one_for_serde_json() {
    let rule = |detection: Value| {
        compiled(&json!({"title": "t", "logsource": {"service": "s"}, "detection": {"x": detection, "condition": "x"}}))
            .unwrap()
    };
    let rules = [
        rule(json!({"A|contains": "b"})),
        rule(json!({"A|gte": 2})),
        rule(json!({"A.B": "b"})),
        rule(json!({"A": null})),
        rule(json!({"A|exists": true})),
        rule(json!(["ab"])),
    ];
    let matcher = Matcher::new(rules.iter().enumerate(), &[], &[]);
    let mut scratch = Scratch::default();
    let escape = "\\";
    let values = [
        r#""ab""#,
        r#""a\u0062""#,
        r#""a\n\"b""#,
        r#""\ud83d\ude00 b""#,
        r#""\ud83d b""#,
        r#""\ude00""#,
        r#""\x b""#,
        r#""\u00g0""#,
        "\"a\tb\"",
        "\"ab",
        "2",
        "-2",
        "-0",
        "-0.0",
        "02",
        "2.",
        ".5",
        "2.5",
        "2.5e0",
        "1e400",
        "-",
        "+2",
        "2.4999999999999999999",
        "1767600000000000000",
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "true",
        "tru",
        "null",
        "nulll",
        "[]",
        "[1,2]",
        "[1,]",
        "[,1]",
        r#"[["ab"],{"A":"b"}]"#,
        r#"{"B":"b"}"#,
        r#"{"B":["a","b"]}"#,
        r#"{"B":"b",}"#,
        "{}",
        "{1:2}",
        "[1}",
        "",
        "NaN",
        "'b'",
        "\u{2028}",
        "\"\u{e4}b\"",
    ];
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for value in values {
        for name in ["A", "C"] {
            lines.push(format!("{{\"{name}\":{value}}}").into_bytes());
            lines.push(
                format!(" {{ \"D\" : [ {{ \"e\" : {value} }} ] , \"{name}\" : {value} }} ").into_bytes(),
            );
            lines.push(format!("{{\"{name}\":{value},\"{name}\":\"b\"}}").into_bytes());
        }
        lines.push(value.as_bytes().to_vec());
    }
    lines.push(b"{\"C\":{\"d\xff\":1},\"A\":\"b\"}".to_vec());
    lines.push(b"{\"C\xff\":1,\"A\":\"b\"}".to_vec());
    lines.push(b"\xef\xbb\xbf{\"A\":\"b\"}".to_vec());
    lines.push(b"{\"A\":\"b\"} x".to_vec());
    lines.push(format!("{{\"A{escape}u0041\":\"b\",\"A\":\"b\"}}").into_bytes());
    lines.push(format!("{{\"{escape}u0041\":\"b\"}}").into_bytes());
    for depth in [30, 60, 125, 126, 127, 128, 1_000] {
        lines.push(format!("{{\"A\":{}\"b\"{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes());
        lines.push(format!("{{\"C\":{}\"b\"{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes());
    }
    let mut records = 0;
    for line in &lines {
        let found = matcher
            .scan(line, &mut scratch, |_, matched| matched.to_vec())
            .ok();
        let expected = serde_json::from_slice::<Value>(line)
            .ok()
            .filter(Value::is_object)
            .map(|event| {
                let places = (0..rules.len()).filter(|place| rules[*place].matches(&event));
                places.collect::<Vec<_>>()
            });
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
        records += usize::from(found.is_some());
    }
    assert_eq!(
        (records, lines.len() - records),
        (157, 192),
        "records and other lines"
    );
}
