//! Unsupported input is refused with the location and the reason.

use std::time::Instant;

use serde_json::json;
use sigma::{CompiledRule, Level, MAX_DOCUMENT_BYTES, Placeholders, Status, parse_rules};

use crate::semantics::rule;

/// The message with which a detection is refused, by reading or by compiling.
fn refusal(document: &str) -> String {
    match parse_rules(document) {
        Err(error) => error.to_string(),
        Ok(rules) => rules
            .iter()
            .find_map(|rule| CompiledRule::compile(rule, &Placeholders::none()).err())
            .unwrap_or_else(|| panic!("not refused: {document}"))
            .to_string(),
    }
}

#[test]
fn items_that_cannot_be_honoured_are_refused() {
    for (item, reason) in [
        ("F|frobnicate: a", "unknown modifier `frobnicate`"),
        ("F|all: a", "only one value"),
        ("F|contains|all: [a]", "only one value"),
        ("F|all|neq: [a, b]", "ambiguous"),
        ("F|re: '(?=x)'", "look-ahead"),
        ("F|re: '(?=x)'", "use two selections"),
        ("F|re: '(a)\\1'", "back-reference"),
        ("F|re: 'a++'", "possessive"),
        ("F|re: '('", "not closed"),
        ("F|re: '(\\w{1000}){1000}'", "needs more than"),
        ("F|contains|re: a", "cannot be combined"),
        ("F|re|contains: a", "cannot be combined"),
        ("F|i: a", "cannot be combined"),
        ("F|cased|re: a", "cannot be combined"),
        ("F|expand: '%unset%'", "%unset% has no value"),
        ("F|cidr: 10.0.0.0/99", "not a network"),
        ("F|lt: abc", "must be a number"),
        ("F|hour: abc", "must be a number"),
        ("F|exists: a", "true or false"),
        ("F|exists|contains: true", "true or false"),
        ("F|fieldref: 5", "name of a field"),
        ("F|fieldref|re: a", "cannot be combined"),
        ("F|contains|base64: a", "wildcards"),
        ("F|wide: ÿ", "not valid UTF-8"),
        ("F|contains: null", "null"),
        ("F: [a, null]", "null among several"),
        ("F: []", "0 values"),
        ("F: {}", "mapping"),
        ("F: [[a]]", "mapping or a list"),
    ] {
        let message = refusal(&rule(&format!("  sel:\n    {item}\n  condition: sel")));
        assert!(
            message.contains(reason) && message.contains("rule t"),
            "{item}: {message}"
        );
    }
}

#[test]
fn documents_that_are_not_rules_are_refused() {
    for (document, reason) in [
        ("a: [", "not valid YAML"),
        ("- a", "not a mapping"),
        ("title: t\ntitle: u", "not valid YAML"),
        ("logsource: {service: s}", "no detection"),
        ("title: t", "no log source"),
        ("title: t\nlogsource: {}", "the log source is empty"),
        ("title: t\nlogsource: {service: s, zone: z}", "`zone`"),
        ("title: t\nlogsource: {service: s}", "no detection"),
        (
            "title: t\nlogsource: {service: s}\ndetection: {a: {A: 1}}",
            "no condition",
        ),
        (
            "title: t\nlogsource: {service: s}\ndetection: {condition: a}",
            "0 selections",
        ),
        (
            "title: t\nlogsource: {service: s}\ndetection: {a: {A: 1}, timeframe: 5m, condition: a}",
            "timeframe",
        ),
        (
            "title: t\nlogsource: {service: s}\ndetection: {a: {A: 1}, condition: a | count() > 5}",
            "aggregation",
        ),
        (
            "title: t\nlogsource: {service: s}\ndetection: {a: {}, condition: a}",
            "empty",
        ),
        ("title: t\ncorrelation: {type: event_count}", "lists 0 rules"),
        ("title: t\nfilter: {rules: [a]}", "0 selections"),
        ("action: global\ntitle: t", "collections"),
    ] {
        let message = refusal(document);
        assert!(message.contains(reason), "{document}: {message}");
    }
}

#[test]
fn a_mistake_is_reported_with_its_line_in_the_whole_text() {
    let good = "title: good\nlogsource: {service: s}\ndetection:\n  a: {A: 1}\n  condition: a\n";
    let bad = "title: bad one\nlogsource: {service: s}\ndetection:\n  a:\n    F|nope: 1\n  condition: a\n";
    let error = parse_rules(&format!("# head\n---\n{good}---\n{bad}")).unwrap_err();
    assert_eq!((error.line, error.rule.as_deref()), (Some(13), Some("bad one")));
    let error = parse_rules(&format!("{good}---\ntitle: x\n  y: [")).unwrap_err();
    assert_eq!(error.line, Some(8), "{error}");
    assert_eq!(error.to_string().matches("line").count(), 1, "{error}");
}

#[test]
fn several_documents_are_read_in_order_with_all_their_fields() {
    let rules = parse_rules(
        "# a comment\n---\ntitle: one\nid: 5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a11\nname: first\nstatus: stable\nlevel: high\n\
         description: |\n  text\n  --- not a mark\nauthor: A\ndate: 2026-11-01\ntags: [attack.t1566]\nfalsepositives: none\n\
         logsource: {product: cloudflare, service: gateway_dns}\ndetection: {a: {A: 1}, condition: a}\n\
         flareward: {topic: phishing}\n---\n---\ntitle: two\nlogsource: {category: dns}\n\
         detection: {a: {A: 1}, condition: [a, not a]}\n...\n",
    )
    .unwrap();
    let [one, two] = rules.as_slice() else {
        panic!("{} rules", rules.len())
    };
    assert_eq!(
        (one.level, one.status, one.name.as_deref()),
        (Some(Level::High), Some(Status::Stable), Some("first"))
    );
    assert_eq!(
        (one.date.as_deref(), one.falsepositives.len()),
        (Some("2026-11-01"), 1)
    );
    assert_eq!(one.logsource.service.as_deref(), Some("gateway_dns"));
    assert_eq!(one.custom["flareward"], json!({"topic": "phishing"}));
    assert_eq!(
        (two.title.as_str(), two.detection.condition_text.as_str()),
        ("two", "(a) or (not a)")
    );
    assert_eq!(parse_rules("").unwrap(), []);
    assert_eq!(parse_rules("---\n# nothing\n").unwrap(), []);
}

#[test]
fn a_document_that_is_too_large_or_too_deep_is_refused() {
    assert!(refusal(&"#".repeat(MAX_DOCUMENT_BYTES + 1)).contains("bytes"));
    let deep = format!("title: t\nx: {}{}", "[".repeat(200), "]".repeat(200));
    assert!(refusal(&deep).contains("not valid YAML"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]";
    assert!(refusal(bomb).contains("not valid YAML"));
    let long = rule(&format!(
        "  a:\n    F|re: '{}'\n  condition: a",
        "a".repeat(900_000)
    ));
    assert!(refusal(&long).contains("too long"));
}

#[test]
fn patterns_that_hurt_other_engines_do_no_harm() {
    let started = Instant::now();
    let text = "a".repeat(20_000);
    for item in [
        r"F|re: '^(a+)+$x'".to_owned(),
        format!("F: '{}b'", "a*".repeat(40)),
        "F: '*a*a*a*a*a*a*b'".to_owned(),
    ] {
        let rules = parse_rules(&rule(&format!("  a:\n    {item}\n  condition: a"))).unwrap();
        let compiled = CompiledRule::compile(&rules[0], &Placeholders::none()).unwrap();
        assert!(!compiled.matches(&json!({ "F": text })));
    }
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

#[test]
fn what_only_describes_a_rule_never_refuses_it() {
    for (line, warning) in [
        ("status: Experimental", "`experimental`"),
        ("status: ripe", "`status: ripe` is ignored"),
        ("level: High", "`high`"),
        ("level: huge", "`level: huge` is ignored"),
        ("level: [high]", "`level` is ignored"),
        ("references: [null]", "`references`"),
        ("references: [{a: 1}, 'https://x.example']", "`references`"),
        ("references:", ""),
        ("tags: [null, attack.t1566]", "`tags`"),
        ("author: {name: A}", "`author` is ignored"),
        ("date: 2026-13-45", ""),
        ("whatever: [1, {a: b}]", ""),
        ("taxonomy: x", ""),
        (
            "logsource: {service: s, description: d}",
            "`logsource.description`",
        ),
    ] {
        let source = if line.starts_with("logsource") {
            ""
        } else {
            "logsource: {service: s}\n"
        };
        let text = format!("title: t\n{line}\n{source}detection: {{a: {{A: 1}}, condition: a}}");
        let rules = parse_rules(&text).unwrap_or_else(|error| panic!("{line}: {error}"));
        let warnings = &rules[0].warnings;
        assert_eq!(
            warnings.len(),
            usize::from(!warning.is_empty()),
            "{line}: {warnings:?}"
        );
        assert!(
            warnings.iter().all(|one| one.contains(warning)),
            "{line}: {warnings:?}"
        );
        CompiledRule::compile(&rules[0], &Placeholders::none()).unwrap();
    }
    let rules =
        parse_rules("id: 61e9540\nlogsource: {service: 1.10}\ndetection: {a: {A: 1}, condition: a}").unwrap();
    assert_eq!(
        (rules[0].title.as_str(), rules[0].id.as_deref()),
        ("61e9540", Some("61e9540"))
    );
    assert_eq!(rules[0].logsource.service.as_deref(), Some("1.10"));
    assert_eq!(rules[0].warnings, ["there is no title"]);
    let levels = parse_rules(
        "title: t\nlevel: HIGH\nstatus: Stable\nlogsource: {service: s}\ndetection: {a: {A: 1}, condition: a}",
    );
    let levels = levels.unwrap();
    assert_eq!(
        (levels[0].level, levels[0].status),
        (Some(Level::High), Some(Status::Stable))
    );
}
