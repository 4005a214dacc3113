//! A lease that this process holds on something that has a name: taken, kept by signs of life, given back.
//!
//! Whoever is killed keeps it for its length at most. Start reading at [`Lease::take`].

use crate::app::App;
use chrono::TimeDelta;
use std::time::Duration;
use store::{Store, StoreError};

/// Signs of life within the length of a lease. Chosen: two may be missed.
const SIGNS: i32 = 3;

/// What is held.
pub(crate) struct Lease {
    store: Store,
    name: String,
    holder: String,
    length: TimeDelta,
}

impl Lease {
    /// Takes the lease, or renews it for the same holder. Answers nothing when another holds it.
    pub(crate) async fn take(
        app: &App,
        name: &str,
        holder: &str,
        length: TimeDelta,
    ) -> Result<Option<Lease>, StoreError> {
        let is_taken = app.store.lease_take(name, holder, length).await?;
        Ok(is_taken.then(|| Lease {
            store: app.store.clone(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            length,
        }))
    }

    /// Does `work` and gives signs of life meanwhile. Answers nothing when the lease was lost: another process may be
    /// at the same work then.
    pub(crate) async fn keep<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let every = (self.length / SIGNS).to_std().unwrap_or(Duration::from_secs(1));
        let renew = || self.store.lease_take(&self.name, &self.holder, self.length);
        let not_renewed = |error: &StoreError| {
            tracing::warn!(
                lease = self.name,
                "could not renew a lease: {}",
                crate::causes(error)
            );
        };
        let result = while_held(every, renew, not_renewed, work).await;
        if result.is_none() {
            tracing::warn!(lease = self.name, "a lease was lost: another process took it");
        }
        result
    }

    /// Gives it back. What fails is healed by the lease's end.
    pub(crate) async fn release(self) {
        if let Err(error) = self.store.lease_release(&self.name, &self.holder).await {
            tracing::debug!(
                lease = self.name,
                "could not release a lease: {}",
                crate::causes(&error)
            );
        }
    }
}

/// Does `work` while something is held that ends by itself, and renews it meanwhile. Answers nothing when it was lost:
/// another process may be at the same work then.
///
/// `renew` answers whether it is still held. Not to know is not to have lost it: `not_renewed` is told, and it is asked
/// again.
pub(crate) async fn while_held<T, R>(
    every: Duration,
    renew: impl Fn() -> R,
    not_renewed: impl Fn(&StoreError),
    work: impl Future<Output = T>,
) -> Option<T>
where
    R: Future<Output = Result<bool, StoreError>>,
{
    let lost = async {
        loop {
            tokio::time::sleep(every).await;
            match renew().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => not_renewed(&error),
            }
        }
    };
    tokio::select! {
        result = work => Some(result),
        () = lost => None,
    }
}
