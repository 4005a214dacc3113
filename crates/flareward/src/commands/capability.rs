//! `flareward capability`: calls a capability as other systems do over HTTP; `flareward capabilities`: what there is.

use crate::output::{Format, document};
use crate::{Global, NotFound, Usage};
use anyhow::Context;
use hub::Actor;
use std::process::ExitCode;

/// The capability, its input and the connection.
#[derive(Debug, clap::Args)]
pub(crate) struct CapabilityArgs {
    /// getIPOverview, getDomainOverview, getUserRiskScore, resetUserRiskScore or makeCustomApiCall
    id: String,
    /// Input as JSON, for example {"properties":{"ip":"50.64.49.74"}}
    #[arg(long, value_name = "JSON")]
    input: String,
    /// Connection to use
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
}

/// Subcommands of `capabilities`.
#[derive(Debug, clap::Args)]
pub(crate) struct CapabilitiesArgs {
    #[command(subcommand)]
    action: CapabilitiesAction,
}

#[derive(Debug, clap::Subcommand)]
enum CapabilitiesAction {
    /// Print the resource types that can be read and changed, in the format of `baton_capabilities.json`
    Manifest,
}

pub(crate) fn capabilities(args: CapabilitiesArgs, format: Format) -> anyhow::Result<()> {
    let CapabilitiesAction::Manifest = args.action;
    let manifest = serde_json::to_value(hub::baton::types::manifest())?;
    document(format, &manifest)
}

pub(crate) async fn run(args: CapabilityArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let input = serde_json::from_str(&args.input).context("--input is not valid JSON")?;
    if global.output == Format::Csv {
        // Before anything is called.
        return Err(Usage(
            "the output of a capability is a JSON document: use -o json or -o ndjson".to_owned(),
        )
        .into());
    }
    let app = crate::open(global).await?;
    let actor = Actor::CommandLine;
    let outcome = hub::capability::call(&app, &args.id, args.connection.as_deref(), &input, &actor).await;
    let Some(outcome) = outcome else {
        let known = hub::capability::IDS.join(", ");
        return Err(NotFound(format!("no capability named \"{}\"; available: {known}", args.id)).into());
    };
    document(global.output, &outcome.body)?;
    Ok(match outcome.http_status {
        200 => ExitCode::SUCCESS,
        403 => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    })
}
