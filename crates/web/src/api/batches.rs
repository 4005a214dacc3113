//! What was received: batches, lines that could not become events, identifiers that belong to nobody.

use super::connections::id_in_query;
use crate::auth::CanRead;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use model::BatchState;
use serde::{Deserialize, Serialize};
use store::{BatchCounts, BatchRow, RejectRow, RejectSample, UnmappedRow};
use utoipa::{IntoParams, ToSchema};

/// One delivery of log records.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchBody {
    /// Digest of connection, dataset and content.
    pub id: String,
    /// From which account.
    pub connection_id: String,
    /// Of which dataset.
    pub dataset: String,
    /// `logpush`, `pull`, `object` or `file`.
    pub source: String,
    /// Where it lies in the archive.
    pub path: String,
    /// Its size, uncompressed.
    pub bytes: i64,
    /// When it was first delivered.
    pub received_at: DateTime<Utc>,
    /// How often the same content was delivered.
    pub deliveries: i64,
    /// `archived`, `stored`, `detected` or `failed`.
    pub state: &'static str,
    /// Why it cannot be processed.
    pub problem: Option<String>,
    /// Lines that are not blank.
    pub records: i64,
    /// Records that became events.
    pub accepted: i64,
    /// Records that were events already.
    pub duplicates: i64,
    /// Lines that could not be understood.
    pub rejected: i64,
    /// Records that became events although something in them was damaged.
    pub repaired: i64,
}

impl BatchBody {
    fn new(row: BatchRow) -> Self {
        Self {
            id: row.id,
            connection_id: row.connection_id.0,
            dataset: row.dataset,
            source: row.source,
            path: row.path,
            bytes: row.bytes,
            received_at: row.received_at,
            deliveries: row.deliveries,
            state: row.state.as_str(),
            problem: row.problem,
            records: row.records,
            accepted: row.accepted,
            duplicates: row.duplicates,
            rejected: row.rejected,
            repaired: row.repaired,
        }
    }
}

/// Sums over all batches.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestCountsBody {
    /// Batches of different content.
    pub batches: i64,
    /// Deliveries, also of the same content again.
    pub deliveries: i64,
    /// Lines that are not blank.
    pub records: i64,
    /// Records that became events.
    pub accepted: i64,
    /// Records that were events already.
    pub duplicates: i64,
    /// Lines that could not be understood.
    pub rejected: i64,
    /// Records that became events although something in them was damaged.
    pub repaired: i64,
    /// Batches that are not processed to their end.
    pub pending: i64,
    /// Batches that cannot be processed.
    pub failed: i64,
}

/// Lines of a batch that could not become events for one reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectBody {
    /// In which batch.
    pub batch_id: String,
    /// From which account.
    pub connection_id: String,
    /// Of which dataset.
    pub dataset: String,
    /// What is wrong with them.
    pub reason: String,
    /// How many lines.
    pub count: i64,
    /// The first of them, from 1; 0 where the reason is about the whole batch.
    pub first_line: i64,
    /// The first few of them; those that name a person whose records were purged are left out.
    pub samples: Vec<RejectSampleBody>,
    /// When they were looked at.
    pub rejected_at: DateTime<Utc>,
}

/// One rejected line.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectSampleBody {
    /// Which line, from 1.
    pub line: i64,
    /// What the reason means for it: which column, which value. May be empty.
    pub detail: String,
    /// Its beginning.
    pub excerpt: String,
}

impl RejectSampleBody {
    fn new(sample: RejectSample) -> Self {
        Self {
            line: sample.line,
            detail: sample.detail,
            excerpt: sample.excerpt,
        }
    }
}

impl RejectBody {
    fn new(row: RejectRow) -> Self {
        Self {
            batch_id: row.batch_id,
            connection_id: row.connection_id.0,
            dataset: row.dataset,
            reason: row.reason,
            count: row.count,
            first_line: row.first_line,
            samples: row.samples.into_iter().map(RejectSampleBody::new).collect(),
            rejected_at: row.rejected_at,
        }
    }
}

/// An identifier in events that belongs to no person.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnmappedBody {
    /// From which account.
    pub connection_id: String,
    /// The identifier.
    pub identifier: String,
    /// In events of which dataset.
    pub dataset: String,
    /// In how many.
    pub events: i64,
    /// When the first happened.
    pub first_at: DateTime<Utc>,
    /// When the last happened.
    pub last_at: DateTime<Utc>,
}

impl UnmappedBody {
    fn new(row: UnmappedRow) -> Self {
        Self {
            connection_id: row.connection_id.0,
            identifier: row.identifier,
            dataset: row.dataset,
            events: row.events,
            first_at: row.first_at,
            last_at: row.last_at,
        }
    }
}

/// Which batches.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchesQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
    /// Only in this state: `archived`, `stored`, `detected` or `failed`.
    #[param(value_type = Option<String>)]
    state: Option<BatchState>,
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
}

/// Of which connection, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfConnectionQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
}

/// Of which connection.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountsQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
}

/// The newest batches.
#[utoipa::path(get, path = "/batches", tag = "ingest", operation_id = "batch_list",
    security(("token" = ["read"])), params(BatchesQuery),
    responses((status = 200, description = "Newest first", body = Page<BatchBody>), Problems))]
pub async fn list(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<BatchesQuery>,
) -> Result<Json<Page<BatchBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app
        .store
        .batch_list(connection.as_ref(), query.state, limit)
        .await?;
    Ok(Json(Page::whole(rows, BatchBody::new)))
}

/// Sums over everything received.
#[utoipa::path(get, path = "/ingest/counts", tag = "ingest", operation_id = "ingest_counts",
    security(("token" = ["read"])), params(CountsQuery),
    responses((status = 200, description = "The sums", body = IngestCountsBody), Problems))]
pub async fn counts(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<CountsQuery>,
) -> Result<Json<IngestCountsBody>, ApiError> {
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let BatchCounts {
        batches,
        deliveries,
        records,
        accepted,
        duplicates,
        rejected,
        repaired,
        pending,
        failed,
    } = app.store.batch_counts(connection.as_ref()).await?;
    Ok(Json(IngestCountsBody {
        batches,
        deliveries,
        records,
        accepted,
        duplicates,
        rejected,
        repaired,
        pending,
        failed,
    }))
}

/// The newest lines that could not become events.
#[utoipa::path(get, path = "/rejects", tag = "ingest", operation_id = "reject_list",
    security(("token" = ["read"])), params(OfConnectionQuery),
    responses((status = 200, description = "Newest first", body = Page<RejectBody>), Problems))]
pub async fn rejects(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<OfConnectionQuery>,
) -> Result<Json<Page<RejectBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app.store.reject_list(connection.as_ref(), limit).await?;
    Ok(Json(Page::whole(rows, RejectBody::new)))
}

/// Identifiers in events that belong to nobody, the most frequent first.
#[utoipa::path(get, path = "/unmapped-identifiers", tag = "ingest", operation_id = "unmapped_list",
    security(("token" = ["read"])), params(OfConnectionQuery),
    responses((status = 200, description = "The most frequent first", body = Page<UnmappedBody>), Problems))]
pub async fn unmapped(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<OfConnectionQuery>,
) -> Result<Json<Page<UnmappedBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app.store.unmapped_list(connection.as_ref(), limit).await?;
    Ok(Json(Page::whole(rows, UnmappedBody::new)))
}
