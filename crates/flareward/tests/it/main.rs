//! The program as its users run it, and the map of the project against its code.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod baton;
mod changing;
mod commands;
mod crash;
mod logs;
mod posture;
mod program;
mod rules_run;
mod tidy;
