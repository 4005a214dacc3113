//! Buckets that Logpush writes to, read as a source of logs.
//!
//! Unlike the command line, a caller names no folder of this machine and borrows no keys of its environment: both
//! would let whoever may connect accounts read what the server can.

use super::log_sources::{LogSourceBody, found, refusal};
use crate::auth::Caller;
use crate::error::{ApiError, FieldProblem, Problems};
use crate::extract::{Json, Path, Query};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::NaiveDate;
use hub::App;
use hub::bucket::{BucketError, BucketKeys};
use hub::source::objects::{self, BucketRequest, ObjectsError};
use serde::{Deserialize, Serialize};
use store::ConnectionRow;
use utoipa::{IntoParams, ToSchema};

/// The bucket location of a dataset.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketPutBody {
    /// `s3://bucket/path/{DATE}` or `r2://bucket/path/{DATE}`; without `{DATE}`, every read lists the whole prefix.
    #[schema(example = "s3://my-logs/zt/dns/{DATE}")]
    place: String,
    /// Endpoint of the storage service, if it is neither Amazon S3 nor the account's own R2.
    endpoint: Option<String>,
    /// Access key ID of the bucket. Key ID and secret can be omitted if location and endpoint do not change.
    access_key_id: Option<String>,
    /// Secret access key. Stored encrypted and never returned.
    secret_key: Option<String>,
}

/// The days to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BucketReadQuery {
    /// Also read older folders, starting with this day (YYYY-MM-DD).
    since: Option<NaiveDate>,
}

/// An object that could not be ingested.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetAsideBody {
    /// Location of the object.
    pub location: String,
    /// Why it was skipped.
    pub problem: String,
}

/// Result of reading a bucket.
#[derive(Debug, Serialize, ToSchema)]
pub struct BucketReadBody {
    /// Number of listed objects.
    pub listed: usize,
    /// Number of new objects that were ingested.
    pub read: usize,
    /// Objects that could not be ingested and were skipped.
    pub set_aside: Vec<SetAsideBody>,
}

impl BucketReadBody {
    /// The body of a read.
    pub fn new(report: objects::Report) -> Self {
        let set_aside = |(location, problem)| SetAsideBody { location, problem };
        Self {
            listed: report.listed,
            read: report.read,
            set_aside: report.set_aside.into_iter().map(set_aside).collect(),
        }
    }
}

/// Sets the bucket that a dataset is read from. Flareward reads its objects in the background, starting with the next
/// scheduled read.
#[utoipa::path(put, path = "/log-sources/{connection}/{dataset}/bucket", tag = "log sources",
    operation_id = "bucket_put", request_body = BucketPutBody,
    params(("connection" = String, Path, description = "Connection ID or label"),
        ("dataset" = String, Path, description = "The dataset")),
    responses((status = 200, description = "The source", body = LogSourceBody), Problems))]
pub async fn put(
    caller: Caller,
    State(app): State<App>,
    Path((name, dataset)): Path<(String, String)>,
    Json(body): Json<BucketPutBody>,
) -> Result<Json<LogSourceBody>, ApiError> {
    let connection = found(&app, &name).await?;
    if body.place.trim_start().to_lowercase().starts_with("file:") {
        return Err(ApiError::invalid(
            "/place",
            "a local folder can be set only with `flareward logs objects`",
        ));
    }
    let keys = match (body.access_key_id, body.secret_key) {
        (Some(id), Some(secret)) => Some(BucketKeys {
            id,
            secret: secret.into(),
        }),
        (None, None)
            if is_known(&app, &connection, &dataset, &body.place, body.endpoint.as_deref()).await? =>
        {
            None
        }
        (id, secret) => {
            let missing = [("/access_key_id", id), ("/secret_key", secret)];
            let missing = missing.into_iter().filter(|(_, given)| given.is_none());
            let problem =
                |(pointer, _)| FieldProblem::new(pointer, "is required for a new location, endpoint or key");
            return Err(ApiError::Invalid(missing.map(problem).collect()));
        }
    };
    let request = BucketRequest {
        place: body.place,
        endpoint: body.endpoint,
        keys,
    };
    objects::configure(&app, &connection, &dataset, &request, &caller.actor)
        .await
        .map_err(refused)?;
    let rows = hub::source::status(&app, Some(&connection.id)).await?;
    let row = rows
        .into_iter()
        .find(|row| row.dataset == dataset && row.source == "object");
    Ok(Json(LogSourceBody::new(
        row.ok_or(ApiError::NotFound("log source"))?,
    )))
}

/// Reads new objects from a dataset's bucket: those of yesterday and today, and of every day since the last
/// successful read.
///
/// If the read takes longer than the request timeout, it continues in the background; the log source shows the
/// result.
#[utoipa::path(post, path = "/log-sources/{connection}/{dataset}/bucket/read", tag = "log sources",
    operation_id = "bucket_read",
    params(("connection" = String, Path, description = "Connection ID or label"),
        ("dataset" = String, Path, description = "The dataset"), BucketReadQuery),
    responses((status = 200, description = "Result of the read", body = BucketReadBody), Problems))]
pub async fn read(
    caller: Caller,
    State(app): State<App>,
    Path((name, dataset)): Path<(String, String)>,
    Query(query): Query<BucketReadQuery>,
) -> Result<Json<BucketReadBody>, ApiError> {
    let connection = found(&app, &name).await?;
    let target = format!("{}/{dataset}", connection.label);
    let detail = serde_json::json!({ "since": query.since });
    hub::audit::record(
        &app,
        &caller.actor,
        model::AuditAction::LogsObjectsRead,
        &target,
        model::AuditOutcome::Asked,
        detail,
    )
    .await?;
    let report = objects::read(&app, &connection, &dataset, query.since, &|_| {})
        .await
        .map_err(refused)?;
    Ok(Json(BucketReadBody::new(report)))
}

/// Stops reading the bucket of a dataset and forgets which objects were read. Does not change the bucket.
#[utoipa::path(delete, path = "/log-sources/{connection}/{dataset}/bucket", tag = "log sources",
    operation_id = "bucket_forget",
    params(("connection" = String, Path, description = "Connection ID or label"),
        ("dataset" = String, Path, description = "The dataset")),
    responses((status = 204, description = "Removed; the bucket is unchanged"), Problems))]
pub async fn forget(
    caller: Caller,
    State(app): State<App>,
    Path((name, dataset)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let connection = found(&app, &name).await?;
    if !objects::forget(&app, &connection, &dataset, &caller.actor).await? {
        return Err(ApiError::NotFound("log source"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the dataset is already read from this location, with any credentials.
async fn is_known(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    place: &str,
    endpoint: Option<&str>,
) -> Result<bool, ApiError> {
    let row = app
        .store
        .log_source_get(&connection.id, dataset, "object")
        .await?;
    Ok(row.is_some_and(|row| row.place.as_deref() == Some(place) && row.endpoint.as_deref() == endpoint))
}

fn refused(error: ObjectsError) -> ApiError {
    let words = hub::causes(&error);
    match error {
        ObjectsError::Source(hub::source::SourceError::Dataset(_)) => ApiError::NotFound("dataset"),
        ObjectsError::Source(error) => refusal(error),
        ObjectsError::Bucket(BucketError::Egress(_)) => ApiError::invalid("/endpoint", words),
        ObjectsError::Bucket(_) => ApiError::invalid("/place", words),
        ObjectsError::Read { .. } => ApiError::Upstream(words),
        ObjectsError::Ingest { .. } => ApiError::Unavailable {
            detail: words,
            retry_after_seconds: 60,
        },
        ObjectsError::Store(error) => error.into(),
    }
}
