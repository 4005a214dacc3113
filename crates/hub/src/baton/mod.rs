//! What other programs for governance are told: which kinds of thing there are, and a connection's state as a file.
//!
//! [`types`] is the one table of kinds: the export, the capabilities manifest and the documentation are made from
//! it. [`export`] writes `.c1z` files, which Baton's programs read.

pub mod export;
pub mod types;
