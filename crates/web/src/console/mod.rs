//! The console: pages for people, made on the server.
//!
//! Every page works without script, which only saves a reload, draws the chart and follows the journal. Reads go
//! straight to the store, changes through the hub's operations, as the API's do. Which page needs which permission is in
//! [`crate::permissions`]; `visitor` checks the session and, for a form, its CSRF token. `around` refuses the forms of
//! other sites, and makes a page of every refusal.
//!
//! Start reading at [`router`]; `page` is what all pages share, `show` how a value looks.

mod around;
mod assets;
mod changes;
mod connection;
mod connections;
mod deliveries;
mod detections;
mod events;
mod explain;
mod explained;
mod form;
mod groups;
mod log_sources;
mod login;
mod overview;
mod page;
mod people;
mod person;
mod posture;
mod rules;
mod show;
mod sync_run;
mod visitor;

pub(crate) use visitor::page_with_session;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use hub::App;

/// The pages and the files that they load.
pub fn router(app: &App) -> Router<App> {
    Router::new()
        .route("/", get(overview::show_overview))
        .route("/console/risk-history.json", get(overview::risk_history))
        .route("/people", get(people::list))
        .route("/people/{id}", get(person::show_person))
        .route("/groups", get(groups::list))
        .route("/groups/{label}/{id}", get(groups::show_group))
        .route("/people/{id}/reset-risk", post(person::reset_risk))
        .route("/access/explain", get(explain::show_explanation))
        .route("/syncs/{id}", get(sync_run::show_run))
        .route("/detections", get(detections::list))
        .route("/detections/{id}", get(detections::show_detection))
        .route("/posture", get(posture::list))
        .route("/posture/findings/{id}/mute", post(posture::mute))
        .route("/posture/findings/{id}/unmute", post(posture::unmute))
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::show_event))
        .route("/rules", get(rules::list))
        .route("/rules/{name}", get(rules::show_rule))
        .route("/rules/{name}/mode", post(rules::switch))
        .route("/connections", get(connections::list))
        .route("/connections/{label}", get(connection::show_connection))
        .route("/connections/{label}/progress", get(connection::progress))
        .route("/connections/{label}/sync", post(connection::sync))
        .route("/connections/{label}/check", post(connection::check))
        .route("/changes", get(changes::list))
        .route("/changes/{id}", get(changes::show_change))
        .route("/changes/{id}/undo", post(changes::undo))
        .route("/change-access", get(changes::ask).post(changes::make))
        .route("/deliveries", get(deliveries::list))
        .route("/logs", get(log_sources::list))
        .route("/rejects", get(events::rejects))
        .route("/unmapped", get(events::unmapped))
        .route("/login", get(login::form).post(login::open))
        .route("/logout", post(login::close))
        .route("/assets/{file}", get(assets::get))
        .route_layer(middleware::from_fn_with_state(app.clone(), around::around))
}
