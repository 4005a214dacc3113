//! Tests that this version can read data that an earlier version stored, on both engines.

use crate::Store;
use crate::scratch::places;
use sqlx::{Connection, PgConnection, SqliteConnection};

const INSERT: &str = "
    INSERT INTO access_token (id, name, token_hash, fingerprint, permissions, created_at)
    VALUES ($1, $1, $1, 'abcd', $2, '2026-01-05T10:00:00Z')";

/// All permissions that existed before `rules:write`.
const ALL_OF_THEN: &str = r#"["read","connections:write","access:write","coaching:write","risk:write","posture:write","integrations:write","capabilities:call","api:call:read","admin"]"#;
const ALL_NOW: &str = r#"["read","connections:write","access:write","coaching:write","risk:write","posture:write","rules:write","integrations:write","capabilities:call","api:call:read","admin"]"#;
const READER: &str = r#"["read"]"#;
const ALL_BUT_ONE: &str = r#"["read","connections:write","access:write","coaching:write","risk:write","posture:write","integrations:write","capabilities:call","api:call:read"]"#;

/// Creates the tables as they were after the fourth migration, with these tokens.
async fn as_of_the_fourth(address: &str, tokens: &[(&str, &str)]) {
    if address.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(&format!("{address}?mode=rwc"))
            .await
            .unwrap();
        let migrations = sqlx::migrate!("migrations/sqlite");
        migrations.run_to(4, &mut connection).await.unwrap();
        for (id, permissions) in tokens {
            let insert = sqlx::query(INSERT).bind(id).bind(permissions);
            insert.execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(address).await.unwrap();
        let migrations = sqlx::migrate!("migrations/postgres");
        migrations.run_to(4, &mut connection).await.unwrap();
        for (id, permissions) in tokens {
            let insert = sqlx::query(INSERT).bind(id).bind(permissions);
            insert.execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn who_held_every_permission_before_rules_had_one_holds_every_permission() {
    for place in places().await.unwrap() {
        let then = [
            ("admin", ALL_OF_THEN),
            ("partial", ALL_BUT_ONE),
            ("reader", READER),
        ];
        as_of_the_fourth(&place.address, &then).await;
        let store = Store::connect(&place.address).await.unwrap();
        let mut now: Vec<(String, String)> = store
            .access_token_list()
            .await
            .unwrap()
            .into_iter()
            .map(|row| (row.id, row.permissions))
            .collect();
        now.sort();
        let expected = [("admin", ALL_NOW), ("partial", ALL_BUT_ONE), ("reader", READER)];
        let expected = expected.map(|(id, permissions)| (id.to_owned(), permissions.to_owned()));
        assert_eq!(now, expected, "{}", store.engine_name());
    }
}

/// Two batches from before the twelfth migration: one with many lines that are not JSON, and one that was interrupted.
const LINES: &[(&str, i64, &str, &str)] = &[
    ("b1", 1, "not JSON: expected value at column 1", "a"),
    ("b1", 2, "not JSON: expected value at column 2", "b"),
    ("b1", 3, "not JSON: expected value at column 3", "c"),
    ("b1", 4, "not JSON: expected value at column 4", "d"),
    ("b1", 5, "not JSON: expected value at column 5", "e"),
    ("b1", 6, "not JSON: expected value at column 6", "f"),
    ("b1", 7, "not a JSON object", "[]"),
    ("b2", 0, "what follows is not gzip", ""),
];

#[tokio::test]
async fn rejected_lines_of_before_are_counted_by_batch_and_reason() {
    const CONNECTION: &str = "
        INSERT INTO connection (id, label, account_id, account_name, base_url, credential_kind, credential_sealed,
            credential_fingerprint, ingest_secret_sealed, ingest_secret_hash, state, created_at, updated_at)
        VALUES ('c', 'corp', 'a', 'A', 'https://x.example', 'user_token', $1, 'f', $1, 'h', 'active',
            '2026-01-05T10:00:00Z', '2026-01-05T10:00:00Z')";
    const REJECT: &str = "
        INSERT INTO reject (batch_id, line, connection_id, dataset, reason, excerpt, rejected_at)
        VALUES ($1, $2, 'c', 'gateway_dns', $3, $4, '2026-01-05T10:00:00Z')";
    macro_rules! fill {
        ($connection:expr, $migrations:expr) => {{
            let mut connection = $connection;
            $migrations.run_to(11, &mut connection).await.unwrap();
            let insert = sqlx::query(CONNECTION).bind(&b"sealed"[..]);
            insert.execute(&mut connection).await.unwrap();
            for (batch, line, reason, excerpt) in LINES {
                let insert = sqlx::query(REJECT)
                    .bind(batch)
                    .bind(line)
                    .bind(reason)
                    .bind(excerpt);
                insert.execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        }};
    }
    for place in places().await.unwrap() {
        if place.address.starts_with("sqlite:") {
            let address = format!("{}?mode=rwc", place.address);
            fill!(
                SqliteConnection::connect(&address).await.unwrap(),
                sqlx::migrate!("migrations/sqlite")
            );
        } else {
            fill!(
                PgConnection::connect(&place.address).await.unwrap(),
                sqlx::migrate!("migrations/postgres")
            );
        }
        let store = Store::connect(&place.address).await.unwrap();
        let rows = store.reject_list(None, 100).await.unwrap();
        let counted: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.batch_id.as_str(),
                    row.reason.as_str(),
                    row.count,
                    row.first_line,
                    row.samples.len(),
                )
            })
            .collect();
        assert_eq!(
            counted,
            [
                ("b1", "not JSON", 6, 1, 5),
                ("b1", "not a JSON object", 1, 7, 1),
                ("b2", "what follows is not gzip", 1, 0, 1),
            ],
            "{}",
            store.engine_name()
        );
        assert_eq!(rows[0].samples[4].detail, "expected value at column 5");
        assert_eq!(rows[0].samples[4].excerpt, "e");
    }
}
