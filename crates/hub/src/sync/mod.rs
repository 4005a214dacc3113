//! Brings every list of an account, and people, in step with Cloudflare.
//!
//! Reads Cloudflare; writes `member`, `role`, `access_user`, `access_group`, `account_object`, `person`, `listing`,
//! `sync_run` and what the run changed. Never changes anything at Cloudflare. A listing that failed, or that gave
//! fewer things than it said it had, marks nothing gone: its old rows stay and the listing is marked stale. Safe
//! to repeat; a run that was killed, or that a fault cut off, is gone on with where it stood. Start reading at
//! [`connection`].

mod compare;
pub mod detail;
pub mod history;
pub(crate) mod lists;
mod objects;
pub mod request;

use crate::app::{App, ClientError};
use crate::fault;
use crate::journal_words;
use crate::lease::Lease;
use crate::progress::Progress;
use crate::wake::Written;
use chrono::TimeDelta;
use cloudflare::{AccountId, CloudflareError};
use futures::FutureExt;
use model::{ConnectionId, ConnectionState, SyncOutcome};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use store::{ConnectionRow, ListingRow, StoreError, SyncRunRow};

/// How long a sync may hold its lease between two signs of life: a killed one blocks the next no longer.
const LEASE: TimeDelta = TimeDelta::seconds(10);
/// The features of [`crate::connect::doctor`] that a sync reads itself: it knows better than the last probe.
const READ_HERE: [&str; 6] = [
    "members",
    "roles",
    "Access users",
    "Access groups",
    "identity providers",
    "applications",
];
/// A run that was cut off is gone on with for this long. Chosen: what was read before is then as good as new.
const RESUME_WITHIN: TimeDelta = TimeDelta::minutes(15);
/// Runs that are kept with what they changed.
const RUNS_KEPT: i64 = 200;

/// What was seen of one kind of thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Things listed.
    pub seen: usize,
    /// Things that were there before and are no longer listed.
    pub gone: usize,
    /// Things that were not there before.
    #[serde(default)]
    pub added: usize,
    /// Things that are different from before.
    #[serde(default)]
    pub changed: usize,
}

/// What a sync did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The run, as the history shows it.
    pub run_id: String,
    /// How it ended.
    pub outcome: SyncOutcome,
    /// By kind of thing.
    pub counts: BTreeMap<String, Count>,
    /// How many requests Cloudflare was asked.
    pub requests: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// What went wrong, one sentence each.
    pub problems: Vec<String>,
    /// What Cloudflare would not show, with the permission that is missing.
    pub dark: Vec<String>,
    /// Whether this went on with a run that was cut off.
    pub resumed: bool,
}

/// Why a sync could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Another process syncs this connection.
    #[error("{0} is being synced by another process")]
    Busy(String),
    /// A person must look at it first.
    #[error("{label} is paused: {reason}; to confirm, run `flareward sync --connection {label} --confirm`")]
    Paused {
        /// The connection.
        label: String,
        /// Why.
        reason: String,
    },
    /// Someone cancelled it.
    #[error("the sync of {label} was cancelled by {by}")]
    Cancelled {
        /// The connection.
        label: String,
        /// Who.
        by: String,
    },
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// One listing failed.
    #[error("could not list {what}{}", permission.map_or(String::new(), |name| format!(" (requires the \
         permission \"{name}\")")))]
    List {
        /// What was listed.
        what: &'static str,
        /// The permission group that the credential lacks, if that is why.
        permission: Option<&'static str>,
        /// Why.
        #[source]
        source: CloudflareError,
    },
    /// A list was read, and not all of it.
    #[error("could read only part of {what}: {reason}")]
    Part {
        /// What was listed.
        what: &'static str,
        /// What is missing, and why.
        reason: String,
    },
    /// Fewer than half of what was there before came.
    #[error("Cloudflare now lists only {seen} of {before} {what}")]
    Halved {
        /// What was listed.
        what: &'static str,
        /// How many came.
        seen: usize,
        /// How many there were.
        before: i64,
    },
    /// The store.
    #[error("could not store the listed objects")]
    Store(#[from] StoreError),
}

impl SyncError {
    /// Whether a part of a list came: what it lacks may be there all the same.
    fn is_partial(&self) -> bool {
        match self {
            SyncError::Part { .. } => true,
            SyncError::List { source, .. } => source.is_partial(),
            _ => false,
        }
    }
}

/// How a sync is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct SyncOptions {
    /// Counts that have fallen by half are accepted.
    pub confirm: bool,
    /// A run that was cut off is not gone on with.
    pub fresh: bool,
}

/// Syncs one connection.
///
/// # Errors
///
/// When it cannot begin. What fails on the way is in the report.
pub async fn connection(
    app: &App,
    connection: &ConnectionRow,
    options: SyncOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, SyncError> {
    refuse_paused(connection, options.confirm)?;
    let client = app.client(connection)?.in_background();
    let lease = lease_of(&connection.id);
    let now = app.clock.now();
    // Two syncs of one process must not share the lease either.
    let holder = app.ids.new_id(now);
    let busy = || SyncError::Busy(connection.label.clone());
    let lease = Lease::take(app, &lease, &holder, LEASE).await?.ok_or_else(busy)?;
    let work = begin(app, connection, options, progress, &client).boxed();
    let work = async {
        tokio::select! {
            result = work => result,
            by = request::cancelled(app, connection) => {
                Err(SyncError::Cancelled { label: connection.label.clone(), by })
            }
        }
    };
    let result = lease.keep(work).await.unwrap_or_else(|| Err(busy()));
    if let Err(SyncError::Cancelled { by, .. }) = &result {
        let reason =
            format!("the last sync was cancelled by {by}: data that it did not read may be outdated");
        let state = ConnectionState::Degraded;
        let summary = journal_words::connection_state(&connection.label, state, Some(&reason));
        app.store
            .sync_run_interrupt(&connection.id, &reason, &summary, app.clock.now())
            .await?;
    }
    lease.release().await;
    app.wake.call(Written::People);
    result
}

async fn begin(
    app: &App,
    connection: &ConnectionRow,
    options: SyncOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
    client: &cloudflare::Client,
) -> Result<Report, SyncError> {
    crate::people::join_spellings(app).await?;
    let now = app.clock.now();
    let cut_off = match cut_off_run(app, connection, now).await? {
        Some(run) if !options.fresh && !options.confirm => Some(run),
        _ => None,
    };
    let listings = app.store.listing_list(&connection.id).await?;
    let run = Run {
        app,
        connection: &connection.id,
        account: AccountId::parse(&connection.account_id),
        client,
        started_at: cut_off.as_ref().map_or(now, |run| run.started_at),
        began_at: now,
        confirm: options.confirm,
        progress,
        run_id: cut_off
            .as_ref()
            .map_or_else(|| app.ids.new_id(now), |run| run.id.clone()),
        requests_before: client.requests(),
        requests_earlier: cut_off.as_ref().map_or(0, |run| run.requests.unsigned_abs()),
        counts_earlier: match &cut_off {
            Some(run) => counts_of(run)?,
            None => BTreeMap::new(),
        },
        is_resumed: cut_off.is_some(),
        listings: listings.into_iter().map(|row| (row.kind.as_str(), row)).collect(),
    };
    run.all(connection).await
}

/// The last run, if it was killed or cut off in the midst of a list, and not too long ago.
async fn cut_off_run(
    app: &App,
    connection: &ConnectionRow,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Option<SyncRunRow>, StoreError> {
    let runs = app.store.sync_run_list(Some(&connection.id), 1).await?;
    let Some(run) = runs.into_iter().next() else {
        return Ok(None);
    };
    if now - run.started_at > RESUME_WITHIN {
        return Ok(None);
    }
    let was_killed = matches!(run.outcome, SyncOutcome::Running | SyncOutcome::Interrupted);
    let was_cut_off = matches!(run.outcome, SyncOutcome::Partial | SyncOutcome::Failed);
    if was_killed || (was_cut_off && app.store.listing_progress_any(&run.id).await?) {
        return Ok(Some(run));
    }
    Ok(None)
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

fn lease_of(connection: &ConnectionId) -> String {
    format!("sync/{connection}")
}

/// Ends what processes left that were killed in the midst of a sync: a connection is syncing only while somebody holds
/// its lease. Answers how many there were. The next sync goes on with what was begun.
///
/// # Errors
///
/// When the store refuses.
pub async fn end_cut_off(app: &App) -> Result<usize, StoreError> {
    let mut ended = 0;
    for row in app.store.connection_list().await? {
        if row.state != ConnectionState::Syncing {
            continue;
        }
        let holder = app.ids.new_id(app.clock.now());
        let Some(lease) = Lease::take(app, &lease_of(&row.id), &holder, LEASE).await? else {
            continue;
        };
        // It may have ended by itself before the lease was free.
        let row = app.store.connection_get(&row.id).await?;
        if let Some(row) = row.filter(|row| row.state == ConnectionState::Syncing) {
            tracing::warn!(connection = %row.label, "a sync was interrupted: its process ended early");
            let reason = "the last sync was interrupted because its process ended early: the next sync \
                 resumes it";
            let summary =
                journal_words::connection_state(&row.label, ConnectionState::Degraded, Some(reason));
            app.store
                .sync_run_interrupt(&row.id, reason, &summary, app.clock.now())
                .await?;
            ended += 1;
        }
        lease.release().await;
    }
    Ok(ended)
}

/// Syncs every connection that is not paused; what fails is in the reports and the states.
pub async fn all(app: &App) -> Result<Vec<Report>, SyncError> {
    let mut reports = Vec::new();
    for row in app.store.connection_list().await? {
        match connection(app, &row, SyncOptions::default(), &|_| {}).await {
            Ok(report) => reports.push(report),
            Err(SyncError::Paused { .. } | SyncError::Busy(_) | SyncError::Cancelled { .. }) => {}
            Err(error) => could_not_begin(app, &row, &error).await?,
        }
    }
    Ok(reports)
}

/// How many grants there are by the last count of each connection.
///
/// # Errors
///
/// When the store refuses.
pub async fn grant_total(app: &App) -> Result<i64, StoreError> {
    let mut total = 0;
    for connection in app.store.connection_list().await? {
        let runs = app.store.sync_run_list(Some(&connection.id), 20).await?;
        for run in &runs {
            let counts = counts_of(run)?;
            let of_grants = counts.iter().filter(|(kind, _)| kind.ends_with("_grants"));
            let counts: Vec<usize> = of_grants.map(|(_, count)| count.seen).collect();
            if !counts.is_empty() {
                total += counts.iter().sum::<usize>() as i64;
                break;
            }
        }
    }
    Ok(total)
}

/// What a run counted, by kind of thing.
///
/// # Errors
///
/// When what is stored of it is damaged.
pub fn counts_of(run: &SyncRunRow) -> Result<BTreeMap<String, Count>, StoreError> {
    store::stored("sync_run", &run.id, "counts", &run.counts)
}

/// Shows at the connection why a sync that nobody waits for could not begin.
pub(crate) async fn could_not_begin(
    app: &App,
    connection: &ConnectionRow,
    error: &SyncError,
) -> Result<(), StoreError> {
    let reason = crate::causes(error);
    tracing::error!(connection = %connection.label, "sync could not start: {reason}");
    let now = app.clock.now();
    let (state, reason) = (ConnectionState::Failed, Some(reason.as_str()));
    let summary = journal_words::connection_state(&connection.label, state, reason);
    app.store
        .connection_state_set(&connection.id, state, reason, &summary, now)
        .await
}

pub(crate) struct Run<'a> {
    app: &'a App,
    connection: &'a ConnectionId,
    account: Option<AccountId>,
    client: &'a cloudflare::Client,
    /// When the run began, before it was cut off: what was seen since then counts.
    started_at: chrono::DateTime<chrono::Utc>,
    /// When this attempt began.
    began_at: chrono::DateTime<chrono::Utc>,
    confirm: bool,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    run_id: String,
    requests_before: u64,
    requests_earlier: u64,
    counts_earlier: BTreeMap<String, Count>,
    is_resumed: bool,
    listings: HashMap<&'static str, ListingRow>,
}

/// What became of one list.
type Listed = (&'static str, Result<Count, SyncError>);

impl Run<'_> {
    async fn all(&self, connection: &ConnectionRow) -> Result<Report, SyncError> {
        // The caller's row may be old: another sync may have paused the connection since.
        if let Some(now) = self.app.store.connection_get(self.connection).await? {
            refuse_paused(&now, self.confirm)?;
        }
        let state = ConnectionState::Syncing;
        let summary = journal_words::connection_state(&connection.label, state, None);
        self.app
            .store
            .connection_state_set(self.connection, state, None, &summary, self.began_at)
            .await?;
        if self.is_resumed {
            self.app.store.sync_run_reopen(&self.run_id).await?;
        } else {
            self.app
                .store
                .sync_run_start(&self.run_id, self.connection, self.started_at)
                .await?;
        }
        let mut report = Report {
            run_id: self.run_id.clone(),
            resumed: self.is_resumed,
            counts: self.counts_earlier.clone(),
            ..Report::default()
        };
        let mut ended = Ended::default();
        let core = async {
            let mut listed: Vec<Listed> = Vec::new();
            listed.push(("roles", self.once("roles", self.roles().boxed()).await));
            listed.push(("members", self.once("members", self.members().boxed()).await));
            listed.push((
                "access_users",
                self.once("access_users", self.access_users().boxed()).await,
            ));
            listed.push((
                "access_groups",
                self.once("access_groups", self.access_groups().boxed()).await,
            ));
            listed
        };
        let (core, objects) = futures::join!(core.boxed(), self.objects().boxed());
        for (kind, result) in core {
            self.note(kind, result, true, &mut report, &mut ended).await?;
        }
        for (kind, result) in objects {
            self.note(kind, result, false, &mut report, &mut ended).await?;
        }
        for (kind, result) in self.what_lists_name().boxed().await? {
            self.note(kind, result, false, &mut report, &mut ended).await?;
        }
        self.show(&report).await?;
        match self.grants().boxed().await {
            Ok(counts) => report.counts.extend(counts),
            Err(error) => {
                ended.failed += 1;
                report.problems.push(crate::causes(&error));
            }
        }
        self.finish(connection, report, &ended).await
    }

    /// Reads a list, unless this run has read it before it was cut off.
    async fn once(
        &self,
        kind: &'static str,
        read: impl Future<Output = Result<Count, SyncError>>,
    ) -> Result<Count, SyncError> {
        let is_read = self
            .listings
            .get(kind)
            .is_some_and(|row| row.stale_reason.is_none() && row.complete_at >= Some(self.started_at));
        if self.is_resumed && is_read {
            return Ok(self.counts_earlier.get(kind).copied().unwrap_or_default());
        }
        let count = read.await?;
        fault::point("sync.listed");
        // At once, so that a run that is killed later need not read it again.
        let store = &self.app.store;
        store
            .listing_complete(self.connection, kind, self.started_at)
            .await?;
        store.listing_progress_clear(self.connection, kind).await?;
        if count.added + count.changed + count.gone > 0 {
            store.access_revision_bump().await?;
        }
        Ok(count)
    }

    /// Notes what became of a list. What is refused for want of a permission is dark; other lists go on.
    async fn note(
        &self,
        kind: &'static str,
        result: Result<Count, SyncError>,
        is_core: bool,
        report: &mut Report,
        ended: &mut Ended,
    ) -> Result<(), SyncError> {
        let error = match result {
            Ok(count) => {
                report.counts.insert(kind.to_owned(), count);
                return Ok(());
            }
            Err(error) => error,
        };
        let reason = crate::causes(&error);
        self.app
            .store
            .listing_stale(self.connection, kind, &reason, error.is_partial())
            .await?;
        let is_refused = matches!(&error, SyncError::List { source: CloudflareError::Refused(refusal), .. } if refusal.status < 500);
        if is_refused || matches!(error, SyncError::Halved { .. }) {
            // Asking again would be answered the same: there is nothing to go on with.
            self.app
                .store
                .listing_progress_clear(self.connection, kind)
                .await?;
        }
        let is_strange = matches!(
            &error,
            SyncError::List {
                source: CloudflareError::NotJson { status: 200, .. } | CloudflareError::Shape { .. },
                ..
            }
        );
        if (is_refused || is_strange) && !is_core {
            report.dark.push(reason);
            return Ok(());
        }
        ended.failed += 1;
        ended.core_failed += usize::from(is_core);
        if matches!(error, SyncError::Halved { .. }) {
            ended.halved.push(reason.clone());
        }
        report.problems.push(reason);
        Ok(())
    }

    async fn finish(
        &self,
        connection: &ConnectionRow,
        mut report: Report,
        ended: &Ended,
    ) -> Result<Report, SyncError> {
        report.requests = self.requests();
        let now = self.app.clock.now();
        report.duration_ms = (now - self.began_at).num_milliseconds();
        let reason = (!report.problems.is_empty()).then(|| report.problems.join("; "));
        let (outcome, state, state_reason) = if !ended.halved.is_empty() {
            (
                SyncOutcome::Paused,
                ConnectionState::Paused,
                Some(ended.halved.join("; ")),
            )
        } else if ended.core_failed >= CORE_LISTS {
            (SyncOutcome::Failed, ConnectionState::Failed, reason.clone())
        } else if ended.failed > 0 {
            (SyncOutcome::Partial, ConnectionState::Degraded, reason.clone())
        } else {
            let mut dark = report.dark.clone();
            dark.extend(self.dark().await?);
            let state = if dark.is_empty() {
                ConnectionState::Connected
            } else {
                ConnectionState::Degraded
            };
            // A list that could not be read is a part of the account that nothing is known about.
            let outcome = if report.dark.is_empty() {
                SyncOutcome::Complete
            } else {
                SyncOutcome::Partial
            };
            (outcome, state, (!dark.is_empty()).then(|| dark.join("; ")))
        };
        report.outcome = outcome;
        let run = SyncRunRow {
            id: self.run_id.clone(),
            connection_id: self.connection.clone(),
            started_at: self.started_at,
            finished_at: Some(now),
            outcome: report.outcome,
            problem: {
                let unread: Vec<&str> = report
                    .problems
                    .iter()
                    .chain(&report.dark)
                    .map(String::as_str)
                    .collect();
                (!unread.is_empty()).then(|| unread.join("; "))
            },
            requests: i64::try_from(report.requests).unwrap_or(i64::MAX),
            counts: serde_json::to_string(&report.counts).unwrap_or_default(),
            attempts: 1,
            compared: true,
            cancelled_by: None,
        };
        let store = &self.app.store;
        let summary = journal_words::sync_finished(&connection.label, &run);
        store.sync_run_finish(&run, &summary).await?;
        let reason = state_reason.as_deref();
        let summary = journal_words::connection_state(&connection.label, state, reason);
        store
            .connection_state_set(self.connection, state, reason, &summary, now)
            .await?;
        if ended.failed == 0 {
            store.connection_synced(self.connection, now).await?;
        }
        store.sync_run_prune(self.connection, RUNS_KEPT).await?;
        Ok(report)
    }

    fn requests(&self) -> u64 {
        self.requests_earlier + self.client.requests() - self.requests_before
    }

    /// Whether this list was ever read to its end: what a first reading finds is not a change.
    fn is_first(&self, kind: &str) -> bool {
        self.listings
            .get(kind)
            .is_none_or(|row| row.complete_at.is_none())
    }

    /// The run to keep differences with.
    fn recorded(&self, kind: &str) -> Option<&str> {
        (!self.is_first(kind)).then_some(self.run_id.as_str())
    }

    /// What the last probes found dark of what a sync does not read.
    async fn dark(&self) -> Result<Vec<String>, StoreError> {
        let probes = self.app.store.probe_list(self.connection).await?;
        Ok(probes
            .iter()
            .filter(|probe| crate::probe::is_blocked(probe) && !READ_HERE.contains(&probe.feature.as_str()))
            .map(|probe| format!("no access to: {}", probe.feature))
            .collect())
    }

    /// Shows how far the run has come.
    async fn show(&self, report: &Report) -> Result<(), StoreError> {
        let requests = i64::try_from(self.requests()).unwrap_or(i64::MAX);
        let counts = serde_json::to_string(&report.counts).unwrap_or_default();
        self.app
            .store
            .sync_run_progress(&self.run_id, requests, &counts)
            .await
    }
}

/// Lists without which there is nothing to show.
const CORE_LISTS: usize = 4;

/// How the lists ended.
#[derive(Debug, Default)]
struct Ended {
    failed: usize,
    core_failed: usize,
    halved: Vec<String>,
}
