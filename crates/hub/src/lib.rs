//! The stages that carry data from Cloudflare to people, detections, risk, signals and messages.
//!
//! Stages meet in the store, never by calling each other. Each looks at what is, compares it with what should
//! be, closes the gap, and may be killed and run again:
//!
//! - [`connect`] checks a credential and keeps it; [`sync`] reads every list of an account; [`access`] works out
//!   who has what, and why;
//! - [`provisioning`] changes access: plan, guards, write, verify;
//! - [`source`] sees to it that logs come: by jobs that push, by pull, from buckets;
//! - [`ingest`] takes log batches into the [`archive`] and then into events;
//! - [`detection`] runs the rules of the [`rules::book`]; [`risk`] turns detections into levels;
//! - [`posture`] checks how each account is set up;
//! - [`transmit`] tells receivers of every change; [`coaching`] writes to people;
//! - [`capability`] answers other systems; [`baton`] writes down who has what for programs of governance.
//!
//! [`driver`] runs them; [`app::App`] holds what they share. Start reading there.

pub mod access;
pub mod app;
pub mod archive;
pub mod audit;
pub mod baton;
pub mod bucket;
pub mod capability;
mod carry_over;
mod claim;
mod clock_watch;
pub mod coaching;
pub mod compact;
pub mod connect;
pub mod connection;
mod consumer;
pub mod detection;
pub mod driver;
mod due;
pub mod egress;
pub mod event;
pub mod fault;
pub mod ingest;
pub mod integration;
mod journal_words;
mod lease;
mod listed;
pub mod objects;
pub mod operation;
pub mod people;
pub mod permission;
pub mod person_detail;
pub mod posture;
pub mod private;
pub mod probe;
pub mod progress;
pub mod provisioning;
pub mod purge;
mod record;
pub mod redact;
pub mod retention;
pub mod risk;
pub mod rule_admin;
pub mod sealing_key;
pub mod search;
pub mod secret;
pub mod session;
pub mod settings;
mod slots;
pub mod source;
pub mod stage_health;
pub mod sweep;
pub mod sync;
pub mod transmit;
pub mod wake;

pub use app::{App, OpenError};
pub use permission::{Actor, Permission};

/// An error with all its causes, for a log line or a person: `outer: cause: its cause`.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
