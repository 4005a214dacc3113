//! Exports of a connection's state as a `.c1z` file, which Baton-compatible programs read.

use super::connections::found;
use super::operations::OperationBody;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use hub::App;
use hub::baton::server;

/// Exports the data of a connection: people, groups, roles, applications, tokens, and grants whose certainty is `yes`.
///
/// The export runs in the background; `GET /api/v1/operations/{id}` shows its progress. When its outcome is `done`,
/// download the file with `GET` on the same path. If an export of the connection is already waiting or running, the
/// request returns that export.
#[utoipa::path(post, path = "/connections/{connection}/export", tag = "connections",
    operation_id = "connection_export",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 202, description = "Requested", body = OperationBody), Problems))]
pub async fn ask(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<OperationBody>), ApiError> {
    let connection = found(&app, &name).await?;
    let row = server::ask(&app, &connection, &caller.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(OperationBody::new(row)?)))
}

/// Downloads the newest finished export of a connection. The file also contains the previous export, for comparison.
#[utoipa::path(get, path = "/connections/{connection}/export", tag = "connections",
    operation_id = "connection_export_file",
    params(("connection" = String, Path, description = "Connection ID or label")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        Problems))]
pub async fn file(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<([(HeaderName, String); 2], Body), ApiError> {
    let connection = found(&app, &name).await?;
    let pieces = server::newest(&app, &connection.id)
        .await
        .map_err(|error| ApiError::internal(&error))?
        .ok_or(ApiError::NotFound("export"))?;
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    let name: String = connection.label.chars().filter(is_plain).collect();
    let disposition = format!("attachment; filename=\"{name}.c1z\"");
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::from_stream(pieces)))
}
