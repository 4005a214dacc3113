//! Tokens for the API. A token is shown once, when it is made.

use crate::auth::{AnyCaller, IsAdmin};
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use crate::paging::Page;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use hub::permission::{self, TokenError};
use hub::{App, Permission};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{AccessTokenRow, StoreError};
use utoipa::ToSchema;

/// A token, without itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenBody {
    /// Our id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The token's last four characters.
    pub fingerprint: String,
    /// What it may do.
    pub permissions: Vec<&'static str>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it ends by itself; null for a token without an end.
    pub expires_at: Option<DateTime<Utc>>,
}

impl TokenBody {
    pub(crate) fn new(row: AccessTokenRow) -> Result<Self, StoreError> {
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

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenBody {
    /// What people call it: it names the token in the audit log.
    name: String,
    /// What it may do.
    #[schema(value_type = Vec<String>, example = json!(["read"]))]
    permissions: Vec<Permission>,
    /// It ends after this many minutes, at most ten years; without it, the token has no end.
    expires_in_minutes: Option<i64>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeTokenBody {
    /// The token itself. It is not kept and cannot be shown again.
    pub value: String,
    /// What is kept of it.
    pub token: TokenBody,
}

/// All tokens, also those taken back, oldest first.
#[utoipa::path(get, path = "/tokens", tag = "tokens", operation_id = "token_list",
    security(("token" = ["admin"])),
    responses((status = 200, description = "The tokens", body = Page<TokenBody>), Problems))]
pub async fn list(_caller: IsAdmin, State(app): State<App>) -> Result<Json<Page<TokenBody>>, ApiError> {
    let rows = app.store.access_token_list().await?;
    Ok(Json(Page::read_whole(rows, TokenBody::new)?))
}

/// Makes a token and shows it, this once. It can be given only what its maker holds.
#[utoipa::path(post, path = "/tokens", tag = "tokens", operation_id = "token_create",
    security(("token" = ["admin"])), request_body = NewTokenBody,
    responses((status = 201, description = "Made", body = MadeTokenBody), Problems))]
pub async fn create(
    _caller: IsAdmin,
    caller: AnyCaller,
    State(app): State<App>,
    Json(body): Json<NewTokenBody>,
) -> Result<Response, ApiError> {
    let lasts = body
        .expires_in_minutes
        .map(|minutes| TimeDelta::try_minutes(minutes).ok_or_else(|| refusal(TokenError::Expiry)))
        .transpose()?;
    let (name, permissions) = (&body.name, &body.permissions);
    let (row, token) = permission::token_issue(
        &app,
        name,
        permissions,
        lasts,
        &caller.actor,
        caller.permissions(),
    )
    .await
    .map_err(refusal)?;
    let made = MadeTokenBody {
        value: token.expose_secret().to_owned(),
        token: TokenBody::new(row)?,
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Takes a token back. Sessions that were opened with it end.
#[utoipa::path(delete, path = "/tokens/{token}", tag = "tokens", operation_id = "token_revoke",
    security(("token" = ["admin"])), params(("token" = String, Path, description = "Its id")),
    responses((status = 204, description = "Taken back"), Problems))]
pub async fn revoke(
    caller: IsAdmin,
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
