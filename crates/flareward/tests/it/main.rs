//! The program as its users run it, and the map of the project against its code.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and one that is skipped says so"
)]

mod access;
mod archive_sql;
mod baton;
mod changing;
mod command_line;
mod commands;
mod crash;
mod faults;
mod logs;
mod posture;
mod printed;
mod private;
mod program;
mod rules_run;
mod tidy;
