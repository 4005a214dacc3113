//! A rule as its author wrote it.

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
}

impl Rule {
    /// How to call the rule in a message: its title, with its id when it has one.
    pub fn label(&self) -> String {
        label(&self.title, self.id.as_deref())
    }

    /// Whether other documents may mean this one by `word`.
    pub fn is_called(&self, word: &str) -> bool {
        self.id.as_deref() == Some(word) || self.name.as_deref() == Some(word)
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
}

impl Header {
    /// How to call the document in a message: its title, with its id when it has one.
    pub fn label(&self) -> String {
        label(&self.title, self.id.as_deref())
    }

    /// Whether other documents may mean this one by `word`.
    pub fn is_called(&self, word: &str) -> bool {
        self.id.as_deref() == Some(word) || self.name.as_deref() == Some(word)
    }
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
