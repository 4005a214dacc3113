//! All connections: where each stands, what is dark, what it delivered.

use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::State;
use hub::App;
use store::{BatchCounts, ConnectionRow, ListingRow};

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    connection: ConnectionRow,
    /// Stale listings.
    stale: Vec<ListingRow>,
    works: usize,
    /// Features that the credential cannot use.
    dark: Vec<String>,
    counts: BatchCounts,
}

/// The page.
pub(super) async fn list(visitor: Visitor, State(app): State<App>) -> Result<Page, PageError> {
    let mut rows = Vec::new();
    for connection in app.store.connection_list().await? {
        let listings = app.store.listing_list(&connection.id).await?;
        let probes = app.store.probe_list(&connection.id).await?;
        rows.push(Row {
            stale: listings
                .into_iter()
                .filter(|listing| listing.stale_reason.is_some())
                .collect(),
            works: probes.iter().filter(|probe| probe.works).count(),
            dark: probes
                .into_iter()
                .filter(|probe| !probe.works)
                .map(|probe| probe.feature)
                .collect(),
            counts: app.store.batch_counts(Some(&connection.id)).await?,
            connection,
        });
    }
    page::rendered(&ConnectionsPage {
        frame: visitor.frame("Connections", Section::Connections),
        rows,
    })
}
