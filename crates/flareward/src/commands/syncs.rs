//! `flareward syncs`: the history of syncs, and what each changed.

use super::connection;
use crate::output::{self, Format, Printer};
use crate::{Global, NotFound};
use hub::App;
use hub::sync::history::Changed;
use serde::Serialize;
use serde_json::{Value, json};
use store::LIST_LIMIT_MAX;
use web::api::connections::SyncRunBody;
use web::api::syncs::{GrantChangeBody, SyncChangeBody};

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
/// Columns for a list of both object changes and grant changes.
const BOTH: &[&str] = &[
    "list", "change", "kind", "email", "group", "before", "after", "fields", "id",
];
const GRANTS: &[&str] = &["email", "kind", "group", "before", "after"];

pub(crate) async fn run(args: SyncsArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let labels = hub::connection::labels(&app).await?;
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
                let body = SyncRunBody::new(row, &labels)?;
                printer.body(&body, &cells(&body))?;
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
            show(&app, SyncRunBody::new(row, &labels)?, global.output).await?;
        }
    }
    Ok(())
}

/// A sync with everything that it changed: the bodies of three requests to the API.
#[derive(Debug, Serialize)]
struct SyncDetail {
    #[serde(flatten)]
    run: SyncRunBody,
    changes: Vec<SyncChangeBody>,
    grant_changes: Vec<GrantChangeBody>,
}

/// Columns of a table in addition to the body's fields.
fn cells(body: &SyncRunBody) -> [(&'static str, Value); 4] {
    let sum = |name: &str| -> u64 {
        let lists = body.counts.as_object().into_iter().flatten();
        lists
            .filter(|(kind, _)| !kind.ends_with("_grants"))
            .filter_map(|(_, count)| count[name].as_u64())
            .sum()
    };
    let seconds = body
        .finished_at
        .map(|end| (end - body.started_at).num_milliseconds() as f64 / 1000.0);
    [
        ("seconds", json!(seconds)),
        ("added", json!(sum("added"))),
        ("changed", json!(sum("changed"))),
        ("removed", json!(sum("gone"))),
    ]
}

async fn show(app: &App, run: SyncRunBody, format: Format) -> anyhow::Result<()> {
    let changes = changes(app, &run.id).await?;
    let grants = grant_changes(app, &run.id).await?;
    if format.is_json() {
        let body = SyncDetail {
            run,
            changes,
            grant_changes: grants,
        };
        return Ok(output::object(format, &serde_json::to_value(body)?)?);
    }
    let changes: Vec<Value> = changes.into_iter().map(change_cells).collect();
    let grants: Vec<Value> = grants.into_iter().map(grant_cells).collect();
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
    let is_complete = run.outcome == model::SyncOutcome::Complete.as_str();
    println!(
        "Sync {} of {}:\n{}, started {}",
        run.id,
        run.connection.as_deref().unwrap_or_default(),
        run.outcome,
        run.started_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    if let Some(problem) = &run.problem {
        println!("Read error: {problem}");
    }
    for (rows, columns, nothing) in [
        (
            changes,
            CHANGES,
            if is_complete {
                "No changes, or this was the first sync"
            } else {
                "No changes in the data that was read; unread data may have changed: see the error above"
            },
        ),
        (
            grants,
            GRANTS,
            if is_complete {
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

fn change_cells(body: SyncChangeBody) -> Value {
    json!({
        "change": body.change, "kind": body.kind, "id": body.id, "before": body.name_before,
        "after": body.name_after, "fields": body.fields,
    })
}

fn grant_cells(body: GrantChangeBody) -> Value {
    json!({
        "email": body.email, "kind": body.kind, "group": body.entitlement_name, "id": body.entitlement_id,
        "before": body.before.unwrap_or_else(|| "no".to_owned()),
        "after": body.after.unwrap_or_else(|| "no".to_owned()),
    })
}

async fn changes(app: &App, run: &str) -> anyhow::Result<Vec<SyncChangeBody>> {
    let mut all = Vec::new();
    let mut after: Option<(String, String)> = None;
    loop {
        let place = after.as_ref().map(|(kind, id)| (kind.as_str(), id.as_str()));
        let page = app.store.sync_change_list(run, place, LIST_LIMIT_MAX).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some((last.kind.to_string(), last.object_id.clone()));
        for row in page {
            all.push(SyncChangeBody::new(Changed::read(row)?));
        }
    }
}

async fn grant_changes(app: &App, run: &str) -> anyhow::Result<Vec<GrantChangeBody>> {
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
        all.extend(page.into_iter().map(GrantChangeBody::new));
    }
}
