//! What Cloudflare lists (members, roles, Access users, Access groups) and the grants computed from it.
//!
//! A listing is written with the time its sync began; whatever was not written since is gone. Rows are never
//! deleted: `gone_at` is set, and taken back when the thing is listed again.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use chrono::{DateTime, Utc};
use model::{Certainty, ConnectionId, GrantKind, PersonId};
use sqlx::QueryBuilder;
use std::collections::HashMap;

/// Rows in one statement: ten columns of these stay far below both engines' limit of bound values.
const ROWS_PER_STATEMENT: usize = 500;

/// A member as it was listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of MemberRow")]
pub struct MemberSeen {
    pub id: String,
    pub person_id: Option<PersonId>,
    pub email: String,
    pub name: Option<String>,
    pub status: String,
    pub two_factor: Option<bool>,
    pub roles: String,
    pub raw: String,
}

/// Someone who may log in to an account's dashboard.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MemberRow {
    /// Which connection lists this member.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The membership's id, not the user's.
    pub id: String,
    /// The person behind the address.
    pub person_id: Option<String>,
    /// As Cloudflare writes it.
    pub email: String,
    /// First and last name.
    pub name: Option<String>,
    /// `accepted`, `pending`, or whatever else Cloudflare says.
    pub status: String,
    /// Whether the second factor is on; `None` when that is not known.
    pub two_factor: Option<bool>,
    /// A JSON array of `{"id","name"}`.
    pub roles: String,
    /// The whole object as Cloudflare gave it.
    pub raw: String,
    /// When a sync last saw it.
    pub seen_at: DateTime<Utc>,
    /// When a whole listing no longer had it.
    pub gone_at: Option<DateTime<Utc>>,
}

/// A role as it was listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of RoleRow")]
pub struct RoleSeen {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub raw: String,
}

/// A role of an account.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "as Cloudflare names them; seen_at and gone_at as for members"
)]
pub struct RoleRow {
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub raw: String,
    pub seen_at: DateTime<Utc>,
    pub gone_at: Option<DateTime<Utc>>,
}

/// An Access user as it was listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of AccessUserRow")]
pub struct AccessUserSeen {
    pub id: String,
    pub person_id: Option<PersonId>,
    pub email: String,
    pub name: Option<String>,
    pub access_seat: Option<bool>,
    pub gateway_seat: Option<bool>,
    pub active_device_count: Option<i64>,
    pub last_login_at: Option<DateTime<Utc>>,
    pub raw: String,
}

/// A Zero Trust user.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "as Cloudflare names them; seen_at and gone_at as for members"
)]
pub struct AccessUserRow {
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    pub id: String,
    pub person_id: Option<String>,
    pub email: String,
    pub name: Option<String>,
    pub access_seat: Option<bool>,
    pub gateway_seat: Option<bool>,
    pub active_device_count: Option<i64>,
    pub last_login_at: Option<DateTime<Utc>>,
    pub raw: String,
    pub seen_at: DateTime<Utc>,
    pub gone_at: Option<DateTime<Utc>>,
}

/// An Access group as it was listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of AccessGroupRow")]
pub struct AccessGroupSeen {
    pub id: String,
    pub name: String,
    pub raw: String,
}

/// An Access group: its rules are in `raw`, with every key that Cloudflare gave.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "as Cloudflare names them; seen_at and gone_at as for members"
)]
pub struct AccessGroupRow {
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    pub id: String,
    pub name: String,
    pub raw: String,
    pub seen_at: DateTime<Utc>,
    pub gone_at: Option<DateTime<Utc>>,
}

/// A grant as it was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of GrantRow")]
pub struct GrantSeen {
    pub entitlement_id: String,
    pub entitlement_name: String,
    pub person_id: PersonId,
    pub certainty: Certainty,
    pub via: String,
}

/// That a person holds something, and through which rule.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct GrantRow {
    /// In which account.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// What kind of thing is held.
    #[sqlx(try_from = "String")]
    pub kind: GrantKind,
    /// The group's or role's id.
    pub entitlement_id: String,
    /// Its name.
    pub entitlement_name: String,
    /// Who holds it.
    #[sqlx(try_from = "String")]
    pub person_id: PersonId,
    /// Their address.
    pub email: String,
    /// Whether they do.
    #[sqlx(try_from = "String")]
    pub certainty: Certainty,
    /// The chain of rules, as a JSON array of sentences from the entitlement down to the deciding selector.
    pub via: String,
    /// When this was worked out.
    pub computed_at: DateTime<Utc>,
}

/// Which grants to list.
#[derive(Debug, Clone, Default)]
pub struct GrantFilter {
    /// Only this kind.
    pub kind: Option<GrantKind>,
    /// Only of this person.
    pub person_id: Option<PersonId>,
    /// Only of this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only this group or role.
    pub entitlement_id: Option<String>,
    /// Only after this one: e-mail, connection, kind, entitlement of the last row of the page before.
    pub after: Option<(String, String, String, String)>,
    /// At most this many.
    pub limit: i64,
}

/// Everything this file sends to either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    MEMBER_GONE,
    ROLE_GONE,
    ACCESS_USER_GONE,
    ACCESS_GROUP_GONE,
    MEMBER_LIVE,
    ROLE_LIVE,
    ACCESS_USER_LIVE,
    ACCESS_GROUP_LIVE,
    MEMBER_LIST,
    ROLE_LIST,
    ACCESS_USER_LIST,
    ACCESS_GROUP_LIST,
    MEMBER_BY_PERSON,
    ACCESS_USER_BY_PERSON,
    GRANT_KEYS,
    GRANT_DELETE,
    GRANT_LIST,
];

const MEMBER_GONE: &str = "
    UPDATE member SET gone_at = $2 WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2 RETURNING id";
const ROLE_GONE: &str = "
    UPDATE role SET gone_at = $2 WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2 RETURNING id";
const ACCESS_USER_GONE: &str = "
    UPDATE access_user SET gone_at = $2
    WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2 RETURNING id";
const ACCESS_GROUP_GONE: &str = "
    UPDATE access_group SET gone_at = $2
    WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2 RETURNING id";
const MEMBER_LIVE: &str = "SELECT COUNT(*) FROM member WHERE connection_id = $1 AND gone_at IS NULL";
const ROLE_LIVE: &str = "SELECT COUNT(*) FROM role WHERE connection_id = $1 AND gone_at IS NULL";
const ACCESS_USER_LIVE: &str =
    "SELECT COUNT(*) FROM access_user WHERE connection_id = $1 AND gone_at IS NULL";
const ACCESS_GROUP_LIVE: &str =
    "SELECT COUNT(*) FROM access_group WHERE connection_id = $1 AND gone_at IS NULL";
const MEMBER_LIST: &str = "
    SELECT * FROM member
    WHERE gone_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR connection_id = $1)
      AND (connection_id, id) > ($2, $3)
    ORDER BY connection_id, id LIMIT $4";
const ROLE_LIST: &str = "
    SELECT * FROM role
    WHERE gone_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR connection_id = $1)
      AND (connection_id, id) > ($2, $3)
    ORDER BY connection_id, id LIMIT $4";
const ACCESS_USER_LIST: &str = "
    SELECT * FROM access_user
    WHERE gone_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR connection_id = $1)
      AND (connection_id, id) > ($2, $3)
    ORDER BY connection_id, id LIMIT $4";
const ACCESS_GROUP_LIST: &str = "
    SELECT * FROM access_group
    WHERE gone_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR connection_id = $1)
      AND (connection_id, id) > ($2, $3)
    ORDER BY connection_id, id LIMIT $4";
const MEMBER_BY_PERSON: &str = "
    SELECT * FROM member WHERE person_id = $1 AND gone_at IS NULL ORDER BY connection_id, id LIMIT 1000";
const ACCESS_USER_BY_PERSON: &str = "
    SELECT * FROM access_user WHERE person_id = $1 AND gone_at IS NULL ORDER BY connection_id, id LIMIT 1000";
const GRANT_KEYS: &str = "
    SELECT entitlement_id, person_id, entitlement_name, certainty, via FROM entitlement_grant
    WHERE connection_id = $1 AND kind = $2";
const GRANT_DELETE: &str = "
    DELETE FROM entitlement_grant
    WHERE connection_id = $1 AND kind = $2 AND entitlement_id = $3 AND person_id = $4";
const GRANT_LIST: &str = "
    SELECT g.connection_id, g.kind, g.entitlement_id, g.entitlement_name, g.person_id, p.email, g.certainty,
        g.via, g.computed_at
    FROM entitlement_grant g JOIN person p ON p.id = g.person_id
    WHERE (CAST($1 AS TEXT) IS NULL OR g.kind = $1)
      AND (CAST($2 AS TEXT) IS NULL OR g.person_id = $2)
      AND (CAST($3 AS TEXT) IS NULL OR g.connection_id = $3)
      AND (CAST($4 AS TEXT) IS NULL OR g.entitlement_id = $4)
      AND (p.email, g.connection_id, g.kind, g.entitlement_id) > ($5, $6, $7, $8)
    ORDER BY p.email, g.connection_id, g.kind, g.entitlement_id LIMIT $9";

pub(crate) const MEMBER_HEAD: &str = "
    INSERT INTO member (connection_id, id, person_id, email, name, status, two_factor, roles, raw, seen_at) ";
pub(crate) const MEMBER_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET person_id = excluded.person_id, email = excluded.email,
        name = excluded.name, status = excluded.status, two_factor = excluded.two_factor,
        roles = excluded.roles, raw = excluded.raw, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const ROLE_HEAD: &str = "INSERT INTO role (connection_id, id, name, description, raw, seen_at) ";
pub(crate) const ROLE_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET name = excluded.name, description = excluded.description,
        raw = excluded.raw, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const ACCESS_USER_HEAD: &str = "
    INSERT INTO access_user (connection_id, id, person_id, email, name, access_seat, gateway_seat,
        active_device_count, last_login_at, raw, seen_at) ";
pub(crate) const ACCESS_USER_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET person_id = excluded.person_id, email = excluded.email,
        name = excluded.name, access_seat = excluded.access_seat, gateway_seat = excluded.gateway_seat,
        active_device_count = excluded.active_device_count, last_login_at = excluded.last_login_at,
        raw = excluded.raw, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const ACCESS_GROUP_HEAD: &str =
    "INSERT INTO access_group (connection_id, id, name, raw, seen_at) ";
pub(crate) const ACCESS_GROUP_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET name = excluded.name, raw = excluded.raw,
        seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const GRANT_HEAD: &str = "
    INSERT INTO entitlement_grant (connection_id, kind, entitlement_id, person_id, entitlement_name, certainty,
        via, computed_at) ";
pub(crate) const GRANT_TAIL: &str = "
    ON CONFLICT (connection_id, kind, entitlement_id, person_id) DO UPDATE SET
        entitlement_name = excluded.entitlement_name, certainty = excluded.certainty, via = excluded.via,
        computed_at = excluded.computed_at";

fn kept(text: Option<&String>) -> Option<String> {
    text.map(|text| storable(text).into_owned())
}

macro_rules! listed_things {
    ($upsert:ident, $gone:ident, $live:ident, $list:ident, $seen:ty, $row:ty, $head:expr, $tail:expr,
     $gone_sql:expr, $live_sql:expr, $list_sql:expr, |$b:ident, $s:ident| $bind:expr) => {
        /// Writes what one page listed.
        pub async fn $upsert(
            &self,
            connection: &ConnectionId,
            seen: &[$seen],
            now: DateTime<Utc>,
        ) -> Result<(), StoreError> {
            for part in seen.chunks(ROWS_PER_STATEMENT) {
                in_transaction!(self, tx => {
                    let mut query = QueryBuilder::new($head);
                    query.push_values(part, |mut $b, $s| {
                        $b.push_bind(connection.0.clone());
                        $bind;
                        $b.push_bind(now);
                    });
                    query.push($tail);
                    query.build().execute(&mut *tx).await?;
                });
            }
            Ok(())
        }

        /// Marks as gone what the sync begun at `started` did not see; answers their ids.
        pub async fn $gone(
            &self,
            connection: &ConnectionId,
            started: DateTime<Utc>,
        ) -> Result<Vec<String>, StoreError> {
            Ok(on_engine!(self, pool => {
                sqlx::query_scalar($gone_sql).bind(&connection.0).bind(started).fetch_all(pool).await?
            }))
        }

        /// How many are not gone.
        pub async fn $live(&self, connection: &ConnectionId) -> Result<i64, StoreError> {
            Ok(on_reader!(self, pool => {
                sqlx::query_scalar($live_sql).bind(&connection.0).fetch_one(pool).await?
            }))
        }

        /// Those that are not gone, after `(connection, id)`, by connection and id.
        pub async fn $list(
            &self,
            connection: Option<&ConnectionId>,
            after: Option<(&str, &str)>,
            limit: i64,
        ) -> Result<Vec<$row>, StoreError> {
            let (after_connection, after_id) = after.unwrap_or(("", ""));
            Ok(on_reader!(self, pool => {
                sqlx::query_as($list_sql)
                    .bind(connection.map(ConnectionId::as_str)).bind(after_connection).bind(after_id)
                    .bind(bounded(limit)).fetch_all(pool).await?
            }))
        }
    };
}

impl Store {
    listed_things!(
        member_upsert,
        member_mark_gone,
        member_live,
        member_list,
        MemberSeen,
        MemberRow,
        MEMBER_HEAD,
        MEMBER_TAIL,
        MEMBER_GONE,
        MEMBER_LIVE,
        MEMBER_LIST,
        |row, seen| {
            row.push_bind(&seen.id)
                .push_bind(seen.person_id.as_ref().map(PersonId::as_str))
                .push_bind(storable(&seen.email).into_owned())
                .push_bind(kept(seen.name.as_ref()))
                .push_bind(&seen.status)
                .push_bind(seen.two_factor)
                .push_bind(&seen.roles)
                .push_bind(&seen.raw);
        }
    );
    listed_things!(
        role_upsert,
        role_mark_gone,
        role_live,
        role_list,
        RoleSeen,
        RoleRow,
        ROLE_HEAD,
        ROLE_TAIL,
        ROLE_GONE,
        ROLE_LIVE,
        ROLE_LIST,
        |row, seen| {
            row.push_bind(&seen.id)
                .push_bind(storable(&seen.name).into_owned())
                .push_bind(kept(seen.description.as_ref()))
                .push_bind(&seen.raw);
        }
    );
    listed_things!(
        access_user_upsert,
        access_user_mark_gone,
        access_user_live,
        access_user_list,
        AccessUserSeen,
        AccessUserRow,
        ACCESS_USER_HEAD,
        ACCESS_USER_TAIL,
        ACCESS_USER_GONE,
        ACCESS_USER_LIVE,
        ACCESS_USER_LIST,
        |row, seen| {
            row.push_bind(&seen.id)
                .push_bind(seen.person_id.as_ref().map(PersonId::as_str))
                .push_bind(storable(&seen.email).into_owned())
                .push_bind(kept(seen.name.as_ref()))
                .push_bind(seen.access_seat)
                .push_bind(seen.gateway_seat)
                .push_bind(seen.active_device_count)
                .push_bind(seen.last_login_at)
                .push_bind(&seen.raw);
        }
    );
    listed_things!(
        access_group_upsert,
        access_group_mark_gone,
        access_group_live,
        access_group_list,
        AccessGroupSeen,
        AccessGroupRow,
        ACCESS_GROUP_HEAD,
        ACCESS_GROUP_TAIL,
        ACCESS_GROUP_GONE,
        ACCESS_GROUP_LIVE,
        ACCESS_GROUP_LIST,
        |row, seen| {
            row.push_bind(&seen.id)
                .push_bind(storable(&seen.name).into_owned())
                .push_bind(&seen.raw);
        }
    );

    /// The memberships of one person.
    pub async fn member_by_person(&self, person: &PersonId) -> Result<Vec<MemberRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(MEMBER_BY_PERSON).bind(&person.0).fetch_all(pool).await?))
    }

    /// The Access users of one person.
    pub async fn access_user_by_person(&self, person: &PersonId) -> Result<Vec<AccessUserRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(ACCESS_USER_BY_PERSON).bind(&person.0).fetch_all(pool).await?
        }))
    }

    /// Replaces the grants of one kind in one connection; rows that stay the same are not written.
    /// Answers how many were added or changed, and how many removed.
    pub async fn grant_replace(
        &self,
        connection: &ConnectionId,
        kind: GrantKind,
        grants: &[GrantSeen],
        now: DateTime<Utc>,
    ) -> Result<(usize, usize), StoreError> {
        let counts = in_transaction!(self, tx => {
            let rows: Vec<(String, String, String, String, String)> = sqlx::query_as(GRANT_KEYS)
                .bind(&connection.0).bind(kind.as_str()).fetch_all(&mut *tx).await?;
            let mut before: HashMap<(String, String), (String, String, String)> = rows
                .into_iter()
                .map(|(entitlement, person, name, certainty, via)| ((entitlement, person), (name, certainty, via)))
                .collect();
            let mut changed: Vec<&GrantSeen> = Vec::new();
            for grant in grants {
                let key = (grant.entitlement_id.clone(), grant.person_id.0.clone());
                let same = before.remove(&key).is_some_and(|(name, certainty, via)| {
                    name == grant.entitlement_name && certainty == grant.certainty.as_str() && via == grant.via
                });
                if !same {
                    changed.push(grant);
                }
            }
            for part in changed.chunks(ROWS_PER_STATEMENT) {
                let mut query = QueryBuilder::new(GRANT_HEAD);
                query.push_values(part, |mut row, grant| {
                    row.push_bind(&connection.0).push_bind(kind.as_str()).push_bind(&grant.entitlement_id)
                        .push_bind(&grant.person_id.0).push_bind(&grant.entitlement_name)
                        .push_bind(grant.certainty.as_str()).push_bind(&grant.via).push_bind(now);
                });
                query.push(GRANT_TAIL);
                query.build().execute(&mut *tx).await?;
            }
            for (entitlement, person) in before.keys() {
                sqlx::query(GRANT_DELETE)
                    .bind(&connection.0).bind(kind.as_str()).bind(entitlement).bind(person)
                    .execute(&mut *tx).await?;
            }
            (changed.len(), before.len())
        });
        Ok(counts)
    }

    /// Grants by address, connection, kind and entitlement.
    pub async fn grant_list(&self, filter: &GrantFilter) -> Result<Vec<GrantRow>, StoreError> {
        let empty = (String::new(), String::new(), String::new(), String::new());
        let after = filter.after.as_ref().unwrap_or(&empty);
        Ok(on_reader!(self, pool => {
            sqlx::query_as(GRANT_LIST)
                .bind(filter.kind.map(GrantKind::as_str)).bind(filter.person_id.as_ref().map(PersonId::as_str))
                .bind(filter.connection_id.as_ref().map(ConnectionId::as_str))
                .bind(filter.entitlement_id.as_deref())
                .bind(&after.0).bind(&after.1).bind(&after.2).bind(&after.3).bind(bounded(filter.limit))
                .fetch_all(pool).await?
        }))
    }
}
