//! What other programs for governance are told: which kinds of thing there are, and a connection's state as a file.
//!
//! [`types`] is the one table of kinds: the export, the capabilities manifest and the documentation are made from
//! it. [`export`] writes `.c1z` files, which Baton's programs read; [`server`] makes them in a stage, for download.

pub mod export;
pub mod server;
pub mod types;
