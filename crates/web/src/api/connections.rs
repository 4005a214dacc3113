//! Connections to Cloudflare accounts.

use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hub::App;
use hub::app::ClientError;
use hub::connect::{self, ConnectError, ConnectRequest, Connected, Credential};
use hub::connection::{self, Labels};
use hub::sync::SyncError;
use hub::sync::request;
use model::ConnectionId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{ConnectionRow, ListingRow, ProbeRow, StoreError, SyncRunRow};
use utoipa::{IntoParams, ToSchema};

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionBody {
    /// Flareward's ID.
    pub id: String,
    /// Label.
    pub label: String,
    /// Cloudflare account ID.
    pub account_id: String,
    /// Account name in Cloudflare.
    pub account_name: String,
    /// Base URL of the API.
    pub base_url: String,
    /// `user_token`, `account_token` or `global_key`.
    pub credential_kind: &'static str,
    /// Fingerprint of the credential.
    pub credential_fingerprint: String,
    /// `new`, `validating`, `syncing`, `connected`, `degraded`, `paused` or `failed`.
    pub state: &'static str,
    /// Reason for the state.
    pub state_reason: Option<String>,
    /// When the connection was created.
    pub created_at: DateTime<Utc>,
    /// When the connection was last changed.
    pub updated_at: DateTime<Utc>,
    /// When the last sync completed successfully.
    pub synced_at: Option<DateTime<Utc>>,
    /// Tags.
    pub tags: Vec<String>,
}

impl ConnectionBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: ConnectionRow) -> Result<Self, StoreError> {
        Ok(Self {
            tags: connect::tags_of(&row)?,
            id: row.id.0,
            label: row.label,
            account_id: row.account_id,
            account_name: row.account_name,
            base_url: row.base_url,
            credential_kind: row.credential_kind.as_str(),
            credential_fingerprint: row.credential_fingerprint,
            state: row.state.as_str(),
            state_reason: row.state_reason,
            created_at: row.created_at,
            updated_at: row.updated_at,
            synced_at: row.synced_at,
        })
    }
}

/// Whether a connection's credential can use a feature.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProbeBody {
    /// The feature.
    pub feature: String,
    /// Whether the credential can use the feature.
    pub works: bool,
    /// The missing permission group.
    pub missing_permission: Option<String>,
    /// Response of Cloudflare.
    pub message: String,
    /// Time of the check.
    pub checked_at: DateTime<Utc>,
    /// Label of the connection, in output for several connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
}

impl ProbeBody {
    /// Creates the response body.
    pub fn new(row: ProbeRow) -> Self {
        Self {
            feature: row.feature,
            works: row.works,
            missing_permission: row.missing_permission,
            message: row.message,
            checked_at: row.checked_at,
            connection: None,
        }
    }

    /// The same with the connection's label.
    pub fn of(row: ProbeRow, connection: &ConnectionRow) -> Self {
        Self {
            connection: Some(connection.label.clone()),
            ..Self::new(row)
        }
    }
}

/// Freshness of one listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListingBody {
    /// `members`, `roles`, `access_users`, `access_groups`, `apps`, …
    pub kind: String,
    /// When the listing was last fully read.
    pub complete_at: Option<DateTime<Utc>>,
    /// Why the data may be outdated; null if it is current.
    pub stale_reason: Option<String>,
}

impl ListingBody {
    fn new(row: ListingRow) -> Self {
        Self {
            kind: row.kind.to_string(),
            complete_at: row.complete_at,
            stale_reason: row.stale_reason,
        }
    }
}

/// One run of a sync.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncRunBody {
    /// Flareward's ID.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// When the sync started.
    pub started_at: DateTime<Utc>,
    /// When the sync ended; null while it is running.
    pub finished_at: Option<DateTime<Utc>>,
    /// `running`, `complete`, `partial`, `failed`, `paused`, `interrupted` or `cancelled`.
    pub outcome: String,
    /// Actor who cancelled the sync.
    pub cancelled_by: Option<String>,
    /// Error.
    pub problem: Option<String>,
    /// Number of requests to Cloudflare.
    pub requests: i64,
    /// Number of attempts: more than one if the sync was interrupted and resumed.
    pub attempts: i64,
    /// Number of objects seen and gone, by kind.
    pub counts: Value,
}

impl SyncRunBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: SyncRunRow, labels: &Labels) -> Result<Self, StoreError> {
        Ok(Self {
            counts: row.counts_json()?,
            id: row.id,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            started_at: row.started_at,
            finished_at: row.finished_at,
            outcome: row.outcome.to_string(),
            problem: row.problem,
            requests: row.requests,
            attempts: row.attempts,
            cancelled_by: row.cancelled_by,
        })
    }
}

/// An account to connect: with `token`, or with `email` and `api_key`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectBody {
    /// Label of the connection. Connecting again with an existing label replaces the credential and keeps everything
    /// else.
    #[schema(example = "production")]
    label: String,
    /// Account ID or name; optional if the credential can access exactly one account.
    account: Option<String>,
    /// An API token.
    token: Option<String>,
    /// Email address of the global API key.
    email: Option<String>,
    /// A global API key.
    api_key: Option<String>,
    /// Base URL of the API. Default: Cloudflare's.
    base_url: Option<String>,
}

/// A created connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectedBody {
    /// The connection.
    pub connection: ConnectionBody,
    /// Features that the credential can use.
    pub probes: Vec<ProbeBody>,
    /// Secret that log deliveries must send in the `X-Flareward-Secret` header.
    pub ingest_secret: String,
    /// URL for log deliveries; replace `{dataset}` with the dataset name.
    pub ingest_url: String,
}

impl ConnectedBody {
    /// The body of a new connection.
    ///
    /// # Errors
    ///
    /// When the stored tags are damaged.
    pub fn new(app: &App, connected: Connected) -> Result<Self, StoreError> {
        Ok(Self {
            ingest_url: format!(
                "{}/ingest/{}/{{dataset}}",
                app.public_url(),
                connected.connection.label
            ),
            connection: ConnectionBody::new(connected.connection)?,
            probes: connected.probes.into_iter().map(ProbeBody::new).collect(),
            ingest_secret: connected.ingest_secret.expose_secret().to_owned(),
        })
    }
}

/// Sync options.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SyncQuery {
    /// Accept lists that shrank so much that the connection was paused.
    #[serde(default)]
    confirm: bool,
}

/// A requested sync.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncStartedBody {
    /// Path of the connection's sync runs.
    pub sync_runs: String,
}

/// Limit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LimitQuery {
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
}

/// Finds the ID of a connection by the ID or label in a query.
///
/// # Errors
///
/// [`ApiError::BadRequest`] if there is no such connection.
pub(crate) async fn id_in_query(app: &App, name: Option<&str>) -> Result<Option<ConnectionId>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    connection::find(app, name)
        .await?
        .map(|row| Some(row.id))
        .ok_or_else(|| ApiError::bad("connection", format!("no connection named \"{name}\"")))
}

pub(super) async fn found(app: &App, name: &str) -> Result<ConnectionRow, ApiError> {
    connection::find(app, name)
        .await?
        .ok_or(ApiError::NotFound("connection"))
}

/// Lists all connections by label.
#[utoipa::path(get, path = "/connections", tag = "connections", operation_id = "connection_list",
    responses((status = 200, description = "The connections", body = Page<ConnectionBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<ConnectionBody>>, ApiError> {
    let rows = app.store.connection_list().await?;
    Ok(Json(Page::read_whole(rows, ConnectionBody::new)?))
}

/// Connects an account: checks the credential, stores it encrypted and checks which features it can use.
#[utoipa::path(post, path = "/connections", tag = "connections", operation_id = "connection_create",
    request_body = ConnectBody,
    responses((status = 201, description = "Connected; the response contains the log secret", body = ConnectedBody),
        Problems))]
pub async fn create(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<ConnectBody>,
) -> Result<Response, ApiError> {
    let credential = match (&body.token, &body.email, &body.api_key) {
        (Some(token), None, None) => Credential::token(token),
        (None, Some(email), Some(key)) => Credential::global_key(email, key),
        _ => {
            return Err(ApiError::invalid(
                "/token",
                "token, or email and api_key, is required",
            ));
        }
    };
    let request = ConnectRequest {
        label: body.label,
        account: body.account,
        credential,
        base_url: body.base_url,
    };
    let connected = connect::connect(&app, &request, &caller.actor)
        .await
        .map_err(connect_refusal)?;
    let at = format!("{}/connections/{}", super::BASE, connected.connection.id);
    let answer = ConnectedBody::new(&app, connected)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, at)], Json(answer)).into_response())
}

/// Returns one connection.
#[utoipa::path(get, path = "/connections/{connection}", tag = "connections", operation_id = "connection_get",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "The connection", body = ConnectionBody), Problems))]
pub async fn get_one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ConnectionBody>, ApiError> {
    Ok(Json(ConnectionBody::new(found(&app, &name).await?)?))
}

/// Checks again which features a connection's credential can use.
#[utoipa::path(post, path = "/connections/{connection}/doctor", tag = "connections",
    operation_id = "connection_doctor",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "The features", body = Page<ProbeBody>), Problems))]
pub async fn doctor(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<ProbeBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    let rows = connect::check(&app, &connection, &caller.actor)
        .await
        .map_err(connect_refusal)?;
    Ok(Json(Page::whole(rows, ProbeBody::new)))
}

/// Returns the features that a connection's credential could use at the last check.
#[utoipa::path(get, path = "/connections/{connection}/probes", tag = "connections",
    operation_id = "connection_probes",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "The features", body = Page<ProbeBody>), Problems))]
pub async fn probes(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<ProbeBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    let rows = app.store.probe_list(&connection.id).await?;
    Ok(Json(Page::whole(rows, ProbeBody::new)))
}

/// Returns how current the data of an account is.
#[utoipa::path(get, path = "/connections/{connection}/listings", tag = "connections",
    operation_id = "connection_listings",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "The listings", body = Page<ListingBody>), Problems))]
pub async fn listings(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<ListingBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    let rows = app.store.listing_list(&connection.id).await?;
    Ok(Json(Page::whole(rows, ListingBody::new)))
}

/// Requests a sync and returns immediately. The server runs the sync; its sync run shows the progress. If a sync of the
/// connection is already running, another one starts only if the running one fails or is stopped.
#[utoipa::path(post, path = "/connections/{connection}/sync", tag = "connections",
    operation_id = "connection_sync",
    params(("connection" = String, Path, description = "Connection ID or label"), SyncQuery),
    responses((status = 202, description = "Requested", body = SyncStartedBody), Problems))]
pub async fn sync(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<SyncQuery>,
) -> Result<Response, ApiError> {
    let connection = found(&app, &name).await?;
    request::ask(&app, &connection, query.confirm, &caller.actor)
        .await
        .map_err(|error| match error {
            SyncError::Paused { reason, .. } => ApiError::Conflict(format!(
                "the connection is paused: {reason}; check the account, then repeat the request with confirm=true"
            )),
            SyncError::Store(error) => error.into(),
            error => ApiError::internal(&error),
        })?;
    let at = format!("{}/connections/{}/sync-runs", super::BASE, connection.id);
    let body = SyncStartedBody {
        sync_runs: at.clone(),
    };
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, at)], Json(body)).into_response())
}

/// Lists the newest sync runs of a connection.
#[utoipa::path(get, path = "/connections/{connection}/sync-runs", tag = "connections",
    operation_id = "connection_sync_runs",
    params(("connection" = String, Path, description = "Connection ID or label"), LimitQuery),
    responses((status = 200, description = "Newest first", body = Page<SyncRunBody>), Problems))]
pub async fn sync_runs(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<LimitQuery>,
) -> Result<Json<Page<SyncRunBody>>, ApiError> {
    let connection = found(&app, &name).await?;
    let limit = paging::limit(query.limit)?;
    let rows = app.store.sync_run_list(Some(&connection.id), limit).await?;
    let labels = connection::labels(&app).await?;
    Ok(Json(Page::read_whole(rows, |row| {
        SyncRunBody::new(row, &labels)
    })?))
}

fn connect_refusal(error: ConnectError) -> ApiError {
    let words = hub::causes(&error);
    match error {
        ConnectError::Label(_) | ConnectError::OtherAccount { .. } => ApiError::invalid("/label", words),
        ConnectError::AccountNeeded(_)
        | ConnectError::AccountUnknown(_)
        | ConnectError::AccountAmbiguous { .. } => ApiError::invalid("/account", words),
        ConnectError::Credential(_) | ConnectError::NotActive(_) => ApiError::invalid("/token", words),
        ConnectError::Client(ClientError::Egress { .. } | ClientError::Cloudflare(_)) => {
            ApiError::invalid("/base_url", words)
        }
        ConnectError::Cloudflare(_) => ApiError::Upstream(words),
        ConnectError::Store(error) => error.into(),
        error @ (ConnectError::Client(_) | ConnectError::Secret(_)) => ApiError::internal(&error),
    }
}
