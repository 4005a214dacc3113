//! Why a person has, or has not, one group, role or application: every rule that speaks, as a tree.

use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, Query, State};
use hub::App;
use hub::access::explain::{RuleSet, explain, resolve};
use hub::access::{ExplainError, Explanation, Target};
use model::PersonId;
use serde::Deserialize;
use store::PersonRow;

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    frame: Frame,
    person: PersonRow,
    answer: Explanation,
    lines: Vec<Line>,
}

/// A line of the tree.
struct Line {
    depth: usize,
    verdict: &'static str,
    /// `include`, `require`, `exclude`; empty for a group or policy itself.
    list: &'static str,
    words: String,
}

/// About what.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    connection: String,
    group: String,
    app: String,
    role: String,
}

/// The page.
pub(super) async fn show_why(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let person = app
        .store
        .person_get(&PersonId(id))
        .await?
        .ok_or(PageError::NotFound("person"))?;
    let connection = app.store.connection_by_label(&asked.connection).await?;
    let target = match (&*asked.group, &*asked.app, &*asked.role) {
        (group, "", "") if !group.is_empty() => Target::Group(group.to_owned()),
        ("", app, "") if !app.is_empty() => Target::App(app.to_owned()),
        ("", "", role) if !role.is_empty() => Target::Role(role.to_owned()),
        _ => return Err(PageError::Asked("name one group, application or role".to_owned())),
    };
    let entitlement = resolve(&app, connection.as_ref(), &target)
        .await
        .map_err(problem)?;
    let answer = explain(&app, &person, &entitlement).await.map_err(problem)?;
    let mut lines = Vec::new();
    for set in &answer.rules {
        walk(set, 0, &mut lines);
    }
    page::rendered(&WhyPage {
        frame: visitor.frame(
            format!("Why {} in {}?", person.email, answer.entitlement_name),
            Section::People,
        ),
        person,
        answer,
        lines,
    })
}

fn walk(set: &RuleSet, depth: usize, lines: &mut Vec<Line>) {
    lines.push(Line {
        depth,
        verdict: set.verdict,
        list: "",
        words: set.what.clone(),
    });
    for rule in &set.rules {
        lines.push(Line {
            depth: depth + 1,
            verdict: rule.verdict,
            list: rule.list,
            words: rule.rule.clone(),
        });
        if let Some(group) = &rule.group {
            walk(group, depth + 2, lines);
        }
    }
}

fn problem(error: ExplainError) -> PageError {
    match error {
        ExplainError::Store(error) => error.into(),
        error => PageError::Asked(error.to_string()),
    }
}
