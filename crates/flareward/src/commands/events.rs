//! `flareward events`: log records: listed, searched, shown to the rules again, and those of one person removed.

use super::lists::all_read;
use super::lists::{self, EventArgs, ListAction, ListArgs};
use super::removal::{Confirm, Removal};
use super::rules::moment;
use super::{connection, person};
use crate::Global;
use crate::output::{self, Printer, object};
use crate::progress::ProgressBar;
use hub::Actor;
use hub::detection::replay::{self, ReplayRequest};
use hub::progress::Progress;
use hub::purge::PurgePlan;
use hub::search::{self, Search};
use serde_json::json;
use std::process::ExitCode;
use web::api::events::EventBody;
use web::api::purges::PurgeBody;
use web::api::replay::ReplayBody;

/// Subcommands of `events`.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List events
    List(EventArgs),
    /// Search records by person, dataset, time and field values
    Search(SearchArgs),
    /// Evaluate the rules again on archived records of a time range, for example after changing rules
    Replay {
        /// Start of the range: a time (RFC 3339), or a duration before now such as 7d
        #[arg(long)]
        since: String,
        /// End of the range; default: now
        #[arg(long)]
        until: Option<String>,
        /// Only for this dataset
        #[arg(long)]
        dataset: Option<String>,
    },
    /// Remove all records of one person from the archive and the events; if interrupted, run it again to resume
    Purge {
        /// Person (email address or ID)
        #[arg(long, value_name = "ADDRESS")]
        person: String,
        /// Reason, recorded in the audit log; required unless --plan is given
        #[arg(long, required_unless_present = "plan")]
        reason: Option<String>,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Search filters.
#[derive(Debug, clap::Args)]
pub(crate) struct SearchArgs {
    /// Only for this person (email address or ID)
    #[arg(long)]
    person: Option<String>,
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Only for this dataset, for example gateway_dns
    #[arg(long)]
    dataset: Option<String>,
    /// Start of the range: a time (RFC 3339), or a duration before now such as 7d, 12h or 45m
    #[arg(long)]
    since: Option<String>,
    /// End of the range
    #[arg(long)]
    until: Option<String>,
    /// Field and value, with an optional Sigma modifier: `QueryName|endswith=.example`, `HTTPStatusCode|gte=400`,
    /// `Action=block,isolate`; repeatable, and all must match
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Maximum number of results, newest first
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

const SEARCH_COLUMNS: &[&str] = &[
    "at",
    "dataset",
    "identifier",
    "action",
    "target",
    "+source_ip",
    "+country",
    "+id",
];

pub(crate) async fn run(args: EventsArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(filters) => {
            let args = ListArgs {
                action: ListAction::List(filters),
            };
            lists::events(args, global).await?;
        }
        Action::Search(args) => find(args, global).await?,
        Action::Replay {
            since,
            until,
            dataset,
        } => replay(&since, until.as_deref(), dataset.as_deref(), global).await?,
        Action::Purge {
            person: wanted,
            reason,
            confirm,
        } => {
            let app = crate::open(global).await?;
            let row = person(&app, &wanted).await?;
            let bar = ProgressBar::new(None, false);
            let show = |progress: Progress| {
                bar.set_message(progress.what.clone());
                bar.set_length(progress.total.unwrap_or_default());
                bar.set_position(progress.done);
            };
            if !confirm.yes {
                let plan = hub::purge::plan(&app, &row, &show).await?;
                bar.finish_and_clear();
                if let Err(code) = removal(&row.email, &plan).agreed(confirm, global.output)? {
                    return Ok(code);
                }
            }
            let reason = reason.unwrap_or_default();
            let done = hub::driver::purge(&app, &row, &reason, &Actor::CommandLine, &show).await;
            bar.finish_and_clear();
            let done = done?;
            object(global.output, &serde_json::to_value(PurgeBody::new(done))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn removal(email: &str, plan: &PurgePlan) -> Removal {
    let mut notes = vec![
        format!(
            "the person's records have these identifiers: {}",
            plan.identifiers.join(", ")
        ),
        "detections are kept, and so are other people's records that mention the person; this cannot be \
             undone"
            .to_owned(),
    ];
    if plan.is_pending {
        notes.push("some batches are not processed yet; their records are not counted yet".to_owned());
    }
    Removal {
        summary: format!("remove all log records of {email}"),
        counts: vec![
            ("batches_looked_through", plan.batches),
            ("archived_objects_written_anew", plan.objects),
            ("archived_records_removed", plan.records),
            ("events_removed", plan.events),
        ],
        notes,
    }
}

async fn find(args: SearchArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let now = app.clock.now();
    let time = |text: Option<String>| text.map(|text| moment(&text, now)).transpose();
    let search = Search {
        person: match &args.person {
            Some(wanted) => Some(person(&app, wanted).await?.id),
            None => None,
        },
        connection: match &args.connection {
            Some(label) => Some(connection(&app, Some(label)).await?.id),
            None => None,
        },
        dataset: args.dataset,
        since: time(args.since)?,
        until: time(args.until)?,
        conditions: args
            .conditions
            .iter()
            .map(|text| search::condition(text))
            .collect::<Result<_, _>>()?,
        limit: args.limit,
    };
    let bar = ProgressBar::new(None, false);
    let found = search::run(&app, &search, |looked_at, reached| {
        bar.set_message(format!("searched back to {}", reached.format("%Y-%m-%d %H:%M")));
        bar.set_position(looked_at);
    })
    .await;
    bar.finish_and_clear();
    let found = found?;
    let mut printer = Printer::new(global.output, SEARCH_COLUMNS);
    let (count, looked_at) = (found.events.len(), found.looked_at);
    let labels = hub::connection::labels(&app).await?;
    for event in found.events {
        printer.body(&EventBody::with_record(event, &labels), &[])?;
    }
    printer.finish("no matching events")?;
    let more = if found.is_cut {
        "; there may be more: raise --limit"
    } else {
        ""
    };
    eprintln!("{count} of {looked_at} events match{more}");
    all_read(found.unread)
}

async fn replay(
    since: &str,
    until: Option<&str>,
    dataset: Option<&str>,
    global: &Global,
) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let now = app.clock.now();
    let request = ReplayRequest {
        since: moment(since, now)?,
        until: until.map(|until| moment(until, now)).transpose()?,
        dataset: dataset.map(str::to_owned),
    };
    let asked = replay::ask(&app, &request, &Actor::CommandLine).await?;
    let before = app.store.overview().await?.detections;
    let bar = ProgressBar::new(None, false);
    bar.set_message("parts");
    let show = |done: u64, total: Option<u64>| {
        bar.set_length(total.unwrap_or_default());
        bar.set_position(done);
    };
    let ended = hub::driver::replay(&app, &asked.id, &show).await;
    bar.finish_and_clear();
    let body = ReplayBody::new(ended?)?;
    let after = app.store.overview().await?.detections;
    let result = body.operation.result.clone().unwrap_or_default();
    let shown = json!({ "records": result["records"], "detections_before": before, "detections_now": after });
    output::body(global.output, &body, &shown)?;
    let unread: Vec<String> = serde_json::from_value(result["unread"].clone()).unwrap_or_default();
    for problem in &unread {
        eprintln!("could not read: {problem}");
    }
    if let Some(problem) = &body.operation.problem {
        anyhow::bail!("the replay failed: {problem}");
    }
    anyhow::ensure!(unread.is_empty(), "part of the archive could not be read");
    Ok(())
}
