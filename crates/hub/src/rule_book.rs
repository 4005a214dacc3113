//! The rules, behaviours and tips that this process works with: those built in, and the organisation's own
//! rules from `rules/` in the data folder.
//!
//! A custom rule that cannot be honoured is left out and named in [`RuleBook::problems`]; the others work.

use model::RiskLevel;
use rust_embed::RustEmbed;
use serde::Deserialize;
use sigma::{CompiledRule, Level, Placeholders, Rule};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

#[derive(RustEmbed)]
#[folder = "../../rules"]
struct SystemRules;

#[derive(RustEmbed)]
#[folder = "../../tips"]
struct SystemTips;

/// Custom rule files that are read. Chosen: more is a mistake.
const CUSTOM_FILES_MAX: usize = 10_000;

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    System,
    /// The organisation's own.
    Custom,
}

/// A rule that is ready to run.
#[derive(Debug, Clone)]
pub struct BookRule {
    /// The rule's own id; its name where it has none.
    pub id: String,
    /// Its short name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it finds, in plain words.
    pub description: String,
    /// How bad a match is.
    pub level: Level,
    /// The dataset that it runs on.
    pub dataset: String,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// What else may make it match.
    pub false_positives: Vec<String>,
    /// The behaviour that it triggers.
    pub behaviour: Option<String>,
    /// What to coach about.
    pub topic: Option<String>,
    /// Journeys that it looks for among the events that it selects.
    pub travel: Option<Travel>,
    /// Where it comes from.
    pub origin: Origin,
    /// The compiled selections.
    pub compiled: CompiledRule,
}

/// Two events of one person that lie farther apart than anyone could go in the time between.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Travel {
    /// Faster than this is impossible, in kilometres an hour.
    pub speed_kmh: f64,
    /// Shorter than this is never looked at, in kilometres.
    pub distance_km: f64,
}

/// A kind of risky conduct.
#[derive(Debug, Clone, Deserialize)]
pub struct Behaviour {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The level that it gives.
    pub risk_level: RiskLevel,
    /// Whether it counts.
    pub enabled: bool,
}

/// The text of a message about a topic.
#[derive(Debug, Clone)]
pub struct Tip {
    /// Its heading.
    pub title: String,
    /// Its text, a template in Markdown.
    pub body: String,
}

/// Everything that detection, risk and coaching look up.
#[derive(Debug, Default)]
pub struct RuleBook {
    rules: Vec<BookRule>,
    by_dataset: HashMap<String, Vec<usize>>,
    /// Behaviours by key.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// Tips by topic.
    pub tips: BTreeMap<String, Tip>,
    /// Files that could not be honoured, each with the reason.
    pub problems: Vec<String>,
}

impl RuleBook {
    /// The built-in rules, behaviours and tips, and the custom rules of a folder, if it is there.
    pub fn load(custom: Option<&Path>) -> RuleBook {
        let mut book = RuleBook::default();
        for name in SystemRules::iter() {
            let Some(file) = SystemRules::get(&name) else {
                continue;
            };
            let text = String::from_utf8_lossy(&file.data);
            if name == "behaviours.yml" {
                match serde_saphyr::from_str(&text) {
                    Ok(behaviours) => book.behaviours = behaviours,
                    Err(error) => book.problems.push(format!("{name}: {error}")),
                }
            } else if name.ends_with(".yml") && !name.ends_with(".cases.yml") {
                book.add(&name, &text, Origin::System);
            }
        }
        for name in SystemTips::iter() {
            let Some(file) = SystemTips::get(&name) else {
                continue;
            };
            if let Some(topic) = name.strip_suffix(".md") {
                book.tips
                    .insert(topic.to_owned(), Tip::read(&String::from_utf8_lossy(&file.data)));
            }
        }
        if let Some(folder) = custom.filter(|folder| folder.is_dir()) {
            book.add_folder(folder);
        }
        book
    }

    fn add_folder(&mut self, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.problems.push(format!("{}: {error}", folder.display())),
        };
        let mut files: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|ending| ending == "yml" || ending == "yaml")
            })
            .filter(|path| !path.to_string_lossy().ends_with(".cases.yml"))
            .take(CUSTOM_FILES_MAX)
            .collect();
        files.sort();
        for path in files {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            match std::fs::read_to_string(&path) {
                Ok(text) => self.add(&name, &text, Origin::Custom),
                Err(error) => self.problems.push(format!("{name}: {error}")),
            }
        }
    }

    fn add(&mut self, file: &str, text: &str, origin: Origin) {
        match read_rules(text, origin) {
            Ok(rules) => {
                for rule in rules {
                    if self
                        .rules
                        .iter()
                        .any(|other| other.id == rule.id || other.name == rule.name)
                    {
                        self.problems.push(format!(
                            "{file}: another rule has the id or name of {}",
                            rule.name
                        ));
                        continue;
                    }
                    self.by_dataset
                        .entry(rule.dataset.clone())
                        .or_default()
                        .push(self.rules.len());
                    self.rules.push(rule);
                }
            }
            Err(problem) => self.problems.push(format!("{file}: {problem}")),
        }
    }

    /// All rules.
    pub fn rules(&self) -> &[BookRule] {
        &self.rules
    }

    /// The rules that run on a dataset.
    pub fn for_dataset(&self, dataset: &str) -> impl Iterator<Item = &BookRule> {
        self.by_dataset
            .get(dataset)
            .into_iter()
            .flatten()
            .map(|index| &self.rules[*index])
    }

    /// The rule with this name or id.
    pub fn rule(&self, name: &str) -> Option<&BookRule> {
        self.rules
            .iter()
            .find(|rule| rule.name == name || rule.id == name)
    }
}

/// Reads and compiles the rules of one file.
///
/// # Errors
///
/// What cannot be honoured, with line and reason.
pub fn read_rules(text: &str, origin: Origin) -> Result<Vec<BookRule>, String> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        behaviour: Option<String>,
        topic: Option<String>,
        travel: Option<Travel>,
    }
    let rules = sigma::parse_rules(text).map_err(|error| crate::causes(&error))?;
    let mut read = Vec::with_capacity(rules.len());
    for rule in rules {
        let compiled =
            CompiledRule::compile(&rule, &Placeholders::none()).map_err(|error| crate::causes(&error))?;
        let own: Own = match rule.custom.get("flareward") {
            Some(own) => serde_json::from_value(own.clone()).map_err(|error| {
                format!(
                    "{}: the part \"flareward\" is not understood: {error}",
                    rule.label()
                )
            })?,
            None => Own::default(),
        };
        let dataset = rule.logsource.service.clone().ok_or_else(|| {
            format!(
                "{}: logsource.service must name the dataset, for example gateway_dns",
                rule.label()
            )
        })?;
        read.push(BookRule {
            id: rule
                .id
                .clone()
                .or_else(|| rule.name.clone())
                .unwrap_or_else(|| rule.title.clone()),
            name: rule
                .name
                .clone()
                .or_else(|| rule.id.clone())
                .unwrap_or_else(|| rule.title.clone()),
            title: rule.title.clone(),
            description: rule.description.clone().unwrap_or_default(),
            level: rule.level.unwrap_or(Level::Medium),
            dataset,
            tags: rule.tags.clone(),
            false_positives: rule.falsepositives.clone(),
            behaviour: own.behaviour,
            topic: own.topic,
            travel: own.travel,
            origin,
            compiled,
        });
    }
    Ok(read)
}

/// A level in the words that are stored and served.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Informational => "informational",
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
        Level::Critical => "critical",
    }
}

impl BookRule {
    /// The rule as its author wrote it.
    pub fn source(&self) -> &Rule {
        self.compiled.rule()
    }
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
        assert!(book.rules().len() >= 12, "{}", book.rules().len());
        for rule in book.rules() {
            let behaviour = rule.behaviour.as_deref().unwrap();
            assert!(
                book.behaviours.contains_key(behaviour),
                "{}: {behaviour}",
                rule.name
            );
            assert!(
                book.tips.contains_key(rule.topic.as_deref().unwrap()),
                "{}",
                rule.name
            );
        }
        assert!(book.rule("acc-travel").unwrap().travel.is_some());
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
