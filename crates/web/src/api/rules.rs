//! The rules, which of them run, the behaviours that they trigger, and the rule files that cannot be honoured.

use crate::auth::{CanRead, CanWriteRules};
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path};
use crate::paging::Page;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::rule_admin::{self, RuleAdminError};
use rules::book::{Behaviour, BookRule, Origin, RuleBook, RuleMode, level_word};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use store::{RuleCount, TestCount};
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
    /// The dataset that it runs on; several are joined with commas, and `any` is every record.
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
    /// The file or kept document that it stands in.
    pub file: String,
    /// The lists that it refers to.
    pub lists: Vec<String>,
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
    /// How often it matched in test mode, in the last 90 days.
    pub test_matches: i64,
    /// For how many people or identifiers.
    pub test_people: i64,
    /// When the last event that it matched in test mode happened.
    pub test_last_at: Option<DateTime<Utc>>,
}

impl RuleBody {
    fn new(book: &RuleBook, rule: &BookRule, counts: &Counts) -> Self {
        let (count, test) = (counts.found.get(&rule.name), counts.tested.get(&rule.id));
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
            file: rule.file.clone(),
            lists: rule
                .lists(&book.parameters)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            author: rule.author.clone(),
            date: rule.date.clone(),
            modified: rule.modified.clone(),
            references: rule.references.clone(),
            detections: count.map_or(0, |count| count.detections),
            people: count.map_or(0, |count| count.people),
            last_at: count.map(|count| count.last_at),
            test_matches: test.map_or(0, |test| test.matches),
            test_people: test.map_or(0, |test| test.people),
            test_last_at: test.map(|test| test.last_at),
        }
    }
}

/// What becomes of a rule's matches.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleModeBody {
    /// `on`, `test` (matches are counted and nothing else) or `off`.
    #[schema(example = "test")]
    mode: String,
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

/// All rules, with what becomes of their matches and how often each matched.
#[utoipa::path(get, path = "/rules", tag = "rules", operation_id = "rule_list",
    security(("token" = ["read"])),
    responses((status = 200, description = "The rules", body = Page<RuleBody>), Problems))]
pub async fn list(_caller: CanRead, State(app): State<App>) -> Result<Json<Page<RuleBody>>, ApiError> {
    let counts = Counts::read(&app).await?;
    let book = app.rules();
    let rules = book.rules().iter().collect();
    Ok(Json(Page::whole(rules, |rule: &BookRule| {
        RuleBody::new(&book, rule, &counts)
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
    body_of(&app, &name).await
}

/// Says what becomes of a rule's matches. It counts at once, and for every process within seconds.
#[utoipa::path(put, path = "/rules/{rule}/mode", tag = "rules", operation_id = "rule_mode_set",
    security(("token" = ["rules:write"])), params(("rule" = String, Path, description = "Its name or id")),
    request_body = RuleModeBody,
    responses((status = 200, description = "The rule", body = RuleBody), Problems))]
pub async fn set_mode(
    caller: CanWriteRules,
    State(app): State<App>,
    Path(name): Path<String>,
    Json(body): Json<RuleModeBody>,
) -> Result<Json<RuleBody>, ApiError> {
    let mode = RuleMode::parse(&body.mode)
        .ok_or_else(|| ApiError::invalid("/mode", "must be \"on\", \"test\" or \"off\""))?;
    rule_admin::set_mode(&app, &name, mode, &caller.actor)
        .await
        .map_err(|error| refusal(error, ""))?;
    body_of(&app, &name).await
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

async fn body_of(app: &App, name: &str) -> Result<Json<RuleBody>, ApiError> {
    let book = app.rules();
    let rule = book.rule(name).ok_or(ApiError::NotFound("rule"))?;
    let counts = Counts::read(app).await?;
    Ok(Json(RuleBody::new(&book, rule, &counts)))
}

/// How often rules matched: by name, and in test mode by id.
struct Counts {
    found: HashMap<String, RuleCount>,
    tested: HashMap<String, TestCount>,
}

impl Counts {
    async fn read(app: &App) -> Result<Self, ApiError> {
        let found = app.store.detection_counts().await?;
        let tested = app.store.test_counts().await?;
        Ok(Self {
            found: found
                .into_iter()
                .map(|count| (count.rule_name.clone(), count))
                .collect(),
            tested: tested
                .into_iter()
                .map(|count| (count.rule_id.clone(), count))
                .collect(),
        })
    }
}

/// The answer to what cannot be changed; `text` points at the document's text in the request.
pub(super) fn refusal(error: RuleAdminError, text: &str) -> ApiError {
    match error {
        RuleAdminError::Rule { .. } => ApiError::NotFound("rule"),
        RuleAdminError::Parameter { .. } => {
            ApiError::NotFound("list; GET /api/v1/rule-parameters names them")
        }
        RuleAdminError::Document { .. } => ApiError::NotFound("rule document"),
        RuleAdminError::Refused { problem } => ApiError::invalid(text, problem),
        error @ RuleAdminError::Name { .. } => ApiError::bad("document", error.to_string()),
        RuleAdminError::Store(error) => error.into(),
    }
}
