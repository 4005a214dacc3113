//! Makes records of archived batches: writes them as parts, and shows them to the rules.
//!
//! Reads `batch` in state `archived` and its object; writes parts and, in one transaction at the end of the batch,
//! everything that follows from its records ([`store::BatchOutcome`]). Killed before that, the next run does the same
//! again; the parts of the first run are in no list, and the sweep removes them. The driver says who looks at the records:
//! to read them again would cost more than all else. Memory is bounded, however large the batch is.
//! Start reading at `run`.

use super::part_writer::PartWriter;
use super::reject::Rejects;
use crate::app::App;
use crate::archive::ArchiveError;
use crate::claim;
use crate::fault;
use archive::{PartError, Record, RecordId};
use async_compression::tokio::bufread::GzipDecoder;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use model::{EventId, PersonId};
use rules::dataset::Dataset;
use rules::form::{Formed, Former, Mended, second_look};
use rules::normalise::{Normalised, id_in_batch, normalise, others};
use rules::reason::Reason;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use store::{BatchMatches, BatchOutcome, BatchRow, IdentifierSeenRow, StoreError, UnmappedRow};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

/// Records that are shown to the rules at once.
const STEP: usize = 5_000;
/// Bytes of records after which they are shown, however few they are: a record may have a megabyte.
const STEP_BYTES: usize = 8 << 20;
/// Identifiers of a batch whose people are remembered. Chosen: some 10 MB.
const PEOPLE_MAX: usize = 100_000;
/// So long batches are worked on before changed rules are looked for. Chosen: nobody notices the wait.
const SLICE: Duration = Duration::from_secs(1);
/// How much of a line is kept that is too long to be read.
const EXCERPT_BYTES: usize = 800;

/// Who looks at records while they are at hand.
pub(crate) trait Next {
    /// The look at one batch.
    type Look<'a>: Look
    where
        Self: 'a;

    /// Begins to look at a batch.
    fn begin<'a>(
        &'a self,
        app: &'a App,
        batch: &'a BatchRow,
    ) -> impl Future<Output = Result<Self::Look<'a>, StoreError>> + Send;
}

/// A look at the records of one batch, which come step by step.
pub(crate) trait Look: Send {
    /// Looks at some records. `people` has the people of their identifiers.
    fn take(
        &mut self,
        records: &[Record],
        people: &HashMap<String, PersonId>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What it found and has not stored yet: the batch's transaction stores it.
    fn found(&mut self) -> BatchMatches;

    /// Ends the look: all records were shown, and what it found is stored.
    fn end(self) -> impl Future<Output = Result<usize, StoreError>> + Send;
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches that were processed.
    pub batches: usize,
    /// Lines that they held.
    pub records: usize,
    /// Records that are in the parts.
    pub new_events: usize,
    /// Lines that could not be understood.
    pub rejects: usize,
}

/// Processes archived batches, until there are none or a slice of time has passed.
///
/// # Errors
///
/// When the store refuses; the next run goes on with the same batch. An object that is missing or damaged sets
/// its batch aside instead.
pub(crate) async fn run(app: &App, next: &impl Next) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let begun = Instant::now();
    while begun.elapsed() < SLICE
        && let Some(batch) = app.store.batch_claim(&app.holder, claim::LENGTH).await?
    {
        match one(app, next, &batch, &mut report).await? {
            // An archive that cannot be used now may be used later: the batch waits, and so do those behind it.
            Some(Processed::Waits(_)) => return Ok(report),
            Some(Processed::Done) | None => {}
        }
    }
    Ok(report)
}

/// The outcome of processing a batch.
#[derive(Debug)]
pub(crate) enum Processed {
    /// It is processed, or set aside with the reason.
    Done,
    /// The archive cannot be read or written now.
    Waits(ArchiveError),
}

/// Processes a batch that is claimed. Answers nothing when the claim was lost.
///
/// # Errors
///
/// When the store refuses. The batch is given back then.
pub(crate) async fn one(
    app: &App,
    next: &impl Next,
    batch: &BatchRow,
    report: &mut Report,
) -> Result<Option<Processed>, StoreError> {
    let work = async {
        match process(app, next, batch, report).await {
            Ok(()) => {
                report.batches += 1;
                Ok(Processed::Done)
            }
            Err(ProcessError::Store(error)) => Err(error),
            Err(ProcessError::Archive(error)) if !error.is_missing() => {
                tracing::error!(batch = %batch.id, "cannot use the archive: {}", crate::causes(&error));
                claim::release(app, batch).await;
                Ok(Processed::Waits(error))
            }
            Err(error) => {
                let reason = crate::causes(&error);
                tracing::error!(batch = %batch.id, "cannot read a batch from the archive: {reason}");
                app.store.batch_failed(&batch.id, &app.holder, &reason).await?;
                Ok(Processed::Done)
            }
        }
    };
    claim::keep(app, batch, Box::pin(work)).await
}

#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error("this version does not support the dataset")]
    Dataset,
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PartError> for ProcessError {
    fn from(error: PartError) -> Self {
        Self::Archive(error.into())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot decompress the object")]
struct Unpack(#[source] std::io::Error);

async fn process(
    app: &App,
    next: &impl Next,
    batch: &BatchRow,
    report: &mut Report,
) -> Result<(), ProcessError> {
    let dataset = Dataset::named(&batch.dataset).ok_or(ProcessError::Dataset)?;
    let object = app.archive.read(&batch.path).await?;
    let packed = StreamReader::new(object.map_err(std::io::Error::other));
    let mut decoder = GzipDecoder::new(packed);
    decoder.multiple_members(true);
    let mut lines = Lines::new(
        BufReader::with_capacity(64 << 10, decoder),
        app.settings.ingest.line_limit_bytes,
    );
    let mut work = Work::new(app, batch, dataset);
    let mut look = next.begin(app, batch).await?;
    fault::point("ingest.begun");
    let mut former = Former::default();
    let mut formed = Vec::new();
    let mut problem = None;
    loop {
        match lines.next().await {
            Ok(Some((number, Ok(line)))) => former.take(number, &line, &mut formed),
            Ok(Some((number, Err(unreadable)))) => {
                work.reject(number, unreadable.reason.into(), &unreadable.excerpt);
            }
            Ok(None) => former.end(&mut formed),
            Err(error) => match error.downcast::<object_store::Error>() {
                // An archive that cannot be read now does not make the object damaged.
                Ok(refused) => return Err(ArchiveError::from(refused).into()),
                // What could be read is kept.
                Err(error) => {
                    problem = Some(crate::causes(&Unpack(error)));
                    former.end(&mut formed);
                    lines.is_over = true;
                }
            },
        }
        let is_over = formed.is_empty() && lines.is_over;
        for one in formed.drain(..) {
            work.take(one);
            if work.fresh.len() >= STEP || work.fresh_bytes >= STEP_BYTES {
                work.step(&mut look).await?;
            }
        }
        if is_over {
            break;
        }
    }
    work.step(&mut look).await?;
    work.finish(problem, look, report).await
}

/// The work on one batch.
struct Work<'a> {
    app: &'a App,
    batch: &'a BatchRow,
    dataset: &'a Dataset,
    /// Records that nobody has looked at yet.
    fresh: Vec<Record>,
    fresh_bytes: usize,
    writer: PartWriter,
    ids: HashSet<RecordId>,
    /// How often a record without a key came so far, by its id.
    alike: HashMap<EventId, u32>,
    /// The people of identifiers; `None` for those of nobody.
    people: HashMap<String, Option<PersonId>>,
    seen: BTreeMap<String, (DateTime<Utc>, DateTime<Utc>)>,
    unmapped: BTreeMap<String, (i64, DateTime<Utc>, DateTime<Utc>)>,
    rejects: Rejects,
    rejected_line: Option<u64>,
    /// Lines and records, further recipients of mails counted or not, and those that were repaired.
    records: i64,
    lines: i64,
    repaired: i64,
    accepted: i64,
    duplicates: i64,
}

impl<'a> Work<'a> {
    fn new(app: &'a App, batch: &'a BatchRow, dataset: &'a Dataset) -> Self {
        Self {
            app,
            batch,
            dataset,
            fresh: Vec::new(),
            fresh_bytes: 0,
            writer: PartWriter::new(app, &batch.dataset),
            ids: HashSet::new(),
            alike: HashMap::new(),
            people: HashMap::new(),
            seen: BTreeMap::new(),
            unmapped: BTreeMap::new(),
            rejects: Rejects::default(),
            rejected_line: None,
            records: 0,
            lines: 0,
            repaired: 0,
            accepted: 0,
            duplicates: 0,
        }
    }

    fn reject(&mut self, number: u64, reason: Reason, excerpt: &str) {
        // Of a line that holds several records, the first reason stands for all.
        if self.rejected_line.replace(number) == Some(number) {
            return;
        }
        self.records += 1;
        self.lines += 1;
        self.rejects.add(number, reason, excerpt);
    }

    /// Takes one line: a record, or several in an envelope.
    fn take(&mut self, formed: Formed) {
        let (number, is_repaired) = (formed.number, formed.is_repaired);
        let line = match formed.line {
            Ok(line) => line,
            Err(reason) => return self.reject(number, reason, ""),
        };
        let (dataset, connection) = (self.dataset, &self.batch.connection_id);
        let now = self.app.clock.now();
        // Nearly every line is a record as it stands.
        let (first_reason, line) = match String::from_utf8(line) {
            Ok(text) => match normalise(&text, dataset, connection, now) {
                Ok(record) => return self.accept(number, record, text, is_repaired),
                Err(reason) => (reason, text.into_bytes()),
            },
            Err(error) => (Reason::from("not UTF-8"), error.into_bytes()),
        };
        let shown = String::from_utf8_lossy(&line);
        let looked = match second_look(&line, Some(dataset)) {
            Ok(records) => records,
            Err(reason) => return self.reject(number, reason, &shown),
        };
        let is_same = matches!(looked.as_slice(), [only] if only.text.as_bytes() == line);
        if is_same {
            return self.reject(number, first_reason, &shown);
        }
        for Mended {
            text,
            is_repaired: is_mended,
        } in looked
        {
            match normalise(&text, dataset, connection, now) {
                Ok(record) => self.accept(number, record, text, is_mended || is_repaired),
                Err(reason) => self.reject(number, reason, &text),
            }
        }
    }

    fn accept(&mut self, line: u64, mut normalised: Normalised, text: String, is_repaired: bool) {
        // What is pulled comes again while its time is near: there, alike lines are one record.
        if !normalised.is_keyed && self.batch.source != "pull" {
            let occurrence = self.alike.entry(normalised.id.clone()).or_default();
            normalised.id = id_in_batch(&normalised.id, &self.batch.id, *occurrence);
            *occurrence += 1;
        }
        let others = others(&normalised, &text, self.dataset);
        self.lines += 1;
        self.records += 1 + i64::try_from(others.len()).unwrap_or(i64::MAX);
        self.repaired += i64::from(is_repaired);
        for other in others {
            self.add(line, other, text.clone(), is_repaired);
        }
        self.add(line, normalised, text, is_repaired);
    }

    fn add(&mut self, line: u64, normalised: Normalised, raw: String, is_repaired: bool) {
        let Ok(id) = normalised.id.0.parse() else {
            return self.reject(line, Reason::from("its ID cannot be stored"), &raw);
        };
        if !self.ids.insert(id) {
            self.duplicates += 1;
            return;
        }
        self.accepted += 1;
        let record = Record {
            id,
            at_us: normalised.at.timestamp_micros(),
            is_person: normalised.identifier.is_some() && !normalised.is_non_identity,
            identifier: normalised.identifier,
            action: normalised.action,
            target: normalised.target,
            source_ip: normalised.source_ip,
            country: normalised.country,
            connection: self.batch.connection_id.0.clone(),
            batch: self.batch.id.clone(),
            line,
            is_repaired,
            raw,
        };
        self.fresh_bytes += record.size_bytes();
        self.fresh.push(record);
    }

    /// Finds the people behind the fresh records, shows these, and hands them on to be written.
    async fn step(&mut self, look: &mut impl Look) -> Result<(), ProcessError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let people = self.people_of_fresh().await?;
        for record in &self.fresh {
            let Some(identifier) = &record.identifier else {
                continue;
            };
            let at = crate::record::time(record.at_us);
            let (first, last) = self.seen.entry(identifier.clone()).or_insert((at, at));
            (*first, *last) = (at.min(*first), at.max(*last));
            if !(record.is_person && people.contains_key(identifier)) {
                let entry = self.unmapped.entry(identifier.clone()).or_insert((0, at, at));
                *entry = (entry.0 + 1, at.min(entry.1), at.max(entry.2));
            }
        }
        look.take(&self.fresh, &people).await?;
        self.fresh_bytes = 0;
        self.writer.add(self.fresh.drain(..)).await?;
        Ok(())
    }

    async fn people_of_fresh(&mut self) -> Result<HashMap<String, PersonId>, StoreError> {
        if self.people.len() > PEOPLE_MAX {
            self.people.clear();
        }
        let mut unknown: Vec<String> = self
            .fresh
            .iter()
            .filter(|record| record.is_person)
            .filter_map(|record| record.identifier.clone())
            .filter(|identifier| !self.people.contains_key(identifier))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let mut found = crate::people::find(self.app, &unknown).await?;
            for identifier in unknown {
                let person = found.remove(&identifier);
                self.people.insert(identifier, person);
            }
        }
        let named = self.fresh.iter().filter_map(|record| record.identifier.as_ref());
        Ok(named
            .filter_map(|own| Some((own.clone(), self.people.get(own)?.clone()?)))
            .collect())
    }

    /// Stores everything that follows from the records.
    async fn finish(
        mut self,
        problem: Option<String>,
        mut look: impl Look,
        report: &mut Report,
    ) -> Result<(), ProcessError> {
        let (app, batch) = (self.app, self.batch);
        let parts = self.writer.finish().await?;
        fault::point("ingest.parts_written");
        let source =
            |identifier: String, (first_at, last_at): (DateTime<Utc>, DateTime<Utc>)| IdentifierSeenRow {
                identifier,
                dataset: batch.dataset.clone(),
                connection_id: batch.connection_id.clone(),
                first_at,
                last_at,
            };
        let unmapped = |(identifier, (events, first_at, last_at))| UnmappedRow {
            connection_id: batch.connection_id.clone(),
            identifier,
            dataset: batch.dataset.clone(),
            events,
            first_at,
            last_at,
        };
        report.records += usize::try_from(self.lines).unwrap_or_default();
        report.rejects += self.rejects.total();
        report.new_events += usize::try_from(self.accepted).unwrap_or_default();
        let is_whole = problem.is_none();
        let outcome = BatchOutcome {
            records: self.records,
            accepted: self.accepted,
            duplicates: self.duplicates,
            repaired: self.repaired,
            problem,
            parts,
            rejects: self.rejects.rows(batch, app.clock.now()),
            seen: self
                .seen
                .into_iter()
                .map(|(name, times)| source(name, times))
                .collect(),
            unmapped: self.unmapped.into_iter().map(unmapped).collect(),
            found: look.found(),
        };
        if !app.store.batch_done(batch, &app.holder, &outcome).await? {
            // Another process has the batch by now, and writes parts of its own.
            for part in &outcome.parts {
                app.archive.parts().remove(&part.path).await?;
            }
            return Ok(());
        }
        fault::point("ingest.stored");
        look.end().await?;
        fault::point("ingest.detected");
        if is_whole && app.settings.archive.keep_batches_days == 0 {
            app.archive.remove(&batch.path).await?;
            fault::point("ingest.object_removed");
            app.store.batch_object_removed(&batch.id).await?;
        }
        Ok(())
    }
}

struct Unreadable {
    reason: String,
    excerpt: String,
}

/// Lines with a bound on their length: a longer one is passed over and told of.
struct Lines<R> {
    from: R,
    limit_bytes: usize,
    number: u64,
    /// Whether all was read.
    is_over: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    fn new(from: R, limit_bytes: usize) -> Self {
        Self {
            from,
            limit_bytes,
            number: 0,
            is_over: false,
        }
    }

    /// The next line that is not blank, with its number from 1.
    async fn next(&mut self) -> std::io::Result<Option<(u64, Result<Vec<u8>, Unreadable>)>> {
        loop {
            let mut line = Vec::new();
            let (mut length, mut ended) = (0_usize, false);
            while !ended {
                let available = self.from.fill_buf().await?;
                if available.is_empty() {
                    break;
                }
                let end = available.iter().position(|byte| *byte == b'\n');
                let used = end.map_or(available.len(), |end| end + 1);
                ended = end.is_some();
                length += used;
                let room = self.limit_bytes.saturating_sub(line.len());
                line.extend_from_slice(&available[..used.min(room)]);
                self.from.consume(used);
            }
            if length == 0 {
                self.is_over = true;
                return Ok(None);
            }
            self.number += 1;
            if line.trim_ascii().is_empty() && length <= self.limit_bytes {
                continue;
            }
            let result = if length > self.limit_bytes {
                Err(Unreadable {
                    reason: format!(
                        "the line is longer than {} bytes (ingest.line_limit_bytes)",
                        self.limit_bytes
                    ),
                    excerpt: String::from_utf8_lossy(&line[..line.len().min(EXCERPT_BYTES)]).into_owned(),
                })
            } else {
                Ok(line.trim_ascii().to_vec())
            };
            return Ok(Some((self.number, result)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(text, 10);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().await.unwrap() {
            let line = line.map(|line| String::from_utf8_lossy(&line).into_owned());
            all.push((number, line.map_err(|unreadable| unreadable.reason)));
        }
        all
    }

    #[tokio::test]
    async fn blank_lines_are_passed_over_and_numbers_stay_true() {
        let all = read(b"one\r\n\n  \nfour").await;
        assert_eq!(all, [(1, Ok("one".to_owned())), (4, Ok("four".to_owned()))]);
    }

    #[tokio::test]
    async fn a_long_line_is_told_of_and_the_next_one_is_read() {
        let all = read(b"0123456789abcdef\nok\n").await;
        assert!(all[0].1.as_ref().unwrap_err().contains("longer than 10 bytes"));
        assert_eq!(all[1], (2, Ok("ok".to_owned())));
    }
}
