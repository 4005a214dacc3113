//! The words that a connection is grouped by.
//!
//! Reads and writes `connection`, and writes the audit log.

use crate::app::App;
use crate::audit;
use crate::permission::Actor;
use serde_json::json;
use store::{ConnectionRow, StoreError};

/// The words that a connection is grouped by.
///
/// # Errors
///
/// When they are damaged.
pub fn tags_of(connection: &ConnectionRow) -> Result<Vec<String>, StoreError> {
    store::stored("connection", &connection.id, "tags", &connection.tags)
}

/// Replaces the words that a connection is grouped by.
///
/// # Errors
///
/// When the store refuses.
pub async fn tags_set(
    app: &App,
    connection: &ConnectionRow,
    tags: &[String],
    actor: &Actor,
) -> Result<(), StoreError> {
    let mut tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_lowercase()).collect();
    tags.retain(|tag| !tag.is_empty());
    tags.sort_unstable();
    tags.dedup();
    let detail = json!({ "tags": tags });
    audit::record(
        app,
        actor,
        model::AuditAction::ConnectionTag,
        &connection.label,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store
        .connection_tags_set(&connection.id, &tags, app.clock.now())
        .await
}
