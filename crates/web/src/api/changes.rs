//! Changes of access: planned, made, listed, taken back; grants for a time; offboarding.

use super::connections::id_in_query;
use super::people;
use crate::auth::{CanChangeAccess, CanRead};
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query, word};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use hub::access::Target;
use hub::access::explain::{ExplainError, resolve};
use hub::provisioning::offboard::{OffboardOptions, Offboarded, offboard, offboard_preview};
use hub::provisioning::undo::{UndoError, undo_of};
use hub::provisioning::{
    Changed, Ends, Options, Plan, ProvisionError, Request, change, preview, timed, whose,
};
use hub::{Actor, App};
use model::GrantKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{AccessChangeFilter, AccessChangeRow, ConnectionRow, StoreError, TimedGrantRow};
use utoipa::{IntoParams, ToSchema};

/// A change to plan or to make.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequestBody {
    /// `group.grant`, `group.revoke`, `group.unexclude`, `role.grant`, `role.revoke`, `member.invite`,
    /// `member.cancel_invitation`, `member.set_roles`, `member.set_policies`, `member.remove`,
    /// `access_user.create`, `access_user.remove`, `access_user.free_seats` or `access_user.revoke_sessions`.
    #[schema(example = "group.grant")]
    pub(crate) action: String,
    /// The connection: its id or label.
    pub(crate) connection: String,
    /// Whose access, by address.
    #[schema(example = "ana@corp.example")]
    pub(crate) email: String,
    /// The Access group, by id or exact name.
    pub(crate) group: Option<String>,
    /// The role, by id or exact name.
    pub(crate) role: Option<String>,
    /// Roles, by id or exact name, for an invitation or for exactly these.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Policies as Cloudflare takes them, for an invitation or for exactly these.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub(crate) policies: Vec<Value>,
    /// A name for a new Access user.
    pub(crate) name: Option<String>,
    /// With the sessions of devices.
    #[serde(default)]
    pub(crate) devices: bool,
    /// Exclude by address where a wider rule lets them in.
    #[serde(default)]
    pub(crate) by_exclusion: bool,
    /// Grant to an address that is in no list yet.
    #[serde(default)]
    pub(crate) unknown_person: bool,
    /// Take the grant back after this many minutes, whatever end it had. Left out, a grant that has an end keeps it.
    pub(crate) for_minutes: Option<i64>,
    /// Remove the end of the grant: it is not taken back.
    #[serde(default)]
    pub(crate) permanent: bool,
    /// Why, for the audit log.
    pub(crate) note: Option<String>,
}

/// What became of a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedBody {
    /// `changed`, `already`, `refused` or `unverified`.
    pub outcome: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// The guard that refused.
    pub guard: Option<&'static str>,
    /// Our id of the change.
    pub change_id: String,
    /// In one sentence.
    pub summary: String,
    /// What would still let them in, or what access depends on.
    pub remains: Vec<String>,
    /// How often it was written: more than once when a write was lost.
    pub writes: usize,
    /// When it is taken back; null when the grant has no end.
    pub expires_at: Option<DateTime<Utc>>,
    /// The end of the grant before and after the change; null when it has and had none.
    pub ends: Option<EndsBody>,
    /// The plan by which it was made: before, after, calls, guards, effects, warnings, undo.
    #[schema(value_type = Object)]
    pub plan: Value,
}

impl ChangedBody {
    fn new(changed: Changed) -> Self {
        let ends = changed.plan.ends;
        Self {
            outcome: changed.outcome.as_str(),
            reason: changed.reason,
            guard: changed.guard.map(hub::provisioning::Guard::as_str),
            change_id: changed.change_id,
            summary: changed.plan.summary.clone(),
            remains: changed.remains,
            writes: changed.writes,
            expires_at: ends.and_then(|ends| ends.after),
            ends: ends.map(EndsBody::new),
            plan: json!(changed.plan),
        }
    }
}

/// When a grant ends by itself, before a change and after it. Null is a grant without an end, or no grant.
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

/// A plan, of which nothing is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanBody {
    /// In one sentence.
    pub summary: String,
    /// The connection's label.
    pub connection: String,
    /// The end of the grant before and after the change; null when it has and had none.
    pub ends: Option<EndsBody>,
    /// Before, after, calls, guards, effects, warnings, what remains, the way back, and whether there is anything
    /// to do.
    #[schema(value_type = Object)]
    pub plan: Value,
}

impl PlanBody {
    fn new(plan: Plan) -> Self {
        Self {
            summary: plan.summary.clone(),
            connection: plan.connection.clone(),
            ends: plan.ends.map(EndsBody::new),
            plan: json!(plan),
        }
    }
}

/// A change of access that was made or refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessChangeBody {
    /// Our id.
    pub id: String,
    /// In which account.
    pub connection_id: String,
    /// The change that this is a step of.
    pub parent_id: Option<String>,
    /// What was asked, in one word.
    pub action: String,
    /// What was changed.
    pub object: String,
    /// Whose access.
    pub email: Option<String>,
    /// Who asked.
    pub actor: String,
    /// Why, in their words.
    pub note: Option<String>,
    /// `running`, `changed`, `already`, `refused` or `unverified`.
    pub outcome: String,
    /// Why that is the outcome.
    pub reason: Option<String>,
    /// The guard, what remains, how often it was written.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// Whether it can be taken back.
    pub can_be_undone: bool,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
    /// When its outcome was known.
    pub finished_at: Option<DateTime<Utc>>,
}

impl AccessChangeBody {
    fn new(row: AccessChangeRow) -> Result<Self, StoreError> {
        Ok(Self {
            detail: row.detail_json()?,
            id: row.id,
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
    /// What was asked.
    #[schema(value_type = Object)]
    pub request: Value,
    /// The plan by which it was made or refused; of a change of many steps, what was asked for: `requests`.
    #[schema(value_type = Object)]
    pub plan: Value,
    /// The request that takes it back.
    #[schema(value_type = Option<Object>)]
    pub undo: Option<Value>,
    /// Its steps, when it is one of many.
    pub steps: Vec<AccessChangeBody>,
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
    /// Only of the access of the person with this address or id.
    person: Option<String>,
    /// The same as `person`.
    email: Option<String>,
    /// Only with this outcome.
    outcome: Option<String>,
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A grant with an end.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimedGrantBody {
    /// Our id.
    pub id: String,
    /// In which account.
    pub connection_id: String,
    /// `access-group` or `role`.
    pub kind: &'static str,
    /// The group's or role's id.
    pub entitlement_id: String,
    /// Its name.
    pub entitlement_name: String,
    /// Who holds it.
    pub email: String,
    /// Who asked for it.
    pub actor: String,
    /// `active`, `overdue`, `revoked`, `permanent` or `gone`.
    pub state: String,
    /// When it began.
    pub granted_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Why it could not be taken back.
    pub problem: Option<String>,
    /// How often taking it back was tried.
    pub attempts: i64,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
}

impl TimedGrantBody {
    fn new(row: TimedGrantRow) -> Self {
        Self {
            id: row.id,
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

/// Which grants for a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimedQuery {
    /// Only of the person with this address or id.
    person: Option<String>,
    /// The same as `person`.
    email: Option<String>,
    /// Those that are over too.
    #[serde(default)]
    all: bool,
}

/// How to take a change back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoBody {
    /// Why, for the audit log.
    note: Option<String>,
}

/// How to take everything from a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OffboardBody {
    /// Why, for the audit log.
    note: Option<String>,
    /// Remove the Access user too, not only their seats.
    #[serde(default)]
    remove_access_user: bool,
    /// Exclude the person by address from groups whose wider rules let them in.
    #[serde(default)]
    exclude: bool,
    /// Answer the plans alone.
    #[serde(default)]
    plan_only: bool,
}

/// What was taken and what is left.
#[derive(Debug, Serialize, ToSchema)]
pub struct OffboardedBody {
    /// Our id of the whole.
    pub change_id: Option<String>,
    /// The worst of the steps: `already`, `changed`, `refused` or `unverified`; null for plans.
    pub outcome: Option<&'static str>,
    /// Why.
    pub reason: Option<String>,
    /// What became of each step.
    pub steps: Vec<ChangedBody>,
    /// What is still open to the person.
    pub remains: Vec<String>,
    /// The plans, when those alone were asked for.
    pub plans: Vec<PlanBody>,
}

/// Plans a change: what is, what would be, the calls and what the guards say. Nothing is changed.
#[utoipa::path(post, path = "/access/plans", tag = "access changes", operation_id = "access_plan",
    security(("token" = ["access:write"])), request_body = ChangeRequestBody,
    responses((status = 200, description = "The plan", body = PlanBody), Problems))]
pub async fn plan(
    _caller: CanChangeAccess,
    State(app): State<App>,
    Json(body): Json<ChangeRequestBody>,
) -> Result<Json<PlanBody>, ApiError> {
    let request = request(&app, &body).await?;
    let plan = preview(&app, &request, &options(&body, &request)?)
        .await
        .map_err(problem)?;
    Ok(Json(PlanBody::new(plan)))
}

/// Makes a change: plans, lets the guards judge, writes, verifies. What is refused is an outcome, with its reason.
#[utoipa::path(post, path = "/access/changes", tag = "access changes", operation_id = "access_change",
    security(("token" = ["access:write"])), request_body = ChangeRequestBody,
    responses((status = 200, description = "What became of it", body = ChangedBody), Problems))]
pub async fn make(
    caller: CanChangeAccess,
    State(app): State<App>,
    Json(body): Json<ChangeRequestBody>,
) -> Result<Json<ChangedBody>, ApiError> {
    let request = request(&app, &body).await?;
    let options = options(&body, &request)?;
    made(&app, &request, &options, &caller.actor).await.map(Json)
}

/// Changes, newest first.
#[utoipa::path(get, path = "/access/changes", tag = "access changes", operation_id = "access_change_list",
    security(("token" = ["read"])), params(ChangesQuery),
    responses((status = 200, description = "A page of changes", body = Page<AccessChangeBody>), Problems))]
pub async fn list(
    _caller: CanRead,
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
    Ok(Json(Page::read(rows, limit, cursor, AccessChangeBody::new)?))
}

/// One change, with its plan.
#[utoipa::path(get, path = "/access/changes/{change}", tag = "access changes", operation_id = "access_change_get",
    security(("token" = ["read"])), params(("change" = String, Path, description = "Its id")),
    responses((status = 200, description = "The change", body = AccessChangeDetailBody), Problems))]
pub async fn get_one(
    _caller: CanRead,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<AccessChangeDetailBody>, ApiError> {
    let row = found(&app, &id).await?;
    let steps = app.store.access_change_steps(&id).await?;
    Ok(Json(AccessChangeDetailBody {
        request: row.request_json()?,
        plan: match row.plan_json()? {
            // As a change of many steps was kept before.
            requests @ Value::Array(_) => json!({ "requests": requests }),
            plan => plan,
        },
        undo: row.undo_json()?,
        steps: steps
            .into_iter()
            .map(AccessChangeBody::new)
            .collect::<Result<_, _>>()?,
        change: AccessChangeBody::new(row)?,
    }))
}

/// Takes a change back.
#[utoipa::path(post, path = "/access/changes/{change}/undo", tag = "access changes",
    operation_id = "access_change_undo", security(("token" = ["access:write"])),
    params(("change" = String, Path, description = "Its id")), request_body = UndoBody,
    responses((status = 200, description = "What became of it", body = ChangedBody), Problems))]
pub async fn undo(
    caller: CanChangeAccess,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<UndoBody>,
) -> Result<Json<ChangedBody>, ApiError> {
    let undo = undo_of(&app, &id, body.note).await.map_err(no_undo)?;
    made(&app, &undo.request, &undo.options, &caller.actor)
        .await
        .map(Json)
}

/// Grants for a time, the next to end first.
#[utoipa::path(get, path = "/access/timed-grants", tag = "access changes", operation_id = "timed_grant_list",
    security(("token" = ["read"])), params(TimedQuery),
    responses((status = 200, description = "At most 1,000 grants", body = Page<TimedGrantBody>), Problems))]
pub async fn timed_grants(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<TimedQuery>,
) -> Result<Json<Page<TimedGrantBody>>, ApiError> {
    let email = address_of(&app, query.person.or(query.email)).await?;
    let rows = app
        .store
        .timed_grant_list(email.as_deref(), query.all, store::LIST_LIMIT_MAX)
        .await?;
    Ok(Json(Page::whole(rows, TimedGrantBody::new)))
}

/// Takes everything from a person in every connected account, and says what is left.
#[utoipa::path(post, path = "/people/{person}/offboard", tag = "access changes", operation_id = "person_offboard",
    security(("token" = ["access:write"])), params(("person" = String, Path, description = "Their address or id")),
    request_body = OffboardBody,
    responses((status = 200, description = "What became of it", body = OffboardedBody), Problems))]
pub async fn offboard_person(
    caller: CanChangeAccess,
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
    Ok(Json(OffboardedBody {
        change_id: done.change_id,
        outcome: Some(done.outcome.as_str()),
        reason: done.reason,
        steps: done
            .steps
            .into_iter()
            .map(|step| ChangedBody::new(step.changed))
            .collect(),
        remains: done.remains,
        plans: Vec::new(),
    }))
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
    let only_grants = |pointer| ApiError::invalid(pointer, "only a grant of a group or role can end");
    let lasts = match (body.for_minutes, body.permanent) {
        (None, false) => timed::Lasts::AsBefore,
        (None, true) if is_grant => timed::Lasts::Permanent,
        (None, true) => return Err(only_grants("/permanent")),
        (Some(_), true) => {
            return Err(ApiError::invalid(
                "/permanent",
                "a grant either ends (for_minutes) or is permanent",
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
    let id = id_in_query(app, Some(&body.connection)).await.map_err(|_| {
        ApiError::invalid(
            "/connection",
            format!("there is no connection \"{}\"", body.connection),
        )
    })?;
    let row = match id {
        Some(id) => app.store.connection_get(&id).await?,
        None => None,
    };
    let row = row.ok_or(ApiError::NotFound("connection"))?;
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
