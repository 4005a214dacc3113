//! `flareward posture`: what is not set up the way it should be, and what could not be told.
//!
//! The checks run first, over what the last sync read. What they could not tell is listed beside what they found.

use super::connection;
use crate::Global;
use crate::output::{self, Format, Printer, text_only};
use anyhow::Context;
use hub::connection::labels;
use hub::posture::{self, until};
use hub::{Actor, App};
use model::ConnectionId;
use model::{FindingState, Severity};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::ExitCode;
use store::{ConnectionRow, FindingFilter, FindingRow, LIST_LIMIT_MAX};
use web::api::posture::{CheckBody, CheckResultBody, FindingBody};

/// Exit code if a finding at or above `--fail-on` is open.
const OPEN: u8 = 3;

/// Filters for findings, and the severity that makes the command fail.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 if no selected finding at or above --fail-on is open; 3 if one is; 1 if \
         the checks could not run. Checks with an unknown result are listed and do not change the exit \
         code."
)]
pub(crate) struct PostureArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Only findings of this severity or higher: critical, high, medium or low
    #[arg(long)]
    severity: Option<Severity>,
    /// Only for this check; `flareward posture checks` lists all
    #[arg(long, value_name = "ID", value_parser = known_check)]
    check: Option<String>,
    /// Include muted and resolved findings
    #[arg(long)]
    all: bool,
    /// Exit with code 3 if a finding of this severity or higher is open: critical, high, medium, low or none
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = fail_on)]
    fail_on: FailOn,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the checks: question, required data and remedy
    Checks,
    /// Mute a finding, for a time or indefinitely
    Mute {
        /// Finding ID
        #[arg(value_name = "FINDING")]
        id: String,
        /// Reason, recorded with the finding and in the audit log
        #[arg(long)]
        reason: String,
        /// Mute until this date or time: 2026-12-31 or 2026-12-31T18:00:00Z
        #[arg(long, value_name = "DATE", value_parser = until::date, conflicts_with = "span")]
        until: Option<DateTime>,
        /// Mute for this long: 12h, 30d or 2w
        #[arg(long = "for", value_name = "SPAN", value_parser = until::span)]
        span: Option<Span>,
    },
    /// Reopen a muted finding
    Unmute {
        /// Finding ID
        #[arg(value_name = "FINDING")]
        id: String,
    },
    /// Print the reference of all checks (Markdown)
    Reference,
}

type DateTime = until::At;
type Span = until::Span;

/// The lowest severity that makes the command fail.
#[derive(Debug, Clone, Copy)]
struct FailOn(Option<Severity>);

fn fail_on(text: &str) -> Result<FailOn, String> {
    match text {
        "none" => Ok(FailOn(None)),
        other => other
            .parse()
            .map(|severity| FailOn(Some(severity)))
            .map_err(|problem: model::UnknownWord| format!("{problem} and none")),
    }
}

fn known_check(text: &str) -> Result<String, String> {
    match posture::check(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("no check with this ID; `flareward posture checks` lists all".to_owned()),
    }
}

const COLUMNS: &[&str] = &[
    "severity",
    "check",
    "+connection",
    "subject",
    "found",
    "+remedy",
    "+id",
];
const ALL_COLUMNS: &[&str] = &[
    "state",
    "severity",
    "check",
    "+connection",
    "subject",
    "found",
    "+remedy",
    "+id",
];
const CSV_COLUMNS: &[&str] = &[
    "verdict",
    "state",
    "severity",
    "check",
    "connection",
    "subject_kind",
    "subject",
    "found",
    "reason",
    "remedy",
    "first_seen_at",
    "last_seen_at",
    "muted_until",
    "id",
];
const UNKNOWN_COLUMNS: &[&str] = &["severity", "check", "+connection", "reason"];
const CHECK_COLUMNS: &[&str] = &[
    "id",
    "severity",
    "question",
    "+permissions",
    "+remedy",
    "+command",
];

pub(crate) async fn run(args: PostureArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.action {
        None => list(args, global).await,
        Some(Action::Checks) => checks(global.output),
        Some(Action::Mute {
            id,
            reason,
            until,
            span,
        }) => {
            let app = crate::open(global).await?;
            let until = until.or(span.map(|span| app.clock.now() + span));
            let finding = posture::mute(&app, &id, &reason, until, &Actor::CommandLine).await?;
            show(&app, finding, true, global.output).await
        }
        Some(Action::Unmute { id }) => {
            let app = crate::open(global).await?;
            let (finding, changed) = posture::unmute(&app, &id, &Actor::CommandLine).await?;
            show(&app, finding, changed, global.output).await
        }
        Some(Action::Reference) => {
            text_only(global.output, "the check reference")?;
            print!("{}", posture::reference::reference());
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(args: PostureArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let rows: Vec<ConnectionRow> = match &args.connection {
        Some(label) => vec![connection(&app, Some(label)).await?],
        None => app.store.connection_list().await?,
    };
    if rows.is_empty() {
        anyhow::bail!("no account connected: run `flareward connect`");
    }
    for row in &rows {
        posture::run(&app, row)
            .await
            .with_context(|| format!("could not check {}", row.label))?;
    }
    let only = args.connection.as_ref().map(|_| rows[0].id.clone());
    let labels = labels(&app).await?;
    let format = global.output;
    let columns = match format {
        Format::Csv => CSV_COLUMNS,
        _ if args.all => ALL_COLUMNS,
        _ => COLUMNS,
    };
    let mut printer = Printer::new(format, columns);
    let mut worst: Option<Severity> = None;
    for severity in args.severity.unwrap_or(Severity::Low).and_worse() {
        let mut filter = FindingFilter {
            connection_id: only.clone(),
            check_id: args.check.clone(),
            state: (!args.all).then_some(FindingState::Open),
            severities: vec![severity.as_str().to_owned()],
            limit: LIST_LIMIT_MAX,
            ..FindingFilter::default()
        };
        loop {
            let page = app.store.finding_list(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some((last.check_id.clone(), last.id.clone()));
            for finding in page {
                if finding.state == FindingState::Open {
                    worst = worst.max(Some(severity));
                }
                let body = FindingBody::new(finding, &labels)?;
                printer.body(&body, &cells(&body))?;
            }
        }
    }
    let unknown = unknown(&app, &args, only.as_ref(), &labels).await?;
    if format == Format::Table {
        printer.finish("No open findings")?;
        if !unknown.is_empty() {
            println!("\nUnknown:");
            let mut printer = Printer::new(format, UNKNOWN_COLUMNS);
            for (body, severity) in &unknown {
                printer.body(body, &unknown_cells(body, *severity))?;
            }
            printer.finish("")?;
        }
    } else {
        for (body, severity) in &unknown {
            printer.body(body, &unknown_cells(body, *severity))?;
        }
        printer.finish("")?;
    }
    let fails = args.fail_on.0.is_some_and(|from| worst >= Some(from));
    Ok(if fails {
        ExitCode::from(OPEN)
    } else {
        ExitCode::SUCCESS
    })
}

/// Columns of a finding in addition to the body's fields.
fn cells(body: &FindingBody) -> Vec<(&'static str, Value)> {
    vec![
        ("verdict", json!("fail")),
        ("check", json!(body.check_id)),
        ("subject", json!(body.subject_name)),
        ("found", body.evidence["summary"].clone()),
        ("remedy", json!(remedy(body))),
    ]
}

/// The remedy, with a command that applies it.
fn remedy(body: &FindingBody) -> Option<String> {
    let remedy = body.remedy?;
    Some(match &body.command {
        Some(command) => format!("{remedy} Run: `{command}`."),
        None => remedy.to_owned(),
    })
}

fn unknown_cells(body: &CheckResultBody, severity: Severity) -> [(&'static str, Value); 3] {
    [
        ("severity", json!(severity)),
        ("check", json!(body.check_id)),
        ("reason", json!(body.unknown_reason)),
    ]
}

/// Unknown results, including those of checks that also have findings.
async fn unknown(
    app: &App,
    args: &PostureArgs,
    only: Option<&ConnectionId>,
    labels: &HashMap<ConnectionId, String>,
) -> anyhow::Result<Vec<(CheckResultBody, Severity)>> {
    let mut lines = Vec::new();
    let results = posture::results(app, only).await?;
    for check in posture::catalogue() {
        let is_asked = args.check.as_deref().is_none_or(|id| id == check.id)
            && args.severity.is_none_or(|least| check.severity >= least);
        for result in results
            .iter()
            .filter(|result| is_asked && result.check_id == check.id)
        {
            if result.unknown_reason.is_some() {
                lines.push((CheckResultBody::new(result.clone(), labels), check.severity));
            }
        }
    }
    Ok(lines)
}

fn checks(format: Format) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(format, CHECK_COLUMNS);
    for check in posture::catalogue() {
        printer.body(&CheckBody::new(check), &[])?;
    }
    printer.finish("no checks")?;
    Ok(ExitCode::SUCCESS)
}

async fn show(app: &App, finding: FindingRow, is_changed: bool, format: Format) -> anyhow::Result<ExitCode> {
    let labels = labels(app).await?;
    let body = FindingBody::changed(finding, is_changed, &labels)?;
    let shown = json!({
        "outcome": body.outcome, "id": body.id, "state": body.state, "check": body.check_id, "severity": body.severity,
        "connection": body.connection, "subject": body.subject_name, "found": body.evidence["summary"],
        "mute_reason": body.mute_reason, "muted_by": body.muted_by, "muted_until": body.muted_until,
    });
    output::body(format, &body, &shown)?;
    Ok(ExitCode::SUCCESS)
}
