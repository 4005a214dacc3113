//! One connection: its state, listings, permissions, log intake and syncs, and the two things to do with it.

use super::form::Form;
use super::page::{Frame, Page, PageError, Section, path_part};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use hub::sync::request;
use hub::{App, Permission, connect};
use model::ConnectionState;
use serde::Deserialize;
use std::time::Duration;
use store::{BatchCounts, ConnectionRow, ListingRow, ProbeRow, RejectRow, StoreError, SyncRunRow};

/// Syncs and rejects shown.
const LATEST_ROWS: i64 = 15;
/// How long a form waits for the result before it shows the page with the progress. Chosen: an immediate refusal is
/// then shown at once.
const ANSWER_AFTER: Duration = Duration::from_millis(800);
/// Interval for checking whether a requested sync has ended.
const POLL: Duration = Duration::from_millis(50);

#[derive(Template)]
#[template(path = "connection.html")]
struct ConnectionPage {
    frame: Frame,
    connection: ConnectionRow,
    progress: Progress,
    listings: Vec<ListingRow>,
    probes: Vec<ProbeRow>,
    counts: BatchCounts,
    runs: Vec<Run>,
    rejects: Vec<RejectRow>,
    receive_at: String,
    may_write: bool,
}

/// Progress of a running sync or check.
#[derive(Template)]
#[template(path = "connection_progress.html")]
struct Progress {
    label: String,
    state: ConnectionState,
    run: Option<Run>,
}

/// A sync with its counts.
struct Run {
    row: SyncRunRow,
    /// Number of objects seen and gone, by kind.
    counts: Vec<(String, i64, i64)>,
}

/// The submitted form.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    /// `yes` to accept lists that shrank by more than half.
    #[serde(default)]
    confirm: String,
}

impl Progress {
    fn is_running(&self) -> bool {
        matches!(self.state, ConnectionState::Syncing | ConnectionState::Validating)
    }
}

impl ConnectionPage {
    fn is_paused(&self) -> bool {
        self.connection.state == ConnectionState::Paused
    }
}

impl Run {
    fn read(row: SyncRunRow) -> Result<Run, StoreError> {
        let counts = hub::sync::counts_of(&row)?;
        Ok(Run {
            counts: counts
                .iter()
                .map(|(kind, count)| (show::words(kind), count.seen as i64, count.gone as i64))
                .collect(),
            row,
        })
    }

    fn seconds(&self) -> Option<i64> {
        Some((self.row.finished_at? - self.row.started_at).num_seconds())
    }
}

/// The page.
pub(super) async fn show_connection(
    visitor: Visitor,
    State(app): State<App>,
    Path(label): Path<String>,
) -> Result<Page, PageError> {
    let connection = find(&app, &label).await?;
    let id = Some(&connection.id);
    let runs: Vec<Run> = app
        .store
        .sync_run_list(id, LATEST_ROWS)
        .await?
        .into_iter()
        .map(Run::read)
        .collect::<Result<_, _>>()?;
    page::rendered(&ConnectionPage {
        frame: visitor.frame(connection.label.clone(), Section::Connections),
        progress: progress_of(&app, &connection).await?,
        listings: app.store.listing_list(&connection.id).await?,
        probes: app.store.probe_list(&connection.id).await?,
        counts: app.store.batch_counts(id).await?,
        runs,
        rejects: app.store.reject_list(id, LATEST_ROWS).await?,
        receive_at: format!("{}/ingest/{}/", app.public_url(), path_part(&connection.label)),
        may_write: visitor.may(Permission::ConnectionsWrite),
        connection,
    })
}

/// Shows the progress of a running sync. When the sync has ended, the whole page is reloaded.
pub(super) async fn progress(
    _: Visitor,
    State(app): State<App>,
    Path(label): Path<String>,
) -> Result<Response, PageError> {
    let progress = progress_of(&app, &find(&app, &label).await?).await?;
    if progress.is_running() {
        Ok(page::rendered(&progress)?.into_response())
    } else {
        Ok([("hx-refresh", "true")].into_response())
    }
}

/// Syncs now.
pub(super) async fn sync(
    visitor: Visitor,
    State(app): State<App>,
    Path(label): Path<String>,
    Form(order): Form<Order>,
) -> Result<Redirect, PageError> {
    let connection = find(&app, &label).await?;
    let confirm = order.confirm == "yes";
    request::ask(&app, &connection, confirm, visitor.actor())
        .await
        .map_err(|error| PageError::Asked(hub::causes(&error)))?;
    // A small account is read before the page is shown again.
    let done = async {
        while app
            .store
            .sync_request_list()
            .await?
            .iter()
            .any(|row| row.connection_id == connection.id)
        {
            tokio::time::sleep(POLL).await;
        }
        Ok::<(), StoreError>(())
    };
    if let Ok(result) = tokio::time::timeout(ANSWER_AFTER, done).await {
        result?;
    }
    Ok(Redirect::to(&format!("/connections/{}", path_part(&label))))
}

/// Checks again which features the credential can use.
pub(super) async fn check(
    visitor: Visitor,
    State(app): State<App>,
    Path(label): Path<String>,
) -> Result<Redirect, PageError> {
    let connection = find(&app, &label).await?;
    connect::check(&app, &connection, visitor.actor())
        .await
        .map_err(|error| PageError::Asked(hub::causes(&error)))?;
    Ok(Redirect::to(&format!("/connections/{}", path_part(&label))))
}

async fn find(app: &App, label: &str) -> Result<ConnectionRow, PageError> {
    hub::connection::find(app, label)
        .await?
        .ok_or(PageError::NotFound("connection"))
}

async fn progress_of(app: &App, connection: &ConnectionRow) -> Result<Progress, PageError> {
    let newest = app.store.sync_run_list(Some(&connection.id), 1).await?.pop();
    Ok(Progress {
        label: connection.label.clone(),
        state: connection.state,
        run: newest
            .filter(|run| run.outcome == model::SyncOutcome::Running)
            .map(Run::read)
            .transpose()?,
    })
}
