//! Cloudflare's API for risk score integrations, served by us: the same paths, bodies and answers, so that
//! Cloudflare's own clients can make the integrations that Flareward sends to.
//!
//! Source: Cloudflare's API reference, "Zero Trust Risk Scoring: Integrations".

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{self, Path};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use chrono::SecondsFormat;
use hub::App;
use hub::integration::{self, IntegrationError, NewIntegration};
use hub::transmit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::IntegrationRow;

/// Cloudflare's code for an unauthenticated or unauthorised request.
const CODE_AUTHENTICATION: u32 = 10_000;
/// Cloudflare's code for an unknown account or route.
const CODE_NO_ROUTE: u32 = 7_003;
/// Flareward's code for an invalid body; codes start at 1000.
const CODE_BODY: u32 = 1_001;
/// Flareward's code for an unknown integration.
const CODE_NOT_FOUND: u32 = 1_002;
/// Flareward's code for all other errors.
const CODE_OTHER: u32 = 1_000;

/// Path of the API that is compatible with Cloudflare's.
pub(crate) const BASE: &str = "/client/v4";

pub(crate) fn router() -> Router<App> {
    let base = "/accounts/{account}/zt_risk_scoring/integrations";
    let routes = Router::new()
        .route(base, get(list).post(create))
        .route(&format!("{base}/reference_id/{{reference}}"), get(by_reference))
        .route(&format!("{base}/{{id}}"), get(get_one).put(update).delete(delete))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method);
    Router::new().nest(BASE, routes)
}

/// An integration in Cloudflare's format.
#[derive(Debug, Serialize)]
struct IntegrationResult {
    id: String,
    account_tag: String,
    active: bool,
    created_at: String,
    integration_type: String,
    reference_id: String,
    tenant_url: String,
    well_known_url: String,
}

impl IntegrationResult {
    fn new(app: &App, row: IntegrationRow) -> Self {
        Self {
            well_known_url: transmit::well_known_url(app, row.id.as_str()),
            id: row.id.0,
            account_tag: row.account_id,
            active: row.active,
            created_at: row.created_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            integration_type: row.integration_type,
            reference_id: row.reference_id.unwrap_or_default(),
            tenant_url: row.tenant_url,
        }
    }
}

#[derive(Debug, Deserialize)]
struct CreateBody {
    integration_type: String,
    tenant_url: String,
    reference_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct UpdateBody {
    tenant_url: String,
    active: bool,
    reference_id: Option<String>,
}

async fn list(State(app): State<App>, In(Path(account)): In<Path<String>>) -> Result<Response, Refusal> {
    if app.store.connection_by_account(&account).await?.is_none() {
        return Err(IntegrationError::NoAccount(account).into());
    }
    let rows = app.store.integration_list(Some(&account)).await?;
    let results: Vec<IntegrationResult> = rows
        .into_iter()
        .map(|row| IntegrationResult::new(&app, row))
        .collect();
    Ok(success(json!(results)))
}

async fn create(
    In(caller): In<Caller>,
    State(app): State<App>,
    In(Path(account)): In<Path<String>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body: CreateBody = read(body)?;
    let new = NewIntegration {
        integration_type: body.integration_type,
        tenant_url: body.tenant_url,
        reference_id: reference(body.reference_id),
    };
    let row = integration::create(&app, &account, &new, &caller.actor).await?;
    Ok(one(&app, row))
}

async fn get_one(
    State(app): State<App>,
    In(Path((account, id))): In<Path<(String, String)>>,
) -> Result<Response, Refusal> {
    Ok(one(&app, integration::get(&app, &account, &id).await?))
}

async fn by_reference(
    State(app): State<App>,
    In(Path((account, reference))): In<Path<(String, String)>>,
) -> Result<Response, Refusal> {
    Ok(one(
        &app,
        integration::by_reference(&app, &account, &reference).await?,
    ))
}

async fn update(
    In(caller): In<Caller>,
    State(app): State<App>,
    In(Path((account, id))): In<Path<(String, String)>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body: UpdateBody = read(body)?;
    let reference = reference(body.reference_id);
    let row = integration::update(
        &app,
        &account,
        &id,
        &body.tenant_url,
        reference,
        body.active,
        &caller.actor,
    )
    .await?;
    Ok(one(&app, row))
}

async fn delete(
    In(caller): In<Caller>,
    State(app): State<App>,
    In(Path((account, id))): In<Path<(String, String)>>,
) -> Result<Response, Refusal> {
    integration::delete(&app, &account, &id, &caller.actor).await?;
    Ok(success(Value::Null))
}

/// An API error in Cloudflare's envelope.
pub(crate) fn refused(error: ApiError) -> Response {
    Refusal::from(error).into_response()
}

async fn no_route() -> Refusal {
    ApiError::NoRoute.into()
}

async fn no_method() -> Refusal {
    ApiError::Method.into()
}

/// Treats an empty reference as missing; responses show a missing reference as empty.
fn reference(given: Option<String>) -> Option<String> {
    given.filter(|text| !text.is_empty())
}

fn read<T: serde::de::DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    Ok(extract::read_json(&body.map_err(extract::unreadable)?)?)
}

fn one(app: &App, row: IntegrationRow) -> Response {
    success(json!(IntegrationResult::new(app, row)))
}

fn success(result: Value) -> Response {
    Json(json!({ "success": true, "errors": [], "messages": [], "result": result })).into_response()
}

/// An extractor that returns errors in Cloudflare's format.
struct In<E>(E);

impl<E> FromRequestParts<App> for In<E>
where
    E: FromRequestParts<App, Rejection = ApiError>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        Ok(Self(E::from_request_parts(parts, app).await?))
    }
}

/// An error in Cloudflare's envelope.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    errors: Vec<Value>,
}

impl Refusal {
    fn new(status: StatusCode, code: u32, message: &str) -> Self {
        Self {
            status,
            errors: vec![json!({ "code": code, "message": message })],
        }
    }

    fn body(pointer: &str, message: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            errors: vec![json!({ "code": CODE_BODY, "message": message, "source": { "pointer": pointer } })],
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        if !error.problems().is_empty() {
            let errors = error
                .problems()
                .iter()
                .flat_map(|problem| Self::body(&problem.pointer, &problem.detail).errors)
                .collect();
            return Self {
                status: StatusCode::BAD_REQUEST,
                errors,
            };
        }
        let code = match error {
            ApiError::Unauthorized | ApiError::Forbidden(_) | ApiError::Csrf => CODE_AUTHENTICATION,
            ApiError::NoRoute | ApiError::Method => CODE_NO_ROUTE,
            ApiError::NotFound(_) => CODE_NOT_FOUND,
            _ => CODE_OTHER,
        };
        Self::new(error.status(), code, &error.detail())
    }
}

impl From<IntegrationError> for Refusal {
    fn from(error: IntegrationError) -> Self {
        let words = hub::causes(&error);
        match error {
            IntegrationError::NoAccount(_) => Self::new(StatusCode::NOT_FOUND, CODE_NO_ROUTE, &words),
            IntegrationError::NotFound => Self::new(StatusCode::NOT_FOUND, CODE_NOT_FOUND, &words),
            IntegrationError::Type(_) => Self::body("/integration_type", &words),
            IntegrationError::TenantUrl(_) => Self::body("/tenant_url", &words),
            IntegrationError::Store(error) => ApiError::from(error).into(),
        }
    }
}

impl From<store::StoreError> for Refusal {
    fn from(error: store::StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "success": false, "errors": self.errors, "messages": [], "result": null });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
