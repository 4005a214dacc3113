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

/// What the code says that a command ends with.
const EXIT_CODES: &str = "Exit codes:
  0  done, or so already
  1  failed; standard error says why
  2  the command line is wrong, or a confirmation is needed and nobody can be asked
  3  refused by a guard or by whoever was asked; or posture found something open
  4  a change was sent and could not be verified
  5  what was named does not exist: a person, a connection, a rule, the data folder";

/// The command line asks for something that this command cannot do: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// What was named does not exist: exit code 5.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotFound(pub(crate) String);

/// A self-hosted hub for Cloudflare Zero Trust: who has access, what people do, how risky it is, and acting on it.
#[derive(Debug, Parser)]
#[command(name = "flareward", version = env!("FLAREWARD_VERSION"), propagate_version = true, after_help = EXIT_CODES)]
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
    #[arg(short = 'o', long = "output", global = true, value_name = "FORM", value_parser = FormatParser, default_value = "table")]
    asked: Asked,
    #[arg(skip = Format::Table)]
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
    /// Print a completion script for a shell
    Completions(commands::shell::CompletionsArgs),
    /// Print or write man pages
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
        eprintln!("flareward: a TLS provider was installed before ours");
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
            code(&error)
        }
    }
}

/// Commands that have no data of the user's: where it lies, and what is set for it, means nothing to them.
const WITHOUT_DATA: [&str; 7] = [
    "demo",
    "sandbox",
    "settings",
    "completions",
    "man",
    "capabilities manifest",
    "posture reference",
];

/// Refuses an option that the command would ignore: whoever gave it expects something of it.
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
            let words = format!(
                "{option} has no effect on `flareward {command}`, which has no data of yours: leave it out"
            );
            return Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, words));
        }
    }
    Ok(())
}

/// The exit code that an error means.
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

/// What a command is at, for whoever waits; `None` for those that run until they are stopped.
fn purpose(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Serve(_) | Command::Sandbox(_) | Command::Demo(_) => return None,
        Command::Sync(_) => "syncing",
        Command::Connect(_) | Command::Doctor(_) => "asking Cloudflare what the credential can do",
        Command::Grant(_) | Command::Revoke(_) | Command::Offboard(_) | Command::Changes(_) => {
            "changing access"
        }
        Command::Posture(_) => "checking",
        Command::Export(_) => "writing lists",
        Command::Ingest(_) => "taking in files",
        Command::Rules(_) => "working on rules",
        Command::Logs(_) => "asking Cloudflare about logs",
        Command::Events(_) => "going through records",
        _ => "working",
    })
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    let format = global.output;
    if format == Format::Counts && !matches!(cli.command, Command::Rules(_)) {
        anyhow::bail!("--output counts is for `flareward rules run`; use table, json, ndjson or csv");
    }
    match cli.command {
        Command::Demo(args) => return commands::demo::run(args, format).await,
        Command::Sandbox(args) => commands::sandbox::run(args, format).await?,
        Command::Settings => {
            output::text_only(format, "the reference of settings")?;
            print!("{}", hub::settings::reference());
        }
        Command::Completions(args) => commands::shell::completions::<Cli>(&args, format)?,
        Command::Man(args) => commands::shell::man::<Cli>(args, format)?,
        Command::Serve(args) => commands::serve::run(args, global).await?,
        Command::Connect(args) => commands::connect::run(args, global).await?,
        Command::Doctor(args) => return commands::connect::doctor(args, global).await,
        Command::Sync(args) => return commands::sync::run(args, global).await,
        Command::Syncs(args) => commands::syncs::run(args, global).await?,
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
        Command::Export(args) => commands::export::run(args, global).await?,
        Command::Capability(args) => return commands::capability::run(args, global).await,
        Command::Capabilities(args) => commands::capability::capabilities(args, format)?,
        Command::Token(args) => return commands::token::run(args, global).await,
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

/// Opens what the settings name. Nothing is made: where there is no data, there is nothing to answer from.
pub(crate) async fn open(global: &Global) -> anyhow::Result<App> {
    let settings = settings(global)?;
    match commands::data_missing(global, &settings) {
        Some(missing) => Err(missing.into()),
        None => Ok(App::open(settings).await?),
    }
}

/// The same, making an empty store where there is none: for commands that begin one.
pub(crate) async fn open_or_make(global: &Global) -> anyhow::Result<App> {
    Ok(App::open(settings(global)?).await?)
}

/// The same as [`open`] for what can be answered without a store too.
pub(crate) async fn open_if_there(global: &Global) -> anyhow::Result<Option<App>> {
    let settings = settings(global)?;
    match commands::data_missing(global, &settings) {
        Some(_) => Ok(None),
        None => Ok(Some(App::open(settings).await?)),
    }
}

/// Lets everything that this process makes be its owner's alone: databases, archives and exports hold people's data.
fn keep_private() {
    #[cfg(unix)]
    {
        use rustix::fs::Mode;
        let others = Mode::RWXG | Mode::RWXO;
        let before = rustix::process::umask(others);
        rustix::process::umask(before | others);
    }
}

/// A server tells what it does; a command only what someone should look into.
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
