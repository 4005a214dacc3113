//! `flareward connect` and `flareward doctor`.

use super::connection;
use crate::Global;
use crate::output::{Format, Printer, object};
use anyhow::{Context, bail};
use cloudflare::{Credential, credential as names};
use hub::connect::{ConnectError, ConnectRequest, connect, label_of, reachable};
use hub::{Actor, App};
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use web::api::connections::{ConnectedBody, ConnectionBody, ProbeBody};

/// The account and its credential.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// Label for this connection
    #[arg(long, required_unless_present = "all")]
    label: Option<String>,
    /// Connect every account that the credential can access; labels are derived from the account names
    #[arg(long, conflicts_with_all = ["label", "account"])]
    all: bool,
    /// Account ID (32 hex digits), or the organisation's name
    #[arg(long, env = names::ENV_ACCOUNT_ID)]
    account: Option<String>,
    /// File with the API token; - reads standard input. Default: CLOUDFLARE_API_TOKEN
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["email", "api_key_file"])]
    token_file: Option<String>,
    /// Email address of the global API key. Default: CLOUDFLARE_EMAIL
    #[arg(long, requires = "api_key_file")]
    email: Option<String>,
    /// File with the global API key; - reads standard input. Default: CLOUDFLARE_API_KEY
    #[arg(long, value_name = "FILE|-")]
    api_key_file: Option<String>,
    /// Base URL of the API, if not Cloudflare's
    #[arg(long, value_name = "URL", env = names::ENV_BASE_URL)]
    base_url: Option<String>,
}

/// The connection to check.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
}

const ALL_COLUMNS: &[&str] = &["label", "account_name", "account_id", "state", "state_reason"];
const COLUMNS: &[&str] = &["feature", "works", "missing_permission", "message"];
const DOCTOR_COLUMNS: &[&str] = &["connection", "feature", "works", "missing_permission", "message"];

pub(crate) async fn run(args: ConnectArgs, global: &Global) -> anyhow::Result<()> {
    let credential = credential(&args)?;
    let app = crate::open_or_make(global).await?;
    if args.all {
        return connect_all(&app, &credential, args.base_url.as_deref(), global.output).await;
    }
    let label = args.label.clone().unwrap_or_default();
    let request = ConnectRequest {
        label: label.clone(),
        account: args.account.clone(),
        credential: credential.clone(),
        base_url: args.base_url.clone(),
    };
    let connected = match connect(&app, &request, &Actor::CommandLine).await {
        Err(ConnectError::AccountNeeded(words)) => {
            let several = reachable(&app, &credential, args.base_url.as_deref())
                .await
                .unwrap_or_default();
            if several.len() < 2 {
                return Err(ConnectError::AccountNeeded(words).into());
            }
            eprintln!("This credential can access {} accounts:", several.len());
            let credential = match (&args.token_file, &args.email, &args.api_key_file) {
                (Some(file), ..) => format!(" --token-file {file}"),
                (None, Some(email), Some(file)) => format!(" --email {email} --api-key-file {file}"),
                _ => String::new(),
            };
            for (id, name) in several {
                eprintln!("  {name}: flareward connect --label {label} --account {id}{credential}");
            }
            eprintln!("  all of them: flareward connect --all{credential}");
            bail!("specify an account");
        }
        result => result?,
    };
    let row = &connected.connection;
    let ingest_url = format!("{}/ingest/{}/{{dataset}}", app.public_url(), row.label);
    if global.output != Format::Table {
        let body = ConnectedBody::new(&app, connected)?;
        object(global.output, &json!(body))?;
        return Ok(());
    }
    let mut printer = Printer::new(global.output, COLUMNS);
    for probe in &connected.probes {
        printer.body(&ProbeBody::new(probe.clone()), &[])?;
    }
    printer.finish("no features checked")?;
    println!(
        "Connected {} ({}) as {}: {}",
        row.account_name, row.account_id, row.label, row.state
    );
    println!("Log endpoint: {ingest_url}");
    println!(
        "Header: X-Flareward-Secret: {}",
        secrecy::ExposeSecret::expose_secret(&connected.ingest_secret)
    );
    println!("`flareward logs enable` configures both in Cloudflare. Next, run `flareward sync`.");
    Ok(())
}

async fn connect_all(
    app: &App,
    credential: &Credential,
    base_url: Option<&str>,
    format: Format,
) -> anyhow::Result<()> {
    let accounts = reachable(app, credential, base_url).await?;
    if accounts.is_empty() {
        bail!("Cloudflare lists no accounts for this credential: specify one with --account");
    }
    let known = app.store.connection_list().await?;
    let mut taken: Vec<String> = known.iter().map(|row| row.label.clone()).collect();
    let mut printer = Printer::new(format, ALL_COLUMNS);
    let mut failed = Vec::new();
    for (id, name) in accounts {
        // An account that is connected keeps its label, and gets this credential.
        let label = match known.iter().find(|row| row.account_id == id) {
            Some(row) => row.label.clone(),
            None => label_of(&name, &taken),
        };
        taken.push(label.clone());
        let request = ConnectRequest {
            label: label.clone(),
            account: Some(id.clone()),
            credential: credential.clone(),
            base_url: base_url.map(str::to_owned),
        };
        match connect(app, &request, &Actor::CommandLine).await {
            Ok(connected) => printer.body(&ConnectionBody::new(connected.connection)?, &[])?,
            Err(error) => failed.push(format!("{name} ({id}): {}", hub::causes(&error))),
        }
    }
    printer.finish("no account connected")?;
    if !failed.is_empty() {
        bail!("could not connect {}", failed.join("; "));
    }
    Ok(())
}

pub(crate) async fn doctor(args: DoctorArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let rows = match &args.connection {
        Some(label) => vec![connection(&app, Some(label)).await?],
        None => app.store.connection_list().await?,
    };
    if rows.is_empty() {
        bail!("no account connected: run `flareward connect`");
    }
    let mut all_work = true;
    let mut printer = Printer::new(global.output, DOCTOR_COLUMNS);
    for row in rows {
        let probes = hub::connect::check(&app, &row, &hub::Actor::CommandLine).await?;
        all_work &= !probes.iter().any(hub::probe::is_blocked);
        for probe in probes {
            printer.body(&ProbeBody::of(probe, &row), &[])?;
        }
    }
    printer.finish("no features checked")?;
    Ok(if all_work {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn credential(args: &ConnectArgs) -> anyhow::Result<Credential> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(file) = &args.token_file {
        return Ok(Credential::token(&secret_in(file)?));
    }
    if let (Some(email), Some(file)) = (&args.email, &args.api_key_file) {
        return Ok(Credential::global_key(email, &secret_in(file)?));
    }
    match (
        variable(names::ENV_API_TOKEN),
        variable(names::ENV_EMAIL),
        variable(names::ENV_API_KEY),
    ) {
        (Some(_), _, Some(_)) => bail!(
            "both {} and {} are set: unset one of them",
            names::ENV_API_TOKEN,
            names::ENV_API_KEY
        ),
        (Some(token), ..) => Ok(Credential::token(&token)),
        (None, Some(email), Some(key)) => Ok(Credential::global_key(&email, &key)),
        (None, None, Some(_)) => bail!("{} also requires {}", names::ENV_API_KEY, names::ENV_EMAIL),
        (None, _, None) => bail!(
            "no credential: use --token-file FILE|-, --email with --api-key-file, or set {} in the \
                 environment",
            names::ENV_API_TOKEN
        ),
    }
}

fn secret_in(file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the secret from standard input")?;
    } else {
        text = std::fs::read_to_string(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
    }
    if text.trim().is_empty() {
        bail!("no secret in {file}");
    }
    Ok(text)
}
