//! What a check is: its question, what it needs, what it answers, and what to do about what it finds.
//!
//! Pure. Start reading at [`Check`].

use super::facts::Facts;
use crate::app::quoted;
use model::Severity;
use serde_json::{Value, json};
use store::FindingRow;

/// One check of the catalogue.
#[derive(Debug)]
pub struct Check {
    /// Its id, which never changes.
    pub id: &'static str,
    /// How bad it is when it does not hold. A finding may be less severe, and then says why.
    pub severity: Severity,
    /// What it asks, so that "yes" is good.
    pub question: &'static str,
    /// Lists that it reads, by their kind.
    pub lists: &'static [&'static str],
    /// What else it reads, in words; empty when nothing.
    pub besides: &'static str,
    /// What makes it unknown, beyond a list that could not be read.
    pub unknown: &'static str,
    /// What to do in the dashboard.
    pub remedy: &'static str,
    /// The command that does it, with ADDRESS, LABEL, SUBJECT and FINDING for what [`Check::command_for`] fills in.
    pub command: Option<&'static str>,
    /// What to set in Terraform (Cloudflare provider 5).
    pub terraform: Option<&'static str>,
    /// Controls that it is evidence for.
    pub frameworks: &'static [&'static str],
    /// The check itself.
    pub ask: fn(&Facts) -> Result<Judged, Unknown>,
}

/// Why something cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

/// What a check could judge.
#[derive(Debug, Default)]
pub struct Judged {
    /// What it found.
    pub found: Vec<Finding>,
    /// Kind and id of what it could not judge.
    pub unjudged: Vec<(&'static str, String)>,
    /// Why, of the first.
    pub reason: Option<String>,
}

impl Judged {
    /// Notes that something cannot be judged.
    pub fn unsure(&mut self, kind: &'static str, id: &str, reason: impl Into<String>) {
        self.unjudged.push((kind, id.to_owned()));
        self.reason.get_or_insert_with(|| reason.into());
    }
}

/// What a check came to.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// Nothing is wrong.
    Holds,
    /// These are.
    Found(Vec<Finding>),
    /// These are; of others it cannot be told.
    Partly {
        /// What is wrong; may be empty.
        found: Vec<Finding>,
        /// Kind and id of those that could not be judged: their findings stay as they were.
        unjudged: Vec<(&'static str, String)>,
        /// Why.
        reason: String,
    },
    /// It cannot be told, and why.
    Unknown(String),
}

/// A thing that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The check's, or less.
    pub severity: Severity,
    /// `member`, `app`, `policy`, …
    pub subject_kind: &'static str,
    /// Cloudflare's id of it, or ours.
    pub subject_id: String,
    /// Its name or address.
    pub subject_name: String,
    /// An object: a sentence under `summary`, the same for programs beside it.
    pub evidence: Value,
}

impl Finding {
    /// Something that is as severe as its check.
    pub fn new(
        severity: Severity,
        kind: &'static str,
        id: &str,
        name: &str,
        summary: impl Into<String>,
    ) -> Finding {
        Finding {
            severity,
            subject_kind: kind,
            subject_id: id.to_owned(),
            subject_name: if name.is_empty() { id } else { name }.to_owned(),
            evidence: json!({ "summary": summary.into() }),
        }
    }

    /// The same with a value for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl serde::Serialize) -> Finding {
        self.evidence[name] = json!(value);
        self
    }
}

impl Check {
    /// The command for one finding, as it can be typed: `label` is the connection's, `options` end it.
    pub fn command_for(&self, finding: &FindingRow, label: &str, options: &str) -> Option<String> {
        let filled: Vec<String> = self
            .command?
            .split(' ')
            .map(|word| match word {
                "ADDRESS" => quoted(&finding.subject_name),
                "LABEL" => quoted(label),
                "SUBJECT" => quoted(&finding.subject_id),
                "FINDING" => quoted(&finding.id),
                other => other.to_owned(),
            })
            .collect();
        Some(format!("{}{options}", filled.join(" ")))
    }

    /// What it comes to over these facts.
    pub fn answer(&self, facts: &Facts) -> Answer {
        match (self.ask)(facts) {
            Err(Unknown(reason)) => Answer::Unknown(reason),
            Ok(Judged {
                found,
                unjudged,
                reason,
            }) if !unjudged.is_empty() => {
                let first = reason.unwrap_or_else(|| "it could not be determined".to_owned());
                let reason = match unjudged.len() {
                    1 => first,
                    many => format!("{first} ({many} objects affected)"),
                };
                Answer::Partly {
                    found,
                    unjudged,
                    reason,
                }
            }
            Ok(Judged { found, .. }) if found.is_empty() => Answer::Holds,
            Ok(Judged { found, .. }) => Answer::Found(found),
        }
    }

    /// The permission groups that its lists need, each once.
    pub fn permissions(&self) -> Vec<&'static str> {
        let mut all: Vec<&'static str> = self.lists.iter().map(|kind| permission(kind)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The words for a list.
pub fn words(kind: &str) -> &'static str {
    match kind {
        "members" => "members",
        "roles" => "roles",
        "access_users" => "Access users",
        "access_groups" => "Access groups",
        "account" => "the account's settings",
        "organization" => "the Zero Trust organisation",
        "user_group_members" => "members of user groups",
        "list_items" => "the content of Zero Trust lists",
        other => cloudflare::LISTS
            .iter()
            .find(|list| list.kind == other)
            .map_or("a list", |list| list.words),
    }
}

/// The permission group that allows reading a list.
///
/// Source: Cloudflare's API description, `x-api-token-group` of each operation.
pub fn permission(kind: &str) -> &'static str {
    match kind {
        "members" | "roles" | "account" | "user_group_members" => "Account Settings Read",
        "access_users" => "Access: Audit Logs Read",
        "access_groups" | "organization" => "Access: Organizations, Identity Providers, and Groups Read",
        "list_items" => "Zero Trust Read",
        other => cloudflare::LISTS
            .iter()
            .find(|list| list.kind == other)
            .map_or("", |list| list.permission),
    }
}
