//! What all parts of a running sandbox reach: its state, its clock and its faults.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{SandboxConfig, SandboxInfo};
use crate::faults::FaultState;
use crate::logpush::ledger::Ledger;
use crate::okta::tenant::Tenant;
use crate::received::Received;
use crate::story::Story;
use crate::story::trickle::Trickle;
use crate::world::World;

/// The state that all parts of a running sandbox share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SandboxConfig,
    pub(crate) info: SandboxInfo,
    pub(crate) clock: Clock,
    pub(crate) faults: FaultState,
    pub(crate) http: reqwest::Client,
    pub(crate) stopping: CancellationToken,
    pub(crate) story: Story,
    pub(crate) trickle: Trickle,
    pub(crate) pushed: Ledger,
    pub(crate) received: Received,
    pub(crate) okta: Tenant,
    pub(crate) world: Mutex<World>,
    pub(crate) requests: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    /// The world. It stays readable after a panic of another holder.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count_request(&self, endpoint: &str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(endpoint.to_owned()).or_default() += 1;
    }

    /// The number of calls so far, by method and path template.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
