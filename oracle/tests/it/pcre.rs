//! Regular expressions: every expression that Flareward accepts matches the same texts as in PCRE2.
//!
//! There are three sources: the public corpus (if `FLAREWARD_CONFORMANCE` has it) and the built-in rules; expressions
//! generated from the grammar; and random characters, which are mostly invalid. The options are those of `sigma::pcre`:
//! Unicode texts, ASCII classes.

use crate::{EVENTS, runner_of};
use pcre2::bytes::{Regex, RegexBuilder};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use sigma::{CompiledRule, Placeholders, Selection, parse_rules};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The number of texts for each expression.
const TEXTS: usize = 12;

/// An expression in one of our rules, or why it is refused.
fn ours(expression: &str, flags: &str) -> Result<CompiledRule, String> {
    let item = format!(
        "F|re{}",
        flags.chars().map(|flag| format!("|{flag}")).collect::<String>()
    );
    let document = json!({"title": "t", "logsource": {"service": "s"},
        "detection": {"a": {item: expression}, "condition": "a"}});
    let rules = parse_rules(&document.to_string()).map_err(|error| error.to_string())?;
    CompiledRule::compile(&rules[0], &Placeholders::none()).map_err(|error| error.reason)
}

fn theirs(expression: &str, flags: &str) -> Option<Regex> {
    RegexBuilder::new()
        .utf(true)
        .ucp(false)
        .caseless(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dotall(flags.contains('s'))
        .build(expression)
        .ok()
}

/// The results for many expressions.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    pairs: usize,
    matched: usize,
    /// Too much work for PCRE2.
    given_up: usize,
    /// Refused by us but not by PCRE2, by reason.
    refused: BTreeMap<String, usize>,
}

/// Compares one expression on all texts; returns a description of a difference.
fn compare<'t>(
    expression: &str,
    flags: &str,
    texts: impl IntoIterator<Item = &'t str>,
    tally: &mut Tally,
) -> Result<(), String> {
    let theirs = theirs(expression, flags);
    let rule = match (ours(expression, flags), &theirs) {
        (Ok(rule), Some(_)) => rule,
        (Ok(_), None) => return Err(format!("{expression:?} {flags}: ours takes what PCRE2 refuses")),
        (Err(reason), Some(_)) => {
            *tally.refused.entry(reason).or_default() += 1;
            return Ok(());
        }
        (Err(_), None) => return Ok(()),
    };
    tally.accepted += 1;
    for text in texts {
        let Ok(expected) = theirs.as_ref().unwrap().is_match(text.as_bytes()) else {
            tally.given_up += 1;
            continue;
        };
        tally.pairs += 1;
        tally.matched += usize::from(expected);
        let found = rule.matches(&json!({ "F": text }));
        if found != expected {
            return Err(format!(
                "{expression:?} {flags} on {text:?}: ours says {found}, PCRE2 {expected}"
            ));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn show(tally: &Tally) {
    println!(
        "{} expressions accepted, {} pairs compared, {} matched, {} given up by PCRE2",
        tally.accepted, tally.pairs, tally.matched, tally.given_up
    );
    for (reason, count) in &tally.refused {
        println!("  refused {count} times: {reason}");
    }
}

const LITERALS: &[&str] = &[
    "a", "b", "k", "s", "A", "K", "1", "_", "-", " ", "<", ">", "&", "~", "]", "}", "{", ",", "#", "é", "ſ",
    "ß", "\n", "/",
];
const ESCAPES: &[&str] = &[
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\h",
    r"\H",
    r"\v",
    r"\V",
    r"\N",
    r"\<",
    r"\>",
    r"\&",
    r"\~",
    r"\-",
    r"\.",
    r"\n",
    r"\t",
    r"\x61",
    r"\x{17f}",
    r"\x",
    r"\0",
    r"\061",
    r"\o{61}",
    r"\e",
    r"\a",
    r"\cA",
    r"\cz",
    r"\c]",
    r"\Qa.b\E",
    r"\E",
    r"\p{L}",
    r"\P{Lu}",
    r"\p{^Nd}",
    r"\pL",
    r"\p{L&}",
    r"\p{Any}",
    r"\N{U+61}",
    r"\/",
    r"\ ",
    r"\é",
];
const PLACES: &[&str] = &["^", "$", r"\A", r"\z", r"\Z", r"\b", r"\B"];
const QUANTIFIERS: &[&str] = &[
    "*", "+", "?", "*?", "+?", "??", "{0}", "{1}", "{2}", "{0,1}", "{1,}", "{1,2}?", "{0,2}", "{2,}?",
];
const CLASS_PARTS: &[&str] = &[
    "a",
    "b",
    "k",
    "s",
    "-",
    "^",
    "&&",
    "--",
    "~~",
    "[",
    "a-c",
    "A-z",
    "é",
    "ſ",
    r"\]",
    r"\d",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\h",
    r"\V",
    r"\n",
    r"\b",
    r"\x{61}",
    r"\0",
    r"\12",
    r"\-",
    "[:alpha:]",
    "[:^digit:]",
    "[:upper:]",
    "[:punct:]",
    ".",
    "$",
    " ",
    "#",
    r"\Q]\E",
    r"\p{L}",
    r"\P{Nd}",
    "1-3",
    "<",
    "|",
    "!--",
];
const OPTIONS: &[&str] = &[
    "i", "-i", "m", "s", "x", "xx", "-x", "^", "i-s", "ms", "U", "J", "n",
];
/// Characters of all kinds; most sequences of them are invalid.
const SIGNS: &[&str] = &[
    "a",
    "b",
    "1",
    "^",
    "$",
    ".",
    "*",
    "+",
    "?",
    "|",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\",
    "-",
    ",",
    "<",
    ">",
    "=",
    "!",
    ":",
    "#",
    " ",
    "&&",
    "(?",
    "(?:",
    "(?i)",
    "(?x)",
    "(?<",
    "(?P",
    "(?#",
    "[^",
    "[:",
    ":]",
    "[[:alpha:]]",
    "{1,2}",
    "{,2}",
    "{ 1 }",
    "Q",
    "E",
    "x{61}",
    "d",
    "w",
    "n",
    "\\Q",
    "\\E",
    "k",
    "'",
    "0",
    "8",
    "\n",
    "é",
];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from).prop_map(ToOwned::to_owned)
}

fn class() -> impl Strategy<Value = String> {
    (
        any::<bool>(),
        prop::option::weighted(0.1, Just("]")),
        prop::collection::vec(pick(CLASS_PARTS), 1..5),
    )
        .prop_map(|(is_negated, first, parts)| {
            format!(
                "[{}{}{}]",
                if is_negated { "^" } else { "" },
                first.unwrap_or_default(),
                parts.concat()
            )
        })
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => pick(LITERALS),
        5 => pick(ESCAPES),
        3 => pick(PLACES),
        2 => Just(".".to_owned()),
        4 => class(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            5 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            3 => (inner.clone(), pick(QUANTIFIERS)).prop_map(|(one, times)| format!("(?:{one}){times}")),
            3 => (inner.clone(), pick(QUANTIFIERS)).prop_map(|(one, times)| format!("{one}{times}")),
            2 => (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one}|{two})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("{one}|{two}")),
            1 => inner.clone().prop_map(|one| format!("({one}|)")),
            1 => (pick(OPTIONS), inner.clone()).prop_map(|(options, one)| format!("(?{options}:{one})")),
            1 => (pick(OPTIONS), inner.clone()).prop_map(|(options, one)| format!("(?{options}){one}")),
            1 => inner.clone().prop_map(|one| format!("(?<n>{one})")),
            1 => inner.prop_map(|one| format!("{one}(?# c)")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    const CHARACTERS: &[&str] = &[
        "a",
        "b",
        "k",
        "s",
        "A",
        "K",
        "S",
        "1",
        "_",
        "-",
        " ",
        "<",
        ">",
        "&",
        "~",
        "[",
        "]",
        "}",
        "{",
        "é",
        "É",
        "ſ",
        "\u{212a}",
        "ß",
        "ẞ",
        "\n",
        "\n",
        "\t",
        "\u{b}",
        "\u{a0}",
        "\u{85}",
        "\u{2028}",
        "\u{663}",
        "\0",
        "\u{1}",
        "\u{1b}",
        "/",
        "#",
        ",",
        "^",
        ".",
        "\u{1f600}",
        "aa",
        "ab",
        "a.b",
    ];
    prop::collection::vec(pick(CHARACTERS), 0..6).prop_map(|parts| parts.concat())
}

/// Compares this number of expressions, of which a certain share must be accepted.
fn check(expressions: impl Strategy<Value = String>, count: usize, share: f64) {
    let (pairs, mut runner) = runner_of(count * EVENTS);
    let tally = RefCell::new(Tally::default());
    let flags = pick(&["", "", "", "i", "m", "s", "im", "is"]);
    let cases = (expressions, flags, prop::collection::vec(text(), TEXTS));
    let outcome = runner.run(&cases, |(expression, flags, texts)| {
        compare(
            &expression,
            &flags,
            texts.iter().map(String::as_str),
            &mut tally.borrow_mut(),
        )
        .map_err(TestCaseError::fail)
    });
    let tally = tally.into_inner();
    show(&tally);
    outcome.unwrap();
    let accepted = tally.accepted as f64 * EVENTS as f64 / pairs as f64;
    assert!(accepted >= share, "{accepted} of the expressions: {tally:?}");
    assert!(tally.matched > tally.pairs / 20, "{tally:?}");
}

#[test]
fn expressions_of_the_grammar_match_as_under_pcre2() {
    check(expression(), 20_000, 0.8);
}

#[test]
fn signs_in_any_order_are_refused_or_match_as_under_pcre2() {
    check(
        prop::collection::vec(pick(SIGNS), 1..9).prop_map(|signs| signs.concat()),
        10_000,
        0.25,
    );
}

#[test]
fn letter_case_is_that_of_pcre2_for_every_letter() {
    let mut tally = Tally::default();
    let variants = |c: char| -> Vec<String> {
        let mut all: Vec<char> = c.to_lowercase().chain(c.to_uppercase()).chain([c]).collect();
        all.extend(
            all.clone()
                .iter()
                .flat_map(|c| c.to_lowercase().chain(c.to_uppercase())),
        );
        all.extend("kKsSiI\u{212a}\u{17f}\u{130}\u{131}\u{df}\u{1e9e}".chars());
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(String::from).collect()
    };
    // Letters that came to Unicode later than PCRE2's tables are not its own yet.
    let is_new = |c: char| matches!(u32::from(c), 0x1c89..=0x1c8a | 0xa7c0..=0xa7ff);
    let is_settled = |c: &char| !c.to_lowercase().chain(c.to_uppercase()).chain([*c]).any(is_new);
    let letters = (1..0x1_0000).filter_map(char::from_u32).filter(is_settled);
    for c in letters.filter(|c| c.to_lowercase().ne([*c]) || c.to_uppercase().ne([*c])) {
        let texts = variants(c);
        let expression = format!("^(?:\\x{{{:x}}}|[\\x{{{:x}}}x])$", u32::from(c), u32::from(c));
        let outcome = compare(&expression, "i", texts.iter().map(String::as_str), &mut tally);
        assert_eq!(outcome, Ok(()), "U+{:04X}", u32::from(c));
    }
    show(&tally);
    assert!(tally.accepted > 2_000);
}

/// Expressions with their flags, of all items of the rules in a text.
fn expressions_in(text: &str, found: &mut Vec<(String, String)>) {
    fn inside(selection: &Selection, found: &mut Vec<(String, String)>) {
        match selection {
            Selection::AnyOf(inner) => inner.iter().for_each(|one| inside(one, found)),
            Selection::AllOf(items) => {
                for item in items
                    .iter()
                    .filter(|item| item.written.split('|').any(|name| name == "re"))
                {
                    let flags: String = item
                        .written
                        .split('|')
                        .filter(|name| ["i", "m", "s"].contains(name))
                        .collect();
                    let texts = item.values.iter().filter_map(sigma::Literal::as_str);
                    found.extend(texts.map(|text| (text.to_owned(), flags.clone())));
                }
            }
        }
    }
    for rule in parse_rules(text).unwrap_or_default() {
        for named in &rule.detection.selections {
            inside(&named.selection, found);
        }
    }
}

fn built_in(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            built_in(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yml") {
            expressions_in(&fs::read_to_string(&path).unwrap(), found);
        }
    }
}

#[test]
fn expressions_of_public_and_built_in_rules_match_as_under_pcre2() {
    let mut found = Vec::new();
    built_in(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules"),
        &mut found,
    );
    let mut texts: Vec<String> = Vec::new();
    let conformance = std::env::var_os("FLAREWARD_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
        PathBuf::from,
    );
    if let Ok(packed) = fs::File::open(conformance.join("sigma/sigmahq-rules.tar.gz")) {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
        for entry in archive.entries().unwrap() {
            let mut text = String::new();
            if entry.unwrap().read_to_string(&mut text).is_ok() {
                expressions_in(&text, &mut found);
            }
        }
        let events = fs::read_to_string(conformance.join("sigma/regression.ndjson")).unwrap();
        for event in events
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        {
            let values = event.as_object().unwrap().values().filter_map(Value::as_str);
            texts.extend(values.filter(|text| text.len() > 20).map(str::to_owned));
        }
        texts.sort_unstable();
        texts.dedup();
    } else {
        println!("no public Sigma corpus here: only the built-in rules");
    }
    assert!(!found.is_empty());
    let mut tally = Tally::default();
    for (expression, flags) in &found {
        // Its own letters, in pieces and with more at the ends, come nearest to a match.
        let plain: String = expression
            .chars()
            .filter(|c| !"\\^$*+?()[]{}|".contains(*c))
            .collect();
        let halves = plain
            .char_indices()
            .nth(plain.chars().count() / 2)
            .map_or(0, |(at, _)| at);
        let mut near = vec![
            plain.clone(),
            plain.to_uppercase(),
            format!("{plain}\n"),
            format!(" {plain} "),
            plain[..halves].to_owned(),
            plain[halves..].to_owned(),
            plain.replace(' ', "\n"),
            String::new(),
            expression.clone(),
        ];
        near.extend(texts.iter().cloned());
        let outcome = compare(expression, flags, near.iter().map(String::as_str), &mut tally);
        assert_eq!(outcome, Ok(()));
    }
    show(&tally);
    assert_eq!(
        tally.refused,
        BTreeMap::new(),
        "refused although PCRE2 takes them"
    );
}
