//! One thread of a run: matches the records of its files with all rules, and keeps what correlations need of matches.
//!
//! Accepts the same records as the server, which rejects records without a time and processes a record with a key only
//! once. Start reading at [`Worker::file`].

use super::asked::Asked;
use super::output::Output;
use super::place::Place;
use super::read::read;
use super::source::{Scanned, Sources, is_only};
use super::totals::Totals;
use super::{Options, index_of};
use crate::DATASETS;
use crate::book::RuleBook;
use crate::form::second_look;
use crate::lines::Lines;
use crate::matches::Groups;
use crate::normalise::{normalise, others};
use model::ConnectionId;
use sigma::PartOf;
use std::collections::HashSet;
use std::io::Result;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The maximum number of matches kept for correlations. Chosen: about 1 GB.
const MATCHES_MAX: u64 = 20_000_000;

/// The state that all threads of a run share.
#[derive(Default)]
pub(super) struct Shared {
    /// The number of kept matches.
    matches: AtomicU64,
    /// The keys of records that matched: a record with the same key is the same record.
    keys: Mutex<HashSet<u128>>,
}

/// One thread of a run.
pub(super) struct Worker<'a> {
    book: &'a RuleBook,
    options: Options<'a>,
    shared: &'a Shared,
    /// For each rule of the collection that is reported for a single record, its index in the book.
    reported: Vec<Option<usize>>,
    sources: Sources<'a>,
    output: Output<'a>,
    pub(super) totals: Totals,
    /// The number of matches of each rule of the book.
    pub(super) counts: Vec<u64>,
    pub(super) asked: Asked,
    pub(super) groups: Groups,
}

impl<'a> Worker<'a> {
    pub(super) fn new(book: &'a RuleBook, options: Options<'a>, shared: &'a Shared) -> Self {
        let reported = (0..book.collection.rules.len())
            .map(|rule| {
                let index = index_of(book, PartOf::Rule(rule))?;
                let own = &book.rules()[index].own;
                (own.travel.is_none() && own.first_seen.is_none()).then_some(index)
            })
            .collect();
        Self {
            book,
            options,
            shared,
            reported,
            sources: Sources::new(&book.detector, options.dataset),
            output: Output::new(book, options.matches),
            totals: Totals::default(),
            counts: vec![0; book.rules().len()],
            asked: Asked::default(),
            groups: Groups::default(),
        }
    }

    /// Matches the records of a file. A file that cannot be read is noted.
    ///
    /// # Errors
    ///
    /// If matches cannot be written, or too many must be kept.
    pub(super) fn file(&mut self, file: usize, path: &Path) -> Result<()> {
        let lines = match Lines::open(path) {
            Ok(lines) => lines,
            Err(error) => {
                self.totals.broken.push(format!("{}: {error}", path.display()));
                return Ok(());
            }
        };
        let problem = read(lines, self.options.progress, |line| {
            let place = Place {
                file,
                line: line.number,
                record: 0,
            };
            match line.text {
                Ok(text) => self.line(place, path, text, line.is_repaired)?,
                Err(reason) => self.totals.reject(path, line.number, &reason),
            }
            Ok(true)
        })?;
        let problem = problem.map(|problem| format!("{}: {problem}", path.display()));
        self.totals.broken.extend(problem);
        Ok(())
    }

    /// Writes the rest of the output.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(super) fn end(&mut self) -> Result<()> {
        self.output.flush()
    }

    /// Matches a line: a record, or several in an envelope.
    fn line(&mut self, place: Place, path: &Path, line: &[u8], is_repaired: bool) -> Result<()> {
        let records = match self.sources.scan(line) {
            Ok(Scanned::Record(source)) => {
                self.totals.repaired += u64::from(is_repaired);
                return self.record(place, path, source, line);
            }
            Ok(Scanned::Envelope(records)) => records,
            // Perhaps it can be repaired.
            Err(first_reason) => match second_look(line, self.options.dataset) {
                Ok(records) if !is_only(&records, line) => records,
                other => {
                    let reason = other.err().map_or(first_reason, |reason| reason.to_string());
                    self.totals.reject(path, place.line, &reason);
                    return Ok(());
                }
            },
        };
        for (number, record) in (1_u64..).zip(records) {
            let line = record.text.as_bytes();
            let scanned = match self.sources.scan(line) {
                Ok(Scanned::Record(source)) => Ok(source),
                Ok(Scanned::Envelope(_)) => self.sources.scan_record(line),
                Err(reason) => Err(reason),
            };
            match scanned {
                Ok(source) => {
                    self.totals.repaired += u64::from(record.is_repaired || is_repaired);
                    let place = Place {
                        record: number,
                        ..place
                    };
                    self.record(place, path, source, line)?;
                }
                Err(reason) => self.totals.reject(path, place.line, &reason),
            }
        }
        Ok(())
    }

    /// Takes the matches of a record that was scanned.
    fn record(&mut self, place: Place, path: &Path, source: usize, line: &[u8]) -> Result<()> {
        let has_matched = !self.sources.scratch(source).found.rules.is_empty();
        self.asked.note(&self.book.detector, source, line, has_matched);
        if !has_matched {
            self.totals.events += 1;
            return Ok(());
        }
        let (Some(dataset), Ok(text)) = (DATASETS.get(source), std::str::from_utf8(line)) else {
            self.totals.events += 1;
            return self.take_found(place, source, line);
        };
        let connection = ConnectionId(String::new());
        let record = match normalise(text, dataset, &connection, self.options.now) {
            Ok(record) => record,
            Err(reason) => {
                self.totals.reject(path, place.line, &reason.to_string());
                return Ok(());
            }
        };
        self.totals.events += 1;
        if record.is_keyed {
            let id = u128::from_str_radix(&record.id.0, 16).unwrap_or_default();
            let mut keys = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if !keys.insert(id) {
                self.totals.repeated += 1;
                return Ok(());
            }
        }
        let others = others(&record, text, dataset);
        if others.is_empty() {
            return self.take_found(place, source, line);
        }
        // A mail is an event of each of its recipients.
        for one in std::iter::once(record).chain(others) {
            let person = one.identifier.as_deref();
            if self.sources.scan_as(source, line, person).is_ok() {
                self.take_found(place, source, line)?;
            }
        }
        Ok(())
    }

    /// Counts and keeps what the rules found in the last record that was scanned.
    fn take_found(&mut self, place: Place, source: usize, line: &[u8]) -> Result<()> {
        let dataset = DATASETS.get(source).map(|dataset| dataset.name);
        let found = &mut self.sources.scratch(source).found;
        for rule in &found.rules {
            if let Some(index) = self.reported[*rule] {
                self.counts[index] += 1;
                self.output.write(index, dataset, line)?;
            }
        }
        self.totals.untaken += found.without_key as u64;
        let more = found.matches.len() as u64;
        let Some(at_ns) = found.at_ns else {
            self.totals.untaken += more;
            return Ok(());
        };
        if more > 0 && self.shared.matches.fetch_add(more, Ordering::Relaxed) + more > MATCHES_MAX {
            return Err(std::io::Error::other(format!(
                "correlations would need more than {MATCHES_MAX} matches; narrow the rules they refer to"
            )));
        }
        for one in found.matches.drain(..) {
            self.groups.add(one, at_ns, place.id());
        }
        Ok(())
    }
}
