//! Flareward over HTTP: the API, the log receiver, Shared Signals and the console.
//!
//! Handlers here say who may, what was asked, and make one call of the hub; what is decided, is decided there.
//! There is no SQL. Every route that is not public names the permission that it needs as an extractor in its
//! signature ([`auth`]); every refusal is a problem document ([`error`]).
//!
//! Start reading at [`router`].

pub mod api;
pub mod auth;
mod connections;
pub mod console;
pub mod error;
pub mod extract;
mod health;
mod ingest;
pub mod paging;
pub mod permissions;
mod risk_integrations;
mod server;
mod shared_signals;
mod telemetry;

pub use error::ApiError;
pub use server::{Stopping, serve};

use axum::{Router, middleware};
use hub::App;

/// All routes of Flareward.
pub fn router(app: App) -> Router {
    let routes = Router::new()
        .merge(health::router())
        .merge(telemetry::router())
        .merge(api::router())
        .merge(ingest::router())
        .merge(shared_signals::router())
        .merge(risk_integrations::router())
        .merge(console::router(&app))
        .route_layer(middleware::from_fn_with_state(app.clone(), permissions::enforce))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method);
    server::layered(routes, &app).with_state(app)
}
