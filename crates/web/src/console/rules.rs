//! The rules: what each finds, which of them run, what it triggers, how often it matched; and switching one.

use super::explained::{Explained, explained};
use super::form::Form;
use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use hub::rule_admin::{self, RuleAdminError};
use hub::{App, Permission};
use rules::book::parameter::Parameter;
use rules::book::{Behaviour, BookRule, Origin, RuleBook, RuleMode, Tip, level_word};
use rules::cases::{self, Expectations};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use store::{RuleCount, TestCount};

/// Values of a list that a rule's page shows.
const VALUES_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage<'a> {
    frame: Frame,
    rows: Vec<Row<'a>>,
    problems: &'a [String],
    folder: String,
    /// All rules, and those of each mode.
    all: usize,
    modes: [(RuleMode, usize); 3],
    mode: Option<RuleMode>,
    dataset: String,
    datasets: Vec<&'a str>,
}

struct Row<'a> {
    rule: &'a BookRule,
    behaviour: Option<&'a Behaviour>,
    count: Option<RuleCount>,
    tested: Option<TestCount>,
}

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage<'a> {
    frame: Frame,
    rule: &'a BookRule,
    behaviour: Option<&'a Behaviour>,
    tip: Option<&'a Tip>,
    count: Option<RuleCount>,
    tested: Option<TestCount>,
    level: &'static str,
    parts: Explained,
    may_switch: bool,
    modes: [RuleMode; 3],
    datasets: String,
    together: Option<Together>,
    lists: Vec<(&'a str, &'a Parameter)>,
    /// Number of test cases that match, and that do not.
    cases: Option<(i64, i64)>,
}

/// The rules that a correlation refers to.
struct Together {
    rules: String,
    group_by: String,
}

/// Filters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    dataset: String,
    mode: String,
}

/// The new mode of a rule.
#[derive(Debug, Deserialize)]
pub(super) struct Switch {
    mode: String,
}

const MODES: [RuleMode; 3] = [RuleMode::On, RuleMode::Test, RuleMode::Off];

/// The datasets that a rule runs on, as text.
fn datasets_of(rule: &BookRule) -> String {
    let words = |name| match name {
        "any" => "all".to_owned(),
        name => show::words(name),
    };
    rule.dataset.split(',').map(words).collect::<Vec<_>>().join(", ")
}

impl Row<'_> {
    fn is_custom(&self) -> bool {
        self.rule.origin == Origin::Custom
    }

    fn level(&self) -> &'static str {
        level_word(self.rule.level)
    }

    fn datasets(&self) -> String {
        datasets_of(self.rule)
    }
}

impl RulePage<'_> {
    /// The effect of the mode, in one sentence.
    fn meaning(&self) -> &'static str {
        match self.rule.mode {
            RuleMode::On => "Matches create detections.",
            RuleMode::Test => "Matches are counted. They affect no one’s risk level and send no messages.",
            RuleMode::Off => "The rule does not run.",
        }
    }

    fn shown<'v>(&self, list: &'v Parameter) -> &'v [String] {
        &list.values[..list.values.len().min(VALUES_SHOWN)]
    }

    fn more_values(&self, list: &Parameter) -> usize {
        list.values.len().saturating_sub(VALUES_SHOWN)
    }
}

fn mode_word(mode: &RuleMode) -> &'static str {
    match mode {
        RuleMode::On => "on",
        RuleMode::Test => "test",
        RuleMode::Off => "off",
    }
}

/// Lists all rules, most detections first.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let mode = match asked.mode.as_str() {
        "" => None,
        word => Some(mode_of(word)?),
    };
    let mut counts: HashMap<String, RuleCount> = app
        .store
        .detection_counts()
        .await?
        .into_iter()
        .map(|count| (count.rule_name.clone(), count))
        .collect();
    let mut tested = tested(&app).await?;
    let book = app.rules();
    let is_asked_for = |rule: &&BookRule| {
        let mut of = rule.dataset.split(',');
        mode.is_none_or(|mode| rule.mode == mode)
            && (asked.dataset.is_empty() || of.any(|name| name == asked.dataset || name == "any"))
    };
    let mut rows: Vec<Row<'_>> = book
        .rules()
        .iter()
        .filter(is_asked_for)
        .map(|rule| Row {
            behaviour: rule
                .own
                .behaviour
                .as_ref()
                .and_then(|key| book.behaviours.get(key)),
            count: counts.remove(&rule.name),
            tested: tested.remove(&rule.id),
            rule,
        })
        .collect();
    rows.sort_by_key(|row| {
        let matched = row.count.as_ref().map_or(0, |count| count.detections);
        (std::cmp::Reverse(matched), row.rule.title.clone())
    });
    let datasets: BTreeSet<&str> = book
        .rules()
        .iter()
        .flat_map(|rule| rule.dataset.split(','))
        .filter(|name| *name != "any")
        .collect();
    let page = RulesPage {
        frame: visitor.frame("Rules", Section::Rules),
        rows,
        problems: &book.problems,
        folder: app.settings.data.dir.join("rules").display().to_string(),
        all: book.rules().len(),
        modes: MODES.map(|mode| (mode, book.rules().iter().filter(|rule| rule.mode == mode).count())),
        mode,
        dataset: asked.dataset,
        datasets: datasets.into_iter().collect(),
    };
    page::rendered(&page)
}

fn mode_of(word: &str) -> Result<RuleMode, PageError> {
    RuleMode::parse(word)
        .ok_or_else(|| PageError::Asked(format!("invalid mode \"{word}\": use on, test or off")))
}

/// Number of matches in test mode, by rule ID.
async fn tested(app: &App) -> Result<HashMap<String, TestCount>, PageError> {
    let counts = app.store.test_counts().await?.into_iter();
    Ok(counts.map(|count| (count.rule_id.clone(), count)).collect())
}

/// One rule.
pub(super) async fn show_rule(
    visitor: Visitor,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Page, PageError> {
    let book = app.rules();
    let rule = book.rule(&name).ok_or(PageError::NotFound("rule"))?;
    let counts = app.store.detection_counts().await?;
    let lists = rule.lists(&book.parameters).into_iter();
    let page = RulePage {
        frame: visitor.frame(rule.title.clone(), Section::Rules),
        behaviour: rule
            .own
            .behaviour
            .as_ref()
            .and_then(|key| book.behaviours.get(key)),
        tip: rule.own.topic.as_ref().and_then(|topic| book.tips.get(topic)),
        count: counts.into_iter().find(|count| count.rule_name == rule.name),
        tested: tested(&app).await?.remove(&rule.id),
        // What it asks of an empty record is what it asks of any.
        parts: explained(rule, &serde_json::json!({})),
        level: level_word(rule.level),
        may_switch: visitor.may(Permission::RulesWrite),
        modes: MODES,
        datasets: datasets_of(rule),
        together: book.correlation(rule).map(|correlation| Together {
            rules: correlation.rules.join(", "),
            group_by: correlation.group_by.join(" and "),
        }),
        lists: lists.map(|name| (name, &book.parameters[name])).collect(),
        cases: cases_of(&book, rule),
        rule,
    };
    page::rendered(&page)
}

fn cases_of(book: &RuleBook, rule: &BookRule) -> Option<(i64, i64)> {
    let cases = cases::read(&book.system_cases(rule)?).ok()?;
    let count = |expectations: &Expectations| {
        let count = match expectations {
            Expectations::Events(events) => events.len(),
            Expectations::Sequences { sequences } => sequences.len(),
        };
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    Some((count(&cases.fires), count(&cases.silent)))
}

/// Sets the mode of a rule.
pub(super) async fn switch(
    visitor: Visitor,
    State(app): State<App>,
    Path(name): Path<String>,
    Form(form): Form<Switch>,
) -> Result<Redirect, PageError> {
    let mode = mode_of(&form.mode)?;
    rule_admin::set_mode(&app, &name, mode, visitor.actor())
        .await
        .map_err(|error| match error {
            RuleAdminError::Rule { .. } => PageError::NotFound("rule"),
            RuleAdminError::Store(error) => error.into(),
            error => PageError::Asked(error.to_string()),
        })?;
    Ok(Redirect::to(&format!("/rules/{}", page::path_part(&name))))
}
