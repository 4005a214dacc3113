//! Who may use which route: one table for the API, the console and the protocols, and the layer that enforces it.
//!
//! The layer runs before every handler. It checks what the request presents, and passes the [`Caller`] or the session on
//! to the handler. A route that is missing from the table answers nobody. Two routes check more in their handlers: the
//! log receiver its connection's log secret, and a capability the permission that its manifest names.
//!
//! Start reading at [`TABLE`].

use crate::auth::{self, Caller};
use crate::console;
use crate::error::ApiError;
use crate::risk_integrations;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hub::App;
use hub::Permission::{
    self, AccessWrite, Admin, ApiCallRead, CapabilitiesCall, CoachingWrite, ConnectionsWrite,
    IntegrationsWrite, PostureWrite, Read, RiskWrite, RulesWrite,
};
use std::collections::HashMap;
use std::sync::LazyLock;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, SecurityRequirement};

/// Required authentication of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Anyone,
    /// The log secret of the connection in the path.
    LogSecret,
    /// A token or session with the permission. A session that changes something must also send its CSRF token.
    Caller(Permission),
    /// Same as `Caller`, with at least one of the permissions.
    OneOf(&'static [Permission]),
    /// A session with the permission and with `read`; for a form, also its CSRF token. Without a session, the response
    /// redirects to the login.
    Page(Permission),
    /// Any session, with the form's CSRF token.
    Session,
}

use Needs::{Anyone, Caller as CallerWith, LogSecret, OneOf, Page, Session};

/// Every route: method, path, and what a request must present. `HEAD` is `GET`.
#[rustfmt::skip]
pub const TABLE: &[(&str, &str, Needs)] = &[
    // The console.
    ("GET", "/", Page(Read)),
    ("GET", "/console/risk-history.json", CallerWith(Read)),
    ("GET", "/access/explain", Page(Read)),
    ("GET", "/change-access", Page(AccessWrite)),
    ("POST", "/change-access", Page(AccessWrite)),
    ("GET", "/changes", Page(Read)),
    ("GET", "/changes/{id}", Page(Read)),
    ("POST", "/changes/{id}/undo", Page(AccessWrite)),
    ("GET", "/connections", Page(Read)),
    ("GET", "/connections/{label}", Page(Read)),
    ("POST", "/connections/{label}/check", Page(ConnectionsWrite)),
    ("GET", "/connections/{label}/progress", Page(Read)),
    ("POST", "/connections/{label}/sync", Page(ConnectionsWrite)),
    ("GET", "/deliveries", Page(Read)),
    ("GET", "/detections", Page(Read)),
    ("GET", "/detections/{id}", Page(Read)),
    ("GET", "/events", Page(Read)),
    ("GET", "/events/{id}", Page(Read)),
    ("GET", "/groups", Page(Read)),
    ("GET", "/groups/{label}/{id}", Page(Read)),
    ("GET", "/logs", Page(Read)),
    ("GET", "/people", Page(Read)),
    ("GET", "/people/{id}", Page(Read)),
    ("POST", "/people/{id}/reset-risk", Page(RiskWrite)),
    ("GET", "/posture", Page(Read)),
    ("POST", "/posture/findings/{id}/mute", Page(PostureWrite)),
    ("POST", "/posture/findings/{id}/unmute", Page(PostureWrite)),
    ("GET", "/rejects", Page(Read)),
    ("GET", "/rules", Page(Read)),
    ("GET", "/rules/{name}", Page(Read)),
    ("POST", "/rules/{name}/mode", Page(RulesWrite)),
    ("GET", "/syncs/{id}", Page(Read)),
    ("GET", "/unmapped", Page(Read)),
    ("GET", "/assets/{file}", Anyone),
    ("GET", "/login", Anyone),
    ("POST", "/login", Anyone),
    ("POST", "/logout", Session),
    // Cloudflare's API for risk score integrations.
    ("GET", "/client/v4/accounts/{account}/zt_risk_scoring/integrations", CallerWith(Read)),
    ("POST", "/client/v4/accounts/{account}/zt_risk_scoring/integrations", CallerWith(IntegrationsWrite)),
    ("GET", "/client/v4/accounts/{account}/zt_risk_scoring/integrations/reference_id/{reference}", CallerWith(Read)),
    ("GET", "/client/v4/accounts/{account}/zt_risk_scoring/integrations/{id}", CallerWith(Read)),
    ("PUT", "/client/v4/accounts/{account}/zt_risk_scoring/integrations/{id}", CallerWith(IntegrationsWrite)),
    ("DELETE", "/client/v4/accounts/{account}/zt_risk_scoring/integrations/{id}", CallerWith(IntegrationsWrite)),
    // Documents of the Shared Signals transmitter.
    ("GET", "/.well-known/sse-configuration/{integration}", Anyone),
    ("GET", "/.well-known/sse-configuration/{integration}/", Anyone),
    ("GET", "/.well-known/ssf-configuration/{integration}", Anyone),
    ("GET", "/.well-known/ssf-configuration/{integration}/", Anyone),
    ("GET", "/jwks.json", Anyone),
    ("GET", "/{integration}/jwks.json", Anyone),
    // The log receiver, health and metrics.
    ("POST", "/ingest/{connection}/{dataset}", LogSecret),
    ("GET", "/health/live", Anyone),
    ("GET", "/health/ready", Anyone),
    ("GET", "/metrics", CallerWith(Read)),
    // The API.
    ("GET", "/api/v1/openapi.json", Anyone),
    ("GET", "/api/v1/access-groups", CallerWith(Read)),
    ("GET", "/api/v1/access-users", CallerWith(Read)),
    ("GET", "/api/v1/access/changes", CallerWith(Read)),
    ("POST", "/api/v1/access/changes", CallerWith(AccessWrite)),
    ("GET", "/api/v1/access/changes/{change}", CallerWith(Read)),
    ("POST", "/api/v1/access/changes/{change}/undo", CallerWith(AccessWrite)),
    ("GET", "/api/v1/access/explain", CallerWith(Read)),
    ("POST", "/api/v1/access/plans", CallerWith(AccessWrite)),
    ("GET", "/api/v1/access/timed-grants", CallerWith(Read)),
    ("GET", "/api/v1/archive", CallerWith(Read)),
    ("GET", "/api/v1/audit", CallerWith(Admin)),
    ("GET", "/api/v1/batches", CallerWith(Read)),
    ("GET", "/api/v1/behaviours", CallerWith(Read)),
    ("GET", "/api/v1/campaigns", CallerWith(Read)),
    ("POST", "/api/v1/campaigns", CallerWith(CoachingWrite)),
    ("GET", "/api/v1/campaigns/{campaign}", CallerWith(Read)),
    ("PUT", "/api/v1/campaigns/{campaign}", CallerWith(CoachingWrite)),
    ("GET", "/api/v1/capabilities", CallerWith(Read)),
    ("GET", "/api/v1/capabilities/manifest", CallerWith(Read)),
    ("POST", "/api/v1/capabilities/{capability}", OneOf(&[CapabilitiesCall, RiskWrite, ApiCallRead])),
    ("GET", "/api/v1/capabilities/{capability}/manifest", CallerWith(Read)),
    ("GET", "/api/v1/connections", CallerWith(Read)),
    ("POST", "/api/v1/connections", CallerWith(ConnectionsWrite)),
    ("GET", "/api/v1/connections/{connection}", CallerWith(Read)),
    ("POST", "/api/v1/connections/{connection}/doctor", CallerWith(ConnectionsWrite)),
    ("GET", "/api/v1/connections/{connection}/export", CallerWith(Read)),
    ("POST", "/api/v1/connections/{connection}/export", CallerWith(Read)),
    ("GET", "/api/v1/connections/{connection}/listings", CallerWith(Read)),
    ("GET", "/api/v1/connections/{connection}/probes", CallerWith(Read)),
    ("POST", "/api/v1/connections/{connection}/sync", CallerWith(ConnectionsWrite)),
    ("GET", "/api/v1/connections/{connection}/sync-runs", CallerWith(Read)),
    ("GET", "/api/v1/detections", CallerWith(Read)),
    ("GET", "/api/v1/detections/{detection}", CallerWith(Read)),
    ("GET", "/api/v1/events", CallerWith(Read)),
    ("POST", "/api/v1/events/replay", CallerWith(RulesWrite)),
    ("GET", "/api/v1/events/{event}", CallerWith(Read)),
    ("GET", "/api/v1/grants", CallerWith(Read)),
    ("GET", "/api/v1/ingest/counts", CallerWith(Read)),
    ("GET", "/api/v1/integrations", CallerWith(Read)),
    ("GET", "/api/v1/journal", CallerWith(Read)),
    ("GET", "/api/v1/journal/stream", CallerWith(Read)),
    ("GET", "/api/v1/log-sources", CallerWith(Read)),
    ("POST", "/api/v1/log-sources", CallerWith(ConnectionsWrite)),
    ("POST", "/api/v1/log-sources/{connection}/check", CallerWith(ConnectionsWrite)),
    ("POST", "/api/v1/log-sources/{connection}/pull", CallerWith(ConnectionsWrite)),
    ("DELETE", "/api/v1/log-sources/{connection}/{dataset}", CallerWith(ConnectionsWrite)),
    ("DELETE", "/api/v1/log-sources/{connection}/{dataset}/bucket", CallerWith(ConnectionsWrite)),
    ("PUT", "/api/v1/log-sources/{connection}/{dataset}/bucket", CallerWith(ConnectionsWrite)),
    ("POST", "/api/v1/log-sources/{connection}/{dataset}/bucket/read", CallerWith(ConnectionsWrite)),
    ("GET", "/api/v1/members", CallerWith(Read)),
    ("GET", "/api/v1/messages", CallerWith(Read)),
    ("GET", "/api/v1/objects", CallerWith(Read)),
    ("GET", "/api/v1/operations", CallerWith(Read)),
    ("GET", "/api/v1/operations/{operation}", CallerWith(Read)),
    ("POST", "/api/v1/operations/{operation}/cancel", OneOf(&[Read, RulesWrite])),
    ("GET", "/api/v1/overview", CallerWith(Read)),
    ("GET", "/api/v1/people", CallerWith(Read)),
    ("GET", "/api/v1/people/{person}", CallerWith(Read)),
    ("POST", "/api/v1/people/{person}/aliases", CallerWith(ConnectionsWrite)),
    ("DELETE", "/api/v1/people/{person}/aliases/{address}", CallerWith(ConnectionsWrite)),
    ("POST", "/api/v1/people/{person}/offboard", CallerWith(AccessWrite)),
    ("POST", "/api/v1/people/{person}/purge", CallerWith(Admin)),
    ("POST", "/api/v1/people/{person}/risk-reset", CallerWith(RiskWrite)),
    ("GET", "/api/v1/posture/checks", CallerWith(Read)),
    ("GET", "/api/v1/posture/findings", CallerWith(Read)),
    ("POST", "/api/v1/posture/findings/{finding}/mute", CallerWith(PostureWrite)),
    ("POST", "/api/v1/posture/findings/{finding}/unmute", CallerWith(PostureWrite)),
    ("GET", "/api/v1/posture/results", CallerWith(Read)),
    ("GET", "/api/v1/purges", CallerWith(Read)),
    ("GET", "/api/v1/purges/{purge}", CallerWith(Read)),
    ("POST", "/api/v1/purges/{purge}/cancel", CallerWith(Admin)),
    ("GET", "/api/v1/rejects", CallerWith(Read)),
    ("GET", "/api/v1/risk", CallerWith(Read)),
    ("GET", "/api/v1/risk/changes", CallerWith(Read)),
    ("GET", "/api/v1/roles", CallerWith(Read)),
    ("GET", "/api/v1/rule-documents", CallerWith(Read)),
    ("POST", "/api/v1/rule-documents/check", CallerWith(Read)),
    ("DELETE", "/api/v1/rule-documents/{document}", CallerWith(RulesWrite)),
    ("PUT", "/api/v1/rule-documents/{document}", CallerWith(RulesWrite)),
    ("GET", "/api/v1/rule-documents/{document}/versions", CallerWith(Read)),
    ("GET", "/api/v1/rule-parameters", CallerWith(Read)),
    ("DELETE", "/api/v1/rule-parameters/{parameter}", CallerWith(RulesWrite)),
    ("PUT", "/api/v1/rule-parameters/{parameter}", CallerWith(RulesWrite)),
    ("GET", "/api/v1/rule-problems", CallerWith(Read)),
    ("GET", "/api/v1/rules", CallerWith(Read)),
    ("GET", "/api/v1/rules/{rule}", CallerWith(Read)),
    ("POST", "/api/v1/rules/{rule}/backtest", CallerWith(Read)),
    ("PUT", "/api/v1/rules/{rule}/mode", CallerWith(RulesWrite)),
    ("GET", "/api/v1/signals", CallerWith(Read)),
    ("GET", "/api/v1/syncs", CallerWith(Read)),
    ("GET", "/api/v1/syncs/{sync}", CallerWith(Read)),
    ("POST", "/api/v1/syncs/{sync}/cancel", CallerWith(ConnectionsWrite)),
    ("GET", "/api/v1/syncs/{sync}/changes", CallerWith(Read)),
    ("GET", "/api/v1/syncs/{sync}/grant-changes", CallerWith(Read)),
    ("GET", "/api/v1/tokens", CallerWith(Admin)),
    ("POST", "/api/v1/tokens", CallerWith(Admin)),
    ("DELETE", "/api/v1/tokens/{token}", CallerWith(Admin)),
    ("GET", "/api/v1/unmapped-identifiers", CallerWith(Read)),
];

static BY_ROUTE: LazyLock<HashMap<(&str, &str), Needs>> = LazyLock::new(|| {
    TABLE
        .iter()
        .map(|(method, path, needs)| ((*method, *path), *needs))
        .collect()
});

/// The requirement of the route; `None` if it is missing from the table.
fn needs(method: &Method, path: &str) -> Option<Needs> {
    let method = if method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    BY_ROUTE.get(&(method, path)).copied()
}

/// Middleware of every route.
pub(crate) async fn enforce(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let Some(needs) = needs(request.method(), path) else {
        // What is nested refuses unknown paths and methods in handlers of its own.
        if path.starts_with(risk_integrations::BASE) {
            let is_known = TABLE.iter().any(|(_, known, _)| *known == path);
            let refusal = if is_known {
                ApiError::Method
            } else {
                ApiError::NoRoute
            };
            return risk_integrations::refused(refusal);
        }
        tracing::error!("{} {path} is not in the permission table", request.method());
        return ApiError::Internal.into_response();
    };
    let passed = match needs {
        Anyone | LogSecret => Ok(request),
        CallerWith(permission) => with_caller(&app, request, &[permission]).await,
        OneOf(permissions) => with_caller(&app, request, permissions).await,
        Page(permission) => return console::page_with_session(&app, Some(permission), request, next).await,
        Session => return console::page_with_session(&app, None, request, next).await,
    };
    match passed {
        Ok(request) => next.run(request).await,
        Err(error) if path.starts_with(risk_integrations::BASE) => risk_integrations::refused(error),
        Err(error) => error.into_response(),
    }
}

async fn with_caller(app: &App, request: Request, needed: &[Permission]) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller: Caller = auth::caller(&parts, app).await?;
    let lacks = !needed.iter().any(|one| caller.permissions.contains(one));
    if let Some(first) = needed.first().filter(|_| lacks) {
        return Err(ApiError::Forbidden(*first));
    }
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}

/// Adds the required permission of each operation to the API description.
pub(crate) fn describe(description: &mut OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let operations: [(&str, &mut Option<Operation>); 5] = [
            ("GET", &mut item.get),
            ("POST", &mut item.post),
            ("PUT", &mut item.put),
            ("PATCH", &mut item.patch),
            ("DELETE", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let permissions = match BY_ROUTE.get(&(method, path.as_str())) {
                Some(CallerWith(permission)) => std::slice::from_ref(permission),
                Some(OneOf(permissions)) => permissions,
                _ => continue,
            };
            let security = permissions
                .iter()
                .map(|one| SecurityRequirement::new("token", [one.as_str()]));
            operation.security = Some(security.collect());
        }
    }
}
