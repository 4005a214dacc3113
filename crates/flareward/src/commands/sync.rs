//! `flareward sync`: reads Cloudflare now, with a progress bar on a terminal.

use super::connection;
use crate::Global;
use crate::output::{Format, Printer};
use anyhow::bail;
use hub::sync::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::process::ExitCode;

/// Which connection, and whether a fall by half is confirmed.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    /// Only this connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Accept that lists are less than half as long as before
    #[arg(long)]
    confirm: bool,
}

const COLUMNS: &[&str] = &[
    "connection",
    "outcome",
    "members",
    "access_users",
    "access_groups",
    "roles",
    "grants",
    "requests",
    "seconds",
    "problems",
];

pub(crate) async fn run(args: SyncArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let rows = match &args.connection {
        Some(label) => vec![connection(&app, Some(label)).await?],
        None => app.store.connection_list().await?,
    };
    if rows.is_empty() {
        bail!("no account is connected: use `flareward connect`");
    }
    let mut printer = Printer::new(global.output, COLUMNS);
    let mut complete = true;
    for row in rows {
        let bar = bar(global.output);
        let show = |progress: Progress| {
            bar.set_message(format!("{} {}", row.label, progress.what));
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
        };
        let report = hub::sync::connection(&app, &row, args.confirm, &show).await?;
        bar.finish_and_clear();
        complete &= report.outcome == "complete";
        let seen = |kind: &str| report.counts.get(kind).map(|count| count.seen);
        let grants: usize = ["role_grants", "access_group_grants"]
            .into_iter()
            .filter_map(seen)
            .sum();
        printer.row(&json!({
            "connection": row.label, "outcome": report.outcome, "members": seen("members"),
            "access_users": seen("access_users"), "access_groups": seen("access_groups"), "roles": seen("roles"),
            "grants": grants, "requests": report.requests, "seconds": report.duration_ms as f64 / 1000.0,
            "problems": report.problems, "counts": report.counts, "run_id": report.run_id,
        }))?;
    }
    printer.finish("nothing to sync")?;
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn bar(format: Format) -> ProgressBar {
    if format != Format::Table {
        return ProgressBar::hidden();
    }
    // Draws on standard error, and only on a terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:30} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
