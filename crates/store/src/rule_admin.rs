//! An organisation's configuration of rules: modes, its own documents with versions, lists; and the matches of rules in
//! test mode.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use chrono::{DateTime, Utc};

/// The mode of a rule, if it is not enabled normally.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "the rule's id, `on`, `test` or `off`, when and by whom"
)]
pub struct RuleModeRow {
    pub rule_id: String,
    pub mode: String,
    pub set_at: DateTime<Utc>,
    pub set_by: String,
}

/// One version of a document.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RuleDocumentRow {
    /// Its name.
    pub name: String,
    /// From 1.
    pub version: i64,
    /// Its text; `None` means that it was removed.
    pub text: Option<String>,
    /// When.
    pub written_at: DateTime<Utc>,
    /// The actor who wrote it.
    pub written_by: String,
}

/// A list that rules refer to.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(missing_docs, reason = "its name, its values as JSON, when and by whom")]
pub struct RuleParameterRow {
    pub name: String,
    pub list: String,
    pub set_at: DateTime<Utc>,
    pub set_by: String,
}

/// The number of matches of a rule in test mode.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "the rule's id, its matches, people or identifiers, and the last time"
)]
pub struct TestCount {
    pub rule_id: String,
    pub matches: i64,
    pub people: i64,
    pub last_at: DateTime<Utc>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    MODES,
    MODE_SET,
    DOCUMENTS,
    VERSIONS,
    DOCUMENT_ADD,
    PARAMETERS,
    PARAMETER_SET,
    PARAMETER_REMOVE,
    REVISION,
    TEST_ADD,
    TEST_COUNTS,
    TEST_PRUNE,
];

const MODES: &str = "SELECT * FROM rule_mode ORDER BY rule_id LIMIT 100000";
const MODE_SET: &str = "
    INSERT INTO rule_mode (rule_id, mode, set_at, set_by) VALUES ($1, $2, $3, $4)
    ON CONFLICT (rule_id) DO UPDATE SET mode = excluded.mode, set_at = excluded.set_at, set_by = excluded.set_by";
const DOCUMENTS: &str = "
    SELECT d.name, d.version, d.text, d.written_at, d.written_by FROM rule_document d
    WHERE d.text IS NOT NULL
        AND d.version = (SELECT MAX(version) FROM rule_document o WHERE o.name = d.name)
    ORDER BY d.name LIMIT 10000";
const VERSIONS: &str = "SELECT * FROM rule_document WHERE name = $1 ORDER BY version DESC LIMIT $2";
const DOCUMENT_ADD: &str = "
    INSERT INTO rule_document (name, version, text, written_at, written_by)
    SELECT $1, CAST(COALESCE(MAX(version), 0) AS BIGINT) + 1, CAST($2 AS TEXT), $3, $4
    FROM rule_document WHERE name = $1
    RETURNING version";
const PARAMETERS: &str = "SELECT * FROM rule_parameter ORDER BY name LIMIT 10000";
const PARAMETER_SET: &str = "
    INSERT INTO rule_parameter (name, list, set_at, set_by) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET list = excluded.list, set_at = excluded.set_at, set_by = excluded.set_by";
const PARAMETER_REMOVE: &str = "DELETE FROM rule_parameter WHERE name = $1";
const REVISION: &str = "
    SELECT COALESCE((SELECT CAST(COUNT(*) AS TEXT) FROM rule_document), '') || ' '
        || COALESCE((SELECT CAST(MAX(set_at) AS TEXT) FROM rule_mode), '') || ' '
        || COALESCE((SELECT CAST(COUNT(*) AS TEXT) FROM rule_mode), '') || ' '
        || COALESCE((SELECT CAST(MAX(set_at) AS TEXT) FROM rule_parameter), '') || ' '
        || COALESCE((SELECT CAST(COUNT(*) AS TEXT) FROM rule_parameter), '')";
pub(crate) const TEST_ADD: &str = "
    INSERT INTO test_match (rule_id, event_id, who, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const TEST_COUNTS: &str = "
    SELECT rule_id, COUNT(*) AS matches, COUNT(DISTINCT who) AS people, MAX(at) AS last_at
    FROM test_match GROUP BY rule_id ORDER BY rule_id LIMIT 10000";
const TEST_PRUNE: &str = "DELETE FROM test_match WHERE at < $1";

impl Store {
    /// All rule modes that were ever set.
    pub async fn rule_modes(&self) -> Result<Vec<RuleModeRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(MODES).fetch_all(pool).await?))
    }

    /// Sets a rule's mode.
    pub async fn rule_mode_set(
        &self,
        rule: &str,
        mode: &str,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(MODE_SET).bind(rule).bind(mode).bind(now).bind(by).execute(pool).await?;
        });
        Ok(())
    }

    /// The current documents.
    pub async fn rule_documents(&self) -> Result<Vec<RuleDocumentRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(DOCUMENTS).fetch_all(pool).await?))
    }

    /// Every version of a document, newest first.
    pub async fn rule_document_versions(
        &self,
        name: &str,
        limit: i64,
    ) -> Result<Vec<RuleDocumentRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(VERSIONS).bind(name).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Adds a version of a document; without a text, removes the document. Returns the version.
    pub async fn rule_document_write(
        &self,
        name: &str,
        text: Option<&str>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        let text = text.map(|text| storable(text).into_owned());
        Ok(in_transaction!(self, tx => {
            sqlx::query_scalar(DOCUMENT_ADD).bind(name).bind(text).bind(now).bind(by)
                .fetch_one(&mut *tx).await?
        }))
    }

    /// Lists that have been set.
    pub async fn rule_parameters(&self) -> Result<Vec<RuleParameterRow>, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_as(PARAMETERS).fetch_all(pool).await?))
    }

    /// Sets a list (as JSON), or removes it.
    pub async fn rule_parameter_set(
        &self,
        name: &str,
        list: Option<&str>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            match list {
                Some(list) => {
                    sqlx::query(PARAMETER_SET).bind(name).bind(storable(list).into_owned()).bind(now).bind(by)
                        .execute(pool).await?;
                }
                None => {
                    sqlx::query(PARAMETER_REMOVE).bind(name).execute(pool).await?;
                }
            }
        });
        Ok(())
    }

    /// A text that differs after each change of modes, documents or lists.
    pub async fn rule_revision(&self) -> Result<String, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(REVISION).fetch_one(pool).await?))
    }

    /// Stores matches of rules in test mode: rule, event, person, time. Existing rows are unchanged.
    pub async fn test_match_record(
        &self,
        matches: &[(String, String, String, DateTime<Utc>)],
    ) -> Result<(), StoreError> {
        if matches.is_empty() {
            return Ok(());
        }
        in_transaction!(self, tx => {
            for (rule, event, who, at) in matches {
                sqlx::query(TEST_ADD).bind(rule).bind(event).bind(storable(who).into_owned()).bind(at)
                    .execute(&mut *tx).await?;
            }
        });
        Ok(())
    }

    /// The number of matches of each rule in test mode.
    pub async fn test_counts(&self) -> Result<Vec<TestCount>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(TEST_COUNTS).fetch_all(pool).await?))
    }

    /// Deletes test-mode matches from before a time.
    pub async fn test_prune(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query(TEST_PRUNE).bind(before).execute(pool).await?.rows_affected()
        }))
    }
}
