//! The rules, which of them run, the behaviours that they trigger, and the rule files that cannot be honoured.

use crate::auth::Caller;
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
use store::{RuleCount, StoreError, TestCount};
use utoipa::ToSchema;

/// A detection rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleBody {
    /// Rule ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub level: &'static str,
    /// Datasets that the rule runs on, comma-separated; `any` means every record.
    pub dataset: String,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// Known false positives.
    pub false_positives: Vec<String>,
    /// Behaviour that the rule triggers.
    pub behaviour: Option<String>,
    /// Coaching topic.
    pub topic: Option<String>,
    /// `system` or `custom`.
    pub origin: &'static str,
    /// `on`, `test` (matches are only counted) or `off`.
    pub mode: &'static str,
    /// Whether the rule correlates several events.
    pub stateful: bool,
    /// File or saved document that contains the rule.
    pub file: String,
    /// Lists that the rule refers to.
    pub lists: Vec<String>,
    /// Author.
    pub author: Option<String>,
    /// Creation date, as written by the author.
    pub date: Option<String>,
    /// Date of the last change, as written by the author.
    pub modified: Option<String>,
    /// References.
    pub references: Vec<String>,
    /// Number of detections.
    pub detections: i64,
    /// Number of people and unmapped identifiers with detections.
    pub people: i64,
    /// Time of the last matching event.
    pub last_at: Option<DateTime<Utc>>,
    /// Number of matches in test mode in the last 90 days.
    pub test_matches: i64,
    /// Number of people and unmapped identifiers with matches in test mode.
    pub test_people: i64,
    /// Time of the last matching event in test mode.
    pub test_last_at: Option<DateTime<Utc>>,
}

impl RuleBody {
    /// The body of a rule.
    pub fn new(book: &RuleBook, rule: &BookRule, counts: &Counts) -> Self {
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

/// The mode of a rule.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleModeBody {
    /// `on`, `test` (matches are only counted) or `off`.
    #[schema(example = "test")]
    mode: String,
}

/// An invalid or unsupported rule file.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleProblemBody {
    /// The file and the problem.
    pub problem: String,
}

/// A behaviour: a kind of risky activity with a risk level.
#[derive(Debug, Serialize, ToSchema)]
pub struct BehaviourBody {
    /// Key used in rules.
    pub key: String,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Risk level.
    pub risk_level: &'static str,
    /// Whether the behaviour is enabled.
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

/// Lists all rules with their mode and number of detections.
#[utoipa::path(get, path = "/rules", tag = "rules", operation_id = "rule_list",
    responses((status = 200, description = "The rules", body = Page<RuleBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<RuleBody>>, ApiError> {
    let counts = Counts::read(&app).await?;
    let book = app.rules();
    let rules = book.rules().iter().collect();
    Ok(Json(Page::whole(rules, |rule: &BookRule| {
        RuleBody::new(&book, rule, &counts)
    })))
}

/// Returns one rule.
#[utoipa::path(get, path = "/rules/{rule}", tag = "rules", operation_id = "rule_get",
    params(("rule" = String, Path, description = "Rule name or ID")),
    responses((status = 200, description = "The rule", body = RuleBody), Problems))]
pub async fn get_one(State(app): State<App>, Path(name): Path<String>) -> Result<Json<RuleBody>, ApiError> {
    body_of(&app, &name).await
}

/// Sets the mode of a rule. The change takes effect immediately, and in other processes within seconds.
#[utoipa::path(put, path = "/rules/{rule}/mode", tag = "rules", operation_id = "rule_mode_set",
    params(("rule" = String, Path, description = "Rule name or ID")),
    request_body = RuleModeBody,
    responses((status = 200, description = "The rule", body = RuleBody), Problems))]
pub async fn set_mode(
    caller: Caller,
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

/// Lists invalid or unsupported rule files with the reason.
#[utoipa::path(get, path = "/rule-problems", tag = "rules", operation_id = "rule_problem_list",
    responses((status = 200, description = "The problems", body = Page<RuleProblemBody>), Problems))]
pub async fn problems(State(app): State<App>) -> Result<Json<Page<RuleProblemBody>>, ApiError> {
    let problems = app.rules().problems.clone();
    Ok(Json(Page::whole(problems, |problem| RuleProblemBody { problem })))
}

/// Lists all behaviours.
#[utoipa::path(get, path = "/behaviours", tag = "rules", operation_id = "behaviour_list",
    responses((status = 200, description = "The behaviours", body = Page<BehaviourBody>), Problems))]
pub async fn behaviours(State(app): State<App>) -> Result<Json<Page<BehaviourBody>>, ApiError> {
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

/// Counts of matches: by rule name, and in test mode by rule ID.
#[derive(Debug, Default)]
pub struct Counts {
    found: HashMap<String, RuleCount>,
    tested: HashMap<String, TestCount>,
}

impl Counts {
    /// Reads all counts.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn read(app: &App) -> Result<Self, StoreError> {
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

/// Response to a change that is refused; `text` points to the document text in the request.
pub(super) fn refusal(error: RuleAdminError, text: &str) -> ApiError {
    match error {
        RuleAdminError::Rule { .. } => ApiError::NotFound("rule"),
        RuleAdminError::Parameter { .. } => {
            ApiError::NotFound("list; GET /api/v1/rule-parameters returns all lists")
        }
        RuleAdminError::Document { .. } => ApiError::NotFound("rule document"),
        RuleAdminError::Refused { problem } => ApiError::invalid(text, problem),
        error @ RuleAdminError::Name { .. } => ApiError::bad("document", error.to_string()),
        RuleAdminError::Store(error) => error.into(),
    }
}
