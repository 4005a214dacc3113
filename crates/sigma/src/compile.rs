//! A compiled rule: its items as predicates, and its condition over them.
//!
//! Predicates are in one list, separate from the condition, so that many rules can later share them and find them
//! through an index. Start reading at [`CompiledRule::compile`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::condition::Condition;
use crate::criterion::Resolved;
use crate::detection::{Refusal, Selection};
use crate::event::Event;
use crate::explain::{self, Explanation};
use crate::matching::Predicate;
use crate::modifier::Modifier;
use crate::resolve::{Placeholders, resolve};
use crate::rule::Rule;

/// The maximum number of regular expressions in one rule; each may need some megabytes. Chosen; public rules stay under
/// 50.
const MAX_REGEXES: usize = 200;

/// Why a valid document cannot be compiled to a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}, selection {selection}: {reason} ({advice})")]
pub struct CompileError {
    /// Title and id of the rule.
    pub rule: String,
    /// The selection with the problem.
    pub selection: String,
    /// What is not supported or invalid.
    pub reason: String,
    /// How to fix it.
    pub advice: String,
}

/// A rule that is ready to be matched. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CompiledRule {
    rule: Arc<Rule>,
    resolved: Arc<Vec<ResolvedSelection>>,
    program: Arc<Program>,
    placeholders: Arc<Placeholders>,
}

/// A selection with its items resolved, in the order of the detection.
#[derive(Debug, Clone)]
pub(crate) enum ResolvedSelection {
    AllOf(Vec<Resolved>),
    AnyOf(Vec<ResolvedSelection>),
}

#[derive(Debug)]
struct Program {
    predicates: Vec<Predicate>,
    condition: Expression,
}

#[derive(Debug)]
enum Expression {
    Predicate(usize),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    AtLeast(usize, Vec<Expression>),
}

impl CompiledRule {
    /// Compiles `rule`. `placeholders` are the values for items with `expand`.
    ///
    /// # Errors
    ///
    /// [`CompileError`] for the first invalid or unsupported item: modifiers that cannot be combined, a regular
    /// expression that is refused or too large, a placeholder without a value.
    pub fn compile(rule: &Rule, placeholders: &Placeholders) -> Result<Self, CompileError> {
        let refused = |selection: &str, refusal: Refusal| CompileError {
            rule: rule.label(),
            selection: selection.to_owned(),
            reason: refusal.reason,
            advice: refusal.advice,
        };
        let mut resolved = Vec::new();
        let mut regexes = 0;
        for named in &rule.detection.selections {
            // Counted before any is compiled.
            regexes += regexes_in(&named.selection);
            if regexes > MAX_REGEXES {
                let refusal = Refusal::new(
                    "the rule has too many regular expressions",
                    format!("use at most {MAX_REGEXES}"),
                );
                return Err(refused(&named.name, refusal));
            }
            let selection = resolve_selection(&named.selection, placeholders);
            resolved.push(selection.map_err(|refusal| refused(&named.name, refusal))?);
        }
        let mut predicates = Vec::new();
        let condition = expression(&rule.detection.condition, &resolved, &mut predicates);
        Ok(Self {
            rule: Arc::new(rule.clone()),
            placeholders: Arc::new(placeholders.clone()),
            resolved: Arc::new(resolved),
            program: Arc::new(Program {
                predicates,
                condition,
            }),
        })
    }

    /// The rule with its fields under other names; see [`Rule::with_fields_renamed`].
    ///
    /// # Errors
    ///
    /// As [`CompiledRule::compile`].
    pub fn with_fields_renamed(&self, names: &BTreeMap<String, String>) -> Result<Self, CompileError> {
        Self::compile(&self.rule.with_fields_renamed(names), &self.placeholders)
    }

    /// The rule as written.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(crate) fn resolved(&self) -> &[ResolvedSelection] {
        &self.resolved
    }

    /// A text that changes when the meaning of the rule changes: its selections with lists expanded, and its condition.
    pub fn meaning(&self) -> String {
        format!("{:?} {:?}", self.resolved, self.rule.detection.condition)
    }

    /// Whether the rule matches. Ignores the log source, which the caller checks.
    pub fn matches<E: Event + ?Sized>(&self, event: &E) -> bool {
        self.program.condition.holds(&self.program.predicates, event)
    }

    /// Shows which selections and items match which values. Slow: it evaluates everything and shares no matching code
    /// with [`CompiledRule::matches`], with which it always agrees.
    pub fn explain(&self, event: &serde_json::Value) -> Explanation {
        explain::explain(&self.rule, &self.resolved, event)
    }
}

fn regexes_in(selection: &Selection) -> usize {
    match selection {
        Selection::AllOf(items) => items
            .iter()
            .filter(|item| item.modifiers.contains(&Modifier::Regex))
            .map(|item| item.values.len())
            .sum(),
        Selection::AnyOf(inner) => inner.iter().map(regexes_in).sum(),
    }
}

fn resolve_selection(
    selection: &Selection,
    placeholders: &Placeholders,
) -> Result<ResolvedSelection, Refusal> {
    Ok(match selection {
        Selection::AllOf(items) => ResolvedSelection::AllOf(
            items
                .iter()
                .map(|item| resolve(item, placeholders))
                .collect::<Result<_, _>>()?,
        ),
        Selection::AnyOf(inner) => ResolvedSelection::AnyOf(
            inner
                .iter()
                .map(|one| resolve_selection(one, placeholders))
                .collect::<Result<_, _>>()?,
        ),
    })
}

fn expression(
    condition: &Condition,
    selections: &[ResolvedSelection],
    predicates: &mut Vec<Predicate>,
) -> Expression {
    let mut all = |conditions: &[Condition]| -> Vec<Expression> {
        conditions
            .iter()
            .map(|inner| expression(inner, selections, predicates))
            .collect()
    };
    match condition {
        Condition::And(inner) => Expression::And(all(inner)),
        Condition::Or(inner) => Expression::Or(all(inner)),
        Condition::Not(inner) => Expression::Not(Box::new(expression(inner, selections, predicates))),
        Condition::Selection(place) => selection_expression(&selections[*place], predicates),
        Condition::AtLeast(needed, places) => Expression::AtLeast(
            *needed,
            places
                .iter()
                .map(|place| selection_expression(&selections[*place], predicates))
                .collect(),
        ),
    }
}

fn selection_expression(selection: &ResolvedSelection, predicates: &mut Vec<Predicate>) -> Expression {
    match selection {
        ResolvedSelection::AllOf(items) => Expression::And(
            items
                .iter()
                .map(|item| {
                    predicates.push(Predicate::new(item));
                    Expression::Predicate(predicates.len() - 1)
                })
                .collect(),
        ),
        ResolvedSelection::AnyOf(inner) => Expression::Or(
            inner
                .iter()
                .map(|one| selection_expression(one, predicates))
                .collect(),
        ),
    }
}

impl Expression {
    fn holds<E: Event + ?Sized>(&self, predicates: &[Predicate], event: &E) -> bool {
        match self {
            Self::Predicate(place) => predicates[*place].holds(event),
            Self::And(inner) => inner.iter().all(|one| one.holds(predicates, event)),
            Self::Or(inner) => inner.iter().any(|one| one.holds(predicates, event)),
            Self::Not(inner) => !inner.holds(predicates, event),
            Self::AtLeast(needed, inner) => {
                inner
                    .iter()
                    .filter(|one| one.holds(predicates, event))
                    .take(*needed)
                    .count()
                    == *needed
            }
        }
    }
}
