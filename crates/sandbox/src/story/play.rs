//! Pushes the whole story through the enabled Logpush jobs.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::logpush::datasets::FILLED;
use crate::logpush::delivery;
use crate::shared::Shared;

/// The time limit of [`play_all`].
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a whole story delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Played {
    /// Accepted batches; repeated ones count once.
    pub batches: usize,
    /// Records in them.
    pub records: usize,
}

/// Why a story could not be played.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// The sandbox was started without a story.
    #[error("this sandbox has no story")]
    NoStory,
    /// No enabled job would deliver anything.
    #[error("no enabled Logpush job exports a dataset of the story")]
    NoJobs,
    /// The time limit was reached.
    #[error("not delivered in time: {}", .undelivered.join("; "))]
    Undelivered {
        /// The remaining lines: how many of which dataset, the job, and the last refusal.
        undelivered: Vec<String>,
    },
}

/// Pushes the whole story through the enabled jobs; returns when every batch was answered 2xx.
pub(crate) async fn play_all(shared: &Arc<Shared>, patience: Duration) -> Result<Played, StoryError> {
    if shared.story.items.is_empty() {
        return Err(StoryError::NoStory);
    }
    let filled = |dataset: &str| FILLED.iter().any(|(name, _)| *name == dataset);
    if !shared
        .world()
        .logpush_jobs
        .iter()
        .any(|job| job.enabled && filled(&job.dataset))
    {
        return Err(StoryError::NoJobs);
    }
    let outcome = delivery::deliver(shared, &shared.story.items, 0, Instant::now() + patience).await;
    if outcome.undelivered.is_empty() {
        Ok(Played {
            batches: outcome.batches,
            records: outcome.records,
        })
    } else {
        Err(StoryError::Undelivered {
            undelivered: outcome.undelivered,
        })
    }
}
