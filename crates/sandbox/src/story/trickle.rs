//! The task that keeps life going after the story, if it runs. [`super::ongoing`] starts it.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;

/// The task that keeps life going, if it runs.
#[derive(Debug, Default)]
pub(crate) struct Trickle(Mutex<Option<JoinHandle<()>>>);

impl Trickle {
    /// Lets this task be the one, in place of the one before.
    pub(crate) fn run(&self, task: JoinHandle<()>) {
        self.replace(Some(task));
    }

    /// Stops it; whether it was running.
    pub(crate) fn stop(&self) -> bool {
        self.replace(None)
    }

    fn replace(&self, task: Option<JoinHandle<()>>) -> bool {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), task);
        before.map(|task| task.abort()).is_some()
    }
}
