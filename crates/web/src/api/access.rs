//! Members, Access users, Access groups, roles, and the grants computed from them.

use super::connections::id_in_query;
use super::people;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::access::grant::{GrantCursor, GrantScope};
use hub::access::{AccessView, Grant, GrantFilter, SignIns};
use hub::connection::{self, Labels};
use hub::person_detail::MemberFacts;
use model::{ConnectionId, GrantKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use store::{AccessGroupRow, AccessUserRow, AccountObjectRow, MemberRow, RoleRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A person who can log in to an account's dashboard.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberBody {
    /// ID of the connection that lists this member.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Membership ID.
    pub id: String,
    /// ID of the person with this address.
    pub person_id: Option<String>,
    /// Email address, as returned by Cloudflare.
    pub email: String,
    /// First and last name.
    pub name: Option<String>,
    /// `accepted`, `pending`, or another status that Cloudflare returns.
    pub status: String,
    /// Whether a second factor is enabled; null if unknown.
    pub two_factor: Option<bool>,
    /// How the member signs in, based on the synced data: `sso`, `password` or `unknown`.
    pub sign_in: &'static str,
    /// Whether this is a pending invitation.
    pub invitation: bool,
    /// The roles, each with `id` and `name`.
    pub roles: Value,
    /// Names of the permission groups in the member's policies. A member has either policies or roles.
    pub policies: Vec<String>,
    /// Names of the member's user groups; null in lists, which do not read them.
    pub user_groups: Option<Vec<String>>,
    /// When a sync last saw this object.
    pub seen_at: DateTime<Utc>,
}

impl MemberBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(
        row: MemberRow,
        sign_ins: &HashMap<ConnectionId, SignIns>,
        labels: &Labels,
    ) -> Result<Self, StoreError> {
        let sign_ins = sign_ins.get(&row.connection_id);
        let roles = Value::Array(row.roles_json()?);
        let policies = hub::objects::policy_names(&Value::Array(row.policies_json()?));
        Ok(Self {
            sign_in: sign_ins.map_or("unknown", |sign_ins| sign_ins.of(&row.email)),
            invitation: row.status != "accepted",
            policies,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            id: row.id,
            person_id: row.person_id,
            email: row.email,
            name: row.name,
            status: row.status,
            two_factor: row.two_factor,
            roles,
            user_groups: None,
            seen_at: row.seen_at,
        })
    }
}

impl MemberBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn of(member: MemberFacts, labels: &Labels) -> Result<Self, StoreError> {
        let row = member.row;
        let roles = Value::Array(row.roles_json()?);
        Ok(Self {
            sign_in: member.sign_in,
            invitation: row.status != "accepted",
            policies: member.policies,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            id: row.id,
            person_id: row.person_id,
            email: row.email,
            name: row.name,
            status: row.status,
            two_factor: row.two_factor,
            roles,
            user_groups: Some(member.user_groups),
            seen_at: row.seen_at,
        })
    }
}

/// A Zero Trust user.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessUserBody {
    /// ID of the connection that lists this user.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Cloudflare's ID.
    pub id: String,
    /// ID of the person with this address.
    pub person_id: Option<String>,
    /// Email address, as returned by Cloudflare.
    pub email: String,
    /// Name.
    pub name: Option<String>,
    /// Whether the user has an Access seat; null if unknown.
    pub access_seat: Option<bool>,
    /// Whether the user has a Gateway seat; null if unknown.
    pub gateway_seat: Option<bool>,
    /// Number of active devices.
    pub active_device_count: Option<i64>,
    /// When the user last logged in.
    pub last_login_at: Option<DateTime<Utc>>,
    /// When a sync last saw this object.
    pub seen_at: DateTime<Utc>,
}

impl AccessUserBody {
    /// Creates the response body.
    pub fn new(row: AccessUserRow, labels: &Labels) -> Self {
        Self {
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            id: row.id,
            person_id: row.person_id,
            email: row.email,
            name: row.name,
            access_seat: row.access_seat,
            gateway_seat: row.gateway_seat,
            active_device_count: row.active_device_count,
            last_login_at: row.last_login_at,
            seen_at: row.seen_at,
        }
    }
}

/// An Access group.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessGroupBody {
    /// ID of the connection that lists this object.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Cloudflare's ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// The complete object as returned by Cloudflare, including its rules.
    pub raw: Value,
    /// When a sync last saw this object.
    pub seen_at: DateTime<Utc>,
}

impl AccessGroupBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: AccessGroupRow, labels: &Labels) -> Result<Self, StoreError> {
        Ok(Self {
            raw: row.raw_json()?,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            id: row.id,
            name: row.name,
            seen_at: row.seen_at,
        })
    }
}

/// A dashboard role of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleBody {
    /// ID of the connection that lists this object.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// Cloudflare's ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// When a sync last saw this object.
    pub seen_at: DateTime<Utc>,
}

impl RoleBody {
    /// Creates the response body.
    pub fn new(row: RoleRow, labels: &Labels) -> Self {
        Self {
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            id: row.id,
            name: row.name,
            description: row.description,
            seen_at: row.seen_at,
        }
    }
}

/// A group, role or application that a person has, and the rule that grants it.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantBody {
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: String,
    /// `access-group`, `app`, `permission-group`, `role` or `user-group`.
    pub kind: &'static str,
    /// ID of the group or role.
    pub entitlement_id: String,
    /// Name.
    pub entitlement_name: String,
    /// Scope of a permission group; null for other kinds. Access to the whole account and access to a part of it are
    /// separate grants.
    pub scope: Option<ScopeBody>,
    /// ID of the person.
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
    /// Email address of the person.
    pub email: String,
    /// `yes`, `conditional` or `unknown`.
    pub certainty: &'static str,
    /// The reason: steps from the entitlement to the deciding rule.
    pub via: Vec<String>,
    /// When the underlying lists were last fully read.
    pub as_of: Option<DateTime<Utc>>,
}

/// The resource group that a permission group applies to.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScopeBody {
    /// Cloudflare's ID of the resource group; empty if Cloudflare returns none.
    pub id: String,
    /// `the whole account`, or the resource group's name.
    pub name: String,
    /// Whether this is the whole account; null if unknown.
    pub is_account: Option<bool>,
}

impl ScopeBody {
    fn new(scope: GrantScope) -> Self {
        Self {
            id: scope.id,
            name: scope.name,
            is_account: scope.is_account,
        }
    }
}

impl GrantBody {
    /// Creates the response body.
    pub fn new(row: Grant) -> Self {
        let only = |kind| (row.kind == kind).then(|| row.entitlement_id.clone());
        Self {
            group: row.entitlement_name.clone(),
            group_id: only(GrantKind::AccessGroup),
            role_id: only(GrantKind::Role),
            app_id: only(GrantKind::App),
            permission_group_id: only(GrantKind::PermissionGroup),
            user_group_id: only(GrantKind::UserGroup),
            person: row.person_id.0.clone(),
            connection: row.connection,
            connection_id: row.connection_id.0,
            kind: row.kind.as_str(),
            entitlement_id: row.entitlement_id,
            entitlement_name: row.entitlement_name,
            scope: row.scope.map(ScopeBody::new),
            person_id: row.person_id.0,
            email: row.email,
            certainty: row.certainty.as_str(),
            via: row.via,
            as_of: row.as_of,
        }
    }
}

/// ID of the connection.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListedQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

macro_rules! listed {
    ($(#[$doc:meta])* $name:ident, $path:literal, $operation:literal, $rows:ident, $body:ident, $read:expr) => {
        $(#[$doc])*
        #[utoipa::path(get, path = $path, tag = "access", operation_id = $operation,
            params(ListedQuery),
            responses((status = 200, description = "A page, sorted by connection and ID", body = Page<$body>),
                Problems))]
        pub async fn $name(
            State(app): State<App>,
            Query(query): Query<ListedQuery>,
        ) -> Result<Json<Page<$body>>, ApiError> {
            let limit = paging::limit(query.limit)?;
            let connection = id_in_query(&app, query.connection.as_deref()).await?;
            let after = paging::read::<2>(query.cursor.as_deref())?;
            let after = after.as_ref().map(|[connection, id]| (connection.as_str(), id.as_str()));
            let rows = app.store.$rows(connection.as_ref(), after, limit).await?;
            let cursor = |row: &_| place(row);
            let labels = connection::labels(&app).await?;
            let read: fn(_, &Labels) -> _ = $read;
            Ok(Json(Page::read(rows, limit, cursor, |row| read(row, &labels))?))
        }
    };
}

trait Placed {
    fn place(&self) -> String;
}

fn place(row: &impl Placed) -> String {
    row.place()
}

macro_rules! placed {
    ($($row:ident),+) => {
        $(impl Placed for $row {
            fn place(&self) -> String {
                paging::cursor([self.connection_id.as_str(), &self.id])
            }
        })+
    };
}

placed!(
    MemberRow,
    AccessUserRow,
    AccessGroupRow,
    RoleRow,
    AccountObjectRow
);

/// Lists members of the connected accounts.
#[utoipa::path(get, path = "/members", tag = "access", operation_id = "member_list",
    params(ListedQuery),
    responses((status = 200, description = "A page, sorted by connection and ID", body = Page<MemberBody>), Problems))]
pub async fn members(
    State(app): State<App>,
    Query(query): Query<ListedQuery>,
) -> Result<Json<Page<MemberBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let after = paging::read::<2>(query.cursor.as_deref())?;
    let after = after
        .as_ref()
        .map(|[connection, id]| (connection.as_str(), id.as_str()));
    let rows = app.store.member_list(connection.as_ref(), after, limit).await?;
    let sign_ins = SignIns::of_all(&app).await?;
    let labels = connection::labels(&app).await?;
    let body = |row| MemberBody::new(row, &sign_ins, &labels);
    Ok(Json(Page::read(rows, limit, place, body)?))
}
listed! {
    /// Lists Zero Trust users of the connected accounts.
    access_users, "/access-users", "access_user_list", access_user_list, AccessUserBody, |row, labels| Ok(AccessUserBody::new(row, labels))
}
listed! {
    /// Lists Access groups of the connected accounts.
    access_groups, "/access-groups", "access_group_list", access_group_list, AccessGroupBody, AccessGroupBody::new
}
listed! {
    /// Lists dashboard roles of the connected accounts.
    roles, "/roles", "role_list", role_list, RoleBody, |row, labels| Ok(RoleBody::new(row, labels))
}

/// An account object other than people, roles and Access groups.
#[derive(Debug, Serialize, ToSchema)]
pub struct ObjectBody {
    /// ID of the connection that lists this object.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// `apps`, `policies`, `identity_providers`, `service_tokens`, `account_tokens`, `user_groups`,
    /// `permission_groups`, `resource_groups`, `lists`, `organization` or `account`.
    pub kind: String,
    /// Cloudflare's ID.
    pub id: String,
    /// Name; empty if it has none.
    pub name: String,
    /// Type of an application or identity provider, or decision of a policy.
    pub r#type: Option<String>,
    /// Status, as returned by Cloudflare.
    pub status: Option<String>,
    /// Expiry, as returned by Cloudflare.
    pub expires_at: Option<String>,
    /// Time of last use, as returned by Cloudflare.
    pub last_used_at: Option<String>,
    /// Readable summary of domain and policies, rules, or permissions.
    pub detail: Vec<String>,
    /// The object as returned by Cloudflare, without secrets.
    pub raw: Value,
    /// When a sync last saw this object.
    pub seen_at: DateTime<Utc>,
}

impl ObjectBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: AccountObjectRow, labels: &Labels) -> Result<Self, StoreError> {
        let raw = row.raw_json()?;
        let facts = hub::objects::facts(row.kind.as_str(), &raw);
        Ok(Self {
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            kind: row.kind.to_string(),
            id: row.id,
            name: row.name,
            r#type: facts.kind,
            status: facts.status,
            expires_at: facts.expires_at,
            last_used_at: facts.last_used_at,
            detail: facts.detail,
            raw: hub::redact::redacted(raw),
            seen_at: row.seen_at,
        })
    }
}

/// Filters for objects.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ObjectsQuery {
    /// List to return: `apps`, `policies`, `identity_providers`, `service_tokens`, `account_tokens`, `user_groups`,
    /// `permission_groups`, `resource_groups`, `lists`, `organization` or `account`.
    kind: String,
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists applications, policies, identity providers, tokens and all other synced objects.
#[utoipa::path(get, path = "/objects", tag = "access", operation_id = "object_list",
    params(ObjectsQuery),
    responses((status = 200, description = "A page, sorted by connection and ID", body = Page<ObjectBody>), Problems))]
pub async fn objects(
    State(app): State<App>,
    Query(query): Query<ObjectsQuery>,
) -> Result<Json<Page<ObjectBody>>, ApiError> {
    let kind = hub::objects::kind_of(&query.kind).ok_or_else(|| {
        let known: Vec<&str> = hub::objects::KINDS.iter().map(|(kind, ..)| *kind).collect();
        ApiError::bad("kind", format!("must be one of {}", known.join(", ")))
    })?;
    let limit = paging::limit(query.limit)?;
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let after = paging::read::<2>(query.cursor.as_deref())?;
    let after = after
        .as_ref()
        .map(|[connection, id]| (connection.as_str(), id.as_str()));
    let rows = app
        .store
        .account_object_list(kind, connection.as_ref(), after, limit)
        .await?;
    let labels = connection::labels(&app).await?;
    let body = |row| ObjectBody::new(row, &labels);
    Ok(Json(Page::read(rows, limit, place, body)?))
}

/// Filters for grants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GrantsQuery {
    /// Only this kind: `access-group`, `app`, `permission-group`, `role` or `user-group`. Default: all except
    /// applications.
    #[param(value_type = Option<String>)]
    kind: Option<GrantKind>,
    /// Only for the person with this email address or ID.
    person: Option<String>,
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Only for the group or role with this ID.
    entitlement: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of grants.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantPage {
    /// The grants.
    pub items: Vec<GrantBody>,
    /// Value of `cursor` for the next page; null on the last page.
    pub next_cursor: Option<String>,
    /// Reasons why grants may be missing: incomplete lists, with their connections.
    pub gaps: Vec<String>,
}

/// Lists grants: who has what, and why.
#[utoipa::path(get, path = "/grants", tag = "access", operation_id = "grant_list",
    params(GrantsQuery),
    responses((status = 200, description = "A page, sorted by email address", body = GrantPage), Problems))]
pub async fn grants(
    State(app): State<App>,
    Query(query): Query<GrantsQuery>,
) -> Result<Json<GrantPage>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let after = paging::read(query.cursor.as_deref())?;
    let filter = GrantFilter {
        kind: query.kind,
        person_id: people::id_in_query(&app, query.person.as_deref()).await?,
        connection_id: id_in_query(&app, query.connection.as_deref()).await?,
        entitlement_id: query.entitlement,
        after: after.map(|[email, connection, kind, entitlement, scope]| GrantCursor {
            email,
            connection,
            kind,
            entitlement,
            scope,
        }),
    };
    let view = AccessView::current(&app).await?;
    let rows = view.grant_page(&filter, usize::try_from(limit).unwrap_or(0));
    let cursor = |row: &Grant| {
        let last = row.cursor();
        paging::cursor([
            &last.email,
            &last.connection,
            &last.kind,
            &last.entitlement,
            &last.scope,
        ])
    };
    let page = Page::new(rows, limit, cursor, GrantBody::new);
    Ok(Json(GrantPage {
        items: page.items,
        next_cursor: page.next_cursor,
        gaps: view.gaps(),
    }))
}
