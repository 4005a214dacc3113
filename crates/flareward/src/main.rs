//! The program: reads the command line and hands over to one command.
//!
//! Exit codes: 0 done; 1 failed, with one line on standard error; 2 the command line is not understood;
//! 3 refused by a guard, or `posture` found something open at or above `--fail-on`; 4 a change was sent and could
//! not be verified.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command speaks through these"
)]

mod commands;
mod output;
mod sheet;

use clap::{Parser, Subcommand};
use hub::App;
use hub::settings::Settings;
use output::{Format, FormatParser};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A self-hosted hub for Cloudflare Zero Trust: who has access, what people do, how risky it is, and acting on it.
#[derive(Debug, Parser)]
#[command(name = "flareward", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The folder of the database, the archive and the key file
    #[arg(long, global = true, value_name = "DIR", env = "FLAREWARD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A settings file in TOML; `flareward settings` lists what can be set
    #[arg(long, global = true, value_name = "FILE", env = "FLAREWARD_CONFIG")]
    config: Option<PathBuf>,
    /// How to print
    #[arg(short, long, global = true, value_parser = FormatParser, default_value = "table")]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show everything at work on a simulated Cloudflare account, without any account of yours
    Demo(commands::demo::DemoArgs),
    /// Serve the console, the API and the log receiver, and run the stages
    Serve(commands::serve::ServeArgs),
    /// Serve a simulated Cloudflare account with an Okta-like receiver, chat and mail sinks
    Sandbox(commands::sandbox::SandboxArgs),
    /// Connect a Cloudflare account and show what its credential can do
    Connect(commands::connect::ConnectArgs),
    /// Ask Cloudflare again what each credential can do
    Doctor(commands::connect::DoctorArgs),
    /// Read members, roles, Access users and groups from Cloudflare
    Sync(commands::sync::SyncArgs),
    /// The history of syncs, and what each changed
    Syncs(commands::syncs::SyncsArgs),
    /// Which accounts are connected, and words to group them by
    Connections(commands::connections::ConnectionsArgs),
    /// People over all connections
    People(commands::people::PeopleArgs),
    /// Who may log in to the dashboard
    Members(commands::members::MembersArgs),
    /// Access users
    AccessUsers(commands::members::AccessUsersArgs),
    /// Access groups
    Groups(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Roles
    Roles(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Applications behind Access
    Apps(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Access policies
    Policies(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Identity providers
    IdentityProviders(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Service tokens
    ServiceTokens(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// API tokens that belong to the account
    AccountTokens(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// User groups of the account
    UserGroups(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Everything else that is synced: permission groups, resource groups, lists, settings
    Objects(commands::lists::ListArgs<commands::lists::ObjectArgs>),
    /// Who holds which group or role, and through which rule
    Grants(commands::members::GrantsArgs),
    /// Give a person an Access group or a role
    Grant(commands::change::GrantChangeArgs),
    /// Take an Access group or a role from a person
    Revoke(commands::change::RevokeArgs),
    /// Take everything from a person, in every connected account
    Offboard(commands::change::OffboardArgs),
    /// Changes of access that were made or refused
    Changes(commands::changes::ChangesArgs),
    /// Whether one person has one thing, and why
    Access(commands::access::AccessArgs),
    /// Where log records come from, and how each source fares
    Logs(commands::logs::LogsArgs),
    /// Take in log files
    Ingest(commands::ingest::IngestArgs),
    /// Detection rules
    Rules(commands::rules::RulesArgs),
    /// What the rules found
    Detections(commands::lists::ListArgs<commands::lists::DetectionArgs>),
    /// Risk levels
    Risk(commands::risk::RiskArgs),
    /// What is not set up the way it should be, checked over what the last sync read
    Posture(commands::posture::PostureArgs),
    /// Log records, and removing those of one person
    Events(commands::events::EventsArgs),
    /// Lines that could not become an event, with the reason
    Rejects(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Write lists to files: CSV, JSON, NDJSON or a spreadsheet; or a connection's state as .c1z
    Export(commands::export::ExportArgs),
    /// Call a capability as other systems do
    Capability(commands::capability::CapabilityArgs),
    /// What Flareward can do, for other programs
    Capabilities(commands::capability::CapabilitiesArgs),
    /// Tokens for the API
    Token(commands::token::TokenArgs),
    /// Print the reference of all settings, in Markdown
    Settings,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_log(matches!(cli.command, Command::Serve(_)));
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("flareward: a TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(anyhow::Error::new(error).context("the runtime cannot start")),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // A reader that went away (`| head`) is no failure of ours.
            if error
                .root_cause()
                .downcast_ref::<std::io::Error>()
                .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return ExitCode::SUCCESS;
            }
            eprintln!("flareward: {}", hub::causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    let format = global.output;
    if format == Format::Counts && !matches!(cli.command, Command::Rules(_)) {
        anyhow::bail!("--output counts is for `flareward rules run`; use table, json, ndjson or csv");
    }
    match cli.command {
        Command::Demo(args) => return commands::demo::run(args, format).await,
        Command::Sandbox(args) => commands::sandbox::run(args, format != Format::Table).await?,
        Command::Settings => print!("{}", hub::settings::reference()),
        Command::Serve(args) => commands::serve::run(args, global).await?,
        Command::Connect(args) => commands::connect::run(args, global).await?,
        Command::Doctor(args) => return commands::connect::doctor(args, global).await,
        Command::Sync(args) => return commands::sync::run(args, global).await,
        Command::Syncs(args) => commands::syncs::run(args, global).await?,
        Command::Connections(args) => commands::connections::run(args, global).await?,
        Command::People(args) => commands::people::run(args, global).await?,
        Command::Members(args) => return commands::members::members(args, global).await,
        Command::AccessUsers(args) => return commands::members::access_users(args, global).await,
        Command::Groups(args) => commands::lists::groups(args, global).await?,
        Command::Roles(args) => commands::lists::roles(args, global).await?,
        Command::Grants(args) => commands::members::grants(args, global).await?,
        Command::Grant(args) => return commands::change::grant(args, global).await,
        Command::Revoke(args) => return commands::change::revoke(args, global).await,
        Command::Offboard(args) => return commands::change::run_offboard(args, global).await,
        Command::Changes(args) => return commands::changes::run(args, global).await,
        Command::Apps(args) => commands::lists::objects("apps", args, global).await?,
        Command::Policies(args) => commands::lists::objects("policies", args, global).await?,
        Command::IdentityProviders(args) => {
            commands::lists::objects("identity_providers", args, global).await?;
        }
        Command::ServiceTokens(args) => commands::lists::objects("service_tokens", args, global).await?,
        Command::AccountTokens(args) => commands::lists::objects("account_tokens", args, global).await?,
        Command::UserGroups(args) => commands::lists::objects("user_groups", args, global).await?,
        Command::Objects(args) => commands::lists::all_objects(args, global).await?,
        Command::Access(args) => commands::access::run(args, global).await?,
        Command::Logs(args) => return commands::logs::run(args, global).await,
        Command::Ingest(args) => commands::ingest::run(args, global).await?,
        Command::Rules(args) => return commands::rules::run(args, global).await,
        Command::Detections(args) => commands::lists::detections(args, global).await?,
        Command::Risk(args) => commands::risk::run(args, global).await?,
        Command::Posture(args) => return commands::posture::run(args, global).await,
        Command::Events(args) => commands::events::run(args, global).await?,
        Command::Rejects(args) => commands::lists::rejects(args, global).await?,
        Command::Export(args) => commands::export::run(args, global).await?,
        Command::Capability(args) => return commands::capability::run(args, global).await,
        Command::Capabilities(args) => commands::capability::capabilities(args)?,
        Command::Token(args) => commands::token::run(args, global).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings that the command line, the environment and the file give together.
pub(crate) fn settings(global: &Global) -> anyhow::Result<Settings> {
    let mut settings = Settings::load(global.config.as_deref(), std::env::vars())?;
    if let Some(folder) = &global.data_dir {
        settings.data.dir.clone_from(folder);
    }
    Ok(settings)
}

/// Opens what the settings name.
pub(crate) async fn open(global: &Global) -> anyhow::Result<App> {
    Ok(App::open(settings(global)?).await?)
}

/// A server tells what it does; a command only what someone should look into.
fn init_log(is_server: bool) {
    use std::io::IsTerminal;
    use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};
    let filter = EnvFilter::try_from_env("FLAREWARD_LOG")
        .unwrap_or_else(|_| EnvFilter::new(if is_server { "info,sqlx=warn" } else { "warn" }));
    // Standard output belongs to the command's answer.
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let json = std::env::var("FLAREWARD_LOG_FORMAT").is_ok_and(|format| format == "json");
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(layer.json()).init();
    } else {
        registry.with(layer.compact()).init();
    }
}
