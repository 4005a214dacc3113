//! One person: risk and why, accounts, what they hold and through which rule, what happened, what was sent.

use super::form::Form;
use super::page::{Frame, Page, PageError, Section, path_part};
use super::people::found;
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use hub::access::Grant;
use hub::connection::labels;
use hub::event::{self, Event, EventFilter};
use hub::person_detail::{MemberFacts, Seen};
use hub::risk::RiskError;
use hub::{App, Permission, person_detail, risk};
use model::{ConnectionId, GrantKind, RiskLevel};
use serde::Deserialize;
use store::{
    AccessUserRow, DetectionFilter, DetectionRow, MemberRow, MessageRow, PersonRow, RiskChangeRow, SignalRow,
};

/// Number of rows in each section; links lead to the full lists.
const PART_ROWS: i64 = 20;
/// Maximum number of grants. Chosen: more are unreadable, and the API returns all.
const GRANT_ROWS: usize = 500;

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    person: PersonRow,
    changes: Vec<RiskChangeRow>,
    members: Vec<Member>,
    users: Vec<User>,
    seen: Vec<SeenIn>,
    aliases: Vec<String>,
    grants: Vec<Grant>,
    gaps: Vec<String>,
    apps: Vec<Grant>,
    detections: Vec<DetectionRow>,
    events: Vec<Event>,
    unread: Vec<String>,
    messages: Vec<MessageRow>,
    signals: Vec<SignalRow>,
    last_seen: Option<DateTime<Utc>>,
    may_reset: bool,
    may_change: bool,
}

struct Member {
    connection: String,
    row: MemberRow,
    sign_in: &'static str,
    roles: Vec<String>,
    policies: Vec<String>,
    user_groups: Vec<String>,
}

struct SeenIn {
    connection: String,
    seen: Seen,
}

/// Link to the explanation of a grant; `None` if grants of its kind cannot be explained.
fn why(person: &PersonRow, grant: &Grant) -> Option<String> {
    let name = match grant.kind {
        GrantKind::AccessGroup => "group",
        GrantKind::App => "app",
        GrantKind::Role => "role",
        GrantKind::PermissionGroup | GrantKind::UserGroup => return None,
    };
    let parameters = [
        ("person", person.id.as_str()),
        (name, grant.entitlement_id.as_str()),
        ("connection", grant.connection.as_str()),
    ];
    Some(page::link("/access/explain", &parameters))
}

struct User {
    connection: String,
    row: AccessUserRow,
}

/// The form that resets a level.
#[derive(Debug, Deserialize)]
pub(super) struct Reset {
    #[serde(default)]
    reason: String,
}

/// The page.
pub(super) async fn show_person(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Page, PageError> {
    let person = found(&app, &id).await?;
    let id = person.id.clone();
    let labels = labels(&app).await?;
    let label = |id: &ConnectionId| labels.get(id).cloned().unwrap_or_default();
    let mut detail = person_detail::of(&app, &person).await?;
    detail.grants.truncate(GRANT_ROWS);
    detail.apps.truncate(GRANT_ROWS);
    let detections = DetectionFilter {
        person_id: Some(id.clone()),
        limit: PART_ROWS,
        ..DetectionFilter::default()
    };
    let events = EventFilter {
        person_id: Some(id.clone()),
        limit: PART_ROWS,
        ..EventFilter::default()
    };
    let events = event::find(&app, &events).await?;
    page::rendered(&PersonPage {
        frame: visitor.frame(
            person.name.clone().unwrap_or_else(|| person.email.clone()),
            Section::People,
        ),
        changes: app.store.risk_change_by_person(&id, PART_ROWS).await?,
        members: detail
            .members
            .into_iter()
            .map(|facts| member(label(&facts.row.connection_id), facts))
            .collect(),
        seen: detail
            .seen
            .into_iter()
            .map(|seen| SeenIn {
                connection: label(&seen.connection_id),
                seen,
            })
            .collect(),
        aliases: detail.aliases,
        users: detail
            .users
            .into_iter()
            .map(|row| User {
                connection: label(&row.connection_id),
                row,
            })
            .collect(),
        grants: detail.grants,
        gaps: detail.gaps,
        apps: detail.apps,
        detections: app.store.detection_list(&detections).await?,
        messages: app.store.message_list(None, Some(&id), None, PART_ROWS).await?,
        signals: app.store.signal_list(None, Some(&id), None, PART_ROWS).await?,
        events: events.events,
        unread: events.unread,
        last_seen: detail.last_seen_at,
        may_change: visitor.may(Permission::AccessWrite),
        may_reset: visitor.may(Permission::RiskWrite) && person.risk_level != RiskLevel::Unscored,
        person,
    })
}

fn member(connection: String, facts: MemberFacts) -> Member {
    Member {
        connection,
        row: facts.row,
        sign_in: facts.sign_in,
        roles: facts.roles,
        policies: facts.policies,
        user_groups: facts.user_groups,
    }
}

/// Resets the risk level of a person, with a reason.
pub(super) async fn reset_risk(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
    Form(form): Form<Reset>,
) -> Result<Redirect, PageError> {
    let person = found(&app, &id).await?;
    risk::reset(&app, &person.id, &form.reason, visitor.actor())
        .await
        .map_err(|error| match error {
            RiskError::NoPerson => PageError::NotFound("person"),
            RiskError::Store(error) => error.into(),
            error @ RiskError::NoReason => PageError::Asked(error.to_string()),
        })?;
    Ok(Redirect::to(&format!(
        "/people/{}",
        path_part(person.id.as_str())
    )))
}
