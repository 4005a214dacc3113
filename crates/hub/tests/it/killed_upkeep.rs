//! Posture, sources of logs, retention and the sweep, killed in their middle: the next run comes out as if nothing had
//! happened.

use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use flate2::{Compression, write::GzEncoder};
use hub::event::EventFilter;
use hub::fault::{POINTS, killed_at};
use hub::settings::Settings;
use hub::source::logpush::{Outcome, enable};
use hub::source::objects::{BucketRequest, configure, read};
use hub::source::pull::pull;
use hub::{Actor, posture, retention, sweep};
use model::{Clock, SystemClock};
use sandbox::Sandbox;
use serde_json::json;
use std::io::Write;
use store::FindingFilter;
use store::scratch::Scratch;

/// What the tests below kill at.
const KILLED: [&str; 6] = [
    "posture.checked",
    "logpush.made",
    "source.received",
    "objects.received",
    "retention.removed",
    "sweep.adopted",
];

async fn ready(scratch: Scratch, change: impl FnOnce(&mut Settings)) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, |settings| {
        settings.logs.pull_first_hours = 24 * 30;
        change(settings);
    })
    .await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

fn lookup(id: &str) -> String {
    json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": "omar.said@tidewater.example", "QueryID": id,
        "QueryName": "news.daily.example" })
    .to_string()
}

async fn events(hub: &Hub, dataset: &str) -> usize {
    let filter = EventFilter {
        dataset: Some(dataset.to_owned()),
        limit: 1_000,
        ..EventFilter::default()
    };
    hub::event::find(&hub.app, &filter).await.unwrap().events.len()
}

async fn told(hub: &Hub, kind: &str) -> usize {
    let rows = hub.app.store.journal_latest(None, None, 1_000).await.unwrap();
    rows.iter().filter(|row| row.kind.as_str() == kind).count()
}

#[test]
fn every_point_of_upkeep_is_killed_here() {
    let stage = |point: &str| point.split_once('.').unwrap().0.to_owned();
    let stages = KILLED.map(stage);
    let of_these = POINTS
        .iter()
        .copied()
        .filter(|point| stages.contains(&stage(point)));
    assert_eq!(of_these.collect::<Vec<_>>(), KILLED);
}

#[tokio::test]
async fn checks_that_are_killed_open_each_finding_once() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch, |_| {}).await;
        hub.sync().await;
        let connection = hub.connection().await;
        let run = Box::pin(posture::run(&hub.app, &connection));
        assert!(killed_at("posture.checked", run).await.is_none());
        posture::run(&hub.app, &connection).await.unwrap();
        let filter = FindingFilter {
            limit: 1_000,
            ..FindingFilter::default()
        };
        let findings = hub.app.store.finding_list(&filter).await.unwrap();
        assert!(!findings.is_empty());
        assert_eq!(told(&hub, "finding.opened").await, findings.len());
        let again = posture::run(&hub.app, &connection).await.unwrap();
        assert_eq!((again.opened, again.resolved), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_job_that_was_made_by_a_killed_command_is_found_and_no_second_one_is_made() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch, |_| {}).await;
        let connection = hub.connection().await;
        let names = ["gateway_dns".to_owned()];
        let on = || {
            Box::pin(enable(
                &hub.app,
                &connection,
                &names,
                None,
                &Actor::CommandLine,
                &|_| {},
            ))
        };
        assert!(killed_at("logpush.made", on()).await.is_none());
        assert_eq!(sandbox.world().logpush_jobs("gateway_dns").len(), 1);
        let made = on().await.unwrap().remove(0);
        assert!(made.outcome != Outcome::Created, "{made:?}");
        assert_eq!(sandbox.world().logpush_jobs("gateway_dns").len(), 1);
        assert_eq!(on().await.unwrap().remove(0).outcome, Outcome::Already);
    })
    .await;
}

#[tokio::test]
async fn a_pull_that_is_killed_brings_every_record_once() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch, |_| {}).await;
        let connection = hub.connection().await;
        let names = ["access_requests".to_owned()];
        let round = || Box::pin(pull(&hub.app, &connection, &names, &|_| {}));
        assert!(killed_at("source.received", round()).await.is_none());
        hub.app.store.leases_run_out().await.unwrap();
        round().await.unwrap();
        hub.pipeline().await;
        assert_eq!(
            events(&hub, "access_requests").await,
            sandbox.world().access_login_count()
        );
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!(
            usize::try_from(counts.accepted).unwrap(),
            sandbox.world().access_login_count()
        );
    })
    .await;
}

#[tokio::test]
async fn an_object_whose_reading_is_killed_is_read_once() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch, |settings| settings.logs.pull = false).await;
        let bucket = tempfile::tempdir().unwrap();
        let day = bucket.path().join("20261120");
        std::fs::create_dir_all(&day).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        writeln!(encoder, "{}\n{}", lookup("1"), lookup("2")).unwrap();
        std::fs::write(day.join("one.log.gz"), encoder.finish().unwrap()).unwrap();
        let connection = hub.connection().await;
        let request = BucketRequest {
            place: format!("file://{}", bucket.path().display()),
            endpoint: None,
            keys: None,
        };
        configure(
            &hub.app,
            &connection,
            "gateway_dns",
            &request,
            &Actor::CommandLine,
        )
        .await
        .unwrap();
        let round = || Box::pin(read(&hub.app, &connection, "gateway_dns", None, &|_| {}));
        assert!(killed_at("objects.received", round()).await.is_none());
        hub.app.store.leases_run_out().await.unwrap();
        assert_eq!(round().await.unwrap().read, 1);
        hub.pipeline().await;
        assert_eq!(events(&hub, "gateway_dns").await, 2);
        assert_eq!(round().await.unwrap().read, 0);
    })
    .await;
}

#[tokio::test]
async fn retention_that_is_killed_forgets_the_batches_whose_objects_are_gone() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch, |settings| {
            settings.logs.pull = false;
            settings.archive.retention_days = 7;
        })
        .await;
        hub.sync().await;
        hub.receive("gateway_dns", lookup("1")).await.unwrap();
        hub.pipeline().await;
        assert_eq!(events(&hub, "gateway_dns").await, 1);
        hub.clock.advance(TimeDelta::days(8));
        let run = Box::pin(retention::run(&hub.app));
        assert!(killed_at("retention.removed", run).await.is_none());
        assert_eq!(hub.app.store.batch_counts(None).await.unwrap().batches, 1);
        assert_eq!(retention::run(&hub.app).await.unwrap(), 1);
        assert_eq!(hub.app.store.batch_counts(None).await.unwrap().batches, 0);
        assert_eq!(events(&hub, "gateway_dns").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_sweep_that_is_killed_adopts_each_batch_once() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch, |settings| settings.logs.pull = false).await;
        hub.sync().await;
        let store = &hub.app.store;
        for id in ["1", "2"] {
            hub.receive("gateway_dns", lookup(id)).await.unwrap();
        }
        // Both lie whole in the archive, and were cut off before they were written down.
        let batches = store.batch_list(None, None, 10).await.unwrap();
        let ids: Vec<String> = batches.into_iter().map(|batch| batch.id).collect();
        let now = hub.app.clock.now();
        store
            .archive_forget(&ids, &[], "gateway_dns", 0, "Batches removed", now)
            .await
            .unwrap();
        // The archive goes by the machine's clock.
        let ahead = SystemClock.now() + TimeDelta::hours(1) - hub.app.clock.now();
        hub.clock.advance(ahead);
        let run = Box::pin(sweep::run(&hub.app, hub.app.clock.now()));
        assert!(killed_at("sweep.adopted", run).await.is_none());
        let report = sweep::run(&hub.app, hub.app.clock.now()).await.unwrap();
        assert_eq!((report.adopted, report.removed), (1, 0));
        hub.pipeline().await;
        assert_eq!(events(&hub, "gateway_dns").await, 2);
    })
    .await;
}
