//! `flareward connect` and `flareward doctor`.

use super::connection;
use crate::Global;
use crate::output::{Format, Printer};
use anyhow::{Context, bail};
use cloudflare::{Credential, credential as names};
use hub::Actor;
use hub::connect::{ConnectRequest, connect};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use store::ProbeRow;

/// Which account, with which credential.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// The name to use for this connection
    #[arg(long)]
    label: String,
    /// The account's id (32 hex digits) or its organisation's name
    #[arg(long, env = names::ENV_ACCOUNT_ID)]
    account: Option<String>,
    /// The file that holds the API token; - reads standard input. Else CLOUDFLARE_API_TOKEN
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["email", "api_key_file"])]
    token_file: Option<String>,
    /// The address that goes with a global API key. Else CLOUDFLARE_EMAIL
    #[arg(long, requires = "api_key_file")]
    email: Option<String>,
    /// The file that holds the global API key; - reads standard input. Else CLOUDFLARE_API_KEY
    #[arg(long, value_name = "FILE|-")]
    api_key_file: Option<String>,
    /// Where the API is, if not at Cloudflare
    #[arg(long, value_name = "URL", env = names::ENV_BASE_URL)]
    base_url: Option<String>,
}

/// Which connection.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Only this connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
}

const COLUMNS: &[&str] = &["feature", "works", "missing_permission", "message"];

pub(crate) async fn run(args: ConnectArgs, global: &Global) -> anyhow::Result<()> {
    let request = ConnectRequest {
        label: args.label.clone(),
        account: args.account.clone(),
        credential: credential(&args)?,
        base_url: args.base_url.clone(),
    };
    let app = crate::open(global).await?;
    let connected = connect(&app, &request, &Actor::CommandLine).await?;
    let row = &connected.connection;
    let ingest_url = format!("{}/ingest/{}/{{dataset}}", app.public_url(), row.label);
    if global.output == Format::Json {
        let probes: Vec<Value> = connected.probes.iter().map(probe_json).collect();
        let answer = json!({
            "id": row.id, "label": row.label, "account_id": row.account_id, "account_name": row.account_name,
            "credential_kind": row.credential_kind, "credential_fingerprint": row.credential_fingerprint,
            "state": row.state, "state_reason": row.state_reason, "features": probes, "ingest_url": ingest_url,
            "ingest_secret": secrecy::ExposeSecret::expose_secret(&connected.ingest_secret),
        });
        println!("{answer:#}");
        return Ok(());
    }
    print_probes(global.output, &connected.probes)?;
    if global.output == Format::Table {
        println!(
            "Connected {} ({}) as {}: {}",
            row.account_name, row.account_id, row.label, row.state
        );
        println!("Logs go to {ingest_url}");
        println!(
            "with the header X-Flareward-Secret: {}",
            secrecy::ExposeSecret::expose_secret(&connected.ingest_secret)
        );
        println!("Next: flareward sync");
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
        bail!("no account is connected: use `flareward connect`");
    }
    let mut all_work = true;
    for row in rows {
        let probes = hub::connect::doctor(&app, &row).await?;
        all_work &= !probes.iter().any(hub::connect::is_dark);
        if global.output == Format::Table {
            println!("{} ({}, {})", row.label, row.account_name, row.account_id);
        }
        print_probes(global.output, &probes)?;
    }
    Ok(if all_work {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_probes(format: Format, probes: &[ProbeRow]) -> anyhow::Result<()> {
    let mut printer = Printer::new(format, COLUMNS);
    for probe in probes {
        printer.row(&probe_json(probe))?;
    }
    printer.finish("nothing was asked")?;
    Ok(())
}

fn probe_json(probe: &ProbeRow) -> Value {
    json!({
        "feature": probe.feature, "works": probe.works, "missing_permission": probe.missing_permission,
        "message": probe.message, "checked_at": probe.checked_at,
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
            "both {} and {} are set: unset one, so that it is clear which is meant",
            names::ENV_API_TOKEN,
            names::ENV_API_KEY
        ),
        (Some(token), ..) => Ok(Credential::token(&token)),
        (None, Some(email), Some(key)) => Ok(Credential::global_key(&email, &key)),
        (None, None, Some(_)) => bail!("{} needs {} beside it", names::ENV_API_KEY, names::ENV_EMAIL),
        (None, _, None) => bail!(
            "give a credential: --token-file FILE|-, or --email with --api-key-file, or {} in the environment",
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
        bail!("there is no secret in {file}");
    }
    Ok(text)
}
