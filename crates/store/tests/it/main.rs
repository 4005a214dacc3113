//! The guarantees of the store, on both engines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod damaged;
mod full_disk;
mod journal;
mod pipeline;
mod tokens;
