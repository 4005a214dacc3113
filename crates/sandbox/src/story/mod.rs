//! The company's week, ready to be pushed, and the events after it.
//!
//! The logs that callers pull contain the same events, so a caller can use either method.

mod account;
mod gateway;
mod script;
mod trickle;
mod week;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::catalog::{AI_SITE, ORDINARY};
use crate::config::SandboxConfig;
use crate::ids::Ids;
use crate::logpush::datasets::FILLED;
use crate::logpush::delivery::{self, Item};
use crate::people;
use crate::server::Shared;
use crate::story::script::Script;
use crate::world::World;

pub(crate) use trickle::Trickle;

/// The time limit of [`play_all`].
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The events of the week, and the number of the next new event.
#[derive(Debug)]
pub(crate) struct Story {
    items: Vec<Item>,
    pub(crate) next_number: AtomicUsize,
}

/// The contents of the story for one dataset, so that a caller can check that everything arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Distinct records.
    pub records: usize,
    /// Lines that are broken on purpose.
    pub malformed_lines: usize,
}

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

impl Story {
    /// Writes the story, and adds its logins and changes to the logs of the world.
    pub(crate) fn new(config: &SandboxConfig, world: &mut World, now: DateTime<Utc>) -> Self {
        let mut items = Vec::new();
        if config.story {
            let mut script = Script::new(Ids::new(config.seed, "story"), world, &people::cast(config.seed));
            week::write(&mut script, now);
            items = script.items;
            // Oldest first; the broken line lands among the rest when batches are made.
            items.sort_by_key(|item| match item {
                Item::Event(event) => event.at,
                Item::Malformed { .. } => now - chrono::TimeDelta::days(3),
            });
            world.access_logins.append(&mut script.logins);
            world.audit.append(&mut script.audit);
        }
        Self {
            next_number: AtomicUsize::new(items.len()),
            items,
        }
    }

    pub(crate) fn expected(&self) -> BTreeMap<String, Expected> {
        let mut expected: BTreeMap<String, Expected> = BTreeMap::new();
        for item in &self.items {
            let entry = expected.entry(item.dataset().to_owned()).or_default();
            match item {
                Item::Event(_) => entry.records += 1,
                Item::Malformed { .. } => entry.malformed_lines += 1,
            }
        }
        expected
    }
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

/// A record of a dataset with all fields; `None` for datasets without events in the story.
pub(crate) fn sample(dataset: &str) -> Option<Value> {
    let config = SandboxConfig {
        members: 1,
        access_users: 1,
        groups: 0,
        ..SandboxConfig::default()
    };
    let at = DateTime::UNIX_EPOCH;
    let world = World::new(&config, at);
    let mut script = Script::new(Ids::new(0, "sample"), &world, &people::cast(0));
    let actor = script.actor(people::Part::Owner);
    script.dns(&actor, at, &ORDINARY[0], (1, "A"), week::ALLOWED);
    script.http(&actor, at, &AI_SITE, &gateway::Request::default());
    script.login(&actor, at, true, "okta");
    script.toggle(&actor, at, true);
    let mail = account::Mail {
        from: "",
        from_name: "",
        subject: "",
        disposition: "bulk",
        links: &[],
        threats: &[],
    };
    script.mail(&actor, at, &mail);
    let change = account::Change {
        action: "view",
        description: "",
        method: "GET",
        path: "",
        product: "",
        resource_type: "",
        request: Value::Null,
    };
    script.change(&actor, at, &change);
    script.items.into_iter().find_map(|item| match item {
        Item::Event(event) if event.dataset == dataset => Some(event.record),
        _ => None,
    })
}
