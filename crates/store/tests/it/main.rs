//! What the store promises, on both engines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod journal;
mod pipeline;
