//! Writes and reads Baton's `.c1z` files: who may do what, in a form that other programs take.
//!
//! A file holds one sync or two: each a list of resource types, resources, entitlements (what can be held of a
//! resource) and grants (who holds it). With two, `baton diff` shows what changed. Begin with [`Writer::open`];
//! [`Reader`] shows what a file holds. Knows nothing of Cloudflare, has no clock and no randomness: times and
//! random bytes are parameters, so the same input gives the same file, byte for byte.
//!
//! # The container
//!
//! Version 1: five bytes of magic, then one zstd frame with one SQLite database. Every Baton SDK reads it.
//! Version 3 (a directory of a key-value store) is known by its magic and refused.
//!
//! # Which columns, and why
//!
//! The tables have the columns of SDK 0.1, the first, and no others. A reader that wants more adds them to its own
//! unpacked copy with defaults that fit what is written here (`sync_type` 'full'). The other way does not work: when
//! a reader copies one sync out (`baton export c1z`), it names the columns that it finds in our table and inserts
//! into one of its own, so each column that it does not know ends the copy ("no column named …"). The oldest set is
//! the only one that every reader can copy.
//!
//! So there is no `expansion` column here. What it would hold, that a grant to a group reaches the members of the
//! group, is the annotation [`message::GrantExpandable`] in the grant; newer readers move it into their column. The
//! grants that follow must be written too ([`message::Grant::derived`]): `baton access` does not work them out.
//! The move encodes grants anew, in the reader's copy, and by its source (not run) without an order of maps: there a
//! grant with several sources may look changed to `baton diff` though its bytes here are the same.
//!
//! Indexes keep the names that readers create if missing, the two swapped names of `v1_resources` included;
//! otherwise a reader would make a second index beside ours. Times are UTC without a zone. Readers before SDK 0.25
//! take them so; newer ones take them for local time, so run those with `TZ=UTC` where hours matter.
//!
//! What a person's status and profile are is written twice, in [`message::UserTrait`] and in [`message::Resource`]:
//! SDKs before 2026 know only the first, and their export of tables ends when it is missing.
//! [`objects::User`] fills both.

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

/// How large a database may be when it is unpacked, unless told otherwise, in bytes: what SDK 0.1 takes at most.
pub const UNPACKED_BYTES_MAX: u64 = 2 << 30;

/// The most that an id or a name may have, in bytes: the rule on the fields of Baton's messages.
pub const ID_BYTES_MAX: usize = 1024;

/// The most that a description may have, in bytes: the rule on the fields of Baton's messages.
pub const DESCRIPTION_BYTES_MAX: usize = 2048;
