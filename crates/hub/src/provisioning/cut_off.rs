//! Changes whose process ended before it could say what became of them.
//!
//! A change that is running holds the lock on its object, so one that is written down as running while its lock is free
//! was cut off. It is never made again: what is there now is looked at, and the change and the end of its grant are
//! ended as the process would have ended them. Reads and writes `access_change` and `timed_grant`; changes nothing at
//! Cloudflare. Start reading at [`run`].

use super::context::RequestContext;
use super::lock::LOCK;
use super::stored_lists::note_new_member;
use super::timed::{self, Found};
use super::write::plan_again;
use super::{Options, ProvisionError, Request, Step, connection_of, offboard};
use crate::app::App;
use crate::audit;
use crate::lease::Lease;
use crate::permission::Actor;
use chrono::TimeDelta;
use model::{AuditAction, AuditOutcome, ChangeOutcome, JournalKind};
use serde_json::{Value, json};
use store::{AccessChangeFilter, AccessChangeRow, JournalEntry, LIST_LIMIT_MAX, StoreError};

/// How long it is tried to look at what became of a change. Chosen: an account that cannot be asked for so long may not
/// be asked again for days.
const LOOK_FOR: TimeDelta = TimeDelta::minutes(5);

/// Ends every change whose process ended early. Answers how many.
///
/// # Errors
///
/// When the store refuses.
pub async fn run(app: &App) -> Result<usize, ProvisionError> {
    let mut ended = 0;
    for row in running(app).await? {
        let lock = match request_of(&row) {
            Some(request) => request.lock(),
            None => offboard::lock(&row.id),
        };
        let holder = app.ids.new_id(app.clock.now());
        let Some(lease) = Lease::take(app, &lock, &holder, LOCK).await? else {
            continue;
        };
        let result = lease.keep(Box::pin(end_if_running(app, &row.id))).await;
        lease.release().await;
        ended += usize::from(result.unwrap_or(Ok(false))?);
    }
    Ok(ended)
}

/// Ends what was cut off on one object, whose lock the caller holds.
pub(super) async fn run_on(app: &App, lock: &str) -> Result<(), ProvisionError> {
    for row in running(app).await? {
        if request_of(&row).is_some_and(|request| request.lock() == lock) {
            end(app, row).await?;
        }
    }
    Ok(())
}

async fn running(app: &App) -> Result<Vec<AccessChangeRow>, StoreError> {
    let filter = AccessChangeFilter {
        outcome: Some(ChangeOutcome::Running),
        limit: LIST_LIMIT_MAX,
        ..AccessChangeFilter::default()
    };
    app.store.access_change_list(&filter).await
}

/// The request of a change; none of one of many steps, each of which says what became of it.
fn request_of(row: &AccessChangeRow) -> Option<Request> {
    serde_json::from_str(&row.request).ok()
}

/// It may have ended by itself before its lock was free.
async fn end_if_running(app: &App, id: &str) -> Result<bool, ProvisionError> {
    match app.store.access_change_get(id).await? {
        Some(row) if row.outcome == ChangeOutcome::Running => end(app, row).await,
        _ => Ok(false),
    }
}

/// Ends a change that was cut off. Answers `false` when Cloudflare could not be asked yet.
async fn end(app: &App, mut row: AccessChangeRow) -> Result<bool, ProvisionError> {
    let plan: Value = store::stored("access_change", &row.id, "plan", &row.plan)?;
    let looked = match request_of(&row) {
        Some(request) => look(app, &request).await?,
        None => Looked::Steps,
    };
    // A change of the end alone is a change too.
    let is_change = plan["step"]["verdict"] == "write" || plan["ends"]["before"] != plan["ends"]["after"];
    let early = "the process that made the change was interrupted";
    let (outcome, reason, found) = match looked {
        Looked::Done if is_change => (
            ChangeOutcome::Changed,
            format!("{early}, but the change was applied"),
            Found::Done,
        ),
        Looked::Done => (
            ChangeOutcome::Already,
            format!("{early}; the requested state already existed"),
            Found::Done,
        ),
        Looked::NotDone => (
            ChangeOutcome::Unverified,
            format!("{early}, and the change was not applied: request it again"),
            Found::NotDone,
        ),
        Looked::Steps => (
            ChangeOutcome::Unverified,
            format!("{early}: its steps show what was applied; request the rest again"),
            Found::NotDone,
        ),
        Looked::NoConnection => (
            ChangeOutcome::Unverified,
            format!("{early}, and the connection was removed: the result is unknown"),
            Found::Unknown,
        ),
        Looked::CannotAsk(why) if app.clock.now() - row.created_at < LOOK_FOR => {
            tracing::warn!(
                change = row.id,
                "cannot check the result of an interrupted change yet: {why}"
            );
            return Ok(false);
        }
        Looked::CannotAsk(why) => (
            ChangeOutcome::Unverified,
            format!("{early}, and its result could not be checked: {why}"),
            Found::Unknown,
        ),
    };
    if let Some(request) = request_of(&row) {
        timed::end_cut_off(app, &row.id, &request, &plan, found).await?;
    }
    row.outcome = outcome;
    row.reason = Some(reason);
    row.undo = (outcome == ChangeOutcome::Changed)
        .then(|| plan.get("undo").filter(|undo| !undo.is_null()))
        .flatten()
        .map(Value::to_string);
    finish(app, row).await?;
    Ok(true)
}

async fn finish(app: &App, mut row: AccessChangeRow) -> Result<(), ProvisionError> {
    let now = app.clock.now();
    row.finished_at = Some(now);
    let detail = json!({ "change": row.id, "reason": row.reason, "asked_by": row.actor });
    let outcome = match row.outcome {
        ChangeOutcome::Changed => AuditOutcome::Changed,
        ChangeOutcome::Already => AuditOutcome::Already,
        _ => AuditOutcome::Unverified,
    };
    // Told before it counts as ended: cut off in between, it is told twice rather than never.
    audit::record(
        app,
        &Actor::System,
        AuditAction::AccessChange,
        &row.object,
        outcome,
        detail,
    )
    .await?;
    let person = match &row.email {
        Some(email) => app.store.person_by_email(email).await?,
        None => None,
    };
    let entry = JournalEntry {
        at: now,
        kind: JournalKind::AccessChanged,
        person_id: person.map(|person| person.id),
        connection_id: Some(row.connection_id.clone()),
        subject_id: Some(row.id.clone()),
        summary: format!("{}: {} of {}", row.outcome, row.action, row.object),
        data: json!({ "outcome": row.outcome, "action": row.action, "actor": row.actor }),
    };
    app.store.access_change_finish(&row, &entry).await?;
    Ok(())
}

/// What is there now.
enum Looked {
    Done,
    NotDone,
    /// A change of many steps.
    Steps,
    NoConnection,
    CannotAsk(String),
}

async fn look(app: &App, request: &Request) -> Result<Looked, ProvisionError> {
    let connection = match connection_of(app, request).await {
        Ok(connection) => connection,
        Err(ProvisionError::NoConnection) => return Ok(Looked::NoConnection),
        Err(error) => return Err(error),
    };
    let options = Options {
        unknown_person: true,
        ..Options::default()
    };
    let looked = async {
        let mut context = RequestContext::new(app, &connection, &options)?;
        // Whether devices were revoked cannot be seen; all else that was sent can.
        context.has_written = !matches!(request, Request::SessionsRevoke { .. });
        note_new_member(&context, request, None).await?;
        plan_again(&context, request).await
    };
    match looked.await {
        Ok(plan) => Ok(match plan.step {
            Step::Already { .. } => Looked::Done,
            Step::Write | Step::Refused { .. } => Looked::NotDone,
        }),
        Err(ProvisionError::Store(error)) => Err(error.into()),
        Err(error) => Ok(Looked::CannotAsk(crate::causes(&error))),
    }
}
