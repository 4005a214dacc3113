//! The archive of records: Parquet parts in an object store, one dataset and hour each.
//!
//! A part holds each record as it came, and the columns that searches need. Its rows are sorted by identifier and time,
//! so that one person's records lie together; statistics, a page index and bloom filters show which pages a question
//! needs.
//!
//! This crate runs no SQL, and knows no rules and no people. It does not keep the list of parts: whoever stores that list passes
//! it in ([`PartInfo`]). Start reading at [`write::part`] and [`search::run`]; [`sql`] prints the SQL with which other
//! engines read the parts.

mod error;
pub mod listing;
pub mod merge;
pub mod read;
pub mod record;
mod schema;
pub mod search;
pub mod sql;
pub mod verify;
pub mod write;

pub use error::PartError;
pub use record::{Record, RecordId};
pub use schema::SCHEMA_VERSION;
pub use write::PartInfo;

#[cfg(test)]
mod tests;
