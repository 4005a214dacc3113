//! What a receive that was cut off leaves in the archive is found: adopted, removed, and looked through by a purge.

use crate::kit::{Hub, each, start, story};
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};
use hub::Actor;
use hub::archive::{Archive, batch_path};
use hub::ingest::{IngestError, Received};
use hub::{driver, purge, sweep};
use model::{Clock, ConnectionId, SystemClock};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::sync::Arc;
use store::scratch::Scratch;

const OMAR: &str = "omar.said@tidewater.example";

fn lookup(id: &str) -> Value {
    json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": OMAR, "QueryID": id, "QueryName": "news.daily.example" })
}

/// A hub whose archive is in a folder or, in memory, like a bucket; and what lies in it.
async fn ready(scratch: Scratch, is_folder: bool) -> (Sandbox, Hub, Arc<dyn ObjectStore>) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let mut hub = Hub::start_with(scratch, |settings| {
        settings.logs.pull = false;
        settings.archive.keep_batches_days = 1_000;
    })
    .await;
    let objects: Arc<dyn ObjectStore> = if is_folder {
        let folder = hub.folder.path().join("archive");
        Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap())
    } else {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        hub.app.archive = Archive::over(Arc::clone(&objects));
        objects
    };
    hub.connect(&sandbox).await;
    hub.sync().await;
    (sandbox, hub, objects)
}

/// The archive goes by the machine's clock: brings the hub's so far ahead of it.
fn come_to(hub: &Hub, ahead: TimeDelta) {
    hub.clock.advance(SystemClock.now() + ahead - hub.app.clock.now());
}

/// A batch that lies whole at its place, and was cut off before it was written down. Answers its id and place.
async fn cut_off(hub: &Hub, id: &str) -> (String, String) {
    let received = hub.receive("gateway_dns", lookup(id).to_string()).await;
    let Ok(Received::Stored(batch)) = received else {
        panic!("{received:?}")
    };
    let row = hub.app.store.batch_get(&batch).await.unwrap().unwrap();
    let forgotten = std::slice::from_ref(&batch);
    let now = hub.app.clock.now();
    hub.app
        .store
        .archive_forget(forgotten, &[], "gateway_dns", 0, "Batch removed", now)
        .await
        .unwrap();
    (batch, row.path)
}

async fn paths(objects: &dyn ObjectStore) -> Vec<String> {
    let listed: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut paths: Vec<String> = listed.into_iter().map(|one| one.location.to_string()).collect();
    paths.retain(|path| !path.ends_with(".parquet"));
    paths.sort();
    paths
}

#[tokio::test]
async fn what_was_cut_off_is_adopted_when_it_is_whole_and_removed_when_it_is_not() {
    for is_folder in [true, false] {
        each(async |scratch| {
            let (_sandbox, hub, objects) = ready(scratch, is_folder).await;
            let store = &hub.app.store;
            hub.happen("gateway_dns", &[lookup("known")]).await;
            let known = store.batch_list(None, None, 10).await.unwrap().remove(0);
            let connection = &known.connection_id;
            let (whole_id, whole) = cut_off(&hub, "whole").await;
            let bytes = objects
                .get(&known.path.as_str().into())
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let put = async |path: &str, bytes: &[u8]| {
                objects.put(&path.into(), bytes.to_vec().into()).await.unwrap();
            };
            let place = |id: &str, connection: &ConnectionId, source: &str| {
                batch_path(
                    "gateway_dns",
                    start() + TimeDelta::hours(3),
                    connection,
                    id,
                    source,
                )
            };
            let damaged = place(&"ab".repeat(32), connection, "pull");
            put(&damaged, &bytes[..bytes.len() - 9]).await;
            let other = place(&"cd".repeat(32), connection, "logpush");
            put(&other, &bytes).await;
            let twice = place(&known.id, connection, "logpush");
            put(&twice, &bytes).await;
            put("incoming/0198", &bytes).await;
            let half = hub.folder.path().join("archive/incoming/0199#1");
            if is_folder {
                std::fs::create_dir_all(half.parent().unwrap()).unwrap();
                std::fs::write(&half, &bytes).unwrap();
            }
            // Not ours, and of a connection of another database.
            put("notes.txt", b"mine").await;
            let foreign = place(&"ef".repeat(32), &ConnectionId("c".to_owned()), "logpush");
            put(&foreign, &bytes).await;
            let all = paths(&objects).await;

            come_to(&hub, TimeDelta::minutes(20));
            let report = sweep::run(&hub.app, hub.app.clock.now()).await.unwrap();
            assert_eq!(
                (report.adopted, report.removed, report.young),
                (0, 0, 5 + usize::from(is_folder))
            );
            assert_eq!(
                paths(&objects).await,
                all,
                "what may still be received is left alone"
            );

            come_to(&hub, TimeDelta::minutes(40));
            let report = sweep::run(&hub.app, hub.app.clock.now()).await.unwrap();
            assert_eq!((report.adopted, report.removed), (1, 4 + usize::from(is_folder)));
            assert_eq!((report.young, report.foreign), (0, 1));
            let mut left = [
                known.path.clone(),
                whole.clone(),
                foreign.clone(),
                "notes.txt".to_owned(),
            ];
            left.sort();
            assert_eq!(paths(&objects).await, left);
            assert!(!half.exists());
            hub.pipeline().await;
            let adopted = store.batch_get(&whole_id).await.unwrap().unwrap();
            assert_eq!(
                (adopted.path.as_str(), adopted.accepted, adopted.source.as_str()),
                (whole.as_str(), 1, "logpush")
            );

            let again = sweep::run(&hub.app, hub.app.clock.now()).await.unwrap();
            assert_eq!((again.adopted, again.removed), (0, 0));
            let journal = store.journal_latest(None, None, 100).await.unwrap();
            let told: Vec<&str> = journal
                .iter()
                .filter(|entry| entry.kind.as_str() == "archive.swept")
                .map(|entry| entry.summary.as_str())
                .collect();
            assert_eq!(told.len(), 1);
            assert!(told[0].starts_with("adopted 1 batches"), "{told:?}");
            let audited = store.audit_list(None, 100).await.unwrap();
            let sweep = audited
                .iter()
                .find(|row| row.action.as_str() == "archive.sweep")
                .unwrap();
            assert!(sweep.detail.contains(&damaged), "{}", sweep.detail);
        })
        .await;
    }
}

#[tokio::test]
async fn a_purge_does_not_end_before_it_has_looked_at_what_was_cut_off() {
    for is_folder in [true, false] {
        each(async |scratch| {
            let (_sandbox, hub, objects) = ready(scratch, is_folder).await;
            let omar = hub.app.store.person_by_email(OMAR).await.unwrap().unwrap();
            let (_, path) = cut_off(&hub, "1").await;
            let bytes = objects
                .get(&path.as_str().into())
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            objects
                .put(&"incoming/0198".into(), bytes.clone().into())
                .await
                .unwrap();
            let foreign = ConnectionId("c".to_owned());
            let foreign = batch_path("gateway_dns", start(), &foreign, &"ef".repeat(32), "logpush");
            objects.put(&foreign.as_str().into(), bytes.into()).await.unwrap();
            come_to(&hub, TimeDelta::minutes(1));
            let purge = async || driver::purge(&hub.app, &omar, "asked", &Actor::CommandLine, &|_| {}).await;
            let refused = purge().await.unwrap_err();
            assert!(
                matches!(
                    refused,
                    driver::FinishError::Purge(purge::PurgeError::Receiving { count: 2, .. })
                ),
                "{refused}"
            );
            let open = hub.app.store.purge_open(&omar.id).await.unwrap().unwrap();
            assert!(open.problem.unwrap().contains("try again after"));

            come_to(&hub, TimeDelta::minutes(40));
            let done = purge().await.unwrap();
            assert_eq!((done.records, done.events), (2, 1));
            let left = paths(&objects).await;
            assert_eq!(left.len(), 2, "{left:?}");
            for path in left {
                let packed = objects
                    .get(&path.as_str().into())
                    .await
                    .unwrap()
                    .bytes()
                    .await
                    .unwrap();
                let mut text = String::new();
                let mut whole = flate2::read::MultiGzDecoder::new(packed.as_ref());
                std::io::Read::read_to_string(&mut whole, &mut text).unwrap();
                assert!(!text.contains(OMAR), "{path}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_refused_and_nothing_of_it_remains() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start_with(scratch, |settings| settings.ingest.receive_limit_seconds = 1).await;
        hub.connect(&sandbox).await;
        let beginning = Ok(bytes::Bytes::from(lookup("1").to_string()));
        let body = stream::once(async { beginning }).chain(stream::pending());
        let connection = hub.connection().await;
        let error = hub::ingest::receive(&hub.app, &connection, "gateway_dns", "logpush", body.boxed())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, IngestError::Slow(why) if why.contains("longer than 1 seconds")),
            "{error}"
        );
        let incoming = hub.folder.path().join("archive/incoming");
        assert_eq!(std::fs::read_dir(incoming).map_or(0, Iterator::count), 0);
    })
    .await;
}
