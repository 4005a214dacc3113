//! Takes in log batches and makes events of their records.
//!
//! A batch is answered only when it is durable in the archive ([`receive()`]); everything else reads from there
//! and may be repeated ([`process::run`]). What cannot be understood becomes a counted, stored, visible reject.

pub mod adopt;
pub(crate) mod claim;
pub(crate) mod country;
pub mod dataset;
pub(crate) mod form;
pub mod normalise;
pub(crate) mod places;
pub mod process;
pub mod receive;
pub mod recognise;
pub mod reject;

pub use dataset::{DATASETS, Dataset, RISK_SCORE_EVENTS};
pub use receive::{IngestError, Received, receive};
pub use recognise::{dataset_of, dataset_of_line, has_field};
