//! Written files can be read; a file keeps two syncs; equal input gives equal bytes.

use c1z::message::{
    Entitlement, Grant, GrantExpandable, GrantImmutable, GroupTrait, Purpose, Resource, ResourceId,
    ResourceType, SkipEntitlementsAndGrants, Status, StatusKind, Trait, UserTrait, find,
};
use c1z::objects::{User, list, profile, text, yes_or_no};
use c1z::{Counts, Finished, Reader, Row, UNPACKED_BYTES_MAX, Writer, WriterOptions};
use chrono::{DateTime, TimeDelta, Utc};
use std::path::Path;

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn group(id: &str) -> ResourceId {
    ResourceId::new("group", id)
}

pub(crate) fn user(id: &str) -> ResourceId {
    ResourceId::new("user", id)
}

fn ana() -> Resource {
    User {
        emails: vec!["ana@tidewater.example".into(), "a@tidewater.example".into()],
        login: "ana@tidewater.example".into(),
        status: Status::new(StatusKind::Enabled),
        profile: profile([("seat", yes_or_no(true)), ("devices", list([text("laptop")]))]),
        given_name: "Ana".into(),
        family_name: "Sousa".into(),
        ..User::default()
    }
    .resource(user("ana"), "Ana Sousa")
}

/// Writes a sync of two groups, one in the other, and these members of the inner one.
pub(crate) async fn write(path: &Path, started: &str, random: u8, members: &[&str]) -> Finished {
    let writer = Writer::open(path, WriterOptions::default()).await.unwrap();
    let started = at(started);
    let mut sync = writer.begin_sync(started, [random; 16]).await.unwrap();
    let users = ResourceType::new("user", "User", &[Trait::User]);
    sync.resource_type(users.annotated(&SkipEntitlementsAndGrants {}))
        .await
        .unwrap();
    sync.resource_type(ResourceType::new("group", "Group", &[Trait::Group]))
        .await
        .unwrap();
    sync.resource(ana()).await.unwrap();
    for id in ["inner", "outer"] {
        let about = profile([("group_id", text(id))]);
        sync.resource(Resource::group(group(id), id.to_uppercase(), about))
            .await
            .unwrap();
        let member = Entitlement::new(
            group(id),
            "member",
            "Member",
            Purpose::Assignment,
            &["user", "group"],
        );
        sync.entitlement(member).await.unwrap();
    }
    let inner = "group:inner:member".to_owned();
    sync.grant(Grant::new(group("outer"), "member", group("inner")).expandable(
        vec![inner.clone()],
        false,
        vec!["user".into()],
    ))
    .await
    .unwrap();
    for member in members {
        sync.grant(Grant::new(group("inner"), "member", user(member)))
            .await
            .unwrap();
        let derived = Grant::new(group("outer"), "member", user(member)).derived([(inner.clone(), true)]);
        sync.grant(derived).await.unwrap();
    }
    sync.finish(started + TimeDelta::seconds(5)).await.unwrap()
}

async fn everything<M: c1z::Stored>(reader: &mut Reader, sync: &c1z::SyncId) -> Vec<Row<M>> {
    let mut all: Vec<Row<M>> = Vec::new();
    loop {
        let after = all.last().map_or(0, |row| row.position);
        let page = reader.page(sync, after, 2).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[tokio::test]
async fn what_is_written_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    let written = write(&path, "2026-01-05T10:00:00.25Z", 1, &["ana"]).await;
    assert_eq!(
        (
            written.resource_types,
            written.resources,
            written.entitlements,
            written.grants
        ),
        (2, 3, 2, 3)
    );
    assert_eq!(written.kept, None);
    assert_eq!(written.file_bytes, std::fs::metadata(&path).unwrap().len());

    let mut reader = Reader::open(&path, UNPACKED_BYTES_MAX).await.unwrap();
    let syncs = reader.syncs().await.unwrap();
    assert_eq!(syncs.len(), 1);
    assert_eq!(syncs[0].id, written.sync_id);
    assert_eq!(syncs[0].started_at, at("2026-01-05T10:00:00.25Z"));
    assert_eq!(syncs[0].ended_at, Some(at("2026-01-05T10:00:05.25Z")));
    let sync = &written.sync_id;
    let some = |counts: &[(&str, u64)]| {
        counts
            .iter()
            .map(|(kind, count)| ((*kind).into(), *count))
            .collect()
    };
    assert_eq!(
        reader.counts(sync).await.unwrap(),
        Counts {
            resource_types: 2,
            resources: some(&[("group", 2), ("user", 1)]),
            entitlements: some(&[("group", 2)]),
            grants: some(&[("group", 3)]),
        }
    );

    let types: Vec<Row<ResourceType>> = everything(&mut reader, sync).await;
    assert!(find::<SkipEntitlementsAndGrants>(&types[0].object.annotations).is_some());
    let resources: Vec<Row<Resource>> = everything(&mut reader, sync).await;
    assert_eq!(resources[0].id, "user:ana");
    assert_eq!(resources[0].object, ana());
    let about: GroupTrait = find(&resources[1].object.annotations).unwrap();
    assert_eq!(about.profile, resources[1].object.profile);
    let grants: Vec<Row<Grant>> = everything(&mut reader, sync).await;
    let ids: Vec<&str> = grants.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "group:outer:member:group:inner",
            "group:inner:member:user:ana",
            "group:outer:member:user:ana"
        ]
    );
    let expandable: GrantExpandable = find(&grants[0].object.annotations).unwrap();
    assert_eq!(expandable.entitlement_ids, ["group:inner:member"]);
    assert_eq!(grants[1].object.annotations, []);
    let immutable: GrantImmutable = find(&grants[2].object.annotations).unwrap();
    assert_eq!(immutable.source_id, "group:inner:member");
    let sources = grants[2].object.sources.clone().unwrap().sources;
    assert!(sources["group:inner:member"].is_direct);
}

#[test]
fn old_and_new_readers_find_a_persons_status_and_profile() {
    let ana = ana();
    let about: UserTrait = find(&ana.annotations).unwrap();
    assert_eq!(about.status, ana.status);
    assert_eq!(about.profile, ana.profile);
    let profile = ana.profile.unwrap().fields;
    for (name, value) in [("user_id", "ana"), ("first_name", "Ana"), ("last_name", "Sousa")] {
        assert_eq!(profile[name], text(value));
    }
    assert_eq!(ana.creation_source, 1);
    assert!(about.emails[0].is_primary && !about.emails[1].is_primary);
}

#[tokio::test]
async fn two_syncs_are_kept_and_the_third_drops_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    // An empty file is an empty store.
    std::fs::write(&path, "").unwrap();
    let first = write(&path, "2026-01-05T10:00:00Z", 1, &["ana"]).await;
    let second = write(&path, "2026-01-06T10:00:00Z", 2, &["ana", "tom"]).await;
    assert_eq!(second.kept.as_ref(), Some(&first.sync_id));
    let third = write(&path, "2026-01-07T10:00:00Z", 3, &["tom"]).await;
    assert_eq!(third.kept.as_ref(), Some(&second.sync_id));
    let mut reader = Reader::open(&path, UNPACKED_BYTES_MAX).await.unwrap();
    let syncs = reader.syncs().await.unwrap();
    let ids: Vec<_> = syncs.iter().map(|run| &run.id).collect();
    assert_eq!(ids, [&third.sync_id, &second.sync_id]);
    assert_eq!(reader.counts(&first.sync_id).await.unwrap(), Counts::default());
    assert_eq!(reader.counts(&second.sync_id).await.unwrap().grants["group"], 5);
    assert_eq!(reader.counts(&third.sync_id).await.unwrap().grants["group"], 3);

    // What did not change has equal bytes: readers compare those.
    let before: Vec<Row<Resource>> = everything(&mut reader, &second.sync_id).await;
    let after: Vec<Row<Resource>> = everything(&mut reader, &third.sync_id).await;
    assert_eq!(before.len(), 3);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.id, &before.bytes), (&after.id, &after.bytes));
    }
}

#[tokio::test]
async fn the_older_sync_is_dropped_where_both_would_be_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    let first = write(&path, "2026-01-05T10:00:00Z", 1, &["ana"]).await;
    let options = WriterOptions {
        unpacked_bytes_max: first.database_bytes,
        ..WriterOptions::default()
    };
    let writer = Writer::open(&path, options).await.unwrap();
    assert_eq!(writer.kept().map(|run| &run.id), Some(&first.sync_id));
    let mut sync = writer
        .begin_sync(at("2026-01-06T10:00:00Z"), [2; 16])
        .await
        .unwrap();
    for number in 0..100 {
        sync.grant(Grant::new(group("a"), "member", user(&number.to_string())))
            .await
            .unwrap();
    }
    let second = sync.finish(at("2026-01-06T10:00:01Z")).await.unwrap();
    assert_eq!((second.kept, second.grants), (None, 100));
    let mut reader = Reader::open(&path, UNPACKED_BYTES_MAX).await.unwrap();
    assert_eq!(reader.syncs().await.unwrap().len(), 1);
    assert_eq!(reader.counts(&second.sync_id).await.unwrap().grants["group"], 100);
    assert_eq!(reader.counts(&first.sync_id).await.unwrap(), Counts::default());
}

#[tokio::test]
async fn equal_input_gives_an_equal_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in ["one.c1z", "other.c1z"] {
        let path = folder.path().join(name);
        write(&path, "2026-01-05T10:00:00Z", 1, &["ana"]).await;
        write(&path, "2026-01-06T10:00:00Z", 2, &["tom", "ana"]).await;
        files.push(std::fs::read(path).unwrap());
    }
    assert!(files[0] == files[1]);
}

#[tokio::test]
async fn of_two_objects_with_one_id_the_later_one_holds_across_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.c1z");
    let writer = Writer::open(&path, WriterOptions::default()).await.unwrap();
    let mut sync = writer
        .begin_sync(at("2026-01-05T10:00:00Z"), [1; 16])
        .await
        .unwrap();
    for round in ["first", "second"] {
        for number in 0..700 {
            let id = group(&number.to_string());
            sync.resource(Resource::group(id, round, profile::<String>([])))
                .await
                .unwrap();
        }
    }
    let written = sync.finish(at("2026-01-05T10:00:01Z")).await.unwrap();
    assert_eq!(written.resources, 700);
    let mut reader = Reader::open(&path, UNPACKED_BYTES_MAX).await.unwrap();
    let rows: Vec<Row<Resource>> = reader.page(&written.sync_id, 0, 1000).await.unwrap();
    assert_eq!(rows.len(), 700);
    assert!(rows.iter().all(|row| row.object.display_name == "second"));
}
