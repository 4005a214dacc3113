//! `flareward archive`: what the archive holds, whether it is intact, and its views for other programs.

use crate::output::{Format, Printer, object, text_only};
use crate::progress::ProgressBar;
use crate::{Global, NotFound};
use anyhow::Context;
use archive::sql::{Engine, Field, Kind, Place, View};
use hub::archive::Archive;
use hub::settings::Settings;
use rules::{DATASETS, Dataset, FieldType};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use store::PartFilter;
use web::api::archive::ArchiveBody;

const STATS_COLUMNS: &[&str] = &[
    "dataset",
    "records",
    "parts",
    "bytes",
    "bytes_per_record",
    "first_at",
    "last_at",
];
const VERIFY_COLUMNS: &[&str] = &["dataset", "path", "records", "problem"];

/// Subcommands of `archive`.
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    action: ArchiveAction,
}

#[derive(Debug, clap::Subcommand)]
enum ArchiveAction {
    /// Show the records, parts and bytes of each dataset
    Stats,
    /// Compare the content of each part with its checksum; exit code 1 if a part is missing or damaged
    Verify {
        /// Only for this dataset
        #[arg(long)]
        dataset: Option<String>,
    },
    /// Print views of each dataset, with its fields as columns
    #[command(after_help = "For example: flareward archive sql duckdb > views.sql
             duckdb -init views.sql -c \"SELECT count(*) FROM gateway_dns\"")]
    Sql {
        /// The engine that runs the script
        #[arg(value_enum)]
        engine: EngineChoice,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EngineChoice {
    /// DuckDB 1.4 or later; only datasets that have records in the archive
    Duckdb,
    /// ClickHouse; all datasets
    Clickhouse,
    /// Trino with a catalog "hive" of the Hive connector; all datasets
    Trino,
}

pub(crate) async fn run(args: ArchiveArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.action {
        ArchiveAction::Stats => stats(global).await?,
        ArchiveAction::Verify { dataset } => return verify(dataset, global).await,
        ArchiveAction::Sql { engine } => sql(engine, global).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn stats(global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let body = ArchiveBody::read(&app).await?;
    if global.output != Format::Table {
        object(global.output, &serde_json::to_value(body)?)?;
        return Ok(());
    }
    let mut printer = Printer::new(global.output, STATS_COLUMNS);
    for dataset in &body.datasets {
        printer.body(dataset, &[])?;
    }
    printer.finish("no records in the archive")?;
    for part in &body.damaged {
        println!("{}: {}", part.path, part.problem);
    }
    Ok(())
}

async fn verify(dataset: Option<String>, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    if let Some(name) = &dataset {
        Dataset::named(name).with_context(|| {
            format!(
                "no dataset named \"{name}\"; the datasets are {}",
                Dataset::names()
            )
        })?;
    }
    let filter = PartFilter {
        dataset,
        ..PartFilter::default()
    };
    let parts = app.store.part_list(&filter).await?;
    let bar = ProgressBar::new(None, false);
    bar.set_message("parts");
    bar.set_length(parts.len() as u64);
    let mut printer = Printer::new(global.output, VERIFY_COLUMNS);
    let mut damaged = 0;
    for (done, part) in parts.iter().enumerate() {
        bar.set_position(done as u64);
        if let Some(problem) = hub::compact::check(&app, part).await? {
            damaged += 1;
            let row = json!({ "path": part.path, "dataset": part.dataset, "records": part.records,
                "problem": problem });
            printer.row(&row)?;
        }
    }
    bar.finish_and_clear();
    printer.finish("every part is as it was written")?;
    eprintln!(
        "{} of {} parts are as they were written",
        parts.len() - damaged,
        parts.len()
    );
    Ok(match damaged {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn sql(engine: EngineChoice, global: &Global) -> anyhow::Result<()> {
    text_only(global.output, "a script of SQL")?;
    let location = Location::new(&crate::settings(global)?)?;
    let engine = match engine {
        EngineChoice::Clickhouse => Engine::ClickHouse,
        EngineChoice::Trino => Engine::Trino,
        EngineChoice::Duckdb => {
            // DuckDB refuses a view over files that do not exist.
            let found = location
                .archive
                .datasets()
                .await
                .context("cannot list the archive")?;
            let (with, without): (Vec<_>, Vec<_>) =
                DATASETS.iter().partition(|dataset| found.contains(dataset.name));
            print!(
                "{}",
                archive::sql::script(Engine::DuckDb, &location.place, &views(with))
            );
            if !without.is_empty() {
                let names: Vec<&str> = without.iter().map(|dataset| dataset.name).collect();
                println!(
                    "\n-- No views for datasets without records in the archive; print the script again when they have some:\n-- {}",
                    names.join(", ")
                );
            }
            return Ok(());
        }
    };
    print!(
        "{}",
        archive::sql::script(engine, &location.place, &views(DATASETS.iter()))
    );
    Ok(())
}

fn views(datasets: impl IntoIterator<Item = &'static Dataset>) -> Vec<View> {
    let kind = |of: FieldType| match of {
        FieldType::Text => Kind::Text,
        FieldType::Integer => Kind::Integer,
        FieldType::Float => Kind::Float,
        FieldType::Boolean => Kind::Boolean,
        FieldType::Time => Kind::Time,
        FieldType::Texts => Kind::Texts,
        FieldType::Integers => Kind::Integers,
        FieldType::Object => Kind::Json,
    };
    let view = |dataset: &Dataset| View {
        dataset: dataset.name.to_owned(),
        fields: dataset
            .fields()
            .map(|field| Field {
                name: field.name.to_owned(),
                kind: kind(field.field_type),
            })
            .collect(),
    };
    datasets.into_iter().map(view).collect()
}

/// Where the archive of the settings is.
struct Location {
    place: Place,
    archive: Archive,
}

impl Location {
    fn new(settings: &Settings) -> anyhow::Result<Self> {
        let url = settings.archive.url.as_str();
        let folder = match url.strip_prefix("file://") {
            Some(folder) => Some(PathBuf::from(folder)),
            None if url.is_empty() => Some(settings.data.dir.join("archive")),
            None => None,
        };
        let allow_http = settings.egress.allow_http;
        if let Some(folder) = folder {
            let path = std::path::absolute(&folder).context("cannot find the archive folder")?;
            if !path.is_dir() {
                return Err(NotFound(format!(
                    "no archive in {}: set --data-dir, or archive.url in the settings",
                    path.display()
                ))
                .into());
            }
            let path = path.into_os_string().into_string();
            let path = path.map_err(|path| {
                anyhow::anyhow!("the path of the archive is not UTF-8: {}", path.to_string_lossy())
            })?;
            let archive = Archive::open(&settings.archive, &settings.data.dir, allow_http)?;
            return Ok(Self {
                place: Place::Folder(path),
                archive,
            });
        }
        // Refuses an address that is wrong or has keys in it, before anything of it is printed.
        let archive = Archive::open(&settings.archive, &settings.data.dir, allow_http)?;
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = Some(settings.archive.endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.or_else(|| std::env::var("AWS_ENDPOINT_URL").ok());
        let region = if scheme == "r2" {
            Some("auto".to_owned())
        } else {
            ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .into_iter()
                .find_map(|name| std::env::var(name).ok())
        };
        Ok(Self {
            place: Place::Bucket {
                name: name.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
                endpoint: endpoint.map(|endpoint| origin(&endpoint)).transpose()?,
                region,
            },
            archive,
        })
    }
}

/// An endpoint without what may be a secret in it.
fn origin(endpoint: &str) -> anyhow::Result<String> {
    let url = url::Url::parse(endpoint).context("archive.endpoint is not a URL")?;
    let host = url.host_str().context("archive.endpoint has no host")?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    Ok(format!("{}://{host}{port}{path}", url.scheme()))
}
