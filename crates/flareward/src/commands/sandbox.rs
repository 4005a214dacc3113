//! `flareward sandbox`: serves a simulated Cloudflare account until it is interrupted.
//!
//! Prints where everything is and the credentials first, so that a script can read them from the first line. Starts
//! nothing else and stores nothing.

use super::asked_to_end;
use crate::output::{Format, object};
use anyhow::Context;
use sandbox::{Sandbox, SandboxConfig, SandboxInfo};

/// Run a simulated Cloudflare account, with an Okta-like receiver and chat and mail sinks.
#[derive(Debug, clap::Args)]
pub(crate) struct SandboxArgs {
    /// Port on 127.0.0.1; 0 selects a free port
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Seed; the same seed generates the same account
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Number of members (people who can log in to the dashboard)
    #[arg(long)]
    pub(crate) members: Option<usize>,
    /// Number of Zero Trust users
    #[arg(long)]
    pub(crate) access_users: Option<usize>,
    /// Number of Access groups
    #[arg(long)]
    pub(crate) groups: Option<usize>,
    /// Approximate number of rules of every kind in each generated group; at least 1. Default: up to eight addresses
    #[arg(long)]
    pub(crate) rules_per_group: Option<usize>,
    /// Number of applications, with several policies each. Default: four hand-written applications
    #[arg(long)]
    pub(crate) apps: Option<usize>,
    /// Number of roles
    #[arg(long)]
    pub(crate) roles: Option<usize>,
    /// Write the API token to this file, for `flareward connect --token-file`; replaces existing content
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<std::path::PathBuf>,
    /// Start with a week of past events
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) story: bool,
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
///
/// If the port is in use, or the output cannot be written.
pub(crate) async fn run(args: SandboxArgs, format: Format) -> anyhow::Result<()> {
    let default = SandboxConfig::default();
    let config = SandboxConfig {
        seed: args.seed,
        port: args.port,
        members: args.members.unwrap_or(default.members),
        access_users: args.access_users.unwrap_or(default.access_users),
        groups: args.groups.unwrap_or(default.groups),
        rules_per_group: args.rules_per_group,
        apps: args.apps,
        roles: args.roles.unwrap_or(default.roles),
        story: args.story,
        ..default
    };
    let sandbox = Sandbox::start(config)
        .await
        .context("could not start the sandbox")?;
    if let Some(file) = &args.token_file {
        std::fs::write(file, format!("{}\n", sandbox.info().token))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match format {
        Format::Table => print!("{}", readable(sandbox.info())),
        Format::Csv => object(format, &serde_json::to_value(sandbox.info())?)?,
        // On one line, so that a script can read the first line and go on.
        _ => println!("{}", serde_json::to_string(sandbox.info())?),
    }
    asked_to_end().await;
    sandbox.stop().await;
    Ok(())
}

fn readable(info: &SandboxInfo) -> String {
    let smtp = format!("{}:{}", info.smtp_host, info.smtp_port);
    let rows = [
        ("API", &info.base_url),
        ("account", &info.account_name),
        ("account ID", &info.account_id),
        ("token", &info.token),
        ("account-owned token", &info.account_token),
        ("email of the key", &info.email),
        ("global API key", &info.api_key),
        ("Okta tenant", &info.okta_url),
        ("Slack webhook", &info.slack_webhook_url),
        ("Teams webhook", &info.teams_webhook_url),
        ("Google Chat webhook", &info.google_chat_webhook_url),
        ("mail", &smtp),
        ("control", &info.control_url),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        text.push_str(&format!("{name:<20} {value}\n"));
    }
    text.push_str("Press Ctrl-C to stop.\n");
    text
}
