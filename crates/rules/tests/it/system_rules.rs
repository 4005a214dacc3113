//! The built-in rules: each is complete, and fires or stays silent as its cases say.
//!
//! Reads `rules/` and `tips/` at the root of the repository. Cases about several events are only read here; `cases.rs`
//! tests whether they fire.

#![expect(clippy::unwrap_used, reason = "files of the repository are read as they are")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rules::book::RuleBook;
use serde::Deserialize;
use serde_json::Value;
use sigma::{
    Collection, CompiledRule, Document, Matcher, PartOf, Placeholders, Rule, Scratch, add_derived,
    parse_documents,
};

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
    first_seen: Option<FirstSeen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Travel {
    speed_kmh: u32,
    distance_km: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstSeen {
    fields: Vec<String>,
    days: u32,
    learning_days: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    description: String,
    values: Vec<String>,
}

/// A file of rules: the document that is reported, those that it looks at, and its cases.
struct File {
    dataset: String,
    stem: String,
    reported: Document,
    bases: Vec<Document>,
    cases: Cases,
}

/// Where a record may have its identity.
const IDENTITY: &[&str] = &["Email", "UserEmail", "ActorEmail", "To", "Recipient"];
/// Where a record may have its time.
const TIMES: &[&str] = &[
    "Datetime",
    "CreatedAt",
    "Timestamp",
    "SessionStartTime",
    "ActionTimestamp",
    "When",
    "CompletedAt",
    "DetectedTimestamp",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of rules with its cases.
fn files() -> Vec<File> {
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
            let parsed = parse_documents(&fs::read_to_string(&file).unwrap())
                .unwrap_or_else(|error| panic!("{stem}: {error}"));
            let (mut own, bases): (Vec<Document>, Vec<Document>) = parsed
                .into_iter()
                .partition(|document| described(document).name.as_deref() == Some(stem.as_str()));
            assert_eq!(own.len(), 1, "{stem} has one document of that name");
            let cases = fs::read_to_string(folder.join(format!("{stem}.cases.yml")))
                .unwrap_or_else(|error| panic!("{stem} has no cases: {error}"));
            let cases =
                serde_saphyr::from_str(&cases).unwrap_or_else(|error| panic!("cases of {stem}: {error}"));
            found.push(File {
                dataset,
                stem,
                reported: own.remove(0),
                bases,
                cases,
            });
        }
    }
    found.sort_by(|left, right| left.stem.cmp(&right.stem));
    let book = RuleBook::load(None);
    let names: BTreeSet<&str> = book.rules().iter().map(|rule| rule.name.as_str()).collect();
    let stems: BTreeSet<&str> = found.iter().map(|file| file.stem.as_str()).collect();
    assert_eq!(stems, names, "the files and the built-in rules");
    found
}

/// What a document says about itself.
struct Described<'a> {
    id: Option<&'a str>,
    name: Option<String>,
    text: &'a str,
    tags: &'a [String],
    is_graded: bool,
    custom: &'a serde_json::Map<String, Value>,
}

fn described(document: &Document) -> Described<'_> {
    macro_rules! of {
        ($header:expr) => {
            Described {
                id: $header.id.as_deref(),
                name: $header.name.clone(),
                text: $header.description.as_deref().unwrap_or_default(),
                tags: &$header.tags,
                is_graded: $header.level.is_some()
                    && $header.status.is_some()
                    && !$header.falsepositives.is_empty(),
                custom: &$header.custom,
            }
        };
    }
    match document {
        Document::Rule(rule) => of!(rule),
        Document::Correlation(correlation) => of!(correlation.header),
        Document::Filter(filter) => of!(filter.header),
    }
}

/// The lists that rules refer to, as the product comes with them.
fn parameters() -> BTreeMap<String, Parameter> {
    serde_saphyr::from_str(&fs::read_to_string(root().join("rules/parameters.yml")).unwrap()).unwrap()
}

fn placeholders() -> Placeholders {
    let mut placeholders = Placeholders::none();
    for (name, parameter) in parameters() {
        placeholders.set(name, parameter.values);
    }
    placeholders
}

fn compiled(rule: &Rule) -> CompiledRule {
    CompiledRule::compile(rule, &placeholders()).unwrap_or_else(|error| panic!("{error}"))
}

/// A record with what is worked out of it, for those who read only what is there.
fn full(rule: &Rule, event: &Value) -> Value {
    let identity: Vec<String> = IDENTITY.iter().map(|field| (*field).to_owned()).collect();
    let mut event = event.clone();
    for field in rule.field_names() {
        add_derived(&mut event, &field, &identity);
    }
    event
}

/// The files about single events.
fn single(files: &[File]) -> impl Iterator<Item = (&File, &Rule, &[Case], &[Case])> {
    files.iter().filter_map(
        |file| match (&file.reported, &file.cases.fires, &file.cases.silent) {
            (Document::Rule(rule), Expectations::Events(fires), Expectations::Events(silent)) => {
                Some((file, rule.as_ref(), fires.as_slice(), silent.as_slice()))
            }
            _ => None,
        },
    )
}

#[test]
fn each_rule_fires_and_stays_silent_as_its_cases_say() {
    let files = files();
    for (file, rule, fires, silent) in single(&files) {
        let stem = &file.stem;
        let compiled = compiled(rule);
        let matcher = Matcher::new([(0, &compiled)], IDENTITY, &[]);
        assert!(!fires.is_empty() && !silent.is_empty(), "{stem} lacks a case");
        for (cases, expected) in [(fires, true), (silent, false)] {
            for Case { name, event } in cases {
                let full = full(rule, event);
                let explanation = compiled.explain(&full);
                assert_eq!(
                    compiled.matches(&full),
                    expected,
                    "{stem}, {name}: {explanation:#?}"
                );
                assert_eq!(
                    explanation.matched, expected,
                    "{stem}, {name}: the explanation differs"
                );
                let line = event.to_string();
                let scanned = matcher.scan(line.as_bytes(), &mut Scratch::default(), |_, matched| {
                    !matched.is_empty()
                });
                assert_eq!(scanned, Ok(expected), "{stem}, {name}: the engine differs");
            }
        }
    }
}

#[test]
fn cases_are_named_once_and_sequences_run_in_order_of_time() {
    for file in files() {
        let stem = &file.stem;
        let mut names = BTreeSet::new();
        for expectations in [&file.cases.fires, &file.cases.silent] {
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
                    assert!(!sequences.is_empty(), "{stem} lacks a sequence");
                    for Sequence { name, events } in sequences {
                        assert!(names.insert(name.clone()), "{stem}: {name} comes twice");
                        assert!(events.len() > 1, "{stem}, {name}: one event is no sequence");
                        let time = |event: &Value| {
                            TIMES
                                .iter()
                                .find_map(|field| event[field].as_str().map(str::to_owned))
                        };
                        let times: Vec<Option<String>> = events.iter().map(time).collect();
                        assert!(
                            times.is_sorted() && times.iter().all(Option::is_some),
                            "{stem}: {name}"
                        );
                    }
                }
            }
        }
        assert!(!names.is_empty(), "{}/{stem}", file.dataset);
    }
}

#[test]
fn the_last_event_of_a_sequence_that_fires_is_one_that_the_rule_looks_at() {
    for file in files() {
        let Expectations::Sequences { sequences } = &file.cases.fires else {
            continue;
        };
        let rules: Vec<&Rule> = file
            .bases
            .iter()
            .chain([&file.reported])
            .filter_map(|document| match document {
                Document::Rule(rule) => Some(rule.as_ref()),
                _ => None,
            })
            .collect();
        for Sequence { name, events } in sequences {
            let is_looked_at = |event: &Value| {
                rules
                    .iter()
                    .any(|rule| compiled(rule).matches(&full(rule, event)))
            };
            // Of a sum, one large part may be followed by small ones that do not count.
            assert!(
                events.iter().rev().take(2).any(is_looked_at),
                "{}: {name}",
                file.stem
            );
        }
    }
}

fn own(document: &Document) -> Own {
    let described = described(document);
    let section = described
        .custom
        .get("flareward")
        .unwrap_or_else(|| panic!("{:?} has no `flareward:`", described.name));
    serde_json::from_value(section.clone()).unwrap_or_else(|error| panic!("{:?}: {error}", described.name))
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
    let mut triggered = BTreeSet::new();
    for file in files() {
        let stem = &file.stem;
        let mut services = BTreeSet::new();
        for document in file.bases.iter().chain([&file.reported]) {
            let described = described(document);
            let id = described.id.unwrap_or_default().to_owned();
            assert!(
                id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]),
                "{stem}: {id}"
            );
            let name = described.name.unwrap_or_default();
            assert!(name.starts_with(stem.as_str()), "{stem}: {name}");
            assert!(ids.insert(id) && names.insert(name), "{stem} comes twice");
            let other: Vec<&String> = described
                .custom
                .keys()
                .filter(|key| *key != "flareward")
                .collect();
            assert!(other.is_empty(), "{stem} has unknown keys {other:?}");
            if let Document::Rule(rule) = document {
                assert_eq!(rule.logsource.product.as_deref(), Some("cloudflare"), "{stem}");
                services.extend(rule.logsource.service.clone());
            }
        }
        assert!(services.contains(&file.dataset), "{stem}: {services:?}");
        for base in &file.bases {
            assert!(
                described(base).custom.is_empty(),
                "{stem}: what a correlation looks at is not reported"
            );
        }
        let described = described(&file.reported);
        assert!(described.text.len() > 60, "{stem} is not described");
        assert!(described.is_graded, "{stem}");
        assert!(
            described
                .tags
                .iter()
                .all(|tag| tag.starts_with("attack.t") && *tag == tag.to_lowercase()),
            "{stem}"
        );
        let own = own(&file.reported);
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
        if let Some(travel) = &own.travel {
            assert!(travel.speed_kmh > 0 && travel.distance_km > 0, "{stem}");
        }
        if let Some(first_seen) = &own.first_seen {
            assert!(
                !first_seen.fields.is_empty() && first_seen.days > first_seen.learning_days,
                "{stem}"
            );
        }
        triggered.insert(own.behaviour);
    }
    let unused: Vec<&String> = behaviours
        .keys()
        .filter(|key| !triggered.contains(*key))
        .collect();
    assert!(unused.is_empty(), "no rule triggers {unused:?}");
}

#[test]
fn each_list_is_described_and_used() {
    let mut texts = String::new();
    for file in files() {
        texts +=
            &fs::read_to_string(root().join(format!("rules/{}/{}.yml", file.dataset, file.stem))).unwrap();
    }
    for (name, parameter) in parameters() {
        assert!(parameter.description.len() > 20, "{name} is not described");
        assert!(texts.contains(&format!("%{name}%")), "no rule uses {name}");
    }
}

#[test]
fn all_documents_go_together_and_only_those_with_a_behaviour_are_reported() {
    let documents = files()
        .into_iter()
        .flat_map(|file| {
            let stem = file.stem;
            file.bases
                .into_iter()
                .chain([file.reported])
                .map(move |document| (stem.clone(), document))
        })
        .collect();
    let collection = Collection::build(documents, &placeholders());
    assert_eq!(collection.problems, []);
    for rule in &collection.rules {
        let has_own = rule.compiled.rule().custom.contains_key("flareward");
        assert_eq!(rule.is_reported, has_own, "{}", rule.compiled.rule().label());
    }
    for correlation in &collection.correlations {
        let has_own = correlation.correlation.header.custom.contains_key("flareward");
        assert_eq!(
            correlation.is_reported,
            has_own,
            "{}",
            correlation.correlation.header.label()
        );
        for part in &correlation.parts {
            let PartOf::Rule(place) = part.of else { continue };
            let rule = collection.rules[place].compiled.rule().name.clone().unwrap();
            assert!(rule.starts_with(&correlation.origin), "{rule}");
        }
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
fn all_rules_of_a_dataset_together_find_what_each_finds_alone() {
    let files = files();
    let mut by_dataset: BTreeMap<&str, Vec<(&str, CompiledRule)>> = BTreeMap::new();
    for (file, rule, _, _) in single(&files) {
        let rules = by_dataset.entry(&file.dataset).or_default();
        rules.push((&file.stem, compiled(rule)));
    }
    for (dataset, rules) in by_dataset {
        let matcher = Matcher::new(rules.iter().map(|(_, rule)| rule).enumerate(), IDENTITY, &[]);
        let mut scratch = Scratch::default();
        for (file, _, fires, _) in single(&files).filter(|(file, ..)| file.dataset == dataset) {
            for case in fires {
                let line = case.event.to_string();
                let names = matcher
                    .scan(line.as_bytes(), &mut scratch, |_, matched| {
                        matched.iter().map(|place| rules[*place].0).collect::<Vec<_>>()
                    })
                    .unwrap();
                assert!(
                    names.contains(&file.stem.as_str()),
                    "{}, {}: {names:?}",
                    file.stem,
                    case.name
                );
            }
        }
    }
}
