//! Rules from text to match, as a user of the crate sees them.

mod agreement;
mod conformance;
mod correlations;
mod refusals;
mod semantics;
