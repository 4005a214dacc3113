//! Whether one person has one thing, and why: the tree of rules, each with what it says.

use super::page::{Frame, Page, PageError, Section};
use super::people::found;
use super::visitor::Visitor;
use super::{assets, page, show};
use crate::api::explain::{Refusal, ask};
use askama::Template;
use axum::extract::{Query, State};
use hub::App;
use hub::access::explain::RuleSet;
use hub::access::{ExplainError, Explanation, Target};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    explanation: Explanation,
    sets: Vec<RuleSetPart>,
}

/// A group or policy; nested groups are rendered inside it.
#[derive(Template)]
#[template(path = "rule_set.html")]
struct RuleSetPart {
    set: RuleSet,
}

impl RuleSetPart {
    fn new(set: &RuleSet) -> RuleSetPart {
        RuleSetPart { set: set.clone() }
    }
}

fn nested(set: &RuleSet) -> show::Html {
    show::part(&RuleSetPart::new(set))
}

/// The person and the entitlement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    person: String,
    group: String,
    app: String,
    role: String,
    connection: String,
}

/// The page.
pub(super) async fn show_explanation(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let target = match (&*asked.group, &*asked.app, &*asked.role) {
        (group, "", "") if !group.is_empty() => Target::Group(group.to_owned()),
        ("", app, "") if !app.is_empty() => Target::App(app.to_owned()),
        ("", "", role) if !role.is_empty() => Target::Role(role.to_owned()),
        _ => {
            return Err(PageError::Asked(
                "select exactly one group, application or role".to_owned(),
            ));
        }
    };
    let person = found(&app, &asked.person).await?;
    let connection = Some(asked.connection.as_str()).filter(|label| !label.is_empty());
    let (_, explanation) =
        ask(&app, &person, connection, &target)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Explain(ExplainError::Store(error)) => error.into(),
                Refusal::Explain(ExplainError::NotFound { kind, .. }) => PageError::NotFound(kind),
                Refusal::Explain(error) => PageError::Asked(error.to_string()),
                Refusal::NoConnection(words) => PageError::Asked(words),
                Refusal::Api(_) => PageError::NotFound("connection"),
            })?;
    page::rendered(&ExplainPage {
        frame: visitor.frame(
            format!(
                "Access explanation: {}, {}",
                explanation.email, explanation.entitlement_name
            ),
            Section::People,
        ),
        sets: explanation.rules.iter().map(RuleSetPart::new).collect(),
        explanation,
    })
}
