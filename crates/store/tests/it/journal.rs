//! The journal, the audit chain and leases.

use crate::access::{connection, noon};
use chrono::TimeDelta;
use model::ConnectionState;
use store::{AuditEntry, JournalRow, Store, audit_hash, scratch};

/// The entries of a kind, once there are `count`: on PostgreSQL the transactions of other tests on the same server
/// hold the horizon back for a moment, below which a consumer reads.
pub(crate) async fn entries(store: &Store, after: i64, kind: &str, count: usize) -> Vec<JournalRow> {
    let wait = async {
        loop {
            let rows = store.journal_after(after, kind, 10).await.unwrap();
            if rows.len() >= count {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait)
        .await
        .expect("the entries become visible")
}

#[tokio::test]
async fn a_state_is_journalled_when_it_changes_and_only_then() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        for (reason, summary) in [
            (None, "first"),
            (None, "repeated"),
            (Some("members are dark"), "second"),
        ] {
            store
                .connection_state_set(&corp, ConnectionState::Degraded, reason, summary, noon())
                .await
                .unwrap();
        }
        let rows = entries(store, 0, "connection.state", 2).await;
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].summary, &*rows[1].summary), ("first", "second"));
        assert_eq!(
            store
                .journal_after(rows[0].seq, "connection.state", 10)
                .await
                .unwrap()
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn a_consumer_never_goes_back() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        assert_eq!(store.consumer_position("risk").await.unwrap(), 0);
        store.consumer_advance("risk", 7).await.unwrap();
        store.consumer_advance("risk", 3).await.unwrap();
        assert_eq!(store.consumer_position("risk").await.unwrap(), 7);
    }
}

#[tokio::test]
async fn the_audit_log_is_one_chain_also_from_two_processes() {
    for scratch in scratch::stores().await.unwrap() {
        let other = Store::connect(&scratch.address).await.unwrap();
        let entry = |n: usize| AuditEntry {
            at: noon(),
            actor: "cli".to_owned(),
            action: model::AuditAction::RiskReset,
            target: format!("person {n}"),
            outcome: model::AuditOutcome::Changed,
            detail: serde_json::json!({ "reason": "checked" }),
        };
        let writers = (0..10).map(|n| {
            let store = if n % 2 == 0 {
                scratch.store.clone()
            } else {
                other.clone()
            };
            tokio::spawn(async move { store.audit_append(&entry(n)).await.unwrap() })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let mut rows = scratch.store.audit_list(None, 100).await.unwrap();
        rows.reverse();
        assert_eq!(rows.len(), 10);
        let mut previous = String::new();
        for row in rows {
            assert_eq!(row.previous_hash, previous);
            let fields = [
                &*row.actor,
                row.action.as_str(),
                &*row.target,
                row.outcome.as_str(),
                &*row.detail,
            ];
            assert_eq!(row.hash, audit_hash(&previous, row.at, fields));
            previous = row.hash;
        }
    }
}

#[tokio::test]
async fn a_lease_has_one_holder_until_it_runs_out() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let (long, over) = (TimeDelta::minutes(1), TimeDelta::zero());
        assert!(store.lease_take("sync", "one", long).await.unwrap());
        assert!(store.lease_take("sync", "one", long).await.unwrap(), "renewed");
        assert!(!store.lease_take("sync", "two", long).await.unwrap());
        assert!(store.lease_is_held("sync").await.unwrap());
        assert!(store.lease_take("sync", "one", over).await.unwrap());
        assert!(!store.lease_is_held("sync").await.unwrap(), "it has run out");
        assert!(store.lease_take("sync", "two", long).await.unwrap());
        store.lease_release("sync", "one").await.unwrap();
        assert!(
            !store.lease_take("sync", "one", long).await.unwrap(),
            "only the holder gives it back"
        );
    }
}

#[tokio::test]
async fn a_lease_from_before_the_clock_was_set_back_holds_nobody_off() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        // As it stands when the one who was killed took it by a clock that was an hour ahead.
        let ahead = TimeDelta::hours(1);
        assert!(store.lease_take("stage/pipeline", "killed", ahead).await.unwrap());
        let length = TimeDelta::seconds(6);
        assert!(store.lease_take("stage/pipeline", "next", length).await.unwrap());
        assert!(!store.lease_take("stage/pipeline", "third", length).await.unwrap());
    }
}

/// A reader goes on from the highest number that it saw: a number that became visible later would never be read.
#[tokio::test]
async fn numbers_of_the_journal_become_visible_in_their_order() {
    use sqlx::{Connection, PgConnection};
    for scratch in scratch::stores().await.unwrap() {
        if scratch.store.engine_name() != "PostgreSQL" {
            continue;
        }
        const WRITE: &str =
            "INSERT INTO journal (at, kind, summary, data) VALUES (now(), 'risk.changed', 'x', '{}')";
        let mut first = PgConnection::connect(&scratch.address).await.unwrap();
        let mut second = PgConnection::connect(&scratch.address).await.unwrap();
        let mut held = first.begin().await.unwrap();
        sqlx::query(WRITE).execute(&mut *held).await.unwrap();
        sqlx::query("SET lock_timeout = '200ms'")
            .execute(&mut second)
            .await
            .unwrap();
        let refused = sqlx::query(WRITE).execute(&mut second).await.unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(
            code.as_deref(),
            Some("55P03"),
            "the second waits for the first: {refused}"
        );
        held.commit().await.unwrap();
        sqlx::query(WRITE).execute(&mut second).await.unwrap();
    }
}
