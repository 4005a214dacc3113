//! The rules that come with the product: each fires and stays silent as its cases say.
//!
//! Reads `rules/` and `tips/` at the root of the repository.

#![expect(clippy::unwrap_used, reason = "files of the repository are read as they are")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use sigma::{CompiledRule, Placeholders, Rule, RuleSet, parse_rules};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    fires: Expectations,
    silent: Expectations,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expectations {
    Events(Vec<Case>),
    Sequences { sequences: Vec<Sequence> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    event: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequence {
    name: String,
    events: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Behaviour {
    name: String,
    description: String,
    risk_level: String,
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    behaviour: String,
    topic: String,
    travel: Option<Travel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Travel {
    speed_kmh: u32,
    distance_km: u32,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every rule with the folder and stem of its file and its cases.
fn rules() -> Vec<(String, String, Rule, Cases)> {
    let mut found = Vec::new();
    for folder in fs::read_dir(root().join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let dataset = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
            if stem.ends_with(".cases") {
                assert!(
                    folder.join(stem.replace(".cases", ".yml")).is_file(),
                    "{stem} belongs to no rule"
                );
                continue;
            }
            let mut parsed = parse_rules(&fs::read_to_string(&file).unwrap())
                .unwrap_or_else(|error| panic!("{stem}: {error}"));
            assert_eq!(parsed.len(), 1, "{stem} is one document");
            let cases = fs::read_to_string(folder.join(format!("{stem}.cases.yml")))
                .unwrap_or_else(|error| panic!("{stem} has no cases: {error}"));
            let cases =
                serde_saphyr::from_str(&cases).unwrap_or_else(|error| panic!("cases of {stem}: {error}"));
            found.push((dataset, stem, parsed.remove(0), cases));
        }
    }
    found.sort_by(|left, right| left.1.cmp(&right.1));
    assert!(found.len() >= 22, "{} rules", found.len());
    found
}

fn compiled(rule: &Rule) -> CompiledRule {
    CompiledRule::compile(rule, &Placeholders::none()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn each_rule_fires_and_stays_silent_as_its_cases_say() {
    for (_, stem, rule, cases) in rules() {
        let rule = compiled(&rule);
        let check = |name: &str, event: &Value, expected: bool| {
            let explanation = rule.explain(event);
            assert_eq!(rule.matches(event), expected, "{stem}, {name}: {explanation:#?}");
            assert_eq!(
                explanation.matched, expected,
                "{stem}, {name}: the explanation differs"
            );
        };
        for (expectations, expected) in [(&cases.fires, true), (&cases.silent, false)] {
            match expectations {
                Expectations::Events(events) => {
                    assert!(!events.is_empty(), "{stem} lacks a case");
                    events
                        .iter()
                        .for_each(|case| check(&case.name, &case.event, expected));
                }
                Expectations::Sequences { sequences } => {
                    // The hub looks at the whole sequence; here each event of one that fires must be selected.
                    assert!(!sequences.is_empty(), "{stem} lacks a sequence");
                    for sequence in sequences {
                        assert!(
                            sequence.events.len() > 1,
                            "{stem}, {}: one event is no sequence",
                            sequence.name
                        );
                        if expected {
                            sequence
                                .events
                                .iter()
                                .for_each(|event| check(&sequence.name, event, true));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn cases_are_named_once_and_sequences_run_in_order_of_time() {
    for (dataset, stem, rule, cases) in rules() {
        let mut names = BTreeSet::new();
        for expectations in [&cases.fires, &cases.silent] {
            match expectations {
                Expectations::Events(events) => {
                    for case in events {
                        assert!(
                            names.insert(case.name.clone()),
                            "{stem}: {} comes twice",
                            case.name
                        );
                        assert!(case.event.is_object(), "{stem}: {}", case.name);
                    }
                }
                Expectations::Sequences { sequences } => {
                    let travel = own(&rule)
                        .travel
                        .unwrap_or_else(|| panic!("{stem} has sequences of what?"));
                    assert!(travel.speed_kmh > 0 && travel.distance_km > 0, "{stem}");
                    for sequence in sequences {
                        assert!(
                            names.insert(sequence.name.clone()),
                            "{stem}: {} comes twice",
                            sequence.name
                        );
                        let text =
                            |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
                        let times: Vec<String> = sequence
                            .events
                            .iter()
                            .map(|event| text(event, "CreatedAt"))
                            .collect();
                        assert!(
                            times.is_sorted() && !times[0].is_empty(),
                            "{stem}: {}",
                            sequence.name
                        );
                        assert!(
                            sequence
                                .events
                                .iter()
                                .all(|event| !text(event, "Country").is_empty()),
                            "{stem}: {}",
                            sequence.name
                        );
                    }
                }
            }
        }
        assert!(!names.is_empty(), "{dataset}/{stem}");
    }
}

fn own(rule: &Rule) -> Own {
    let section = rule
        .custom
        .get("flareward")
        .unwrap_or_else(|| panic!("{} has no `flareward:`", rule.label()));
    serde_json::from_value(section.clone()).unwrap_or_else(|error| panic!("{}: {error}", rule.label()))
}

#[test]
fn each_rule_is_complete_and_named_once() {
    let behaviours: BTreeMap<String, Behaviour> =
        serde_saphyr::from_str(&fs::read_to_string(root().join("rules/behaviours.yml")).unwrap()).unwrap();
    for (key, behaviour) in &behaviours {
        assert!(
            matches!(behaviour.risk_level.as_str(), "low" | "medium" | "high"),
            "{key}"
        );
        assert!(
            !behaviour.name.is_empty() && !behaviour.description.is_empty() && behaviour.enabled,
            "{key}"
        );
    }
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (dataset, stem, rule, _) in rules() {
        assert_eq!(rule.name.as_deref(), Some(stem.as_str()));
        assert_eq!(
            rule.logsource.service.as_deref(),
            Some(dataset.as_str()),
            "{stem}"
        );
        assert_eq!(rule.logsource.product.as_deref(), Some("cloudflare"), "{stem}");
        let id = rule.id.clone().unwrap_or_default();
        assert!(
            id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]),
            "{stem}: {id}"
        );
        assert!(ids.insert(id) && names.insert(stem.clone()), "{stem} comes twice");
        assert!(
            rule.description.as_ref().is_some_and(|text| text.len() > 60),
            "{stem} is not described"
        );
        assert!(
            rule.level.is_some() && rule.status.is_some() && !rule.falsepositives.is_empty(),
            "{stem}"
        );
        assert!(
            rule.tags
                .iter()
                .all(|tag| tag.starts_with("attack.t") && *tag == tag.to_lowercase()),
            "{stem}"
        );
        let own = own(&rule);
        assert!(
            behaviours.contains_key(&own.behaviour),
            "{stem}: no behaviour {}",
            own.behaviour
        );
        assert!(
            root().join(format!("tips/{}.md", own.topic)).is_file(),
            "{stem}: no tip {}",
            own.topic
        );
        let other: Vec<&String> = rule.custom.keys().filter(|key| *key != "flareward").collect();
        assert!(other.is_empty(), "{stem} has unknown keys {other:?}");
    }
}

#[test]
fn each_tip_has_a_title_a_placeholder_and_a_readable_length() {
    for file in fs::read_dir(root().join("tips"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let text = fs::read_to_string(&file).unwrap();
        let (title, body) = text.split_once('\n').unwrap();
        assert!(title.starts_with("# ") && title.len() > 5, "{file:?}");
        assert!(
            body.contains("{{ what }}") && body.contains("{{ when }}"),
            "{file:?}"
        );
        assert!((60..=120).contains(&body.split_whitespace().count()), "{file:?}");
        assert!(body.contains("\"not me\""), "{file:?} does not say how to answer");
    }
}

#[test]
fn a_set_of_all_rules_answers_by_dataset() {
    let mut set = RuleSet::new();
    let rules = rules();
    for (_, _, rule, _) in &rules {
        set.add(compiled(rule)).unwrap();
    }
    assert_eq!(set.len(), rules.len());
    for (dataset, stem, _, cases) in &rules {
        if let Expectations::Events(events) = &cases.fires {
            for case in events {
                let names: Vec<_> = set
                    .matches(dataset, &case.event)
                    .iter()
                    .filter_map(|rule| rule.rule().name.clone())
                    .collect();
                assert!(names.contains(stem), "{stem}, {}: {names:?}", case.name);
            }
        }
    }
}
