//! `/api/v1`: everything that Flareward knows and does, as JSON.
//!
//! Routes and their description come from one place: `routes`. What is served are shapes of their own
//! (`PersonBody`), so that renaming a column breaks no caller; sealed secrets and digests are in none of them.

pub mod access;
pub mod archive;
pub mod audit;
pub mod backtest;
pub mod batches;
pub mod buckets;
pub mod capabilities;
pub mod changes;
pub mod coaching;
pub mod connections;
pub mod detections;
pub mod events;
pub mod explain;
pub mod exports;
pub mod integrations;
pub mod journal;
pub mod log_sources;
pub mod operations;
pub mod overview;
pub mod people;
pub mod posture;
pub mod purges;
pub mod replay;
pub mod risk;
pub mod rule_documents;
pub mod rule_parameters;
pub mod rules;
pub mod syncs;
pub mod tokens;

use crate::error::{FieldProblem, Problem};
use crate::permissions;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use hub::App;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where the API is served.
pub const BASE: &str = "/api/v1";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Flareward",
        description = "The API of Flareward, a hub for Cloudflare Zero Trust.\n\nEvery operation lists \
             the permission that a token needs. Errors are problem documents (RFC 9457). Lists are \
             paged: to get the next page, repeat the request with `cursor`."
    ),
    components(schemas(Problem, FieldProblem)),
    modifiers(&Token)
)]
struct Description;

/// The one way to authenticate that the description names: a token.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token created with `POST /api/v1/tokens`, or the administrator's token",
            ))
            .build();
        openapi
            .components
            .get_or_insert_with(Components::new)
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(overview::overview))
        .routes(routes!(connections::list, connections::create))
        .routes(routes!(connections::get_one))
        .routes(routes!(connections::doctor))
        .routes(routes!(connections::probes))
        .routes(routes!(connections::listings))
        .routes(routes!(connections::sync))
        .routes(routes!(connections::sync_runs))
        .routes(routes!(log_sources::list, log_sources::enable))
        .routes(routes!(log_sources::check))
        .routes(routes!(log_sources::pull_now))
        .routes(routes!(log_sources::disable))
        .routes(routes!(buckets::put, buckets::forget))
        .routes(routes!(buckets::read))
        .routes(routes!(syncs::list))
        .routes(routes!(syncs::get_one))
        .routes(routes!(syncs::cancel))
        .routes(routes!(syncs::changes))
        .routes(routes!(syncs::grant_changes))
        .routes(routes!(people::list))
        .routes(routes!(people::get_one))
        .routes(routes!(people::alias_add))
        .routes(routes!(people::alias_remove))
        .routes(routes!(access::members))
        .routes(routes!(access::access_users))
        .routes(routes!(access::access_groups))
        .routes(routes!(access::roles))
        .routes(routes!(access::objects))
        .routes(routes!(access::grants))
        .routes(routes!(changes::plan))
        .routes(routes!(changes::list, changes::make))
        .routes(routes!(changes::get_one))
        .routes(routes!(changes::undo))
        .routes(routes!(changes::timed_grants))
        .routes(routes!(changes::offboard_person))
        .routes(routes!(explain::explain))
        .routes(routes!(events::list))
        .routes(routes!(events::get_one))
        .routes(routes!(replay::ask))
        .routes(routes!(archive::get_one))
        .routes(routes!(exports::ask, exports::file))
        .routes(routes!(operations::list))
        .routes(routes!(operations::get_one))
        .routes(routes!(operations::cancel))
        .routes(routes!(purges::begin))
        .routes(routes!(purges::list))
        .routes(routes!(purges::get_one))
        .routes(routes!(purges::cancel))
        .routes(routes!(batches::list))
        .routes(routes!(batches::counts))
        .routes(routes!(batches::rejects))
        .routes(routes!(batches::unmapped))
        .routes(routes!(rules::list))
        .routes(routes!(rules::get_one))
        .routes(routes!(rules::set_mode))
        .routes(routes!(backtest::run))
        .routes(routes!(rule_documents::list))
        .routes(routes!(rule_documents::put, rule_documents::remove))
        .routes(routes!(rule_documents::versions))
        .routes(routes!(rule_documents::check))
        .routes(routes!(rule_parameters::list))
        .routes(routes!(rule_parameters::put, rule_parameters::reset))
        .routes(routes!(rules::problems))
        .routes(routes!(rules::behaviours))
        .routes(routes!(detections::list))
        .routes(routes!(detections::get_one))
        .routes(routes!(risk::counts))
        .routes(routes!(risk::changes))
        .routes(routes!(risk::reset))
        .routes(routes!(posture::checks))
        .routes(routes!(posture::findings))
        .routes(routes!(posture::results))
        .routes(routes!(posture::mute))
        .routes(routes!(posture::unmute))
        .routes(routes!(coaching::list, coaching::create))
        .routes(routes!(coaching::get_one, coaching::update))
        .routes(routes!(coaching::messages))
        .routes(routes!(integrations::list))
        .routes(routes!(integrations::signals))
        .routes(routes!(journal::list))
        .routes(routes!(journal::stream))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(capabilities::list))
        .routes(routes!(capabilities::connector_manifest))
        .routes(routes!(capabilities::get_manifest))
        .routes(routes!(capabilities::call));
    OpenApiRouter::with_openapi(Description::openapi()).nest(BASE, routes)
}

/// The API's description (OpenAPI 3.1), as it is served and as `docs/openapi.json` holds it.
pub fn openapi() -> OpenApi {
    let mut description = routes().into_openapi();
    permissions::describe(&mut description);
    description
}

pub(crate) fn router() -> Router<App> {
    let (router, mut description) = routes().split_for_parts();
    permissions::describe(&mut description);
    // Written once: every request is answered from the same bytes.
    let description: Bytes = serde_json::to_vec(&description).unwrap_or_default().into();
    let described = move || std::future::ready(([(CONTENT_TYPE, "application/json")], description.clone()));
    router
        .route("/api/v1/openapi.json", get(described))
        .layer(axum::Extension(journal::Streams::default()))
}

/// The raw record as JSON; text that is not JSON stays text.
fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
