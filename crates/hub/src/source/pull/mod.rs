//! Logs that are read from the API, which Logpush does not deliver: Access authentications, the audit log, and
//! Cloudflare's own risk events.
//!
//! A round reads from a few minutes before the place that was reached last time, since records may be written late,
//! up to now. What is stored already is left out; the rest goes to [`crate::ingest::receive()`] as a batch, in the
//! words of the dataset that Logpush would have pushed, so that both are the same events. The place is kept after
//! the batch is durable: a round that was killed is repeated, and nothing is lost.
//!
//! Never changes anything at Cloudflare. Start reading at [`pull`]; the driver calls `run_due`.

mod record;
mod risk;

use super::logpush::{is_delivering, pushed_lately};
use super::{SourceError, client_of, is_due, keep, logpush, objects};
use crate::app::App;
use crate::event;
use crate::fault;
use crate::ingest::{Received, receive};
use crate::probe::{NOT_ENTITLED, OFF_PLAN};
use crate::progress::Progress;
use chrono::{DateTime, TimeDelta, Utc};
use cloudflare::paging::Pages;
use cloudflare::{AccountId, AuditWindow, Client, CloudflareError};
use flate2::{Compression, write::GzEncoder};
use futures::TryStreamExt;
use model::{ConnectionState, EventId, SourceState};
use record::{access_record, audit_record, audit_v1_record, risk_record};
use rules::normalise::{normalise, read_time};
use rules::{Dataset, RISK_SCORE_EVENTS};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use store::{ConnectionRow, LogSourceRow, StoreError};

/// What batches of this source are marked with.
pub(crate) const SOURCE: &str = "pull";
/// The ID of a record, and its time.
type Identity = (EventId, DateTime<Utc>);

/// Pushed batches are younger than their records: this much before the newest is read when pulling takes over.
const BEFORE_PUSHED: TimeDelta = TimeDelta::hours(1);

/// A log that the API gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Access,
    AuditV2,
    AuditV1,
    RiskEvents,
}

impl Log {
    const ALL: [Log; 4] = [Log::Access, Log::AuditV2, Log::AuditV1, Log::RiskEvents];

    /// The dataset that Logpush has for it, or ours.
    fn dataset(self) -> &'static str {
        match self {
            Log::Access => "access_requests",
            Log::AuditV2 => "audit_logs_v2",
            Log::AuditV1 => "audit_logs",
            Log::RiskEvents => RISK_SCORE_EVENTS,
        }
    }

    /// The permission group that reads it.
    fn permission(self) -> &'static str {
        match self {
            Log::Access => "Access: Audit Logs Read",
            Log::AuditV2 | Log::AuditV1 => "Account Settings Read",
            Log::RiskEvents => "Zero Trust: PII Read",
        }
    }

    /// `None` for the log of which the API has no list.
    fn pages(self, client: &Client, account: &AccountId, window: AuditWindow) -> Option<Pages<Value>> {
        match self {
            Log::Access => Some(client.access_requests(account, window)),
            Log::AuditV2 => Some(client.audit_logs(account, window)),
            Log::AuditV1 => Some(client.audit_logs_v1(account, window)),
            Log::RiskEvents => None,
        }
    }

    fn record(self, pulled: &Value) -> Value {
        match self {
            Log::Access => access_record(pulled),
            Log::AuditV2 => audit_record(pulled),
            Log::AuditV1 => audit_v1_record(pulled),
            Log::RiskEvents => risk_record(pulled),
        }
    }
}

/// What a round of one dataset did.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Which dataset.
    pub dataset: String,
    /// Records that were read.
    pub records: usize,
    /// Those that were not stored yet.
    pub new_records: usize,
    /// Up to which time the log has been read to its end.
    pub cursor_at: Option<DateTime<Utc>>,
    /// Whether there may be more than a round takes.
    pub has_more: bool,
    /// Why it was not read, or what stands in for it.
    pub problem: Option<String>,
    /// Whether that is a failure.
    pub has_failed: bool,
    /// The batches that were made of them, by id.
    pub batches: Vec<String>,
}

impl Pulled {
    fn new(log: Log) -> Self {
        Self {
            dataset: log.dataset().to_owned(),
            records: 0,
            new_records: 0,
            cursor_at: None,
            has_more: false,
            problem: None,
            batches: Vec::new(),
            has_failed: false,
        }
    }
}

/// Pulls for every connection whose time has come, where no other source delivers.
///
/// # Errors
///
/// When the store refuses.
pub(super) async fn run_due(app: &App) -> Result<(), StoreError> {
    if !app.settings.logs.pull {
        return Ok(());
    }
    let minutes = app.settings.logs.pull_interval_minutes;
    for connection in app.store.connection_list().await? {
        if matches!(connection.state, ConnectionState::New | ConnectionState::Failed) {
            continue;
        }
        let rows = app
            .store
            .log_source_list(Some(&connection.id), Some(SOURCE))
            .await?;
        let checked = rows.iter().filter_map(|row| row.checked_at).max();
        if !is_due(checked, minutes, app.clock.now()) {
            continue;
        }
        match pull(app, &connection, &[], &|_| {}).await {
            Ok(_) => {}
            Err(SourceError::Store(error)) => return Err(error),
            Err(error) => tracing::warn!(connection = %connection.label, "could not pull logs: {}",
                crate::causes(&error)),
        }
    }
    Ok(())
}

/// Reads the logs of a connection up to now. No names: those that no other source delivers; a log that is named is
/// read in any case.
///
/// # Errors
///
/// When a name is none of a log that the API gives, or the connection has no client. What fails for one log is in
/// its [`Pulled`].
pub async fn pull(
    app: &App,
    connection: &ConnectionRow,
    names: &[String],
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Vec<Pulled>, SourceError> {
    let mut named = Vec::with_capacity(names.len());
    for name in names {
        let log = Log::ALL.into_iter().find(|log| log.dataset() == name);
        named.push(log.ok_or_else(|| SourceError::NotPulled(name.clone()))?);
    }
    let (client, account) = client_of(app, connection)?;
    let round = Round {
        app,
        connection,
        client: client.in_background(),
        account,
        show,
    };
    let mut all = Vec::new();
    if !named.is_empty() {
        for log in named {
            all.push(round.read_and_keep(log).await?);
        }
        return Ok(all);
    }
    let others = others(app, connection).await?;
    for log in [Log::Access, Log::AuditV2, Log::RiskEvents] {
        let is_delivered = others.contains_key(log.dataset())
            || (log == Log::AuditV2 && others.contains_key(Log::AuditV1.dataset()));
        if is_delivered {
            all.push(round.stand_back(log).await?);
        } else if log == Log::AuditV2 {
            all.extend(round.read_audit_log().await?);
        } else {
            all.push(round.read_and_keep(log).await?);
        }
    }
    Ok(all)
}

/// The datasets that another source delivers, by its name.
async fn others(app: &App, connection: &ConnectionRow) -> Result<BTreeMap<String, String>, StoreError> {
    let rows = app.store.log_source_list(Some(&connection.id), None).await?;
    let by_row = rows
        .into_iter()
        .filter(|row| is_delivering(row) || (row.source == objects::SOURCE && row.wanted))
        .map(|row| (row.dataset, row.source));
    let mut others: BTreeMap<String, String> = by_row.collect();
    // Jobs that were made by hand have no row.
    let now = app.clock.now();
    let rows = app
        .store
        .log_source_list(Some(&connection.id), Some(logpush::SOURCE))
        .await?;
    for last in app.store.batch_last(Some(&connection.id)).await? {
        let is_ours = rows.iter().any(|row| row.dataset == last.dataset);
        if last.source == logpush::SOURCE && !is_ours && pushed_lately(last.received_at, now) {
            others.entry(last.dataset).or_insert(last.source);
        }
    }
    Ok(others)
}

struct Round<'a> {
    app: &'a App,
    connection: &'a ConnectionRow,
    client: Client,
    account: AccountId,
    show: &'a (dyn Fn(Progress) + Send + Sync),
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Cloudflare(#[from] CloudflareError),
    #[error(transparent)]
    Ingest(#[from] crate::ingest::IngestError),
    #[error("could not read the risk events of {failed} of {users} users; user {user_id}: {problem}")]
    Users {
        failed: usize,
        users: usize,
        user_id: String,
        problem: String,
    },
    #[error("could not compress a batch")]
    Pack(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RoundError {
    /// Whether Cloudflare does not want to give this log, whenever it is asked.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Cloudflare(error) => error.refusal().is_some_and(|refusal| refusal.status < 500),
            _ => false,
        }
    }

    /// Whether the account's plan does not have this log at all.
    fn is_off_plan(&self) -> bool {
        matches!(self, Self::Cloudflare(error)
            if error.refusal().is_some_and(|refusal| refusal.has_code(NOT_ENTITLED)))
    }
}

impl Round<'_> {
    async fn row(&self, log: Log) -> Result<Option<LogSourceRow>, StoreError> {
        self.app
            .store
            .log_source_get(&self.connection.id, log.dataset(), SOURCE)
            .await
    }

    async fn read_and_keep(&self, log: Log) -> Result<Pulled, StoreError> {
        let mut pulled = Pulled::new(log);
        let result = self.read(log, None, &mut pulled).await;
        self.keep(log, result, &mut pulled).await?;
        Ok(pulled)
    }

    /// Version 2, or version 1 where the account's Cloudflare refuses it.
    async fn read_audit_log(&self) -> Result<Vec<Pulled>, StoreError> {
        let mut second = Pulled::new(Log::AuditV2);
        let result = self.read(Log::AuditV2, None, &mut second).await;
        let refusal = match result {
            Err(error) if error.is_refusal() => error,
            result => {
                self.keep(Log::AuditV2, result, &mut second).await?;
                if !second.has_failed && self.row(Log::AuditV1).await?.is_some_and(|row| row.wanted) {
                    let words = "version 2 is available again".to_owned();
                    self.switch_off(Log::AuditV1, words).await?;
                }
                return Ok(vec![second]);
            }
        };
        let since = self.row(Log::AuditV2).await?.and_then(|row| row.cursor_at);
        let mut first = Pulled::new(Log::AuditV1);
        let result = self.read(Log::AuditV1, since, &mut first).await;
        if result.is_err() {
            // Neither is given: what is said about the newer one is told.
            self.keep(Log::AuditV2, Err(refusal), &mut second).await?;
            return Ok(vec![second]);
        }
        let words = format!(
            "version 1 is read instead, because Cloudflare rejects version 2: {}",
            crate::causes(&refusal)
        );
        second.problem = Some(words.clone());
        self.switch_off(Log::AuditV2, words).await?;
        self.keep(Log::AuditV1, result, &mut first).await?;
        Ok(vec![second, first])
    }

    /// Leaves a log to the source that delivers it.
    async fn stand_back(&self, log: Log) -> Result<Pulled, StoreError> {
        let words = "another source delivers this dataset".to_owned();
        let mut pulled = Pulled::new(log);
        pulled.problem = Some(words.clone());
        for log in Log::ALL
            .into_iter()
            .filter(|other| *other == log || (log == Log::AuditV2 && *other == Log::AuditV1))
        {
            if self.row(log).await?.is_some() {
                self.switch_off(log, words.clone()).await?;
            }
        }
        Ok(pulled)
    }

    async fn switch_off(&self, log: Log, problem: String) -> Result<(), StoreError> {
        let known = self.row(log).await?;
        let row = LogSourceRow {
            wanted: false,
            state: SourceState::Off,
            problem: Some(problem),
            checked_at: Some(self.app.clock.now()),
            ..known.unwrap_or_else(|| LogSourceRow::new(self.connection.id.clone(), log.dataset(), SOURCE))
        };
        self.app.store.log_source_put(&row, None).await
    }

    /// Keeps how a round ended.
    async fn keep(
        &self,
        log: Log,
        result: Result<(), RoundError>,
        pulled: &mut Pulled,
    ) -> Result<(), StoreError> {
        let now = self.app.clock.now();
        let known = self.row(log).await?;
        let known =
            known.unwrap_or_else(|| LogSourceRow::new(self.connection.id.clone(), log.dataset(), SOURCE));
        let before = known.state;
        let mut row = LogSourceRow {
            wanted: true,
            checked_at: Some(now),
            ..known
        };
        match result {
            Ok(()) => {
                row.state = SourceState::Working;
                row.problem = None;
                row.last_complete_at = Some(now);
            }
            Err(RoundError::Store(error)) => return Err(error),
            Err(error) if error.is_off_plan() => {
                let words = format!("{OFF_PLAN}: {}", crate::causes(&error));
                pulled.problem = Some(words.clone());
                return self.switch_off(log, words).await;
            }
            Err(error) => {
                let lacks = match &error {
                    RoundError::Cloudflare(error) => {
                        error.refusal().is_some_and(cloudflare::Refusal::is_not_allowed)
                    }
                    _ => false,
                };
                let mut words = crate::causes(&error);
                if lacks {
                    let permission = log.permission();
                    words = format!("the credential lacks the permission \"{permission}\": {words}");
                }
                row.state = SourceState::Failing;
                row.problem = Some(words.clone());
                row.last_error_at = Some(now);
                row.error_message = Some(words.clone());
                pulled.problem = Some(words);
                pulled.has_failed = true;
            }
        }
        pulled.cursor_at = row.cursor_at;
        keep(self.app, self.connection, before, &row).await
    }

    /// From where a round reads: a little before the place that was reached, or where pushed batches ended.
    async fn since(
        &self,
        log: Log,
        known: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StoreError> {
        let logs = &self.app.settings.logs;
        let overlap = minutes(logs.pull_overlap_minutes);
        let hours = i64::try_from(logs.pull_first_hours.min(24 * 365)).unwrap_or(24);
        let lasts = self.app.store.batch_last(Some(&self.connection.id)).await?;
        let pushed = lasts
            .into_iter()
            .filter(|last| last.dataset == log.dataset() && last.source == logpush::SOURCE)
            .map(|last| last.received_at - BEFORE_PUSHED)
            .max();
        let first = now - TimeDelta::hours(hours);
        Ok(match known {
            Some(cursor) => (cursor - overlap).max(pushed.unwrap_or(cursor - overlap)),
            None => first.min(pushed.unwrap_or(first)),
        })
    }

    async fn read(
        &self,
        log: Log,
        reached: Option<DateTime<Utc>>,
        pulled: &mut Pulled,
    ) -> Result<(), RoundError> {
        let now = self.app.clock.now();
        let row = self.row(log).await?;
        let known = row.as_ref().and_then(|row| row.cursor_at).max(reached);
        if row.is_none() {
            // The place is written while the round goes on.
            let row = LogSourceRow::new(self.connection.id.clone(), log.dataset(), SOURCE);
            self.app.store.log_source_put(&row, None).await?;
        }
        let since = self.since(log, known, now).await?;
        let window = AuditWindow { since, before: now };
        let Some(mut pages) = log.pages(&self.client, &self.account, window) else {
            return self.read_risk_events(now, pulled).await;
        };
        let overlap = minutes(self.app.settings.logs.pull_overlap_minutes);
        let (mut newest, mut is_ordered, mut count) = (since, true, 0);
        while let Some(page) = pages.try_next().await? {
            if is_ordered && count >= self.app.settings.logs.pull_pages.max(1) {
                pulled.has_more = true;
                // What is older than the overlap is settled: the next round need not go back behind it.
                if newest + overlap <= now {
                    self.reached(log, newest + overlap).await?;
                }
                return Ok(());
            }
            count += 1;
            let mut records = Vec::with_capacity(page.items.len());
            for item in &page.items {
                let record = log.record(item);
                let dataset = Dataset::named(log.dataset());
                let at = dataset.and_then(|dataset| read_time(record.get(dataset.time)?));
                // Whole days may begin before what was asked for.
                if at.is_some_and(|at| at < since) {
                    continue;
                }
                if let Some(at) = at {
                    is_ordered &= at >= newest;
                    newest = newest.max(at);
                }
                records.push(record);
            }
            pulled.records += records.len();
            self.take_in(log, &records, now, pulled).await?;
            (self.show)(Progress {
                what: format!("{} {}", self.connection.label, log.dataset()),
                done: pulled.records as u64,
                total: None,
            });
            if is_ordered {
                self.reached(log, newest).await?;
            }
        }
        self.reached(log, now).await?;
        Ok(())
    }

    async fn reached(&self, log: Log, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.app
            .store
            .log_source_cursor_set(&self.connection.id, log.dataset(), SOURCE, at)
            .await
    }

    /// Hands over the records that are not stored yet.
    async fn take_in(
        &self,
        log: Log,
        records: &[Value],
        now: DateTime<Utc>,
        pulled: &mut Pulled,
    ) -> Result<(), RoundError> {
        let Some(dataset) = Dataset::named(log.dataset()) else {
            return Ok(());
        };
        let lines: Vec<(String, Option<Identity>)> = records
            .iter()
            .map(|record| {
                let line = record.to_string();
                let read = normalise(&line, dataset, &self.connection.id, now).ok();
                (line, read.map(|read| (read.id, read.at)))
            })
            .collect();
        let ids: Vec<Identity> = lines.iter().filter_map(|(_, id)| id.clone()).collect();
        let known = event::known(self.app, dataset.name, &ids).await?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        let mut count = 0;
        for (line, id) in &lines {
            if id.as_ref().is_some_and(|(id, _)| known.contains(id)) {
                continue;
            }
            packed.write_all(line.as_bytes())?;
            packed.write_all(b"\n")?;
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let body = futures::stream::iter([Ok(packed.finish()?.into())]);
        match receive(self.app, self.connection, dataset.name, SOURCE, body).await? {
            Received::Stored(id) => {
                pulled.new_records += count;
                pulled.batches.push(id);
            }
            Received::Duplicate(id) => pulled.batches.push(id),
            Received::Test | Received::Empty => {}
        }
        fault::point("source.received");
        Ok(())
    }
}

fn minutes(count: u64) -> TimeDelta {
    TimeDelta::minutes(i64::try_from(count.min(60 * 24 * 365)).unwrap_or(0))
}
