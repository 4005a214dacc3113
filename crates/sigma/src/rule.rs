//! A rule as its author wrote it.

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
        match &self.id {
            Some(id) => format!("{} ({id})", self.title),
            None => self.title.clone(),
        }
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
