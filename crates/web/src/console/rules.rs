//! The rules: what each finds, what it triggers, how often it matched.

use super::explained::{Explained, explained};
use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, State};
use hub::App;
use hub::rule_book::{Behaviour, BookRule, Origin, Tip, level_word};
use std::collections::HashMap;
use store::RuleCount;

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage<'a> {
    frame: Frame,
    rows: Vec<Row<'a>>,
    problems: &'a [String],
    folder: String,
}

struct Row<'a> {
    rule: &'a BookRule,
    behaviour: Option<&'a Behaviour>,
    count: Option<RuleCount>,
}

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage<'a> {
    frame: Frame,
    rule: &'a BookRule,
    behaviour: Option<&'a Behaviour>,
    tip: Option<&'a Tip>,
    count: Option<RuleCount>,
    level: &'static str,
    parts: Explained,
}

impl Row<'_> {
    fn is_custom(&self) -> bool {
        self.rule.origin == Origin::Custom
    }

    fn level(&self) -> &'static str {
        level_word(self.rule.level)
    }
}

/// All rules, those that matched most first.
pub(super) async fn list(visitor: Visitor, State(app): State<App>) -> Result<Page, PageError> {
    let mut counts: HashMap<String, RuleCount> = app
        .store
        .detection_counts()
        .await?
        .into_iter()
        .map(|count| (count.rule_name.clone(), count))
        .collect();
    let book = app.rules();
    let mut rows: Vec<Row<'_>> = book
        .rules()
        .iter()
        .map(|rule| Row {
            behaviour: rule
                .own
                .behaviour
                .as_ref()
                .and_then(|key| book.behaviours.get(key)),
            count: counts.remove(&rule.name),
            rule,
        })
        .collect();
    rows.sort_by_key(|row| {
        let matched = row.count.as_ref().map_or(0, |count| count.detections);
        (std::cmp::Reverse(matched), row.rule.title.clone())
    });
    let page = RulesPage {
        frame: visitor.frame("Rules", Section::Rules),
        rows,
        problems: &book.problems,
        folder: app.settings.data.dir.join("rules").display().to_string(),
    };
    page::rendered(&page)
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
    let page = RulePage {
        frame: visitor.frame(rule.title.clone(), Section::Rules),
        behaviour: rule
            .own
            .behaviour
            .as_ref()
            .and_then(|key| book.behaviours.get(key)),
        tip: rule.own.topic.as_ref().and_then(|topic| book.tips.get(topic)),
        count: counts.into_iter().find(|count| count.rule_name == rule.name),
        // What it asks of an empty record is what it asks of any.
        parts: explained(rule, &serde_json::json!({})),
        level: level_word(rule.level),
        rule,
    };
    page::rendered(&page)
}
