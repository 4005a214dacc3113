//! Runs the stages: each in its own loop, woken by the stage before it or by a timer.
//!
//! A loop takes its stage's lease first, so that two processes on one store do not both run it. A lease outlives
//! a killed process by seconds only. Start reading at [`run`].

use crate::app::App;
use crate::archive::ArchiveError;
use crate::due::is_due;
use crate::lease::Lease;
use crate::transmit::deliver::DeliverError;
use crate::{
    clock_watch, coaching, detection, ingest, posture, provisioning, retention, risk, rule_admin, source,
    sweep, sync, transmit,
};
use chrono::TimeDelta;
use model::{BatchState, SyncOutcome};
use std::time::Duration;
use store::StoreError;
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
#[derive(Debug, Clone, Copy)]
enum Loop {
    Pipeline,
    Transmit,
    Messages,
    Expiry,
    Details,
    Schedule,
    Posture,
    Sources,
    Retention,
}

impl Loop {
    const ALL: [Loop; 9] = [
        Loop::Pipeline,
        Loop::Transmit,
        Loop::Messages,
        Loop::Expiry,
        Loop::Details,
        Loop::Schedule,
        Loop::Posture,
        Loop::Sources,
        Loop::Retention,
    ];

    fn name(self) -> &'static str {
        match self {
            Loop::Pipeline => "pipeline",
            Loop::Transmit => "transmit",
            Loop::Messages => "messages",
            Loop::Expiry => "expiry",
            Loop::Details => "details",
            Loop::Schedule => "schedule",
            Loop::Posture => "posture",
            Loop::Sources => "sources",
            Loop::Retention => "retention",
        }
    }

    fn lease(self) -> String {
        format!("stage/{}", self.name())
    }

    fn look_again(self) -> Duration {
        match self {
            Loop::Schedule | Loop::Posture => SCHEDULE,
            Loop::Expiry => EXPIRY,
            Loop::Details => DETAILS,
            Loop::Sources => SOURCES,
            Loop::Retention => RETENTION,
            _ => LOOK_AGAIN,
        }
    }

    /// Works once. Answers whether anything was done: then there may be more.
    async fn work(self, app: &App) -> Result<bool, StageError> {
        match self {
            Loop::Pipeline => pipeline(app).await,
            Loop::Transmit => Ok(transmit::deliver::run(app).await? > 0),
            Loop::Messages => Ok(coaching::deliver::run(app).await? > 0),
            Loop::Expiry => {
                provisioning::cut_off::run(app).await?;
                provisioning::timed::run(app).await?;
                Ok(false)
            }
            Loop::Details => {
                sync::detail::scheduled(app).await?;
                // The next part has its time, however much there is to read.
                Ok(false)
            }
            Loop::Schedule => scheduled_syncs(app).await,
            Loop::Posture => Ok(posture::run_due(app).await?),
            Loop::Retention => {
                retention::run(app).await?;
                sweep::run(app, app.clock.now()).await?;
                detection::prune(app).await?;
                Ok(false)
            }
            Loop::Sources => {
                source::run(app).await?;
                Ok(false)
            }
        }
    }
}

/// Runs every stage until `stop` is cancelled. What fails is logged and tried again.
pub async fn run(app: App, stop: CancellationToken) {
    let mut loops: Vec<_> = Loop::ALL
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

/// Batches to events to detections to levels and messages, once. Answers whether anything was done. Whoever calls it
/// holds the stage's lease, or is alone on the store.
///
/// # Errors
///
/// When the store refuses; the next run goes on where this one stopped.
pub async fn pipeline(app: &App) -> Result<bool, StageError> {
    let mut is_anything_done = false;
    loop {
        rule_admin::reload(app).await?;
        let stored = ingest::process::run(app).await?;
        is_anything_done |= follow(app).await? || stored.batches > 0;
        if stored.batches == 0 {
            return Ok(is_anything_done);
        }
    }
}

/// What follows from batches that are stored. Answers whether there was anything.
async fn follow(app: &App) -> Result<bool, StageError> {
    let adopted = ingest::adopt::run(app).await?;
    let detected = detection::run(app).await?;
    let changed = risk::run(app).await?;
    let to_send = coaching::decide::run(app).await?;
    if changed + to_send > 0 {
        app.wake();
    }
    Ok(adopted + detected.batches + changed + to_send > 0)
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
/// messages as they are. A server that was killed a moment ago holds its lease for seconds.
async fn follow_or_wait(app: &App) -> Result<(), StageError> {
    let (lease, holder) = (Loop::Pipeline.lease(), app.ids.new_id(app.clock.now()));
    let until = tokio::time::Instant::now() + FOLLOW_WITHIN;
    while tokio::time::Instant::now() < until {
        if let Some(held) = Lease::take(app, &lease, &holder, LEASE).await? {
            let followed = held.keep(Box::pin(follow(app))).await;
            held.release().await;
            followed.transpose()?;
            return Ok(());
        }
        if !is_anything_to_follow(app).await? {
            return Ok(());
        }
        tokio::time::sleep(CLAIM_POLL).await;
    }
    Ok(())
}

/// Whether detections wait to become levels and messages.
async fn is_anything_to_follow(app: &App) -> Result<bool, StoreError> {
    for consumer in [risk::CONSUMER, coaching::decide::CONSUMER] {
        let position = app.store.consumer_position(consumer).await?;
        if app.store.journal_has_after(position, risk::DETECTIONS).await? {
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
        let claimed = app
            .store
            .batch_claim_one(id, &app.holder, ingest::claim::LENGTH)
            .await?;
        match claimed {
            None => tokio::time::sleep(CLAIM_POLL).await,
            Some(batch) if batch.state == BatchState::Archived => {
                let mut report = ingest::process::Report::default();
                let processed = ingest::process::one(app, &batch, &mut report).await?;
                if let Some(ingest::process::Processed::Waits(error)) = processed {
                    return Err(FinishError::Archive(error));
                }
            }
            Some(batch) => detection::one(app, &batch, &mut detection::Report::default()).await?,
        }
    }
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
    if store.batch_counts(None).await?.pending > 0 {
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
    let minutes = i64::try_from(app.settings.sync.interval_minutes).unwrap_or(i64::MAX / 100);
    if minutes == 0 {
        return Ok(false);
    }
    let mut ran = false;
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
            Err(sync::SyncError::Paused { .. } | sync::SyncError::Busy(_)) => {}
            Err(error) => sync::could_not_begin(app, &connection, &error).await?,
        }
    }
    Ok(ran)
}

async fn repeat(app: App, stage: Loop, stop: CancellationToken) {
    let name = stage.name();
    let lease = stage.lease();
    while !stop.is_cancelled() {
        let woken = app.wake.notified();
        tokio::pin!(woken);
        // From here on no call is missed, also none that comes while the stage works.
        woken.as_mut().enable();
        match Lease::take(&app, &lease, &app.holder, LEASE).await {
            Ok(Some(held)) => {
                let result = tokio::select! {
                    result = held.keep(stage.work(&app)) => result,
                    () = stop.cancelled() => break,
                };
                match result.unwrap_or(Ok(false)) {
                    Ok(more) => {
                        app.stage_health.succeeded(name);
                        if more {
                            continue;
                        }
                    }
                    Err(error) => {
                        app.stage_health
                            .failed(name, crate::causes(&error), app.clock.now());
                        metrics::counter!("flareward_stage_failures_total", "stage" => name).increment(1);
                        tracing::error!(
                            stage = name,
                            "a stage failed and will be retried: {}",
                            crate::causes(&error)
                        );
                    }
                }
            }
            // Another process runs it, and tells how it fares.
            Ok(None) => app.stage_health.succeeded(name),
            Err(error) => {
                app.stage_health
                    .failed(name, crate::causes(&error), app.clock.now());
                tracing::error!(
                    stage = name,
                    "could not request the lease: {}",
                    crate::causes(&error)
                );
            }
        }
        // What others do gives nothing more to read about people, or from elsewhere.
        let is_woken = !matches!(stage, Loop::Details | Loop::Sources | Loop::Retention);
        tokio::select! {
            () = woken, if is_woken => {}
            () = tokio::time::sleep(stage.look_again()) => {}
            () = stop.cancelled() => {}
        }
    }
    if let Err(error) = app.store.lease_release(&lease, &app.holder).await {
        tracing::debug!(
            stage = name,
            "could not release the lease: {}",
            crate::causes(&error)
        );
    }
}
