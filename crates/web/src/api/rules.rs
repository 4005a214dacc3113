//! The rules that run, the behaviours that they trigger, and the rule files that cannot be honoured.

use crate::auth::CanRead;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use crate::paging::Page;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::rule_book::{Behaviour, BookRule, Origin, level_word};
use serde::Serialize;
use std::collections::HashMap;
use store::RuleCount;
use utoipa::ToSchema;

/// A detection rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleBody {
    /// The rule's own id.
    pub id: String,
    /// Its short name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it finds.
    pub description: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub level: &'static str,
    /// The dataset that it runs on.
    pub dataset: String,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// What else may make it match.
    pub false_positives: Vec<String>,
    /// The behaviour that it triggers.
    pub behaviour: Option<String>,
    /// What to coach about.
    pub topic: Option<String>,
    /// `system` or `custom`.
    pub origin: &'static str,
    /// `on`, `test` (matches are counted and nothing else) or `off`.
    pub mode: &'static str,
    /// Whether it looks at several events together.
    pub stateful: bool,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was written, in its author's spelling.
    pub date: Option<String>,
    /// When it was last changed, in its author's spelling.
    pub modified: Option<String>,
    /// Where more is said.
    pub references: Vec<String>,
    /// How often it matched.
    pub detections: i64,
    /// For how many people or identifiers.
    pub people: i64,
    /// When the last event that it matched happened.
    pub last_at: Option<DateTime<Utc>>,
}

impl RuleBody {
    fn new(rule: &BookRule, count: Option<&RuleCount>) -> Self {
        Self {
            id: rule.id.clone(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            description: rule.description.clone(),
            level: level_word(rule.level),
            dataset: rule.dataset.clone(),
            tags: rule.tags.clone(),
            false_positives: rule.false_positives.clone(),
            behaviour: rule.own.behaviour.clone(),
            topic: rule.own.topic.clone(),
            origin: match rule.origin {
                Origin::System => "system",
                Origin::Custom => "custom",
            },
            mode: rule.mode.as_str(),
            stateful: rule.is_stateful(),
            author: rule.author.clone(),
            date: rule.date.clone(),
            modified: rule.modified.clone(),
            references: rule.references.clone(),
            detections: count.map_or(0, |count| count.detections),
            people: count.map_or(0, |count| count.people),
            last_at: count.map(|count| count.last_at),
        }
    }
}

/// A rule file that cannot be honoured.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleProblemBody {
    /// The file and what is wrong with it.
    pub problem: String,
}

/// A kind of risky conduct.
#[derive(Debug, Serialize, ToSchema)]
pub struct BehaviourBody {
    /// The name in rules.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The level that it gives.
    pub risk_level: &'static str,
    /// Whether it counts.
    pub enabled: bool,
}

impl BehaviourBody {
    fn new((key, behaviour): (&String, &Behaviour)) -> Self {
        Self {
            key: key.clone(),
            name: behaviour.name.clone(),
            description: behaviour.description.clone(),
            risk_level: behaviour.risk_level.as_str(),
            enabled: behaviour.enabled,
        }
    }
}

/// All rules that run, with how often each matched.
#[utoipa::path(get, path = "/rules", tag = "rules", operation_id = "rule_list",
    security(("token" = ["read"])),
    responses((status = 200, description = "The rules", body = Page<RuleBody>), Problems))]
pub async fn list(_caller: CanRead, State(app): State<App>) -> Result<Json<Page<RuleBody>>, ApiError> {
    let counts = counts(&app).await?;
    let book = app.rules();
    let rules = book.rules().iter().collect();
    Ok(Json(Page::whole(rules, |rule: &BookRule| {
        RuleBody::new(rule, counts.get(&rule.name))
    })))
}

/// One rule.
#[utoipa::path(get, path = "/rules/{rule}", tag = "rules", operation_id = "rule_get",
    security(("token" = ["read"])), params(("rule" = String, Path, description = "Its name or id")),
    responses((status = 200, description = "The rule", body = RuleBody), Problems))]
pub async fn get_one(
    _caller: CanRead,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<RuleBody>, ApiError> {
    let book = app.rules();
    let rule = book.rule(&name).ok_or(ApiError::NotFound("rule"))?;
    let counts = counts(&app).await?;
    Ok(Json(RuleBody::new(rule, counts.get(&rule.name))))
}

/// Rule files that cannot be honoured, with the reason.
#[utoipa::path(get, path = "/rule-problems", tag = "rules", operation_id = "rule_problem_list",
    security(("token" = ["read"])),
    responses((status = 200, description = "The problems", body = Page<RuleProblemBody>), Problems))]
pub async fn problems(
    _caller: CanRead,
    State(app): State<App>,
) -> Result<Json<Page<RuleProblemBody>>, ApiError> {
    let problems = app.rules().problems.clone();
    Ok(Json(Page::whole(problems, |problem| RuleProblemBody { problem })))
}

/// All behaviours.
#[utoipa::path(get, path = "/behaviours", tag = "rules", operation_id = "behaviour_list",
    security(("token" = ["read"])),
    responses((status = 200, description = "The behaviours", body = Page<BehaviourBody>), Problems))]
pub async fn behaviours(
    _caller: CanRead,
    State(app): State<App>,
) -> Result<Json<Page<BehaviourBody>>, ApiError> {
    let book = app.rules();
    let behaviours = book.behaviours.iter().collect();
    Ok(Json(Page::whole(behaviours, BehaviourBody::new)))
}

async fn counts(app: &App) -> Result<HashMap<String, RuleCount>, ApiError> {
    let counts = app.store.detection_counts().await?;
    Ok(counts
        .into_iter()
        .map(|count| (count.rule_name.clone(), count))
        .collect())
}
