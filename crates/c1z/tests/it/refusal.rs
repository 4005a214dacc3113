//! Refused input; and that a refusal or an interruption changes nothing.

use crate::file::{at, group, user, write};
use c1z::message::{Entitlement, Grant, Purpose, Resource, ResourceId};
use c1z::objects::profile;
use c1z::{C1zError, ID_BYTES_MAX, Reader, Row, UNPACKED_BYTES_MAX, Writer, WriterOptions};
use std::path::Path;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn an_interrupted_writer_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    write(&path, "2026-01-05T10:00:00Z", 1, &["ana"]).await;
    let before = std::fs::read(&path).unwrap();
    let options = WriterOptions {
        scratch_folder: Some(scratch.path().to_owned()),
        ..WriterOptions::default()
    };
    let writer = Writer::open(&path, options).await.unwrap();
    let mut sync = writer
        .begin_sync(at("2026-01-06T10:00:00Z"), [2; 16])
        .await
        .unwrap();
    for number in 0..2000 {
        sync.grant(Grant::new(group("a"), "member", user(&number.to_string())))
            .await
            .unwrap();
    }
    drop(sync);
    assert!(std::fs::read(&path).unwrap() == before);
    assert_eq!(names(folder.path()), ["sync.c1z"]);
    assert_eq!(names(scratch.path()), Vec::<String>::new());
}

#[tokio::test]
async fn an_object_without_a_usable_id_is_refused_and_the_sync_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    let writer = Writer::open(&path, WriterOptions::default()).await.unwrap();
    let mut sync = writer
        .begin_sync(at("2026-01-05T10:00:00Z"), [1; 16])
        .await
        .unwrap();
    let long = "x".repeat(ID_BYTES_MAX + 1);
    let none = || profile::<String>([]);
    for (id, said) in [
        (group(""), "a resource (Staff) has an empty id"),
        (
            ResourceId::new("", "1"),
            "the type of a resource (Staff) has an empty id",
        ),
        (
            group(&long),
            "the id of a resource (Staff) is longer than 1024 bytes: xxx",
        ),
    ] {
        let refused = sync
            .resource(Resource::group(id, "Staff", none()))
            .await
            .unwrap_err();
        assert!(refused.to_string().starts_with(said), "{refused}");
    }
    let nobody = sync
        .grant(Grant::new(group("a"), "member", user("")))
        .await
        .unwrap_err();
    assert!(matches!(nobody, C1zError::EmptyId { .. }), "{nobody}");
    let nothing = Grant {
        id: "x".into(),
        ..Grant::default()
    };
    let nothing = sync.grant(nothing).await.unwrap_err();
    assert_eq!(nothing.to_string(), "grant x has no entitlement");

    // Names are cut between characters.
    let name = "é".repeat(ID_BYTES_MAX);
    sync.resource(Resource::group(group("a"), name, none()))
        .await
        .unwrap();
    let member = Entitlement {
        description: "z".repeat(5000),
        ..Entitlement::new(group("a"), "member", "Member", Purpose::Assignment, &["user"])
    };
    sync.entitlement(member).await.unwrap();
    let written = sync.finish(at("2026-01-05T10:00:01Z")).await.unwrap();
    assert_eq!(
        (written.resources, written.entitlements, written.grants),
        (1, 1, 0)
    );
    let mut reader = Reader::open(&path, UNPACKED_BYTES_MAX).await.unwrap();
    let rows: Vec<Row<Resource>> = reader.page(&written.sync_id, 0, 10).await.unwrap();
    assert_eq!(rows[0].object.display_name, "é".repeat(ID_BYTES_MAX / 2));
    let rows: Vec<Row<Entitlement>> = reader.page(&written.sync_id, 0, 10).await.unwrap();
    assert_eq!(rows[0].object.description.len(), 2048);
}

#[tokio::test]
async fn a_sync_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    write(&path, "2026-01-05T10:00:00Z", 1, &[]).await;
    let open = || Writer::open(&path, WriterOptions::default());
    let again = open()
        .await
        .unwrap()
        .begin_sync(at("2026-01-05T10:00:00Z"), [1; 16])
        .await;
    assert!(matches!(again, Err(C1zError::SyncExists { .. })));
    let sync = open()
        .await
        .unwrap()
        .begin_sync(at("2026-01-06T10:00:00Z"), [1; 16])
        .await;
    let backwards = sync.unwrap().finish(at("2026-01-06T09:00:00Z")).await;
    assert!(matches!(backwards, Err(C1zError::EndsBeforeStart { .. })));
}

#[tokio::test]
async fn a_file_that_is_something_else_is_neither_read_nor_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    let mut text_in_frame = b"C1ZF\0".to_vec();
    text_in_frame.extend(zstd::encode_all(&b"no database at all, but long enough to be one"[..], 1).unwrap());
    for (content, said) in [
        (&b"C1"[..], "shorter"),
        (b"PK\x03\x04and so on", "begins otherwise"),
        (b"C1Z3\0\0\0\0\0", "version 3"),
        (&text_in_frame, "no SQLite database"),
    ] {
        std::fs::write(&path, content).unwrap();
        let read = Reader::open(&path, UNPACKED_BYTES_MAX).await.unwrap_err();
        let written = Writer::open(&path, WriterOptions::default()).await.unwrap_err();
        for problem in [read, written] {
            assert!(problem.to_string().contains(said), "{problem}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn what_unpacks_to_more_than_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    let written = write(&path, "2026-01-05T10:00:00Z", 1, &["ana"]).await;
    assert!(Reader::open(&path, written.database_bytes).await.is_ok());
    let refused = Reader::open(&path, written.database_bytes - 1).await.unwrap_err();
    assert!(matches!(refused, C1zError::TooLarge { .. }), "{refused}");
    // A frame that says little and unpacks to much.
    let mut bomb = b"C1ZF\0".to_vec();
    bomb.extend(zstd::encode_all(std::io::Read::take(std::io::repeat(0), 50 << 20), 1).unwrap());
    std::fs::write(&path, bomb).unwrap();
    let refused = Reader::open(&path, 1 << 20).await.unwrap_err();
    assert!(matches!(refused, C1zError::TooLarge { .. }), "{refused}");
}
