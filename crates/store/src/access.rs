//! The lists that Cloudflare returns: members, roles, Access users, Access groups.
//!
//! Each row is written with the start time of its sync. Rows that a complete sync did not write are gone. Rows are
//! never deleted: `gone_at` is set, and cleared when the object is listed again.

use crate::engine::{
    Store, StoreError, bounded, in_transaction, json_columns, on_engine, on_reader, storable,
};
use crate::sync_change::{self, Known, Listed, NewChange, Touched};
use chrono::{DateTime, Utc};
use model::{ConnectionId, PersonId};
use sqlx::QueryBuilder;

/// Rows in one statement. With ten columns, this is far below both engines' limit of bound values.
const ROWS_PER_STATEMENT: usize = 500;

/// A member as listed.
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
    pub policies: String,
    pub raw: String,
    pub fingerprint: String,
}

/// Someone who can log in to an account's dashboard.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MemberRow {
    /// The connection that lists this member.
    #[sqlx(try_from = "String")]
    pub connection_id: ConnectionId,
    /// The membership's id, not the user's.
    pub id: String,
    /// The person with this address.
    pub person_id: Option<String>,
    /// As Cloudflare writes it.
    pub email: String,
    /// First and last name.
    pub name: Option<String>,
    /// `accepted`, `pending`, or another status from Cloudflare.
    pub status: String,
    /// Whether the second factor is enabled; `None` if unknown.
    pub two_factor: Option<bool>,
    /// A JSON array of `{"id","name"}`.
    pub roles: String,
    /// A JSON array of policies as Cloudflare returns them. A member has either policies or roles.
    pub policies: String,
    /// The whole object as Cloudflare returned it.
    pub raw: String,
    /// When a sync last saw it.
    pub seen_at: DateTime<Utc>,
    /// When a complete listing no longer included it.
    pub gone_at: Option<DateTime<Utc>>,
}

/// A role as listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of RoleRow")]
pub struct RoleSeen {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub raw: String,
    pub fingerprint: String,
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

/// An Access user as listed.
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
    pub fingerprint: String,
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

/// An Access group as listed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of AccessGroupRow")]
pub struct AccessGroupSeen {
    pub id: String,
    pub name: String,
    pub raw: String,
    pub fingerprint: String,
}

/// An Access group. Its rules are in `raw`, with every key that Cloudflare returned.
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

json_columns! {
    MemberRow in "member" by |row| format!("{} of connection {}", row.id, row.connection_id);
    /// The roles, each with `id` and `name`.
    roles_json = roles: Vec<serde_json::Value>;
    /// The policies as Cloudflare returns them.
    policies_json = policies: Vec<serde_json::Value>;
    /// The whole object as Cloudflare returned it.
    raw_json = raw: serde_json::Value;
}
json_columns! {
    RoleRow in "role" by |row| format!("{} of connection {}", row.id, row.connection_id);
    /// The whole object as Cloudflare returned it.
    raw_json = raw: serde_json::Value;
}
json_columns! {
    AccessUserRow in "access_user" by |row| format!("{} of connection {}", row.id, row.connection_id);
    /// The whole object as Cloudflare returned it.
    raw_json = raw: serde_json::Value;
}
json_columns! {
    AccessGroupRow in "access_group" by |row| format!("{} of connection {}", row.id, row.connection_id);
    /// The whole object as Cloudflare returned it.
    raw_json = raw: serde_json::Value;
}

macro_rules! listed {
    ($($seen:ident by $name:ident),+) => {
        $(impl Listed for $seen {
            fn id(&self) -> &str {
                &self.id
            }
            fn name(&self) -> &str {
                &self.$name
            }
            fn raw(&self) -> &str {
                &self.raw
            }
            fn fingerprint(&self) -> &str {
                &self.fingerprint
            }
        })+
    };
}

listed!(MemberSeen by email, RoleSeen by name, AccessUserSeen by email, AccessGroupSeen by name);

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    MEMBER_GONE,
    ROLE_GONE,
    ACCESS_USER_GONE,
    ACCESS_GROUP_GONE,
    MEMBER_LIVE,
    MEMBER_FRESH,
    ROLE_LIVE,
    ROLE_FRESH,
    ACCESS_USER_LIVE,
    ACCESS_USER_FRESH,
    ACCESS_GROUP_LIVE,
    ACCESS_GROUP_FRESH,
    MEMBER_LIST,
    ROLE_LIST,
    ACCESS_USER_LIST,
    ACCESS_GROUP_LIST,
    MEMBER_BY_PERSON,
    ACCESS_USER_BY_PERSON,
    MEMBER_FORGET,
    ACCESS_USER_FORGET,
    ACCESS_GROUP_GET,
    ACCESS_GROUP_BY_NAME,
    ROLE_GET,
    ROLE_BY_NAME,
    PERSON_BRIEF,
    MEMBER_BRIEF,
    ACCESS_USER_BRIEF,
];

const MEMBER_GONE: &str = "
    UPDATE member SET gone_at = $2 WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2
    RETURNING id, email, raw";
const ROLE_GONE: &str = "
    UPDATE role SET gone_at = $2 WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2
    RETURNING id, name, raw";
const ACCESS_USER_GONE: &str = "
    UPDATE access_user SET gone_at = $2
    WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2
    RETURNING id, email, raw";
const ACCESS_GROUP_GONE: &str = "
    UPDATE access_group SET gone_at = $2
    WHERE connection_id = $1 AND gone_at IS NULL AND seen_at < $2
    RETURNING id, name, raw";
const MEMBER_LIVE: &str = "SELECT COUNT(*) FROM member WHERE connection_id = $1 AND gone_at IS NULL";
const ROLE_LIVE: &str = "SELECT COUNT(*) FROM role WHERE connection_id = $1 AND gone_at IS NULL";
const ACCESS_USER_LIVE: &str =
    "SELECT COUNT(*) FROM access_user WHERE connection_id = $1 AND gone_at IS NULL";
const ACCESS_GROUP_LIVE: &str =
    "SELECT COUNT(*) FROM access_group WHERE connection_id = $1 AND gone_at IS NULL";
const MEMBER_FRESH: &str = "
    SELECT COUNT(*) FROM member WHERE connection_id = $1 AND gone_at IS NULL AND seen_at >= $2";
const ROLE_FRESH: &str = "
    SELECT COUNT(*) FROM role WHERE connection_id = $1 AND gone_at IS NULL AND seen_at >= $2";
const ACCESS_USER_FRESH: &str = "
    SELECT COUNT(*) FROM access_user WHERE connection_id = $1 AND gone_at IS NULL AND seen_at >= $2";
const ACCESS_GROUP_FRESH: &str = "
    SELECT COUNT(*) FROM access_group WHERE connection_id = $1 AND gone_at IS NULL AND seen_at >= $2";
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
const MEMBER_FORGET: &str = "
    UPDATE member SET gone_at = $3 WHERE connection_id = $1 AND LOWER(email) = $2 AND gone_at IS NULL";
const ACCESS_USER_FORGET: &str = "
    UPDATE access_user SET gone_at = $3 WHERE connection_id = $1 AND LOWER(email) = $2 AND gone_at IS NULL";
const ACCESS_GROUP_GET: &str =
    "SELECT * FROM access_group WHERE connection_id = $1 AND id = $2 AND gone_at IS NULL";
// By an expression: SQLite would otherwise take the order from the primary key and read every group for it.
const ACCESS_GROUP_BY_NAME: &str = "
    SELECT * FROM access_group WHERE connection_id = $1 AND name = $2 AND gone_at IS NULL
    ORDER BY LOWER(id) LIMIT 100";
const ROLE_GET: &str = "SELECT * FROM role WHERE connection_id = $1 AND id = $2 AND gone_at IS NULL";
const ROLE_BY_NAME: &str = "
    SELECT * FROM role WHERE connection_id = $1 AND name = $2 AND gone_at IS NULL ORDER BY LOWER(id) LIMIT 100";
const MEMBER_BRIEF: &str = "
    SELECT connection_id, id, person_id, email, name, status, two_factor, roles, policies, '' AS raw, seen_at,
        gone_at
    FROM member WHERE gone_at IS NULL AND (connection_id, id) > ($1, $2) ORDER BY connection_id, id LIMIT $3";
const ACCESS_USER_BRIEF: &str = "
    SELECT connection_id, id, person_id, email, name, access_seat, gateway_seat, active_device_count,
        last_login_at, '' AS raw, seen_at, gone_at
    FROM access_user WHERE gone_at IS NULL AND (connection_id, id) > ($1, $2)
    ORDER BY connection_id, id LIMIT $3";
const PERSON_BRIEF: &str = "
    SELECT id, email FROM person WHERE email > $1 ORDER BY email LIMIT $2";

pub(crate) const MEMBER_HEAD: &str = "
    INSERT INTO member (connection_id, id, person_id, email, name, status, two_factor, roles, policies, raw,
        fingerprint, seen_at) ";
pub(crate) const MEMBER_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET person_id = excluded.person_id, email = excluded.email,
        name = excluded.name, status = excluded.status, two_factor = excluded.two_factor,
        roles = excluded.roles, policies = excluded.policies, raw = excluded.raw,
        fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const ROLE_HEAD: &str =
    "INSERT INTO role (connection_id, id, name, description, raw, fingerprint, seen_at) ";
pub(crate) const ROLE_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET name = excluded.name, description = excluded.description,
        raw = excluded.raw, fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const ACCESS_USER_HEAD: &str = "
    INSERT INTO access_user (connection_id, id, person_id, email, name, access_seat, gateway_seat,
        active_device_count, last_login_at, raw, fingerprint, seen_at) ";
pub(crate) const ACCESS_USER_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET person_id = excluded.person_id, email = excluded.email,
        name = excluded.name, access_seat = excluded.access_seat, gateway_seat = excluded.gateway_seat,
        active_device_count = excluded.active_device_count, last_login_at = excluded.last_login_at,
        raw = excluded.raw, fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const ACCESS_GROUP_HEAD: &str =
    "INSERT INTO access_group (connection_id, id, name, raw, fingerprint, seen_at) ";
pub(crate) const ACCESS_GROUP_TAIL: &str = "
    ON CONFLICT (connection_id, id) DO UPDATE SET name = excluded.name, raw = excluded.raw,
        fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, gone_at = NULL";
pub(crate) const MEMBER_RAW: &str = "SELECT id, raw FROM member WHERE connection_id = ";
pub(crate) const ROLE_RAW: &str = "SELECT id, raw FROM role WHERE connection_id = ";
pub(crate) const ACCESS_USER_RAW: &str = "SELECT id, raw FROM access_user WHERE connection_id = ";
pub(crate) const ACCESS_GROUP_RAW: &str = "SELECT id, raw FROM access_group WHERE connection_id = ";
pub(crate) const MEMBER_KNOWN: &str = "SELECT id, fingerprint, gone_at FROM member WHERE connection_id = ";
pub(crate) const ROLE_KNOWN: &str = "SELECT id, fingerprint, gone_at FROM role WHERE connection_id = ";
pub(crate) const ACCESS_USER_KNOWN: &str =
    "SELECT id, fingerprint, gone_at FROM access_user WHERE connection_id = ";
pub(crate) const ACCESS_GROUP_KNOWN: &str =
    "SELECT id, fingerprint, gone_at FROM access_group WHERE connection_id = ";

fn kept(text: Option<&String>) -> Option<String> {
    text.map(|text| storable(text).into_owned())
}

macro_rules! listed_things {
    ($kind:literal, $upsert:ident, $gone:ident, $live:ident, $fresh:ident, $list:ident, $seen:ty, $row:ty, $known:expr, $raw:expr, $head:expr, $tail:expr,
     $gone_sql:expr, $live_sql:expr, $fresh_sql:expr, $list_sql:expr, |$b:ident, $s:ident| $bind:expr) => {
        /// Stores the items of one page. With a run, also stores the differences.
        pub async fn $upsert(
            &self,
            connection: &ConnectionId,
            seen: &[$seen],
            run: Option<&str>,
            now: DateTime<Utc>,
        ) -> Result<Touched, StoreError> {
            let mut touched = Touched::default();
            for part in seen.chunks(ROWS_PER_STATEMENT) {
                let differences = in_transaction!(self, tx => {
                    let mut query = QueryBuilder::new($known);
                    query.push_bind(&connection.0).push(" AND id IN (");
                    let mut ids = query.separated(", ");
                    for thing in part {
                        ids.push_bind(&thing.id);
                    }
                    query.push(")");
                    let known: Vec<Known> = query.build_query_as().fetch_all(&mut *tx).await?;
                    let mut differences = sync_change::differences(part, known);
                    if run.is_some() {
                        let mut query = QueryBuilder::new($raw);
                        query.push_bind(&connection.0);
                        sync_change::befores!(tx, query, differences);
                    }
                    let mut query = QueryBuilder::new($head);
                    query.push_values(part, |mut $b, $s| {
                        $b.push_bind(connection.0.clone());
                        $bind;
                        $b.push_bind(&$s.fingerprint).push_bind(now);
                    });
                    query.push($tail);
                    query.build().execute(&mut *tx).await?;
                    if let Some(run) = run {
                        sync_change::changes_write!(tx, run, $kind, &differences, now);
                    }
                    differences
                });
                touched.count(&differences);
            }
            Ok(touched)
        }

        /// Marks as gone everything that the sync started at `started` did not see; returns the ids. With a run, also
        /// stores what is gone.
        pub async fn $gone(
            &self,
            connection: &ConnectionId,
            started: DateTime<Utc>,
            run: Option<&str>,
        ) -> Result<Vec<String>, StoreError> {
            let gone = in_transaction!(self, tx => {
                let gone: Vec<(String, String, String)> =
                    sqlx::query_as($gone_sql).bind(&connection.0).bind(started).fetch_all(&mut *tx).await?;
                if let Some(run) = run {
                    let removed: Vec<NewChange> = gone.iter().cloned().map(NewChange::removed).collect();
                    sync_change::changes_write!(tx, run, $kind, &removed, started);
                }
                gone
            });
            Ok(gone.into_iter().map(|(id, _, _)| id).collect())
        }

        /// The number of rows that are not gone.
        pub async fn $live(&self, connection: &ConnectionId) -> Result<i64, StoreError> {
            Ok(on_reader!(self, pool => {
                sqlx::query_scalar($live_sql).bind(&connection.0).fetch_one(pool).await?
            }))
        }

        /// The number of rows that a sync has seen since `started`.
        pub async fn $fresh(
            &self,
            connection: &ConnectionId,
            started: DateTime<Utc>,
        ) -> Result<i64, StoreError> {
            Ok(on_reader!(self, pool => {
                sqlx::query_scalar($fresh_sql).bind(&connection.0).bind(started).fetch_one(pool).await?
            }))
        }

        /// Rows that are not gone, after `(connection, id)`, ordered by connection and id.
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
        "members",
        member_upsert,
        member_mark_gone,
        member_live,
        member_fresh,
        member_list,
        MemberSeen,
        MemberRow,
        MEMBER_KNOWN,
        MEMBER_RAW,
        MEMBER_HEAD,
        MEMBER_TAIL,
        MEMBER_GONE,
        MEMBER_LIVE,
        MEMBER_FRESH,
        MEMBER_LIST,
        |row, seen| {
            row.push_bind(&seen.id)
                .push_bind(seen.person_id.as_ref().map(PersonId::as_str))
                .push_bind(storable(&seen.email).into_owned())
                .push_bind(kept(seen.name.as_ref()))
                .push_bind(&seen.status)
                .push_bind(seen.two_factor)
                .push_bind(&seen.roles)
                .push_bind(&seen.policies)
                .push_bind(&seen.raw);
        }
    );
    listed_things!(
        "roles",
        role_upsert,
        role_mark_gone,
        role_live,
        role_fresh,
        role_list,
        RoleSeen,
        RoleRow,
        ROLE_KNOWN,
        ROLE_RAW,
        ROLE_HEAD,
        ROLE_TAIL,
        ROLE_GONE,
        ROLE_LIVE,
        ROLE_FRESH,
        ROLE_LIST,
        |row, seen| {
            row.push_bind(&seen.id)
                .push_bind(storable(&seen.name).into_owned())
                .push_bind(kept(seen.description.as_ref()))
                .push_bind(&seen.raw);
        }
    );
    listed_things!(
        "access_users",
        access_user_upsert,
        access_user_mark_gone,
        access_user_live,
        access_user_fresh,
        access_user_list,
        AccessUserSeen,
        AccessUserRow,
        ACCESS_USER_KNOWN,
        ACCESS_USER_RAW,
        ACCESS_USER_HEAD,
        ACCESS_USER_TAIL,
        ACCESS_USER_GONE,
        ACCESS_USER_LIVE,
        ACCESS_USER_FRESH,
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
        "access_groups",
        access_group_upsert,
        access_group_mark_gone,
        access_group_live,
        access_group_fresh,
        access_group_list,
        AccessGroupSeen,
        AccessGroupRow,
        ACCESS_GROUP_KNOWN,
        ACCESS_GROUP_RAW,
        ACCESS_GROUP_HEAD,
        ACCESS_GROUP_TAIL,
        ACCESS_GROUP_GONE,
        ACCESS_GROUP_LIVE,
        ACCESS_GROUP_FRESH,
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

    /// Members of every connection, without Cloudflare's objects, after `(connection, id)`.
    pub async fn member_brief(
        &self,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let (after_connection, after_id) = after.unwrap_or(("", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(MEMBER_BRIEF).bind(after_connection).bind(after_id).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }

    /// The same for Access users.
    pub async fn access_user_brief(
        &self,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<AccessUserRow>, StoreError> {
        let (after_connection, after_id) = after.unwrap_or(("", ""));
        Ok(on_reader!(self, pool => {
            sqlx::query_as(ACCESS_USER_BRIEF).bind(after_connection).bind(after_id).bind(bounded(limit))
                .fetch_all(pool).await?
        }))
    }

    /// Marks the memberships of an address (in lower case) as gone, because Cloudflare no longer has them.
    pub async fn member_forget(
        &self,
        connection: &ConnectionId,
        email: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(MEMBER_FORGET).bind(&connection.0).bind(email).bind(now).execute(pool).await?;
        });
        Ok(())
    }

    /// The same for Access users.
    pub async fn access_user_forget(
        &self,
        connection: &ConnectionId,
        email: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(ACCESS_USER_FORGET).bind(&connection.0).bind(email).bind(now).execute(pool).await?;
        });
        Ok(())
    }

    /// One Access group that is not gone.
    pub async fn access_group_get(
        &self,
        connection: &ConnectionId,
        id: &str,
    ) -> Result<Option<AccessGroupRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(ACCESS_GROUP_GET).bind(&connection.0).bind(id).fetch_optional(pool).await?
        }))
    }

    /// The Access groups with this exact name. Cloudflare allows several with the same name.
    pub async fn access_group_by_name(
        &self,
        connection: &ConnectionId,
        name: &str,
    ) -> Result<Vec<AccessGroupRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(ACCESS_GROUP_BY_NAME).bind(&connection.0).bind(name).fetch_all(pool).await?
        }))
    }

    /// One role that is not gone.
    pub async fn role_get(&self, connection: &ConnectionId, id: &str) -> Result<Option<RoleRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(ROLE_GET).bind(&connection.0).bind(id).fetch_optional(pool).await?
        }))
    }

    /// The roles with this exact name.
    pub async fn role_by_name(
        &self,
        connection: &ConnectionId,
        name: &str,
    ) -> Result<Vec<RoleRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(ROLE_BY_NAME).bind(&connection.0).bind(name).fetch_all(pool).await?
        }))
    }

    /// Every person with their address, after the address `after`.
    pub async fn person_brief(&self, after: &str, limit: i64) -> Result<Vec<(PersonId, String)>, StoreError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as(PERSON_BRIEF).bind(after).bind(bounded(limit)).fetch_all(pool).await?
        });
        Ok(rows
            .into_iter()
            .map(|(id, email)| (PersonId(id), email))
            .collect())
    }
}
