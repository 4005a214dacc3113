//! Capabilities: typed operations for other systems, with bodies by the contract of the field.
//!
//! A call is answered with the capability's own status and body, also when it fails; problem documents are left
//! to what comes before it (who may, is it JSON, is there such a capability).

use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::Page;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hub::{App, capability};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A capability that can be called.
#[derive(Debug, Serialize, ToSchema)]
pub struct CapabilityBody {
    /// ID, for example `getIPOverview`.
    pub id: &'static str,
    /// Permission that a token needs.
    pub permission: Option<&'static str>,
}

/// The connection to use.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallQuery {
    /// Connection label or ID; optional if there is only one connection.
    connection: Option<String>,
}

/// Lists all capabilities.
#[utoipa::path(get, path = "/capabilities", tag = "capabilities", operation_id = "capability_list",
    responses((status = 200, description = "The capabilities", body = Page<CapabilityBody>), Problems))]
pub async fn list(_caller: Caller) -> Result<Json<Page<CapabilityBody>>, ApiError> {
    Ok(Json(Page::whole(capability::IDS.to_vec(), |id| CapabilityBody {
        id,
        permission: capability::permission(id).map(hub::Permission::as_str),
    })))
}

/// Returns the manifest of a capability: inputs and outputs.
#[utoipa::path(get, path = "/capabilities/{capability}/manifest", tag = "capabilities",
    operation_id = "capability_manifest",
    params(("capability" = String, Path, description = "ID")),
    responses((status = 200, description = "The manifest", body = Value), Problems))]
pub async fn get_manifest(Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    capability::manifest(&id)
        .map(Json)
        .ok_or(ApiError::NotFound("capability"))
}

/// Returns the resource types that can be read and changed, with the required Cloudflare permissions, in the format
/// of Baton's `baton_capabilities.json`.
#[utoipa::path(get, path = "/capabilities/manifest", tag = "capabilities", operation_id = "capabilities_manifest",
    responses((status = 200, description = "The manifest", body = Value), Problems))]
pub async fn connector_manifest(_caller: Caller) -> Result<Json<Value>, ApiError> {
    serde_json::to_value(hub::baton::types::manifest())
        .map(Json)
        .map_err(|error| ApiError::internal(&error))
}

/// Calls a capability. The list of capabilities shows the required permission.
#[utoipa::path(post, path = "/capabilities/{capability}", tag = "capabilities",
    operation_id = "capability_call",
    params(("capability" = String, Path, description = "ID"), CallQuery), request_body = Value,
    responses((status = 200, description = "Result of the capability; failures have the same format", body = Value),
        Problems))]
pub async fn call(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<CallQuery>,
    Json(input): Json<Value>,
) -> Result<Response, ApiError> {
    let permission = capability::permission(&id).ok_or(ApiError::NotFound("capability"))?;
    caller.must_hold(permission)?;
    let outcome = capability::call(&app, &id, query.connection.as_deref(), &input, &caller.actor)
        .await
        .ok_or(ApiError::NotFound("capability"))?;
    let status = StatusCode::from_u16(outcome.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(outcome.body)).into_response();
    if let Some(seconds) = outcome.retry_after_seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}
