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
use store::{ConnectionRow, StoreError, SyncRunRow};

/// How long a sync may hold its lease between two signs of life.
const LEASE: TimeDelta = TimeDelta::minutes(10);

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
    if connection.state == ConnectionState::Paused && !confirm {
        return Err(SyncError::Paused {
            label: connection.label.clone(),
            reason: connection.state_reason.clone().unwrap_or_default(),
        });
    }
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
    let before = (connection.state, connection.state_reason.clone());
    app.store
        .connection_state_set(&connection.id, ConnectionState::Syncing, None, started_at)
        .await?;
    let run = Run {
        app,
        connection: &connection.id,
        account: AccountId::parse(&connection.account_id),
        client: &client,
        started_at,
        confirm,
        progress,
        lease: &lease,
        holder: &holder,
        run_id: app.ids.new_id(started_at),
        requests_before: client.requests(),
    };
    let result = run.all(connection, before).await;
    app.store.lease_release(&lease, &holder).await?;
    app.wake();
    result
}

/// Syncs every connection that is not paused; what fails is in the reports and the states.
pub async fn all(app: &App) -> Result<Vec<Report>, SyncError> {
    let mut reports = Vec::new();
    for row in app.store.connection_list().await? {
        match connection(app, &row, false, &|_| {}).await {
            Ok(report) => reports.push(report),
            Err(SyncError::Paused { .. } | SyncError::Busy(_)) => {}
            Err(error) => {
                let reason = crate::causes(&error);
                tracing::error!(connection = %row.label, "sync could not begin: {reason}");
                let now = app.clock.now();
                app.store
                    .connection_state_set(&row.id, ConnectionState::Failed, Some(&reason), now)
                    .await?;
            }
        }
    }
    Ok(reports)
}

pub(crate) struct Run<'a> {
    app: &'a App,
    connection: &'a ConnectionId,
    account: Option<AccountId>,
    client: &'a cloudflare::Client,
    started_at: chrono::DateTime<chrono::Utc>,
    confirm: bool,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    lease: &'a str,
    holder: &'a str,
    run_id: String,
    requests_before: u64,
}

impl Run<'_> {
    async fn all(
        &self,
        connection: &ConnectionRow,
        before: (ConnectionState, Option<String>),
    ) -> Result<Report, SyncError> {
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
            Err(error) => report.problems.push(crate::causes(&error)),
        }
        report.requests = self.client.requests() - self.requests_before;
        let now = self.app.clock.now();
        report.duration_ms = (now - self.started_at).num_milliseconds();
        let reason = (!report.problems.is_empty()).then(|| report.problems.join("; "));
        let (outcome, state, state_reason) = if !halved.is_empty() {
            ("paused", ConnectionState::Paused, Some(halved.join("; ")))
        } else if failed == listed_kinds() {
            ("failed", ConnectionState::Failed, reason.clone())
        } else if failed > 0 {
            ("partial", ConnectionState::Degraded, reason.clone())
        } else {
            // A probe may have found something dark that a sync does not read.
            let (state, reason) = match before {
                (ConnectionState::Degraded, Some(reason)) if reason.starts_with("dark: ") => {
                    (ConnectionState::Degraded, Some(reason))
                }
                _ => (ConnectionState::Connected, None),
            };
            ("complete", state, reason)
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

    /// Shows how far the run has come, and keeps its lease.
    async fn show(&self, report: &Report) -> Result<(), StoreError> {
        let now = self.app.clock.now();
        self.app
            .store
            .lease_take(self.lease, self.holder, now + LEASE, now)
            .await?;
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
