//! Brings members, roles, Access users, Access groups, people and grants in step with Cloudflare.
//!
//! Reads Cloudflare; writes `member`, `role`, `access_user`, `access_group`, `person`, `entitlement_grant`,
//! `listing` and `sync_run`. Never changes anything at Cloudflare. A listing that failed, or that gave fewer
//! things than it said it had, marks nothing gone: its old rows stay and the listing is marked stale. Safe to
//! repeat and to stop half-way. Start reading at [`connection`].

mod grants;
mod lists;

use crate::app::{App, ClientError};
use chrono::TimeDelta;
use cloudflare::{AccountId, CloudflareError};
use model::{ConnectionId, ConnectionState};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{ConnectionRow, StoreError, SyncRunRow};

/// How long a sync may hold its lease between two signs of life: a killed one blocks the next no longer.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often it gives one, also while it waits for Cloudflare's rate limit.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The features of [`crate::connect::doctor`] that a sync reads itself: it knows better than the last probe.
const READ_HERE: [&str; 4] = ["members", "roles", "Access users", "Access groups"];

/// What was seen of one kind of thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Things listed.
    pub seen: usize,
    /// Things that were there before and are no longer listed.
    pub gone: usize,
}

/// What a sync did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The run, as the history shows it.
    pub run_id: String,
    /// `complete`, `partial`, `paused` or `failed`.
    pub outcome: String,
    /// By kind of thing.
    pub counts: BTreeMap<String, Count>,
    /// How many requests Cloudflare was asked.
    pub requests: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// What went wrong, one sentence each.
    pub problems: Vec<String>,
}

/// How far a sync has come, for a progress bar.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What is being read.
    pub what: &'static str,
    /// How many are read.
    pub done: u64,
    /// How many there are, when Cloudflare says so.
    pub total: Option<u64>,
}

/// Why a sync could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Another process syncs this connection.
    #[error("{0} is being synced by another process")]
    Busy(String),
    /// A person must look at it first.
    #[error("{label} is paused: {reason}; confirm with `flareward sync --connection {label} --confirm`")]
    Paused {
        /// The connection.
        label: String,
        /// Why.
        reason: String,
    },
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// One listing failed.
    #[error("could not list {what}")]
    List {
        /// What was listed.
        what: &'static str,
        /// Why.
        #[source]
        source: CloudflareError,
    },
    /// Fewer than half of what was there before came.
    #[error("only {seen} of {before} {what} are listed now")]
    Halved {
        /// What was listed.
        what: &'static str,
        /// How many came.
        seen: usize,
        /// How many there were.
        before: i64,
    },
    /// The store.
    #[error("could not store what was listed")]
    Store(#[from] StoreError),
}

/// Syncs one connection. `confirm` accepts that counts have fallen by half.
///
/// # Errors
///
/// When it cannot begin. What fails on the way is in the report.
pub async fn connection(
    app: &App,
    connection: &ConnectionRow,
    confirm: bool,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, SyncError> {
    refuse_paused(connection, confirm)?;
    let client = app.client(connection)?.in_background();
    let lease = format!("sync/{}", connection.id);
    let started_at = app.clock.now();
    // Two syncs of one process must not share the lease either.
    let holder = app.ids.new_id(started_at);
    if !app
        .store
        .lease_take(&lease, &holder, started_at + LEASE, started_at)
        .await?
    {
        return Err(SyncError::Busy(connection.label.clone()));
    }
    let run = Run {
        app,
        connection: &connection.id,
        account: AccountId::parse(&connection.account_id),
        client: &client,
        started_at,
        confirm,
        progress,
        run_id: app.ids.new_id(started_at),
        requests_before: client.requests(),
    };
    let result = tokio::select! {
        result = run.all(connection) => result,
        () = keep(app, &lease, &holder) => Err(SyncError::Busy(connection.label.clone())),
    };
    app.store.lease_release(&lease, &holder).await?;
    app.wake();
    result
}

fn refuse_paused(connection: &ConnectionRow, confirm: bool) -> Result<(), SyncError> {
    if connection.state == ConnectionState::Paused && !confirm {
        return Err(SyncError::Paused {
            label: connection.label.clone(),
            reason: connection.state_reason.clone().unwrap_or_default(),
        });
    }
    Ok(())
}

/// Gives signs of life until the lease is lost.
async fn keep(app: &App, lease: &str, holder: &str) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let now = app.clock.now();
        match app.store.lease_take(lease, holder, now + LEASE, now).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!("a lease could not be kept: {}", crate::causes(&error)),
        }
    }
}

/// Syncs every connection that is not paused; what fails is in the reports and the states.
pub async fn all(app: &App) -> Result<Vec<Report>, SyncError> {
    let mut reports = Vec::new();
    for row in app.store.connection_list().await? {
        match connection(app, &row, false, &|_| {}).await {
            Ok(report) => reports.push(report),
            Err(SyncError::Paused { .. } | SyncError::Busy(_)) => {}
            Err(error) => could_not_begin(app, &row, &error).await?,
        }
    }
    Ok(reports)
}

/// Shows at the connection why a sync that nobody waits for could not begin.
pub(crate) async fn could_not_begin(
    app: &App,
    connection: &ConnectionRow,
    error: &SyncError,
) -> Result<(), StoreError> {
    let reason = crate::causes(error);
    tracing::error!(connection = %connection.label, "sync could not begin: {reason}");
    let now = app.clock.now();
    app.store
        .connection_state_set(&connection.id, ConnectionState::Failed, Some(&reason), now)
        .await
}

pub(crate) struct Run<'a> {
    app: &'a App,
    connection: &'a ConnectionId,
    account: Option<AccountId>,
    client: &'a cloudflare::Client,
    started_at: chrono::DateTime<chrono::Utc>,
    confirm: bool,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    run_id: String,
    requests_before: u64,
}

impl Run<'_> {
    async fn all(&self, connection: &ConnectionRow) -> Result<Report, SyncError> {
        // The caller's row may be old: another sync may have paused the connection since.
        if let Some(now) = self.app.store.connection_get(self.connection).await? {
            refuse_paused(&now, self.confirm)?;
        }
        self.app
            .store
            .connection_state_set(self.connection, ConnectionState::Syncing, None, self.started_at)
            .await?;
        self.app
            .store
            .sync_run_start(&self.run_id, self.connection, self.started_at)
            .await?;
        let mut report = Report {
            run_id: self.run_id.clone(),
            ..Report::default()
        };
        let (mut failed, mut halved) = (0, Vec::new());
        let listed = [
            ("roles", self.roles().await),
            ("members", self.members().await),
            ("access_users", self.access_users().await),
            ("access_groups", self.access_groups().await),
        ];
        for (kind, result) in listed {
            match result {
                Ok(count) => {
                    self.app
                        .store
                        .listing_complete(self.connection, kind, self.started_at)
                        .await?;
                    report.counts.insert(kind.to_owned(), count);
                }
                Err(error) => {
                    failed += 1;
                    let reason = crate::causes(&error);
                    if matches!(error, SyncError::Halved { .. }) {
                        halved.push(reason.clone());
                    }
                    self.app
                        .store
                        .listing_stale(self.connection, kind, &reason)
                        .await?;
                    report.problems.push(reason);
                }
            }
            self.show(&report).await?;
        }
        match self.grants().await {
            Ok(counts) => report.counts.extend(counts),
            Err(error) => {
                failed += 1;
                report.problems.push(crate::causes(&error));
            }
        }
        report.requests = self.client.requests() - self.requests_before;
        let now = self.app.clock.now();
        report.duration_ms = (now - self.started_at).num_milliseconds();
        let reason = (!report.problems.is_empty()).then(|| report.problems.join("; "));
        let (outcome, state, state_reason) = if !halved.is_empty() {
            ("paused", ConnectionState::Paused, Some(halved.join("; ")))
        } else if failed >= listed_kinds() {
            ("failed", ConnectionState::Failed, reason.clone())
        } else if failed > 0 {
            ("partial", ConnectionState::Degraded, reason.clone())
        } else {
            let dark = self.dark().await?;
            let state = if dark.is_none() {
                ConnectionState::Connected
            } else {
                ConnectionState::Degraded
            };
            ("complete", state, dark)
        };
        report.outcome = outcome.to_owned();
        let run = SyncRunRow {
            id: self.run_id.clone(),
            connection_id: self.connection.clone(),
            started_at: self.started_at,
            finished_at: Some(now),
            outcome: report.outcome.clone(),
            problem: reason,
            requests: i64::try_from(report.requests).unwrap_or(i64::MAX),
            counts: serde_json::to_string(&report.counts).unwrap_or_default(),
        };
        self.app.store.sync_run_finish(&run, &connection.label).await?;
        self.app
            .store
            .connection_state_set(self.connection, state, state_reason.as_deref(), now)
            .await?;
        if failed == 0 {
            self.app.store.connection_synced(self.connection, now).await?;
        }
        Ok(report)
    }

    /// What the last probes found dark of what a sync does not read.
    async fn dark(&self) -> Result<Option<String>, StoreError> {
        let probes = self.app.store.probe_list(self.connection).await?;
        let dark: Vec<&str> = probes
            .iter()
            .filter(|probe| crate::connect::is_dark(probe) && !READ_HERE.contains(&probe.feature.as_str()))
            .map(|probe| probe.feature.as_str())
            .collect();
        Ok((!dark.is_empty()).then(|| format!("dark: {}", dark.join(", "))))
    }

    /// Shows how far the run has come.
    async fn show(&self, report: &Report) -> Result<(), StoreError> {
        let requests = i64::try_from(self.client.requests() - self.requests_before).unwrap_or(i64::MAX);
        let counts = serde_json::to_string(&report.counts).unwrap_or_default();
        self.app
            .store
            .sync_run_progress(&self.run_id, requests, &counts)
            .await
    }
}

const fn listed_kinds() -> usize {
    4
}
