//! Whether one person has one thing, and every rule that speaks for or against it.

use super::people;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::access::explain::{self as why, Entitlement, RuleSet, RuleVerdict};
use hub::access::{ExplainError, Explanation, Target};
use hub::{App, connection};
use model::GrantKind;
use serde::{Deserialize, Serialize};
use store::PersonRow;
use utoipa::{IntoParams, ToSchema};

/// Whether a person has a group, application or role, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationBody {
    /// The answer in one sentence.
    pub sentence: String,
    /// Flareward's ID of the person.
    pub person_id: String,
    /// Same as `person_id`.
    pub person: String,
    /// Name of the group, role or application. Same as `entitlement_name`.
    pub group: String,
    /// ID, if it is an Access group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// ID, if it is a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// ID, if it is an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// ID, if it is a permission group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_group_id: Option<String>,
    /// ID, if it is a user group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_group_id: Option<String>,
    /// Main email address.
    pub email: String,
    /// The address of the person that the answer applies to.
    pub address: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: String,
    /// `access-group`, `app` or `role`.
    pub kind: &'static str,
    /// ID.
    pub entitlement_id: String,
    /// Name.
    pub entitlement_name: String,
    /// `yes`, `no`, `conditional` or `unknown`.
    pub access: &'static str,
    /// Certainty, as in grants; null if the answer is no.
    pub certainty: Option<&'static str>,
    /// Steps from the entitlement to the deciding rule.
    pub via: Vec<String>,
    /// What a conditional or unknown answer depends on.
    pub depends_on: Vec<String>,
    /// The reason, if the answer is no.
    pub why_not: Option<String>,
    /// All groups or policies that were evaluated.
    pub rules: Vec<RuleSetBody>,
    /// When the underlying lists were last fully read.
    pub as_of: Option<DateTime<Utc>>,
}

/// A group or policy, and whether its rules match the person.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleSetBody {
    /// Description of the group or policy.
    pub what: String,
    /// Whether its rules match: `yes`, `no`, `conditional` or `unknown`.
    pub verdict: &'static str,
    /// Terms of access through a policy: approval, justification, session duration, browser isolation.
    pub terms: Vec<String>,
    /// Rules with a result other than no, rules that can never match, and all Require rules.
    pub rules: Vec<RuleVerdictBody>,
    /// Number of other rules, which do not apply to the person.
    pub other_rules: usize,
}

/// A rule, and whether it matches the person.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleVerdictBody {
    /// `include`, `require` or `exclude`.
    pub list: &'static str,
    /// Description of the rule.
    pub rule: String,
    /// Whether the rule matches: `yes`, `no`, `conditional` or `unknown`.
    pub verdict: &'static str,
    /// Why the rule can never match in this policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never: Option<&'static str>,
    /// The referenced group with its own rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub group: Option<Box<RuleSetBody>>,
}

impl ExplanationBody {
    /// The body of an explanation.
    pub fn new(row: Explanation, connection_id: String) -> Self {
        let only = |kind| (row.kind == kind).then(|| row.entitlement_id.clone());
        Self {
            sentence: row.sentence(),
            certainty: row.certainty(),
            group: row.entitlement_name.clone(),
            group_id: only(GrantKind::AccessGroup),
            role_id: only(GrantKind::Role),
            app_id: only(GrantKind::App),
            permission_group_id: only(GrantKind::PermissionGroup),
            user_group_id: only(GrantKind::UserGroup),
            person: row.person.clone(),
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

/// The person and the entitlement. Exactly one of `group`, `app` and `role` is required.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// Email address or ID of the person.
    person: String,
    /// Access group (ID or exact name).
    group: Option<String>,
    /// Application (ID or exact name).
    app: Option<String>,
    /// Role (ID or exact name).
    role: Option<String>,
    /// Connection ID or label; required if the name exists in several connections.
    connection: Option<String>,
}

/// Explains why a person has, or does not have, a group, application or role.
#[utoipa::path(get, path = "/access/explain", tag = "access", operation_id = "access_explain",
    params(ExplainQuery),
    responses((status = 200, description = "The answer, with all relevant rules", body = ExplanationBody),
        Problems))]
pub async fn explain(
    State(app): State<App>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<ExplanationBody>, ApiError> {
    let (target, place) = match (query.group, query.app, query.role) {
        (Some(group), None, None) => (Target::Group(group), "group"),
        (None, Some(app), None) => (Target::App(app), "app"),
        (None, None, Some(role)) => (Target::Role(role), "role"),
        _ => {
            return Err(ApiError::bad(
                "group",
                "exactly one of group, app and role is required",
            ));
        }
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

/// Why no explanation can be returned.
pub(crate) enum Refusal {
    /// The connection does not exist.
    NoConnection(String),
    /// The group, application or role does not exist, or the name is ambiguous.
    Explain(ExplainError),
    /// Any other error.
    Api(ApiError),
}

/// Finds the entitlement and explains the access to it.
pub(crate) async fn ask(
    app: &App,
    person: &PersonRow,
    connection: Option<&str>,
    target: &Target,
) -> Result<(Entitlement, Explanation), Refusal> {
    let connection = match connection {
        None => None,
        Some(name) => Some(
            connection::find(app, name)
                .await
                .map_err(|error| Refusal::Api(error.into()))?
                .ok_or_else(|| Refusal::NoConnection(format!("no connection named \"{name}\"")))?,
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
