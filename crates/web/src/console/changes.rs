//! Changes of access: the list with grants for a time, one change, and making one: asked, shown as a plan, agreed to.

use super::form::Form;
use super::page::{self, Frame, Page, PageError, Section, path_part};
use super::visitor::Visitor;
use super::{assets, show};
use crate::api::changes::{ChangeRequestBody, made, no_undo, options, request};
use crate::error::ApiError;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use hub::connection::labels;
use hub::provisioning::undo;
use hub::provisioning::{Plan, Step, call_in_words, preview};
use hub::{App, Permission};
use serde::Deserialize;
use serde_json::Value;
use store::{AccessChangeFilter, AccessChangeRow, LIST_LIMIT_MAX, TimedGrantRow};

/// Changes that the form offers: action and label.
const ACTIONS: [(&str, &str); 9] = [
    ("group.grant", "Add to an Access group"),
    ("group.revoke", "Remove from an Access group"),
    ("group.exclude", "Exclude from an Access group"),
    ("role.grant", "Grant a role"),
    ("role.revoke", "Revoke a role"),
    ("member.remove", "Remove from the account"),
    ("member.cancel_invitation", "Cancel an invitation"),
    ("access_user.free_seats", "Free seats"),
    (
        "access_user.revoke_sessions",
        "Revoke all sessions, including device sessions",
    ),
];

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    frame: Frame,
    changes: Vec<Change>,
    timed: Vec<Timed>,
    outcome: String,
    first: Option<String>,
    next: Option<String>,
    may_change: bool,
}

struct Change {
    row: AccessChangeRow,
    connection: String,
}

struct Timed {
    row: TimedGrantRow,
    connection: String,
}

#[derive(Template)]
#[template(path = "change.html")]
struct ChangePage {
    frame: Frame,
    row: AccessChangeRow,
    connection: String,
    summary: String,
    remains: Vec<String>,
    guards: Vec<(bool, String)>,
    before: String,
    after: String,
    calls: Vec<String>,
    /// Expiry of the grant before and after the change.
    ends: Option<(String, String)>,
    steps: Vec<AccessChangeRow>,
    may_undo: bool,
}

#[derive(Template)]
#[template(path = "change_access.html")]
struct AskPage {
    frame: Frame,
    asked: Asked,
    actions: &'static [(&'static str, &'static str)],
    connections: Vec<String>,
    problem: Option<String>,
    plan: Option<Shown>,
}

/// A plan as text.
struct Shown {
    plan: Plan,
    refused: Option<String>,
    already: Option<String>,
    lines: Vec<String>,
    /// Expiry before and after; `None` if there was and is none.
    ends: Option<(String, String)>,
}

/// The submitted form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    person: String,
    action: String,
    connection: String,
    thing: String,
    /// `yes` to remove the expiry of the grant.
    permanent: String,
    hours: String,
    note: String,
}

/// Filters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    outcome: String,
    before: String,
}

/// Lists the newest changes and the timed grants.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Filter>,
) -> Result<Page, PageError> {
    let labels = labels(&app).await?;
    let filter = AccessChangeFilter {
        outcome: page::word(&asked.outcome)?,
        before: page::cursor_read(Some(&asked.before))?,
        limit: page::PAGE_ROWS + 1,
        ..AccessChangeFilter::default()
    };
    let mut changes: Vec<Change> = app
        .store
        .access_change_list(&filter)
        .await?
        .into_iter()
        .map(|row| Change {
            connection: labels.get(&row.connection_id).cloned().unwrap_or_default(),
            row,
        })
        .collect();
    let kept = [("outcome", asked.outcome.as_str())];
    let place = |change: &Change| page::cursor_text(&change.row.created_at, &change.row.id);
    let next = page::cut(&mut changes, "/changes", &kept, ("before", place));
    let timed = app.store.timed_grant_list(None, false, LIST_LIMIT_MAX).await?;
    page::rendered(&ChangesPage {
        frame: visitor.frame("Access changes", Section::Changes),
        changes,
        timed: timed
            .into_iter()
            .map(|row| Timed {
                connection: labels.get(&row.connection_id).cloned().unwrap_or_default(),
                row,
            })
            .collect(),
        first: page::first(&asked.before, "/changes", &kept),
        next,
        outcome: asked.outcome,
        may_change: visitor.may(Permission::AccessWrite),
    })
}

/// One change with its plan.
pub(super) async fn show_change(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Page, PageError> {
    let row = app
        .store
        .access_change_get(&id)
        .await?
        .ok_or(PageError::NotFound("change"))?;
    let (plan, detail) = (row.plan_json()?, row.detail_json()?);
    let texts = |value: &Value| -> Vec<String> {
        let values = value.as_array().into_iter().flatten();
        values
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let calls = plan["calls"].as_array().into_iter().flatten();
    let names = plan["names"].as_object().into_iter().flatten();
    let names = names
        .filter_map(|(id, name)| Some((id.clone(), name.as_str()?.to_owned())))
        .collect();
    let guards = plan["guards"].as_array().into_iter().flatten();
    let labels = labels(&app).await?;
    page::rendered(&ChangePage {
        frame: visitor.frame("Access change", Section::Changes),
        connection: labels.get(&row.connection_id).cloned().unwrap_or_default(),
        summary: sentence(plan["summary"].as_str().unwrap_or_default()),
        remains: texts(&detail["remains"]),
        guards: guards
            .map(|guard| {
                let words = guard["words"].as_str().unwrap_or_default().to_owned();
                (guard["passes"].as_bool().unwrap_or(false), words)
            })
            .collect(),
        before: json_text(&plan["before"]),
        after: json_text(&plan["after"]),
        calls: calls
            .map(|call| {
                let text = |name: &str| call[name].as_str().unwrap_or_default();
                call_in_words(text("method"), text("path"), &names)
            })
            .collect(),
        ends: plan.get("ends").filter(|ends| ends.is_object()).map(|ends| {
            let read = |side: &str| {
                let at = ends[side].as_str()?;
                DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc())
            };
            (end_text(read("before")), end_text(read("after")))
        }),
        steps: app.store.access_change_steps(&id).await?,
        may_undo: row.undo.is_some() && visitor.may(Permission::AccessWrite),
        row,
    })
}

/// Undoes a change.
pub(super) async fn undo(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Redirect, PageError> {
    match undo::undo(&app, &id, None, visitor.actor()).await {
        Ok(made) => Ok(Redirect::to(&format!("/changes/{}", path_part(&made.change_id)))),
        Err(error) => Err(match no_undo(error) {
            ApiError::NotFound(what) => PageError::NotFound(what),
            error => refused(&error),
        }),
    }
}

/// Shows the form, and the plan of the requested change.
pub(super) async fn ask(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let (mut problem, mut plan) = (None, None);
    if !asked.action.is_empty() {
        match planned(&app, &asked).await {
            Ok(found) => plan = Some(shown(found)),
            Err(error) => problem = Some(error.detail()),
        }
    }
    let connections = app.store.connection_list().await?;
    page::rendered(&AskPage {
        frame: visitor.frame("Change access", Section::Changes),
        asked,
        actions: &ACTIONS,
        connections: connections.into_iter().map(|row| row.label).collect(),
        problem,
        plan,
    })
}

/// Applies the change that was shown.
pub(super) async fn make(
    visitor: Visitor,
    State(app): State<App>,
    Form(asked): Form<Asked>,
) -> Result<Redirect, PageError> {
    let body = body(&asked).map_err(|error| refused(&error))?;
    let request = request(&app, &body).await.map_err(|error| refused(&error))?;
    let options = options(&body, &request).map_err(|error| refused(&error))?;
    let made = made(&app, &request, &options, visitor.actor())
        .await
        .map_err(|error| refused(&error))?;
    Ok(Redirect::to(&format!("/changes/{}", path_part(&made.change_id))))
}

async fn planned(app: &App, asked: &Asked) -> Result<Plan, ApiError> {
    let body = body(asked)?;
    let request = request(app, &body).await?;
    preview(app, &request, &options(&body, &request)?)
        .await
        .map_err(crate::api::changes::problem)
}

/// Converts the form to a request of the API.
fn body(asked: &Asked) -> Result<ChangeRequestBody, ApiError> {
    let hours = asked.hours.trim();
    let for_minutes = if hours.is_empty() {
        None
    } else {
        let hours: i64 = hours
            .parse()
            .map_err(|_| ApiError::invalid("hours", "must be a whole number"))?;
        Some(hours.saturating_mul(60))
    };
    let (action, by_exclusion) = match asked.action.as_str() {
        "group.exclude" => ("group.revoke", true),
        other => (other, false),
    };
    let is_grant = matches!(action, "group.grant" | "role.grant");
    let thing = Some(asked.thing.trim().to_owned()).filter(|thing| !thing.is_empty());
    Ok(ChangeRequestBody {
        action: action.to_owned(),
        connection: asked.connection.clone(),
        email: asked.person.clone(),
        group: thing.clone().filter(|_| action.starts_with("group.")),
        role: thing.filter(|_| action.starts_with("role.")),
        devices: action == "access_user.revoke_sessions",
        by_exclusion,
        for_minutes: for_minutes.filter(|_| is_grant),
        permanent: is_grant && asked.permanent == "yes",
        note: (!asked.note.trim().is_empty()).then(|| asked.note.trim().to_owned()),
        ..ChangeRequestBody::default()
    })
}

fn refused(error: &ApiError) -> PageError {
    PageError::Asked(error.detail())
}

fn shown(plan: Plan) -> Shown {
    let (mut refused, mut already, mut lines) = (None, None, Vec::new());
    match &plan.step {
        Step::Refused { reason, .. } => refused = Some(reason.clone()),
        Step::Already { reason } if !plan.changes_anything() => already = Some(reason.clone()),
        Step::Already { .. } => {}
        Step::Write => {
            for difference in plan.differences() {
                let member = &difference.member;
                lines.extend(difference.added.iter().map(|value| format!("+ {member} {value}")));
                lines.extend(
                    difference
                        .removed
                        .iter()
                        .map(|value| format!("− {member} {value}")),
                );
            }
            lines.extend(
                plan.calls
                    .iter()
                    .map(|call| call_in_words(call.method, &call.path, &plan.names)),
            );
        }
    }
    Shown {
        ends: plan
            .ends
            .map(|ends| (end_text(ends.before), end_text(ends.after))),
        plan,
        refused,
        already,
        lines,
    }
}

fn end_text(at: Option<DateTime<Utc>>) -> String {
    at.map_or("none".to_owned(), |at| {
        at.format("%Y-%m-%d %H:%M UTC").to_string()
    })
}

/// Capitalises the first letter, as in a heading.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn json_text(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    serde_json::to_string_pretty(value).unwrap_or_default()
}
