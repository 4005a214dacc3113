//! A rule in the book: its content, its origin, and the effect of its matches.

use super::{Own, Stored};
use crate::Dataset;
use crate::log_source::runs_on;
use serde_json::Value;
use sigma::{Collection, CompiledRule, Explanation, Level, PartOf, Rule};
use std::collections::HashMap;

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    System,
    /// The organisation's own.
    Custom,
}

/// What becomes of a rule's matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RuleMode {
    /// They become detections.
    #[default]
    On,
    /// They are counted, and nothing else comes of them.
    Test,
    /// It does not run.
    Off,
}

impl RuleMode {
    /// The word that is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Test => "test",
            Self::Off => "off",
        }
    }

    /// The mode of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::On, Self::Test, Self::Off]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// A rule that is reported when it matches: one about single events, or a correlation.
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
    /// The dataset that it runs on; several are joined with commas, and `any` is every record.
    pub dataset: String,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// What else may make it match.
    pub false_positives: Vec<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was written, in its author's spelling.
    pub date: Option<String>,
    /// When it was last changed, in its author's spelling.
    pub modified: Option<String>,
    /// Where more is said.
    pub references: Vec<String>,
    /// What it says beyond Sigma.
    pub own: Own,
    /// Where it comes from.
    pub origin: Origin,
    /// The file or stored document that it stands in.
    pub file: String,
    /// What becomes of its matches.
    pub mode: RuleMode,
    /// What it is in the collection.
    pub source: PartOf,
    /// The rules about single events that it is, or that it looks at the matches of.
    pub bases: Vec<CompiledRule>,
}

impl BookRule {
    /// Why a record makes the rule match or not. Of a correlation, the rule among those it looks at that matches the
    /// record, else the first.
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

    /// Whether it looks at several events together.
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

/// The rules about single events at the bottom of a part.
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
