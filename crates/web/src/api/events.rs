//! Events: the records of the logs.

use super::connections::id_in_query;
use super::document;
use super::people;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::connection::{self, Labels};
use hub::event::{self, Event, EventFilter};
use model::EventId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A normalised log record.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBody {
    /// Flareward's ID. The same record delivered twice has the same ID.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Dataset.
    pub dataset: String,
    /// Time of the event.
    pub at: DateTime<Utc>,
    /// ID of the person.
    pub person_id: Option<String>,
    /// Email address or name in the record, in lower case.
    pub identifier: Option<String>,
    /// Action or decision.
    pub action: Option<String>,
    /// Target.
    pub target: Option<String>,
    /// Source IP address.
    pub source_ip: Option<String>,
    /// Source country.
    pub country: Option<String>,
    /// ID of the batch that first contained the record.
    pub batch_id: String,
    /// The raw record without secrets. Only included with `raw=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Value>,
}

impl EventBody {
    /// Creates the response body.
    pub fn new(row: Event, labels: &Labels) -> Self {
        Self {
            id: row.id.0,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            dataset: row.dataset,
            at: row.at,
            person_id: row.person_id,
            identifier: row.identifier,
            action: row.action,
            target: row.target,
            source_ip: row.source_ip,
            country: row.country,
            batch_id: row.batch_id,
            raw: None,
        }
    }

    /// The same with the raw record.
    pub fn with_record(row: Event, labels: &Labels) -> Self {
        let raw = Some(record(&row));
        Self {
            raw,
            ..Self::new(row, labels)
        }
    }
}

/// An event with its raw record.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventDetailBody {
    /// The event.
    pub event: EventBody,
    /// The raw record.
    pub raw: Value,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventPageBody {
    /// The events.
    pub items: Vec<EventBody>,
    /// Value of `cursor` for the next page; null on the last page. A page with fewer events than `limit` can have a next
    /// page: see `searched_until`.
    pub next_cursor: Option<String>,
    /// Set if the search stopped because it had read as many records as one request may: events before this time were
    /// not searched. The next page continues there.
    pub searched_until: Option<DateTime<Utc>>,
    /// Parts of the archive that could not be read, with the reason. Their events are missing on this page.
    pub unread: Vec<String>,
}

/// Filters for events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only for this dataset, for example `gateway_dns`.
    dataset: Option<String>,
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Only for the person with this email address or ID.
    person: Option<String>,
    /// Include the raw records.
    #[serde(default)]
    raw: bool,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Only events at or after this time.
    since: Option<DateTime<Utc>>,
    /// Only events before this time.
    until: Option<DateTime<Utc>>,
}

/// The time of an event, if it is known.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventAtQuery {
    /// Time of the event, as `at` in a list: with it, the event is found faster.
    at: Option<DateTime<Utc>>,
}

/// Lists events, newest first.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "event_list",
    params(EventsQuery),
    responses((status = 200, description = "A page of events", body = EventPageBody), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<EventPageBody>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let filter = EventFilter {
        person_id: people::id_in_query(&app, query.person.as_deref()).await?,
        dataset: query.dataset,
        connection_id: id_in_query(&app, query.connection.as_deref()).await?,
        before: paging::read_time(query.cursor.as_deref())?,
        since: query.since,
        until: query.until,
        limit,
        ..EventFilter::default()
    };
    let page = event::find(&app, &filter).await?;
    let labels = connection::labels(&app).await?;
    let body = |row| {
        if query.raw {
            EventBody::with_record(row, &labels)
        } else {
            EventBody::new(row, &labels)
        }
    };
    Ok(Json(EventPageBody {
        next_cursor: page.next.map(|next| paging::time_cursor(next.at, &next.id)),
        searched_until: page.searched_until,
        unread: page.unread,
        items: page.events.into_iter().map(body).collect(),
    }))
}

/// Returns one event with its raw record.
#[utoipa::path(get, path = "/events/{event}", tag = "events", operation_id = "event_get",
    params(("event" = String, Path, description = "ID"), EventAtQuery),
    responses((status = 200, description = "The event", body = EventDetailBody), Problems))]
pub async fn get_one(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<EventAtQuery>,
) -> Result<Json<EventDetailBody>, ApiError> {
    let row = event::get(&app, &EventId(id), query.at)
        .await?
        .ok_or(ApiError::NotFound("event"))?;
    let raw = record(&row);
    let labels = connection::labels(&app).await?;
    Ok(Json(EventDetailBody {
        event: EventBody::new(row, &labels),
        raw,
    }))
}

/// The record as it was received, without secrets; text that is not JSON stays text.
fn record(row: &Event) -> Value {
    hub::redact::redacted(document(&row.raw))
}
