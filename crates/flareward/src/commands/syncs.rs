//! `flareward syncs`: the history of syncs, and what each changed.

use super::{connection, lists};
use crate::output::{Format, Printer};
use crate::{Global, NotFound};
use hub::App;
use hub::sync::history::Changed;
use serde_json::{Value, json};
use store::{LIST_LIMIT_MAX, SyncRunRow};

/// Subcommands of `syncs`.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List syncs, newest first
    List {
        /// Only for this connection
        #[arg(long, value_name = "LABEL")]
        connection: Option<String>,
        /// Maximum number of results
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Show what a sync added, changed and removed, and which grants changed
    Show {
        /// Sync ID, or `latest`
        run: String,
    },
}

const RUNS: &[&str] = &[
    "started_at",
    "+connection",
    "outcome",
    "+seconds",
    "+requests",
    "added",
    "changed",
    "removed",
    "+problem",
    "+id",
];
const CHANGES: &[&str] = &["change", "kind", "before", "after", "fields", "+id"];
/// Changes and changes of grants in one list.
const BOTH: &[&str] = &[
    "list", "change", "kind", "email", "group", "before", "after", "fields", "id",
];
const GRANTS: &[&str] = &["email", "kind", "group", "before", "after"];

pub(crate) async fn run(args: SyncsArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let labels = lists::labels(&app).await?;
    match args.action {
        Action::List {
            connection: label,
            limit,
        } => {
            let only = match &label {
                Some(label) => Some(connection(&app, Some(label)).await?.id),
                None => None,
            };
            let mut printer = Printer::new(global.output, RUNS);
            for row in app.store.sync_run_list(only.as_ref(), limit).await? {
                let label = labels.get(&row.connection_id).cloned();
                printer.row(&run_json(&row, label)?)?;
            }
            printer.finish("No syncs: run `flareward sync`")?;
        }
        Action::Show { run } => {
            let row = match run.as_str() {
                "latest" => app.store.sync_run_list(None, 1).await?.pop(),
                id => app.store.sync_run_get(id).await?,
            };
            let row = row.ok_or_else(|| {
                NotFound(format!(
                    "no sync with ID \"{run}\": run `flareward syncs list` \
                     to see all"
                ))
            })?;
            show(&app, &row, labels.get(&row.connection_id).cloned(), global.output).await?;
        }
    }
    Ok(())
}

fn run_json(row: &SyncRunRow, label: Option<String>) -> anyhow::Result<Value> {
    let counts = row.counts_json()?;
    let sum = |name: &str| -> u64 {
        let lists = counts.as_object().into_iter().flatten();
        lists
            .filter(|(kind, _)| !kind.ends_with("_grants"))
            .filter_map(|(_, count)| count[name].as_u64())
            .sum()
    };
    Ok(json!({
        "id": row.id, "connection": label, "started_at": row.started_at, "finished_at": row.finished_at,
        "seconds": row.finished_at.map(|end| (end - row.started_at).num_milliseconds() as f64 / 1000.0),
        "outcome": row.outcome, "problem": row.problem, "requests": row.requests, "attempts": row.attempts,
        "added": sum("added"), "changed": sum("changed"), "removed": sum("gone"), "counts": counts,
    }))
}

async fn show(app: &App, row: &SyncRunRow, label: Option<String>, format: Format) -> anyhow::Result<()> {
    let changes = changes(app, &row.id).await?;
    let grants = grant_changes(app, &row.id).await?;
    if matches!(format, Format::Json | Format::Ndjson) {
        let mut value = run_json(row, label)?;
        value["changes"] = Value::Array(changes);
        value["grant_changes"] = Value::Array(grants);
        match format {
            Format::Json => println!("{value:#}"),
            _ => println!("{value}"),
        }
        return Ok(());
    }
    if format == Format::Csv {
        let mut printer = Printer::new(format, BOTH);
        for (list, rows) in [("change", changes), ("grant", grants)] {
            for mut row in rows {
                row["list"] = json!(list);
                printer.row(&row)?;
            }
        }
        printer.finish("")?;
        return Ok(());
    }
    if format == Format::Table {
        println!(
            "Sync {} of {}:\n{}, started {}",
            row.id,
            label.unwrap_or_default(),
            row.outcome,
            row.started_at.format("%Y-%m-%d %H:%M:%S UTC")
        );
        if let Some(problem) = &row.problem {
            println!("Read error: {problem}");
        }
    }
    for (rows, columns, nothing) in [
        (
            changes,
            CHANGES,
            if row.outcome == model::SyncOutcome::Complete {
                "No changes, or this was the first sync"
            } else {
                "No changes in the data that was read; unread data may have changed: see the error above"
            },
        ),
        (
            grants,
            GRANTS,
            if row.outcome == model::SyncOutcome::Complete {
                "No grant of a group or role changed"
            } else {
                "No grant changed, based on the data that was read"
            },
        ),
    ] {
        let mut printer = Printer::new(format, columns);
        for row in &rows {
            printer.row(row)?;
        }
        printer.finish(nothing)?;
    }
    Ok(())
}

async fn changes(app: &App, run: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut after: Option<(String, String)> = None;
    loop {
        let place = after.as_ref().map(|(kind, id)| (kind.as_str(), id.as_str()));
        let page = app.store.sync_change_list(run, place, LIST_LIMIT_MAX).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some((last.kind.to_string(), last.object_id.clone()));
        for row in page {
            let row = Changed::read(row)?;
            all.push(json!({
                "change": row.change, "kind": row.kind, "id": row.id, "before": row.name_before,
                "after": row.name_after, "fields": row.fields, "at": row.at,
            }));
        }
    }
}

async fn grant_changes(app: &App, run: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut after: Option<(String, String, String)> = None;
    loop {
        let place = after
            .as_ref()
            .map(|(kind, id, email)| (kind.as_str(), id.as_str(), email.as_str()));
        let page = app.store.grant_change_list(run, place, LIST_LIMIT_MAX).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some((
            last.kind.to_string(),
            last.entitlement_id.clone(),
            last.email.clone(),
        ));
        all.extend(page.into_iter().map(|row| {
            json!({
                "email": row.email, "kind": row.kind, "group": row.entitlement_name, "id": row.entitlement_id,
                "before": row.before.unwrap_or_else(|| "no".to_owned()),
                "after": row.after.unwrap_or_else(|| "no".to_owned()),
            })
        }));
    }
}
