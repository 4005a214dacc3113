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

/// The rules and the log files.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Folder of rules; default: the built-in rules
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Dataset of all records; default: detected from each record's fields
    #[arg(long)]
    dataset: Option<String>,
    /// Skip unsupported rules and list them on standard error
    #[arg(long)]
    skip_invalid: bool,
    /// NDJSON files, plain or gzip
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

const COLUMNS: &[&str] = &["rule", "matches"];
/// The number of problems shown before a run without `--skip-invalid` ends.
const PROBLEMS_SHOWN: usize = 10;
/// The number of fields shown when records have none of them.
const FIELDS_SHOWN: usize = 10;

pub(crate) fn run(args: &RunArgs, format: Format) -> anyhow::Result<ExitCode> {
    let dataset = match &args.dataset {
        None => None,
        Some(name) => Some(
            Dataset::named(name)
                .with_context(|| format!("unknown dataset \"{name}\"; available: {}", Dataset::names()))?,
        ),
    };
    let book = match &args.rules {
        Some(folder) if !folder.is_dir() => bail!("{} is not a folder", folder.display()),
        Some(folder) => RuleBook::of_folder(folder),
        None => RuleBook::load(None),
    };
    if book.rules().is_empty() && book.problems.is_empty() {
        let folder = args.rules.as_deref().unwrap_or(Path::new("the program"));
        bail!(
            "{} contains no rules (.yml files with Sigma documents)",
            folder.display()
        );
    }
    if args.skip_invalid {
        for problem in &book.problems {
            eprintln!("skipped: {problem}");
        }
    } else if !book.problems.is_empty() {
        for problem in book.problems.iter().take(PROBLEMS_SHOWN) {
            eprintln!("{problem}");
        }
        bail!(
            "{} rule documents are invalid or unsupported; use --skip-invalid to skip them",
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
    .context("could not complete the run")?;
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
            "{} matches could not be correlated: the time or a group-by field is missing",
            totals.untaken
        );
    }
    for broken in &totals.broken {
        eprintln!("not fully read: {broken}");
    }
    if let Some(fields) = &totals.unasked {
        eprintln!("{}", unasked(fields));
    }
    let mut words = format!(
        "{} events, {} matches from {} rules, {} lines rejected",
        totals.events,
        totals.matches,
        totals.rules.len(),
        totals.rejected
    );
    for (count, what) in [
        (totals.repaired, "repaired"),
        (totals.repeated, "matches of duplicate records skipped"),
    ] {
        if count > 0 {
            write!(words, ", {count} {what}")?;
        }
    }
    eprintln!("{words}");
    let nothing = totals.events == 0;
    if nothing {
        let reason = if totals.rejected > 0 || !totals.broken.is_empty() {
            "no usable records"
        } else {
            "the files contain no records"
        };
        eprintln!("{reason}");
    }
    Ok(if totals.broken.is_empty() && !(nothing && totals.rejected > 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The message when no record has a field that the rules use.
fn unasked(fields: &[String]) -> String {
    if fields.is_empty() {
        return "no rule runs on these records: run `flareward rules check` to see the datasets of each \
             rule"
            .to_owned();
    }
    let shown = fields
        .iter()
        .take(FIELDS_SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = if fields.len() > FIELDS_SHOWN { ", …" } else { "" };
    format!("no record has any field that the rules use: {shown}{more}")
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
