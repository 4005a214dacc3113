//! What was received: batches, lines that could not become events, identifiers that belong to nobody.

use super::connections::id_in_query;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::connection::{self, Labels};
use model::BatchState;
use serde::{Deserialize, Serialize};
use store::{BatchCounts, BatchRow, RejectRow, RejectSample, UnmappedRow};
use utoipa::{IntoParams, ToSchema};

/// One delivery of log records.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchBody {
    /// Batch ID: digest of connection, dataset and content.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Dataset.
    pub dataset: String,
    /// `logpush`, `pull`, `object` or `file`.
    pub source: String,
    /// Path in the archive.
    pub path: String,
    /// Uncompressed size in bytes.
    pub bytes: i64,
    /// Time of the first delivery.
    pub received_at: DateTime<Utc>,
    /// Number of deliveries of the same content.
    pub deliveries: i64,
    /// `archived`, `stored`, `detected` or `failed`.
    pub state: &'static str,
    /// Why the batch cannot be processed.
    pub problem: Option<String>,
    /// Number of non-blank lines.
    pub records: i64,
    /// Number of records stored as events.
    pub accepted: i64,
    /// Number of duplicate records.
    pub duplicates: i64,
    /// Number of rejected lines.
    pub rejected: i64,
    /// Number of damaged records that were repaired and stored as events.
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

/// Totals over all batches.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestCountsBody {
    /// Number of distinct batches.
    pub batches: i64,
    /// Number of deliveries, including repeated deliveries of the same content.
    pub deliveries: i64,
    /// Number of non-blank lines.
    pub records: i64,
    /// Number of records stored as events.
    pub accepted: i64,
    /// Number of duplicate records.
    pub duplicates: i64,
    /// Number of rejected lines.
    pub rejected: i64,
    /// Number of damaged records that were repaired and stored as events.
    pub repaired: i64,
    /// Number of batches that are not fully processed.
    pub pending: i64,
    /// Number of batches that cannot be processed.
    pub failed: i64,
}

/// Lines of a batch that were rejected for the same reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectBody {
    /// ID of the batch.
    pub batch_id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Dataset.
    pub dataset: String,
    /// Reason for the rejection.
    pub reason: String,
    /// Number of lines.
    pub count: i64,
    /// Number of the first such line, starting at 1; 0 if the reason concerns the whole batch.
    pub first_line: i64,
    /// Samples of the lines. Lines that name a person whose records were purged are omitted.
    pub samples: Vec<RejectSampleBody>,
    /// When the lines were rejected.
    pub rejected_at: DateTime<Utc>,
}

/// One rejected line.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectSampleBody {
    /// Line number, starting at 1.
    pub line: i64,
    /// Details of the reason, such as the column or value. May be empty.
    pub detail: String,
    /// Beginning of the line.
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
    /// Creates the response body.
    pub fn new(row: RejectRow, labels: &Labels) -> Self {
        Self {
            batch_id: row.batch_id,
            connection: labels.get(&row.connection_id).cloned(),
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

/// An identifier in events that matches no person.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnmappedBody {
    /// ID of the connection.
    pub connection_id: String,
    /// The identifier.
    pub identifier: String,
    /// Dataset of the events.
    pub dataset: String,
    /// Number of events.
    pub events: i64,
    /// Time of the first event.
    pub first_at: DateTime<Utc>,
    /// Time of the last event.
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

/// Filters for batches.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchesQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Only in this state: `archived`, `stored`, `detected` or `failed`.
    #[param(value_type = Option<String>)]
    state: Option<BatchState>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
}

/// Filters by connection, with a limit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfConnectionQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
}

/// ID of the connection.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountsQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
}

/// Lists the newest batches.
#[utoipa::path(get, path = "/batches", tag = "ingest", operation_id = "batch_list",
    params(BatchesQuery),
    responses((status = 200, description = "A list, newest first", body = Page<BatchBody>), Problems))]
pub async fn list(
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

/// Totals over all received batches.
#[utoipa::path(get, path = "/ingest/counts", tag = "ingest", operation_id = "ingest_counts",
    params(CountsQuery),
    responses((status = 200, description = "The totals", body = IngestCountsBody), Problems))]
pub async fn counts(
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

/// Lists the newest rejected lines.
#[utoipa::path(get, path = "/rejects", tag = "ingest", operation_id = "reject_list",
    params(OfConnectionQuery),
    responses((status = 200, description = "A list, newest first", body = Page<RejectBody>), Problems))]
pub async fn rejects(
    State(app): State<App>,
    Query(query): Query<OfConnectionQuery>,
) -> Result<Json<Page<RejectBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app.store.reject_list(connection.as_ref(), limit).await?;
    let labels = connection::labels(&app).await?;
    Ok(Json(Page::whole(rows, |row| RejectBody::new(row, &labels))))
}

/// Lists identifiers in events that match no person, most frequent first.
#[utoipa::path(get, path = "/unmapped-identifiers", tag = "ingest", operation_id = "unmapped_list",
    params(OfConnectionQuery),
    responses((status = 200, description = "A list, most frequent first", body = Page<UnmappedBody>), Problems))]
pub async fn unmapped(
    State(app): State<App>,
    Query(query): Query<OfConnectionQuery>,
) -> Result<Json<Page<UnmappedBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app.store.unmapped_list(connection.as_ref(), limit).await?;
    Ok(Json(Page::whole(rows, UnmappedBody::new)))
}
