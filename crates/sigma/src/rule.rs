//! A rule as its author wrote it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::detection::Detection;

/// One Sigma rule. Keys of the document that are not fields here are in [`Rule::custom`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it detects, in a few words.
    pub title: String,
    /// Its id, by convention a UUID.
    pub id: Option<String>,
    /// A name by which other documents refer to it.
    pub name: Option<String>,
    /// How mature it is.
    pub status: Option<Status>,
    /// What it detects, in full.
    pub description: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Sources.
    pub references: Vec<String>,
    /// The creation date, as written (`YYYY-MM-DD`).
    pub date: Option<String>,
    /// The date of the last change, as written.
    pub modified: Option<String>,
    /// The severity of a match.
    pub level: Option<Level>,
    /// The records that it applies to.
    pub logsource: LogSource,
    /// For example `attack.t1566.002`.
    pub tags: Vec<String>,
    /// Known false positives.
    pub falsepositives: Vec<String>,
    /// Fields that help to assess a match.
    pub fields: Vec<String>,
    /// The detection logic.
    pub detection: Detection,
    /// Every other top-level key, unchanged.
    pub custom: Map<String, Value>,
    /// Problems in descriptive keys, which were left out. They do not affect what the rule matches.
    pub warnings: Vec<String>,
}

impl Rule {
    /// The name of the rule in messages: its title, with its id if it has one.
    pub fn label(&self) -> String {
        label(&self.title, self.id.as_deref())
    }

    /// Whether other documents can refer to this one as `word`.
    pub fn is_called(&self, word: &str) -> bool {
        is_called(self.id.as_deref(), self.name.as_deref(), word)
    }

    /// The rule with its field names replaced according to `names`, as a field mapping of a log source requires.
    #[must_use]
    pub fn with_fields_renamed(&self, names: &BTreeMap<String, String>) -> Self {
        let mut renamed = self.clone();
        for named in &mut renamed.detection.selections {
            named.selection.rename_fields(names);
        }
        renamed
    }

    /// Every field name in the rule's selections, in alphabetical order.
    pub fn field_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for named in &self.detection.selections {
            named.selection.field_names(&mut names);
        }
        names
    }
}

/// The descriptive keys of a correlation or a filter, as in a [`Rule`].
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of Rule")]
pub struct Header {
    pub title: String,
    pub id: Option<String>,
    pub name: Option<String>,
    pub status: Option<Status>,
    pub description: Option<String>,
    pub author: Option<String>,
    pub references: Vec<String>,
    pub date: Option<String>,
    pub modified: Option<String>,
    pub level: Option<Level>,
    pub tags: Vec<String>,
    pub falsepositives: Vec<String>,
    pub custom: Map<String, Value>,
    pub warnings: Vec<String>,
}

impl Header {
    /// The name of the document in messages: its title, with its id if it has one.
    pub fn label(&self) -> String {
        label(&self.title, self.id.as_deref())
    }

    /// Whether other documents can refer to this one as `word`.
    pub fn is_called(&self, word: &str) -> bool {
        is_called(self.id.as_deref(), self.name.as_deref(), word)
    }
}

fn is_called(id: Option<&str>, name: Option<&str>, word: &str) -> bool {
    let word = canonical_name(word);
    [id, name]
        .into_iter()
        .flatten()
        .any(|own| canonical_name(own) == word)
}

/// A name in its form for comparison: a UUID in lower case with dashes, whatever its letter case, braces or missing
/// dashes; any other name unchanged.
pub fn canonical_name(name: &str) -> Cow<'_, str> {
    let trimmed = name.trim();
    let bare = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let bare = bare.unwrap_or(trimmed);
    let prefix = "urn:uuid:";
    let bare = match bare.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &bare[prefix.len()..],
        _ => bare,
    };
    let has_form = match bare.len() {
        36 => [8, 13, 18, 23].iter().all(|at| bare.as_bytes()[*at] == b'-'),
        32 => true,
        _ => false,
    };
    let digits: String = bare
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if !has_form || digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    ))
}

fn label(title: &str, id: Option<&str>) -> String {
    match id {
        Some(id) => format!("{title} ({id})"),
        None => title.to_owned(),
    }
}

/// The records that a rule applies to. At least one of the three is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct LogSource {
    /// A kind of record across products, for example `dns`.
    pub category: Option<String>,
    /// A product, for example `cloudflare`.
    pub product: Option<String>,
    /// A part of a product, for example `gateway_dns`.
    pub service: Option<String>,
}

/// The severity of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For information.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Needs immediate action.
    Critical,
}

/// How mature a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use without known problems.
    Stable,
    /// Being tested.
    Test,
    /// May match too much.
    Experimental,
    /// Replaced.
    Deprecated,
    /// Not usable as written.
    Unsupported,
}

impl Level {
    /// Each with its spelling in rules.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("informational", Self::Informational),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];
}

impl Status {
    /// Each with its spelling in rules.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("stable", Self::Stable),
        ("test", Self::Test),
        ("experimental", Self::Experimental),
        ("deprecated", Self::Deprecated),
        ("unsupported", Self::Unsupported),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_compare_whatever_their_spelling_and_other_names_as_they_are() {
        let canonical = "5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a11";
        for name in [
            "5D7B7A7E-3D0C-4C7F-9F43-0F3F7F5B2A11",
            "{5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a11}",
            "urn:uuid:5D7B7A7E-3d0c-4c7f-9f43-0f3f7f5b2a11",
            " 5d7b7a7e3d0c4c7f9f430f3f7f5b2a11 ",
        ] {
            assert_eq!(canonical_name(name), canonical);
        }
        for name in ["Mine", "", "5d7b7a7e-3d0c-4c7f-9f43-0f3f7f5b2a1", "{x}", "é"] {
            assert_eq!(canonical_name(name), name);
        }
    }
}
