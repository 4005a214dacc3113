//! The semantics of values, modifiers and conditions, with one table per subject.

use serde_json::{Value, json};
use sigma::{CompiledRule, Placeholders, parse_rules};

pub(crate) fn rule(detection: &str) -> String {
    format!("title: t\nlogsource: {{service: s}}\ndetection:\n{detection}")
}

fn compile(detection: &str) -> CompiledRule {
    let mut placeholders = Placeholders::none();
    placeholders.set("admins", ["root", "adm*"]);
    placeholders.set("nets", ["10.0.0.0/8", "2001:db8::/32"]);
    let rules = parse_rules(&rule(detection)).unwrap_or_else(|error| panic!("{error}\n{detection}"));
    CompiledRule::compile(&rules[0], &placeholders).unwrap_or_else(|error| panic!("{error}\n{detection}"))
}

fn matches(detection: &str, event: &Value) -> bool {
    let rule = compile(detection);
    let matched = rule.matches(event);
    assert_eq!(
        rule.explain(event).matched,
        matched,
        "the evaluators differ: {detection} {event}"
    );
    matched
}

/// Each line: an item, an event's field `F`, and whether they match.
fn check(cases: &[(&str, Value, bool)]) {
    for (item, found, expected) in cases {
        let detection = format!("  sel:\n    {item}\n  condition: sel\n");
        let event = json!({ "F": found, "Other": "10.1.2.3", "Same": found });
        assert_eq!(matches(&detection, &event), *expected, "{item} on {found}");
    }
}

#[test]
fn a_text_matches_whole_and_whatever_its_letter_case() {
    check(&[
        ("F: abc", json!("ABC"), true),
        ("F: abc", json!("xabc"), false),
        ("F: ÄÖ", json!("äö"), true),
        ("F: straße", json!("STRASSE"), false),
        ("F: straße", json!("STRAẞE"), true),
        ("F: i", json!("İ"), false),
        ("F: İ", json!("İ"), true),
        ("F: ''", json!(""), true),
        ("F: ''", json!(" "), false),
        ("F: ''", json!(null), false),
        ("F: ''", json!([]), false),
        ("F: 'true'", json!(true), true),
        ("F: '4688'", json!(4688), true),
    ]);
}

#[test]
fn wildcards_and_escapes_are_as_the_specification_says() {
    check(&[
        ("F: a*c", json!("abbbc"), true),
        ("F: a*c", json!("ac"), true),
        ("F: a*c", json!("acd"), false),
        ("F: a?c", json!("abc"), true),
        ("F: a?c", json!("ac"), false),
        ("F: a?c", json!("aäc"), true),
        ("F: '*'", json!(""), true),
        ("F: '*'", json!(null), false),
        ("F: '?*'", json!(""), false),
        ("F: '?*'", json!("x"), true),
        (r"F: 'a\*c'", json!("a*c"), true),
        (r"F: 'a\*c'", json!("abc"), false),
        (r"F: 'C:\Win\*'", json!(r"C:\Win*"), true),
        (r"F: 'C:\Win\\*'", json!(r"C:\Win\x.exe"), true),
        (r"F: 'a\\\*'", json!(r"a\*"), true),
        (r"F: 'a\\\\b'", json!(r"a\\b"), true),
        (r"F: 'a\b'", json!(r"a\b"), true),
        ("F: '*a*b*c*'", json!("xxaxxbxxcxx"), true),
        ("F: '*ab*ab'", json!("ab"), false),
        ("F: '*aab'", json!("aaab"), true),
    ]);
}

#[test]
fn numbers_truth_values_and_null_keep_their_kind() {
    check(&[
        ("F: 5", json!(5), true),
        ("F: 5", json!("5"), true),
        ("F: 5", json!(5.0), true),
        ("F: 5", json!("05.0"), true),
        ("F: 5", json!(50), false),
        ("F: 5", json!("x5"), false),
        (
            "F: 1795310000123456789",
            json!(1_795_310_000_123_456_789_i64),
            true,
        ),
        (
            "F: 1795310000123456789",
            json!(1_795_310_000_123_456_788_i64),
            false,
        ),
        ("F: 1.5", json!(1.5), true),
        ("F: true", json!(true), true),
        ("F: true", json!("True"), true),
        ("F: true", json!(1), false),
        ("F: yes", json!(true), false),
        ("F: yes", json!("yes"), true),
        ("F: 007", json!("007"), true),
        ("F: 1_000", json!("1_000"), true),
        ("F: null", json!(null), true),
        ("F: null", json!(""), false),
        ("F: null", json!([]), false),
        ("Absent: null", json!(1), true),
        ("Absent: ''", json!(1), false),
    ]);
}

#[test]
fn a_scalar_is_the_text_that_was_written_where_texts_are_compared() {
    check(&[
        ("F: 61e9540", json!("61e9540"), true),
        ("F: 61e9540", json!("8e99999"), false),
        ("F: [61e9540, 8e12345678901234]", json!("8E12345678901234"), true),
        ("F: 5319e7", json!("5319e7"), true),
        ("F: 5319e7", json!("53190000000"), false),
        ("F: 5319e7", json!(53_190_000_000_i64), true),
        ("F: 53190000000", json!("5319e7"), false),
        ("F|contains: 5319e7", json!("ab5319e7cd"), true),
        ("F: 1.10", json!("1.10"), true),
        ("F: 1.10", json!("1.1"), false),
        ("F: 1.1", json!("1.10"), false),
        ("F: 1.10", json!(1.1), true),
        ("F|contains: 1.10", json!("tool/1.10.2"), true),
        ("F|contains: 1.10", json!("tool/1.1.7"), false),
        ("F|startswith: 2026.10", json!("2026.11.5"), false),
        ("F|endswith: 012", json!("x012"), true),
        ("F: 0x1F", json!("0x1f"), true),
        ("F: 0x1F", json!(31), true),
        ("F: 0x1F", json!("31"), false),
        ("F|cased: 0x1F", json!("0x1f"), false),
        ("F: 012", json!("012"), true),
        ("F: 012", json!("12"), false),
        ("F: on", json!("on"), true),
        ("F: off", json!(false), false),
        ("F|contains: True", json!("isTrue"), true),
        ("F|cased: True", json!("True"), true),
        ("F: .5", json!(".5"), true),
        ("F: .5", json!(0.5), true),
        ("F: 2026-11-01", json!("2026-11-01"), true),
        ("F: 12:30:45", json!("12:30:45"), true),
        ("F: '~'", json!("~"), true),
        ("F|re: 1.10", json!("1x10"), true),
        ("F|gt: 1.10", json!(1.2), true),
        ("F|gt: 1e3", json!(1_001), true),
        ("F|exists: on", json!(1), true),
        ("Other|fieldref: F", json!("10.1.2.3"), true),
    ]);
    assert!(matches(
        "  k: [61e9540, 1.10]\n  condition: k\n",
        &json!({"A": "x61E9540x"})
    ));
    assert!(!matches("  k: [1.10]\n  condition: k\n", &json!({"A": "1.1"})));
}

#[test]
fn a_list_matches_when_any_member_does() {
    check(&[
        ("F: 131", json!([3, 131]), true),
        ("F: 131", json!([3, [131]]), true),
        ("F: 131", json!([]), false),
        ("F: 131", json!([1310]), false),
        ("F: [1, 2]", json!([3, 2]), true),
        ("F|contains|all: [a, b]", json!(["xa", "bx"]), true),
        ("F|contains|all: [a, b]", json!(["xa"]), false),
        ("F|re: '.+'", json!([]), false),
        ("F|re: '.+'", json!([""]), false),
        ("F|re: '.+'", json!(""), false),
        ("F|re: '.+'", json!(null), false),
        ("F|re: '.+'", json!(["x"]), true),
        ("F.G: 2", json!([{"G": 1}, {"G": 2}]), true),
        ("F.G.H: x", json!({"G": {"H": ["y", "X"]}}), true),
        ("F: 1", json!({"G": 1}), false),
    ]);
}

#[test]
fn each_text_modifier_does_what_its_name_says() {
    check(&[
        ("F|contains: b", json!("aBc"), true),
        ("F|contains: 'a*d'", json!("xabcdx"), true),
        ("F|startswith: ab", json!("ABc"), true),
        ("F|startswith: b", json!("abc"), false),
        ("F|endswith: bc", json!("aBC"), true),
        ("F|endswith: 'b'", json!("abc"), false),
        ("F|contains: 45", json!(3456), true),
        ("F|cased: Ab", json!("Ab"), true),
        ("F|cased: Ab", json!("AB"), false),
        ("F|contains|cased: b", json!("aBc"), false),
        ("F|exists: true", json!(null), true),
        ("F|exists: true", json!([]), true),
        ("F|exists: false", json!([]), false),
        ("F|exists: yes", json!(1), true),
        ("F|exists: no", json!(1), false),
        ("Absent|exists: false", json!(1), true),
        ("Absent|exists: true", json!(1), false),
        ("F|neq: a", json!("b"), true),
        ("F|neq: a", json!("A"), false),
        ("F|neq: [a, b]", json!("b"), false),
        ("Absent|neq: a", json!(1), true),
        ("F|contains|neq: a", json!("bab"), false),
        ("F|windash|contains: ' -enc'", json!("x /enc y"), true),
        ("F|contains|windash: ' -enc'", json!("x \u{2015}enc y"), true),
        ("F|contains|windash: ' -enc'", json!("x \u{2013}enc y"), true),
        ("F|contains|windash: ' -enc'", json!("x +enc y"), false),
        ("F|windash: '/a /b'", json!("-a \u{2014}b"), true),
        ("F|contains|all|windash: [' -a', ' -b']", json!("x /b -a"), true),
    ]);
}

#[test]
fn regular_expressions_see_letter_case_unless_told() {
    check(&[
        ("F|re: 'a.c'", json!("xabcx"), true),
        ("F|re: '^b'", json!("abc"), false),
        ("F|re: ABC", json!("abc"), false),
        ("F|re|i: ABC", json!("abc"), true),
        ("F|re: 'a.b'", json!("a\nb"), false),
        ("F|re|s: 'a.b'", json!("a\nb"), true),
        ("F|re|m: '^b$'", json!("a\nb\nc"), true),
        ("F|re|i|m|s: '^B.C$'", json!("a\nb\nc"), true),
        (r"F|re: '\\\*'", json!(r"a\*"), true),
        ("F|re: '^[0-9]+$'", json!(4688), true),
        ("F|re|neq: a", json!("b"), true),
    ]);
}

#[test]
fn encodings_are_applied_in_the_order_written() {
    check(&[
        ("F|base64: foobar", json!("Zm9vYmFy"), true),
        ("F|base64|contains: foo", json!("xxZm9vxx"), true),
        ("F|base64offset|contains: foobar", json!("AAZm9vYmFyAA"), true),
        // "xfoobar" and "xxfoobar"
        ("F|base64offset|contains: foobar", json!("eGZvb2Jhcg=="), true),
        ("F|base64offset|contains: foobar", json!("eHhmb29iYXI="), true),
        ("F|base64offset|contains: foobar", json!("Zm9vYmE="), false),
        ("F|wide|base64: ab", json!("YQBiAA=="), true),
        ("F|utf16le|base64: ab", json!("YQBiAA=="), true),
        ("F|utf16be|base64: ab", json!("AGEAYg=="), true),
        ("F|utf16|base64: ab", json!("//5hAGIA"), true),
        ("F|wide|base64offset|contains: ab", json!("xxYQBiAxx"), true),
        ("F|wide|contains: ab", json!("xa\u{0}b\u{0}x"), true),
    ]);
}

#[test]
fn numbers_addresses_and_times_are_compared_by_meaning() {
    check(&[
        ("F|lt: 5", json!(4), true),
        ("F|lt: 5", json!(5), false),
        ("F|lte: 5", json!("5"), true),
        ("F|gt: 5", json!(5.5), true),
        ("F|gte: 5", json!([1, 6]), true),
        ("F|gt: 5", json!("many"), false),
        ("F|gt: 5", json!(null), false),
        ("F|gt: 9007199254740992", json!(9_007_199_254_740_993_i64), true),
        ("F|cidr: 10.0.0.0/8", json!("10.255.0.1"), true),
        ("F|cidr: 10.0.0.0/8", json!("11.0.0.1"), false),
        ("F|cidr: 10.0.0.0/8", json!("::ffff:10.0.0.1"), true),
        ("F|cidr: '2001:db8::/32'", json!(["1.1.1.1", "2001:DB8::1"]), true),
        ("F|cidr: 0.0.0.0/0", json!("2001:db8::1"), false),
        ("F|cidr: ['10.0.0.0/8', '1.1.1.1']", json!("1.1.1.1"), true),
        ("F|cidr: 10.0.0.0/8", json!("not an address"), false),
        ("F|hour: 23", json!("2026-03-15T23:59:59Z"), true),
        ("F|hour: 22", json!("2026-03-16T00:59:59+02:00"), true),
        ("F|minute|gte: 30", json!("2026-03-15T23:59:59Z"), true),
        ("F|week: 53", json!("2021-01-03T00:00:00Z"), true),
        ("F|day: 22", json!(1_795_310_000), true),
        ("F|month: 11", json!("1795310000123"), true),
        ("F|year|lt: 2026", json!(1_795_310_000_123_456_789_i64), false),
        ("F|year: 2026", json!("soon"), false),
    ]);
}

#[test]
fn placeholders_and_other_fields_stand_for_their_values() {
    check(&[
        ("F|expand: '%admins%'", json!("ROOT"), true),
        ("F|expand: '%admins%'", json!("administrator"), true),
        ("F|expand: '%admins%'", json!("jo"), false),
        ("F|contains|expand: 'x-%admins%-y'", json!("ax-root-yb"), true),
        ("F|expand|cidr: '%nets%'", json!("10.1.1.1"), true),
        (r"F|expand: '\%admins%'", json!("%admins%"), true),
        ("F: '%admins%'", json!("%admins%"), true),
        ("F|fieldref: Other", json!("10.1.2.3"), true),
        ("F|fieldref: Other", json!("10.1.2.4"), false),
        ("F|fieldref: Same", json!("x*y"), true),
        ("F|fieldref|neq: Same", json!("x"), false),
        ("F|fieldref|startswith: Other", json!("10.1.2.34"), true),
        ("F|endswith|fieldref: Other", json!("x10.1.2.3"), true),
        ("F|fieldref|contains: Other", json!(["no", "x10.1.2.3x"]), true),
        ("F|fieldref: Absent", json!(null), false),
    ]);
}

#[test]
fn keywords_are_found_anywhere_in_any_value() {
    let event = json!({"a": {"b": ["x", "rm -RF /"]}, "n": 4711, "key": true});
    for (detection, expected) in [
        ("  k: ['rm -rf']\n  condition: k", true),
        ("  k: rm -rf\n  condition: k", true),
        ("  k: ['no', 'rm * /']\n  condition: k", true),
        ("  k: [471]\n  condition: k", true),
        ("  k: ['b']\n  condition: k", false),
        ("  k:\n    '|all': ['rm', '4711']\n  condition: k", true),
        ("  k:\n    '|all': ['rm', '4712']\n  condition: k", false),
        ("  k:\n    '|re': '^rm'\n  condition: k", true),
        ("  k:\n    - 'nope'\n    - n: 4711\n  condition: k", true),
    ] {
        assert_eq!(matches(detection, &event), expected, "{detection}");
    }
}

#[test]
fn a_mapping_is_and_and_a_list_of_mappings_is_or() {
    let event = json!({"A": 1, "B": 2});
    for (selection, expected) in [
        ("{A: 1, B: 2}", true),
        ("{A: 1, B: 3}", false),
        ("[{A: 1, B: 3}, {B: 2}]", true),
        ("[{A: 3}, {B: 3}]", false),
        ("[[{A: 3}, {A: 1}], {B: 9}]", true),
    ] {
        assert_eq!(
            matches(&format!("  sel: {selection}\n  condition: sel"), &event),
            expected,
            "{selection}"
        );
    }
}

#[test]
fn conditions_join_selections() {
    let selections = "  a: {A: 1}\n  b: {B: 9}\n  c: {C: 9}\n  d_1: {A: 1}\n  d_2: {B: 2}\n  _e: {A: 1}\n";
    let event = json!({"A": 1, "B": 2});
    for (condition, expected) in [
        ("a", true),
        ("not b", true),
        ("a or b and c", true),
        ("(a or b) and c", false),
        ("a and not b", true),
        ("1 of them", true),
        ("all of them", false),
        ("3 of them", true),
        ("4 of them", false),
        ("all of d_*", true),
        ("not all of d_*", false),
        ("[b, a]", true),
        ("[b, c]", false),
    ] {
        assert_eq!(
            matches(&format!("{selections}  condition: {condition}"), &event),
            expected,
            "{condition}"
        );
    }
}

#[test]
fn an_explanation_names_the_values_that_matched() {
    let rule = compile(
        "  sel:\n    F|contains: [b, z]\n    Absent: null\n  other: {F: q}\n  condition: sel and not other",
    );
    let explanation = rule.explain(&json!({"F": ["abc", "x"]}));
    assert_eq!(
        serde_json::to_value(&explanation).unwrap(),
        json!({"matched": true, "condition": "sel and not other", "selections": [
            {"name": "sel", "matched": true, "items": [
                {"item": "F|contains", "wanted": ["b", "z"], "matched": true, "matching": ["abc"], "found": ["abc", "x"]},
                {"item": "Absent", "wanted": [null], "matched": true, "matching": [], "found": null},
            ]},
            {"name": "other", "matched": false, "items": [
                {"item": "F", "wanted": ["q"], "matched": false, "matching": [], "found": ["abc", "x"]},
            ]},
        ]})
    );
}
