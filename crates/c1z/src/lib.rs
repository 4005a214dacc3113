//! Writes and reads Baton's `.c1z` files, which describe who has access to what in a format for other programs.
//!
//! A file contains one or two syncs. Each sync is a list of resource types, resources, entitlements (what a person can
//! hold on a resource) and grants (who holds it). With two syncs, `baton diff` shows the changes. Start with
//! [`Writer::open`]; [`Reader`] shows the contents of a file. This crate knows nothing about Cloudflare and has no
//! clock and no randomness: times and random bytes are parameters, so the same input gives the same file, byte for
//! byte.
//!
//! # The container
//!
//! Version 1 is five bytes of magic, then one zstd frame with one SQLite database. Every Baton SDK reads it. Version 3
//! (a directory of a key-value store) is recognised by its magic and refused.
//!
//! # Which columns, and why
//!
//! The tables have exactly the columns of SDK 0.1, the first version. A reader that needs more columns adds them to its
//! own unpacked copy, with defaults that match the data written here (`sync_type` 'full'). The opposite does not work:
//! when a reader copies one sync out (`baton export c1z`), it lists the columns of our table and inserts into its own
//! table, so every column that it does not know aborts the copy ("no column named …"). The oldest set is the only one
//! that every reader can copy.
//!
//! So there is no `expansion` column here. Its content, that a grant to a group applies to the members of the group, is
//! the annotation [`message::GrantExpandable`] in the grant; newer readers move it into their column. You must also
//! write the resulting grants ([`message::Grant::derived`]), because `baton access` does not compute them. The move
//! encodes grants again in the reader's copy. According to its source (not run), it does so without a fixed order of
//! maps: a grant with several sources may look changed to `baton diff` although its bytes here are the same.
//!
//! Indexes have the names that readers create if they are missing, including the two swapped names of `v1_resources`;
//! otherwise a reader would create a second index. Times are UTC without a time zone. Readers before SDK 0.25 read them
//! as UTC. Newer ones read them as local time, so run those with `TZ=UTC` if hours matter.
//!
//! A person's status and profile are written twice, in [`message::UserTrait`] and in [`message::Resource`]: SDKs before
//! 2026 know only the first, and their export of tables aborts if it is missing. [`objects::User`] fills both.

mod container;
mod error;
pub mod manifest;
pub mod message;
pub mod objects;
mod reader;
mod sync_id;
mod tables;
mod writer;

pub use error::C1zError;
pub use reader::{Counts, Reader, Row, Stored, SyncRun};
pub use sync_id::SyncId;
pub use writer::{Finished, SyncWriter, Writer, WriterOptions};

/// The default limit for an unpacked database, in bytes: the limit of SDK 0.1.
pub const UNPACKED_BYTES_MAX: u64 = 2 << 30;

/// The maximum length of an id or a name, in bytes: the limit in the definition of Baton's messages.
pub const ID_BYTES_MAX: usize = 1024;

/// The maximum length of a description, in bytes: the limit in the definition of Baton's messages.
pub const DESCRIPTION_BYTES_MAX: usize = 2048;
