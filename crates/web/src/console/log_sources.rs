//! Where log records come from, and how each source fares.

use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::State;
use chrono::TimeDelta;
use hub::App;
use hub::source::SourceStatus;

#[derive(Template)]
#[template(path = "log_sources.html")]
struct LogSourcesPage {
    frame: Frame,
    rows: Vec<SourceStatus>,
    has_connections: bool,
}

impl LogSourcesPage {
    fn lag(&self, row: &SourceStatus) -> String {
        let Some(lag) = row.lag else {
            return "never".to_owned();
        };
        match lag {
            lag if lag < TimeDelta::minutes(2) => "under 2 min".to_owned(),
            lag if lag < TimeDelta::hours(2) => format!("{} min", lag.num_minutes()),
            lag if lag < TimeDelta::days(2) => format!("{} h", lag.num_hours()),
            lag => format!("{} days", lag.num_days()),
        }
    }
}

/// Lists all sources by connection and dataset, as of the last check.
pub(super) async fn list(visitor: Visitor, State(app): State<App>) -> Result<Page, PageError> {
    let page = LogSourcesPage {
        frame: visitor.frame("Log sources", Section::Events),
        rows: hub::source::status(&app, None).await?,
        has_connections: !app.store.connection_list().await?.is_empty(),
    };
    page::rendered(&page)
}
