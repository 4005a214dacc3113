//! People, and everything that is known of one.

use super::access::{AccessUserBody, GrantBody, MemberBody};
use super::risk::RiskChangeBody;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::connection::{self, Labels};
use hub::people::{AliasProblem, AliasRequest};
use hub::person_detail::Seen;
use hub::{App, person_detail};
use model::{PersonId, RiskLevel};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{PersonFilter, PersonRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A person or service, across all connections.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonBody {
    /// Flareward's ID.
    pub id: String,
    /// Main email address, in lower case.
    pub email: String,
    /// Name, if known.
    pub name: Option<String>,
    /// Flareward's risk level: `unscored`, `low`, `medium` or `high`. The highest level triggered since the last
    /// reset. For Cloudflare's risk score, call the capability `getUserRiskScore`.
    pub hub_risk_level: &'static str,
    /// Same as `hub_risk_level` (earlier name).
    pub risk_level: &'static str,
    /// When the person reached this level.
    pub risk_since: Option<DateTime<Utc>>,
    /// When Flareward's level was last reset.
    pub risk_reset_at: Option<DateTime<Utc>>,
    /// When the person was first seen.
    pub created_at: DateTime<Utc>,
    /// When the person was last changed.
    pub updated_at: DateTime<Utc>,
}

impl PersonBody {
    /// Creates the response body.
    pub fn new(row: PersonRow) -> Self {
        Self {
            id: row.id.0,
            email: row.email,
            name: row.name,
            hub_risk_level: row.risk_level.as_str(),
            risk_level: row.risk_level.as_str(),
            risk_since: row.risk_since,
            risk_reset_at: row.risk_reset_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A person with memberships, Access users, grants and risk level changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonDetailBody {
    /// The person.
    pub person: PersonBody,
    /// Memberships of accounts.
    pub members: Vec<MemberBody>,
    /// Zero Trust users.
    pub access_users: Vec<AccessUserBody>,
    /// Details of the Access users, if read.
    pub details: Vec<SeenBody>,
    /// Grants with reasons, at most 1,000. For more, use `/grants?person=`.
    pub grants: Vec<GrantBody>,
    /// Applications that the person can access, with reasons, at most 1,000.
    pub apps: Vec<GrantBody>,
    /// Why the person may have more access than listed: incomplete lists.
    pub gaps: Vec<String>,
    /// Aliases.
    pub aliases: Vec<String>,
    /// Time of the newest login or event.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The newest changes of Flareward's risk level, at most 100.
    pub risk_changes: Vec<RiskChangeBody>,
}

impl PersonDetailBody {
    /// Everything about a person.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn of(app: &App, person: PersonRow) -> Result<Self, StoreError> {
        let detail = person_detail::of(app, &person).await?;
        let changes = app.store.risk_change_by_person(&person.id, 100).await?;
        let labels = &connection::labels(app).await?;
        let (users, seen) = (detail.users.into_iter(), detail.seen.into_iter());
        Ok(Self {
            person: PersonBody::new(person),
            members: detail
                .members
                .into_iter()
                .map(|member| MemberBody::of(member, labels))
                .collect::<Result<_, _>>()?,
            access_users: users.map(|user| AccessUserBody::new(user, labels)).collect(),
            details: seen.map(|seen| SeenBody::new(seen, labels)).collect(),
            grants: detail.grants.into_iter().map(GrantBody::new).collect(),
            apps: detail.apps.into_iter().map(GrantBody::new).collect(),
            gaps: detail.gaps,
            aliases: detail.aliases,
            last_seen_at: detail.last_seen_at,
            risk_changes: changes.into_iter().map(RiskChangeBody::new).collect(),
        })
    }
}

/// Details of an Access user, read on request or in the background.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeenBody {
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Cloudflare's ID of the Access user.
    pub access_user_id: String,
    /// Time of the last read or read attempt.
    pub read_at: DateTime<Utc>,
    /// Why the last read failed; the data is then from an earlier read.
    pub problem: Option<String>,
    /// Time of the last authentication.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Type of the identity provider.
    pub provider: Option<String>,
    /// Authentication methods, as reported by the provider.
    pub methods: Vec<String>,
    /// Country.
    pub country: Option<String>,
    /// Devices of the user.
    pub devices: Vec<DeviceBody>,
    /// Sessions that were active at that time.
    pub sessions: Vec<SessionBody>,
    /// Failed logins, as returned by Cloudflare.
    pub failed_logins: Vec<Value>,
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceBody {
    /// Cloudflare's ID.
    pub id: String,
    /// Time of the last authentication with this device.
    pub last_authenticated_at: Option<DateTime<Utc>>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBody {
    /// Start of the session.
    pub began_at: Option<DateTime<Utc>>,
    /// End of the session.
    pub expires_at: Option<DateTime<Utc>>,
    /// Host names of the session's applications.
    pub apps: Vec<String>,
}

impl SeenBody {
    /// Creates the response body.
    pub fn new(seen: Seen, labels: &Labels) -> Self {
        Self {
            connection: labels.get(&seen.connection_id).cloned(),
            connection_id: seen.connection_id.0,
            access_user_id: seen.access_user_id,
            read_at: seen.read_at,
            problem: seen.problem,
            last_seen_at: seen.last_seen_at,
            provider: seen.provider,
            methods: seen.methods,
            country: seen.country,
            devices: seen
                .devices
                .into_iter()
                .map(|device| DeviceBody {
                    id: device.id,
                    last_authenticated_at: device.last_authenticated_at,
                })
                .collect(),
            sessions: seen
                .sessions
                .into_iter()
                .map(|session| SessionBody {
                    began_at: session.began_at,
                    expires_at: session.expires_at,
                    apps: session.apps,
                })
                .collect(),
            failed_logins: seen.failed_logins,
        }
    }
}

/// An alias of a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAliasBody {
    /// The alias.
    address: String,
    /// If the address belongs to another person, merge the two people. Cannot be undone.
    #[serde(default)]
    merge: bool,
}

/// The aliases of a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct AliasesBody {
    /// The aliases, in lower case.
    pub aliases: Vec<String>,
}

/// Filters for people.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PeopleQuery {
    /// Part of the email address or name.
    search: Option<String>,
    /// Only with this Flareward risk level: `unscored`, `low`, `medium` or `high`.
    #[param(value_type = Option<String>)]
    risk_level: Option<RiskLevel>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists people by email address.
#[utoipa::path(get, path = "/people", tag = "people", operation_id = "person_list",
    params(PeopleQuery),
    responses((status = 200, description = "A page of people", body = Page<PersonBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<PeopleQuery>,
) -> Result<Json<Page<PersonBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let filter = PersonFilter {
        search: query.search.filter(|search| !search.is_empty()),
        risk_level: query.risk_level,
        after_email: paging::read(query.cursor.as_deref())?.map(|[email]| email),
        limit,
    };
    let rows = app.store.person_list(&filter).await?;
    Ok(Json(Page::new(
        rows,
        limit,
        |row| paging::cursor([&row.email]),
        PersonBody::new,
    )))
}

/// Returns one person: memberships, Access users, grants with reasons, risk level changes.
#[utoipa::path(get, path = "/people/{person}", tag = "people", operation_id = "person_get",
    params(("person" = String, Path, description = "Email address or ID \
         of the person")),
    responses((status = 200, description = "The person", body = PersonDetailBody), Problems))]
pub async fn get_one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<PersonDetailBody>, ApiError> {
    let person = found(&app, &id).await?;
    Ok(Json(PersonDetailBody::of(&app, person).await?))
}

/// Adds an alias to a person.
#[utoipa::path(post, path = "/people/{person}/aliases", tag = "people", operation_id = "person_alias_add",
    request_body = NewAliasBody,
    params(("person" = String, Path, description = "Email address or ID of the person")),
    responses((status = 200, description = "All aliases of the person", body = AliasesBody), Problems))]
pub async fn alias_add(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<NewAliasBody>,
) -> Result<Json<AliasesBody>, ApiError> {
    let id = found(&app, &id).await?.id;
    let request = AliasRequest {
        line: 0,
        person: id.0.clone(),
        alias: body.address,
    };
    let steps = hub::people::plan(&app, &[request], body.merge)
        .await?
        .map_err(|problems| refused(problems.into_iter().map(|(_, problem)| problem).next()))?;
    hub::people::apply(&app, &steps, &caller.actor.to_string(), &caller.actor).await?;
    let aliases = app.store.person_alias_by_person(&id).await?;
    Ok(Json(AliasesBody { aliases }))
}

/// Removes an alias of a person.
#[utoipa::path(delete, path = "/people/{person}/aliases/{address}", tag = "people",
    operation_id = "person_alias_remove",
    params(("person" = String, Path, description = "Email address or ID of the person"), ("address" = String, Path, description = "The alias")),
    responses((status = 200, description = "The remaining aliases", body = AliasesBody), Problems))]
pub async fn alias_remove(
    caller: Caller,
    State(app): State<App>,
    Path((id, address)): Path<(String, String)>,
) -> Result<Json<AliasesBody>, ApiError> {
    let id = found(&app, &id).await?.id;
    let address = model::address::compared(&address);
    let aliases = app.store.person_alias_by_person(&id).await?;
    if !aliases.contains(&address) || !hub::people::alias_remove(&app, &address, &caller.actor).await? {
        return Err(ApiError::NotFound("alias"));
    }
    let aliases = app.store.person_alias_by_person(&id).await?;
    Ok(Json(AliasesBody { aliases }))
}

/// Finds the person with this address or ID. An unknown person is a 404, never an empty response.
pub(crate) async fn found(app: &App, wanted: &str) -> Result<PersonRow, ApiError> {
    hub::people::one(app, wanted)
        .await?
        .ok_or(ApiError::NotFound("person"))
}

/// Finds the person in a query parameter; `None` if it is missing.
pub(crate) async fn id_in_query(app: &App, wanted: Option<&str>) -> Result<Option<PersonId>, ApiError> {
    match wanted {
        Some(wanted) => Ok(Some(found(app, wanted).await?.id)),
        None => Ok(None),
    }
}

fn refused(problem: Option<AliasProblem>) -> ApiError {
    match problem {
        Some(problem @ AliasProblem::Person { .. }) => ApiError::Conflict(format!(
            "{problem}: to merge them, repeat the request with \"merge\": true"
        )),
        Some(problem @ AliasProblem::Taken { .. }) => ApiError::Conflict(problem.to_string()),
        Some(problem) => ApiError::invalid("/address", problem.to_string()),
        None => ApiError::Internal,
    }
}
