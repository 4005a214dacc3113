//! Combines documents: applies filters to their rules and links correlations to the rules that they refer to.
//!
//! Documents that cannot be used are left out and reported; the others work. Start reading at [`Collection::build`].

use std::collections::HashSet;

use crate::compile::CompiledRule;
use crate::correlation::Correlation;
use crate::document::Document;
use crate::filter::{Filter, FilterTarget};
use crate::resolve::Placeholders;
use crate::rule::{Rule, canonical_name};

/// The maximum nesting depth of correlations that refer to correlations. Chosen.
const MAX_NESTING: usize = 8;

/// Rules and correlations that work together.
#[derive(Debug, Default)]
pub struct Collection {
    /// Rules with their filters applied.
    pub rules: Vec<CollectedRule>,
    /// Correlations, each after those that it refers to.
    pub correlations: Vec<CollectedCorrelation>,
    /// Documents that were left out, with the reason.
    pub problems: Vec<Problem>,
}

/// A rule of a collection.
#[derive(Debug)]
pub struct CollectedRule {
    /// The origin of its document, as named by the caller.
    pub origin: String,
    /// The rule with its filters.
    pub compiled: CompiledRule,
    /// Whether its matches are reported. Matches of a rule that a correlation refers to are not, unless the correlation
    /// sets `generate: true`.
    pub is_reported: bool,
}

/// A correlation of a collection.
#[derive(Debug)]
pub struct CollectedCorrelation {
    /// The origin of its document, as named by the caller.
    pub origin: String,
    /// The correlation as written.
    pub correlation: Correlation,
    /// The rules it refers to, in the order written.
    pub parts: Vec<Part>,
    /// Whether its firings are reported, as for [`CollectedRule::is_reported`].
    pub is_reported: bool,
}

/// One of a correlation's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it refers to.
    pub of: PartOf,
    /// The field of each `group-by` entry in that rule's events; for a correlation, its own `group-by` entry.
    pub key: Vec<String>,
    /// The fields whose values count.
    pub value: Vec<String>,
}

/// What a correlation refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartOf {
    /// A rule, by its index in [`Collection::rules`].
    Rule(usize),
    /// A correlation, by its index in [`Collection::correlations`].
    Correlation(usize),
}

/// A document that was left out, or a filter that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct Problem {
    /// The origin of the document, as named by the caller.
    pub origin: String,
    /// What is not supported or invalid, with the rule's name.
    pub reason: String,
}

#[derive(Clone, Copy)]
struct Names<'a> {
    title: &'a str,
    id: Option<&'a str>,
    name: Option<&'a str>,
}

impl Collection {
    /// Combines documents. Each comes with its origin, by convention the name of its file.
    pub fn build(documents: Vec<(String, Document)>, placeholders: &Placeholders) -> Self {
        let mut collection = Self::default();
        let (mut rules, mut correlations, mut filters) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = HashSet::new();
        for (origin, document) in documents {
            let names = names(&document);
            if let Some(reason) = claim(&mut taken, names) {
                collection.problems.push(Problem { origin, reason });
                continue;
            }
            match document {
                Document::Rule(rule) => rules.push((origin, *rule)),
                Document::Correlation(correlation) => correlations.push((origin, *correlation)),
                Document::Filter(filter) => filters.push((origin, *filter)),
            }
        }
        collection.apply_filters(&filters, &mut rules, &correlations);
        for (origin, rule) in rules {
            match CompiledRule::compile(&rule, placeholders) {
                Ok(compiled) => collection.rules.push(CollectedRule {
                    origin,
                    compiled,
                    is_reported: true,
                }),
                Err(error) => collection.problem(origin, error.to_string()),
            }
        }
        collection.tie(correlations);
        collection
    }

    fn problem(&mut self, origin: String, reason: String) {
        self.problems.push(Problem { origin, reason });
    }

    fn apply_filters(
        &mut self,
        filters: &[(String, Filter)],
        rules: &mut [(String, Rule)],
        correlations: &[(String, Correlation)],
    ) {
        for (origin, filter) in filters {
            let label = filter.header.label();
            if let FilterTarget::Named(names) = &filter.target {
                for name in names {
                    let found = rules.iter().find(|(_, rule)| rule.is_called(name));
                    let reason = match found {
                        Some((_, rule)) if filter.fits(rule) => continue,
                        Some((_, rule)) => {
                            format!("filter {label}: {} has a different log source", rule.label())
                        }
                        None if correlations.iter().any(|(_, other)| other.header.is_called(name)) => {
                            format!("filter {label}: {name} is a correlation; list its rules instead")
                        }
                        None => format!("filter {label}: no rule has the id or name {name}"),
                    };
                    self.problem(origin.clone(), reason);
                }
            }
            for (_, rule) in rules.iter_mut() {
                let is_meant = match &filter.target {
                    FilterTarget::Any => true,
                    FilterTarget::Named(names) => names.iter().any(|name| rule.is_called(name)),
                };
                if is_meant && filter.fits(rule) {
                    *rule = filter.apply(rule);
                }
            }
        }
    }

    /// Links correlations to what they refer to. A correlation is linked after all of its parts.
    fn tie(&mut self, mut waiting: Vec<(String, Correlation)>) {
        let mut hidden: Vec<PartOf> = Vec::new();
        let mut shown: Vec<PartOf> = Vec::new();
        for _ in 0..MAX_NESTING {
            let mut later = Vec::new();
            for (origin, correlation) in std::mem::take(&mut waiting) {
                match self.parts(&correlation) {
                    Ok(Some(parts)) => {
                        let list = if correlation.generate {
                            &mut shown
                        } else {
                            &mut hidden
                        };
                        list.extend(parts.iter().map(|part| part.of));
                        self.correlations.push(CollectedCorrelation {
                            origin,
                            correlation,
                            parts,
                            is_reported: true,
                        });
                    }
                    Ok(None) => later.push((origin, correlation)),
                    Err(reason) => {
                        let reason = format!("correlation {}: {reason}", correlation.header.label());
                        self.problem(origin, reason);
                    }
                }
            }
            waiting = later;
        }
        let names: Vec<String> = waiting
            .iter()
            .flat_map(|(_, correlation)| [correlation.header.id.clone(), correlation.header.name.clone()])
            .flatten()
            .map(|name| canonical_name(&name).into_owned())
            .collect();
        for (origin, correlation) in waiting {
            let missing = correlation
                .rules
                .iter()
                .find(|name| !names.contains(name) && self.find(name).is_none());
            let reason = match missing {
                Some(name) => format!(
                    "correlation {}: no rule has the id or name {name}",
                    correlation.header.label()
                ),
                None => format!(
                    "correlation {}: it refers to itself or to a skipped document, or is nested too deeply",
                    correlation.header.label()
                ),
            };
            self.problem(origin, reason);
        }
        hidden.retain(|part| !shown.contains(part));
        for part in hidden {
            match part {
                PartOf::Rule(place) => self.rules[place].is_reported = false,
                PartOf::Correlation(place) => self.correlations[place].is_reported = false,
            }
        }
    }

    /// The index of the rule or correlation that is called `name`.
    pub fn find(&self, name: &str) -> Option<PartOf> {
        let rule = self
            .rules
            .iter()
            .position(|rule| rule.compiled.rule().is_called(name));
        rule.map(PartOf::Rule).or_else(|| {
            self.correlations
                .iter()
                .position(|other| other.correlation.header.is_called(name))
                .map(PartOf::Correlation)
        })
    }

    /// The parts of a correlation; `None` while one of them is not linked yet.
    fn parts(&self, correlation: &Correlation) -> Result<Option<Vec<Part>>, String> {
        let mut parts = Vec::new();
        for name in &correlation.rules {
            let Some(of) = self.find(name) else {
                return Ok(None);
            };
            let meaning = |field: &String| -> String {
                let (bare, cased) = without_cased(field);
                let aliased = correlation
                    .aliases
                    .get(bare)
                    .and_then(|meanings| meanings.get(name));
                match aliased {
                    Some(meant) if cased => format!("{meant}{CASED}"),
                    Some(meant) => meant.clone(),
                    None => field.clone(),
                }
            };
            for field in &correlation.group_by {
                let is_lacking = correlation
                    .aliases
                    .get(without_cased(field).0)
                    .is_some_and(|meanings| !meanings.contains_key(name));
                if is_lacking {
                    return Err(format!("the alias {field} is not defined for {name}"));
                }
            }
            let key: Vec<String> = correlation.group_by.iter().map(meaning).collect();
            if let PartOf::Correlation(inner) = of {
                let inner = &self.correlations[inner].correlation;
                if let Some(field) = key.iter().find(|field| !inner.group_by.contains(field)) {
                    return Err(format!(
                        "{name} does not group by {field}, so it has no value for it"
                    ));
                }
                if correlation.kind.has_value() {
                    return Err(format!("{name} is a correlation and has no fields to compare"));
                }
            }
            parts.push(Part {
                of,
                key,
                value: correlation.fields.iter().map(meaning).collect(),
            });
        }
        Ok(Some(parts))
    }
}

/// Suffix of the name of a compared field: comparison is case-sensitive. Without the suffix, it ignores case.
const CASED: &str = "|cased";

/// The field name in a correlation, and whether its values are compared case-sensitively (`Field|cased`).
pub fn without_cased(field: &str) -> (&str, bool) {
    match field.strip_suffix(CASED) {
        Some(bare) => (bare, true),
        None => (field, false),
    }
}

fn names(document: &Document) -> Names<'_> {
    match document {
        Document::Rule(rule) => Names {
            title: &rule.title,
            id: rule.id.as_deref(),
            name: rule.name.as_deref(),
        },
        Document::Correlation(correlation) => Names::of(&correlation.header),
        Document::Filter(filter) => Names::of(&filter.header),
    }
}

impl<'a> Names<'a> {
    fn of(header: &'a crate::rule::Header) -> Self {
        Self {
            title: &header.title,
            id: header.id.as_deref(),
            name: header.name.as_deref(),
        }
    }
}

/// Why the document cannot use its names: another document already has one of them.
fn claim(taken: &mut HashSet<String>, names: Names<'_>) -> Option<String> {
    let own = [names.id, names.name];
    for word in own.into_iter().flatten() {
        if taken.contains(canonical_name(word).as_ref()) {
            return Some(format!(
                "{}: another document has the id or name {word}; use a unique one",
                names.title
            ));
        }
    }
    taken.extend(
        own.into_iter()
            .flatten()
            .map(|word| canonical_name(word).into_owned()),
    );
    None
}
