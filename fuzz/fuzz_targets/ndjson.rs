//! Compares the engine's own reader of records with `serde_json` and the matching of one rule at a time.
//!
//! Both refuse a line, or both accept it and find the same matches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sigma::{CompiledRule, Matcher, Placeholders, Scratch, parse_rules};
use std::sync::LazyLock;

const RULES: &str = r#"
{title: r0, logsource: {service: s}, detection: {x: {a: b}, condition: x}}
---
{title: r1, logsource: {service: s}, detection: {x: {"a|contains": [b, 'A']}, condition: x}}
---
{title: r2, logsource: {service: s}, detection: {x: {"a|startswith": a, "b|endswith": b}, condition: x}}
---
{title: r3, logsource: {service: s}, detection: {x: {a: [1, 2.5, -3, 0]}, condition: x}}
---
{title: r4, logsource: {service: s}, detection: {x: {"a|gt": 1}, condition: x}}
---
{title: r5, logsource: {service: s}, detection: {x: {a: null}, condition: x}}
---
{title: r6, logsource: {service: s}, detection: {x: {"a|exists": true}, condition: not x}}
---
{title: r7, logsource: {service: s}, detection: {x: {"a|re": '^b+$'}, condition: x}}
---
{title: r8, logsource: {service: s}, detection: {x: {"a.b|contains": b}, condition: x}}
---
{title: r9, logsource: {service: s}, detection: {x: {"a.b.c": true}, condition: x}}
---
{title: r10, logsource: {service: s}, detection: {x: [b, "a*b"], condition: x}}
---
{title: r11, logsource: {service: s}, detection: {x: {"b|cidr": 10.0.0.0/8}, condition: x}}
---
{title: r12, logsource: {service: s}, detection: {x: {"b|fieldref": a}, condition: x}}
---
{title: r13, logsource: {service: s}, detection: {x: {"b|hour": [0, 10]}, condition: x}}
---
{title: r14, logsource: {service: s}, detection: {x: {"b|all": ['a*', '*b']}, y: {b: ''}, condition: x or y}}
---
{title: r15, logsource: {service: s}, detection: {x: {"b|neq": true}, condition: x}}
"#;

struct Both {
    rules: Vec<CompiledRule>,
    matcher: Matcher,
}

static BOTH: LazyLock<Both> = LazyLock::new(|| {
    let rules: Vec<CompiledRule> = parse_rules(RULES)
        .expect("the rules are well-formed")
        .iter()
        .map(|rule| CompiledRule::compile(rule, &Placeholders::none()).expect("the rules can be honoured"))
        .collect();
    let matcher = Matcher::new(rules.iter().enumerate(), &[], &[]);
    Both { rules, matcher }
});

fuzz_target!(|lines: &[u8]| {
    let both = &*BOTH;
    // One scratch for all lines of an input, as in production.
    let mut scratch = Scratch::default();
    for line in lines.split(|byte| *byte == b'\n') {
        let ours = both.matcher.scan(line, &mut scratch, |_, matched| matched.to_vec());
        let value: Option<Value> = serde_json::from_slice(line).ok().filter(Value::is_object);
        let expected = value.map(|value| -> Vec<usize> {
            let matching = both.rules.iter().enumerate().filter(|(_, rule)| rule.matches(&value));
            matching.map(|(place, _)| place).collect()
        });
        assert_eq!(ours.as_ref().ok(), expected.as_ref(), "{ours:?}: {}", String::from_utf8_lossy(line));
    }
});
