//! Writing to the audit log.

use crate::app::App;
use crate::permission::Actor;
use model::{AuditAction, AuditOutcome};
use serde_json::Value;
use store::{AuditEntry, StoreError};

/// Records that `actor` did, or tried, `action` on `target`. `detail` must hold no secret.
///
/// # Errors
///
/// When the store refuses: what must be audited must then not be done.
pub async fn record(
    app: &App,
    actor: &Actor,
    action: AuditAction,
    target: &str,
    outcome: AuditOutcome,
    detail: Value,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        at: app.clock.now(),
        actor: actor.to_string(),
        action,
        target: target.to_owned(),
        outcome,
        detail,
    };
    app.store.audit_append(&entry).await
}
