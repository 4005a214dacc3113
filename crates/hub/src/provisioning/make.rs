//! Makes a change whose object is locked, and writes it down before and after.
//!
//! Reads the plan. Writes `access_change`, the audit log and `journal`; the end of a grant is [`super::timed`]'s, the
//! calls are [`super::write`]'s. Start reading at [`locked`].

use super::context::RequestContext;
use super::outcome::{Changed, Outcome};
use super::plan::{Guard, Plan};
use super::planner::plan;
use super::request::Request;
use super::write::work;
use super::{Options, ProvisionError, cut_off, timed};
use crate::app::App;
use crate::audit;
use crate::fault;
use crate::permission::Actor;
use cloudflare::CloudflareError;
use model::ChangeOutcome;
use serde_json::json;
use store::{AccessChangeRow, ConnectionRow, JournalEntry};

pub(super) async fn locked(
    app: &App,
    connection: &ConnectionRow,
    request: &Request,
    options: &Options,
    actor: &Actor,
) -> Result<Changed, ProvisionError> {
    // What a killed process left on the object: its grant must not count as held, and its end not as this one's.
    Box::pin(cut_off::run_on(app, &request.lock())).await?;
    let mut context = RequestContext::new(app, connection, options)?;
    let mut planned = match plan(&context, request).await {
        Ok(plan) => plan,
        Err(ProvisionError::Cloudflare { source, .. }) => could_not_read(&context, request, &source),
        Err(error) => return Err(error),
    };
    let end = timed::plan_end(app, request, options.lasts, &mut planned).await?;
    let now = app.clock.now();
    let mut row = AccessChangeRow {
        id: app.ids.new_id(now),
        connection_id: connection.id.clone(),
        parent_id: options.parent_id.clone(),
        action: request.action().to_owned(),
        object: format!("{} {}", planned.object_kind, planned.object_name),
        email: Some(request.email().to_owned()),
        request: serde_json::to_string(request).unwrap_or_default(),
        plan: serde_json::to_string(&planned).unwrap_or_default(),
        actor: actor.to_string(),
        note: options.note.clone(),
        outcome: ChangeOutcome::Running,
        reason: None,
        detail: "{}".to_owned(),
        undo: None,
        created_at: now,
        finished_at: None,
    };
    app.store.access_change_insert(&row).await?;
    fault::point("change.written_down");
    let detail = json!({ "change": row.id, "summary": planned.summary, "calls": planned.calls, "ends": planned.ends,
        "note": options.note });
    audit::record(
        app,
        actor,
        model::AuditAction::AccessChange,
        &row.object,
        model::AuditOutcome::Planned,
        detail,
    )
    .await?;

    let mut made = Changed {
        outcome: Outcome::Refused,
        reason: None,
        guard: None,
        change_id: row.id.clone(),
        remains: planned.remains.clone(),
        writes: 0,
        plan: planned.clone(),
    };
    let end = end.begin(app, &planned, actor, &row.id).await?;
    fault::point("change.end_begun");
    let worked = work(&mut context, request, planned, &mut made).await;
    if worked.is_err() {
        made.outcome = Outcome::Refused;
    }
    end.settle(app, &mut made).await?;
    fault::point("change.end_settled");
    worked?;

    row.outcome = made.outcome.into();
    row.reason.clone_from(&made.reason);
    row.plan = serde_json::to_string(&made.plan).unwrap_or_default();
    row.detail = json!({ "guard": made.guard, "remains": made.remains, "writes": made.writes }).to_string();
    row.undo = (made.outcome == Outcome::Changed)
        .then_some(made.plan.undo.as_ref())
        .flatten()
        .map(|undo| serde_json::to_string(undo).unwrap_or_default());
    row.finished_at = Some(app.clock.now());
    let undo: Option<&Request> = made.plan.undo.as_ref().filter(|_| row.undo.is_some());
    let detail = json!({ "change": row.id, "reason": row.reason, "guard": made.guard, "ends": made.plan.ends,
        "undo": undo });
    audit::record(
        app,
        actor,
        model::AuditAction::AccessChange,
        &row.object,
        made.outcome.into(),
        detail,
    )
    .await?;
    // Told before it counts as ended: cut off in between, it is told twice rather than never.
    fault::point("change.told");
    app.store
        .access_change_finish(&row, &journal_entry(app, &row, &made).await?)
        .await?;
    fault::point("change.ended");
    Ok(made)
}

fn could_not_read(context: &RequestContext<'_>, request: &Request, source: &CloudflareError) -> Plan {
    let guard = if matches!(source, CloudflareError::RateLimited { .. }) {
        Guard::RateLimited
    } else {
        Guard::Cloudflare
    };
    Plan::new(request, &context.connection.label, "connection").refused(
        guard,
        format!(
            "could not read the object before the change: {}",
            crate::causes(source)
        ),
    )
}

async fn journal_entry(
    app: &App,
    row: &AccessChangeRow,
    made: &Changed,
) -> Result<JournalEntry, ProvisionError> {
    let person = match &row.email {
        Some(email) => app.store.person_by_email(email).await?,
        None => None,
    };
    let what = if made.plan.summary.is_empty() {
        row.object.clone()
    } else {
        made.plan.summary.clone()
    };
    Ok(JournalEntry {
        at: row.finished_at.unwrap_or(row.created_at),
        kind: model::JournalKind::AccessChanged,
        person_id: person.map(|person| person.id),
        connection_id: Some(row.connection_id.clone()),
        subject_id: Some(row.id.clone()),
        summary: match &row.reason {
            Some(reason) => format!("{}: {what} ({reason})", row.outcome),
            None => format!("{}: {what}", row.outcome),
        },
        data: json!({ "outcome": row.outcome, "action": row.action, "actor": row.actor }),
    })
}
