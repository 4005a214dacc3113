//! Finding a connection: by label or id, or the only one. Reads `connection`.

use crate::app::App;
use model::ConnectionId;
use std::collections::HashMap;
use store::{ConnectionRow, StoreError};

/// The label of each connection.
pub type Labels = HashMap<ConnectionId, String>;

/// Why no connection was chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// No connection has this label or id.
    #[error("no connection named \"{0}\"")]
    Unknown(String),
    /// There is no connection.
    #[error("no account connected: run `flareward connect`")]
    None,
    /// There are several, and none was named. Their labels.
    #[error("several accounts are connected; specify one of {}", .0.join(", "))]
    Several(Vec<String>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The connection with this label or id.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn find(app: &App, name: &str) -> Result<Option<ConnectionRow>, StoreError> {
    match app.store.connection_by_label(name).await? {
        Some(row) => Ok(Some(row)),
        None => app.store.connection_get(&ConnectionId(name.to_owned())).await,
    }
}

/// The connection with this label or id; without a name, the only one.
///
/// # Errors
///
/// See [`ChooseError`].
pub async fn choose(app: &App, name: Option<&str>) -> Result<ConnectionRow, ChooseError> {
    if let Some(name) = name {
        let found = find(app, name).await?;
        return found.ok_or_else(|| ChooseError::Unknown(name.to_owned()));
    }
    let mut all = app.store.connection_list().await?;
    match (all.pop(), all.is_empty()) {
        (None, _) => Err(ChooseError::None),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            let labels = all.into_iter().chain([last]).map(|row| row.label);
            Err(ChooseError::Several(labels.collect()))
        }
    }
}

/// The label of each connection.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn labels(app: &App) -> Result<Labels, StoreError> {
    let all = app.store.connection_list().await?;
    Ok(all.into_iter().map(|row| (row.id, row.label)).collect())
}
