//! What receivers of signals fetch: who the transmitter of an integration is, and its public keys.
//!
//! Public, since a receiver has no token: the documents hold no secret.

use crate::error::ApiError;
use crate::extract::Path;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hub::{App, transmit};
use model::IntegrationId;
use signals::{TransmitterMetadata, WellKnown};

/// How long a receiver may cache keys: shorter than the time between the publication of a new key and its first use.
const KEYS_FRESH: &str = "public, max-age=3600";

pub(crate) fn router() -> Router<App> {
    let mut router = Router::new()
        .route("/jwks.json", get(keys))
        .route("/{integration}/jwks.json", get(keys_of));
    for name in [WellKnown::Sse, WellKnown::Ssf] {
        // Cloudflare's documentation shows the address with a closing slash, its answers without.
        for end in ["", "/"] {
            let path = format!("/.well-known/{}/{{integration}}{end}", name.name());
            router = router.route(&path, get(metadata));
        }
    }
    router
}

/// Configuration of the transmitter.
async fn metadata(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<TransmitterMetadata>, ApiError> {
    known(&app, &id).await?;
    let issuer = transmit::issuer(&app, &id);
    TransmitterMetadata::new(&issuer, &format!("{issuer}/jwks.json"))
        .map(Json)
        .map_err(|error| ApiError::internal(&error))
}

/// The keys of one integration's transmitter.
async fn keys_of(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    known(&app, &id).await?;
    keys(State(app)).await
}

/// The signing keys.
async fn keys(State(app): State<App>) -> Result<Response, ApiError> {
    let keys = transmit::keys::jwks(&app)
        .await
        .map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CACHE_CONTROL, KEYS_FRESH)], Json(keys)).into_response())
}

async fn known(app: &App, id: &str) -> Result<(), ApiError> {
    app.store
        .integration_get(&IntegrationId(id.to_owned()))
        .await?
        .map(|_| ())
        .ok_or(ApiError::NotFound("integration"))
}
