//! `flareward rules run`: rules over files of log records, without a database.

use crate::output::{Format, Printer};
use crate::progress::ProgressBar;
use crate::visible::Visible;
use anyhow::{Context, bail};
use model::{Clock, SystemClock};
use rules::Dataset;
use rules::book::RuleBook;
use rules::file_run::{self, Options};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

/// Which rules, over which files.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The folder of the rules; without it, the built-in ones
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Of which dataset all records are; without it, each record's fields tell
    #[arg(long)]
    dataset: Option<String>,
    /// List rules that cannot be honoured on standard error, and go on without them
    #[arg(long)]
    skip_invalid: bool,
    /// NDJSON files, plain or gzip
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

const COLUMNS: &[&str] = &["rule", "matches"];
/// Problems that are named before a run without `--skip-invalid` ends.
const PROBLEMS_SHOWN: usize = 10;
/// Fields that are named where records have none of them.
const FIELDS_SHOWN: usize = 10;

pub(crate) fn run(args: &RunArgs, format: Format) -> anyhow::Result<ExitCode> {
    let dataset = match &args.dataset {
        None => None,
        Some(name) => Some(Dataset::named(name).with_context(|| {
            format!(
                "the dataset \"{name}\" is not known; known are {}",
                Dataset::names()
            )
        })?),
    };
    let book = match &args.rules {
        Some(folder) if !folder.is_dir() => bail!("{} is not a folder of rules", folder.display()),
        Some(folder) => RuleBook::of_folder(folder),
        None => RuleBook::load(None),
    };
    if book.rules().is_empty() && book.problems.is_empty() {
        let folder = args.rules.as_deref().unwrap_or(Path::new("the program"));
        bail!(
            "{} holds no rules, that is, no .yml files with Sigma documents",
            folder.display()
        );
    }
    if args.skip_invalid {
        for problem in &book.problems {
            eprintln!("left out: {problem}");
        }
    } else if !book.problems.is_empty() {
        for problem in book.problems.iter().take(PROBLEMS_SHOWN) {
            eprintln!("{problem}");
        }
        bail!(
            "{} rule documents cannot be honoured; --skip-invalid goes on without them",
            book.problems.len()
        );
    }
    let bar = bar(args);
    let out: Mutex<Box<dyn Write + Send>> =
        Mutex::new(Box::new(BufWriter::new(Visible::over(std::io::stdout()))));
    let totals = file_run::run(
        &book,
        &args.files,
        Options {
            dataset,
            matches: (format == Format::Ndjson).then_some(&out),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            now: SystemClock.now(),
            progress: &|bytes| bar.inc(bytes),
        },
    )
    .context("the run could not be finished")?;
    bar.finish_and_clear();
    match format {
        Format::Ndjson => {}
        Format::Counts => println!("{}", file_run::counts(&totals)),
        Format::Json => println!("{}", file_run::summary(&totals)),
        Format::Table | Format::Csv => {
            let mut printer = Printer::new(format, COLUMNS);
            for (rule, matches) in &totals.rules {
                printer.row(&json!({ "rule": rule, "matches": matches }))?;
            }
            printer.finish("no rule matched")?;
        }
    }
    for reject in &totals.rejects {
        eprintln!("rejected: {reject}");
    }
    if totals.untaken > 0 {
        eprintln!(
            "{} matches could not be correlated: they lack a time or a field that groups them",
            totals.untaken
        );
    }
    for broken in &totals.broken {
        eprintln!("not read to its end: {broken}");
    }
    if let Some(fields) = &totals.unasked {
        eprintln!("{}", unasked(fields));
    }
    let mut words = format!(
        "{} events, {} matches of {} rules, {} lines rejected",
        totals.events,
        totals.matches,
        totals.rules.len(),
        totals.rejected
    );
    for (count, what) in [
        (totals.repaired, "repaired"),
        (totals.repeated, "matches left out: their records came before"),
    ] {
        if count > 0 {
            write!(words, ", {count} {what}")?;
        }
    }
    eprintln!("{words}");
    let nothing = totals.events == 0;
    if nothing {
        let reason = if totals.rejected > 0 || !totals.broken.is_empty() {
            "no record could be read"
        } else {
            "the files hold no records"
        };
        eprintln!("{reason}");
    }
    Ok(if totals.broken.is_empty() && !(nothing && totals.rejected > 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What to say where no record has a field that the rules ask for.
fn unasked(fields: &[String]) -> String {
    if fields.is_empty() {
        return "no rule runs on records of this kind: see `flareward rules check` for the datasets of the rules".to_owned();
    }
    let shown = fields
        .iter()
        .take(FIELDS_SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = if fields.len() > FIELDS_SHOWN { ", …" } else { "" };
    format!("no record has a field that the rules ask for: {shown}{more}")
}

fn bar(args: &RunArgs) -> ProgressBar {
    let length = args
        .files
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    ProgressBar::new(Some(length), true)
}
