//! The bodies of changes of access: what is asked for, plans, outcomes, timed grants.

use chrono::{DateTime, Utc};
use hub::connection::Labels;
use hub::provisioning::offboard::Offboarded;
use hub::provisioning::{Changed, Ends, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{AccessChangeRow, StoreError, TimedGrantRow};
use utoipa::{IntoParams, ToSchema};

/// A change to plan or apply.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequestBody {
    /// `group.grant`, `group.revoke`, `group.unexclude`, `role.grant`, `role.revoke`, `member.invite`,
    /// `member.cancel_invitation`, `member.set_roles`, `member.set_policies`, `member.remove`,
    /// `access_user.create`, `access_user.remove`, `access_user.free_seats` or `access_user.revoke_sessions`.
    #[schema(example = "group.grant")]
    pub(crate) action: String,
    /// Connection (ID or label).
    pub(crate) connection: String,
    /// Email address of the person.
    #[schema(example = "ana@corp.example")]
    pub(crate) email: String,
    /// Access group (ID or exact name).
    pub(crate) group: Option<String>,
    /// Role (ID or exact name).
    pub(crate) role: Option<String>,
    /// Roles (IDs or exact names), for `member.invite` and `member.set_roles`.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Policies in Cloudflare's format, for `member.invite` and `member.set_policies`.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub(crate) policies: Vec<Value>,
    /// Name of a new Access user.
    pub(crate) name: Option<String>,
    /// Also revoke device sessions.
    #[serde(default)]
    pub(crate) devices: bool,
    /// Exclude the person by email address if a wider rule admits them.
    #[serde(default)]
    pub(crate) by_exclusion: bool,
    /// Allow an email address that no connection lists yet.
    #[serde(default)]
    pub(crate) unknown_person: bool,
    /// Expire the grant after this many minutes, replacing any existing expiry. If omitted, an existing expiry is
    /// kept.
    pub(crate) for_minutes: Option<i64>,
    /// Remove the expiry of the grant.
    #[serde(default)]
    pub(crate) permanent: bool,
    /// Reason, recorded in the audit log.
    pub(crate) note: Option<String>,
}

/// Result of a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedBody {
    /// `changed`, `already`, `refused` or `unverified`.
    pub outcome: &'static str,
    /// Reason for the outcome.
    pub reason: Option<String>,
    /// The guard that refused the change.
    pub guard: Option<&'static str>,
    /// Flareward's ID of the change.
    pub change_id: String,
    /// Label of the connection.
    pub connection: String,
    /// Action, for example `group.grant`.
    pub action: &'static str,
    /// Email address of the person.
    pub person: String,
    /// One-sentence summary.
    pub summary: String,
    /// Access that remains, or the conditions that access depends on.
    pub remains: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Number of writes; more than one if a write was lost and repeated.
    pub writes: usize,
    /// When the grant expires; null if it does not.
    pub expires_at: Option<DateTime<Utc>>,
    /// Expiry of the grant before and after the change; null if the grant had no expiry and has none.
    pub ends: Option<EndsBody>,
    /// The applied plan: before, after, calls, guards, effects, warnings, undo.
    #[schema(value_type = Object)]
    pub plan: Value,
}

impl ChangedBody {
    /// Creates the response body.
    pub fn new(changed: Changed) -> Self {
        let ends = changed.plan.ends;
        Self {
            outcome: changed.outcome.as_str(),
            reason: changed.reason,
            guard: changed.guard.map(hub::provisioning::Guard::as_str),
            change_id: changed.change_id,
            connection: changed.plan.connection.clone(),
            action: changed.plan.request.action(),
            person: changed.plan.request.email().to_owned(),
            warnings: changed.plan.warnings.clone(),
            summary: changed.plan.summary.clone(),
            remains: changed.remains,
            writes: changed.writes,
            expires_at: ends.and_then(|ends| ends.after),
            ends: ends.map(EndsBody::new),
            plan: json!(changed.plan),
        }
    }
}

/// Expiry of a grant before and after a change. Null means a grant without an expiry, or no grant.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndsBody {
    /// Before the change.
    pub before: Option<DateTime<Utc>>,
    /// After the change.
    pub after: Option<DateTime<Utc>>,
}

impl EndsBody {
    fn new(ends: Ends) -> Self {
        Self {
            before: ends.before,
            after: ends.after,
        }
    }
}

/// A plan that is not applied.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanBody {
    /// One-sentence summary.
    pub summary: String,
    /// The connection's label.
    pub connection: String,
    /// Expiry of the grant before and after the change; null if the grant had no expiry and has none.
    pub ends: Option<EndsBody>,
    /// Before, after, calls, guards, effects, warnings, remaining access, undo request, and whether the plan changes
    /// anything.
    #[schema(value_type = Object)]
    pub plan: Value,
}

impl PlanBody {
    /// Creates the response body.
    pub fn new(plan: Plan) -> Self {
        Self {
            summary: plan.summary.clone(),
            connection: plan.connection.clone(),
            ends: plan.ends.map(EndsBody::new),
            plan: json!(plan),
        }
    }
}

/// An access change that was applied or refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessChangeBody {
    /// Flareward's ID.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// ID of the change with several steps that this change is part of.
    pub parent_id: Option<String>,
    /// Action.
    pub action: String,
    /// Object that was changed.
    pub object: String,
    /// Email address of the person.
    pub email: Option<String>,
    /// Actor who requested the change.
    pub actor: String,
    /// Reason given by the actor.
    pub note: Option<String>,
    /// `running`, `changed`, `already`, `refused` or `unverified`.
    pub outcome: String,
    /// Reason for the outcome.
    pub reason: Option<String>,
    /// Guard, remaining access and number of writes.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// Whether the change can be undone.
    pub can_be_undone: bool,
    /// When the change was requested.
    pub created_at: DateTime<Utc>,
    /// When the outcome was determined.
    pub finished_at: Option<DateTime<Utc>>,
}

impl AccessChangeBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: AccessChangeRow, labels: &Labels) -> Result<Self, StoreError> {
        Ok(Self {
            detail: row.detail_json()?,
            id: row.id,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            parent_id: row.parent_id,
            action: row.action,
            object: row.object,
            email: row.email,
            actor: row.actor,
            note: row.note,
            outcome: row.outcome.to_string(),
            reason: row.reason,
            can_be_undone: row.undo.is_some(),
            created_at: row.created_at,
            finished_at: row.finished_at,
        })
    }
}

/// A change with its plan and steps.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessChangeDetailBody {
    /// The change.
    pub change: AccessChangeBody,
    /// The request.
    #[schema(value_type = Object)]
    pub request: Value,
    /// The plan that was applied or refused. For a change with several steps: the `requests`.
    #[schema(value_type = Object)]
    pub plan: Value,
    /// The request that undoes the change.
    #[schema(value_type = Option<Object>)]
    pub undo: Option<Value>,
    /// The steps of a change with several steps.
    pub steps: Vec<AccessChangeBody>,
}

impl AccessChangeDetailBody {
    /// The body of a change and its steps.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(
        row: AccessChangeRow,
        steps: Vec<AccessChangeRow>,
        labels: &Labels,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            request: row.request_json()?,
            plan: match row.plan_json()? {
                // As a change of many steps was kept before.
                requests @ Value::Array(_) => json!({ "requests": requests }),
                plan => plan,
            },
            undo: row.undo_json()?,
            steps: steps
                .into_iter()
                .map(|step| AccessChangeBody::new(step, labels))
                .collect::<Result<_, _>>()?,
            change: AccessChangeBody::new(row, labels)?,
        })
    }
}

/// Filters for changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Only for this connection (ID or label).
    pub(super) connection: Option<String>,
    /// Only for the person with this email address or ID.
    pub(super) person: Option<String>,
    /// Same as `person`.
    pub(super) email: Option<String>,
    /// Only with this outcome.
    pub(super) outcome: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    pub(super) limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    pub(super) cursor: Option<String>,
}

/// A timed grant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimedGrantBody {
    /// Flareward's ID.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// `access-group` or `role`.
    pub kind: &'static str,
    /// ID of the group or role.
    pub entitlement_id: String,
    /// Name.
    pub entitlement_name: String,
    /// ID of the person.
    pub email: String,
    /// Actor who requested the grant.
    pub actor: String,
    /// `active`, `overdue`, `revoked`, `permanent` or `gone`.
    pub state: String,
    /// When the grant started.
    pub granted_at: DateTime<Utc>,
    /// When the grant expires.
    pub expires_at: DateTime<Utc>,
    /// Why the grant could not be revoked.
    pub problem: Option<String>,
    /// Number of attempts to revoke the grant.
    pub attempts: i64,
    /// When the grant ended.
    pub ended_at: Option<DateTime<Utc>>,
}

impl TimedGrantBody {
    /// Creates the response body.
    pub fn new(row: TimedGrantRow, labels: &Labels) -> Self {
        Self {
            id: row.id,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            kind: row.kind.as_str(),
            entitlement_id: row.entitlement_id,
            entitlement_name: row.entitlement_name,
            email: row.email,
            actor: row.actor,
            state: row.state.to_string(),
            granted_at: row.granted_at,
            expires_at: row.expires_at,
            problem: row.problem,
            attempts: row.attempts,
            ended_at: row.ended_at,
        }
    }
}

/// Filters for timed grants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimedQuery {
    /// Only for the person with this email address or ID.
    pub(super) person: Option<String>,
    /// Same as `person`.
    pub(super) email: Option<String>,
    /// Include ended grants.
    #[serde(default)]
    pub(super) all: bool,
}

/// Options for an undo.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoBody {
    /// Reason, recorded in the audit log.
    pub(super) note: Option<String>,
}

/// Options for an offboarding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OffboardBody {
    /// Reason, recorded in the audit log.
    pub(super) note: Option<String>,
    /// Also remove the Access user, not only the seats.
    #[serde(default)]
    pub(super) remove_access_user: bool,
    /// Exclude the person by email address from groups whose wider rules admit them.
    #[serde(default)]
    pub(super) exclude: bool,
    /// Return only the plans.
    #[serde(default)]
    pub(super) plan_only: bool,
}

/// Result of an offboarding.
#[derive(Debug, Serialize, ToSchema)]
pub struct OffboardedBody {
    /// Flareward's ID of the whole offboarding.
    pub change_id: Option<String>,
    /// Worst outcome of the steps: `already`, `changed`, `refused` or `unverified`; null for plans.
    pub outcome: Option<&'static str>,
    /// Reason for the outcome.
    pub reason: Option<String>,
    /// Result of each step.
    pub steps: Vec<ChangedBody>,
    /// Access that remains.
    pub remains: Vec<String>,
    /// The plans, if only plans were requested.
    pub plans: Vec<PlanBody>,
}

impl OffboardedBody {
    /// The body of an offboarding that was carried out.
    pub fn new(done: Offboarded) -> Self {
        let steps = done.steps.into_iter();
        Self {
            change_id: done.change_id,
            outcome: Some(done.outcome.as_str()),
            reason: done.reason,
            steps: steps.map(|step| ChangedBody::new(step.changed)).collect(),
            remains: done.remains,
            plans: Vec::new(),
        }
    }
}
