//! Takes in log batches and makes events of their records.
//!
//! A batch is answered only when it is durable in the archive ([`receive()`]); everything else reads from there
//! and may be repeated (`process::run`). What cannot be understood becomes a counted, stored, visible reject.

pub mod adopt;
pub(crate) mod places;
pub mod process;
pub mod receive;
pub mod reject;

pub use receive::{IngestError, Received, receive};
