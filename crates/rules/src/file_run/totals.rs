//! The numbers of a run, as counted by each thread and as printed.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The maximum number of rejected lines that are reported separately; the others are counted.
const REJECTS_MAX: usize = 20;

/// The results of a run.
#[derive(Debug, Default)]
pub struct Totals {
    /// The number of records.
    pub events: u64,
    /// The number of matches of reported rules.
    pub matches: u64,
    /// The number of matches by rule name, for rules that matched.
    pub rules: BTreeMap<String, u64>,
    /// The number of lines that are not records.
    pub rejected: u64,
    /// The first of these lines, each with file, line number and reason.
    pub rejects: Vec<String>,
    /// Files that could not be read completely.
    pub broken: Vec<String>,
    /// The number of matches that a correlation could not use because a time or a `group-by` field is missing.
    pub untaken: u64,
    /// The number of records that were read after a repair.
    pub repaired: u64,
    /// The number of records that matched and occurred again, by key.
    pub repeated: u64,
    /// If no record has any field that the rules use: those fields.
    pub unasked: Option<Vec<String>>,
}

impl Totals {
    /// Counts a line that is not a record.
    pub(super) fn reject(&mut self, path: &Path, number: u64, reason: &str) {
        self.rejected += 1;
        if self.rejects.len() < REJECTS_MAX {
            self.rejects
                .push(format!("{}:{number}: {reason}", path.display()));
        }
    }

    /// Counts matches of a rule.
    pub(super) fn add_matches(&mut self, rule: &str, count: u64) {
        if count > 0 {
            self.matches += count;
            *self.rules.entry(rule.to_owned()).or_default() += count;
        }
    }

    /// Adds what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        let Self {
            events,
            matches,
            rules,
            rejected,
            rejects,
            broken,
            untaken,
            repaired,
            repeated,
            unasked: _,
        } = other;
        self.events += events;
        self.matches += matches;
        for (rule, count) in rules {
            *self.rules.entry(rule).or_default() += count;
        }
        self.rejected += rejected;
        self.rejects.extend(rejects);
        self.rejects.truncate(REJECTS_MAX);
        self.broken.extend(broken);
        self.untaken += untaken;
        self.repaired += repaired;
        self.repeated += repeated;
    }
}

/// The totals as `flareward rules run --output counts` prints them.
pub fn counts(totals: &Totals) -> Value {
    json!({ "events": totals.events, "matches": totals.matches, "rules": totals.rules })
}

/// The totals with the numbers of other lines: `--output json`.
pub fn summary(totals: &Totals) -> Value {
    let mut counts = counts(totals);
    for (name, count) in [
        ("rejected", totals.rejected),
        ("repaired", totals.repaired),
        ("repeated", totals.repeated),
    ] {
        counts[name] = json!(count);
    }
    counts
}
