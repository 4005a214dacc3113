//! Rules and events from other authors: the public SigmaHQ corpus and its regression events.
//!
//! They are not part of the repository. `FLAREWARD_CONFORMANCE` names the folder that contains them
//! (`sigma/sigmahq-rules.tar.gz`, `sigma/regression.ndjson`). Without it, these tests print that they were skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the corpus is read as it is, and its figures are the result"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sigma::{CompiledRule, Matcher, Placeholders, Scratch, parse_rules};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("FLAREWARD_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    if folder.join("sigma/sigmahq-rules.tar.gz").is_file() {
        return Some(folder);
    }
    println!("skipped: no public Sigma corpus here, set FLAREWARD_CONFORMANCE to its folder");
    None
}

/// Path and text of every rule document.
fn corpus(folder: &Path) -> Vec<(String, String)> {
    let packed = fs::File::open(folder.join("sigma/sigmahq-rules.tar.gz")).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut documents = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if path.ends_with(".yml") {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            documents.push((path, text));
        }
    }
    documents
}

/// Values for the placeholders that the corpus uses; what they are does not matter for loading.
fn placeholders(documents: &[(String, String)]) -> Placeholders {
    let mut placeholders = Placeholders::none();
    for (_, text) in documents {
        for name in text.split('%').filter(|name| {
            name.chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        }) {
            placeholders.set(name, ["some-value"]);
        }
    }
    placeholders
}

#[test]
fn every_public_rule_compiles_or_is_refused_with_a_reason() {
    let Some(folder) = folder() else { return };
    let documents = corpus(&folder);
    let placeholders = placeholders(&documents);
    let (mut usable, mut refused) = (0, BTreeMap::<String, Vec<String>>::new());
    for (path, text) in &documents {
        let outcome = parse_rules(text)
            .map_err(|error| error.to_string())
            .and_then(|rules| {
                assert!(!rules.is_empty(), "{path} has no rule");
                rules.iter().try_for_each(|rule| {
                    CompiledRule::compile(rule, &placeholders)
                        .map(drop)
                        .map_err(|error| error.to_string())
                })
            });
        match outcome {
            Ok(()) => usable += 1,
            Err(reason) => {
                assert!(!reason.is_empty());
                refused
                    .entry(path.split('/').next().unwrap_or_default().to_owned())
                    .or_default()
                    .push(reason);
            }
        }
    }
    let count: usize = refused.values().map(Vec::len).sum();
    println!(
        "{} documents: {usable} compiled, {count} refused",
        documents.len()
    );
    for (area, reasons) in &refused {
        println!(
            "  {area}: {} refused, for instance: {}",
            reasons.len(),
            reasons[0]
        );
    }
    refused.remove("unsupported");
    assert_eq!(
        refused,
        BTreeMap::new(),
        "refused although not filed as unsupported"
    );
}

#[test]
fn every_regression_event_is_matched_by_its_rule() {
    let Some(folder) = folder() else { return };
    let documents = corpus(&folder);
    let placeholders = placeholders(&documents);
    let rules: HashMap<String, CompiledRule> = documents
        .iter()
        .filter_map(|(_, text)| parse_rules(text).ok())
        .flatten()
        .filter_map(|rule| {
            Some((
                rule.id.clone()?,
                CompiledRule::compile(&rule, &placeholders).ok()?,
            ))
        })
        .collect();
    let (mut cases, mut misses) = (0, Vec::new());
    for line in fs::read_to_string(folder.join("sigma/regression.ndjson"))
        .unwrap()
        .lines()
    {
        let event: Value = serde_json::from_str(line).unwrap();
        let case = event["_case"].as_str().unwrap();
        let rule = &rules[case];
        cases += 1;
        let matched = rule.matches(&event);
        let explained = rule.explain(&event);
        assert_eq!(matched, explained.matched, "the two evaluators differ on {case}");
        if !matched {
            misses.push(format!("{}: {explained:#?}", rule.rule().label()));
        }
    }
    println!("{} of {cases} regression events matched", cases - misses.len());
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn all_public_rules_together_match_as_each_alone() {
    let Some(folder) = folder() else { return };
    let documents = corpus(&folder);
    let placeholders = placeholders(&documents);
    let rules: Vec<CompiledRule> = documents
        .iter()
        .filter_map(|(_, text)| parse_rules(text).ok())
        .flatten()
        .filter_map(|rule| CompiledRule::compile(&rule, &placeholders).ok())
        .collect();
    let matcher = Matcher::new(rules.iter().enumerate(), &[], &[]);
    let mut scratch = Scratch::default();
    let (mut events, mut matches) = (0, 0);
    for line in fs::read_to_string(folder.join("sigma/regression.ndjson"))
        .unwrap()
        .lines()
    {
        let event: Value = serde_json::from_str(line).unwrap();
        let together = matcher
            .scan(line.as_bytes(), &mut scratch, |_, matched| matched.to_vec())
            .unwrap();
        let alone: Vec<usize> = (0..rules.len())
            .filter(|place| rules[*place].matches(&event))
            .collect();
        let titles = |places: &[usize]| -> Vec<String> {
            places.iter().map(|place| rules[*place].rule().label()).collect()
        };
        assert_eq!(titles(&together), titles(&alone), "{line}");
        let own = event["_case"].as_str();
        assert!(
            together
                .iter()
                .any(|place| rules[*place].rule().id.as_deref() == own),
            "{own:?} is not among {:?}",
            titles(&together)
        );
        events += 1;
        matches += together.len();
    }
    println!(
        "{} rules together: {events} events, {matches} matches, the same as each alone",
        rules.len()
    );
    assert!(events > 0);
}
