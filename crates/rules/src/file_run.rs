//! Runs rules over files of log records, without a store or connection: `flareward rules run`.
//!
//! One thread reads each file, line by line, in bounded memory. Only the data that correlations need from matches is
//! kept. Correlations are computed at the end. Start reading at [`run`].

use super::detector::{Detector, DetectorScratch};
use super::kept::Groups;
use super::lines::{LINE_LIMIT_BYTES, Lines};
use super::watch::Watch;
use crate::book::{BookRule, RuleBook, level_word};
use crate::form::{Former, second_look};
use crate::normalise::{normalise, others};
use crate::recognise::{WEIGHED_BYTES, keys_of_line, may_be_ours, plainly_other};
use crate::{DATASETS, Dataset, dataset_of, dataset_of_line, has_field};
use chrono::{DateTime, Utc};
use model::ConnectionId;
use serde_json::{Value, json};
use sigma::PartOf;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The size of the output buffer, in bytes.
const OUTPUT_BYTES: usize = 64 << 10;
/// The maximum number of rejected lines that are reported separately; the others are counted.
const REJECTS_MAX: usize = 20;
/// The maximum number of matches kept for correlations. Chosen: about 1 GB.
const KEPT_MAX: usize = 20_000_000;
/// The number of keys for guessing a record's dataset.
const SIGNATURE_KEYS: usize = 4;
/// The number of bytes at the start of a line that are compared before its keys. Chosen: records of one account and
/// dataset often have the same start of this length, and those of two datasets do not.
const BEGINNING_BYTES: usize = 64;
/// The number of remembered line starts.
const RECENT: usize = 64;
/// The maximum number of remembered guesses.
const GUESSES_MAX: usize = 10_000;

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

/// The options of a run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The dataset of all records; `None` means that it is recognised for each record.
    pub dataset: Option<&'static Dataset>,
    /// The output for each match, as a line of JSON.
    pub matches: Option<&'a Mutex<Box<dyn Write + Send>>>,
    /// The number of files that are read in parallel.
    pub threads: usize,
    /// The current time. A record that is much later has an invalid time.
    pub now: DateTime<Utc>,
    /// Called with the number of bytes that were read.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// Runs all rules of `book` over `files`, plain or gzip.
///
/// # Errors
///
/// If matches cannot be written, or correlations would need too much memory.
pub fn run(book: &RuleBook, files: &[PathBuf], options: Options<'_>) -> std::io::Result<Totals> {
    let next = AtomicUsize::new(0);
    let kept_count = AtomicU64::new(0);
    let seen = Mutex::new(HashSet::new());
    let threads = options.threads.clamp(1, files.len().max(1));
    let workers: Vec<std::io::Result<Worker<'_>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut worker = Worker::new(book, options, &kept_count, &seen);
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(path) = files.get(place) else { break };
                        worker.file(place, path)?;
                    }
                    worker.flush()?;
                    Ok(worker)
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| Err(std::io::Error::other("a thread ended unexpectedly")))
            })
            .collect()
    });
    let mut totals = Totals::default();
    let mut groups = Groups::default();
    let mut counts = vec![0; book.rules().len()];
    let mut unasked: Option<BTreeSet<String>> = Some(BTreeSet::new());
    for worker in workers {
        let worker = worker?;
        totals.repaired += worker.repaired;
        totals.repeated += worker.repeated;
        if worker.has_asked {
            unasked = None;
        } else if let Some(unasked) = &mut unasked {
            unasked.extend(worker.unasked);
        }
        totals.events += worker.events;
        totals.rejected += worker.rejected;
        totals.rejects.extend(worker.rejects);
        totals.broken.extend(worker.broken);
        totals.untaken += worker.untaken;
        for (count, more) in counts.iter_mut().zip(worker.counts) {
            *count += more;
        }
        groups.merge(worker.groups);
    }
    totals.rejects.truncate(REJECTS_MAX);
    totals.unasked = unasked
        .filter(|_| totals.events > 0)
        .map(|fields| fields.into_iter().collect());
    let fired = fire(&book.detector.watches, groups);
    let mut reported = Vec::new();
    for firing in fired {
        if let Some(place) = place_of(book, firing.reports) {
            counts[place] += 1;
            reported.push((place, firing));
        }
    }
    for (rule, count) in book.rules().iter().zip(&counts) {
        if *count > 0 {
            totals.matches += count;
            totals.rules.insert(rule.name.clone(), *count);
        }
    }
    if let Some(out) = options.matches {
        write_firings(book, files, &reported, options.dataset, out)?;
    }
    Ok(totals)
}

/// A firing of a watch, for a group.
pub struct Fired {
    /// The reported rule or correlation.
    pub reports: PartOf,
    key: BTreeMap<String, String>,
    /// The number of the last record that it needed.
    pub id: u64,
    count: usize,
    detail: String,
}

/// Computes the firings of every watch; a watch comes before those that refer to it.
pub fn fire(watches: &[Watch], mut groups: Groups) -> Vec<Fired> {
    let mut fired = Vec::new();
    for (place, watch) in watches.iter().enumerate() {
        for key in groups.of(place) {
            let shown = groups.shown(place, &key);
            let mut kept = groups.take(place, &key);
            for firing in watch.firings(&mut kept) {
                // Ids here are numbers of 64 bits.
                let id = firing.id as u64;
                for (outer, part, values) in &watch.outers {
                    let outer_key: Vec<String> = values.iter().map(|value| key[*value].clone()).collect();
                    groups.derive(*outer, outer_key, *part, firing.at_ns, id);
                }
                fired.push(Fired {
                    reports: watch.reports,
                    key: watch
                        .group_by
                        .iter()
                        .cloned()
                        .zip(shown.iter().cloned())
                        .collect(),
                    id,
                    count: firing.count,
                    detail: firing.detail,
                });
            }
        }
    }
    fired
}

fn place_of(book: &RuleBook, source: PartOf) -> Option<usize> {
    let rule = book.reported(source)?;
    book.rules().iter().position(|other| std::ptr::eq(other, rule))
}

/// The number of bits of an id for the line number and for the record's place in the line, which is 0 if the line is
/// one record. The bits above them are the file's number.
const LINE_BITS: u32 = 32;
const PART_BITS: u32 = 16;

fn id_of_place(file: usize, line: u64, part: u64) -> u64 {
    ((file as u64) << (LINE_BITS + PART_BITS)) | (line << PART_BITS) | part
}

fn place_of_id(id: u64) -> (usize, u64, u64) {
    let line = (id >> PART_BITS) & ((1 << LINE_BITS) - 1);
    (
        (id >> (LINE_BITS + PART_BITS)) as usize,
        line,
        id & ((1 << PART_BITS) - 1),
    )
}

/// The part of a line about a match before the event.
fn opening(rule: &BookRule, dataset: Option<&str>) -> String {
    let opening = json!({ "rule_id": rule.id, "rule": rule.name, "title": rule.title,
        "level": level_word(rule.level), "dataset": dataset })
    .to_string();
    opening.trim_end_matches('}').to_owned() + ","
}

/// Reads the events again that made watches fire, and writes a line for each.
fn write_firings(
    book: &RuleBook,
    files: &[PathBuf],
    fired: &[(usize, Fired)],
    dataset: Option<&'static Dataset>,
    out: &Mutex<Box<dyn Write + Send>>,
) -> std::io::Result<()> {
    let mut by_file: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for (_, firing) in fired {
        let (file, number, _) = place_of_id(firing.id);
        by_file.entry(file).or_default().insert(number);
    }
    let mut out = out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (file, numbers) in by_file {
        let mut events: HashMap<u64, Vec<u8>> = HashMap::new();
        read_file(&files[file], |number, line| {
            if numbers.contains(&number) {
                events.insert(number, line.to_vec());
            }
            events.len() < numbers.len()
        })?;
        for (rule, firing) in fired
            .iter()
            .filter(|(_, firing)| place_of_id(firing.id).0 == file)
        {
            let (_, number, part) = place_of_id(firing.id);
            let Some(line) = events.get(&number) else {
                continue;
            };
            let event = match usize::try_from(part).unwrap_or_default().checked_sub(1) {
                None => line.clone(),
                Some(place) => {
                    let mut records = second_look(line, dataset).unwrap_or_default();
                    if place >= records.len() {
                        continue;
                    }
                    records.swap_remove(place).text.into_bytes()
                }
            };
            let event = event.as_slice();
            let told = dataset.or_else(|| dataset_of_line(event));
            let about = json!({ "group": firing.key, "count": firing.count, "detail": firing.detail });
            write!(
                out,
                "{}\"correlation\":{about},\"event\":",
                opening(&book.rules()[*rule], told.map(|dataset| dataset.name))
            )?;
            out.write_all(event)?;
            out.write_all(b"}\n")?;
        }
    }
    out.flush()
}

/// Calls `seen` with each line of a file that may be a record, and its number, until it returns `false`.
fn read_file(path: &Path, mut seen: impl FnMut(u64, &[u8]) -> bool) -> std::io::Result<()> {
    let mut lines = Lines::open(path)?;
    let mut former = Former::default();
    let mut formed = Vec::new();
    // What cannot be read was told of when the file was read first.
    let mut is_over = false;
    while !is_over {
        match lines.next_line() {
            Ok(Some((number, Some(line)))) if former.is_lines() => {
                if !seen(number, line) {
                    return Ok(());
                }
            }
            Ok(Some((number, Some(line)))) => former.take(number, line, &mut formed),
            Ok(Some((_, None))) => {}
            Ok(None) | Err(_) => {
                former.end(&mut formed);
                is_over = true;
            }
        }
        for one in formed.drain(..) {
            if let Ok(line) = one.line
                && !seen(one.number, &line)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The state for records of one source.
struct Lane {
    dataset: Option<&'static Dataset>,
    scratch: DetectorScratch,
    /// Whether the last record here is known to belong to the source.
    is_told: bool,
}

/// One thread's work.
struct Worker<'a> {
    book: &'a RuleBook,
    options: Options<'a>,
    /// For each rule of the collection that is reported for a single record, its index in the book.
    reported: Vec<Option<usize>>,
    /// By source of the detector.
    lanes: Vec<Lane>,
    /// The recently used sources by the start of a line, each at the index of its digest.
    recent: [(u64, usize); RECENT],
    /// Sources by a record's first keys.
    guesses: hashbrown::HashMap<u64, usize>,
    counts: Vec<u64>,
    events: u64,
    rejected: u64,
    rejects: Vec<String>,
    broken: Vec<String>,
    untaken: u64,
    groups: Groups,
    kept: &'a AtomicU64,
    /// The keys of records that matched: a record with the same key is the same record.
    seen: &'a Mutex<HashSet<u128>>,
    repaired: u64,
    repeated: u64,
    /// Whether a record had a field that the rules use; until then, the fields that they use.
    has_asked: bool,
    unasked: BTreeSet<String>,
    output: Vec<u8>,
    openings: HashMap<(usize, Option<&'static str>), String>,
}

impl<'a> Worker<'a> {
    fn new(
        book: &'a RuleBook,
        options: Options<'a>,
        kept: &'a AtomicU64,
        seen: &'a Mutex<HashSet<u128>>,
    ) -> Self {
        let reported = (0..book.collection.rules.len())
            .map(|rule| {
                let place = place_of(book, PartOf::Rule(rule))?;
                let own = &book.rules()[place].own;
                (own.travel.is_none() && own.first_seen.is_none()).then_some(place)
            })
            .collect();
        Self {
            book,
            options,
            reported,
            lanes: DATASETS
                .iter()
                .map(Some)
                .chain([None, None])
                .map(|dataset| Lane {
                    dataset,
                    scratch: DetectorScratch::default(),
                    is_told: false,
                })
                .collect(),
            recent: [(0, Detector::OTHER); RECENT],
            guesses: hashbrown::HashMap::new(),
            counts: vec![0; book.rules().len()],
            events: 0,
            rejected: 0,
            rejects: Vec::new(),
            broken: Vec::new(),
            untaken: 0,
            groups: Groups::default(),
            kept,
            seen,
            repaired: 0,
            repeated: 0,
            has_asked: false,
            unasked: BTreeSet::new(),
            output: Vec::new(),
            openings: HashMap::new(),
        }
    }

    fn file(&mut self, place: usize, path: &Path) -> std::io::Result<()> {
        let mut lines = match Lines::open(path) {
            Ok(lines) => lines,
            Err(error) => {
                self.broken.push(format!("{}: {error}", path.display()));
                return Ok(());
            }
        };
        let mut told = 0;
        let mut former = Former::default();
        let mut formed = Vec::new();
        let mut is_over = false;
        while !is_over {
            match lines.next_line() {
                Ok(Some((number, Some(line)))) if former.is_lines() => {
                    self.line(place, path, number, line, false)?;
                }
                Ok(Some((number, Some(line)))) => former.take(number, line, &mut formed),
                Ok(Some((number, None))) => {
                    self.reject(path, number, &format!("longer than {LINE_LIMIT_BYTES} bytes"));
                }
                Ok(None) => is_over = true,
                Err(error) => {
                    let what = if lines.is_gzip { "damaged gzip: " } else { "" };
                    self.broken.push(format!(
                        "{}: {what}{error}, after {} lines",
                        path.display(),
                        lines.number
                    ));
                    is_over = true;
                }
            }
            if is_over {
                former.end(&mut formed);
            }
            for one in formed.drain(..) {
                match one.line {
                    Ok(line) => self.line(place, path, one.number, &line, one.is_repaired)?,
                    Err(reason) => self.reject(path, one.number, &reason.to_string()),
                }
            }
            if lines.number % 4096 == 0 {
                let read = lines.bytes_read();
                (self.options.progress)(read - told);
                told = read;
            }
        }
        (self.options.progress)(lines.bytes_read() - told);
        Ok(())
    }

    fn reject(&mut self, path: &Path, number: u64, reason: &str) {
        self.rejected += 1;
        if self.rejects.len() < REJECTS_MAX {
            self.rejects
                .push(format!("{}:{number}: {reason}", path.display()));
        }
    }

    /// Processes a line: one record, or several in an envelope.
    fn line(
        &mut self,
        file: usize,
        path: &Path,
        number: u64,
        line: &[u8],
        is_repaired: bool,
    ) -> std::io::Result<()> {
        let first_reason = match self.look(line) {
            Ok(Some(source)) => {
                self.repaired += u64::from(is_repaired);
                return self.judge((file, number, 0), path, source, line);
            }
            Ok(None) => None,
            Err(reason) => Some(reason),
        };
        let records = match second_look(line, self.options.dataset) {
            Ok(records) => records,
            Err(reason) => {
                self.reject(path, number, &reason.to_string());
                return Ok(());
            }
        };
        let is_same = matches!(records.as_slice(), [only] if only.text.as_bytes() == line);
        if let (true, Some(reason)) = (is_same, &first_reason) {
            self.reject(path, number, &reason.to_string());
            return Ok(());
        }
        for (place, record) in (1_u64..).zip(records) {
            let line = record.text.as_bytes();
            let source = match self.look(line) {
                Ok(Some(source)) => source,
                // It is looked at as it is.
                Ok(None) => {
                    let source = tell(line);
                    if let Err(reason) = self.look_from(source, line) {
                        self.reject(path, number, &reason.to_string());
                        continue;
                    }
                    source
                }
                Err(reason) => {
                    self.reject(path, number, &reason.to_string());
                    continue;
                }
            };
            self.repaired += u64::from(record.is_repaired || is_repaired);
            self.judge((file, number, place), path, source, line)?;
        }
        Ok(())
    }

    /// Processes a matched record as the server does: a record without a time is rejected, and one with a key counts
    /// once.
    fn judge(
        &mut self,
        place: (usize, u64, u64),
        path: &Path,
        source: usize,
        line: &[u8],
    ) -> std::io::Result<()> {
        self.ask(source, line);
        let lane = &self.lanes[source];
        if lane.scratch.found.rules.is_empty() {
            self.events += 1;
            return Ok(());
        }
        let (Some(dataset), Ok(text)) = (lane.dataset, std::str::from_utf8(line)) else {
            self.events += 1;
            return self.take_found(place, source, line);
        };
        let connection = ConnectionId(String::new());
        let record = match normalise(text, dataset, &connection, self.options.now) {
            Ok(record) => record,
            Err(reason) => {
                self.reject(path, place.1, &reason.to_string());
                return Ok(());
            }
        };
        self.events += 1;
        if record.is_keyed {
            let id = u128::from_str_radix(&record.id.0, 16).unwrap_or_default();
            let mut seen = self
                .seen
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if !seen.insert(id) {
                self.repeated += 1;
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
            let looked = self
                .book
                .detector
                .look_from(source, line, person, &mut self.lanes[source].scratch);
            if looked.is_ok() {
                self.take_found(place, source, line)?;
            }
        }
        Ok(())
    }

    /// Records whether the record has a field that the rules of its source use; does nothing after the first one.
    fn ask(&mut self, source: usize, line: &[u8]) {
        if self.has_asked {
            return;
        }
        if !self.lanes[source].scratch.found.rules.is_empty() {
            self.has_asked = true;
            return;
        }
        let (Some(asked), Some(keys)) = (self.book.detector.asked(source), keys_of_line(line)) else {
            self.has_asked = true;
            return;
        };
        let has = |name: &str| {
            name == sigma::PERSON
                || keys.iter().any(|key| {
                    name.strip_prefix(key.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
        };
        self.has_asked = asked.iter().any(|name| has(name));
        if !self.has_asked {
            self.unasked.extend(asked.into_iter().map(str::to_owned));
        }
    }

    /// Stores the matches of the last record.
    fn take_found(&mut self, place: (usize, u64, u64), source: usize, line: &[u8]) -> std::io::Result<()> {
        let lane = &mut self.lanes[source];
        let name = lane.dataset.map(|dataset| dataset.name);
        let found = &mut lane.scratch.found;
        for rule in &found.rules {
            let Some(place) = self.reported[*rule] else {
                continue;
            };
            self.counts[place] += 1;
            if self.options.matches.is_some() {
                let opening = self
                    .openings
                    .entry((place, name))
                    .or_insert_with(|| opening(&self.book.rules()[place], name));
                self.output.extend_from_slice(opening.as_bytes());
                self.output.extend_from_slice(b"\"event\":");
                self.output.extend_from_slice(line);
                self.output.extend_from_slice(b"}\n");
            }
        }
        self.untaken += found.without_key as u64;
        let Some(at_ns) = found.at_ns else {
            self.untaken += found.traces.len() as u64;
            return self.flush_if_full();
        };
        let id = id_of_place(place.0, place.1, place.2);
        let more = found.traces.len() as u64;
        if more > 0 && self.kept.fetch_add(more, Ordering::Relaxed) + more > KEPT_MAX as u64 {
            return Err(std::io::Error::other(format!(
                "correlations would need more than {KEPT_MAX} matches; narrow the rules that they refer to"
            )));
        }
        for trace in found.traces.drain(..) {
            self.groups.keep(trace, at_ns, id);
        }
        self.flush_if_full()
    }

    /// Matches the line against the rules of its dataset, and returns the detector's source; `None` for an envelope,
    /// whose content must be processed separately.
    fn look(&mut self, line: &[u8]) -> Result<Option<usize>, String> {
        if line.first() == Some(&b'[') {
            return Ok(None);
        }
        if let Some(dataset) = self.options.dataset {
            let source = Detector::source(Some(dataset.name));
            if !self.is_of(source, line)? {
                let keys = keys_of_line(line).unwrap_or_default();
                let names = || keys.iter().map(String::as_str);
                if let Some(other) = plainly_other(names, dataset) {
                    return Err(format!(
                        "the record belongs to {}, not to {}",
                        other.name, dataset.name
                    ));
                }
                if !names().any(|key| has_field(dataset.name, key)) && is_envelope(line, Some(dataset)) {
                    return Ok(None);
                }
                self.lanes[source].is_told = true;
            }
            return Ok(Some(source));
        }
        let beginning = digest(0, &line[..line.len().min(BEGINNING_BYTES)]);
        let place = (beginning >> 32) as usize % RECENT;
        let (known, recent) = self.recent[place];
        let recent = (known == beginning).then_some(recent);
        if let Some(recent) = recent
            && self.is_of(recent, line)?
        {
            return Ok(Some(recent));
        }
        let signature = signature(line);
        let guess = self.guesses.get(&signature).copied();
        if guess == Some(ENVELOPE) {
            return Ok(None);
        }
        if let Some(guess) = guess.filter(|_| guess != recent)
            && self.is_of(guess, line)?
        {
            self.recent[place] = (beginning, guess);
            return Ok(Some(guess));
        }
        if self.guesses.len() >= GUESSES_MAX {
            self.guesses.clear();
        }
        let told = tell(line);
        if told == Detector::OTHER && is_envelope(line, None) {
            self.guesses.insert(signature, ENVELOPE);
            return Ok(None);
        }
        self.guesses.insert(signature, told);
        self.recent[place] = (beginning, told);
        if ![recent, guess].contains(&Some(told)) {
            self.look_from(told, line)?;
        }
        self.lanes[told].is_told = true;
        Ok(Some(told))
    }

    /// Matches the line against the rules of a possible source. Returns whether it certainly belongs to it.
    fn is_of(&mut self, source: usize, line: &[u8]) -> Result<bool, String> {
        self.look_from(source, line)?;
        let lane = &mut self.lanes[source];
        // The keys of a record that was told by all of them, or enough of the dataset's own.
        lane.is_told = (lane.is_told && lane.scratch.is_same_shape())
            || (lane.scratch.is_surely_of_source() && line.len() <= WEIGHED_BYTES);
        Ok(lane.is_told)
    }

    fn look_from(&mut self, source: usize, line: &[u8]) -> Result<(), String> {
        self.book
            .detector
            .look_from(source, line, None, &mut self.lanes[source].scratch)
            .map_err(|error| error.to_string())
    }

    fn flush_if_full(&mut self) -> std::io::Result<()> {
        if self.output.len() >= OUTPUT_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if let (Some(out), false) = (self.options.matches, self.output.is_empty()) {
            let mut out = out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            out.write_all(&self.output)?;
            self.output.clear();
        }
        Ok(())
    }
}

/// A special source number for envelopes that contain records.
const ENVELOPE: usize = usize::MAX;

/// The source of a record, according to all its keys.
fn tell(line: &[u8]) -> usize {
    let keys = keys_of_line(line).unwrap_or_default();
    let names = || keys.iter().map(String::as_str);
    match dataset_of(names()) {
        Some(dataset) => Detector::source(Some(dataset.name)),
        None if may_be_ours(names()) => Detector::UNTOLD,
        None => Detector::OTHER,
    }
}

/// Whether the line is an envelope with records.
fn is_envelope(line: &[u8], dataset: Option<&Dataset>) -> bool {
    // Without an object inside it is none; most records have none.
    memchr::memchr(b'{', line.get(1..).unwrap_or_default()).is_some()
        && second_look(line, dataset)
            .is_ok_and(|records| !matches!(records.as_slice(), [only] if only.text.as_bytes() == line))
}

/// A digest of a record's first keys that can be found without reading lists and objects.
fn signature(line: &[u8]) -> u64 {
    let mut sum = 0;
    let mut at = 0;
    for _ in 0..SIGNATURE_KEYS {
        let Some(open) = memchr::memchr(b'"', &line[at..]).map(|found| at + found + 1) else {
            break;
        };
        let Some(close) = memchr::memchr(b'"', &line[open..]).map(|found| open + found) else {
            break;
        };
        sum = digest(sum, &line[open..close]);
        let value = line[close + 1..].trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii_start();
        let start = line.len() - value.len();
        let end = match value.first() {
            Some(b'"') => {
                let mut end = start + 1;
                loop {
                    match memchr::memchr2(b'"', b'\\', &line[end..]) {
                        Some(found) if line[end + found] == b'\\' => end = (end + found + 2).min(line.len()),
                        Some(found) => break end + found + 1,
                        None => return sum,
                    }
                }
            }
            Some(b'[' | b'{') | None => break,
            Some(_) => match memchr::memchr(b',', &line[start..]) {
                Some(found) => start + found,
                None => break,
            },
        };
        at = end;
    }
    sum
}

/// Adds bytes to a digest that only needs to distinguish a few values.
fn digest(before: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    words
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .chain([last, bytes.len() as u64])
        .fold(before, |digest, word| {
            (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of datasets with the same start, some of them omitted, and some of an unknown dataset.
    fn line(numbers: &mut impl FnMut(usize) -> usize) -> String {
        const FIELDS: [&[&str]; 4] = [
            &["Action", "HTTPHost", "HTTPMethod", "PolicyID", "URL", "UserAgent"],
            &["Action", "DestinationPort", "PolicyID", "SNI", "Transport"],
            &["PolicyID", "QueryName", "QueryTypeName", "ResolverDecision"],
            &["Image", "PolicyID", "ProcessId", "URL"],
        ];
        let account = numbers(3).to_string().repeat(48);
        let mut line = format!("{{\"AccountID\":\"{account}\",\"Datetime\":1");
        for field in FIELDS[numbers(4)] {
            if numbers(4) > 0 {
                line += &format!(",\"{field}\":\"{}\"", numbers(2));
            }
        }
        line + "}"
    }

    #[test]
    fn each_record_is_told_as_if_it_came_alone() {
        let folder = tempfile::tempdir().unwrap();
        let book = RuleBook::of_folder(folder.path());
        let kept = AtomicU64::new(0);
        let options = Options {
            dataset: None,
            matches: None,
            threads: 1,
            now: DateTime::UNIX_EPOCH,
            progress: &|_| {},
        };
        let seen = Mutex::new(HashSet::new());
        let mut worker = Worker::new(&book, options, &kept, &seen);
        let mut state = 7_u64;
        let mut numbers = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % end
        };
        let mut told = BTreeSet::new();
        for _ in 0..20_000 {
            let line = line(&mut numbers);
            let expected = dataset_of_line(line.as_bytes()).map(|dataset| dataset.name);
            let source = worker.look(line.as_bytes()).unwrap().unwrap();
            assert_eq!(
                worker.lanes[source].dataset.map(|dataset| dataset.name),
                expected,
                "{line}"
            );
            told.insert(expected);
        }
        assert!(told.len() > 3, "{told:?}");
    }
}
