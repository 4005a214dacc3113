//! The lists that rules refer to, such as approved domains.

use super::rules::refusal;
use crate::auth::Caller;
use crate::error::{ApiError, FieldProblem, Problems};
use crate::extract::{Json, Path};
use crate::paging::Page;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::rule_admin;
use rules::book::RuleBook;
use serde::{Deserialize, Serialize};
use store::RuleParameterRow;
use utoipa::ToSchema;

/// Maximum number of values in a list; the same as in a file of lists.
const VALUES_MAX: usize = 10_000;
/// Maximum length of a value in characters. Chosen: longer than any address in a log.
const VALUE_CHARS_MAX: usize = 4_096;
/// Maximum number of errors in one response.
const PROBLEMS_MAX: usize = 20;

/// A list that rules refer to as `%name%`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleParameterBody {
    /// Name.
    pub name: String,
    /// Purpose.
    pub description: String,
    /// Values, with optional wildcards `*` and `?`. An empty list matches nothing.
    pub values: Vec<String>,
    /// When the list was set; null if it has the default values that came with the rules.
    pub set_at: Option<DateTime<Utc>>,
    /// Actor who set the list.
    pub set_by: Option<String>,
}

impl RuleParameterBody {
    /// All lists of the rules, with the actor who set each and the time.
    pub fn all(book: &RuleBook, set: &[RuleParameterRow]) -> Vec<Self> {
        let row = |name: &str| -> Option<&RuleParameterRow> { set.iter().find(|row| row.name == name) };
        let lists = book.parameters.iter().map(|(name, list)| Self {
            name: name.clone(),
            description: list.description.clone(),
            values: list.values.clone(),
            set_at: row(name).map(|row| row.set_at),
            set_by: row(name).map(|row| row.set_by.clone()),
        });
        lists.collect()
    }
}

/// The values of a list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleParameterPutBody {
    /// All values, at most 10,000. An empty list matches nothing.
    #[schema(example = json!(["partner.example"]))]
    values: Vec<String>,
}

/// Lists all lists by name.
#[utoipa::path(get, path = "/rule-parameters", tag = "rules", operation_id = "rule_parameter_list",
    responses((status = 200, description = "The lists", body = Page<RuleParameterBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<RuleParameterBody>>, ApiError> {
    Ok(Json(Page::whole(lists(&app).await?, |list| list)))
}

/// Sets the values of a list. The change takes effect immediately, and in other processes within seconds.
#[utoipa::path(put, path = "/rule-parameters/{parameter}", tag = "rules", operation_id = "rule_parameter_set",
    params(("parameter" = String, Path, description = "Name")),
    request_body = RuleParameterPutBody,
    responses((status = 200, description = "The list", body = RuleParameterBody), Problems))]
pub async fn put(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
    Json(body): Json<RuleParameterPutBody>,
) -> Result<Json<RuleParameterBody>, ApiError> {
    let values = checked(&body.values)?;
    rule_admin::set_parameter(&app, &name, Some(&values), &caller.actor)
        .await
        .map_err(|error| refusal(error, ""))?;
    one(&app, &name).await
}

/// Restores the default values of a list, which came with the rules.
#[utoipa::path(delete, path = "/rule-parameters/{parameter}", tag = "rules", operation_id = "rule_parameter_reset",
    params(("parameter" = String, Path, description = "Name")),
    responses((status = 200, description = "The list", body = RuleParameterBody), Problems))]
pub async fn reset(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<RuleParameterBody>, ApiError> {
    rule_admin::set_parameter(&app, &name, None, &caller.actor)
        .await
        .map_err(|error| refusal(error, ""))?;
    one(&app, &name).await
}

async fn one(app: &App, name: &str) -> Result<Json<RuleParameterBody>, ApiError> {
    let found = lists(app).await?.into_iter().find(|list| list.name == name);
    found.map(Json).ok_or(ApiError::NotFound("list"))
}

async fn lists(app: &App) -> Result<Vec<RuleParameterBody>, ApiError> {
    let set = app.store.rule_parameters().await?;
    Ok(RuleParameterBody::all(&app.rules(), &set))
}

/// The values without leading and trailing spaces.
fn checked(values: &[String]) -> Result<Vec<String>, ApiError> {
    if values.len() > VALUES_MAX {
        return Err(ApiError::invalid(
            "/values",
            format!("has {} values; the maximum is {VALUES_MAX}", values.len()),
        ));
    }
    let mut problems = Vec::new();
    let mut kept = Vec::with_capacity(values.len());
    for (place, value) in values.iter().enumerate() {
        let value = value.trim();
        let problem = if value.is_empty() {
            "is empty: remove it".to_owned()
        } else if value.chars().count() > VALUE_CHARS_MAX {
            format!("is longer than {VALUE_CHARS_MAX} characters")
        } else {
            kept.push(value.to_owned());
            continue;
        };
        problems.push(FieldProblem::new(&format!("/values/{place}"), problem));
    }
    if problems.is_empty() {
        return Ok(kept);
    }
    problems.truncate(PROBLEMS_MAX);
    Err(ApiError::Invalid(problems))
}
