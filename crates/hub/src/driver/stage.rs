//! The stages: what wakes each, what it writes, and what it does in one turn.

use crate::app::App;
use crate::due::is_due;
use crate::transmit::deliver::DeliverError;
use crate::wake::Written;
use crate::{
    baton, coaching, compact, detection, ingest, posture, provisioning, purge, retention, risk, rule_admin,
    source, sweep, sync, transmit,
};
use archive::Record;
use chrono::TimeDelta;
use model::PersonId;
use model::SyncOutcome;
use std::collections::HashMap;
use std::time::Duration;
use store::{BatchMatches, BatchRow, StoreError};

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
/// How often it is looked whether parts are to be merged.
const COMPACT: Duration = Duration::from_secs(30);
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
    /// Merging parts.
    #[error(transparent)]
    Compact(#[from] compact::CompactError),
    /// Changes of access.
    #[error(transparent)]
    Provision(#[from] provisioning::ProvisionError),
}

/// What runs in a loop of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
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
    Compact,
    Prune,
    Purge,
    Backtest,
    Replay,
    Export,
}

impl Stage {
    pub(super) const ALL: [Stage; 21] = [
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
        Stage::Compact,
        Stage::Prune,
        Stage::Purge,
        Stage::Backtest,
        Stage::Replay,
        Stage::Export,
    ];

    /// What follows from stored batches, in the order in which it does.
    pub(super) const FOLLOWING: [Stage; 5] = [
        Stage::Adopt,
        Stage::Detect,
        Stage::Risk,
        Stage::Coach,
        Stage::Signal,
    ];

    pub(super) fn name(self) -> &'static str {
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
            Stage::Compact => "compact",
            Stage::Prune => "prune",
            Stage::Purge => "purge",
            Stage::Backtest => "backtest",
            Stage::Replay => "replay",
            Stage::Export => "export",
        }
    }

    /// Whether it runs only with its lease. Batches are claimed one by one: any number of processes takes them.
    pub(super) fn is_leased(self) -> bool {
        self != Stage::Process
    }

    pub(super) fn lease(self) -> String {
        format!("stage/{}", self.name())
    }

    pub(super) fn look_again(self) -> Duration {
        match self {
            Stage::Schedule | Stage::Posture => SCHEDULE,
            Stage::Expiry => EXPIRY,
            Stage::Details => DETAILS,
            Stage::Adopt => ADOPT,
            Stage::Purge => PURGE,
            Stage::Sources => SOURCES,
            Stage::Compact => COMPACT,
            Stage::Retention | Stage::Sweep | Stage::Prune => RETENTION,
            _ => LOOK_AGAIN,
        }
    }

    /// What wakes it.
    pub(super) fn reads(self) -> &'static [Written] {
        match self {
            Stage::Process => &[Written::Batches],
            Stage::Adopt => &[Written::People],
            Stage::Detect => &[Written::Undetected],
            Stage::Risk | Stage::Coach | Stage::Signal => &[Written::Journal],
            Stage::Transmit => &[Written::Signals],
            Stage::Messages => &[Written::Messages],
            Stage::Expiry => &[Written::Access],
            Stage::Purge => &[Written::Purges],
            Stage::Backtest | Stage::Replay | Stage::Export => &[Written::Operations],
            Stage::Posture => &[Written::People, Written::Access],
            Stage::Schedule => &[Written::Syncs],
            Stage::Details
            | Stage::Sources
            | Stage::Retention
            | Stage::Sweep
            | Stage::Compact
            | Stage::Prune => &[],
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
    pub(super) async fn work(self, app: &App) -> Result<bool, StageError> {
        let is_anything_done = match self {
            Stage::Process => {
                rule_admin::reload(app).await?;
                ingest::process::run(app, &Rules).await?.batches > 0
            }
            Stage::Adopt => detection::adopt::run(app).await? > 0,
            Stage::Detect => {
                rule_admin::reload(app).await?;
                detection::run(app).await? > 0
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
            Stage::Replay => detection::replay::carry_out(app).await?,
            Stage::Export => baton::server::run(app).await?,
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
            Stage::Compact => compact::run(app).await?,
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

/// The rules look at records while these are at hand.
pub(super) struct Rules;

pub(super) struct Looking<'a>(detection::Detecting<'a>);

impl ingest::process::Next for Rules {
    type Look<'a> = Looking<'a>;

    async fn begin<'a>(&'a self, app: &'a App, batch: &'a BatchRow) -> Result<Looking<'a>, StoreError> {
        Ok(Looking(
            detection::Detecting::begin(app, app.rules(), batch).await?,
        ))
    }
}

impl ingest::process::Look for Looking<'_> {
    async fn take(
        &mut self,
        records: &[Record],
        people: &HashMap<String, PersonId>,
    ) -> Result<(), StoreError> {
        self.0.take(records, people).await
    }

    fn found(&mut self) -> BatchMatches {
        self.0.found()
    }

    async fn end(self) -> Result<usize, StoreError> {
        self.0.end().await
    }
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
