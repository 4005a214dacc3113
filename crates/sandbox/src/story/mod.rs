//! The company's week, ready to be pushed, and the events after it.
//!
//! The logs that callers pull contain the same events, so a caller can use either method.

mod account;
mod gateway;
pub(crate) mod ongoing;
pub(crate) mod play;
pub(crate) mod sample;
mod script;
pub(crate) mod trickle;
mod week;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::SandboxConfig;
use crate::ids::Ids;
use crate::logpush::record::Item;
use crate::story::script::Script;
use crate::world::{World, people};

/// The events of the week, and the number of the next new event.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) items: Vec<Item>,
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
