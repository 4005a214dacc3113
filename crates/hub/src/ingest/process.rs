//! Makes events of the records of archived batches, and shows them to whoever looks at them next.
//!
//! Reads `batch` in state `archived` and its object; writes `event`, `reject`, `unmapped_identifier`, and the batch's
//! state. The driver says who looks at the events: to read them again from the store would cost more than all else. Stores a part at a time, so that a large batch never holds the
//! database long; a part that is stored twice changes nothing. Start reading at `run`.

use super::reject::Rejects;
use crate::app::App;
use crate::archive::ArchiveError;
use crate::claim;
use crate::fault;
use async_compression::tokio::bufread::GzipDecoder;
use futures::TryStreamExt;
use model::{BatchState, EventId};
use rules::dataset::Dataset;
use rules::form::{Formed, Former, Mended, second_look};
use rules::normalise::{Normalised, id_in_batch, normalise, others};
use rules::reason::Reason;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use store::{BatchRow, EventRow, StoreError};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

/// Records that are stored in one transaction. Their ids lie all over an index, whose pages are written once for all of
/// them. Chosen: a quarter of a second of the database at most.
const PART: usize = 5_000;
/// Bytes of records after which they are stored, however few they are: a record may have a megabyte.
const PART_BYTES: usize = 8 << 20;
/// So long batches are worked on before changed rules are looked for. Chosen: nobody notices the wait.
const SLICE: Duration = Duration::from_secs(1);
/// How much of a line is kept that is too long to be read.
const EXCERPT_BYTES: usize = 800;

/// Who looks at events while they are at hand.
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

/// A look at the events of one batch, which come in parts.
pub(crate) trait Look: Send {
    /// Looks at a part that is stored.
    fn take(&mut self, events: &[EventRow]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends the look: all events of the batch were shown.
    fn end(self) -> impl Future<Output = Result<usize, StoreError>> + Send;
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches that were stored.
    pub batches: usize,
    /// Lines that they held.
    pub records: usize,
    /// Events that were new.
    pub new_events: usize,
    /// Lines that could not be understood.
    pub rejects: usize,
}

/// Stores archived batches, and shows them to `next`, until there are none or a slice of time has passed.
///
/// # Errors
///
/// When the store refuses; the next run goes on with the same batch. An object that is missing or damaged sets
/// its batch aside instead.
pub(crate) async fn run(app: &App, next: &impl Next) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let begun = Instant::now();
    while begun.elapsed() < SLICE
        && let Some(batch) = app
            .store
            .batch_claim(BatchState::Archived, &app.holder, claim::LENGTH)
            .await?
    {
        match one(app, next, &batch, &mut report).await? {
            // An archive that cannot be read now may be read later: the batch waits, and so do those behind it.
            Some(Processed::Waits(_)) => return Ok(report),
            Some(Processed::Done) | None => {}
        }
    }
    Ok(report)
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Processed {
    /// It is processed, or set aside with the reason.
    Done,
    /// The archive cannot be read now.
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
        match store_batch(app, next, batch, report).await {
            Ok(()) => {
                report.batches += 1;
                Ok(Processed::Done)
            }
            Err(ProcessError::Store(error)) => Err(error),
            Err(ProcessError::Archive(error)) if !error.is_missing() => {
                tracing::error!(batch = %batch.id, "cannot read the archive: {}", crate::causes(&error));
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
    #[error("cannot decompress the object")]
    Unpack(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn store_batch(
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
    let mut part = Part::default();
    let mut look = next.begin(app, batch).await?;
    fault::point("ingest.begun");
    let mut former = Former::default();
    let mut formed = Vec::new();
    loop {
        match lines.next().await? {
            Some((number, Ok(line))) => former.take(number, &line, &mut formed),
            Some((number, Err(unreadable))) => {
                part.reject(number, unreadable.reason.into(), &unreadable.excerpt);
            }
            None => former.end(&mut formed),
        }
        let is_over = formed.is_empty() && lines.is_over;
        for one in formed.drain(..) {
            part.take(app, batch, dataset, one);
            if part.events.len() >= PART || part.bytes >= PART_BYTES {
                part.store(app, report, &mut look).await?;
            }
        }
        if is_over {
            break;
        }
    }
    part.store(app, report, &mut look).await?;
    report.records += usize::try_from(part.lines).unwrap_or_default();
    report.rejects += part.rejects.total();
    let rejects = std::mem::take(&mut part.rejects).rows(batch, app.clock.now());
    app.store
        .batch_stored(&batch.id, part.records, part.repaired, &rejects)
        .await?;
    fault::point("ingest.stored");
    look.end().await?;
    fault::point("ingest.detected");
    app.store.batch_detected(batch, &app.holder).await?;
    Ok(())
}

#[derive(Default)]
struct Part {
    events: Vec<(EventRow, bool)>,
    bytes: usize,
    /// Of the whole batch: what could not become events.
    rejects: Rejects,
    /// Of the whole batch: lines and records, further recipients of mails counted or not, and those that were repaired.
    records: i64,
    lines: i64,
    repaired: i64,
    rejected_line: Option<u64>,
    /// How often a record without a key came in the batch so far, by its id.
    alike: HashMap<EventId, u32>,
}

impl Part {
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
    fn take(&mut self, app: &App, batch: &BatchRow, dataset: &Dataset, formed: Formed) {
        let line = match formed.line {
            Ok(line) => line,
            Err(reason) => return self.reject(formed.number, reason, ""),
        };
        let now = app.clock.now();
        // Nearly every line is a record as it stands.
        let reason = match String::from_utf8(line) {
            Ok(text) => match normalise(&text, dataset, &batch.connection_id, now) {
                Ok(record) => return self.accept(batch, dataset, record, text, formed.is_repaired),
                Err(reason) => (reason, text.into_bytes()),
            },
            Err(error) => (Reason::from("not UTF-8"), error.into_bytes()),
        };
        let (first_reason, line) = reason;
        let shown = String::from_utf8_lossy(&line);
        let looked = match second_look(&line, Some(dataset)) {
            Ok(records) => records,
            Err(reason) => return self.reject(formed.number, reason, &shown),
        };
        let is_same = matches!(looked.as_slice(), [only] if only.text.as_bytes() == line);
        if is_same {
            return self.reject(formed.number, first_reason, &shown);
        }
        for Mended { text, is_repaired } in looked {
            match normalise(&text, dataset, &batch.connection_id, now) {
                Ok(record) => {
                    self.accept(batch, dataset, record, text, is_repaired || formed.is_repaired);
                }
                Err(reason) => self.reject(formed.number, reason, &text),
            }
        }
    }

    fn accept(
        &mut self,
        batch: &BatchRow,
        dataset: &Dataset,
        mut record: Normalised,
        text: String,
        is_repaired: bool,
    ) {
        // What is pulled comes again while its time is near: there, alike lines are one record.
        if !record.is_keyed && batch.source != "pull" {
            let occurrence = self.alike.entry(record.id.clone()).or_default();
            record.id = id_in_batch(&record.id, &batch.id, *occurrence);
            *occurrence += 1;
        }
        let others = others(&record, &text, dataset);
        self.lines += 1;
        self.records += 1 + i64::try_from(others.len()).unwrap_or(i64::MAX);
        self.repaired += i64::from(is_repaired);
        self.bytes += text.len() * (1 + others.len());
        for record in others {
            self.events.push(event(batch, record, text.clone()));
        }
        self.events.push(event(batch, record, text));
    }

    /// Finds the people behind the events, stores the part and shows it to the next stage.
    async fn store(
        &mut self,
        app: &App,
        report: &mut Report,
        look: &mut impl Look,
    ) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let mut addresses: Vec<String> = self
            .events
            .iter()
            .filter(|(_, may_map)| *may_map)
            .filter_map(|(event, _)| event.identifier.clone())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let people: HashMap<String, model::PersonId> = crate::people::find(app, &addresses).await?;
        let events: Vec<EventRow> = std::mem::take(&mut self.events)
            .into_iter()
            .map(|(mut event, may_map)| {
                if may_map {
                    let person = event
                        .identifier
                        .as_deref()
                        .and_then(|identifier| people.get(identifier));
                    event.person_id = person.map(|person| person.0.clone());
                }
                event
            })
            .collect();
        let stored = app.store.event_store(events).await?;
        fault::point("ingest.part_stored");
        report.new_events += stored.new;
        self.bytes = 0;
        look.take(&stored.of_batch).await
    }
}

/// The event that a record becomes, and whether it may belong to a person.
fn event(batch: &BatchRow, record: Normalised, raw: String) -> (EventRow, bool) {
    let may_map = !record.is_non_identity;
    let event = EventRow {
        id: record.id,
        connection_id: batch.connection_id.clone(),
        dataset: batch.dataset.clone(),
        at: record.at,
        person_id: None,
        identifier: record.identifier,
        action: record.action,
        target: record.target,
        source_ip: record.source_ip,
        country: record.country,
        batch_id: batch.id.clone(),
        raw,
    };
    (event, may_map)
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
