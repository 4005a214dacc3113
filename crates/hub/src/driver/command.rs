//! The work of stages for a command, or for a test: once, in this process, whoever else runs.
//!
//! Batches are claimed, and every other stage may be repeated, so a command needs no server and disturbs none.

use super::LEASE;
use super::stage::{Rules, Stage, StageError};
use crate::app::App;
use crate::archive::ArchiveError;
use crate::claim;
use crate::lease::Lease;
use crate::permission::Actor;
use crate::progress::Progress;
use crate::purge::PurgeError;
use crate::{coaching, detection, ingest, risk, rule_admin, sync, transmit};
use model::BatchState;
use std::time::Duration;
use store::{OperationRow, PersonRow, PurgeRow, StoreError};

/// How long a command waits for the server to do what follows from its batches: a server looks every two seconds, and
/// one that was killed holds its lease for six.
const FOLLOW_WITHIN: Duration = Duration::from_secs(12);
/// How often the progress of a replay is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether another process is done with a batch.
const CLAIM_POLL: Duration = Duration::from_millis(100);

/// Batches to events to detections to levels, messages and signals, once, in this process, whoever else runs: batches
/// are claimed, and every other stage may be repeated. Answers whether anything was done.
///
/// # Errors
///
/// When the store refuses; the next run resumes where this one stopped.
pub async fn pipeline(app: &App) -> Result<bool, StageError> {
    let mut is_anything_done = false;
    loop {
        let is_processed = Stage::Process.work(app).await?;
        is_anything_done |= is_processed;
        for stage in Stage::FOLLOWING {
            is_anything_done |= stage.work(app).await?;
        }
        if !is_processed {
            return Ok(is_anything_done);
        }
    }
}

/// Why batches could not be processed to their end.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A stage.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The archive cannot be read now. The batches wait.
    #[error(
        "the archive cannot be read at the moment; received batches stay pending until `flareward \
             serve` processes them"
    )]
    Archive(#[source] ArchiveError),
    /// A purge.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// A purge that another process works on.
    #[error("the server could not finish the purge and will try again: {0}")]
    Elsewhere(String),
}

impl From<StoreError> for FinishError {
    fn from(error: StoreError) -> Self {
        Self::Stage(error.into())
    }
}

/// Processes these batches, whoever else is at work on the store: each is claimed, and one that another process works on
/// is waited for. It ends when they are done, however much else waits. `show` is told how many are done.
///
/// # Errors
///
/// When the store refuses or the archive cannot be read. Whoever comes next goes on.
pub async fn finish(
    app: &App,
    batches: &[String],
    show: &(dyn Fn(usize) + Send + Sync),
) -> Result<(), FinishError> {
    rule_admin::reload(app).await?;
    for (done, id) in batches.iter().enumerate() {
        show(done);
        finish_one(app, id).await?;
    }
    show(batches.len());
    follow_or_wait(app).await?;
    Ok(())
}

/// Does what follows from stored batches, or waits for the server that does it: whoever asks then sees levels and
/// messages as they are. A server that was killed a moment ago holds its leases for seconds.
async fn follow_or_wait(app: &App) -> Result<(), StageError> {
    let holder = app.ids.new_id(app.clock.now());
    let until = tokio::time::Instant::now() + FOLLOW_WITHIN;
    for stage in Stage::FOLLOWING {
        let lease = stage.lease();
        while tokio::time::Instant::now() < until {
            if let Some(held) = Lease::take(app, &lease, &holder, LEASE).await? {
                let followed = held.keep(Box::pin(stage.work(app))).await;
                held.release().await;
                followed.transpose()?;
                break;
            }
            if !is_anything_to_follow(app).await? {
                return Ok(());
            }
            tokio::time::sleep(CLAIM_POLL).await;
        }
    }
    Ok(())
}

/// Whether detections wait to become levels and messages, or levels to become signals.
async fn is_anything_to_follow(app: &App) -> Result<bool, StoreError> {
    for (consumer, reads) in [
        (risk::CONSUMER, risk::READS),
        (coaching::decide::CONSUMER, coaching::decide::READS),
        (transmit::decide::CONSUMER, transmit::decide::READS),
    ] {
        let position = app.store.consumer_position(consumer).await?;
        if app.store.journal_has_after(position, reads).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn finish_one(app: &App, id: &str) -> Result<(), FinishError> {
    loop {
        let state = app.store.batch_get(id).await?.map(|batch| batch.state);
        if matches!(state, None | Some(BatchState::Detected | BatchState::Failed)) {
            return Ok(());
        }
        let claimed = app.store.batch_claim_one(id, &app.holder, claim::LENGTH).await?;
        match claimed {
            None => tokio::time::sleep(CLAIM_POLL).await,
            Some(batch) => {
                let mut report = ingest::process::Report::default();
                let processed = ingest::process::one(app, &Rules, &batch, &mut report).await?;
                if let Some(ingest::process::Processed::Waits(error)) = processed {
                    return Err(FinishError::Archive(error));
                }
            }
        }
    }
}

/// Carries out a replay that was asked for, or waits for the server that does it; then does what follows from it. `show`
/// is told how many parts of how many are done.
///
/// # Errors
///
/// When the store refuses.
pub async fn replay(
    app: &App,
    id: &str,
    show: &(dyn Fn(u64, Option<u64>) + Send + Sync),
) -> Result<OperationRow, StageError> {
    let holder = app.ids.new_id(app.clock.now());
    let find = async || {
        let row = app.store.operation_get(id).await?;
        row.ok_or(StoreError::Gone("the replay"))
    };
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    rule_admin::reload(app).await?;
    let row = loop {
        let row = find().await?;
        show(count(row.done), row.total.map(count));
        if row.finished_at.is_some() {
            break row;
        }
        if let Some(held) = Lease::take(app, &Stage::Replay.lease(), &holder, LEASE).await? {
            let work = async {
                let following = async {
                    loop {
                        tokio::time::sleep(SHOWN_EVERY).await;
                        if let Ok(row) = find().await {
                            show(count(row.done), row.total.map(count));
                        }
                    }
                };
                tokio::select! {
                    ended = detection::replay::carry_out(app) => ended,
                    () = following => unreachable!("the display loop never ends"),
                }
            };
            let ended = held.keep(Box::pin(work)).await;
            held.release().await;
            ended.transpose()?;
            continue;
        }
        tokio::time::sleep(CLAIM_POLL).await;
    };
    follow_or_wait(app).await?;
    Ok(row)
}

/// Removes the records of a person from a command: begins the purge and does it, or waits for the server that does it.
///
/// # Errors
///
/// See [`PurgeError`]; asking again resumes.
pub async fn purge(
    app: &App,
    person: &PersonRow,
    reason: &str,
    actor: &Actor,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<PurgeRow, FinishError> {
    let id = crate::purge::begin(app, person, reason, actor).await?.id;
    let holder = app.ids.new_id(app.clock.now());
    loop {
        let row = app
            .store
            .purge_get(&id)
            .await?
            .ok_or(StoreError::Gone("the purge"))?;
        if let Some(by) = row.cancelled_by.clone().filter(|_| row.finished_at.is_some()) {
            return Err(PurgeError::Cancelled(by).into());
        }
        if row.finished_at.is_some() {
            return Ok(row);
        }
        if let Some(held) = Lease::take(app, &Stage::Purge.lease(), &holder, LEASE).await? {
            let work = Box::pin(purge_here(app, row, show));
            let result = held.keep(work).await;
            held.release().await;
            match result {
                Some(result) => return result,
                None => continue,
            }
        }
        if let Some(problem) = row.problem {
            return Err(FinishError::Elsewhere(problem));
        }
        show(Progress {
            what: "the server is searching the archive".to_owned(),
            done: u64::try_from(row.batches).unwrap_or(0),
            total: None,
        });
        tokio::time::sleep(CLAIM_POLL).await;
    }
}

async fn purge_here(
    app: &App,
    row: PurgeRow,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<PurgeRow, FinishError> {
    // Nobody else may be there to process what waits; the sweep may find more of it in the archive.
    for _ in 0..2 {
        match crate::purge::resume(app, row.clone(), show).await {
            Err(PurgeError::Pending) => pipeline(app).await?,
            result => return Ok(result?),
        };
    }
    Ok(crate::purge::resume(app, row, show).await?)
}

/// Does the syncs that were asked for, in this process.
///
/// # Errors
///
/// When the store refuses.
pub async fn asked_syncs(app: &App) -> Result<bool, StageError> {
    Ok(sync::request::run(app).await?)
}

/// One pass of every stage but syncs, in this process, whoever else runs: every stage may be repeated.
///
/// # Errors
///
/// The first stage that fails.
pub async fn pass(app: &App) -> Result<(), StageError> {
    pipeline(app).await?;
    transmit::deliver::run(app).await?;
    coaching::deliver::run(app).await?;
    Ok(())
}

/// Whether nothing waits to be done.
///
/// # Errors
///
/// When the store refuses.
pub async fn is_quiet(app: &App) -> Result<bool, StoreError> {
    let store = &app.store;
    if store.batch_waits().await? {
        return Ok(false);
    }
    if is_anything_to_follow(app).await? || detection::owes(app).await? {
        return Ok(false);
    }
    Ok(store.signal_waiting().await? == 0 && store.message_waiting().await? == 0)
}

/// Waits until nothing waits to be done. Answers `false` when that took longer than `limit`.
///
/// # Errors
///
/// When the store refuses.
pub async fn until_quiet(app: &App, limit: Duration) -> Result<bool, StoreError> {
    let wait = async {
        while !is_quiet(app).await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(true)
    };
    tokio::time::timeout(limit, wait).await.unwrap_or(Ok(false))
}
