//! People, joined across all connections by address.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use chrono::{DateTime, Utc};
use model::{PersonId, RiskLevel};
use sqlx::QueryBuilder;
use std::collections::HashMap;

/// One human or service across all connections.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PersonRow {
    /// Flareward's id.
    #[sqlx(try_from = "String")]
    pub id: PersonId,
    /// The address that joins the lists, in lower case; unique.
    pub email: String,
    /// A name, if a list has one.
    pub name: Option<String>,
    /// The highest level triggered since the last reset.
    #[sqlx(try_from = "String")]
    pub risk_level: RiskLevel,
    /// Since when the person has that level.
    pub risk_since: Option<DateTime<Utc>>,
    /// When the level was last reset.
    pub risk_reset_at: Option<DateTime<Utc>>,
    /// When the person was first seen.
    pub created_at: DateTime<Utc>,
    /// When anything last changed.
    pub updated_at: DateTime<Utc>,
}

/// An address in a list of a connection.
#[derive(Debug, Clone)]
pub struct PersonSeen {
    /// The id for a new person, if nobody has this address yet.
    pub new_id: PersonId,
    /// In lower case, without surrounding whitespace.
    pub email: String,
    /// A name, if the list has one.
    pub name: Option<String>,
}

/// Which people to list.
#[derive(Debug, Clone, Default)]
pub struct PersonFilter {
    /// Part of the address or name; ignores case.
    pub search: Option<String>,
    /// Only with this level.
    pub risk_level: Option<RiskLevel>,
    /// Only addresses after this one: the last of the previous page.
    pub after_email: Option<String>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[GET, BY_EMAIL, LIST, COUNT];
/// The start of the statement; a builder adds the rows.
pub(crate) const UPSERT_HEAD: &str =
    "INSERT INTO person (id, email, name, risk_level, created_at, updated_at) ";
pub(crate) const UPSERT_TAIL: &str = "
    ON CONFLICT (email) DO UPDATE SET name = COALESCE(excluded.name, person.name)
    RETURNING id, email";

const GET: &str = "SELECT * FROM person WHERE id = $1";
const BY_EMAIL: &str = "
    SELECT p.* FROM person p WHERE p.email = $1
    UNION SELECT p.* FROM person p JOIN person_alias a ON a.person_id = p.id WHERE a.address = $1
    LIMIT 1";
const LIST: &str = "
    SELECT * FROM person
    WHERE (CAST($1 AS TEXT) IS NULL OR email > $1)
      AND (CAST($2 AS TEXT) IS NULL OR risk_level = $2)
      AND (CAST($3 AS TEXT) IS NULL OR LOWER(email) LIKE $3 ESCAPE '!' OR LOWER(name) LIKE $3 ESCAPE '!')
    ORDER BY email LIMIT $4";
const COUNT: &str = "SELECT COUNT(*) FROM person";
pub(crate) const ALIAS_HEAD: &str = "SELECT address, person_id FROM person_alias WHERE address IN ";
pub(crate) const GET_MANY_HEAD: &str = "SELECT * FROM person WHERE id IN (";
pub(crate) const FIND_HEAD: &str = "SELECT email, id FROM person WHERE email IN ";

/// The pattern that finds `text` anywhere; LIKE's special characters in it are literal.
pub(crate) fn like_anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

impl Store {
    /// Creates a person for every address that has none; returns each address's person.
    pub async fn person_ensure(
        &self,
        seen: &[PersonSeen],
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, PersonId>, StoreError> {
        let mut sorted: Vec<&PersonSeen> = seen.iter().collect();
        // One order for everyone: two syncs that meet on PostgreSQL would otherwise wait for each other.
        sorted.sort_by(|a, b| a.email.cmp(&b.email));
        sorted.dedup_by(|a, b| a.email == b.email);
        let addresses: Vec<String> = sorted.iter().map(|person| person.email.clone()).collect();
        let mut found = self.person_by_alias(&addresses).await?;
        sorted.retain(|person| !found.contains_key(&person.email));
        for part in sorted.chunks(500) {
            in_transaction!(self, tx => {
                let mut query = QueryBuilder::new(UPSERT_HEAD);
                query.push_values(part, |mut row, person| {
                    row.push_bind(&person.new_id.0)
                        .push_bind(storable(&person.email).into_owned())
                        .push_bind(person.name.as_deref().map(|name| storable(name).into_owned()))
                        .push_bind(RiskLevel::Unscored.as_str())
                        .push_bind(now)
                        .push_bind(now);
                });
                query.push(UPSERT_TAIL);
                let rows: Vec<(String, String)> = query.build_query_as().fetch_all(&mut *tx).await?;
                found.extend(rows.into_iter().map(|(id, email)| (email, PersonId(id))));
            });
        }
        Ok(found)
    }

    /// One person.
    pub async fn person_get(&self, id: &PersonId) -> Result<Option<PersonRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(GET).bind(&id.0).fetch_optional(pool).await?))
    }

    /// The people among these ids, by id.
    pub async fn person_get_many(&self, ids: &[String]) -> Result<HashMap<String, PersonRow>, StoreError> {
        let mut all = HashMap::new();
        for some in ids.chunks(500) {
            let rows: Vec<PersonRow> = on_reader!(self, pool => {
                let mut query = QueryBuilder::new(GET_MANY_HEAD);
                let mut list = query.separated(", ");
                for id in some {
                    list.push_bind(id);
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            all.extend(rows.into_iter().map(|row| (row.id.0.clone(), row)));
        }
        Ok(all)
    }

    /// The person with this main address or alias, which must be in lower case.
    pub async fn person_by_email(&self, email: &str) -> Result<Option<PersonRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(BY_EMAIL).bind(email).fetch_optional(pool).await?))
    }

    /// People, ordered by address.
    pub async fn person_list(&self, filter: &PersonFilter) -> Result<Vec<PersonRow>, StoreError> {
        let search = filter.search.as_deref().map(like_anywhere);
        Ok(on_reader!(self, pool => {
            sqlx::query_as(LIST)
                .bind(filter.after_email.as_deref()).bind(filter.risk_level.map(RiskLevel::as_str))
                .bind(search).bind(bounded(filter.limit))
                .fetch_all(pool).await?
        }))
    }

    /// The number of people.
    pub async fn person_count(&self) -> Result<i64, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_scalar(COUNT).fetch_one(pool).await?))
    }

    /// The people with these aliases.
    async fn person_by_alias(&self, addresses: &[String]) -> Result<HashMap<String, PersonId>, StoreError> {
        let mut found = HashMap::new();
        for part in addresses.chunks(500) {
            let rows: Vec<(String, String)> = on_engine!(self, pool => {
                let mut query = QueryBuilder::new(ALIAS_HEAD);
                query.push("(");
                let mut list = query.separated(", ");
                for address in part {
                    list.push_bind(storable(address).into_owned());
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            found.extend(rows.into_iter().map(|(address, id)| (address, PersonId(id))));
        }
        Ok(found)
    }

    /// The people with these addresses, which must be in lower case. Unknown addresses are left out.
    pub async fn person_find(&self, emails: &[String]) -> Result<HashMap<String, PersonId>, StoreError> {
        let mut found = self.person_by_alias(emails).await?;
        for part in emails.chunks(500) {
            let rows: Vec<(String, String)> = on_engine!(self, pool => {
                let mut query = QueryBuilder::new(FIND_HEAD);
                query.push("(");
                let mut list = query.separated(", ");
                for email in part {
                    list.push_bind(storable(email).into_owned());
                }
                query.push(")");
                query.build_query_as().fetch_all(pool).await?
            });
            found.extend(rows.into_iter().map(|(email, id)| (email, PersonId(id))));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_search_takes_percent_and_underscore_literally() {
        assert_eq!(super::like_anywhere("A_b%"), "%a!_b!%%");
    }
}
