//! Whether one person has one thing, and every rule that speaks for or against it.

use super::connections;
use super::people;
use crate::auth::CanRead;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::access::explain::{self as why, Entitlement, RuleSet, RuleVerdict};
use hub::access::{ExplainError, Explanation, Target};
use serde::{Deserialize, Serialize};
use store::PersonRow;
use utoipa::{IntoParams, ToSchema};

/// Whether a person has something, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationBody {
    /// The answer in one sentence.
    pub sentence: String,
    /// Our id of the person.
    pub person_id: String,
    /// Their main address.
    pub email: String,
    /// Under which of their addresses the answer holds.
    pub address: String,
    /// In which account.
    pub connection_id: String,
    /// Its connection's label.
    pub connection: String,
    /// `access-group`, `app` or `role`.
    pub kind: &'static str,
    /// Its id.
    pub entitlement_id: String,
    /// Its name.
    pub entitlement_name: String,
    /// `yes`, `no`, `conditional` or `unknown`.
    pub access: &'static str,
    /// As at a grant: null when the answer is no.
    pub certainty: Option<&'static str>,
    /// From the thing down to the rule that decides.
    pub via: Vec<String>,
    /// What a conditional or unknown answer depends on.
    pub depends_on: Vec<String>,
    /// Why not, when the answer is no.
    pub why_not: Option<String>,
    /// Every group or policy that was looked at.
    pub rules: Vec<RuleSetBody>,
    /// When the lists that this follows from were last read to their end.
    pub as_of: Option<DateTime<Utc>>,
}

/// A group or policy, and what its rules say about the person.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleSetBody {
    /// The group or policy, in words.
    pub what: String,
    /// Whether its rules hold: `yes`, `no`, `conditional` or `unknown`.
    pub verdict: &'static str,
    /// What comes with access through a policy: approval, a justification, the length of a session, isolation.
    pub terms: Vec<String>,
    /// The rules that do not simply say no, and those that can never hold; of requirements, all.
    pub rules: Vec<RuleVerdictBody>,
    /// How many further rules do not concern the person.
    pub other_rules: usize,
}

/// What one rule says about the person.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleVerdictBody {
    /// `include`, `require` or `exclude`.
    pub list: &'static str,
    /// The rule in words.
    pub rule: String,
    /// Whether it holds: `yes`, `no`, `conditional` or `unknown`.
    pub verdict: &'static str,
    /// Why it cannot hold in this place, whoever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never: Option<&'static str>,
    /// The group that it names, with its own rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub group: Option<Box<RuleSetBody>>,
}

impl ExplanationBody {
    fn new(row: Explanation, connection_id: String) -> Self {
        Self {
            sentence: row.sentence(),
            certainty: row.certainty(),
            person_id: row.person,
            email: row.email,
            address: row.address,
            connection_id,
            connection: row.connection,
            kind: row.kind.as_str(),
            entitlement_id: row.entitlement_id,
            entitlement_name: row.entitlement_name,
            access: row.access,
            via: row.via,
            depends_on: row.depends_on,
            why_not: row.why_not,
            rules: row.rules.into_iter().map(RuleSetBody::new).collect(),
            as_of: row.as_of,
        }
    }
}

impl RuleSetBody {
    fn new(set: RuleSet) -> Self {
        let rule = |rule: RuleVerdict| RuleVerdictBody {
            list: rule.list,
            rule: rule.rule,
            verdict: rule.verdict,
            never: rule.never,
            group: rule.group.map(|group| Box::new(RuleSetBody::new(*group))),
        };
        Self {
            what: set.what,
            verdict: set.verdict,
            terms: set.terms,
            rules: set.rules.into_iter().map(rule).collect(),
            other_rules: set.other_rules,
        }
    }
}

/// Whose access to what. Exactly one of `group`, `app` and `role` is given.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// The person's address or id.
    person: String,
    /// An Access group: its id or exact name.
    group: Option<String>,
    /// An application: its id or exact name.
    app: Option<String>,
    /// A role: its id or exact name.
    role: Option<String>,
    /// The connection's id or label; needed when several have the name.
    connection: Option<String>,
}

/// Whether a person is in a group, reaches an application or has a role, and why.
#[utoipa::path(get, path = "/access/explain", tag = "access", operation_id = "access_explain",
    security(("token" = ["read"])), params(ExplainQuery),
    responses((status = 200, description = "The answer, with every rule that speaks", body = ExplanationBody),
        Problems))]
pub async fn explain(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<ExplanationBody>, ApiError> {
    let (target, place) = match (query.group, query.app, query.role) {
        (Some(group), None, None) => (Target::Group(group), "group"),
        (None, Some(app), None) => (Target::App(app), "app"),
        (None, None, Some(role)) => (Target::Role(role), "role"),
        _ => return Err(ApiError::bad("group", "give exactly one of group, app and role")),
    };
    let person = people::found(&app, &query.person).await?;
    let (entitlement, explanation) = ask(&app, &person, query.connection.as_deref(), &target)
        .await
        .map_err(|refusal| match refusal {
            Refusal::NoConnection(words) => ApiError::bad("connection", words),
            Refusal::Explain(error @ ExplainError::NotFound { .. }) => {
                ApiError::bad(place, error.to_string())
            }
            Refusal::Explain(error @ ExplainError::Ambiguous { .. }) => ApiError::Conflict(error.to_string()),
            Refusal::Explain(ExplainError::Store(error)) => error.into(),
            Refusal::Api(error) => error,
        })?;
    let connection = entitlement.connection.id.0;
    Ok(Json(ExplanationBody::new(explanation, connection)))
}

/// Why there is no answer.
pub(crate) enum Refusal {
    /// The connection that was named is not there.
    NoConnection(String),
    /// The thing that was named is not there, or there are several.
    Explain(ExplainError),
    /// Anything else.
    Api(ApiError),
}

/// Finds what is meant and explains it.
pub(crate) async fn ask(
    app: &App,
    person: &PersonRow,
    connection: Option<&str>,
    target: &Target,
) -> Result<(Entitlement, Explanation), Refusal> {
    let connection = match connection {
        None => None,
        Some(name) => Some(
            connections::find(app, name)
                .await
                .map_err(Refusal::Api)?
                .ok_or_else(|| Refusal::NoConnection(format!("there is no connection \"{name}\"")))?,
        ),
    };
    let entitlement = why::resolve(app, connection.as_ref(), target)
        .await
        .map_err(Refusal::Explain)?;
    let explanation = why::explain(app, person, &entitlement)
        .await
        .map_err(Refusal::Explain)?;
    Ok((entitlement, explanation))
}
