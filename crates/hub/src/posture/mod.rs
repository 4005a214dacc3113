//! Posture: whether an account is set up the way it should be, check by check.
//!
//! Reads the lists, the audit log's events and the hub's own rows; writes `finding`, `check_result`, the journal
//! and, for mutes, the audit log. Never calls Cloudflare and never changes anything there. A check is a pure
//! function over [`Facts`]; a list that could not be read makes it unknown, never passed. Safe to repeat.
//! Start reading at [`run`]; [`mod@check`] says what a check is, and each family of checks has a file.

mod account;
mod apps;
pub mod check;
pub mod facts;
mod groups;
mod members;
mod people;
mod policies;
pub mod reference;
mod risk;
mod tokens;
pub mod until;

#[cfg(test)]
mod cases;

pub use check::{Answer, Check, Finding};
pub use facts::Facts;

use crate::app::App;
use crate::audit;
use crate::fault;
use crate::permission::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use model::{CheckVerdict, ConnectionId, FindingState, Severity, SyncOutcome};
use serde_json::json;
use std::collections::HashSet;
use store::{
    CheckResultRow, ConnectionRow, FindingRow, FindingSeen, JournalEntry, LIST_LIMIT_MAX, StoreError,
};

/// Without a sync, checks run again after this long: time alone changes what some of them say.
const RUN_AGAIN: TimeDelta = TimeDelta::hours(6);

/// Every check, the most severe first.
pub fn catalogue() -> impl Iterator<Item = &'static Check> {
    let families = [
        account::CHECKS,
        members::CHECKS,
        tokens::CHECKS,
        apps::CHECKS,
        policies::CHECKS,
        groups::CHECKS,
        people::CHECKS,
        risk::CHECKS,
    ];
    let mut all: Vec<&'static Check> = families.into_iter().flatten().collect();
    all.sort_by_key(|check| std::cmp::Reverse(check.severity));
    all.into_iter()
}

/// The check with this id.
pub fn check(id: &str) -> Option<&'static Check> {
    catalogue().find(|check| check.id == id)
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Findings that opened.
    pub opened: usize,
    /// Findings that are no longer found.
    pub resolved: usize,
    /// Checks that could not tell.
    pub unknown: usize,
}

/// Runs every check over what is stored of a connection, and brings its findings in step.
///
/// # Errors
///
/// When the store refuses; the next run goes on.
pub async fn run(app: &App, connection: &ConnectionRow) -> Result<Report, StoreError> {
    reopen_expired(app).await?;
    let facts = Facts::load(app, connection).boxed().await?;
    let mut report = Report::default();
    for check in catalogue() {
        let answer = check.answer(&facts);
        let result = |verdict: CheckVerdict, reason: Option<String>, findings: usize| CheckResultRow {
            connection_id: connection.id.clone(),
            check_id: check.id.to_owned(),
            verdict,
            unknown_reason: reason,
            findings: findings as i64,
            checked_at: facts.now,
        };
        let (found, unjudged, unsure) = match answer {
            Answer::Unknown(reason) => {
                report.unknown += 1;
                app.store
                    .check_result_unknown(&result(CheckVerdict::Unknown, Some(reason), 0))
                    .await?;
                continue;
            }
            Answer::Holds => (Vec::new(), Vec::new(), None),
            Answer::Found(found) => (found, Vec::new(), None),
            Answer::Partly {
                found,
                unjudged,
                reason,
            } => (found, unjudged, Some(reason)),
        };
        let id = |kind: &str, subject: &str| finding_id(connection, check.id, kind, subject);
        let seen: Vec<FindingSeen> = found.iter().map(|finding| seen(&id, finding)).collect();
        let unjudged: HashSet<String> = unjudged.iter().map(|(kind, subject)| id(kind, subject)).collect();
        let verdict = if !seen.is_empty() {
            CheckVerdict::Fail
        } else if unsure.is_some() {
            CheckVerdict::Unknown
        } else {
            CheckVerdict::Pass
        };
        report.unknown += usize::from(verdict == CheckVerdict::Unknown);
        let (opened, resolved) = app
            .store
            .finding_replace(
                &result(verdict, unsure, seen.len()),
                &seen,
                &unjudged,
                |finding| {
                    opened_entry(
                        facts.now,
                        connection,
                        check.id,
                        &finding.id,
                        finding.severity,
                        &finding.subject_name,
                    )
                },
            )
            .await?;
        fault::point("posture.checked");
        report.opened += opened;
        report.resolved += resolved;
    }
    Ok(report)
}

/// Runs the checks of every connection that was synced since they last ran. Answers whether any ran.
///
/// # Errors
///
/// When the store refuses.
pub async fn run_due(app: &App) -> Result<bool, StoreError> {
    let mut ran = !reopen_expired(app).await?.is_empty();
    for connection in app.store.connection_list().await? {
        if is_due(app, &connection).await? {
            let report = run(app, &connection).boxed().await?;
            tracing::info!(
                connection = %connection.label,
                "posture check of {}: {} findings opened, {} resolved, {} unknown",
                connection.label, report.opened, report.resolved, report.unknown
            );
            ran = true;
        }
    }
    Ok(ran)
}

async fn is_due(app: &App, connection: &ConnectionRow) -> Result<bool, StoreError> {
    let last = app.store.check_result_last(&connection.id).await?;
    let runs = app.store.sync_run_list(Some(&connection.id), 20).await?;
    let read = runs
        .iter()
        .filter(|run| matches!(run.outcome, SyncOutcome::Complete | SyncOutcome::Partial))
        .filter_map(|run| run.finished_at)
        .max();
    Ok(match (last, read) {
        (None, read) => read.is_some(),
        (Some(last), Some(read)) if read > last => true,
        (last, _) => crate::due::is_due(last, RUN_AGAIN, app.clock.now()),
    })
}

/// What every check last came to, by connection and check.
///
/// # Errors
///
/// When the store refuses.
pub async fn results(app: &App, only: Option<&ConnectionId>) -> Result<Vec<CheckResultRow>, StoreError> {
    let mut all: Vec<CheckResultRow> = Vec::new();
    loop {
        let after = all
            .last()
            .map(|row| (row.connection_id.as_str(), row.check_id.as_str()));
        let page = app.store.check_result_list(only, after, LIST_LIMIT_MAX).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Opens findings whose mute has run out.
async fn reopen_expired(app: &App) -> Result<Vec<FindingRow>, StoreError> {
    let now = app.clock.now();
    app.store
        .finding_unmute_expired(now, |finding| JournalEntry {
            at: now,
            kind: model::JournalKind::FindingOpened,
            person_id: None,
            connection_id: Some(finding.connection_id.clone()),
            subject_id: Some(finding.id.clone()),
            summary: format!(
                "{} of {} was reopened: its mute expired",
                finding.check_id, finding.subject_name
            ),
            data: json!({ "check": finding.check_id, "severity": finding.severity, "mute": "ran out" }),
        })
        .await
}

fn seen(id: &impl Fn(&str, &str) -> String, finding: &Finding) -> FindingSeen {
    FindingSeen {
        id: id(finding.subject_kind, &finding.subject_id),
        severity: finding.severity,
        subject_kind: finding.subject_kind.to_owned(),
        subject_id: finding.subject_id.clone(),
        subject_name: finding.subject_name.clone(),
        evidence: finding.evidence.to_string(),
    }
}

fn opened_entry(
    at: DateTime<Utc>,
    connection: &ConnectionRow,
    check: &str,
    id: &str,
    severity: Severity,
    subject: &str,
) -> JournalEntry {
    JournalEntry {
        at,
        kind: model::JournalKind::FindingOpened,
        person_id: None,
        connection_id: Some(connection.id.clone()),
        subject_id: Some(id.to_owned()),
        summary: format!("{check} ({severity}) found in {}: {subject}", connection.label),
        data: json!({ "check": check, "severity": severity, "subject": subject }),
    }
}

/// A digest: the same finding has the same id in every run.
fn finding_id(connection: &ConnectionRow, check: &str, kind: &str, subject: &str) -> String {
    let whole = json!([connection.id, check, kind, subject]).to_string();
    crate::secret::digest(&whole)[..16].to_owned()
}

/// Why a finding cannot be muted or opened.
#[derive(Debug, thiserror::Error)]
pub enum MuteError {
    /// No finding has this id.
    #[error("no finding with ID \"{0}\"")]
    NotFound(String),
    /// Why is not said.
    #[error("the reason must have 1 to 1,000 characters")]
    Reason,
    /// The end is past.
    #[error("the end of a mute must be in the future")]
    Until,
    /// It is no longer found.
    #[error("finding {0} is resolved and cannot be muted")]
    Resolved(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Accepts a finding for a time, or without end. Muting again replaces reason and end.
///
/// # Errors
///
/// See [`MuteError`].
pub async fn mute(
    app: &App,
    id: &str,
    reason: &str,
    until: Option<DateTime<Utc>>,
    actor: &Actor,
) -> Result<FindingRow, MuteError> {
    let not_found = || MuteError::NotFound(id.to_owned());
    let finding = app.store.finding_get(id).await?.ok_or_else(not_found)?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 1_000 {
        return Err(MuteError::Reason);
    }
    if until.is_some_and(|until| until <= app.clock.now()) {
        return Err(MuteError::Until);
    }
    if finding.state == FindingState::Resolved {
        return Err(MuteError::Resolved(id.to_owned()));
    }
    let detail = json!({ "check": finding.check_id, "subject": finding.subject_id, "reason": reason,
        "until": until });
    audit::record(
        app,
        actor,
        model::AuditAction::FindingMute,
        id,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    if !app
        .store
        .finding_mute(id, reason, &actor.to_string(), until)
        .await?
    {
        return Err(MuteError::Resolved(id.to_owned()));
    }
    app.store.finding_get(id).await?.ok_or_else(not_found)
}

/// Opens a muted finding. Answers it, and whether it was muted.
///
/// # Errors
///
/// See [`MuteError`].
pub async fn unmute(app: &App, id: &str, actor: &Actor) -> Result<(FindingRow, bool), MuteError> {
    let not_found = || MuteError::NotFound(id.to_owned());
    let finding = app.store.finding_get(id).await?.ok_or_else(not_found)?;
    if finding.state != FindingState::Muted {
        return Ok((finding, false));
    }
    let detail = json!({ "check": finding.check_id, "subject": finding.subject_id });
    audit::record(
        app,
        actor,
        model::AuditAction::FindingUnmute,
        id,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    let opened = app.store.finding_unmute(id).await?;
    let finding = app.store.finding_get(id).await?.ok_or_else(not_found)?;
    Ok((finding, opened))
}
