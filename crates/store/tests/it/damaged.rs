//! Unreadable stored data causes an error with its location, never an empty result.

use crate::access::{connection, noon};
use model::{AuditAction, AuditOutcome};
use serde_json::json;
use store::{AuditEntry, StoreError, scratch};

/// Changes a stored row behind the store's back.
async fn damage(address: &str, statement: &'static str) {
    if address.starts_with("sqlite:") {
        let pool = sqlx::SqlitePool::connect(address).await.unwrap();
        sqlx::query(statement).execute(&pool).await.unwrap();
        pool.close().await;
    } else {
        let pool = sqlx::PgPool::connect(address).await.unwrap();
        sqlx::query(statement).execute(&pool).await.unwrap();
        pool.close().await;
    }
}

fn unread(column: &str, error: StoreError) {
    assert!(
        matches!(&error, StoreError::Unread { column: named, .. } if named == column),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("column {column} contains an unreadable value")),
        "{error}"
    );
    assert!(std::error::Error::source(&error).is_none(), "{error:?}");
}

#[tokio::test]
async fn a_word_that_none_knows_is_an_error_that_names_the_column() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let id = connection(store, "acme").await;
        store.sync_run_start("r1", &id, noon()).await.unwrap();
        store.audit_append(&entry()).await.unwrap();
        let run = store.sync_run_get("r1").await.unwrap().unwrap();
        store.sync_run_finish(&run, "Sync finished").await.unwrap();
        assert_eq!(store.journal_latest(None, None, 10).await.unwrap().len(), 1);

        damage(&scratch.address, "UPDATE sync_run SET outcome = 'finished'").await;
        unread("outcome", store.sync_run_list(None, 10).await.unwrap_err());
        unread("outcome", store.sync_run_get("r1").await.unwrap_err());

        damage(&scratch.address, "UPDATE audit SET action = 'risk.rest'").await;
        unread("action", store.audit_list(None, 10).await.unwrap_err());

        damage(&scratch.address, "UPDATE journal SET kind = 'connection.stat'").await;
        unread("kind", store.journal_latest(None, None, 10).await.unwrap_err());

        damage(&scratch.address, "UPDATE connection SET state = ''").await;
        unread("state", store.connection_list().await.unwrap_err());
    }
}

#[tokio::test]
async fn json_that_cannot_be_read_names_its_table_row_and_column() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let id = connection(store, "acme").await;
        store.sync_run_start("r1", &id, noon()).await.unwrap();
        damage(
            &scratch.address,
            "UPDATE sync_run SET counts = '{\"members\": {\"seen\"'",
        )
        .await;
        let run = store.sync_run_get("r1").await.unwrap().unwrap();
        let error = run.counts_json().unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { table: "sync_run", row, column: "counts", .. } if row == "r1"),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .starts_with("table sync_run, row r1, column counts"),
            "{error}"
        );
    }
}

fn entry() -> AuditEntry {
    AuditEntry {
        at: noon(),
        actor: "cli".to_owned(),
        action: AuditAction::RiskReset,
        target: "ana@corp.example".to_owned(),
        outcome: AuditOutcome::Changed,
        detail: json!({}),
    }
}
