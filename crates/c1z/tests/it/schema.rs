//! The container and the database have the format that Baton's readers expect.

use crate::file::write;
use c1z::{C1zError, Writer, WriterOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

/// Unpacks as any zstd program would.
fn unpack(path: &Path) -> Vec<u8> {
    let file = std::fs::read(path).unwrap();
    let (magic, frame) = file.split_at(5);
    assert_eq!(magic, [0x43, 0x31, 0x5A, 0x46, 0x00]);
    assert_eq!(frame[..4], [0x28, 0xB5, 0x2F, 0xFD], "a zstd frame");
    assert_eq!(frame[4] & 0b100, 0b100, "with a checksum");
    assert_ne!(frame[4] >> 6, 0, "with its size");
    zstd::decode_all(frame).unwrap()
}

/// Table, index (none: the table itself), columns; `?` marks those that may be null. As measured on files of SDK 0.1.
const OBJECTS: &[(&str, &str, &str)] = &[
    (
        "v1_resource_types",
        "",
        "id external_id data sync_id discovered_at",
    ),
    (
        "v1_resource_types",
        "idx_resource_types_external_sync_v1 unique",
        "external_id sync_id",
    ),
    (
        "v1_resources",
        "",
        "id resource_type_id external_id parent_resource_type_id? parent_resource_id? data sync_id discovered_at",
    ),
    (
        "v1_resources",
        "idx_resources_resource_type_id_v1",
        "resource_type_id",
    ),
    (
        "v1_resources",
        "idx_resources_external_sync_v1",
        "parent_resource_type_id parent_resource_id",
    ),
    (
        "v1_resources",
        "idx_resources_parent_resource_id_v1 unique",
        "external_id sync_id",
    ),
    (
        "v1_entitlements",
        "",
        "id resource_type_id resource_id external_id data sync_id discovered_at",
    ),
    (
        "v1_entitlements",
        "idx_entitlements_resource_id_v1",
        "resource_type_id resource_id",
    ),
    (
        "v1_entitlements",
        "idx_entitlements_external_sync_v1 unique",
        "external_id sync_id",
    ),
    (
        "v1_grants",
        "",
        "id resource_type_id resource_id entitlement_id principal_resource_type_id principal_resource_id \
         external_id data sync_id discovered_at",
    ),
    (
        "v1_grants",
        "idx_grants_resource_type_id_resource_id_v1",
        "resource_type_id resource_id",
    ),
    (
        "v1_grants",
        "idx_grants_principal_id_v1",
        "principal_resource_type_id principal_resource_id",
    ),
    (
        "v1_grants",
        "idx_grants_entitlement_id_principal_id_v1",
        "entitlement_id principal_resource_type_id principal_resource_id",
    ),
    (
        "v1_grants",
        "idx_grants_external_sync_v1 unique",
        "external_id sync_id",
    ),
    (
        "v1_assets",
        "",
        "id external_id content_type data sync_id discovered_at",
    ),
    (
        "v1_assets",
        "idx_assets_external_sync_v1 unique",
        "external_id sync_id",
    ),
    ("v1_sync_runs", "", "id sync_id started_at ended_at? sync_token"),
    ("v1_sync_runs", "idx_sync_runs_sync_id_v1 unique", "sync_id"),
];

#[tokio::test]
async fn the_database_is_the_one_that_readers_expect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    write(&path, "2026-01-05T10:00:00.5Z", 1, &["ana"]).await;
    write(&path, "2026-01-06T10:00:00Z", 2, &["ana"]).await;
    let database = unpack(&path);
    assert_eq!(&database[..16], b"SQLite format 3\0");
    assert_eq!(database[16..18], 4096_u16.to_be_bytes(), "page size");
    assert_eq!(database[18..20], [1, 1], "a rollback journal, no write-ahead log");
    assert_eq!(database[56..60], 1_u32.to_be_bytes(), "UTF-8");
    assert_eq!(database[60..64], [0; 4], "user_version");
    assert_eq!(database[36..40], [0; 4], "no free pages");

    let unpacked = folder.path().join("sync.db");
    std::fs::write(&unpacked, database).unwrap();
    let mut database = SqliteConnectOptions::new()
        .filename(&unpacked)
        .connect()
        .await
        .unwrap();
    let check: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(check, "ok");
    let mut found: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT t.name, '', (
             SELECT group_concat(name || iif(\"notnull\" OR pk, '', '?'), ' ' ORDER BY cid)
             FROM pragma_table_info(t.name))
         FROM sqlite_schema t WHERE t.type = 'table'
         UNION ALL
         SELECT t.name, i.name || iif(i.\"unique\", ' unique', ''), (
             SELECT group_concat(name, ' ' ORDER BY seqno) FROM pragma_index_info(i.name))
         FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE t.type = 'table'",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    found.sort();
    let mut expected: Vec<_> = OBJECTS
        .iter()
        .map(|(table, index, columns)| ((*table).to_owned(), (*index).to_owned(), (*columns).to_owned()))
        .collect();
    expected.sort();
    assert_eq!(found, expected);

    let runs: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT sync_id, started_at, ended_at, sync_token FROM v1_sync_runs ORDER BY id")
            .fetch_all(&mut database)
            .await
            .unwrap();
    let times: Vec<_> = runs
        .iter()
        .map(|run| (run.1.as_str(), run.2.as_str(), run.3.as_str()))
        .collect();
    assert_eq!(
        times,
        [
            ("2026-01-05 10:00:00.5", "2026-01-05 10:00:05.5", ""),
            ("2026-01-06 10:00:00", "2026-01-06 10:00:05", "")
        ]
    );
    assert!(runs.iter().all(|run| run.0.len() == 27));
    assert!(runs[0].0 < runs[1].0, "ids sort by time");
}

#[tokio::test]
async fn a_file_with_more_columns_than_ours_is_not_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    write(&path, "2026-01-05T10:00:00Z", 1, &["ana"]).await;
    let unpacked = folder.path().join("sync.db");
    std::fs::write(&unpacked, unpack(&path)).unwrap();
    let mut database = SqliteConnectOptions::new()
        .filename(&unpacked)
        .connect()
        .await
        .unwrap();
    sqlx::query("ALTER TABLE v1_grants ADD COLUMN expansion blob")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let mut file = b"C1ZF\0".to_vec();
    file.extend(zstd::encode_all(&std::fs::read(&unpacked).unwrap()[..], 1).unwrap());
    std::fs::write(&path, &file).unwrap();

    let refused = Writer::open(&path, WriterOptions::default()).await.unwrap_err();
    assert!(
        matches!(&refused, C1zError::Foreign { table: "v1_grants", column, .. } if column == "expansion"),
        "{refused}"
    );
    assert!(std::fs::read(&path).unwrap() == file);
    // Reading it is fine.
    let mut reader = c1z::Reader::open(&path, c1z::UNPACKED_BYTES_MAX).await.unwrap();
    assert_eq!(reader.syncs().await.unwrap().len(), 1);
}
