//! Writes each match as a line of JSON: matches of single records at once, those of correlations at the end.

use super::Options;
use super::place::Place;
use super::read::read;
use crate::book::{BookRule, RuleBook, level_word};
use crate::dataset_of_line;
use crate::firing::Fired;
use crate::form::second_look;
use crate::lines::Lines;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Result, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The size of a thread's buffer, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Where matches are written, by all threads.
pub(super) type Out<'a> = &'a Mutex<Box<dyn Write + Send>>;

/// The output of one thread.
pub(super) struct Output<'a> {
    book: &'a RuleBook,
    out: Option<Out<'a>>,
    buffer: Vec<u8>,
    /// By index of the rule in the book, and dataset.
    openings: HashMap<(usize, Option<&'static str>), String>,
}

impl<'a> Output<'a> {
    pub(super) fn new(book: &'a RuleBook, out: Option<Out<'a>>) -> Self {
        Self {
            book,
            out,
            buffer: Vec::new(),
            openings: HashMap::new(),
        }
    }

    /// Writes a match of a rule, given by its index in the book.
    pub(super) fn write(&mut self, rule: usize, dataset: Option<&'static str>, event: &[u8]) -> Result<()> {
        if self.out.is_none() {
            return Ok(());
        }
        let opening = self
            .openings
            .entry((rule, dataset))
            .or_insert_with(|| opening(&self.book.rules()[rule], dataset));
        self.buffer.extend_from_slice(opening.as_bytes());
        self.buffer.extend_from_slice(b"\"event\":");
        self.buffer.extend_from_slice(event);
        self.buffer.extend_from_slice(b"}\n");
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if let Some(out) = self.out {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// The part of a line about a match before the event.
fn opening(rule: &BookRule, dataset: Option<&str>) -> String {
    let opening = json!({ "rule_id": rule.id, "rule": rule.name, "title": rule.title,
        "level": level_word(rule.level), "dataset": dataset })
    .to_string();
    opening.trim_end_matches('}').to_owned() + ","
}

/// Reads the events again that made watches fire, and writes a line for each. Each firing has the index of the reported
/// rule in the book.
pub(super) fn write_firings(
    book: &RuleBook,
    files: &[PathBuf],
    fired: &[(usize, Fired)],
    options: Options<'_>,
) -> Result<()> {
    let Some(out) = options.matches else {
        return Ok(());
    };
    let mut by_file: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for (_, firing) in fired {
        let place = Place::of_id(firing.id);
        by_file.entry(place.file).or_default().insert(place.line);
    }
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    for (file, numbers) in by_file {
        let mut lines: HashMap<u64, Vec<u8>> = HashMap::new();
        // A file that cannot be read completely was already reported.
        read(Lines::open(&files[file])?, &|_| {}, |line| {
            if let Ok(text) = line.text
                && numbers.contains(&line.number)
            {
                lines.insert(line.number, text.to_vec());
            }
            Ok(lines.len() < numbers.len())
        })?;
        for (rule, firing) in fired {
            let place = Place::of_id(firing.id);
            if place.file != file {
                continue;
            }
            let Some(line) = lines.get(&place.line) else {
                continue;
            };
            let Some(event) = record_at(place, line, options) else {
                continue;
            };
            let dataset = options.dataset.or_else(|| dataset_of_line(&event));
            let about = json!({ "group": firing.group, "count": firing.count, "detail": firing.detail });
            write!(
                out,
                "{}\"correlation\":{about},\"event\":",
                opening(&book.rules()[*rule], dataset.map(|dataset| dataset.name))
            )?;
            out.write_all(&event)?;
            out.write_all(b"}\n")?;
        }
    }
    out.flush()
}

/// The record at a place of a line.
fn record_at(place: Place, line: &[u8], options: Options<'_>) -> Option<Vec<u8>> {
    let Some(inside) = usize::try_from(place.record).ok()?.checked_sub(1) else {
        return Some(line.to_vec());
    };
    let records = second_look(line, options.dataset).ok()?;
    let record = records.into_iter().nth(inside)?;
    Some(record.text.into_bytes())
}
