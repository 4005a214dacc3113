//! Additional addresses of a person, and merging two people.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use chrono::{DateTime, Utc};
use model::PersonId;

/// An alias: an additional address of a person.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PersonAliasRow {
    /// In lower case.
    pub address: String,
    /// The person.
    #[sqlx(try_from = "String")]
    pub person_id: PersonId,
    /// Their main address.
    pub email: String,
    /// Who added it: `csv`, `command line`, `token NAME`.
    pub source: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    SET,
    REMOVE,
    LIST,
    BY_PERSON,
    RISK,
    RISK_SET,
    MOVE_MEMBER,
    MOVE_USER,
    MOVE_DETECTION,
    MOVE_RISK,
    MOVE_SIGNAL,
    MOVE_MESSAGE,
    MOVE_JOURNAL,
    MOVE_ALIAS,
    DELETE,
];

const SET: &str = "
    INSERT INTO person_alias (address, person_id, source, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (address) DO UPDATE SET person_id = excluded.person_id, source = excluded.source,
        created_at = excluded.created_at";
const REMOVE: &str = "DELETE FROM person_alias WHERE address = $1";
const LIST: &str = "
    SELECT a.address, a.person_id, p.email, a.source, a.created_at
    FROM person_alias a JOIN person p ON p.id = a.person_id
    WHERE a.address > $1 ORDER BY a.address LIMIT $2";
const BY_PERSON: &str = "SELECT address FROM person_alias WHERE person_id = $1 ORDER BY address LIMIT 10000";
const RISK: &str = "SELECT risk_level, risk_since FROM person WHERE id = $1";
const RISK_SET: &str = "UPDATE person SET risk_level = $2, risk_since = $3, updated_at = $4 WHERE id = $1";
const MOVE_MEMBER: &str = "UPDATE member SET person_id = $2 WHERE person_id = $1";
const MOVE_USER: &str = "UPDATE access_user SET person_id = $2 WHERE person_id = $1";
const MOVE_DETECTION: &str = "UPDATE detection SET person_id = $2 WHERE person_id = $1";
const MOVE_RISK: &str = "UPDATE risk_change SET person_id = $2 WHERE person_id = $1";
const MOVE_SIGNAL: &str = "UPDATE signal SET person_id = $2 WHERE person_id = $1";
const MOVE_MESSAGE: &str = "UPDATE message SET person_id = $2 WHERE person_id = $1";
const MOVE_JOURNAL: &str = "UPDATE journal SET person_id = $2 WHERE person_id = $1";
const MOVE_ALIAS: &str = "UPDATE person_alias SET person_id = $2 WHERE person_id = $1";
const DELETE: &str = "DELETE FROM person WHERE id = $1";

impl Store {
    /// Adds an alias to a person.
    pub async fn person_alias_set(
        &self,
        address: &str,
        person: &PersonId,
        source: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(SET).bind(storable(address).as_ref()).bind(&person.0).bind(storable(source).as_ref())
                .bind(now).execute(pool).await?;
        });
        self.access_revision_bump().await
    }

    /// Removes an alias; `false` if nobody had it.
    pub async fn person_alias_remove(&self, address: &str) -> Result<bool, StoreError> {
        let removed = on_engine!(self, pool => {
            sqlx::query(REMOVE).bind(storable(address).as_ref()).execute(pool).await?.rows_affected()
        });
        self.access_revision_bump().await?;
        Ok(removed > 0)
    }

    /// Aliases after `after`.
    pub async fn person_alias_list(
        &self,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<PersonAliasRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST).bind(after.unwrap_or_default()).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// The aliases of one person.
    pub async fn person_alias_by_person(&self, person: &PersonId) -> Result<Vec<String>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_scalar(BY_PERSON).bind(&person.0).fetch_all(pool).await?))
    }

    /// Merges two people: moves everything of `from` to `into`, with the higher of the two risk levels.
    pub async fn person_merge(
        &self,
        from: &PersonId,
        into: &PersonId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let mut levels: Vec<(String, Option<DateTime<Utc>>)> = Vec::new();
            for id in [into, from] {
                levels.extend(sqlx::query_as(RISK).bind(&id.0).fetch_optional(&mut *tx).await?);
            }
            let rank = |level: &str| level.parse::<model::RiskLevel>().ok();
            let highest = levels.iter().reduce(|a, b| if rank(&b.0) > rank(&a.0) { b } else { a });
            if let Some((level, since)) = highest {
                sqlx::query(RISK_SET).bind(&into.0).bind(level).bind(since).bind(now).execute(&mut *tx).await?;
            }
            for statement in [
                MOVE_MEMBER, MOVE_USER, MOVE_DETECTION, MOVE_RISK, MOVE_SIGNAL, MOVE_MESSAGE,
                MOVE_JOURNAL, MOVE_ALIAS,
            ] {
                sqlx::query(statement).bind(&from.0).bind(&into.0).execute(&mut *tx).await?;
            }
            sqlx::query(DELETE).bind(&from.0).execute(&mut *tx).await?;
        });
        self.access_revision_bump().await
    }
}
