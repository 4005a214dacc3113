//! One sync: what it added, changed and removed, and which grants changed with it.

use super::page::{Frame, PAGE_ROWS, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, State};
use hub::App;
use hub::connection::labels;
use hub::sync::history::Changed;
use store::{GrantChangeRow, SyncRunRow};

/// Maximum number of changes of each kind. Chosen: more are unreadable, and the API returns all.
const CHANGE_ROWS: i64 = PAGE_ROWS * 4;

#[derive(Template)]
#[template(path = "sync_run.html")]
struct SyncRunPage {
    frame: Frame,
    run: SyncRunRow,
    label: String,
    changes: Vec<Changed>,
    grants: Vec<GrantChangeRow>,
    is_cut: bool,
}

/// The page.
pub(super) async fn show_run(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Page, PageError> {
    let run = app
        .store
        .sync_run_get(&id)
        .await?
        .ok_or(PageError::NotFound("sync"))?;
    let label = labels(&app).await?.remove(&run.connection_id).unwrap_or_default();
    let changes = app.store.sync_change_list(&id, None, CHANGE_ROWS).await?;
    let grants = app.store.grant_change_list(&id, None, CHANGE_ROWS).await?;
    let is_full = |count: usize| i64::try_from(count).is_ok_and(|count| count >= CHANGE_ROWS);
    page::rendered(&SyncRunPage {
        frame: visitor.frame(
            format!("Sync of {label}, {}", run.started_at.format("%Y-%m-%d %H:%M")),
            Section::Connections,
        ),
        is_cut: is_full(changes.len()) || is_full(grants.len()),
        changes: changes.into_iter().map(Changed::read).collect::<Result<_, _>>()?,
        run,
        label,
        grants,
    })
}
