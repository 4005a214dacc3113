//! One person: risk and why, accounts, what they hold and through which rule, what happened, what was sent.

use super::page::{Frame, Page, PageError, Section, link, path_part};
use super::people::labels;
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use hub::access::{AccessView, Grant, GrantFilter};
use hub::risk::RiskError;
use hub::{App, Permission, risk};
use model::{ConnectionId, GrantKind, PersonId, RiskLevel};
use serde::Deserialize;
use std::collections::HashMap;
use store::{
    AccessUserRow, DetectionFilter, DetectionRow, EventFilter, EventRow, MemberRow, MessageRow, PersonRow,
    RiskChangeRow, SignalRow,
};

/// Rows of each part of the page; links lead to the rest.
const PART_ROWS: i64 = 20;
/// Grants shown. Chosen: more is not readable, and the API gives them all.
const GRANT_ROWS: usize = 500;

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    person: PersonRow,
    changes: Vec<RiskChangeRow>,
    members: Vec<Member>,
    users: Vec<User>,
    grants: Vec<Grant>,
    detections: Vec<DetectionRow>,
    events: Vec<EventRow>,
    messages: Vec<MessageRow>,
    signals: Vec<SignalRow>,
    last_seen: Option<DateTime<Utc>>,
    may_reset: bool,
    may_change: bool,
}

impl PersonPage {
    /// Where a grant is explained rule by rule.
    fn why(&self, grant: &Grant) -> Option<String> {
        let name = match grant.kind {
            GrantKind::AccessGroup => "group",
            GrantKind::App => "app",
            GrantKind::Role => "role",
            GrantKind::PermissionGroup | GrantKind::UserGroup => return None,
        };
        let path = format!("/people/{}/why", path_part(self.person.id.as_str()));
        let asked = [
            ("connection", grant.connection.as_str()),
            (name, grant.entitlement_id.as_str()),
        ];
        Some(link(&path, &asked))
    }
}

struct Member {
    connection: String,
    row: MemberRow,
    roles: Vec<String>,
}

struct User {
    connection: String,
    row: AccessUserRow,
}

/// The form that resets a level.
#[derive(Debug, Deserialize)]
pub(super) struct Reset {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    reason: String,
}

/// The page.
pub(super) async fn show_person(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Page, PageError> {
    let id = PersonId(id);
    let person = app
        .store
        .person_get(&id)
        .await?
        .ok_or(PageError::NotFound("person"))?;
    let labels = labels(&app).await?;
    let label = |id: &ConnectionId| labels.get(id).cloned().unwrap_or_default();
    let members = app.store.member_by_person(&id).await?;
    let users = app.store.access_user_by_person(&id).await?;
    let grants = GrantFilter {
        person_id: Some(id.clone()),
        ..GrantFilter::default()
    };
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
    let events = app.store.event_list(&events).await?;
    let view = AccessView::current(&app).await?;
    let mut held = view.grant_page(&grants, GRANT_ROWS);
    let reached = GrantFilter {
        kind: Some(GrantKind::App),
        ..grants
    };
    held.extend(view.grant_page(&reached, GRANT_ROWS));
    let last_seen = users
        .iter()
        .filter_map(|user| user.last_login_at)
        .chain(events.iter().map(|event| event.at))
        .max();
    page::rendered(&PersonPage {
        frame: visitor.frame(
            person.name.clone().unwrap_or_else(|| person.email.clone()),
            Section::People,
        ),
        changes: app.store.risk_change_by_person(&id, PART_ROWS).await?,
        members: members
            .into_iter()
            .map(|row| member(label(&row.connection_id), row))
            .collect(),
        users: users
            .into_iter()
            .map(|row| User {
                connection: label(&row.connection_id),
                row,
            })
            .collect(),
        grants: held,
        detections: app.store.detection_list(&detections).await?,
        messages: app.store.message_list(None, Some(&id), None, PART_ROWS).await?,
        signals: app.store.signal_list(None, Some(&id), None, PART_ROWS).await?,
        events,
        last_seen,
        may_change: visitor.may(Permission::AccessWrite),
        may_reset: visitor.may(Permission::RiskWrite) && person.risk_level != RiskLevel::Unscored,
        person,
    })
}

fn member(connection: String, row: MemberRow) -> Member {
    let roles: Vec<HashMap<String, serde_json::Value>> = serde_json::from_str(&row.roles).unwrap_or_default();
    Member {
        connection,
        roles: roles
            .iter()
            .filter_map(|role| Some(role.get("name")?.as_str()?.to_owned()))
            .collect(),
        row,
    }
}

/// Takes a person's level back, with a reason.
pub(super) async fn reset_risk(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
    Form(form): Form<Reset>,
) -> Result<Redirect, PageError> {
    visitor.must(Permission::RiskWrite, &form.csrf)?;
    risk::reset(&app, &PersonId(id.clone()), &form.reason, visitor.actor())
        .await
        .map_err(|error| match error {
            RiskError::NoPerson => PageError::NotFound("person"),
            RiskError::Store(error) => error.into(),
            error @ RiskError::NoReason => PageError::Asked(error.to_string()),
        })?;
    Ok(Redirect::to(&format!("/people/{}", path_part(&id))))
}
