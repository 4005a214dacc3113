//! The simulated API of Cloudflare: each family of calls is a module with its routes first.
//!
//! Handlers read and change the [`crate::world`]; none knows how it is served. Start reading at [`routes`].

mod access_apps;
mod access_groups;
mod access_organization;
mod access_policies;
mod access_service_tokens;
mod access_users;
mod account_tokens;
mod accounts;
pub(crate) mod audit;
mod gateway_lists;
mod gateway_logging;
mod iam;
mod intel;
mod logpush_checks;
mod logpush_jobs;
mod members;
mod risk_scoring;
mod roles;

use crate::route::Route;

/// Every operation of the simulated API.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = accounts::routes();
    routes.extend(account_tokens::routes());
    routes.extend(members::routes());
    routes.extend(roles::routes());
    routes.extend(iam::routes());
    routes.extend(access_users::routes());
    routes.extend(access_groups::routes());
    routes.extend(access_policies::routes());
    routes.extend(access_apps::routes());
    routes.extend(access_organization::routes());
    routes.extend(access_service_tokens::routes());
    routes.extend(risk_scoring::routes());
    routes.extend(gateway_lists::routes());
    routes.extend(gateway_logging::routes());
    routes.extend(audit::routes());
    routes.extend(intel::routes());
    routes.extend(logpush_jobs::routes());
    routes.extend(logpush_checks::routes());
    routes
}
