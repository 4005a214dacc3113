//! What is removed on purpose: old batches, and what is held of one person.

use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use flate2::read::MultiGzDecoder;
use hub::Actor;
use hub::archive::Archive;
use hub::event::EventFilter;
use hub::{driver, purge};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use store::BatchRow;
use store::scratch::Scratch;

const ANA: &str = "omar.said@tidewater.example";
const TOM: &str = "tom.okafor@tidewater.example";

/// A hub whose archive is in memory, as a bucket would be elsewhere.
async fn ready(scratch: Scratch, rules: &[&str], days: u64) -> (Sandbox, Hub, Arc<InMemory>) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let mut hub = Hub::start_with(scratch, |settings| {
        settings.logs.pull = false;
        settings.archive.keep_batches_days = 1_000;
        settings.archive.retention_days = days;
        settings.archive.retention_days_by_dataset = rules.iter().map(|rule| (*rule).to_owned()).collect();
    })
    .await;
    let objects = Arc::new(InMemory::new());
    hub.app.archive = Archive::over(Arc::clone(&objects) as _);
    hub.connect(&sandbox).await;
    hub.sync().await;
    (sandbox, hub, objects)
}

fn lookup(email: &str, id: &str) -> Value {
    json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": email, "QueryID": id, "QueryName": "news.daily.example" })
}

async fn text_of(objects: &InMemory, batch: &BatchRow) -> Option<String> {
    let got = objects.get(&batch.path.as_str().into()).await.ok()?;
    let mut text = String::new();
    let packed = got.bytes().await.unwrap();
    MultiGzDecoder::new(packed.as_ref())
        .read_to_string(&mut text)
        .unwrap();
    Some(text)
}

async fn batches(hub: &Hub) -> Vec<BatchRow> {
    hub.app.store.batch_list(None, None, 1_000).await.unwrap()
}

async fn events(hub: &Hub) -> usize {
    let filter = EventFilter {
        limit: 1_000,
        ..EventFilter::default()
    };
    hub::event::find(&hub.app, &filter).await.unwrap().events.len()
}

#[tokio::test]
async fn old_batches_go_with_their_events_and_each_dataset_has_its_time() {
    each(async |scratch| {
        let (_sandbox, hub, objects) = ready(scratch, &["gateway_dns=7", "ssh_logs=0"], 30).await;
        hub.happen("gateway_dns", &[lookup(ANA, "1"), lookup(TOM, "2")])
            .await;
        hub.happen(
            "gateway_http",
            &[json!({ "Datetime": "2026-11-20T11:00:00Z", "RequestID": "1" })],
        )
        .await;
        hub.happen("ssh_logs", &[json!({ "Datetime": "2026-11-20T11:00:00Z" })])
            .await;
        let all = batches(&hub).await;
        assert_eq!(hub::retention::run(&hub.app).await.unwrap(), 0);
        hub.clock.advance(TimeDelta::days(8));
        // This one is new.
        let mut new = lookup(ANA, "3");
        new["Datetime"] = json!("2026-11-28T11:00:00Z");
        hub.happen("gateway_dns", &[new]).await;
        assert_eq!(hub::retention::run(&hub.app).await.unwrap(), 1);
        assert_eq!(events(&hub).await, 3);
        let dns = all.iter().find(|batch| batch.dataset == "gateway_dns").unwrap();
        assert!(text_of(&objects, dns).await.is_none(), "its object is gone");
        assert_eq!(hub::retention::run(&hub.app).await.unwrap(), 0);
        hub.clock.advance(TimeDelta::days(40));
        // What is not processed yet stays.
        hub.receive("gateway_dns", lookup(ANA, "4").to_string())
            .await
            .unwrap();
        hub.clock.advance(TimeDelta::days(40));
        // An object that somebody else removed is no problem.
        let http = all.iter().find(|batch| batch.dataset == "gateway_http").unwrap();
        objects.delete(&http.path.as_str().into()).await.unwrap();
        assert_eq!(hub::retention::run(&hub.app).await.unwrap(), 2);
        let left: Vec<String> = batches(&hub)
            .await
            .into_iter()
            .map(|batch| batch.dataset)
            .collect();
        assert_eq!(left, ["gateway_dns", "ssh_logs"]);
        let rows = hub.app.store.journal_latest(None, None, 100).await.unwrap();
        let told: Vec<&str> = rows
            .iter()
            .filter(|row| row.kind.as_str() == "archive.retention")
            .map(|row| row.summary.as_str())
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[2].contains("2 records and 1 batches of gateway_dns were older than 7 days"),
            "{told:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_persons_records_leave_the_archive_and_the_events_and_nobody_elses_do() {
    each(async |scratch| {
        let (_sandbox, hub, objects) = ready(scratch, &[], 0).await;
        let ana = hub.app.store.person_by_email(ANA).await.unwrap().unwrap();
        hub.happen("gateway_dns", &[lookup(ANA, "1"), lookup(TOM, "2")])
            .await;
        hub.happen("gateway_dns", &[lookup(TOM, "3")]).await;
        // The same record in a second batch has no event of its own, and a broken line names the person.
        let lines = format!(
            "{}\n{}\n{{\"Email\":\"{ANA}\", oops\n",
            lookup(&ANA.to_uppercase(), "1"),
            lookup(TOM, "4")
        );
        hub.receive("gateway_dns", lines).await.unwrap();
        hub.pipeline().await;
        let before = batches(&hub).await;
        let untouched = before.iter().find(|batch| batch.records == 1).unwrap();
        let object = objects.head(&untouched.path.as_str().into()).await.unwrap();
        assert!(matches!(
            driver::purge(&hub.app, &ana, " ", &Actor::CommandLine, &|_| {}).await,
            Err(driver::FinishError::Purge(purge::PurgeError::Reason))
        ));
        let done = driver::purge(
            &hub.app,
            &ana,
            "asked to be forgotten",
            &Actor::CommandLine,
            &|_| {},
        )
        .await
        .unwrap();
        assert_eq!(
            (done.batches, done.objects, done.records, done.events),
            (3, 4, 3, 2)
        );
        for batch in batches(&hub).await {
            let text = text_of(&objects, &batch).await.unwrap().to_lowercase();
            assert!(!text.contains(ANA), "{text}");
            assert!(text.contains(TOM), "{text}");
        }
        let after = objects.head(&untouched.path.as_str().into()).await.unwrap();
        assert_eq!(
            object.last_modified, after.last_modified,
            "what holds nothing of the person is left alone"
        );
        assert_eq!(events(&hub).await, 3);
        let rejects = hub.app.store.reject_list(None, 10).await.unwrap();
        assert_eq!(
            (rejects.len(), rejects[0].count, rejects[0].samples.len()),
            (1, 1, 0)
        );
        // The same content delivered again does not bring it back.
        let again = format!("{}\n{}", lookup(ANA, "1"), lookup(TOM, "2"));
        assert!(matches!(
            hub.receive("gateway_dns", again).await.unwrap(),
            hub::ingest::Received::Duplicate(_)
        ));
        // Nothing is left to do, and that is said.
        let again = driver::purge(&hub.app, &ana, "once more", &Actor::CommandLine, &|_| {})
            .await
            .unwrap();
        assert_eq!((again.objects, again.events), (0, 0));
        let audited = hub.app.store.audit_list(None, 100).await.unwrap();
        let purges = audited.iter().filter(|row| row.action.as_str() == "events.purge");
        assert!(purges.clone().count() == 4 && purges.clone().all(|row| !row.target.contains('@')));
    })
    .await;
}

#[tokio::test]
async fn a_purge_that_was_cut_off_goes_on() {
    each(async |scratch| {
        let (_sandbox, hub, objects) = ready(scratch, &[], 0).await;
        let ana = hub.app.store.person_by_email(ANA).await.unwrap().unwrap();
        for n in 0..30 {
            hub.happen(
                "gateway_dns",
                &[lookup(ANA, &format!("a{n}")), lookup(TOM, &format!("t{n}"))],
            )
            .await;
        }
        // One of the last objects cannot be read.
        let mut all = batches(&hub).await;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let broken = &all[28];
        let whole = objects
            .get(&broken.path.as_str().into())
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        objects
            .put(
                &broken.path.as_str().into(),
                whole.slice(..whole.len() / 2).into(),
            )
            .await
            .unwrap();
        let error = driver::purge(&hub.app, &ana, "asked", &Actor::CommandLine, &|_| {})
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&broken.path), "{error}");
        assert_eq!(events(&hub).await, 60, "events go last");
        let begun = hub.app.store.purge_open(&ana.id).await.unwrap().unwrap();
        assert_eq!(begun.batches, 28);
        // The stage tries, and then leaves it alone for a while: a try lists the whole archive.
        let stopped = async || {
            hub.app
                .store
                .purge_problem_set(&begun.id, Some("stopped"))
                .await
                .unwrap();
            assert!(!purge::run(&hub.app).await.unwrap());
            let row = hub.app.store.purge_get(&begun.id).await.unwrap().unwrap();
            row.problem.unwrap() == "stopped"
        };
        assert!(!stopped().await, "it was not tried");
        assert!(stopped().await, "it was tried again at once");
        hub.clock.advance(TimeDelta::minutes(11));
        assert!(!stopped().await, "it was not tried after a while");
        objects
            .put(&broken.path.as_str().into(), whole.into())
            .await
            .unwrap();
        // What comes before it is asked for again lies anywhere in the order of the batches.
        hub.clock.advance(TimeDelta::hours(1));
        for n in 0..10 {
            hub.happen("gateway_dns", &[lookup(ANA, &format!("later{n}"))])
                .await;
        }
        assert!(
            batches(&hub)
                .await
                .iter()
                .any(|batch| batch.id < begun.position && batch.received_at > begun.started_at)
        );
        let mut other = hub.again().await;
        other.archive = hub.app.archive.clone();
        let done = driver::purge(&other, &ana, "asked", &Actor::CommandLine, &|_| {})
            .await
            .unwrap();
        assert_eq!(events(&hub).await, 30);
        assert_eq!(done.records, 40);
        for batch in &batches(&hub).await {
            assert!(!text_of(&objects, batch).await.unwrap().contains(ANA));
        }
        assert_eq!(done.id, begun.id, "it is the same purge");
    })
    .await;
}
