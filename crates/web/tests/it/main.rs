//! Status and shape of everything that is served, driven without a network where none is needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod buckets;
mod changes;
mod connecting;
mod console;
mod console_changes;
mod description;
mod operations;
mod permissions;
mod posture;
mod problems;
mod purges;
mod receiver;
mod replay;
mod risk_integrations;
mod rules;
mod serving;
mod shared_signals;
mod streams;
mod tokens;
mod world;
