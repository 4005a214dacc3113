//! The lock on an object: one change at a time, in the server or in a command beside it.
//!
//! Takes a lease under the name of the object ([`super::Request::lock`]), and waits for it.

use super::ProvisionError;
use crate::app::App;
use crate::lease::Lease;
use chrono::TimeDelta;
use std::time::Duration;
use store::StoreError;

/// How long a process that was killed in the midst of a change blocks the next on the same object.
pub(super) const LOCK: TimeDelta = TimeDelta::seconds(20);

/// How often the lock is asked for.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// How long someone waits for others to finish with the same object.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// Takes the lock on an object as soon as nobody has it.
pub(super) async fn lock_wait(app: &App, lock: &str) -> Result<Lease, ProvisionError> {
    let holder = app.ids.new_id(app.clock.now());
    let taken = tokio::time::timeout(LOCK_PATIENCE, async {
        loop {
            if let Some(lease) = Lease::take(app, lock, &holder, LOCK).await? {
                return Ok::<_, StoreError>(lease);
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    });
    Ok(taken.await.map_err(|_| ProvisionError::Locked)??)
}
