//! Exports that the server makes of a connection: one operation, one file, and no trace of what was cancelled.

use crate::kit::{Hub, each, story};
use c1z::Reader;
use futures::TryStreamExt;
use hub::baton::server::{self, Exported};
use hub::{Actor, operation};
use model::OperationOutcome;
use sandbox::Sandbox;
use store::OperationRow;

async fn ended(hub: &Hub, id: &str) -> OperationRow {
    assert!(server::run(&hub.app).await.unwrap());
    hub.app.store.operation_get(id).await.unwrap().unwrap()
}

async fn download(hub: &Hub) -> Option<Vec<u8>> {
    let connection = hub.connection().await.id;
    let pieces = server::newest(&hub.app, &connection).await.unwrap()?;
    let pieces: Vec<_> = pieces.try_collect().await.unwrap();
    Some(pieces.concat())
}

#[tokio::test]
async fn an_export_is_one_operation_and_one_file_that_keeps_the_one_before() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        let connection = hub.connection().await;
        let ask = async || {
            server::ask(&hub.app, &connection, &Actor::CommandLine)
                .await
                .unwrap()
                .id
        };

        let early = ask().await;
        let early = ended(&hub, &early).await;
        assert_eq!(early.outcome.as_deref(), Some(OperationOutcome::Failed.as_str()));
        assert!(early.problem.unwrap().contains("flareward sync"));

        hub.sync().await;
        let cancelled = ask().await;
        assert_eq!(ask().await, cancelled, "the one that waits");
        operation::cancel(&hub.app, &cancelled, &Actor::CommandLine)
            .await
            .unwrap();
        let cancelled = ended(&hub, &cancelled).await;
        assert_eq!(
            cancelled.outcome.as_deref(),
            Some(OperationOutcome::Cancelled.as_str())
        );
        assert!(download(&hub).await.is_none());

        for round in 1..=3 {
            hub.clock.advance(chrono::TimeDelta::seconds(1));
            let id = ask().await;
            let row = ended(&hub, &id).await;
            assert_eq!(
                row.outcome.as_deref(),
                Some(OperationOutcome::Done.as_str()),
                "{row:?}"
            );
            assert_eq!(Some(row.done), row.total);
            let exported: Exported = serde_json::from_str(&row.result.unwrap()).unwrap();
            let content = download(&hub).await.unwrap();
            assert_eq!(content.len() as u64, exported.bytes);
            let file = hub.folder.path().join("downloaded.c1z");
            std::fs::write(&file, &content).unwrap();
            let mut reader = Reader::open(&file, c1z::UNPACKED_BYTES_MAX).await.unwrap();
            let syncs = reader.syncs().await.unwrap();
            assert_eq!(syncs.len(), round.min(2), "this one and the one before");
            for sync in &syncs {
                let counts = reader.counts(&sync.id).await.unwrap();
                let grants: u64 = counts.grants.values().sum();
                assert_eq!(grants, exported.grants, "nothing changed in between");
                assert!(grants > 0);
            }
        }
        assert!(!server::run(&hub.app).await.unwrap(), "nothing else waits");
        assert!(!hub.app.settings.data.dir.join("export").exists());
        // The sweep of the archive leaves the file alone.
        hub.clock.advance(chrono::TimeDelta::days(3));
        hub::sweep::run(&hub.app, hub.app.clock.now()).await.unwrap();
        assert!(download(&hub).await.is_some());
        sandbox.stop().await;
    })
    .await;
}
