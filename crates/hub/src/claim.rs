//! The claim on a batch: one process at a time works on it, in the server or in a command beside it.
//!
//! It is kept as a lease is ([`lease::while_held`]). It is not one: a claim picks the next batch of a state, lies in the
//! batch's own row, and ends in the transaction that moves the batch on.

use crate::app::App;
use crate::lease;
use chrono::TimeDelta;
use std::time::Duration;
use store::{BatchRow, StoreError};

/// How long a claim holds without a sign of life: so long a batch waits whose process was killed.
pub(crate) const LENGTH: TimeDelta = TimeDelta::seconds(6);
/// How often a sign of life is given.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Does `work` for a batch that is claimed, and gives signs of life meanwhile. Answers nothing when the claim was
/// lost: then another process works on the batch.
///
/// # Errors
///
/// The work's own. The batch is given back then.
pub(crate) async fn keep<T>(
    app: &App,
    batch: &BatchRow,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<Option<T>, StoreError> {
    let renew = || app.store.batch_claim_renew(&batch.id, &app.holder, LENGTH);
    let not_renewed = |error: &StoreError| {
        tracing::warn!(batch = %batch.id, "could not renew a claim: {}", crate::causes(error));
    };
    let Some(result) = lease::while_held(HEARTBEAT, renew, not_renewed, work).await else {
        tracing::warn!(batch = %batch.id, "lost the claim on a batch: another process is working on it");
        return Ok(None);
    };
    if result.is_err() {
        release(app, batch).await;
    }
    result.map(Some)
}

/// Gives a batch back. What fails is healed by the claim's end.
pub(crate) async fn release(app: &App, batch: &BatchRow) {
    if let Err(error) = app.store.batch_claim_release(&batch.id, &app.holder).await {
        tracing::debug!(batch = %batch.id, "could not release a claim: {}", crate::causes(&error));
    }
}
