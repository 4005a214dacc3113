//! Exports that the server makes: the newest of each connection lies in the archive, for download.
//!
//! Reads the lists and writes `operation`, the audit log and one object of the archive for each connection. A cancelled
//! or failed export leaves the previous object as it was. Start reading at [`ask`] and [`run`].

use super::export::{self, ExportError, Report};
use crate::app::App;
use crate::archive::ArchiveError;
use crate::operation::{self, Watch};
use crate::permission::Actor;
use crate::{audit, private};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use model::{AuditAction, AuditOutcome, ConnectionId, OperationKind, OperationOutcome};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use store::{ConnectionRow, OperationRow, StoreError};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

/// Which connection.
#[derive(Debug, Serialize, Deserialize)]
struct ExportRequest {
    connection_id: ConnectionId,
}

/// What an export wrote.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exported {
    /// People, groups, roles, applications and tokens.
    pub resources: u64,
    /// What each can be granted.
    pub entitlements: u64,
    /// Certain grants.
    pub grants: u64,
    /// Grants that depend on sign-in context: not written.
    pub conditional: u64,
    /// Grants that cannot be known: not written.
    pub unknown: u64,
    /// Objects that readers of the file could not use, and why; the first hundred.
    pub refused: Vec<String>,
    /// Size of the file.
    pub bytes: u64,
}

/// Why the server could not export.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the connection no longer exists")]
    NoConnection,
    #[error("the export was cancelled")]
    Cancelled,
    #[error("could not write the export in the data folder")]
    Folder(#[source] std::io::Error),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks for an export of the connection, which a stage carries out. Answers the one that waits or runs already.
///
/// # Errors
///
/// When the store refuses.
pub async fn ask(app: &App, connection: &ConnectionRow, actor: &Actor) -> Result<OperationRow, StoreError> {
    audit::record(
        app,
        actor,
        AuditAction::ConnectionExport,
        connection.id.as_str(),
        AuditOutcome::Asked,
        json!({ "connection": connection.label }),
    )
    .await?;
    let request = ExportRequest {
        connection_id: connection.id.clone(),
    };
    operation::ask(
        app,
        OperationKind::Export,
        connection.label.clone(),
        &request,
        actor,
    )
    .await
}

/// Carries out the oldest export that was asked for. Answers whether there was one.
///
/// # Errors
///
/// When the store refuses. Any other failure is kept with the operation.
pub async fn run(app: &App) -> Result<bool, StoreError> {
    let open = app.store.operation_open(OperationKind::Export).await?;
    let Some(row) = open.into_iter().next() else {
        return Ok(false);
    };
    let ended = match row.cancelled_by {
        Some(_) => Err(RunError::Cancelled),
        None => watched(app, &row).await,
    };
    let (outcome, result, problem) = match ended {
        Ok(exported) => (OperationOutcome::Done, Some(json!(exported).to_string()), None),
        Err(RunError::Cancelled) => (OperationOutcome::Cancelled, None, None),
        Err(RunError::Store(error) | RunError::Export(ExportError::Store(error))) => return Err(error),
        Err(error) => (OperationOutcome::Failed, None, Some(crate::causes(&error))),
    };
    operation::finish(app, &row.id, outcome, result, problem).await?;
    Ok(true)
}

async fn watched(app: &App, row: &OperationRow) -> Result<Exported, RunError> {
    let request: ExportRequest = store::stored("operation", &row.id, "request", &row.request)?;
    let connection = app.store.connection_get(&request.connection_id).await?;
    let connection = connection.ok_or(RunError::NoConnection)?;
    let watch = Watch::default();
    let show = |done, total| watch.show(done, total);
    tokio::select! {
        exported = watch.over(app, &row.id, carry_out(app, &connection, &show)) => exported,
        () = watch.cancelled() => Err(RunError::Cancelled),
    }
}

async fn carry_out(
    app: &App,
    connection: &ConnectionRow,
    show: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Exported, RunError> {
    let scratch = Scratch::new(&app.settings.data.dir).map_err(RunError::Folder)?;
    let file = scratch.0.join("export.c1z");
    // The file that this one replaces: its newest sync stays, for comparison.
    if let Some(mut before) = newest(app, &connection.id).await? {
        let mut copy = File::create(&file).await.map_err(RunError::Folder)?;
        while let Some(piece) = before.try_next().await? {
            copy.write_all(&piece).await.map_err(RunError::Folder)?;
        }
        copy.flush().await.map_err(RunError::Folder)?;
    }
    let report = export::export(app, connection, &file, show).await?;
    keep(app, &connection.id, &file).await?;
    Ok(exported(report))
}

fn exported(report: Report) -> Exported {
    Exported {
        resources: report.finished.resources,
        entitlements: report.finished.entitlements,
        grants: report.finished.grants,
        conditional: report.conditional,
        unknown: report.unknown,
        refused: report.refused,
        bytes: report.finished.file_bytes,
    }
}

async fn keep(app: &App, connection: &ConnectionId, file: &Path) -> Result<(), RunError> {
    let open = File::open(file).await.map_err(RunError::Folder)?;
    let mut pieces = ReaderStream::with_capacity(open, 1 << 20);
    let mut writer = app
        .archive
        .begin(&format!("{}.c1z", app.ids.new_id(app.clock.now())))
        .await?;
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                writer.abort().await;
                return Err(RunError::Folder(error));
            }
        };
        if let Err(error) = writer.write(&piece).await {
            writer.abort().await;
            return Err(error.into());
        }
    }
    Ok(writer.finish(&path(connection)).await?)
}

/// The newest export of a connection; `None` when there is none.
///
/// # Errors
///
/// When the archive cannot be read.
pub async fn newest(
    app: &App,
    connection: &ConnectionId,
) -> Result<Option<BoxStream<'static, Result<Bytes, ArchiveError>>>, ArchiveError> {
    match app.archive.read(&path(connection)).await {
        Ok(pieces) => Ok(Some(pieces.map_err(ArchiveError::from).boxed())),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(connection: &ConnectionId) -> String {
    format!("exports/{connection}.c1z")
}

/// A folder for one export at a time; the stage's lease keeps others out. What a killed process left is removed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data: &Path) -> std::io::Result<Self> {
        let folder = data.join("export");
        remove(&folder)?;
        private::folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!("could not remove the folder of an export: {error}");
        }
    }
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
