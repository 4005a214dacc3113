//! Whether any record has a field that the rules use. If none has, the rules or the dataset are probably wrong.

use crate::detector::Detector;
use crate::recognise::keys_of_line;
use std::collections::BTreeSet;

/// The fields that the rules use, as long as no record has one.
#[derive(Debug, Default)]
pub(super) struct Asked {
    has_any: bool,
    missing: BTreeSet<String>,
}

impl Asked {
    /// Notes whether a record has a field that the rules of its source use. Does nothing after the first such record.
    pub(super) fn note(&mut self, detector: &Detector, source: usize, line: &[u8], has_matched: bool) {
        if self.has_any {
            return;
        }
        if has_matched {
            self.has_any = true;
            return;
        }
        let (Some(asked), Some(keys)) = (detector.asked(source), keys_of_line(line)) else {
            self.has_any = true;
            return;
        };
        let has = |name: &str| {
            name == sigma::PERSON
                || keys.iter().any(|key| {
                    name.strip_prefix(key.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
        };
        self.has_any = asked.iter().any(|name| has(name));
        if !self.has_any {
            self.missing.extend(asked.into_iter().map(str::to_owned));
        }
    }

    /// Adds the result of another thread.
    pub(super) fn add(&mut self, other: Self) {
        self.has_any |= other.has_any;
        self.missing.extend(other.missing);
    }

    /// The fields, if no record has one.
    pub(super) fn missing(self) -> Option<Vec<String>> {
        (!self.has_any).then(|| self.missing.into_iter().collect())
    }
}
