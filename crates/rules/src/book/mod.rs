//! The rules, behaviours, parameters and tips of this process: the built-in ones, and the organisation's own from
//! `rules/` in the data folder and from the store.
//!
//! Invalid documents are left out and listed in [`RuleBook::problems`]; the others work. Start reading at
//! [`RuleBook::build`].

mod lists;
mod own;
pub mod parameter;
mod reading;
mod rule;
pub(crate) mod words;

use crate::detector::Detector;
use model::RiskLevel;
use parameter::Parameters;
use reading::Reading;
use rust_embed::RustEmbed;
use serde::Deserialize;
use sigma::{Collection, Correlation, PartOf};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub use own::{FirstSeen, Own, Travel};
pub use rule::{BookRule, Origin, RuleMode, level_word};

#[derive(RustEmbed)]
#[folder = "../../tips"]
struct SystemTips;

/// A kind of risky activity.
#[derive(Debug, Clone, Deserialize)]
pub struct Behaviour {
    /// Its name for people.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its level.
    pub risk_level: RiskLevel,
    /// Whether it is enabled.
    pub enabled: bool,
}

/// The text of a message about a topic.
#[derive(Debug, Clone)]
pub struct Tip {
    /// Its title.
    pub title: String,
    /// Its text, a template in Markdown.
    pub body: String,
}

/// Documents, lists and modes that the organisation has stored.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Name and text of each rule document.
    pub documents: Vec<(String, String)>,
    /// Lists that it fills in.
    pub parameters: Parameters,
    /// Modes by rule id.
    pub modes: HashMap<String, RuleMode>,
}

/// The data that detection, risk and coaching use.
#[derive(Debug)]
pub struct RuleBook {
    rules: Vec<BookRule>,
    by_source: HashMap<PartOf, usize>,
    /// All documents.
    pub collection: Collection,
    /// The enabled rules.
    pub detector: Detector,
    /// Behaviours by key.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// Lists that rules refer to.
    pub parameters: Parameters,
    /// Tips by topic.
    pub tips: BTreeMap<String, Tip>,
    /// Files that are invalid, each with the reason.
    pub problems: Vec<String>,
    /// Parts of valid documents that were ignored, each with the file.
    pub warnings: Vec<String>,
    /// The number of the organisation's own documents, valid or not.
    pub read: usize,
}

impl RuleBook {
    /// The built-in rules, behaviours and tips, and the custom rules of a folder, if it exists.
    pub fn load(custom: Option<&Path>) -> RuleBook {
        Self::build(true, custom, &Stored::default())
    }

    /// Only the rules of a folder, for example to run them over a file.
    pub fn of_folder(folder: &Path) -> RuleBook {
        Self::build(false, Some(folder), &Stored::default())
    }

    /// Combines the built-in rules (if requested), the rules of a folder, and the stored ones.
    pub fn build(with_system: bool, custom: Option<&Path>, stored: &Stored) -> RuleBook {
        let mut reading = Reading::default();
        let behaviours = reading.system();
        if !with_system {
            // The lists and behaviours stay: rules of the folder may refer to them.
            reading.documents.clear();
            reading.origins.clear();
        }
        if let Some(folder) = custom.filter(|folder| folder.is_dir()) {
            reading.folder(folder);
        }
        for (name, text) in &stored.documents {
            reading.document(name, text, Origin::Custom);
        }
        parameter::overlay(&mut reading.parameters, stored.parameters.clone());
        let placeholders = parameter::placeholders(&reading.parameters);
        let mut collection = Collection::build(reading.documents, &placeholders);
        let mut problems = reading.problems;
        problems.extend(collection.problems.drain(..).map(|problem| problem.to_string()));
        let mut owns: HashMap<PartOf, Own> = HashMap::new();
        let mut broken = Vec::new();
        for (part, origin, label, custom) in described(&collection) {
            match Own::read(custom) {
                Ok(own) => {
                    owns.insert(part, own);
                }
                Err(problem) => {
                    broken.push(part);
                    problems.push(format!("{origin}: {label}: {problem}"));
                }
            }
        }
        let own_of = |part: PartOf| owns.get(&part).cloned().unwrap_or_default();
        let mut rules = Vec::new();
        let mut by_source = HashMap::new();
        for (part, ..) in described(&collection) {
            let is_reported = match part {
                PartOf::Rule(place) => collection.rules[place].is_reported,
                PartOf::Correlation(place) => collection.correlations[place].is_reported,
            };
            if is_reported && !broken.contains(&part) {
                by_source.insert(part, rules.len());
                rules.push(BookRule::new(
                    &collection,
                    part,
                    own_of(part),
                    &reading.origins,
                    stored,
                ));
            }
        }
        let detector = Detector::new(&collection, &|rule| own_of(PartOf::Rule(rule)), &|part| {
            by_source
                .get(&part)
                .is_some_and(|place: &usize| rules[*place].mode != RuleMode::Off)
        });
        RuleBook {
            rules,
            by_source,
            collection,
            detector,
            behaviours,
            parameters: reading.parameters,
            tips: system_tips(),
            problems,
            warnings: reading.warnings,
            read: reading.read,
        }
    }

    /// A detector with only one rule, whatever its mode.
    pub fn detector_of(&self, rule: &BookRule) -> Detector {
        let own = |place| {
            self.reported(PartOf::Rule(place))
                .map(|rule| rule.own.clone())
                .unwrap_or_default()
        };
        Detector::new(&self.collection, &own, &|part| part == rule.source)
    }

    /// The cases of a built-in rule.
    pub fn system_cases(&self, rule: &BookRule) -> Option<String> {
        reading::system_cases(&rule.file)
    }

    /// All rules that are reported.
    pub fn rules(&self) -> &[BookRule] {
        &self.rules
    }

    /// The rule with this name or id.
    pub fn rule(&self, name: &str) -> Option<&BookRule> {
        let canonical = sigma::canonical_name(name);
        self.rules
            .iter()
            .find(|rule| rule.name == name || rule.id == canonical)
    }

    /// The content of a correlation rule; `None` for a rule about single events.
    pub fn correlation(&self, rule: &BookRule) -> Option<&Correlation> {
        match rule.source {
            PartOf::Rule(_) => None,
            PartOf::Correlation(place) => Some(&self.collection.correlations[place].correlation),
        }
    }

    /// The reported rule for a rule or correlation of the collection; `None` for one that only others refer to.
    pub fn reported(&self, source: PartOf) -> Option<&BookRule> {
        self.by_source.get(&source).map(|place| &self.rules[*place])
    }
}

fn system_tips() -> BTreeMap<String, Tip> {
    SystemTips::iter()
        .filter_map(|name| {
            let file = SystemTips::get(&name)?;
            let topic = name.strip_suffix(".md")?.to_owned();
            Some((topic, Tip::read(&String::from_utf8_lossy(&file.data))))
        })
        .collect()
}

type Described<'c> = (
    PartOf,
    &'c str,
    String,
    &'c serde_json::Map<String, serde_json::Value>,
);

/// Everything in a collection, with its kind, origin, name and extensions.
fn described(collection: &Collection) -> Vec<Described<'_>> {
    let rules = collection.rules.iter().enumerate().map(|(place, collected)| {
        let rule = collected.compiled.rule();
        (
            PartOf::Rule(place),
            collected.origin.as_str(),
            rule.label(),
            &rule.custom,
        )
    });
    let correlations = collection
        .correlations
        .iter()
        .enumerate()
        .map(|(place, collected)| {
            let header = &collected.correlation.header;
            (
                PartOf::Correlation(place),
                collected.origin.as_str(),
                header.label(),
                &header.custom,
            )
        });
    rules.chain(correlations).collect()
}

impl Tip {
    fn read(text: &str) -> Tip {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        Tip {
            title: first.trim_start_matches('#').trim().to_owned(),
            body: rest.trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_built_in_is_honoured_and_points_at_something() {
        let book = RuleBook::load(None);
        assert_eq!(book.problems, Vec::<String>::new());
        assert_eq!(book.rules().len(), 125);
        for rule in book.rules() {
            let behaviour = rule.own.behaviour.as_deref().unwrap();
            assert!(
                book.behaviours.contains_key(behaviour),
                "{}: {behaviour}",
                rule.name
            );
            assert!(
                book.tips.contains_key(rule.own.topic.as_deref().unwrap()),
                "{}",
                rule.name
            );
        }
        assert!(book.rule("acc-travel").unwrap().own.travel.is_some());
    }

    #[test]
    fn a_custom_rule_with_a_mistake_is_named_and_the_others_work() {
        let folder = tempfile::tempdir().unwrap();
        let good = "title: Mine\nid: mine\nlogsource: {service: gateway_dns}\n\
                    detection: {a: {QueryName: x.example}, condition: a}\n";
        std::fs::write(folder.path().join("good.yml"), good).unwrap();
        std::fs::write(
            folder.path().join("bad.yml"),
            good.replace("condition: a", "condition: a and"),
        )
        .unwrap();
        let book = RuleBook::load(Some(folder.path()));
        assert_eq!(book.problems.len(), 1, "{:?}", book.problems);
        assert!(book.problems[0].starts_with("bad.yml: "), "{:?}", book.problems);
        assert_eq!(book.rule("mine").unwrap().origin, Origin::Custom);
    }
}
