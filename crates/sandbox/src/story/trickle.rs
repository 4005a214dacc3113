//! Events after the story: a few ordinary events at regular intervals with the current time, and occasionally a risky
//! one.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;

/// The task that generates events, if it is running.
#[derive(Debug, Default)]
pub(crate) struct Trickle(Mutex<Option<JoinHandle<()>>>);

impl Trickle {
    /// Lets this task be the one, in place of the one before.
    pub(crate) fn run(&self, task: JoinHandle<()>) {
        self.replace(Some(task));
    }

    /// Stops it; returns whether it was running.
    pub(crate) fn stop(&self) -> bool {
        self.replace(None)
    }

    fn replace(&self, task: Option<JoinHandle<()>>) -> bool {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), task);
        before.map(|task| task.abort()).is_some()
    }
}
