//! Removes what the logs hold of one person, when someone asks for it.
//!
//! Looks through every part and every object that is kept as it came, writes those anew that hold records of the person,
//! and removes their evidence. A record is the person's when it carries one of their identifiers as its own; a line that
//! cannot be read is removed when it names one. What other people's records say about the person stays, and so do
//! detections. `parts` has the work on parts.
//!
//! [`begin`] writes down that it is wanted; the stage [`run`] does it, and resumes with the next batch after a kill.
//! Start reading at [`resume`].

mod parts;

use crate::app::App;
use crate::archive::{ArchiveError, Place};
use crate::audit;
use crate::fault;
use crate::journal_words;
use crate::people;
use crate::permission::Actor;
use crate::progress::Progress;
use crate::record::RewriteError;
use crate::sweep::{self, SweepError, Unknown};
use crate::wake::Written;
use archive::PartError;
use async_compression::tokio::bufread::GzipDecoder;
use chrono::{DateTime, TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use futures::TryStreamExt;
use model::{BatchState, ConnectionId, PersonId};
use rules::Dataset;
use rules::normalise::normalise;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use store::{BatchRow, PersonRow, PurgeRow, StoreError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

/// Batches that are looked through before the place is kept, when none of them holds anything.
const PART: i64 = 100;
/// A purge that could not go on is tried again after this: each try lists the whole archive.
const RETRY: TimeDelta = TimeDelta::minutes(10);
/// Written to the archive at once, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Why a purge could not end.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// A purge must be explained.
    #[error("a reason is required (--reason)")]
    Reason,
    /// The person was removed, or merged into another, after the purge was asked for.
    #[error("the person no longer exists: purge the person that they were merged into")]
    NoPerson,
    /// What was received is not processed yet.
    #[error("some batches are not processed yet: try again when `flareward serve` has processed them")]
    Pending,
    /// Something is being received, or was cut off just now.
    #[error(
        "{count} objects in the archive are either being received or incomplete: try again after \
             {judged_at}, when Flareward can distinguish them"
    )]
    Receiving {
        /// How many.
        count: usize,
        /// When they are old enough, in UTC.
        judged_at: String,
    },
    /// Someone cancelled it.
    #[error("the purge was cancelled by {0}; records that it had already removed are not restored")]
    Cancelled(String),
    /// There is none.
    #[error("no purge with ID \"{0}\"")]
    NotFound(String),
    /// It has ended.
    #[error("the purge has already ended")]
    Ended,
    /// What the database does not know.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// The archive.
    #[error("could not rewrite the archived object {path}; progress is saved, run the purge again to resume")]
    Archive {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// An object is damaged.
    #[error("cannot decompress the archived object {path}; progress is saved")]
    Unpack {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of the archive cannot be read or written.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Does the purges that were asked for. Answers whether one ended.
///
/// # Errors
///
/// When the store refuses. What stops a purge is kept with it, and it is tried again ten minutes later.
pub async fn run(app: &App) -> Result<bool, StoreError> {
    let mut has_ended = false;
    let tried = app.slots.of(Tried::default);
    for row in app.store.purge_open_list().await? {
        let id = row.id.clone();
        let now = app.clock.now();
        if row.problem.is_some() && tried.since(&id, now).is_some_and(|since| since < RETRY) {
            continue;
        }
        match resume(app, row, &|_| {}).await {
            Ok(_) | Err(PurgeError::Cancelled(_)) => has_ended = true,
            Err(PurgeError::Store(error)) => return Err(error),
            Err(PurgeError::Pending) => {
                tracing::debug!(purge = %id, "a purge waits for batches to be processed");
            }
            Err(error) => {
                tried.at(&id, now);
                tracing::error!(purge = %id, "a purge stopped and will be tried again: {}", crate::causes(&error));
            }
        }
    }
    Ok(has_ended)
}

/// When this process last tried a purge that could not go on.
#[derive(Default)]
struct Tried(Mutex<HashMap<String, DateTime<Utc>>>);

impl Tried {
    fn since(&self, id: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
        let tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.get(id).map(|at| now - *at)
    }

    fn at(&self, id: &str, now: DateTime<Utc>) {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.insert(id.to_owned(), now);
    }
}

impl From<RewriteError> for PurgeError {
    fn from(error: RewriteError) -> Self {
        match error {
            RewriteError::Part(error) => Self::Part(error),
            RewriteError::Store(error) => Self::Store(error),
        }
    }
}

/// What a purge would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgePlan {
    /// Addresses and names that mark a record as the person's, in lower case.
    pub identifiers: Vec<String>,
    /// Kept batches that were looked through.
    pub batches: i64,
    /// Parts and kept batches that would be written anew.
    pub objects: i64,
    /// Records that would be left out of kept batches.
    pub records: i64,
    /// Records that would be left out of parts.
    pub events: i64,
    /// Whether batches wait to be processed: whose their records are is not known yet.
    pub is_pending: bool,
}

/// Counts what a purge would remove, and removes nothing.
///
/// # Errors
///
/// See [`PurgeError`].
pub async fn plan(
    app: &App,
    person: &PersonRow,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<PurgePlan, PurgeError> {
    let identifiers = people::identifiers(app, &person.id).await?;
    let mut plan = PurgePlan {
        identifiers: identifiers.iter().cloned().collect(),
        batches: 0,
        objects: 0,
        records: 0,
        events: 0,
        is_pending: app.store.batch_waits().await?,
    };
    parts::plan(app, &identifiers, &mut plan).await?;
    let total = u64::try_from(app.store.batch_counts(None).await?.batches).ok();
    let mut after = String::new();
    loop {
        let part = app.store.batch_after(&after, PART).await?;
        let Some(last) = part.last() else { return Ok(plan) };
        after.clone_from(&last.id);
        for batch in &part {
            plan.batches += 1;
            if let Some(dataset) = Dataset::named(&batch.dataset)
                && let Some(count) = copy(app, Object::of(batch), dataset, &identifiers, false).await?
            {
                plan.objects += i64::from(count > 0);
                plan.records += count;
            }
            show(Progress {
                what: "counting archived records".to_owned(),
                done: u64::try_from(plan.batches).unwrap_or(0),
                total,
            });
        }
    }
}

/// Writes down that the records of a person are to be removed; answers the purge that was cut off, if there is one.
///
/// # Errors
///
/// Without a reason, and when the store refuses.
pub async fn begin(
    app: &App,
    person: &PersonRow,
    reason: &str,
    actor: &Actor,
) -> Result<PurgeRow, PurgeError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(PurgeError::Reason);
    }
    let detail = json!({ "reason": reason });
    audit::record(
        app,
        actor,
        model::AuditAction::EventsPurge,
        person.id.as_str(),
        model::AuditOutcome::Asked,
        detail,
    )
    .await?;
    let now = app.clock.now();
    if app.store.purge_open(&person.id).await?.is_none() {
        let id = app.ids.new_id(now);
        app.store
            .purge_start(&id, &person.id, reason, &actor.to_string(), now)
            .await?;
    }
    let mut row = app
        .store
        .purge_open(&person.id)
        .await?
        .ok_or(StoreError::Gone("the purge"))?;
    app.store.purge_problem_set(&row.id, None).await?;
    row.problem = None;
    app.wake.call(Written::Purges);
    Ok(row)
}

/// Asks a purge to stop, in whichever process it runs. What it has removed stays removed.
///
/// # Errors
///
/// See [`PurgeError`].
pub async fn cancel(app: &App, id: &str, actor: &Actor) -> Result<PurgeRow, PurgeError> {
    let find = async || {
        let row = app.store.purge_get(id).await?;
        row.ok_or_else(|| PurgeError::NotFound(id.to_owned()))
    };
    let row = find().await?;
    if row.finished_at.is_some() {
        return Err(PurgeError::Ended);
    }
    let detail = json!({ "kind": "purge", "person_id": row.person_id });
    let action = model::AuditAction::OperationCancel;
    audit::record(app, actor, action, id, model::AuditOutcome::Asked, detail).await?;
    app.store.purge_cancel(id, &actor.to_string()).await?;
    app.wake.call(Written::Purges);
    find().await
}

async fn stop_if_cancelled(app: &App, row: &PurgeRow) -> Result<(), PurgeError> {
    match app.store.purge_cancelled(&row.id).await? {
        Some(by) => Err(PurgeError::Cancelled(by)),
        None => Ok(()),
    }
}

/// Does what [`begin`] wrote down, to its end. What stops it is kept with it.
///
/// # Errors
///
/// See [`PurgeError`]; calling it again resumes.
pub async fn resume(
    app: &App,
    row: PurgeRow,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<PurgeRow, PurgeError> {
    let id = row.id.clone();
    // An actor of a kind that this version does not know: the stage acts.
    let actor = Actor::recorded(&row.actor).unwrap_or(Actor::System);
    let result = match app.store.person_get(&PersonId(row.person_id.clone())).await? {
        Some(person) => remove(app, &person, row, &actor, show).await,
        None => Err(PurgeError::NoPerson),
    };
    if let Err(PurgeError::Cancelled(_)) = &result
        && let Some(row) = app.store.purge_get(&id).await?
    {
        let words = journal_words::events_purged(&row);
        app.store.purge_finish(&row, &words, app.clock.now()).await?;
    }
    if let Err(error) = &result
        // What waits to be processed is no fault.
        && !matches!(error, PurgeError::Pending)
    {
        let problem = crate::causes(error);
        app.store.purge_problem_set(&id, Some(&problem)).await?;
    }
    result
}

async fn remove(
    app: &App,
    person: &PersonRow,
    mut row: PurgeRow,
    actor: &Actor,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<PurgeRow, PurgeError> {
    stop_if_cancelled(app, &row).await?;
    // Cheaper to ask than the sweep, which lists the whole archive.
    if app.store.batch_waits().await? {
        return Err(PurgeError::Pending);
    }
    // What a receive that was cut off has left may hold records of the person too.
    let swept = sweep::run(app, row.started_at).await?;
    if let Some(judged_at) = swept.judged_at {
        return Err(PurgeError::Receiving {
            count: swept.young,
            judged_at: judged_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        });
    }
    // Whose a record is, is known once it has been processed.
    if app.store.batch_waits().await? {
        return Err(PurgeError::Pending);
    }
    let identifiers = people::identifiers(app, &person.id).await?;
    look_through_arrivals(app, &mut row, &identifiers).await?;
    let total = u64::try_from(app.store.batch_counts(None).await?.batches).ok();
    loop {
        let part = app.store.batch_after(&row.position, PART).await?;
        if part.is_empty() {
            break;
        }
        for batch in &part {
            stop_if_cancelled(app, &row).await?;
            let removed = look_through_batch(app, batch, &identifiers).await?;
            row.batches += 1;
            row.objects += i64::from(removed > 0);
            row.records += removed;
            row.position.clone_from(&batch.id);
            if removed > 0 {
                app.store.purge_progress(&row).await?;
            }
            show(Progress {
                what: "searching the archive".to_owned(),
                done: u64::try_from(row.batches).unwrap_or(0),
                total,
            });
        }
        app.store.purge_progress(&row).await?;
    }
    look_through_unknown(app, &mut row, &identifiers).await?;
    fault::point("purge.looked_through");
    parts::remove(app, &mut row, &identifiers, show).await?;
    app.store.evidence_purge(person.id.as_str()).await?;
    for identifier in &identifiers {
        app.store.evidence_purge(identifier).await?;
        app.store.identifier_purge(identifier).await?;
        app.store.identifier_forget(identifier).await?;
    }
    fault::point("purge.removed");
    // Told before it counts as ended: cut off in between, it is told twice rather than never.
    let detail = json!({ "events": row.events, "records": row.records, "objects": row.objects });
    audit::record(
        app,
        actor,
        model::AuditAction::EventsPurge,
        person.id.as_str(),
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    let now = app.clock.now();
    app.store
        .purge_finish(&row, &journal_words::events_purged(&row), now)
        .await?;
    row.finished_at = Some(now);
    Ok(row)
}

/// Looks through the batches that came after the purge was begun and lie before the place that it had reached: they
/// are ordered by what they hold, not by when they came.
async fn look_through_arrivals(
    app: &App,
    row: &mut PurgeRow,
    identifiers: &BTreeSet<String>,
) -> Result<(), PurgeError> {
    let mut after = String::new();
    while after < row.position {
        let part = app.store.batch_after(&after, PART).await?;
        let Some(last) = part.last() else { break };
        after.clone_from(&last.id);
        for batch in &part {
            if batch.id > row.position || batch.received_at < row.started_at {
                continue;
            }
            let removed = look_through_batch(app, batch, identifiers).await?;
            row.objects += i64::from(removed > 0);
            row.records += removed;
            if removed > 0 {
                app.store.purge_progress(row).await?;
            }
        }
    }
    Ok(())
}

/// Looks through the batches that the database does not know and that the sweep has left, because their connection is
/// not known or they are the only copy. What came after the purge was begun may be in the middle of its receive.
async fn look_through_unknown(
    app: &App,
    row: &mut PurgeRow,
    identifiers: &BTreeSet<String>,
) -> Result<(), PurgeError> {
    let mut unknown = Unknown::begin(app).await?;
    while let Some(page) = unknown.next().await? {
        for found in page.iter().filter(|found| found.changed_at() <= row.started_at) {
            let Place::Batch {
                dataset, connection, ..
            } = &found.place
            else {
                continue;
            };
            let object = Object {
                path: found.path(),
                connection,
                is_damaged: true,
            };
            let removed = match Dataset::named(dataset) {
                Some(dataset) => look_through(app, object, dataset, identifiers).await?,
                None => 0,
            };
            row.objects += i64::from(removed > 0);
            row.records += removed;
        }
    }
    Ok(())
}

/// An archived object that is looked through.
#[derive(Clone, Copy)]
struct Object<'a> {
    path: &'a str,
    connection: &'a ConnectionId,
    /// Whether it may be one that never could be read.
    is_damaged: bool,
}

impl<'a> Object<'a> {
    fn of(batch: &'a BatchRow) -> Self {
        Self {
            path: &batch.path,
            connection: &batch.connection_id,
            is_damaged: batch.state == BatchState::Failed,
        }
    }
}

/// Looks through the object of a batch. Answers how many records of the person it held.
async fn look_through_batch(
    app: &App,
    batch: &BatchRow,
    identifiers: &BTreeSet<String>,
) -> Result<i64, PurgeError> {
    match Dataset::named(&batch.dataset) {
        Some(dataset) => look_through(app, Object::of(batch), dataset, identifiers).await,
        None => Ok(0),
    }
}

/// Writes an object anew without the lines of the person, if it has any. Answers how many.
async fn look_through(
    app: &App,
    object: Object<'_>,
    dataset: &Dataset,
    identifiers: &BTreeSet<String>,
) -> Result<i64, PurgeError> {
    // Once to see whether there is anything, which is seldom, and once more to write.
    let Some(count) = copy(app, object, dataset, identifiers, false).await? else {
        return Ok(0);
    };
    if count > 0 {
        copy(app, object, dataset, identifiers, true).await?;
    }
    Ok(count)
}

/// `None` when the object is not there, or could never be read.
async fn copy(
    app: &App,
    object: Object<'_>,
    dataset: &Dataset,
    identifiers: &BTreeSet<String>,
    write: bool,
) -> Result<Option<i64>, PurgeError> {
    let archive = |source| PurgeError::Archive {
        path: object.path.to_owned(),
        source,
    };
    let packed = match app.archive.read(object.path).await {
        Ok(packed) => packed,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(archive(error)),
    };
    let mut decoder = GzipDecoder::new(StreamReader::new(packed.map_err(std::io::Error::other)));
    decoder.multiple_members(true);
    let mut lines = BufReader::with_capacity(64 << 10, decoder).split(b'\n');
    let now = app.clock.now();
    let mut writer = match write {
        true => Some(app.archive.begin(&app.ids.new_id(now)).await.map_err(archive)?),
        false => None,
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    let mut removed = 0;
    let result = loop {
        let line = match lines.next_segment().await {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            // A batch that could not be processed either.
            Err(_) if object.is_damaged && !write => return Ok(None),
            Err(source) => {
                break Err(PurgeError::Unpack {
                    path: object.path.to_owned(),
                    source,
                });
            }
        };
        if is_theirs(&line, dataset, object.connection, identifiers, now) {
            removed += 1;
            continue;
        }
        let Some(writer) = &mut writer else { continue };
        let taken = packed.write_all(&line).and_then(|()| packed.write_all(b"\n"));
        taken.map_err(|source| PurgeError::Unpack {
            path: object.path.to_owned(),
            source,
        })?;
        if packed.get_ref().len() >= PIECE_BYTES {
            let piece = std::mem::take(packed.get_mut());
            if let Err(error) = writer.write(&piece).await {
                break Err(archive(error));
            }
        }
    };
    let Some(mut writer) = writer else {
        return result.map(|()| Some(removed));
    };
    if let Err(error) = result {
        writer.abort().await;
        return Err(error);
    }
    let rest = packed.finish().map_err(|source| PurgeError::Unpack {
        path: object.path.to_owned(),
        source,
    })?;
    writer.write(&rest).await.map_err(archive)?;
    writer.finish(object.path).await.map_err(archive)?;
    fault::point("purge.rewritten");
    Ok(Some(removed))
}

fn is_theirs(
    line: &[u8],
    dataset: &Dataset,
    connection: &ConnectionId,
    identifiers: &BTreeSet<String>,
    now: chrono::DateTime<chrono::Utc>,
) -> bool {
    let text = String::from_utf8_lossy(line);
    match normalise(text.trim(), dataset, connection, now) {
        Ok(record) => record.identifier.is_some_and(|own| identifiers.contains(&own)),
        Err(_) => {
            let text = text.to_lowercase();
            identifiers.iter().any(|one| text.contains(one.as_str()))
        }
    }
}
