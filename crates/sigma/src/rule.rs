//! A rule as its author wrote it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::detection::Detection;

/// One Sigma rule. Keys of the document that are not fields here are in [`Rule::custom`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it finds, in a few words.
    pub title: String,
    /// Its identity, by custom a UUID.
    pub id: Option<String>,
    /// A name by which other documents refer to it.
    pub name: Option<String>,
    /// How ripe it is.
    pub status: Option<Status>,
    /// What it finds, at length.
    pub description: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Sources.
    pub references: Vec<String>,
    /// When it was written, as written (`YYYY-MM-DD`).
    pub date: Option<String>,
    /// When it was last changed, as written.
    pub modified: Option<String>,
    /// How bad it is when it matches.
    pub level: Option<Level>,
    /// Which records it is for.
    pub logsource: LogSource,
    /// For instance `attack.t1566.002`.
    pub tags: Vec<String>,
    /// What else may make it match.
    pub falsepositives: Vec<String>,
    /// Which fields help to judge a match.
    pub fields: Vec<String>,
    /// What it looks for.
    pub detection: Detection,
    /// Every other top-level key, as it stands.
    pub custom: Map<String, Value>,
    /// What of the description cannot be understood and was left out; what the rule matches does not hang on it.
    pub warnings: Vec<String>,
}

impl Rule {
    /// How to call the rule in a message: its title, with its id when it has one.
    pub fn label(&self) -> String {
        label(&self.title, self.id.as_deref())
    }

    /// Whether other documents may mean this one by `word`.
    pub fn is_called(&self, word: &str) -> bool {
        is_called(self.id.as_deref(), self.name.as_deref(), word)
    }

    /// The rule with the names of its fields replaced where `names` has another for them, as a
    /// field mapping of a log source asks.
    #[must_use]
    pub fn with_fields_renamed(&self, names: &BTreeMap<String, String>) -> Self {
        let mut renamed = self.clone();
        for named in &mut renamed.detection.selections {
            named.selection.rename_fields(names);
        }
        renamed
    }

    /// Every field that the rule's selections name, in order of the alphabet.
    pub fn field_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for named in &self.detection.selections {
            named.selection.field_names(&mut names);
        }
        names
    }
}

/// What describes a correlation or a filter, as in a [`Rule`].
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
    /// How to call the document in a message: its title, with its id when it has one.
    pub fn label(&self) -> String {
        label(&self.title, self.id.as_deref())
    }

    /// Whether other documents may mean this one by `word`.
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

/// A name as it compares: a UUID in small letters with dashes, whatever its letter case, braces or missing dashes;
/// anything else as it is.
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

/// Which records a rule is for. At least one of the three is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct LogSource {
    /// A kind of record over many products, for instance `dns`.
    pub category: Option<String>,
    /// A product, for instance `cloudflare`.
    pub product: Option<String>,
    /// A part of a product, for instance `gateway_dns`.
    pub service: Option<String>,
}

/// How bad a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Someone should act now.
    Critical,
}

/// How ripe a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use without known trouble.
    Stable,
    /// Being tried.
    Test,
    /// May match too much.
    Experimental,
    /// Replaced.
    Deprecated,
    /// Not usable as it is.
    Unsupported,
}

impl Level {
    /// Each with the word that rules write.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("informational", Self::Informational),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];
}

impl Status {
    /// Each with the word that rules write.
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
