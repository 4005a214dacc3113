//! A rule in the book: its content, its origin, and the effect of its matches.

use super::{Own, Stored};
use crate::Dataset;
use crate::log_source::runs_on;
use serde_json::Value;
use sigma::{Collection, CompiledRule, Explanation, Level, PartOf, Rule};
use std::collections::HashMap;

/// The origin of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    System,
    /// The organisation's own.
    Custom,
}

/// The effect of a rule's matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RuleMode {
    /// They create detections.
    #[default]
    On,
    /// They are counted, but create no detections.
    Test,
    /// The rule is disabled.
    Off,
}

impl RuleMode {
    /// The stored and served spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Test => "test",
            Self::Off => "off",
        }
    }

    /// The mode with this spelling.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::On, Self::Test, Self::Off]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// A rule that is reported when it matches: a rule about single events, or a correlation.
#[derive(Debug, Clone)]
pub struct BookRule {
    /// The rule's own id, or its name if it has none.
    pub id: String,
    /// Its short name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// The severity of a match.
    pub level: Level,
    /// The dataset that it runs on; several are joined with commas, and `any` means every record.
    pub dataset: String,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// Known false positives.
    pub false_positives: Vec<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// The creation date, as its author wrote it.
    pub date: Option<String>,
    /// The date of the last change, as its author wrote it.
    pub modified: Option<String>,
    /// References.
    pub references: Vec<String>,
    /// Its extensions to Sigma.
    pub own: Own,
    /// Its origin.
    pub origin: Origin,
    /// The file or stored document that contains it.
    pub file: String,
    /// Its mode.
    pub mode: RuleMode,
    /// Its place in the collection.
    pub source: PartOf,
    /// The rules about single events that it consists of or refers to.
    pub bases: Vec<CompiledRule>,
}

impl BookRule {
    /// Explains why a record matches the rule or not. For a correlation, explains the rule among its parts that matches
    /// the record, or else the first.
    pub fn explain(&self, record: &Value) -> Explanation {
        let explained = |rule: &CompiledRule| {
            let mut record = record.clone();
            let identity: Vec<String> = runs_on(rule.rule())
                .iter()
                .flat_map(|on| on.dataset.identifier.iter().map(|field| (*field).to_owned()))
                .collect();
            for field in rule.rule().field_names() {
                sigma::add_derived(&mut record, &field, &identity);
            }
            rule.explain(&record)
        };
        let mut all = self.bases.iter().map(explained);
        let first = all.next();
        match first {
            Some(first) if !first.matched => all.find(|other| other.matched).unwrap_or(first),
            Some(first) => first,
            None => Explanation {
                matched: false,
                condition: String::new(),
                selections: Vec::new(),
            },
        }
    }

    /// Whether it evaluates several events together.
    pub fn is_stateful(&self) -> bool {
        matches!(self.source, PartOf::Correlation(_))
            || self.own.travel.is_some()
            || self.own.first_seen.is_some()
    }
}

impl BookRule {
    pub(super) fn new(
        collection: &Collection,
        source: PartOf,
        own: Own,
        origins: &HashMap<String, Origin>,
        stored: &Stored,
    ) -> Self {
        let mut places = Vec::new();
        bases(collection, source, &mut places);
        let bases: Vec<CompiledRule> = places
            .iter()
            .map(|place| collection.rules[*place].compiled.clone())
            .collect();
        let mut datasets: Vec<&str> = Vec::new();
        for base in &bases {
            let on = runs_on(base.rule());
            if on.is_empty() {
                datasets.push("any");
            }
            datasets.extend(on.iter().map(|on| on.dataset.name));
        }
        datasets.sort_unstable();
        datasets.dedup();
        let dataset = if datasets.len() > 5 {
            "any".to_owned()
        } else {
            datasets.join(",")
        };
        macro_rules! from {
            ($header:expr, $file:expr) => {{
                let header = $header;
                let name = header.name.clone().or_else(|| header.id.clone());
                let id = header.id.clone().or_else(|| header.name.clone());
                let id = id.unwrap_or_else(|| header.title.clone());
                let id = sigma::canonical_name(&id).into_owned();
                BookRule {
                    mode: stored.modes.get(&id).copied().unwrap_or_default(),
                    id,
                    name: name.unwrap_or_else(|| header.title.clone()),
                    title: header.title.clone(),
                    description: header.description.clone().unwrap_or_default(),
                    level: header.level.unwrap_or(Level::Medium),
                    dataset,
                    tags: header.tags.clone(),
                    false_positives: header.falsepositives.clone(),
                    author: header.author.clone(),
                    date: header.date.clone(),
                    modified: header.modified.clone(),
                    references: header.references.clone(),
                    own,
                    origin: origins.get($file).copied().unwrap_or(Origin::Custom),
                    file: $file.clone(),
                    source,
                    bases,
                }
            }};
        }
        match source {
            PartOf::Rule(place) => {
                let collected = &collection.rules[place];
                let rule: &Rule = collected.compiled.rule();
                from!(rule, &collected.origin)
            }
            PartOf::Correlation(place) => {
                let collected = &collection.correlations[place];
                from!(&collected.correlation.header, &collected.origin)
            }
        }
    }

    /// The identity fields of the datasets that the rule runs on.
    pub fn datasets(&self) -> Vec<&'static Dataset> {
        self.dataset.split(',').filter_map(Dataset::named).collect()
    }
}

/// The stored and served spelling of a level.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Informational => "informational",
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
        Level::Critical => "critical",
    }
}

/// The rules about single events that a part consists of, directly or through correlations.
fn bases(collection: &Collection, part: PartOf, found: &mut Vec<usize>) {
    match part {
        PartOf::Rule(place) => {
            if !found.contains(&place) {
                found.push(place);
            }
        }
        PartOf::Correlation(place) => {
            for part in &collection.correlations[place].parts {
                bases(collection, part.of, found);
            }
        }
    }
}
