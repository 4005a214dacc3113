//! `flareward sync`: reads Cloudflare now, with a progress bar on a terminal.

use super::connection;
use crate::Global;
use crate::output::Printer;
use crate::progress::ProgressBar;
use anyhow::{Context, bail};
use hub::progress::Progress;
use hub::sync::{Report, SyncError, SyncOptions};
use hub::{Actor, App};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use store::ConnectionRow;
use web::api::connections::SyncRunBody;

/// The connection, and whether to accept shorter lists.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Accept lists that shrank to less than half their previous length
    #[arg(long)]
    confirm: bool,
    /// Start over instead of resuming a recently interrupted sync
    #[arg(long)]
    fresh: bool,
}

const COLUMNS: &[&str] = &[
    "connection",
    "outcome",
    "members",
    "access_users",
    "+access_groups",
    "+roles",
    "grants",
    "+requests",
    "+seconds",
    "problems",
];

pub(crate) async fn run(args: SyncArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let rows = match &args.connection {
        Some(label) => vec![connection(&app, Some(label)).await?],
        None => app.store.connection_list().await?,
    };
    if rows.is_empty() {
        bail!("no account connected: run `flareward connect`");
    }
    let options = SyncOptions {
        confirm: args.confirm,
        fresh: args.fresh,
    };
    let labels = hub::connection::labels(&app).await?;
    let mut printer = Printer::new(global.output, COLUMNS);
    let mut complete = true;
    for row in rows {
        let bar = ProgressBar::new(None, false);
        let show = |progress: Progress| {
            bar.set_message(format!("{} {}", row.label, progress.what));
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
        };
        let report = patient_sync(&app, &row, options, &show, &bar).await?;
        bar.finish_and_clear();
        complete &= report.outcome == model::SyncOutcome::Complete;
        let seen = |kind: &str| report.counts.get(kind).map(|count| count.seen);
        let grants: usize = [
            "role_grants",
            "access_group_grants",
            "permission_group_grants",
            "user_group_grants",
        ]
        .into_iter()
        .filter_map(seen)
        .sum();
        let cells = [
            ("members", json!(seen("members"))),
            ("access_users", json!(seen("access_users"))),
            ("access_groups", json!(seen("access_groups"))),
            ("roles", json!(seen("roles"))),
            ("grants", json!(grants)),
            ("seconds", json!(report.duration_ms as f64 / 1000.0)),
            ("problems", json!(report.problems)),
        ];
        let run = app.store.sync_run_get(&report.run_id).await?;
        let run = run.context("the sync was removed from the history")?;
        printer.body(&SyncRunBody::new(run, &labels)?, &cells)?;
    }
    printer.finish("nothing to sync")?;
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Syncs. If another process is syncing, waits until it ends; if it was killed, until its lease expires.
async fn patient_sync(
    app: &App,
    row: &ConnectionRow,
    options: SyncOptions,
    show: &(dyn Fn(Progress) + Send + Sync),
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    /// Longer than the lease of a killed process. A running sync can take longer than a person would wait.
    const PATIENCE: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        match hub::sync::request::now(app, row, options, &Actor::CommandLine, show).await {
            Err(SyncError::Busy(_)) if begun.elapsed() < PATIENCE => {
                bar.set_message(format!(
                    "{}: waiting for another sync of this connection to end",
                    row.label
                ));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            result => return Ok(result?),
        }
    }
}
