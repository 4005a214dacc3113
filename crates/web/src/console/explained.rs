//! Why a rule matches a record, as rows of a table.

use super::show;
use rules::book::BookRule;
use serde_json::Value;

/// Result of each part of a rule.
pub(super) struct Explained {
    /// The condition that combines the selections, as in the rule.
    pub(super) condition: String,
    /// The selections.
    pub(super) selections: Vec<Selection>,
}

/// A selection of a rule.
pub(super) struct Selection {
    pub(super) name: String,
    pub(super) matched: bool,
    pub(super) items: Vec<Item>,
}

/// A comparison in a selection.
pub(super) struct Item {
    /// Field and modifiers, as in the rule.
    pub(super) item: String,
    /// The expected values.
    pub(super) wanted: Vec<String>,
    pub(super) matched: bool,
    /// The matching values of the record; if none match, all values of the field.
    pub(super) values: Vec<String>,
}

/// Explains how the rule evaluates the record.
pub(super) fn explained(rule: &BookRule, record: &Value) -> Explained {
    let words = |values: &[Value]| values.iter().map(show::value).collect::<Vec<_>>();
    let explanation = rule.explain(record);
    let selections = explanation.selections.into_iter().map(|selection| Selection {
        items: selection
            .items
            .iter()
            .map(|item| Item {
                item: item.item.clone(),
                wanted: words(&item.wanted),
                matched: item.matched,
                values: if item.matching.is_empty() {
                    words(item.found.as_deref().unwrap_or_default())
                } else {
                    words(&item.matching)
                },
            })
            .collect(),
        name: selection.name,
        matched: selection.matched,
    });
    Explained {
        condition: explanation.condition,
        selections: selections.collect(),
    }
}
