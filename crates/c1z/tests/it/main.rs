//! Whole files: written, read again, written on.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod file;
mod refusal;
mod schema;
