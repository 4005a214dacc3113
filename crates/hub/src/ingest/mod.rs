//! Takes in log batches and writes their records as parts of the archive.
//!
//! A batch is answered only when it is durable in the archive ([`receive()`]); everything else reads from there
//! and may be repeated (`process::run`). What cannot be understood becomes a counted, stored, visible reject.

pub(crate) mod part_writer;
pub(crate) mod places;
pub mod process;
pub mod receive;
pub mod reject;

pub use receive::{IngestError, Received, receive};
