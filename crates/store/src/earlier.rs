//! What an earlier version left in its tables is what this version finds, on both engines.

use crate::Store;
use crate::scratch::places;
use sqlx::{Connection, PgConnection, SqliteConnection};

const INSERT: &str = "
    INSERT INTO access_token (id, name, token_hash, fingerprint, permissions, created_at)
    VALUES ($1, $1, $1, 'abcd', $2, '2026-01-05T10:00:00Z')";

/// Everything that a token could hold before there was `rules:write`.
const ALL_OF_THEN: &str = r#"["read","connections:write","access:write","coaching:write","risk:write","posture:write","integrations:write","capabilities:call","api:call:read","admin"]"#;
const ALL_NOW: &str = r#"["read","connections:write","access:write","coaching:write","risk:write","posture:write","rules:write","integrations:write","capabilities:call","api:call:read","admin"]"#;
const READER: &str = r#"["read"]"#;
const ALL_BUT_ONE: &str = r#"["read","connections:write","access:write","coaching:write","risk:write","posture:write","integrations:write","capabilities:call","api:call:read"]"#;

/// Makes the tables as they were after the fourth migration, with these tokens in them.
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
