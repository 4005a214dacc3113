//! A simulated Cloudflare account with an Okta-like receiver, chat and mail sinks.
//!
//! A real HTTP server on a loopback port that answers as the Cloudflare API does: the same envelopes, pages, limits and
//! refusals. State changes as calls come in, and what is received is kept to be looked at. Everything in it is made from
//! a seed, so the same configuration gives the same account.
//!
//! Start reading at [`Sandbox::start`]; each family of calls is a module with its routes first.

mod access_apps;
mod access_groups;
mod access_organization;
mod access_policies;
mod access_users;
mod accounts;
mod audit;
mod call;
mod clock;
mod config;
mod envelope;
mod faults;
mod gateway_logging;
mod handle;
mod iam;
mod ids;
mod logpush;
mod members;
mod people;
mod permissions;
mod risk_scoring;
mod roles;
mod server;
mod world;

pub use config::{SandboxConfig, SandboxInfo};
pub use faults::{FailingPage, Faults, SinkFault, SinkFaults};
pub use handle::WorldHandle;
pub use server::{Sandbox, SandboxError, served_operations};
