//! Explains why a rule matches or not, with a second, simple evaluator.
//!
//! It evaluates every part, never stops early, and does not use the production matcher, its lookup or its calendar. So
//! both evaluators are unlikely to share a mistake. Start reading at [`explain`].

mod plain;

use serde::Serialize;
use serde_json::Value;

use crate::compile::ResolvedSelection;
use crate::condition::Condition;
use crate::criterion::Resolved;
use crate::detection::{Item, Selection};
use crate::rule::Rule;

/// The maximum number of values shown for each item.
const MAX_SHOWN: usize = 20;

/// Why a rule matches an event, or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Whether the rule matches.
    pub matched: bool,
    /// The condition as written.
    pub condition: String,
    /// Every selection, in the order of the rule.
    pub selections: Vec<SelectionExplanation>,
}

/// The result of one selection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelectionExplanation {
    /// The search identifier.
    pub name: String,
    /// Whether the selection matches.
    pub matched: bool,
    /// Every item, including those of nested lists.
    pub items: Vec<ItemExplanation>,
}

/// The result of one item.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemExplanation {
    /// The key as written, for instance `QueryName|endswith`.
    pub item: String,
    /// The values as written, at most 20.
    pub wanted: Vec<Value>,
    /// Whether the item matches.
    pub matched: bool,
    /// The values of the event that made it match (for `neq`, that would have matched), at most 20.
    pub matching: Vec<Value>,
    /// The values in the event's field, at most 20; `None` if the event has no such field.
    pub found: Option<Vec<Value>>,
}

pub(crate) fn explain(rule: &Rule, resolved: &[ResolvedSelection], event: &Value) -> Explanation {
    let selections: Vec<SelectionExplanation> = rule
        .detection
        .selections
        .iter()
        .zip(resolved)
        .map(|(named, resolved)| {
            let mut items = Vec::new();
            let matched = selection(&named.selection, resolved, event, &mut items);
            SelectionExplanation {
                name: named.name.clone(),
                matched,
                items,
            }
        })
        .collect();
    let outcomes: Vec<bool> = selections.iter().map(|selection| selection.matched).collect();
    Explanation {
        matched: condition(&rule.detection.condition, &outcomes),
        condition: rule.detection.condition_text.clone(),
        selections,
    }
}

fn condition(wanted: &Condition, outcomes: &[bool]) -> bool {
    match wanted {
        Condition::Selection(place) => outcomes[*place],
        Condition::And(inner) => inner.iter().filter(|one| !condition(one, outcomes)).count() == 0,
        Condition::Or(inner) => inner.iter().filter(|one| condition(one, outcomes)).count() > 0,
        Condition::Not(inner) => !condition(inner, outcomes),
        Condition::AtLeast(needed, places) => {
            places.iter().filter(|place| outcomes[**place]).count() >= *needed
        }
    }
}

fn selection(
    written: &Selection,
    resolved: &ResolvedSelection,
    event: &Value,
    out: &mut Vec<ItemExplanation>,
) -> bool {
    match (written, resolved) {
        (Selection::AllOf(items), ResolvedSelection::AllOf(resolved)) => {
            let outcomes: Vec<bool> = items
                .iter()
                .zip(resolved)
                .map(|(written, resolved)| item(written, resolved, event, out))
                .collect();
            !outcomes.contains(&false)
        }
        (Selection::AnyOf(inner), ResolvedSelection::AnyOf(resolved)) => {
            let outcomes: Vec<bool> = inner
                .iter()
                .zip(resolved)
                .map(|(written, resolved)| selection(written, resolved, event, out))
                .collect();
            outcomes.contains(&true)
        }
        // Both were made from one rule, so their shapes are the same.
        _ => false,
    }
}

fn item(written: &Item, resolved: &Resolved, event: &Value, out: &mut Vec<ItemExplanation>) -> bool {
    let found: Option<Vec<&Value>> = match &resolved.field {
        Some(name) => plain::field(event, name),
        None => Some(plain::everything(event)),
    };
    let mut matching: Vec<&Value> = Vec::new();
    let groups: Vec<bool> = resolved
        .groups
        .iter()
        .map(|group| {
            let mut held = false;
            for test in group {
                let by: Vec<&Value> = found
                    .iter()
                    .flatten()
                    .copied()
                    .filter(|value| plain::value_passes(test, value, event))
                    .collect();
                held |= !by.is_empty() || plain::presence_passes(test, found.is_some());
                matching.extend(by);
            }
            held
        })
        .collect();
    let held = if resolved.all {
        !groups.contains(&false)
    } else {
        groups.contains(&true)
    };
    let matched = if resolved.negated { !held } else { held };
    let shown = |values: Vec<&Value>| values.into_iter().take(MAX_SHOWN).cloned().collect::<Vec<_>>();
    matching.dedup();
    out.push(ItemExplanation {
        item: written.written.clone(),
        wanted: shown(written.values.iter().map(|literal| &literal.value).collect()),
        matched,
        matching: shown(matching),
        found: if resolved.field.is_some() {
            found.map(shown)
        } else {
            None
        },
    });
    matched
}
