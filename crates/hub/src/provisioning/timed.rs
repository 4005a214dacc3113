//! Grants for a time: granted with an end, announced before it, taken back after it, and tried again until that is
//! verified.
//!
//! The end is written down before the grant is made, so that no kill leaves a grant without its end. What could
//! not be taken back stays visible as overdue. A clock that is set back does not make a grant last longer: the
//! latest time that was acted at counts. Start reading at [`grant_for`] and [`run`].

use super::{Changed, Options, Outcome, ProvisionError, Request, change};
use crate::app::App;
use crate::permission::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use model::GrantKind;
use serde_json::json;
use store::{JournalEntry, TimedGrantRow};

/// The longest that a grant for a time may last. Chosen: what lasts longer should be looked at by someone.
pub const LONGEST: TimeDelta = TimeDelta::days(366);
/// The wait before the second attempt; each further one doubles it.
const RETRY_SECONDS: i64 = 15;
/// The mark of the latest time that was acted at.
const MARK: &str = "timed-grants";

/// A grant with an end that was made, or not.
#[derive(Debug)]
pub struct TimedChange {
    /// What became of the grant.
    pub changed: Changed,
    /// When it ends; `None` when it was refused, or is held without an end.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Grants a group or role for a time. Someone who holds it for a time already holds it until the later end;
/// someone who holds it without an end keeps it so.
///
/// # Errors
///
/// See [`ProvisionError`].
pub async fn grant_for(
    app: &App,
    request: &Request,
    lasts: TimeDelta,
    name: &str,
    options: &Options,
    actor: &Actor,
) -> Result<TimedChange, ProvisionError> {
    let (kind, entitlement) = what(request).ok_or(ProvisionError::NotHere)?;
    let email = model::address::compared(request.email());
    let now = now(app).await?;
    let expires_at = now + lasts;
    let notice_at = notice_at(app, now, expires_at);
    let live = app
        .store
        .timed_grant_live(request.connection(), kind, entitlement, &email)
        .await?;
    if let Some(live) = live {
        let until = live.expires_at.max(expires_at);
        app.store
            .timed_grant_extend(&live.id, until, notice_at.max(live.notice_at))
            .await?;
        let changed = change(app, request, options, actor).await?;
        return Ok(TimedChange {
            changed,
            expires_at: Some(until),
        });
    }
    let row = TimedGrantRow {
        id: app.ids.new_id(now),
        connection_id: request.connection().clone(),
        kind,
        entitlement_id: entitlement.to_owned(),
        entitlement_name: name.to_owned(),
        email,
        actor: actor.to_string(),
        granted_at: now,
        expires_at,
        notice_at,
        noticed_at: None,
        state: "active".to_owned(),
        attempts: 0,
        next_attempt_at: expires_at,
        problem: None,
        ended_at: None,
    };
    app.store.timed_grant_insert(&row).await?;
    let changed = match change(app, request, options, actor).await {
        Ok(changed) => changed,
        Err(error) => {
            end(app, &row, "gone", "was not granted").await?;
            return Err(error);
        }
    };
    let holds = matches!(changed.outcome, Outcome::Changed | Outcome::Unverified);
    if !holds {
        let why = if changed.outcome == Outcome::Already {
            "is held without an end"
        } else {
            "was not granted"
        };
        end(app, &row, "gone", why).await?;
    }
    Ok(TimedChange {
        changed,
        expires_at: holds.then_some(expires_at),
    })
}

/// Notes that a grant or revocation without an end was made: an end that was set before no longer counts.
///
/// # Errors
///
/// When the store refuses.
pub async fn settle(app: &App, request: &Request, outcome: Outcome) -> Result<(), ProvisionError> {
    let Some((kind, entitlement)) = what(request) else {
        return Ok(());
    };
    if !matches!(outcome, Outcome::Changed | Outcome::Already) {
        return Ok(());
    }
    let email = model::address::compared(request.email());
    let live = app
        .store
        .timed_grant_live(request.connection(), kind, entitlement, &email)
        .await?;
    let Some(live) = live else { return Ok(()) };
    match request {
        Request::GroupGrant { .. } | Request::RoleGrant { .. } => {
            end(app, &live, "permanent", "no longer has an end").await
        }
        _ => end(app, &live, "gone", "was taken back before its end").await,
    }
}

/// Announces ends that are near and takes back what is over. Answers how many grants were looked at.
///
/// # Errors
///
/// When the store refuses. What Cloudflare or a guard refuses stays visible at the grant.
pub async fn run(app: &App) -> Result<usize, ProvisionError> {
    let now = now(app).await?;
    let mut looked_at = 0;
    for row in app.store.timed_grant_to_notice(now).await? {
        let summary = format!(
            "{} loses {} {} at {}",
            row.email,
            row.kind,
            row.entitlement_name,
            row.expires_at.format("%Y-%m-%d %H:%M UTC")
        );
        let entry = entry(app, &row, "access.expires_soon", now, summary).await?;
        app.store.timed_grant_noticed(&row.id, now, &entry).await?;
        looked_at += 1;
    }
    for row in app.store.timed_grant_due(now).await? {
        take_back(app, &row, now).await?;
        looked_at += 1;
    }
    Ok(looked_at)
}

async fn take_back(app: &App, row: &TimedGrantRow, now: DateTime<Utc>) -> Result<(), ProvisionError> {
    let (connection, email) = (row.connection_id.clone(), row.email.clone());
    let request = match row.kind {
        GrantKind::Role => Request::RoleRevoke {
            connection,
            role: row.entitlement_id.clone(),
            email,
        },
        _ => Request::GroupRevoke {
            connection,
            group: row.entitlement_id.clone(),
            email,
            by_exclusion: false,
        },
    };
    let options = Options {
        note: Some(format!(
            "its time is over since {}",
            row.expires_at.format("%Y-%m-%d %H:%M UTC")
        )),
        ..Options::default()
    };
    let problem = match change(app, &request, &options, &Actor::System).await {
        Ok(changed) if matches!(changed.outcome, Outcome::Changed | Outcome::Already) => {
            return end(app, row, "revoked", "is over and was taken back").await;
        }
        Ok(changed) => changed
            .reason
            .unwrap_or_else(|| changed.outcome.as_str().to_owned()),
        Err(error @ ProvisionError::Store(_)) => return Err(error),
        Err(error) => crate::causes(&error),
    };
    let cap = i64::try_from(app.settings.provisioning.retry_cap_seconds).unwrap_or(i64::MAX / 2);
    let wait = RETRY_SECONDS
        .saturating_mul(1 << row.attempts.clamp(0, 20))
        .min(cap.max(1));
    let summary = format!(
        "{} still holds {} {} after its end: {problem}",
        row.email, row.kind, row.entitlement_name
    );
    tracing::error!(connection = %row.connection_id, "a grant whose time is over could not be taken back");
    let entry = entry(app, row, "access.expiry_failed", now, summary).await?;
    app.store
        .timed_grant_failed(&row.id, now + TimeDelta::seconds(wait), &problem, &entry)
        .await?;
    Ok(())
}

async fn end(app: &App, row: &TimedGrantRow, state: &'static str, words: &str) -> Result<(), ProvisionError> {
    let now = app.clock.now();
    let summary = format!("{} {} for {} {words}", row.kind, row.entitlement_name, row.email);
    let entry = entry(app, row, "access.expiry_ended", now, summary).await?;
    app.store.timed_grant_ended(&row.id, state, now, &entry).await?;
    Ok(())
}

async fn entry(
    app: &App,
    row: &TimedGrantRow,
    kind: &'static str,
    at: DateTime<Utc>,
    summary: String,
) -> Result<JournalEntry, ProvisionError> {
    let person = app.store.person_by_email(&row.email).await?;
    Ok(JournalEntry {
        at,
        kind,
        person_id: person.map(|person| person.id),
        connection_id: Some(row.connection_id.clone()),
        subject_id: Some(row.id.clone()),
        summary,
        data: json!({ "kind": row.kind, "entitlement": row.entitlement_id, "expires_at": row.expires_at }),
    })
}

/// The time, which never goes back.
async fn now(app: &App) -> Result<DateTime<Utc>, ProvisionError> {
    Ok(app.store.time_mark(MARK, app.clock.now()).await?)
}

/// Short grants are announced in the middle of their time.
fn notice_at(app: &App, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    let minutes = i64::try_from(app.settings.provisioning.notice_minutes).unwrap_or(0);
    let early = TimeDelta::minutes(minutes).min((expires_at - now) / 2);
    expires_at - early
}

fn what(request: &Request) -> Option<(GrantKind, &str)> {
    match request {
        Request::GroupGrant { group, .. } | Request::GroupRevoke { group, .. } => {
            Some((GrantKind::AccessGroup, group))
        }
        Request::RoleGrant { role, .. } | Request::RoleRevoke { role, .. } => Some((GrantKind::Role, role)),
        _ => None,
    }
}
