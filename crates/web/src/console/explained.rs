//! Why a rule matches a record, as rows of a table.

use super::show;
use rules::book::BookRule;
use serde_json::Value;

/// What became of a rule's parts.
pub(super) struct Explained {
    /// How the selections are combined, as the rule's author wrote it.
    pub(super) condition: String,
    /// Each part.
    pub(super) selections: Vec<Selection>,
}

/// One part of a rule.
pub(super) struct Selection {
    pub(super) name: String,
    pub(super) matched: bool,
    pub(super) items: Vec<Item>,
}

/// One thing that a part asks.
pub(super) struct Item {
    /// The field and how it is compared, as written.
    pub(super) item: String,
    /// With what.
    pub(super) wanted: Vec<String>,
    pub(super) matched: bool,
    /// The record's values that made it match, or, where none did, those that are there.
    pub(super) values: Vec<String>,
}

/// Asks the rule.
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
