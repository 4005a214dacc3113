//! Runs the stages: each in its own loop, woken by the stage before it or by a timer.
//!
//! A loop takes its stage's lease first, so that two processes on one store do not both run it. A lease outlives
//! a killed process by seconds only. Start reading at [`run`].

use crate::app::App;
use crate::archive::ArchiveError;
use crate::claim;
use crate::due::is_due;
use crate::lease::Lease;
use crate::permission::Actor;
use crate::progress::Progress;
use crate::purge::PurgeError;
use crate::transmit::deliver::DeliverError;
use crate::wake::Written;
use crate::{
    clock_watch, coaching, detection, ingest, posture, provisioning, purge, retention, risk, rule_admin,
    source, sweep, sync, transmit,
};
use chrono::TimeDelta;
use model::{BatchState, SyncOutcome};
use std::time::Duration;
use store::{BatchRow, EventRow, PersonRow, PurgeRow, StoreError};
use tokio_util::sync::CancellationToken;

/// How long a lease holds without a sign of life.
const LEASE: TimeDelta = TimeDelta::seconds(6);
/// How long a command waits for the server to do what follows from its batches: a server looks every two seconds, and
/// one that was killed holds its lease for six.
const FOLLOW_WITHIN: Duration = Duration::from_secs(12);
/// How often it is asked whether another process is done with a batch.
const CLAIM_POLL: Duration = Duration::from_millis(100);
/// A stage looks at least this often, also when nobody woke it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often grants for a time are looked at.
const EXPIRY: Duration = Duration::from_secs(5);
/// How often identifiers that nobody owns are compared with the people, when no list has changed.
const ADOPT: Duration = Duration::from_secs(20);
/// How often it is looked whether a purge can go on.
const PURGE: Duration = Duration::from_secs(5);
/// How often the schedule of syncs is looked at.
const SCHEDULE: Duration = Duration::from_secs(20);
/// How often it is looked whether a source of logs is due.
const SOURCES: Duration = Duration::from_secs(20);
/// How often it is looked whether something is older than it may be.
const RETENTION: Duration = Duration::from_secs(3_600);
/// How often more is read about a few Access users.
const DETAILS: Duration = Duration::from_secs(60);

/// Why a stage could not run.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Signals.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// Syncs.
    #[error(transparent)]
    Sync(#[from] sync::SyncError),
    /// Retention.
    #[error(transparent)]
    Retention(#[from] retention::RetentionError),
    /// The sweep of the archive.
    #[error(transparent)]
    Sweep(#[from] sweep::SweepError),
    /// Changes of access.
    #[error(transparent)]
    Provision(#[from] provisioning::ProvisionError),
}

/// What runs in a loop of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Process,
    Adopt,
    Detect,
    Risk,
    Coach,
    Signal,
    Transmit,
    Messages,
    Expiry,
    Details,
    Schedule,
    Posture,
    Sources,
    Retention,
    Sweep,
    Prune,
    Purge,
    Backtest,
    Replay,
}

impl Stage {
    const ALL: [Stage; 19] = [
        Stage::Process,
        Stage::Adopt,
        Stage::Detect,
        Stage::Risk,
        Stage::Coach,
        Stage::Signal,
        Stage::Transmit,
        Stage::Messages,
        Stage::Expiry,
        Stage::Details,
        Stage::Schedule,
        Stage::Posture,
        Stage::Sources,
        Stage::Retention,
        Stage::Sweep,
        Stage::Prune,
        Stage::Purge,
        Stage::Backtest,
        Stage::Replay,
    ];

    /// What follows from stored batches, in the order in which it does.
    const FOLLOWING: [Stage; 5] = [
        Stage::Adopt,
        Stage::Detect,
        Stage::Risk,
        Stage::Coach,
        Stage::Signal,
    ];

    fn name(self) -> &'static str {
        match self {
            Stage::Process => "process",
            Stage::Adopt => "adopt",
            Stage::Detect => "detect",
            Stage::Risk => "risk",
            Stage::Coach => "coach",
            Stage::Signal => "signal",
            Stage::Transmit => "transmit",
            Stage::Messages => "messages",
            Stage::Expiry => "expiry",
            Stage::Details => "details",
            Stage::Schedule => "schedule",
            Stage::Posture => "posture",
            Stage::Sources => "sources",
            Stage::Retention => "retention",
            Stage::Sweep => "sweep",
            Stage::Prune => "prune",
            Stage::Purge => "purge",
            Stage::Backtest => "backtest",
            Stage::Replay => "replay",
        }
    }

    /// Whether it runs only with its lease. Batches are claimed one by one: any number of processes takes them.
    fn is_leased(self) -> bool {
        self != Stage::Process
    }

    fn lease(self) -> String {
        format!("stage/{}", self.name())
    }

    fn look_again(self) -> Duration {
        match self {
            Stage::Schedule | Stage::Posture => SCHEDULE,
            Stage::Expiry => EXPIRY,
            Stage::Details => DETAILS,
            Stage::Adopt => ADOPT,
            Stage::Purge => PURGE,
            Stage::Sources => SOURCES,
            Stage::Retention | Stage::Sweep | Stage::Prune => RETENTION,
            _ => LOOK_AGAIN,
        }
    }

    /// What wakes it.
    fn reads(self) -> &'static [Written] {
        match self {
            Stage::Process => &[Written::Batches],
            Stage::Adopt => &[Written::People],
            Stage::Detect => &[Written::Undetected],
            Stage::Risk | Stage::Coach | Stage::Signal => &[Written::Journal],
            Stage::Transmit => &[Written::Signals],
            Stage::Messages => &[Written::Messages],
            Stage::Expiry => &[Written::Access],
            Stage::Purge => &[Written::Purges],
            Stage::Backtest | Stage::Replay => &[Written::Operations],
            Stage::Posture => &[Written::People, Written::Access],
            Stage::Schedule => &[Written::Syncs],
            Stage::Details | Stage::Sources | Stage::Retention | Stage::Sweep | Stage::Prune => &[],
        }
    }

    /// What others are woken for when it has done something.
    fn writes(self) -> &'static [Written] {
        match self {
            Stage::Adopt => &[Written::Undetected, Written::Journal],
            Stage::Process | Stage::Detect | Stage::Risk => &[Written::Journal],
            Stage::Coach => &[Written::Messages],
            Stage::Signal => &[Written::Signals],
            _ => &[],
        }
    }

    /// Works once. Answers whether anything was done: then there may be more.
    async fn work(self, app: &App) -> Result<bool, StageError> {
        let is_anything_done = match self {
            Stage::Process => {
                rule_admin::reload(app).await?;
                ingest::process::run(app, &Rules).await?.batches > 0
            }
            Stage::Adopt => ingest::adopt::run(app).await? > 0,
            Stage::Detect => {
                rule_admin::reload(app).await?;
                detection::run(app).await?.did_anything()
            }
            Stage::Risk => {
                rule_admin::reload(app).await?;
                risk::run(app).await? > 0
            }
            Stage::Coach => {
                rule_admin::reload(app).await?;
                coaching::decide::run(app).await? > 0
            }
            Stage::Signal => transmit::decide::run(app).await? > 0,
            Stage::Transmit => transmit::deliver::run(app).await? > 0,
            Stage::Messages => coaching::deliver::run(app).await? > 0,
            Stage::Posture => posture::run_due(app).await?,
            Stage::Purge => purge::run(app).await?,
            Stage::Backtest => {
                rule_admin::reload(app).await?;
                detection::backtest::carry_out(app).await?
            }
            Stage::Replay => detection::replay::run(app).await?,
            Stage::Schedule => scheduled_syncs(app).await?,
            // The next part of the following has its time, however much there is to do.
            Stage::Expiry => {
                provisioning::cut_off::run(app).await?;
                provisioning::timed::run(app).await?;
                false
            }
            Stage::Details => {
                sync::detail::scheduled(app).await?;
                false
            }
            Stage::Sources => {
                source::run(app).await?;
                false
            }
            Stage::Retention => {
                retention::run(app).await?;
                false
            }
            Stage::Sweep => {
                sweep::run(app, app.clock.now()).await?;
                false
            }
            Stage::Prune => {
                detection::prune(app).await?;
                false
            }
        };
        if is_anything_done {
            for written in self.writes() {
                app.wake.call(*written);
            }
        }
        Ok(is_anything_done)
    }
}

/// The rules look at events while these are at hand.
struct Rules;

struct Looking<'a>(detection::Detecting<'a>);

impl ingest::process::Next for Rules {
    type Look<'a> = Looking<'a>;

    async fn begin<'a>(&'a self, app: &'a App, batch: &'a BatchRow) -> Result<Looking<'a>, StoreError> {
        Ok(Looking(
            detection::Detecting::begin(app, app.rules(), batch).await?,
        ))
    }
}

impl ingest::process::Look for Looking<'_> {
    async fn take(&mut self, events: &[EventRow]) -> Result<(), StoreError> {
        self.0.take(events).await
    }

    async fn end(self) -> Result<usize, StoreError> {
        self.0.end().await
    }
}

/// Runs every stage until `stop` is cancelled. What fails is logged and tried again.
pub async fn run(app: App, stop: CancellationToken) {
    let mut loops: Vec<_> = Stage::ALL
        .into_iter()
        .map(|stage| tokio::spawn(repeat(app.clone(), stage, stop.clone())))
        .collect();
    loops.push(tokio::spawn(clock_watch::run(app, stop)));
    for ended in futures::future::join_all(loops).await {
        if let Err(error) = ended {
            tracing::error!("a stage failed: {error}");
        }
    }
}

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
    detection::replay::run(app).await?;
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
            Some(batch) if batch.state == BatchState::Archived => {
                let mut report = ingest::process::Report::default();
                let processed = ingest::process::one(app, &Rules, &batch, &mut report).await?;
                if let Some(ingest::process::Processed::Waits(error)) = processed {
                    return Err(FinishError::Archive(error));
                }
            }
            Some(batch) => detection::one(app, &batch, &mut detection::Report::default()).await?,
        }
    }
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
    let id = purge::begin(app, person, reason, actor).await?.id;
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
            what: "the server is looking through the archive".to_owned(),
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
        match purge::resume(app, row.clone(), show).await {
            Err(PurgeError::Pending) => pipeline(app).await?,
            result => return Ok(result?),
        };
    }
    Ok(purge::resume(app, row, show).await?)
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
    if store.batch_waits(BatchState::Archived).await? || store.batch_waits(BatchState::Stored).await? {
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

async fn scheduled_syncs(app: &App) -> Result<bool, StageError> {
    sync::end_cut_off(app).await?;
    let has_run = sync::request::run(app).await?;
    let minutes = i64::try_from(app.settings.sync.interval_minutes).unwrap_or(i64::MAX / 100);
    if minutes == 0 {
        return Ok(has_run);
    }
    let mut ran = has_run;
    for connection in app.store.connection_list().await? {
        let now = app.clock.now();
        let last = app
            .store
            .sync_run_list(Some(&connection.id), 1)
            .await?
            .into_iter()
            .next();
        let was_cut_off = last
            .as_ref()
            .is_some_and(|run| run.outcome == SyncOutcome::Interrupted);
        let last = last.map(|run| run.started_at);
        if !was_cut_off && !is_due(last, TimeDelta::minutes(minutes), now) {
            continue;
        }
        match sync::connection(app, &connection, sync::SyncOptions::default(), &|_| {}).await {
            Ok(_) => ran = true,
            Err(
                sync::SyncError::Paused { .. } | sync::SyncError::Busy(_) | sync::SyncError::Cancelled { .. },
            ) => {}
            Err(error) => sync::could_not_begin(app, &connection, &error).await?,
        }
    }
    Ok(ran)
}

async fn repeat(app: App, stage: Stage, stop: CancellationToken) {
    let name = stage.name();
    while !stop.is_cancelled() {
        // From here on no call is missed, also none that comes while the stage works.
        let calls = app.wake.listen(stage.reads());
        let result = tokio::select! {
            result = turn(&app, stage) => result,
            () = stop.cancelled() => break,
        };
        match result {
            Ok(more) => {
                app.stage_health.succeeded(name);
                if more {
                    continue;
                }
            }
            Err(error) => {
                let reason = crate::causes(&error);
                metrics::counter!("flareward_stage_failures_total", "stage" => name).increment(1);
                tracing::error!(stage = name, "a stage failed and will be tried again: {reason}");
                app.stage_health.failed(name, reason, app.clock.now());
            }
        }
        tokio::select! {
            () = calls.heard() => {}
            () = tokio::time::sleep(stage.look_again()) => {}
            () = stop.cancelled() => {}
        }
    }
    if stage.is_leased()
        && let Err(error) = app.store.lease_release(&stage.lease(), &app.holder).await
    {
        tracing::debug!(
            stage = name,
            "could not release the lease: {}",
            crate::causes(&error)
        );
    }
}

/// One turn of a stage, if no other process has its lease: that one then tells how the stage fares. Answers whether
/// there may be more to do.
async fn turn(app: &App, stage: Stage) -> Result<bool, StageError> {
    if !stage.is_leased() {
        return stage.work(app).await;
    }
    match Lease::take(app, &stage.lease(), &app.holder, LEASE).await? {
        Some(held) => held.keep(Box::pin(stage.work(app))).await.unwrap_or(Ok(false)),
        None => Ok(false),
    }
}
