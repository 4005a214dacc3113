//! A disk that was full: failures are reported, and everything works again once there is space.
//!
//! Needs a small file system, which only root can mount; otherwise the test prints that it was skipped.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use store::{AuditEntry, Store};

/// A file system of a few megabytes, unmounted at the end.
struct Small(PathBuf);

impl Small {
    #[expect(clippy::print_stderr, reason = "a test that leaves something out must say so")]
    fn mount() -> Option<Small> {
        let folder = tempfile::tempdir().unwrap().keep();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&folder)
            .stderr(std::process::Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small(folder));
        }
        eprintln!("skipped: no small file system can be mounted here");
        None
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let _ = std::fs::write(&path, vec![0_u8; 8 << 20]);
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

async fn write(store: &Store, size: usize) -> Result<(), store::StoreError> {
    let entry = AuditEntry {
        at: now(),
        actor: "test".to_owned(),
        action: model::AuditAction::RiskReset,
        target: "disk".to_owned(),
        outcome: model::AuditOutcome::Changed,
        detail: json!({ "text": "x".repeat(size) }),
    };
    store.audit_append(&entry).await.map(|_| ())
}

#[tokio::test]
async fn after_the_disk_was_full_every_transaction_works_again() {
    let Some(small) = Small::mount() else { return };
    let address = format!("sqlite://{}", small.path().join("flareward.db").display());
    let store = Store::connect(&address).await.unwrap();
    write(&store, 10).await.unwrap();
    store.write_try(now()).await.unwrap();
    for round in 0..5 {
        let filler = small.fill();
        let mut failures = 0;
        for _ in 0..20 {
            failures += usize::from(write(&store, 40_000).await.is_err());
        }
        assert!(failures > 0, "round {round}: the disk was never full");
        std::fs::remove_file(filler).unwrap();
        write(&store, 10)
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        let later = now() + TimeDelta::seconds(round + 1);
        store.write_try(later).await.unwrap();
    }
}

/// PostgreSQL's own words for a full disk, and a connection that is lost within a transaction: as the server says them,
/// by a trigger on a table that the transaction writes to.
#[tokio::test]
async fn after_postgresql_had_no_room_or_lost_a_connection_every_transaction_works_again() {
    use sqlx::{Connection, Executor, PgConnection};
    for scratch in store::scratch::stores().await.unwrap() {
        let store = &scratch.store;
        if store.engine_name() != "PostgreSQL" {
            continue;
        }
        let mut admin = PgConnection::connect(&scratch.address).await.unwrap();
        for (what, body) in [
            (
                "no room",
                "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';",
            ),
            (
                "lost",
                "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1);",
            ),
        ] {
            let function = format!(
                "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
            );
            admin.execute(sqlx::AssertSqlSafe(function)).await.unwrap();
            admin
                .execute(
                    "CREATE TRIGGER fails BEFORE INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION fails()",
                )
                .await
                .unwrap();
            for _ in 0..12 {
                // More often than there are connections: none is left in a transaction.
                let refused = write(store, 10).await.unwrap_err();
                assert!(
                    matches!(refused, store::StoreError::Database(_)),
                    "{what}: {refused}"
                );
            }
            admin.execute("DROP TRIGGER fails ON audit").await.unwrap();
            admin.execute("DROP FUNCTION fails").await.unwrap();
            for _ in 0..12 {
                write(store, 10)
                    .await
                    .unwrap_or_else(|error| panic!("after {what}: {error}"));
            }
        }
    }
}
