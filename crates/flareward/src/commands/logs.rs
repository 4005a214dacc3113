//! `flareward logs`: where log records come from, and how each source fares.

use super::connection;
use super::removal::{Confirm, Removal};
use crate::Global;
use crate::output::{Format, Printer};
use crate::progress::ProgressBar;
use anyhow::{Context, bail};
use chrono::NaiveDate;
use hub::bucket::BucketKeys;
use hub::progress::Progress;
use hub::source::objects::{self, BucketRequest};
use hub::source::{logpush, pull, status};
use hub::{Actor, App};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::ConnectionRow;
use web::api::buckets::BucketReadBody;
use web::api::log_sources::{EnabledLogBody, LogSourceBody, PulledLogBody};

/// Subcommands of `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Create, repair and enable Logpush jobs that push to this server
    Enable {
        /// Connection; optional if only one account is connected
        #[arg(long, value_name = "LABEL")]
        connection: Option<String>,
        /// Only this dataset; repeatable
        #[arg(long, value_name = "DATASET", conflicts_with = "all")]
        dataset: Vec<String>,
        /// All datasets available to the account; the default if no dataset is given
        #[arg(long)]
        all: bool,
        /// URL at which Cloudflare reaches this server; default: the setting server.public_url
        #[arg(long, value_name = "PUBLIC_URL")]
        url: Option<String>,
    },
    /// Disable the Logpush job of a dataset
    Disable {
        /// Connection; optional if only one account is connected
        #[arg(long, value_name = "LABEL")]
        connection: Option<String>,
        /// Dataset; repeatable
        #[arg(long, value_name = "DATASET", required = true)]
        dataset: Vec<String>,
        /// Also delete the job in Cloudflare; asks for confirmation unless --yes is given
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Show the status of each log source; first checks the jobs in Cloudflare
    Status {
        /// Only for this connection
        #[arg(long, value_name = "LABEL")]
        connection: Option<String>,
        /// Show the stored status without contacting Cloudflare
        #[arg(long)]
        stored: bool,
        /// The same as -o json
        #[arg(long)]
        json: bool,
    },
    /// Pull the Access authentication log, the audit log and Cloudflare's risk events from the API now
    Pull {
        /// Connection; optional if only one account is connected
        #[arg(long, value_name = "LABEL")]
        connection: Option<String>,
        /// Only this dataset: access_requests, audit_logs_v2, audit_logs or risk_score_events; pulled even if Logpush
        /// delivers it; repeatable
        #[arg(long, value_name = "DATASET")]
        dataset: Vec<String>,
    },
    /// Read a bucket that Logpush writes to, now and in the background
    Objects(ObjectsArgs),
}

#[derive(Debug, clap::Args)]
struct ObjectsArgs {
    /// Connection; optional if only one account is connected
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Dataset stored in the bucket
    #[arg(long, value_name = "DATASET")]
    dataset: String,
    /// Location: s3://bucket/path/{DATE}, r2://bucket/path/{DATE} or file:///folder/{DATE}; only needed the first
    /// time
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// Endpoint of the storage service, if it is neither Amazon S3 nor the account's own R2
    #[arg(long, value_name = "URL", requires = "from")]
    endpoint: Option<String>,
    /// Also read older folders, starting with this day
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<NaiveDate>,
    /// Access key ID of the bucket; default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, value_name = "ID", requires = "secret_key_file", requires = "from")]
    access_key_id: Option<String>,
    /// File with the secret access key, which is stored encrypted; - reads standard input
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    secret_key_file: Option<PathBuf>,
    /// Stop reading the bucket, and forget which objects were read
    #[arg(long, conflicts_with_all = ["from", "since"])]
    forget: bool,
    #[command(flatten)]
    confirm: Confirm,
}

const ENABLED: &[&str] = &[
    "+connection",
    "dataset",
    "outcome",
    "+job_id",
    "changes",
    "problem",
    "+warnings",
];
const STATUS: &[&str] = &[
    "+connection",
    "dataset",
    "source",
    "state",
    "+job_id",
    "+enabled",
    "+last_complete_at",
    "+last_error_at",
    "last_batch_at",
    "lag",
    "+missing_fields",
    "problem",
    "+warnings",
];
const PULLED: &[&str] = &[
    "+connection",
    "dataset",
    "records",
    "new_records",
    "+cursor_at",
    "has_more",
    "problem",
];
const READ: &[&str] = &["+connection", "dataset", "listed", "read", "set_aside"];
const NOTHING: &str = "No log sources: run `flareward logs enable`";

pub(crate) async fn run(args: LogsArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    match args.action {
        Action::Enable {
            connection: label,
            dataset,
            all: _,
            url,
        } => {
            let row = connection(&app, label.as_deref()).await?;
            let bar = ProgressBar::new(None, false);
            let show = |progress: Progress| draw(&bar, &progress);
            let actor = Actor::CommandLine;
            let enabled = logpush::enable(&app, &row, &dataset, url.as_deref(), &actor, &show).await;
            bar.finish_and_clear();
            print_enabled(&row, &enabled?, global.output)
        }
        Action::Disable {
            connection: label,
            dataset,
            remove,
            confirm,
        } => {
            let row = connection(&app, label.as_deref()).await?;
            if remove || confirm.plan {
                let verb = if remove { "remove" } else { "disable" };
                let removal = Removal {
                    summary: format!(
                        "{verb} the Logpush jobs of {} for {}",
                        row.label,
                        dataset.join(", ")
                    ),
                    counts: vec![("jobs", i64::try_from(dataset.len())?)],
                    notes: vec![
                        "received records are kept; `flareward logs enable` creates or enables the jobs \
                             again"
                            .to_owned(),
                    ],
                };
                if let Err(code) = removal.agreed(confirm, global.output)? {
                    return Ok(code);
                }
            }
            let mut done = Vec::with_capacity(dataset.len());
            for name in &dataset {
                done.push(logpush::disable(&app, &row, name, remove, &Actor::CommandLine).await?);
            }
            print_enabled(&row, &done, global.output)
        }
        Action::Status {
            connection: label,
            stored,
            json,
        } => {
            let rows = match &label {
                Some(label) => vec![connection(&app, Some(label)).await?],
                None => app.store.connection_list().await?,
            };
            if rows.is_empty() {
                bail!("no account connected: run `flareward connect`");
            }
            let format = if json { Format::Json } else { global.output };
            if !stored {
                look(&app, &rows).await?;
            }
            let only = label.as_ref().map(|_| &rows[0].id);
            let mut printer = Printer::new(format, STATUS);
            for one in status(&app, only).await? {
                let body = LogSourceBody::new(one);
                printer.body(&body, &[("lag", json!(body.lag_seconds.map(words)))])?;
            }
            printer.finish(NOTHING)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Pull {
            connection: label,
            dataset,
        } => {
            let row = connection(&app, label.as_deref()).await?;
            run_pull(&app, &row, &dataset, global.output).await
        }
        Action::Objects(args) => run_objects(&app, args, global.output).await,
    }
}

async fn run_pull(
    app: &App,
    row: &ConnectionRow,
    names: &[String],
    format: Format,
) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(None, false);
    let pulled = pull::pull(app, row, names, &|progress| draw(&bar, &progress)).await;
    bar.finish_and_clear();
    let pulled = pulled?;
    let mut printer = Printer::new(format, PULLED);
    for one in &pulled {
        printer.body(
            &PulledLogBody::new(one.clone()),
            &[("connection", json!(row.label))],
        )?;
    }
    printer.finish("nothing to pull")?;
    let batches: Vec<String> = pulled.iter().flat_map(|one| one.batches.clone()).collect();
    super::finish_batches(app, &batches).await?;
    let failed = pulled.iter().any(|one| one.has_failed);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn run_objects(app: &App, args: ObjectsArgs, format: Format) -> anyhow::Result<ExitCode> {
    let row = connection(app, args.connection.as_deref()).await?;
    let actor = Actor::CommandLine;
    if !args.forget && (args.confirm.plan || args.confirm.yes) {
        return Err(crate::Usage("--plan and --yes work only with --forget".to_owned()).into());
    }
    if args.forget {
        let known = app
            .store
            .log_source_get(&row.id, &args.dataset, objects::SOURCE)
            .await?;
        let Some(known) = known else {
            let words = format!(
                "no bucket configured for {} on connection {}",
                args.dataset, row.label
            );
            return Err(crate::NotFound(words).into());
        };
        let place = known.place.unwrap_or_default();
        let removal = Removal {
            summary: format!(
                "stop reading the bucket {place} of {} for {}",
                row.label, args.dataset
            ),
            counts: vec![(
                "objects_no_longer_known_as_read",
                app.store.object_read_count(&row.id, &args.dataset).await?,
            )],
            notes: vec![
                "records already read are kept, and nothing is deleted from the bucket; a stored access \
                     key is deleted"
                    .to_owned(),
            ],
        };
        if let Err(code) = removal.agreed(args.confirm, format)? {
            return Ok(code);
        }
        objects::forget(app, &row, &args.dataset, &actor).await?;
        removal.done(format)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(place) = args.from {
        let keys = match (args.access_key_id, &args.secret_key_file) {
            (Some(id), Some(file)) => Some(BucketKeys {
                id,
                secret: read_secret(file)?.into(),
            }),
            _ => None,
        };
        let request = BucketRequest {
            place,
            endpoint: args.endpoint,
            keys,
        };
        objects::configure(app, &row, &args.dataset, &request, &actor).await?;
    }
    let bar = ProgressBar::new(None, false);
    let report = objects::read(app, &row, &args.dataset, args.since, &|progress| {
        draw(&bar, &progress);
    })
    .await;
    bar.finish_and_clear();
    let report = report?;
    let set_aside: Vec<String> = report
        .set_aside
        .iter()
        .map(|(location, problem)| format!("{location}: {problem}"))
        .collect();
    let batches = report.batches.clone();
    let cells = [
        ("connection", json!(row.label)),
        ("dataset", json!(args.dataset)),
        ("set_aside", json!(set_aside)),
    ];
    let mut printer = Printer::new(format, READ);
    printer.body(&BucketReadBody::new(report), &cells)?;
    printer.finish("no objects")?;
    super::finish_batches(app, &batches).await?;
    let fares = status(app, Some(&row.id)).await?;
    let failing = fares.into_iter().find(|one| {
        one.dataset == args.dataset && one.source == "object" && one.state == model::SourceState::Failing
    });
    if let Some(problem) = failing.as_ref().and_then(|one| one.problem.as_ref()) {
        eprintln!("{}: {problem}", args.dataset);
    }
    Ok(if set_aside.is_empty() && failing.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read_secret(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the secret from standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(text.trim().to_owned())
}

async fn look(app: &App, rows: &[ConnectionRow]) -> anyhow::Result<()> {
    let bar = ProgressBar::new(None, false);
    for (done, row) in (0_u64..).zip(rows) {
        let progress = Progress {
            what: row.label.clone(),
            done,
            total: Some(rows.len() as u64),
        };
        draw(&bar, &progress);
        logpush::watch(app, row).await?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn print_enabled(row: &ConnectionRow, all: &[logpush::Enabled], format: Format) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(format, ENABLED);
    for one in all {
        printer.body(
            &EnabledLogBody::new(one.clone()),
            &[("connection", json!(row.label))],
        )?;
    }
    printer.finish("no dataset")?;
    let refused = all.iter().any(|one| one.outcome == logpush::Outcome::Refused);
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A duration for people, cut to its largest unit.
fn words(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    bar.set_message(progress.what.clone());
    if let Some(total) = progress.total {
        bar.set_length(total);
    }
    bar.set_position(progress.done);
}
