//! A simulated Cloudflare account with an Okta-like receiver, chat and mail sinks.
//!
//! A real HTTP server on a loopback port that responds as the Cloudflare API does: the same envelopes, pages, limits
//! and refusals. Calls change its state, and received messages are stored for inspection. Everything is generated from
//! a seed, so the same configuration gives the same account.
//!
//! Start reading at [`Sandbox::start`]. Each family of calls is a module that starts with its routes.

// The record with the most fields is one literal, deeper than the default allows.
#![recursion_limit = "256"]

mod api;
mod call;
mod catalog;
mod chat;
mod clock;
mod config;
mod control;
mod credential;
mod envelope;
mod fault_layer;
mod faults;
mod handle;
mod ids;
mod logpush;
mod okta;
mod permissions;
mod reach;
mod received;
mod register;
mod route;
mod server;
mod shared;
mod smtp;
mod story;
mod world;

pub use config::{SandboxConfig, SandboxInfo};
pub use faults::{AddedRule, FailingPage, Faults, PathRefusal, SinkFault, SinkFaults};
pub use handle::{Seats, WorldHandle};
pub use logpush::ledger::Pushed;
pub use received::{ReceivedMessage, ReceivedSignal, Sink};
pub use server::{Sandbox, SandboxError, served_operations};
pub use story::Expected;
pub use story::play::{Played, StoryError};
