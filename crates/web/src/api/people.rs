//! People, and everything that is known of one.

use super::access::{AccessUserBody, GrantBody, MemberBody};
use super::risk::RiskChangeBody;
use crate::auth::CanRead;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::access::{AccessView, GrantFilter, Scope, SignIns};
use model::{PersonId, RiskLevel};
use serde::{Deserialize, Serialize};
use store::{LIST_LIMIT_MAX, PersonFilter, PersonRow};
use utoipa::{IntoParams, ToSchema};

/// One human, or service, across all connections.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonBody {
    /// Our id.
    pub id: String,
    /// The address that joins the lists, in lower case.
    pub email: String,
    /// A name, where some list has one.
    pub name: Option<String>,
    /// `unscored`, `low`, `medium` or `high`: the highest level triggered since the last reset.
    pub risk_level: &'static str,
    /// Since when that level holds.
    pub risk_since: Option<DateTime<Utc>>,
    /// When the level was last reset.
    pub risk_reset_at: Option<DateTime<Utc>>,
    /// When the person was first seen.
    pub created_at: DateTime<Utc>,
    /// When anything last changed.
    pub updated_at: DateTime<Utc>,
}

impl PersonBody {
    pub(crate) fn new(row: PersonRow) -> Self {
        Self {
            id: row.id.0,
            email: row.email,
            name: row.name,
            risk_level: row.risk_level.as_str(),
            risk_since: row.risk_since,
            risk_reset_at: row.risk_reset_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A person with memberships, Access users, grants and changes of the risk level.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonDetailBody {
    /// The person.
    pub person: PersonBody,
    /// Memberships of accounts.
    pub members: Vec<MemberBody>,
    /// Zero Trust users.
    pub access_users: Vec<AccessUserBody>,
    /// What the person holds and why; at most 1,000, more are at `/grants?person=`.
    pub grants: Vec<GrantBody>,
    /// The newest changes of the risk level, at most 100.
    pub risk_changes: Vec<RiskChangeBody>,
}

/// Which people.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PeopleQuery {
    /// Part of the address or name.
    search: Option<String>,
    /// Only this level: `unscored`, `low`, `medium` or `high`.
    #[param(value_type = Option<String>)]
    risk_level: Option<RiskLevel>,
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// People, by address.
#[utoipa::path(get, path = "/people", tag = "people", operation_id = "person_list",
    security(("token" = ["read"])), params(PeopleQuery),
    responses((status = 200, description = "A page of people", body = Page<PersonBody>), Problems))]
pub async fn list(
    _caller: CanRead,
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

/// One person: memberships, Access users, grants with their reasons, changes of the risk level.
#[utoipa::path(get, path = "/people/{person}", tag = "people", operation_id = "person_get",
    security(("token" = ["read"])), params(("person" = String, Path, description = "Their id")),
    responses((status = 200, description = "The person", body = PersonDetailBody), Problems))]
pub async fn get_one(
    _caller: CanRead,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<PersonDetailBody>, ApiError> {
    let id = PersonId(id);
    let person = app
        .store
        .person_get(&id)
        .await?
        .ok_or(ApiError::NotFound("person"))?;
    let filter = GrantFilter {
        person_id: Some(id.clone()),
        ..GrantFilter::default()
    };
    let members = app.store.member_by_person(&id).await?;
    let access_users = app.store.access_user_by_person(&id).await?;
    let view = AccessView::of_person(&app, &person, &Scope::Everything).await?;
    let grants = view.grant_page(&filter, LIST_LIMIT_MAX as usize);
    let changes = app.store.risk_change_by_person(&id, 100).await?;
    let sign_ins = SignIns::of_all(&app).await?;
    Ok(Json(PersonDetailBody {
        person: PersonBody::new(person),
        members: members
            .into_iter()
            .map(|row| MemberBody::new(row, &sign_ins))
            .collect(),
        access_users: access_users.into_iter().map(AccessUserBody::new).collect(),
        grants: grants.into_iter().map(GrantBody::new).collect(),
        risk_changes: changes.into_iter().map(RiskChangeBody::new).collect(),
    }))
}
