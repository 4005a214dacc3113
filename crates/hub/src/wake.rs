//! Wake-up calls between stages: whoever writes says what was written, and the stages that read it look at once.
//!
//! A call is a courtesy: each stage also looks by itself every few seconds, so a lost call costs time and nothing else.
//! Start reading at [`Wake::call`].

use futures::future::{FutureExt, select_all};
use std::pin::Pin;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Batches that wait to be processed.
    Batches,
    /// Batches whose events wait for the rules, or groups that wait for their detections.
    Undetected,
    /// People, or the addresses that they are known by.
    People,
    /// Journal entries.
    Journal,
    /// Signals.
    Signals,
    /// Messages.
    Messages,
    /// Changes of access, and their ends.
    Access,
    /// Purges that were asked for.
    Purges,
    /// Syncs that were asked for.
    Syncs,
    /// Backtests and replays that were asked for or cancelled.
    Operations,
}

impl Written {
    const ALL: [Written; 10] = [
        Written::Batches,
        Written::Undetected,
        Written::People,
        Written::Journal,
        Written::Signals,
        Written::Messages,
        Written::Access,
        Written::Purges,
        Written::Syncs,
        Written::Operations,
    ];
}

/// The calls of one process.
#[derive(Debug, Default)]
pub struct Wake([Notify; Written::ALL.len()]);

impl Wake {
    /// Wakes the stages that read this.
    pub fn call(&self, written: Written) {
        self.0[written as usize].notify_waiters();
    }

    /// Wakes every stage that can be woken.
    pub(crate) fn call_all(&self) {
        for written in Written::ALL {
            self.call(written);
        }
    }

    /// A call about any of these from now on.
    pub(crate) fn listen(&self, reads: &[Written]) -> Listening<'_> {
        let mut calls: Vec<_> = reads
            .iter()
            .map(|written| Box::pin(self.0[*written as usize].notified()))
            .collect();
        for call in &mut calls {
            call.as_mut().enable();
        }
        Listening(calls)
    }
}

/// Calls that are listened for, also those that come before anyone waits.
pub(crate) struct Listening<'w>(Vec<Pin<Box<Notified<'w>>>>);

impl Listening<'_> {
    /// Waits for the first call; without anything to listen for, for ever.
    pub(crate) async fn heard(self) {
        if self.0.is_empty() {
            std::future::pending::<()>().await;
        } else {
            select_all(self.0).map(|_| ()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_wakes_those_who_read_what_was_written_and_nobody_else() {
        let wake = Wake::default();
        let risk = wake.listen(&[Written::Journal]);
        let both = wake.listen(&[Written::People, Written::Journal]);
        let process = wake.listen(&[Written::Batches]);
        wake.call(Written::Journal);
        risk.heard().await;
        both.heard().await;
        assert!(process.heard().now_or_never().is_none());
    }
}
