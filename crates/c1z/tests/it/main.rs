//! Whole files: written, read, and extended.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod file;
mod refusal;
mod schema;
