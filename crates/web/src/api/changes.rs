//! Changes of access: planned, made, listed, taken back; grants for a time; offboarding.

use super::connections::id_in_query;
use super::people;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query, word};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use hub::access::Target;
use hub::access::explain::{ExplainError, resolve};
use hub::connection::{self, Labels};
use hub::provisioning::offboard::{OffboardOptions, Offboarded, offboard, offboard_preview};
use hub::provisioning::undo::{self, UndoError};
use hub::provisioning::{
    Changed, Ends, Options, Plan, ProvisionError, Request, change, preview, timed, whose,
};
use hub::{Actor, App};
use model::GrantKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{AccessChangeFilter, AccessChangeRow, ConnectionRow, StoreError, TimedGrantRow};
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
    /// Why.
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
    /// Expiry of the grant before and after the change; null if there was and is none.
    pub ends: Option<EndsBody>,
    /// The applied plan: before, after, calls, guards, effects, warnings, undo.
    #[schema(value_type = Object)]
    pub plan: Value,
}

impl ChangedBody {
    /// The body of what is stored.
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
    /// Expiry of the grant before and after the change; null if there was and is none.
    pub ends: Option<EndsBody>,
    /// Before, after, calls, guards, effects, warnings, remaining access, undo request, and whether the plan changes
    /// anything.
    #[schema(value_type = Object)]
    pub plan: Value,
}

impl PlanBody {
    /// The body of what is stored.
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
    /// ID of the change that this is a step of.
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
    /// When the outcome was known.
    pub finished_at: Option<DateTime<Utc>>,
}

impl AccessChangeBody {
    /// The body of what is stored.
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
    connection: Option<String>,
    /// Only for the person with this email address or ID.
    person: Option<String>,
    /// Same as `person`.
    email: Option<String>,
    /// Only with this outcome.
    outcome: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
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
    /// The body of what is stored.
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
    person: Option<String>,
    /// Same as `person`.
    email: Option<String>,
    /// Include ended grants.
    #[serde(default)]
    all: bool,
}

/// Options for an undo.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoBody {
    /// Reason, recorded in the audit log.
    note: Option<String>,
}

/// Options for an offboarding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OffboardBody {
    /// Reason, recorded in the audit log.
    note: Option<String>,
    /// Also remove the Access user, not only the seats.
    #[serde(default)]
    remove_access_user: bool,
    /// Exclude the person by email address from groups whose wider rules admit them.
    #[serde(default)]
    exclude: bool,
    /// Return only the plans.
    #[serde(default)]
    plan_only: bool,
}

/// Result of an offboarding.
#[derive(Debug, Serialize, ToSchema)]
pub struct OffboardedBody {
    /// Flareward's ID of the whole offboarding.
    pub change_id: Option<String>,
    /// Worst outcome of the steps: `already`, `changed`, `refused` or `unverified`; null for plans.
    pub outcome: Option<&'static str>,
    /// Why.
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

/// Plans a change without applying it: state before and after, API calls and guard results.
#[utoipa::path(post, path = "/access/plans", tag = "access changes", operation_id = "access_plan",
    request_body = ChangeRequestBody,
    responses((status = 200, description = "The plan", body = PlanBody), Problems))]
pub async fn plan(
    State(app): State<App>,
    Json(body): Json<ChangeRequestBody>,
) -> Result<Json<PlanBody>, ApiError> {
    let request = request(&app, &body).await?;
    let plan = preview(&app, &request, &options(&body, &request)?)
        .await
        .map_err(problem)?;
    Ok(Json(PlanBody::new(plan)))
}

/// Applies a change: plans it, checks the guards, writes and verifies it. A refusal is returned as an outcome with
/// its reason.
#[utoipa::path(post, path = "/access/changes", tag = "access changes", operation_id = "access_change",
    request_body = ChangeRequestBody,
    responses((status = 200, description = "Result", body = ChangedBody), Problems))]
pub async fn make(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<ChangeRequestBody>,
) -> Result<Json<ChangedBody>, ApiError> {
    let request = request(&app, &body).await?;
    let options = options(&body, &request)?;
    made(&app, &request, &options, &caller.actor).await.map(Json)
}

/// Lists changes, newest first.
#[utoipa::path(get, path = "/access/changes", tag = "access changes", operation_id = "access_change_list",
    params(ChangesQuery),
    responses((status = 200, description = "A page of changes", body = Page<AccessChangeBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Page<AccessChangeBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let filter = AccessChangeFilter {
        connection_id: id_in_query(&app, query.connection.as_deref()).await?,
        email: address_of(&app, query.person.or(query.email)).await?,
        outcome: word("outcome", query.outcome.as_deref())?,
        before: paging::read_time(query.cursor.as_deref())?,
        limit,
    };
    let rows = app.store.access_change_list(&filter).await?;
    let cursor = |row: &AccessChangeRow| paging::time_cursor(row.created_at, &row.id);
    let labels = connection::labels(&app).await?;
    let body = |row| AccessChangeBody::new(row, &labels);
    Ok(Json(Page::read(rows, limit, cursor, body)?))
}

/// Returns one change with its plan.
#[utoipa::path(get, path = "/access/changes/{change}", tag = "access changes", operation_id = "access_change_get",
    params(("change" = String, Path, description = "ID")),
    responses((status = 200, description = "The change", body = AccessChangeDetailBody), Problems))]
pub async fn get_one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<AccessChangeDetailBody>, ApiError> {
    let row = found(&app, &id).await?;
    let steps = app.store.access_change_steps(&id).await?;
    let labels = connection::labels(&app).await?;
    Ok(Json(AccessChangeDetailBody::new(row, steps, &labels)?))
}

/// Undoes a change.
#[utoipa::path(post, path = "/access/changes/{change}/undo", tag = "access changes",
    operation_id = "access_change_undo",
    params(("change" = String, Path, description = "ID")), request_body = UndoBody,
    responses((status = 200, description = "Result", body = ChangedBody), Problems))]
pub async fn undo(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<UndoBody>,
) -> Result<Json<ChangedBody>, ApiError> {
    let changed = undo::undo(&app, &id, body.note, &caller.actor)
        .await
        .map_err(no_undo)?;
    Ok(Json(ChangedBody::new(changed)))
}

/// Lists timed grants, soonest expiry first.
#[utoipa::path(get, path = "/access/timed-grants", tag = "access changes", operation_id = "timed_grant_list",
    params(TimedQuery),
    responses((status = 200, description = "At most 1,000 grants", body = Page<TimedGrantBody>), Problems))]
pub async fn timed_grants(
    State(app): State<App>,
    Query(query): Query<TimedQuery>,
) -> Result<Json<Page<TimedGrantBody>>, ApiError> {
    let email = address_of(&app, query.person.or(query.email)).await?;
    let rows = app
        .store
        .timed_grant_list(email.as_deref(), query.all, store::LIST_LIMIT_MAX)
        .await?;
    let labels = connection::labels(&app).await?;
    Ok(Json(Page::whole(rows, |row| TimedGrantBody::new(row, &labels))))
}

/// Offboards a person: revokes their access in every connected account and lists the access that remains.
#[utoipa::path(post, path = "/people/{person}/offboard", tag = "access changes", operation_id = "person_offboard",
    params(("person" = String, Path, description = "Email \
         address or ID of the person")),
    request_body = OffboardBody,
    responses((status = 200, description = "Result", body = OffboardedBody), Problems))]
pub async fn offboard_person(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<OffboardBody>,
) -> Result<Json<OffboardedBody>, ApiError> {
    let person = people::found(&app, &id).await?;
    let options = OffboardOptions {
        remove_access_user: body.remove_access_user,
        exclude: body.exclude,
    };
    if body.plan_only {
        let plans = offboard_preview(&app, &person, options).await.map_err(problem)?;
        return Ok(Json(OffboardedBody {
            change_id: None,
            outcome: None,
            reason: None,
            steps: Vec::new(),
            remains: Vec::new(),
            plans: plans.into_iter().map(PlanBody::new).collect(),
        }));
    }
    let done: Offboarded = offboard(&app, &person, options, body.note.as_deref(), &caller.actor)
        .await
        .map_err(problem)?;
    Ok(Json(OffboardedBody::new(done)))
}

/// Makes a change: what the API and the console share.
pub(crate) async fn made(
    app: &App,
    request: &Request,
    options: &Options,
    actor: &Actor,
) -> Result<ChangedBody, ApiError> {
    let changed = change(app, request, options, actor).await.map_err(problem)?;
    Ok(ChangedBody::new(changed))
}

pub(crate) fn no_undo(error: UndoError) -> ApiError {
    match error {
        UndoError::NotFound(_) => ApiError::NotFound("change"),
        UndoError::NoWayBack { .. } | UndoError::Over { .. } => ApiError::Conflict(error.to_string()),
        UndoError::Store(error) => error.into(),
        UndoError::Change(error) => problem(error),
        error @ UndoError::Unreadable { .. } => ApiError::internal(&error),
    }
}

async fn found(app: &App, id: &str) -> Result<AccessChangeRow, ApiError> {
    app.store
        .access_change_get(id)
        .await?
        .ok_or(ApiError::NotFound("change"))
}

/// The address of the person that a query names, if it names one.
async fn address_of(app: &App, wanted: Option<String>) -> Result<Option<String>, ApiError> {
    match wanted {
        None => Ok(None),
        Some(wanted) => match whose(app, &wanted).await? {
            None => Err(ApiError::NotFound("person")),
            address => Ok(address),
        },
    }
}

/// How a change was asked for.
pub(crate) fn options(body: &ChangeRequestBody, request: &Request) -> Result<Options, ApiError> {
    let is_grant = matches!(request, Request::GroupGrant { .. } | Request::RoleGrant { .. });
    let only_grants = |pointer| ApiError::invalid(pointer, "only a grant of a group or role can expire");
    let lasts = match (body.for_minutes, body.permanent) {
        (None, false) => timed::Lasts::AsBefore,
        (None, true) if is_grant => timed::Lasts::Permanent,
        (None, true) => return Err(only_grants("/permanent")),
        (Some(_), true) => {
            return Err(ApiError::invalid(
                "/permanent",
                "for_minutes and permanent cannot be combined",
            ));
        }
        (Some(minutes), false) => {
            let span = TimeDelta::try_minutes(minutes)
                .filter(|span| *span > TimeDelta::zero() && *span <= timed::LONGEST)
                .ok_or_else(|| ApiError::invalid("/for_minutes", "must be between 1 minute and 366 days"))?;
            if !is_grant {
                return Err(only_grants("/for_minutes"));
            }
            timed::Lasts::For(span)
        }
    };
    Ok(Options {
        note: body.note.clone(),
        unknown_person: body.unknown_person,
        lasts,
        ..Options::default()
    })
}

/// What was asked, with names turned into ids.
pub(crate) async fn request(app: &App, body: &ChangeRequestBody) -> Result<Request, ApiError> {
    let found = connection::find(app, &body.connection).await?;
    let row = found.ok_or_else(|| {
        ApiError::invalid(
            "/connection",
            format!("no connection named \"{}\"", body.connection),
        )
    })?;
    let mut asked = json!({
        "action": body.action, "connection": row.id, "email": body.email, "name": body.name,
        "devices": body.devices, "by_exclusion": body.by_exclusion, "policies": body.policies,
    });
    if let Some(group) = &body.group {
        asked["group"] = json!(entitlement(app, &row, Target::Group(group.clone()), "/group").await?);
    }
    if let Some(role) = &body.role {
        asked["role"] = json!(entitlement(app, &row, Target::Role(role.clone()), "/role").await?);
    }
    let mut roles = Vec::with_capacity(body.roles.len());
    for (at, role) in body.roles.iter().enumerate() {
        let pointer = format!("/roles/{at}");
        roles.push(entitlement(app, &row, Target::Role(role.clone()), &pointer).await?);
    }
    asked["roles"] = json!(roles);
    serde_json::from_value(asked).map_err(|error| ApiError::invalid("/action", error.to_string()))
}

async fn entitlement(
    app: &App,
    row: &ConnectionRow,
    target: Target,
    pointer: &str,
) -> Result<String, ApiError> {
    match resolve(app, Some(row), &target).await {
        Ok(found) => {
            debug_assert!(matches!(found.kind, GrantKind::AccessGroup | GrantKind::Role));
            Ok(found.id)
        }
        Err(ExplainError::Store(error)) => Err(error.into()),
        Err(error) => Err(ApiError::invalid(pointer, error.to_string())),
    }
}

pub(crate) fn problem(error: ProvisionError) -> ApiError {
    match error {
        ProvisionError::Store(StoreError::Gone(what)) => ApiError::NotFound(what),
        ProvisionError::Store(error) => error.into(),
        ProvisionError::NoConnection => ApiError::NotFound("connection"),
        ProvisionError::Address(_) => ApiError::invalid("/email", error.to_string()),
        ProvisionError::PeopleCap { .. } | ProvisionError::Locked => ApiError::Conflict(error.to_string()),
        ProvisionError::Cloudflare { .. } => ApiError::Upstream(hub::causes(&error)),
        ProvisionError::Id(_) | ProvisionError::Client(_) | ProvisionError::NotHere => {
            ApiError::Conflict(hub::causes(&error))
        }
    }
}
