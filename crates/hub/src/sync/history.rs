//! What a sync changed, for showing: each thing with its name before and after, and which of its members differ.
//!
//! Secrets of objects are left out. Start reading at [`Changed::read`].

use crate::listed::RESTLESS;
use crate::redact::redacted;
use chrono::{DateTime, Utc};
use model::{ListKind, ObjectChange};
use serde_json::Value;
use std::collections::BTreeSet;
use store::{StoreError, SyncChangeRow};

/// A thing that a sync found added, changed or removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Of which list: `members`, `access_groups`, `apps`, …
    pub kind: ListKind,
    /// Cloudflare's id.
    pub id: String,
    /// How it was found.
    pub change: ObjectChange,
    /// Its name or address before; `None` when it was not there.
    pub name_before: Option<String>,
    /// Its name or address after; `None` when it is gone.
    pub name_after: Option<String>,
    /// The members of the object that differ, when it was changed, without those that change by themselves.
    pub fields: Vec<String>,
    /// The object before, without secrets.
    pub before: Option<Value>,
    /// The object after, without secrets.
    pub after: Option<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Changed {
    /// Reads a stored change.
    ///
    /// # Errors
    ///
    /// When what is stored of it is damaged.
    pub fn read(row: SyncChangeRow) -> Result<Changed, StoreError> {
        let (before, after) = (row.before_json()?, row.after_json()?);
        let name = |raw: &Option<Value>| {
            let raw = raw.as_ref()?;
            let named = ["name", "email"].iter().find_map(|member| raw[*member].as_str());
            Some(
                named
                    .filter(|name| !name.is_empty())
                    .unwrap_or(&row.name)
                    .to_owned(),
            )
        };
        let mut fields = BTreeSet::new();
        if let (Some(Value::Object(before)), Some(Value::Object(after))) = (&before, &after) {
            for member in before.keys().chain(after.keys()) {
                let is_told = !RESTLESS.contains(&member.as_str());
                if is_told && before.get(member) != after.get(member) {
                    fields.insert(member.clone());
                }
            }
        }
        Ok(Changed {
            name_before: name(&before),
            name_after: name(&after),
            fields: fields.into_iter().collect(),
            before: before.map(redacted),
            after: after.map(redacted),
            kind: row.kind,
            id: row.object_id,
            change: row.change,
            at: row.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_renamed_group_has_both_names_and_says_what_differs() {
        let row = SyncChangeRow {
            run_id: "r".into(),
            kind: ListKind::AccessGroups,
            object_id: "g".into(),
            name: "New".into(),
            change: ObjectChange::Changed,
            before: Some(json!({ "name": "Old", "include": [] }).to_string()),
            after: Some(json!({ "name": "New", "include": [] }).to_string()),
            at: DateTime::UNIX_EPOCH,
        };
        let changed = Changed::read(row).unwrap();
        assert_eq!(changed.name_before.as_deref(), Some("Old"));
        assert_eq!(changed.name_after.as_deref(), Some("New"));
        assert_eq!(changed.fields, ["name"]);
    }
}
