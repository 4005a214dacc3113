//! `flareward rules`: what the rules are, whether files hold good ones, whether they do as their cases say, why one
//! matched an event, what one would have found, and which run.

use super::removal::{Confirm, Removal};
use super::rules_run::{self, RunArgs};
use crate::Global;
use crate::output::{Format, Printer, object};
use crate::progress::ProgressBar;
use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use hub::detection::backtest;
use hub::permission::Actor;
use hub::rule_admin;
use model::EventId;
use rules::book::{Origin, RuleBook, RuleMode, Stored};
use rules::cases;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use web::api::backtest::BacktestBody;
use web::api::rule_documents::RuleDocumentVersionBody;
use web::api::rule_parameters::RuleParameterBody;
use web::api::rules::{Counts, RuleBody};

/// Subcommands of `rules`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List rules, with their number of detections
    List,
    /// Check whether rule files are valid and supported, and show the datasets they run on
    Check {
        /// Sigma documents (YAML), or folders of them
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run the test cases of rules: built-in rules, or the rules of a folder
    Test {
        /// Rule names or IDs, or folders; default: all built-in rules
        rules: Vec<String>,
    },
    /// Run rules on log files, without a database; `--output counts` prints counts as one JSON document, `ndjson` one
    /// line per match
    Run(RunArgs),
    /// Show which conditions of a rule match which values of an event
    Explain {
        /// Rule name or ID, or a file with one rule
        rule: String,
        /// Event ID, or a file with one record in JSON
        event: String,
    },
    /// Backtest a rule on archived records: what it would have detected, by day
    Backtest {
        /// Rule name or ID, or a file with one rule
        rule: String,
        /// Start of the range: a time (RFC 3339), or a duration before now such as 30d or 12h
        #[arg(long, default_value = "30d")]
        since: String,
        /// End of the range; default: now
        #[arg(long)]
        until: Option<String>,
    },
    /// Enable rules
    Enable {
        /// Rule names or IDs
        #[arg(required = true)]
        rules: Vec<String>,
    },
    /// Disable rules
    Disable {
        /// Rule names or IDs
        #[arg(required = true)]
        rules: Vec<String>,
    },
    /// Run rules in test mode: count matches without creating detections
    TestMode {
        /// Rule names or IDs
        #[arg(required = true)]
        rules: Vec<String>,
    },
    /// Show the lists that rules refer to, such as approved domains
    Lists,
    /// Set a list that rules refer to
    SetList {
        /// List name
        name: String,
        /// Values; without values, the list becomes empty
        values: Vec<String>,
        /// Restore the default values that came with the rules
        #[arg(long, conflicts_with = "values")]
        reset: bool,
    },
    /// Add a document of rules, correlations or filters to the store; a changed document becomes a new version
    Add {
        /// Sigma document (YAML)
        file: PathBuf,
        /// Document name; default: the file name
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove a document that was added
    Remove {
        /// Document name
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// List the versions of a document that was added
    Versions {
        /// Document name
        name: String,
    },
}

const COLUMNS: &[&str] = &[
    "name",
    "mode",
    "dataset",
    "level",
    "+behaviour",
    "detections",
    "+title",
];
const CHECK_COLUMNS: &[&str] = &["file", "ok", "rules", "datasets", "problem"];
const TEST_COLUMNS: &[&str] = &["rule", "cases", "failed", "problem"];
const LIST_COLUMNS: &[&str] = &["name", "values", "description"];
const VERSION_COLUMNS: &[&str] = &["version", "written_at", "written_by", "bytes"];
const DAY_COLUMNS: &[&str] = &["day", "detections", "people"];

pub(crate) async fn run(args: RulesArgs, global: &Global) -> anyhow::Result<ExitCode> {
    if global.output == Format::Counts && !matches!(args.action, Action::Run(_)) {
        bail!("`--output counts` works only with `flareward rules run`; use table, json, ndjson or csv");
    }
    match args.action {
        Action::List => list(global).await,
        Action::Check { files } => check(&files, global.output),
        Action::Test { rules } => test(&rules, global.output),
        Action::Run(args) => rules_run::run(&args, global.output),
        Action::Explain { rule, event } => explain(&rule, &event, global).await,
        Action::Backtest { rule, since, until } => try_rule(&rule, &since, until.as_deref(), global).await,
        Action::Enable { rules } => set_mode(&rules, RuleMode::On, global).await,
        Action::Disable { rules } => set_mode(&rules, RuleMode::Off, global).await,
        Action::TestMode { rules } => set_mode(&rules, RuleMode::Test, global).await,
        Action::Lists => lists(global).await,
        Action::SetList { name, values, reset } => {
            let app = crate::open_or_make(global).await?;
            let values = (!reset).then_some(values.as_slice());
            rule_admin::set_parameter(&app, &name, values, &Actor::CommandLine).await?;
            eprintln!("{name} is set");
            Ok(ExitCode::SUCCESS)
        }
        Action::Add { file, name } => {
            let app = crate::open_or_make(global).await?;
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = name.unwrap_or_else(|| {
                file.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned()
            });
            let version = rule_admin::write_document(&app, &name, &text, &Actor::CommandLine).await?;
            eprintln!("{name} saved as version {version}");
            Ok(ExitCode::SUCCESS)
        }
        Action::Remove { name, confirm } => {
            let app = crate::open(global).await?;
            let removal = rule_removal(&app, &name).await?;
            if let Err(code) = removal.agreed(confirm, global.output)? {
                return Ok(code);
            }
            rule_admin::remove_document(&app, &name, &Actor::CommandLine).await?;
            removal.done(global.output)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Versions { name } => versions(&name, global).await,
    }
}

/// The rules of the store, or only the built-in rules (with a message) if there is no store.
async fn book_there_is(global: &Global) -> anyhow::Result<std::sync::Arc<RuleBook>> {
    match crate::open_if_there(global).await? {
        Some(app) => Ok(app.rules()),
        None => {
            let folder = crate::settings(global)?.data.dir;
            eprintln!("no data in {}: using only the built-in rules", folder.display());
            Ok(std::sync::Arc::new(RuleBook::load(None)))
        }
    }
}

async fn list(global: &Global) -> anyhow::Result<ExitCode> {
    let book = book_there_is(global).await?;
    let counts = match crate::open_if_there(global).await? {
        Some(app) => Counts::read(&app).await?,
        None => Counts::default(),
    };
    let mut printer = Printer::new(global.output, COLUMNS);
    for rule in book.rules() {
        printer.body(&RuleBody::new(&book, rule, &counts), &[])?;
    }
    printer.finish("no rules")?;
    for problem in &book.problems {
        eprintln!("skipped: {problem}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A book with the rules of a file or folder and the built-in rules, which they may refer to.
fn book_of(path: &Path) -> anyhow::Result<RuleBook> {
    if path.is_dir() {
        return Ok(RuleBook::build(true, Some(path), &Stored::default()));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let stored = Stored {
        documents: vec![(path.display().to_string(), text)],
        ..Stored::default()
    };
    Ok(RuleBook::build(true, None, &stored))
}

fn check(files: &[PathBuf], format: Format) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(format, CHECK_COLUMNS);
    let mut good = true;
    for path in files {
        let book = book_of(path)?;
        let ours: Vec<_> = book
            .rules()
            .iter()
            .filter(|rule| rule.origin == Origin::Custom)
            .collect();
        let name = path.display().to_string();
        let mut problems = book.problems.clone();
        if book.read == 0 && problems.is_empty() {
            problems.push("no rules found (use a .yml or .yaml file, or a folder of them)".to_owned());
        }
        for problem in &problems {
            good = false;
            printer.row(&json!({ "file": name, "ok": false, "problem": problem }))?;
        }
        for warning in &book.warnings {
            eprintln!("warning: {warning}");
        }
        let mut datasets: Vec<&str> = ours.iter().flat_map(|rule| rule.dataset.split(',')).collect();
        datasets.sort_unstable();
        datasets.dedup();
        let fine = book.read.saturating_sub(book.problems.len());
        if fine > 0 || problems.is_empty() {
            printer.row(
                &json!({ "file": name, "ok": true, "rules": ours.len(), "documents": book.read,
                "fine": fine, "warnings": book.warnings, "datasets": datasets.join(", ") }),
            )?;
        }
        eprintln!("{name}: {fine} of {} documents are valid", book.read);
    }
    printer.finish("no files")?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn test(wanted: &[String], format: Format) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(format, TEST_COLUMNS);
    let (mut all, mut failed, mut without) = (0, 0, 0);
    let (folders, names): (Vec<&String>, Vec<&String>) =
        wanted.iter().partition(|wanted| Path::new(wanted).is_dir());
    let mut judge = |book: &RuleBook, folder: Option<&Path>, names: &[&String]| -> anyhow::Result<()> {
        for rule in book.rules() {
            let is_ours = (rule.origin == Origin::System) == folder.is_none();
            let is_meant =
                names.is_empty() || names.iter().any(|name| **name == rule.name || **name == rule.id);
            if !is_ours || !is_meant {
                continue;
            }
            let text = match folder {
                None => book.system_cases(rule),
                Some(folder) => {
                    let stem = rule
                        .file
                        .rsplit_once('.')
                        .map_or(rule.file.as_str(), |(stem, _)| stem);
                    std::fs::read_to_string(folder.join(format!("{stem}.cases.yml"))).ok()
                }
            };
            let Some(text) = text else {
                without += 1;
                printer.row(
                    &json!({ "rule": rule.name, "cases": 0, "failed": 0, "problem": "no test cases" }),
                )?;
                continue;
            };
            let cases = cases::read(&text)
                .map_err(|problem| anyhow::anyhow!("test cases of {}: {problem}", rule.name))?;
            let (count, failures) = cases::judge(book, rule, &cases);
            all += count;
            failed += failures.len();
            let problem: Vec<String> = failures
                .iter()
                .map(|failure| format!("{}: {}", failure.case, failure.reason))
                .collect();
            printer.row(
                &json!({ "rule": rule.name, "cases": count, "failed": failures.len(),
                "problem": problem.join("; ") }),
            )?;
        }
        Ok(())
    };
    if folders.is_empty() || !names.is_empty() {
        let book = RuleBook::load(None);
        if let Some(name) = names.iter().find(|name| book.rule(name).is_none()) {
            bail!("no built-in rule and no folder named \"{name}\"");
        }
        judge(&book, None, &names)?;
    }
    for folder in folders {
        let folder = Path::new(folder);
        let book = RuleBook::build(true, Some(folder), &Stored::default());
        for problem in &book.problems {
            eprintln!("skipped: {problem}");
        }
        judge(&book, Some(folder), &[])?;
    }
    printer.finish("no rules")?;
    eprintln!("{all} test cases, {failed} failed, {without} rules without test cases");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn explain(rule: &str, event: &str, global: &Global) -> anyhow::Result<ExitCode> {
    let (record, book) = if Path::new(event).is_file() {
        let record: Value = serde_json::from_str(&std::fs::read_to_string(event)?)
            .context("the file contains no JSON record")?;
        // Without a store there are still the built-in rules, or the file.
        let book = if Path::new(rule).is_file() {
            std::sync::Arc::new(book_of(Path::new(rule))?)
        } else {
            book_there_is(global).await?
        };
        (record, book)
    } else {
        let app = crate::open(global).await?;
        let row = hub::event::get(&app, &EventId(event.to_owned()), None).await?;
        let row = row.with_context(|| format!("\"{event}\" is neither an event ID nor a file"))?;
        let book = if Path::new(rule).is_file() {
            std::sync::Arc::new(book_of(Path::new(rule))?)
        } else {
            app.rules()
        };
        (serde_json::from_str(&row.raw)?, book)
    };
    let found = named(&book, rule)?;
    let explanation = serde_json::to_value(found.explain(&record))?;
    let matched = explanation["matched"].as_bool().unwrap_or_default();
    object(
        if global.output == Format::Table {
            Format::Json
        } else {
            global.output
        },
        &explanation,
    )?;
    Ok(if matched {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The rule with this name, or the rule in a file.
fn named<'b>(book: &'b RuleBook, rule: &str) -> anyhow::Result<&'b rules::book::BookRule> {
    if Path::new(rule).is_file() {
        if let Some(problem) = book.problems.first() {
            bail!("{problem}");
        }
        let mut ours = book.rules().iter().filter(|rule| rule.origin == Origin::Custom);
        return match (ours.next(), ours.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => bail!("{rule} contains no rule"),
            _ => bail!("{rule} contains several rules; put the rule you want into its own file"),
        };
    }
    book.rule(rule)
        .with_context(|| format!("no rule named \"{rule}\"; run `flareward rules list` to see all"))
}

/// A time, or a duration before now.
pub(crate) fn moment(text: &str, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let span = text
        .split_at_checked(text.len().saturating_sub(1))
        .and_then(|(number, unit)| {
            let number: i64 = number
                .parse()
                .ok()
                .filter(|number| (0..100_000).contains(number))?;
            Some(match unit {
                "m" => TimeDelta::minutes(number),
                "h" => TimeDelta::hours(number),
                "d" => TimeDelta::days(number),
                _ => return None,
            })
        });
    let span = span.with_context(|| {
        format!(
            "invalid time \"{text}\": use a time such as 2026-11-01T00:00:00Z or a duration before \
             now such as 30d, 12h or 45m"
        )
    })?;
    Ok(now - span)
}

async fn try_rule(rule: &str, since: &str, until: Option<&str>, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let now = app.clock.now();
    let since = moment(since, now)?;
    let until = until.map_or(Ok(now), |until| moment(until, now))?;
    let book = if Path::new(rule).is_file() {
        std::sync::Arc::new(book_of(Path::new(rule))?)
    } else {
        app.rules()
    };
    let found = named(&book, rule)?;
    let bar = ProgressBar::new(None, false);
    bar.set_message("parts");
    let backtest = backtest::run(&app, &book, found, since, until, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        ControlFlow::Continue(())
    })
    .await?;
    bar.finish_and_clear();
    if global.output == Format::Table {
        let mut printer = Printer::new(Format::Table, DAY_COLUMNS);
        for (day, of) in &backtest.days {
            printer.row(&json!({ "day": day, "detections": of.detections, "people": of.people }))?;
        }
        printer.finish("the rule would have detected nothing")?;
        for (who, count) in &backtest.most {
            println!("{count:>6}  {who}");
        }
        println!(
            "{}: {} detections for {} people, from {} matches in {} records of {} parts of the archive",
            found.name,
            backtest.detections,
            backtest.people,
            backtest.matches,
            backtest.events,
            backtest.parts
        );
    } else {
        let body = BacktestBody::new(&found.name, since, until, backtest.clone());
        object(global.output, &serde_json::to_value(body)?)?;
    }
    for unread in &backtest.unread {
        eprintln!("could not read: {unread}");
    }
    Ok(if backtest.unread.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn set_mode(rules: &[String], mode: RuleMode, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open_or_make(global).await?;
    for rule in rules {
        rule_admin::set_mode(&app, rule, mode, &Actor::CommandLine).await?;
        eprintln!("{rule} is {}", mode.as_str());
    }
    Ok(ExitCode::SUCCESS)
}

async fn lists(global: &Global) -> anyhow::Result<ExitCode> {
    let book = book_there_is(global).await?;
    let rows = match crate::open_if_there(global).await? {
        Some(app) => app.store.rule_parameters().await?,
        None => Vec::new(),
    };
    let mut printer = Printer::new(global.output, LIST_COLUMNS);
    for body in RuleParameterBody::all(&book, &rows) {
        printer.body(&body, &[])?;
    }
    printer.finish("no lists")?;
    Ok(ExitCode::SUCCESS)
}

async fn rule_removal(app: &hub::App, name: &str) -> anyhow::Result<Removal> {
    let kept = app.store.rule_documents().await?;
    if !kept.iter().any(|document| document.name == name) {
        let known: Vec<&str> = kept.iter().map(|document| document.name.as_str()).collect();
        let words = format!("no document named \"{name}\"; available: {}", known.join(", "));
        return Err(crate::NotFound(words).into());
    }
    let versions = app.store.rule_document_versions(name, 1_000).await?.len();
    let book = app.rules();
    let rules: Vec<&str> = book
        .rules()
        .iter()
        .filter(|rule| rule.origin == Origin::Custom && rule.file == name)
        .map(|rule| rule.name.as_str())
        .collect();
    let counts = app.store.detection_counts().await?;
    let made = counts
        .iter()
        .filter(|count| rules.contains(&count.rule_name.as_str()));
    Ok(Removal {
        summary: format!("remove the rule document {name}"),
        counts: vec![
            ("rules_that_stop", i64::try_from(rules.len())?),
            ("versions_kept", i64::try_from(versions)?),
            ("detections_kept", made.map(|count| count.detections).sum()),
        ],
        notes: vec![format!(
            "its versions are kept (`flareward rules versions {name}`); add the document again to \
                 restore the rules"
        )],
    })
}

async fn versions(name: &str, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let mut printer = Printer::new(global.output, VERSION_COLUMNS);
    for row in app.store.rule_document_versions(name, 1_000).await? {
        let bytes = json!(row.text.as_ref().map(String::len));
        printer.body(&RuleDocumentVersionBody::new(row), &[("bytes", bytes)])?;
    }
    if printer.finish("")? == 0 {
        bail!("no document named \"{name}\"");
    }
    Ok(ExitCode::SUCCESS)
}
