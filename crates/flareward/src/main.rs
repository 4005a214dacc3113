//! The program: reads the command line and hands over to one command.
//!
//! Exit codes: see [`EXIT_CODES`].

#[macro_use]
mod stream;
mod commands;
mod output;
mod progress;
mod sheet;
mod visible;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use hub::App;
use hub::settings::Settings;
use output::{Asked, Format, FormatParser};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Explains the exit codes, below the help.
const EXIT_CODES: &str = "Exit codes:
  0 success, or nothing to change
  1 failed; the reason is on standard error
  2 invalid arguments, or confirmation is required and there is no terminal
  3 refused by a guard or not confirmed; or `posture` found open findings
  4 a change was sent but could not be verified
  5 not found: a person, connection, rule or the data folder";

/// Invalid arguments: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Something named on the command line does not exist: exit code 5.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotFound(pub(crate) String);

/// A self-hosted hub for Cloudflare Zero Trust: manage access, detect risky behaviour, score risk and respond.
#[derive(Debug, Parser)]
#[command(name = "flareward", version = env!("FLAREWARD_VERSION"), propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Global options.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Data folder: database, archive and key file
    #[arg(long, global = true, value_name = "DIR", env = "FLAREWARD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Settings file (TOML); `flareward settings` lists all settings
    #[arg(long, global = true, value_name = "FILE", env = "FLAREWARD_CONFIG")]
    config: Option<PathBuf>,
    /// Output format
    #[arg(short = 'o', long = "output", global = true, value_name = "FORM", value_parser = FormatParser, default_value = "table")]
    asked: Asked,
    #[arg(skip = Format::Table)]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Flareward with a simulated Cloudflare account; no real account needed
    Demo(commands::demo::DemoArgs),
    /// Run the server: console, API, log receiver and background stages
    Serve(commands::serve::ServeArgs),
    /// Run a simulated Cloudflare account, with an Okta-like receiver and chat and mail sinks
    Sandbox(commands::sandbox::SandboxArgs),
    /// Connect a Cloudflare account and list the features its credential can use
    Connect(commands::connect::ConnectArgs),
    /// Check which features each credential can use
    Doctor(commands::connect::DoctorArgs),
    /// Sync members, roles, Access users, groups and other objects from Cloudflare
    Sync(commands::sync::SyncArgs),
    /// Show past syncs and what each one changed
    Syncs(commands::syncs::SyncsArgs),
    /// List and show backtests and replays, and cancel them or a running sync or purge
    Operations(commands::operations::OperationsArgs),
    /// List and tag connected accounts
    Connections(commands::connections::ConnectionsArgs),
    /// List and show people across all connections, and manage aliases
    People(commands::people::PeopleArgs),
    /// List and manage members: people who can log in to the Cloudflare dashboard
    Members(commands::members::MembersArgs),
    /// List and manage Access users
    AccessUsers(commands::members::AccessUsersArgs),
    /// List Access groups
    Groups(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List roles
    Roles(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List Access applications
    Apps(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List Access policies
    Policies(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List identity providers
    IdentityProviders(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List service tokens
    ServiceTokens(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List account-owned API tokens
    AccountTokens(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List user groups
    UserGroups(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// List all synced objects, including permission groups, resource groups, lists and settings
    Objects(commands::lists::ListArgs<commands::lists::ObjectArgs>),
    /// List who has which group or role, and the rule that grants it
    Grants(commands::members::GrantsArgs),
    /// Grant a person an Access group or a role
    Grant(commands::change::GrantChangeArgs),
    /// Revoke an Access group or a role from a person
    Revoke(commands::change::RevokeArgs),
    /// Offboard a person: revoke all access in every connected account
    Offboard(commands::change::OffboardArgs),
    /// List, show and undo access changes
    Changes(commands::changes::ChangesArgs),
    /// Explain why a person has, or does not have, a group, application or role
    Access(commands::access::AccessArgs),
    /// Manage log sources and show their status
    Logs(commands::logs::LogsArgs),
    /// Ingest log files
    Ingest(commands::ingest::IngestArgs),
    /// Manage, check and run detection rules
    Rules(commands::rules::RulesArgs),
    /// List detections
    Detections(commands::lists::ListArgs<commands::lists::DetectionArgs>),
    /// List and reset risk levels
    Risk(commands::risk::RiskArgs),
    /// Check account configuration for security problems, based on the last sync
    Posture(commands::posture::PostureArgs),
    /// List, search, replay and purge log events
    Events(commands::events::EventsArgs),
    /// List rejected log lines, with the reason
    Rejects(commands::lists::ListArgs<commands::lists::ByConnection>),
    /// Print SQL with which other engines query the archive
    Archive(commands::archive::ArchiveArgs),
    /// Export lists as CSV, JSON, NDJSON or XLSX, or a connection's state as .c1z
    Export(commands::export::ExportArgs),
    /// Call a capability, as other systems do over the API
    Capability(commands::capability::CapabilityArgs),
    /// Describe Flareward's capabilities to other programs
    Capabilities(commands::capability::CapabilitiesArgs),
    /// Manage API tokens
    Token(commands::token::TokenArgs),
    /// Print the settings reference (Markdown)
    Settings,
    /// Print a shell completion script
    Completions(commands::shell::CompletionsArgs),
    /// Print the man page, or write all man pages to a folder
    Man(commands::shell::ManArgs),
}

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        refuse_ignored(&matches)?;
        Cli::from_arg_matches(&matches)
    });
    let mut cli = match parsed {
        Ok(cli) => cli,
        // What is wrong is repeated from the arguments, which may come from a record.
        Err(error) if error.use_stderr() => {
            stream::err(&error.render().to_string());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(help) => help.exit(),
    };
    cli.global.output = cli.global.asked.format;
    output::draw(cli.global.asked.is_wide);
    init_log(matches!(cli.command, Command::Serve(_)));
    if !matches!(cli.command, Command::Man(_)) {
        keep_private();
    }
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("flareward: a TLS provider was already installed");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            if let Some(purpose) = purpose(&cli.command) {
                progress::begin(purpose);
            }
            let result = runtime.block_on(run(cli));
            progress::end();
            result
        }
        Err(error) => Err(anyhow::Error::new(error).context("could not start the async runtime")),
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
            code(&error)
        }
    }
}

/// Commands that use no data folder and no settings.
const WITHOUT_DATA: [&str; 7] = [
    "demo",
    "sandbox",
    "settings",
    "completions",
    "man",
    "capabilities manifest",
    "posture reference",
];

/// Rejects an option that the command would ignore.
fn refuse_ignored(matches: &clap::ArgMatches) -> Result<(), clap::Error> {
    let mut names = Vec::new();
    let mut inner = matches;
    while let Some((name, further)) = inner.subcommand() {
        names.push(name);
        inner = further;
    }
    let command = names.join(" ");
    if !WITHOUT_DATA.contains(&command.as_str()) {
        return Ok(());
    }
    for (id, option) in [("data_dir", "--data-dir"), ("config", "--config")] {
        if inner.value_source(id) == Some(clap::parser::ValueSource::CommandLine) {
            let words = format!("{option} has no effect on `flareward {command}`: remove the option");
            return Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, words));
        }
    }
    Ok(())
}

/// The exit code for an error.
fn code(error: &anyhow::Error) -> ExitCode {
    use hub::access::explain::ExplainError;
    use hub::permission::TokenError;
    use hub::posture::MuteError;
    use hub::provisioning::undo::UndoError;
    use hub::rule_admin::RuleAdminError;
    let is = |found: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(found);
    if error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        return ExitCode::from(2);
    }
    let is_missing = is(|cause| {
        cause.is::<NotFound>()
            || matches!(cause.downcast_ref(), Some(ExplainError::NotFound { .. }))
            || matches!(cause.downcast_ref(), Some(TokenError::NotFound))
            || matches!(cause.downcast_ref(), Some(MuteError::NotFound(_)))
            || matches!(
                cause.downcast_ref(),
                Some(RuleAdminError::Document { .. } | RuleAdminError::Rule { .. })
            )
            || matches!(cause.downcast_ref(), Some(UndoError::NotFound(_)))
    });
    if is_missing {
        ExitCode::from(5)
    } else {
        ExitCode::FAILURE
    }
}

/// What a command is doing, for the progress display; `None` for commands that run until stopped.
fn purpose(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Serve(_) | Command::Sandbox(_) | Command::Demo(_) => return None,
        Command::Sync(_) => "syncing",
        Command::Connect(_) | Command::Doctor(_) => "checking the credential",
        Command::Grant(_) | Command::Revoke(_) | Command::Offboard(_) | Command::Changes(_) => {
            "changing access"
        }
        Command::Posture(_) => "checking",
        Command::Export(_) => "exporting",
        Command::Ingest(_) => "ingesting files",
        Command::Rules(_) => "processing rules",
        Command::Logs(_) => "checking log sources",
        Command::Events(_) => "searching records",
        _ => "working",
    })
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    let format = global.output;
    if format == Format::Counts && !matches!(cli.command, Command::Rules(_)) {
        anyhow::bail!(
            "`--output counts` works only with `flareward rules run`; use table, json, ndjson \
             or csv"
        );
    }
    match cli.command {
        Command::Demo(args) => return commands::demo::run(args, format).await,
        Command::Sandbox(args) => commands::sandbox::run(args, format).await?,
        Command::Settings => {
            output::text_only(format, "the settings reference")?;
            print!("{}", hub::settings::reference());
        }
        Command::Completions(args) => commands::shell::completions::<Cli>(&args, format)?,
        Command::Man(args) => commands::shell::man::<Cli>(args, format)?,
        Command::Serve(args) => commands::serve::run(args, global).await?,
        Command::Connect(args) => commands::connect::run(args, global).await?,
        Command::Doctor(args) => return commands::connect::doctor(args, global).await,
        Command::Sync(args) => return commands::sync::run(args, global).await,
        Command::Syncs(args) => commands::syncs::run(args, global).await?,
        Command::Operations(args) => commands::operations::run(args, global).await?,
        Command::Connections(args) => commands::connections::run(args, global).await?,
        Command::People(args) => return commands::people::run(args, global).await,
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
        Command::Events(args) => return commands::events::run(args, global).await,
        Command::Rejects(args) => commands::lists::rejects(args, global).await?,
        Command::Archive(args) => return commands::archive::run(args, global).await,
        Command::Export(args) => commands::export::run(args, global).await?,
        Command::Capability(args) => return commands::capability::run(args, global).await,
        Command::Capabilities(args) => commands::capability::capabilities(args, format)?,
        Command::Token(args) => return commands::token::run(args, global).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings from the command line, the environment and the file.
pub(crate) fn settings(global: &Global) -> anyhow::Result<Settings> {
    let mut settings = Settings::load(global.config.as_deref(), std::env::vars())?;
    if let Some(folder) = &global.data_dir {
        settings.data.dir.clone_from(folder);
    }
    Ok(settings)
}

/// Opens the store that the settings name. Fails if it does not exist.
pub(crate) async fn open(global: &Global) -> anyhow::Result<App> {
    let settings = settings(global)?;
    match commands::data_missing(global, &settings) {
        Some(missing) => Err(missing.into()),
        None => opened(settings).await,
    }
}

/// The same, but creates an empty store if there is none.
pub(crate) async fn open_or_make(global: &Global) -> anyhow::Result<App> {
    opened(settings(global)?).await
}

/// The same as [`open`], for commands that also work without a store.
pub(crate) async fn open_if_there(global: &Global) -> anyhow::Result<Option<App>> {
    let settings = settings(global)?;
    match commands::data_missing(global, &settings) {
        Some(_) => Ok(None),
        None => opened(settings).await.map(Some),
    }
}

/// Opens the store. What an earlier version stored is moved first, with its progress on the terminal.
pub(crate) async fn opened(settings: Settings) -> anyhow::Result<App> {
    let bar = progress::ProgressBar::new(None, false);
    let app = App::open_showing(settings, &|progress| {
        bar.set_message(progress.what);
        bar.set_length(progress.total.unwrap_or_default());
        bar.set_position(progress.done);
    })
    .await;
    bar.finish_and_clear();
    Ok(app?)
}

/// Makes all files of this process readable by their owner only: databases, archives and exports hold personal data.
fn keep_private() {
    #[cfg(unix)]
    {
        use rustix::fs::Mode;
        let others = Mode::RWXG | Mode::RWXO;
        let before = rustix::process::umask(others);
        rustix::process::umask(before | others);
    }
}

/// A server logs what it does; a command logs warnings and errors only.
fn init_log(is_server: bool) {
    use std::io::IsTerminal;
    use tracing::Level;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};
    let filter = EnvFilter::try_from_env("FLAREWARD_LOG")
        .unwrap_or_else(|_| EnvFilter::new(if is_server { "info,sqlx=warn" } else { "warn" }));
    // Standard output belongs to the command's answer.
    let layer = fmt::layer()
        .with_writer(|| stream::Log)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let json = std::env::var("FLAREWARD_LOG_FORMAT").is_ok_and(|format| format == "json");
    let of_client =
        filter_fn(|event| event.target().starts_with("cloudflare") && *event.level() == Level::INFO);
    let registry = tracing_subscriber::registry().with(progress::Waits.with_filter(of_client));
    if json {
        registry.with(layer.json().with_filter(filter)).init();
    } else {
        registry.with(layer.compact().with_filter(filter)).init();
    }
}
