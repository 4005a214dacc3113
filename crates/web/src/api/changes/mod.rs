//! Changes of access: planned, made, listed, taken back; grants for a time; offboarding.

mod body;

pub use body::{
    AccessChangeBody, AccessChangeDetailBody, ChangeRequestBody, ChangedBody, ChangesQuery, EndsBody,
    OffboardBody, OffboardedBody, PlanBody, TimedGrantBody, TimedQuery, UndoBody,
};

use super::connections::id_in_query;
use super::people;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query, word};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::TimeDelta;
use hub::access::Target;
use hub::access::explain::{ExplainError, resolve};
use hub::connection;
use hub::provisioning::offboard::{OffboardOptions, Offboarded, offboard, offboard_preview};
use hub::provisioning::undo::{self, UndoError};
use hub::provisioning::{Options, ProvisionError, Request, change, preview, timed, whose};
use hub::{Actor, App};
use model::GrantKind;
use serde_json::json;
use store::{AccessChangeFilter, AccessChangeRow, ConnectionRow, StoreError};

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

/// Applies a change; shared by the API and the console.
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

/// Finds the address of the person in a query parameter; `None` if it is missing.
async fn address_of(app: &App, wanted: Option<String>) -> Result<Option<String>, ApiError> {
    match wanted {
        None => Ok(None),
        Some(wanted) => match whose(app, &wanted).await? {
            None => Err(ApiError::NotFound("person")),
            address => Ok(address),
        },
    }
}

/// The request of a change.
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

/// The request with names resolved to IDs.
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
