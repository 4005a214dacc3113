//! Tests the sandbox from outside: every response is validated against the published description of the API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod beyond;
mod client;
mod credentials;
mod description;
mod every_operation;
mod identities;
mod large_accounts;
mod layers;
mod log_export;
mod machine_credentials;
mod people_and_groups;
mod receiver;
mod signals;
mod sinks_and_faults;
mod story;
mod unreliable_writes;
