//! Events, and what could not become one or belongs to nobody.

use super::page::{Frame, PAGE_ROWS, Page, PageError, Section, cursor_read, cursor_text};
use super::people::found;
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};
use hub::App;
use hub::connection::labels;
use hub::event::{self, Event, EventFilter};
use model::{ConnectionId, EventId, PersonId};
use rules::dataset::DATASETS;
use serde::Deserialize;
use std::collections::HashMap;
use store::{PersonRow, RejectRow, UnmappedRow};

/// Rejects and unmapped identifiers shown.
const LATEST_ROWS: i64 = 200;

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    dataset: String,
    datasets: Vec<&'static str>,
    asked_person: String,
    person: Option<PersonRow>,
    rows: Vec<Event>,
    searched_until: Option<DateTime<Utc>>,
    unread: Vec<String>,
    first: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    event: Event,
    connection: String,
    person: Option<PersonRow>,
}

#[derive(Template)]
#[template(path = "rejects.html")]
struct RejectsPage {
    frame: Frame,
    rows: Vec<RejectRow>,
    labels: HashMap<ConnectionId, String>,
}

#[derive(Template)]
#[template(path = "unmapped.html")]
struct UnmappedPage {
    frame: Frame,
    rows: Vec<UnmappedRow>,
    labels: HashMap<ConnectionId, String>,
}

/// Filters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    dataset: String,
    person: String,
    before: String,
}

/// Events, newest first.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let whose = asked.person.trim();
    // An address, as people type it, or an id, as links carry it.
    let person = match whose {
        "" => None,
        whose => Some(found(&app, whose).await?),
    };
    let filter = EventFilter {
        person_id: person.as_ref().map(|person| person.id.clone()),
        dataset: Some(asked.dataset.clone()).filter(|dataset| !dataset.is_empty()),
        before: cursor_read(Some(&asked.before))?,
        limit: PAGE_ROWS,
        ..EventFilter::default()
    };
    let found = event::find(&app, &filter).await?;
    let kept = [("dataset", asked.dataset.as_str()), ("person", whose)];
    let next = found.next.map(|next| {
        let before = cursor_text(&next.at, &next.id);
        page::link("/events", &[kept[0], kept[1], ("before", before.as_str())])
    });
    let first = page::first(&asked.before, "/events", &kept);
    page::rendered(&EventsPage {
        frame: visitor.frame("Events", Section::Events),
        asked_person: person
            .as_ref()
            .map_or_else(|| whose.to_owned(), |person| person.email.clone()),
        datasets: DATASETS.iter().map(|dataset| dataset.name).collect(),
        dataset: asked.dataset,
        person,
        rows: found.events,
        searched_until: found.searched_until,
        unread: found.unread,
        first,
        next,
    })
}

/// The time of an event, which links from lists carry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct At {
    at: Option<DateTime<Utc>>,
}

/// One event.
pub(super) async fn show_event(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(at): Query<At>,
) -> Result<Page, PageError> {
    let event = event::get(&app, &EventId(id), at.at)
        .await?
        .ok_or(PageError::NotFound("event"))?;
    let person = match event.person_id.clone() {
        Some(id) => app.store.person_get(&PersonId(id)).await?,
        None => None,
    };
    let connection = labels(&app).await?.remove(&event.connection_id);
    page::rendered(&EventPage {
        frame: visitor.frame(
            format!("Event at {}", show::words(&event.dataset)),
            Section::Events,
        ),
        connection: connection.unwrap_or_default(),
        person,
        event,
    })
}

/// Lists rejected records.
pub(super) async fn rejects(visitor: Visitor, State(app): State<App>) -> Result<Page, PageError> {
    page::rendered(&RejectsPage {
        frame: visitor.frame("Rejected records", Section::Events),
        rows: app.store.reject_list(None, LATEST_ROWS).await?,
        labels: labels(&app).await?,
    })
}

/// Lists unmapped identifiers.
pub(super) async fn unmapped(visitor: Visitor, State(app): State<App>) -> Result<Page, PageError> {
    page::rendered(&UnmappedPage {
        frame: visitor.frame("Unmapped identifiers", Section::Events),
        rows: app.store.unmapped_list(None, LATEST_ROWS).await?,
        labels: labels(&app).await?,
    })
}
