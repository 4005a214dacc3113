//! The list of people.

use super::page::{Frame, PAGE_ROWS, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use hub::App;
use hub::connection::labels;
use model::{ConnectionId, PersonId, RiskLevel};
use serde::Deserialize;
use std::collections::BTreeSet;
use store::{PersonFilter, PersonRow, StoreError};

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    search: String,
    level: Option<RiskLevel>,
    levels: &'static [RiskLevel],
    rows: Vec<Row>,
    total: i64,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    person: PersonRow,
    connections: Vec<String>,
    last_seen: Option<DateTime<Utc>>,
}

/// Filters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    search: String,
    level: String,
    after: String,
}

/// People by address.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let search = asked.search.trim().to_owned();
    let level = page::word(&asked.level)?;
    let filter = PersonFilter {
        search: Some(search.clone()).filter(|search| !search.is_empty()),
        risk_level: level,
        after_email: Some(asked.after.clone()).filter(|after| !after.is_empty()),
        limit: PAGE_ROWS + 1,
    };
    let mut people = app.store.person_list(&filter).await?;
    let kept = [("search", search.as_str()), ("level", asked.level.as_str())];
    let next = page::cut(
        &mut people,
        "/people",
        &kept,
        ("after", |last: &PersonRow| last.email.clone()),
    );
    let first = page::first(&asked.after, "/people", &kept);
    page::rendered(&PeoplePage {
        frame: visitor.frame("People", Section::People),
        rows: rows(&app, people).await?,
        total: app.store.person_count().await?,
        search,
        level,
        levels: RiskLevel::ALL,
        first,
        next,
    })
}

async fn rows(app: &App, people: Vec<PersonRow>) -> Result<Vec<Row>, StoreError> {
    let labels = labels(app).await?;
    let mut rows = Vec::with_capacity(people.len());
    let ids: Vec<PersonId> = people.iter().map(|person| person.id.clone()).collect();
    let last_seen = hub::people::last_seen(app, &ids).await?;
    for person in people {
        let members = app.store.member_by_person(&person.id).await?;
        let users = app.store.access_user_by_person(&person.id).await?;
        let connections: BTreeSet<&ConnectionId> = members
            .iter()
            .map(|member| &member.connection_id)
            .chain(users.iter().map(|user| &user.connection_id))
            .collect();
        let connections = connections.into_iter().filter_map(|id| labels.get(id).cloned());
        rows.push(Row {
            connections: connections.collect(),
            last_seen: users
                .iter()
                .filter_map(|user| user.last_login_at)
                .chain(last_seen.get(&person.id).copied())
                .max(),
            person,
        });
    }
    Ok(rows)
}

/// Finds the person with this address or ID. An unknown person is an error page, never an empty list.
pub(super) async fn found(app: &App, wanted: &str) -> Result<PersonRow, PageError> {
    hub::people::one(app, wanted)
        .await?
        .ok_or(PageError::NotFound("person"))
}
