//! `flareward rules`: what the rules are, whether a file holds good ones, and why one matched an event.

use crate::Global;
use crate::output::{Format, Printer, object};
use anyhow::Context;
use hub::rule_book::{Origin, level_word, read_rules};
use model::EventId;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with rules.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the rules that run
    List,
    /// Say whether files hold rules that can be honoured
    Check {
        /// Sigma documents in YAML
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show which part of a rule matched which value of an event
    Explain {
        /// The rule's name or id
        rule: String,
        /// The event's id, or a file that holds one record in JSON
        event: String,
    },
}

const COLUMNS: &[&str] = &[
    "name",
    "dataset",
    "level",
    "behaviour",
    "topic",
    "detections",
    "title",
];
const CHECK_COLUMNS: &[&str] = &["file", "ok", "rules", "problem"];

pub(crate) async fn run(args: RulesArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List => list(global).await,
        Action::Check { files } => check(&files, global.output),
        Action::Explain { rule, event } => explain(&rule, &event, global).await,
    }
}

async fn list(global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let counts = app.store.detection_counts().await?;
    let mut printer = Printer::new(global.output, COLUMNS);
    for rule in app.rules().rules() {
        let count = counts.iter().find(|count| count.rule_name == rule.name);
        printer.row(&json!({
            "name": rule.name, "id": rule.id, "dataset": rule.dataset, "level": level_word(rule.level),
            "behaviour": rule.behaviour, "topic": rule.topic, "title": rule.title, "description": rule.description,
            "origin": if rule.origin == Origin::System { "system" } else { "custom" }, "tags": rule.tags,
            "detections": count.map_or(0, |count| count.detections), "people": count.map_or(0, |count| count.people),
        }))?;
    }
    printer.finish("no rules")?;
    for problem in &app.rules().problems {
        eprintln!("left out: {problem}");
    }
    Ok(ExitCode::SUCCESS)
}

fn check(files: &[PathBuf], format: Format) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(format, CHECK_COLUMNS);
    let mut good = true;
    for path in files {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.display().to_string();
        match read_rules(&text, Origin::Custom) {
            Ok(rules) => printer.row(&json!({ "file": name, "ok": true, "rules": rules.len() }))?,
            Err(problem) => {
                good = false;
                printer.row(&json!({ "file": name, "ok": false, "problem": problem }))?;
            }
        }
    }
    printer.finish("no files")?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn explain(rule: &str, event: &str, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let found = app
        .rules()
        .rule(rule)
        .with_context(|| format!("there is no rule \"{rule}\""))?;
    let record: Value = if std::path::Path::new(event).is_file() {
        serde_json::from_str(&std::fs::read_to_string(event)?).context("the file holds no JSON record")?
    } else {
        let row = app.store.event_get(&EventId(event.to_owned())).await?;
        let row = row.with_context(|| format!("\"{event}\" is neither an event's id nor a file"))?;
        serde_json::from_str(&row.raw)?
    };
    let explanation = serde_json::to_value(found.compiled.explain(&record))?;
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
