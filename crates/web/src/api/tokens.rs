//! Tokens for the API. A token is shown once, when it is made.

use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use crate::paging::Page;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use hub::permission::{self, TokenError};
use hub::{App, Permission};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::{AccessTokenRow, StoreError};
use utoipa::ToSchema;

/// A token, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenBody {
    /// Flareward's ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// The token's last four characters.
    pub fingerprint: String,
    /// Permissions.
    pub permissions: Vec<&'static str>,
    /// When the token was created.
    pub created_at: DateTime<Utc>,
    /// Time of last use, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When the token was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When the token expires; null if it never expires.
    pub expires_at: Option<DateTime<Utc>>,
}

impl TokenBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: AccessTokenRow) -> Result<Self, StoreError> {
        Ok(Self {
            permissions: permission::permissions_of(&row)?
                .into_iter()
                .map(Permission::as_str)
                .collect(),
            id: row.id,
            name: row.name,
            fingerprint: row.fingerprint,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            expires_at: row.expires_at,
        })
    }
}

/// A token to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenBody {
    /// Name of the token in the audit log.
    name: String,
    /// Permissions.
    #[schema(value_type = Vec<String>, example = json!(["read"]))]
    permissions: Vec<Permission>,
    /// Expire after this many minutes, at most ten years. Default: never.
    expires_in_minutes: Option<i64>,
}

/// A created token.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeTokenBody {
    /// The token value. It is not stored and cannot be shown again.
    pub value: String,
    /// The stored data of the token.
    pub token: TokenBody,
}

impl MadeTokenBody {
    /// The body of a new token.
    ///
    /// # Errors
    ///
    /// When the stored permissions are damaged.
    pub fn new(row: AccessTokenRow, token: &SecretString) -> Result<Self, StoreError> {
        Ok(Self {
            value: token.expose_secret().to_owned(),
            token: TokenBody::new(row)?,
        })
    }
}

/// Lists all tokens, including revoked ones, oldest first.
#[utoipa::path(get, path = "/tokens", tag = "tokens", operation_id = "token_list",
    responses((status = 200, description = "The tokens", body = Page<TokenBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<TokenBody>>, ApiError> {
    let rows = app.store.access_token_list().await?;
    Ok(Json(Page::read_whole(rows, TokenBody::new)?))
}

/// Creates a token and returns its value. The value cannot be retrieved later. Callers can grant only permissions that
/// they have.
#[utoipa::path(post, path = "/tokens", tag = "tokens", operation_id = "token_create",
    request_body = NewTokenBody,
    responses((status = 201, description = "Created", body = MadeTokenBody), Problems))]
pub async fn create(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<NewTokenBody>,
) -> Result<Response, ApiError> {
    let lasts = body
        .expires_in_minutes
        .map(|minutes| TimeDelta::try_minutes(minutes).ok_or_else(|| refusal(TokenError::Expiry)))
        .transpose()?;
    let (name, permissions) = (&body.name, &body.permissions);
    let (row, token) =
        permission::token_issue(&app, name, permissions, lasts, &caller.actor, &caller.permissions)
            .await
            .map_err(refusal)?;
    let made = MadeTokenBody::new(row, &token)?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Revokes a token. Sessions opened with it end.
#[utoipa::path(delete, path = "/tokens/{token}", tag = "tokens", operation_id = "token_revoke",
    params(("token" = String, Path, description = "ID")),
    responses((status = 204, description = "Revoked"), Problems))]
pub async fn revoke(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    permission::token_revoke(&app, &id, &caller.actor)
        .await
        .map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

fn refusal(error: TokenError) -> ApiError {
    match error {
        TokenError::NotFound => ApiError::NotFound("token"),
        TokenError::Name | TokenError::Exists(_) => ApiError::invalid("/name", error.to_string()),
        TokenError::Expiry => ApiError::invalid("/expires_in_minutes", error.to_string()),
        TokenError::Permissions | TokenError::Exceeds(_) => {
            ApiError::invalid("/permissions", error.to_string())
        }
        TokenError::LastAdmin => ApiError::Conflict(error.to_string()),
        TokenError::Store(error) => error.into(),
        error @ TokenError::Secret(_) => ApiError::internal(&error),
    }
}
