//! Buckets that Logpush writes to: each object once, and a damaged one keeps nothing else back.

use crate::kit::{Hub, each, story};
use bytes::Bytes;
use chrono::TimeDelta;
use flate2::{Compression, write::GzEncoder};
use hub::Actor;
use hub::bucket::BucketKeys;
use hub::source::objects::{BucketRequest, ObjectsError, Report, configure, forget, read};
use hub::source::{SourceStatus, status};
use sandbox::Sandbox;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use store::scratch::Scratch;

async fn ready(scratch: Scratch) -> (Sandbox, Hub, tempfile::TempDir) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, |settings| settings.logs.pull = false).await;
    hub.connect(&sandbox).await;
    let bucket = tempfile::tempdir().unwrap();
    (sandbox, hub, bucket)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn lookups(from: usize, to: usize) -> String {
    let lookup = |n: usize| {
        json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": "omar.said@tidewater.example",
            "QueryID": format!("q{n}"), "QueryName": "news.daily.example" })
        .to_string()
            + "\n"
    };
    (from..to).map(lookup).collect()
}

fn put(bucket: &Path, name: &str, body: impl AsRef<[u8]>) {
    let file = bucket.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, body).unwrap();
}

fn folder(bucket: &Path) -> BucketRequest {
    BucketRequest {
        place: format!("file://{}/{{DATE}}", bucket.display()),
        endpoint: None,
        keys: None,
    }
}

async fn set(hub: &Hub, request: &BucketRequest) -> Result<(), ObjectsError> {
    let connection = hub.connection().await;
    configure(&hub.app, &connection, "gateway_dns", request, &Actor::CommandLine).await
}

async fn round(hub: &Hub) -> Result<Report, ObjectsError> {
    let report = read(&hub.app, &hub.connection().await, "gateway_dns", None, &|_| {}).await;
    hub.pipeline().await;
    report
}

async fn accepted(hub: &Hub) -> i64 {
    hub.app.store.batch_counts(None).await.unwrap().accepted
}

async fn fares(hub: &Hub) -> SourceStatus {
    let mut all = status(&hub.app, None).await.unwrap();
    all.retain(|row| row.source == "object");
    all.remove(0)
}

#[tokio::test]
async fn each_object_is_read_once_also_after_a_restart() {
    each(async |scratch| {
        let (_sandbox, hub, bucket) = ready(scratch).await;
        put(
            bucket.path(),
            "20261119/20261119T120000Z_a.log.gz",
            gzip(&lookups(0, 10)),
        );
        put(
            bucket.path(),
            "20261120/20261120T110000Z_b.log.gz",
            gzip(&lookups(10, 20)),
        );
        put(
            bucket.path(),
            "20261118/20261118T110000Z_c.log.gz",
            gzip(&lookups(20, 30)),
        );
        put(bucket.path(), "20261120/ownership-challenge.txt", "eyJhbGciOi");
        put(
            bucket.path(),
            "20261120/test.txt.gz",
            gzip("{\"content\":\"tests\"}"),
        );
        set(&hub, &folder(bucket.path())).await.unwrap();
        let report = round(&hub).await.unwrap();
        assert_eq!((report.listed, report.read, accepted(&hub).await), (3, 3, 20));
        let report = round(&hub).await.unwrap();
        assert_eq!((report.listed, report.read), (3, 0));
        let shown = fares(&hub).await;
        assert_eq!((shown.state.as_str(), shown.warnings.len()), ("working", 0));
        assert!(shown.last_batch_at.is_some());
        // A second process, and a new object.
        let other = hub.again().await;
        put(
            bucket.path(),
            "20261120/20261120T113000Z_d.log.gz",
            gzip(&lookups(30, 40)),
        );
        let connection = hub.connection().await;
        let report = read(&other, &connection, "gateway_dns", None, &|_| {})
            .await
            .unwrap();
        assert_eq!(report.read, 1);
        // Older days are read when someone asks.
        let since = Some("2026-11-18".parse().unwrap());
        let report = read(&hub.app, &connection, "gateway_dns", since, &|_| {})
            .await
            .unwrap();
        assert_eq!((report.listed, report.read), (5, 1));
        hub.pipeline().await;
        assert_eq!(accepted(&hub).await, 40);
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.batches, counts.deliveries, counts.duplicates), (4, 4, 0));
        // The same object under another name is the same batch.
        put(
            bucket.path(),
            "20261120/20261120T114000Z_e.log.gz",
            gzip(&lookups(30, 40)),
        );
        assert_eq!(round(&hub).await.unwrap().read, 1);
        assert_eq!(accepted(&hub).await, 40);
    })
    .await;
}

#[tokio::test]
async fn a_damaged_object_is_set_aside_and_told_and_the_others_go_on() {
    each(async |scratch| {
        let (_sandbox, hub, bucket) = ready(scratch).await;
        let whole = gzip(&lookups(0, 10));
        put(bucket.path(), "20261120/1.log.gz", gzip(&lookups(10, 20)));
        put(bucket.path(), "20261120/2.log.gz", &whole[..whole.len() - 9]);
        put(bucket.path(), "20261120/3.log.gz", gzip(&lookups(20, 30)));
        set(&hub, &folder(bucket.path())).await.unwrap();
        let report = round(&hub).await.unwrap();
        assert_eq!((report.read, report.set_aside.len()), (2, 1));
        assert!(report.set_aside[0].0.ends_with("20261120/2.log.gz"), "{report:?}");
        assert_eq!(accepted(&hub).await, 20);
        let shown = fares(&hub).await;
        assert_eq!(shown.state.as_str(), "working");
        assert!(
            shown.warnings[0].contains("1 objects could not be ingested"),
            "{:?}",
            shown.warnings
        );
        assert!(
            round(&hub).await.unwrap().set_aside.is_empty(),
            "it is not tried again as it is"
        );
        let rows = hub.app.store.journal_latest(None, None, 100).await.unwrap();
        let told = rows
            .iter()
            .filter(|row| row.kind.as_str() == "log_source.object_set_aside");
        assert_eq!(told.count(), 1);
        // Written anew, it is another object.
        put(bucket.path(), "20261120/2.log.gz", whole);
        assert_eq!(round(&hub).await.unwrap().read, 1);
        assert_eq!(accepted(&hub).await, 30);
        assert!(fares(&hub).await.warnings.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_driver_reads_when_the_time_has_come_and_a_bucket_that_is_gone_is_told() {
    each(async |scratch| {
        let (_sandbox, hub, bucket) = ready(scratch).await;
        set(&hub, &folder(bucket.path())).await.unwrap();
        hub::source::run(&hub.app).await.unwrap();
        assert_eq!(fares(&hub).await.state.as_str(), "working");
        put(bucket.path(), "20261120/1.log.gz", gzip(&lookups(0, 10)));
        hub::source::run(&hub.app).await.unwrap();
        assert!(fares(&hub).await.last_batch_at.is_none(), "not before its time");
        hub.clock.advance(TimeDelta::minutes(5));
        hub::source::run(&hub.app).await.unwrap();
        assert!(fares(&hub).await.last_batch_at.is_some());
        let place = bucket.path().to_owned();
        drop(bucket);
        hub.clock.advance(TimeDelta::minutes(5));
        hub::source::run(&hub.app).await.unwrap();
        let shown = fares(&hub).await;
        assert_eq!(shown.state.as_str(), "failing");
        assert!(shown.problem.unwrap().contains(&place.display().to_string()));
        assert!(
            forget(
                &hub.app,
                &hub.connection().await,
                "gateway_dns",
                &Actor::CommandLine
            )
            .await
            .unwrap()
        );
        assert!(matches!(round(&hub).await, Err(ObjectsError::Source(_))));
    })
    .await;
}

#[tokio::test]
async fn an_s3_bucket_is_read_with_sealed_keys() {
    each(async |scratch| {
        let (_sandbox, hub, _bucket) = ready(scratch).await;
        let body = gzip(&lookups(0, 10));
        let size = body.len();
        let listing = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>logs</Name><KeyCount>1</KeyCount>\
             <IsTruncated>false</IsTruncated><Contents><Key>dns/20261120/1.log.gz</Key>\
             <LastModified>2026-11-20T11:00:00.000Z</LastModified><ETag>\"e1\"</ETag><Size>{size}</Size>\
             </Contents></ListBucketResult>"
        );
        let empty = "<?xml version=\"1.0\"?><ListBucketResult><Name>logs</Name><KeyCount>0</KeyCount>\
                     <IsTruncated>false</IsTruncated></ListBucketResult>";
        let router = axum::Router::new()
            .route(
                "/logs",
                axum::routing::get(
                    move |uri: axum::http::Uri, headers: axum::http::HeaderMap| async move {
                        let signed = headers["authorization"].to_str().unwrap();
                        assert!(signed.contains("Credential=AKIAEXAMPLE/"), "{signed}");
                        if uri.query().unwrap_or_default().contains("20261120") {
                            listing
                        } else {
                            empty.to_owned()
                        }
                    },
                ),
            )
            .route(
                "/logs/dns/20261120/1.log.gz",
                axum::routing::get(move || async move {
                    (
                        [
                            ("etag", "\"e1\""),
                            ("last-modified", "Fri, 20 Nov 2026 11:00:00 GMT"),
                        ],
                        Bytes::from(body),
                    )
                }),
            );
        let endpoint = crate::kit::stand_in(router).await;
        let request = BucketRequest {
            place: "s3://logs/dns/{DATE}".to_owned(),
            endpoint: Some(endpoint),
            keys: Some(BucketKeys {
                id: "AKIAEXAMPLE".to_owned(),
                secret: "the-secret-of-the-bucket".into(),
            }),
        };
        set(&hub, &request).await.unwrap();
        let report = round(&hub).await.unwrap();
        assert_eq!((report.listed, report.read), (1, 1));
        assert_eq!(round(&hub).await.unwrap().read, 0);
        assert_eq!(accepted(&hub).await, 10);
        let stored = crate::kit::everything_stored(&hub).await;
        assert!(!stored.contains("the-secret-of-the-bucket"));
        // An endpoint that leads inside is refused before it is called.
        let inside = BucketRequest {
            endpoint: Some("http://169.254.169.254".to_owned()),
            ..request
        };
        let error = set(&hub, &inside).await.unwrap_err();
        assert!(
            hub::causes(&error).contains("not public"),
            "{}",
            hub::causes(&error)
        );
    })
    .await;
}

#[tokio::test]
async fn a_source_that_gives_nothing_usable_is_failing_with_the_reason() {
    each(async |scratch| {
        let (_sandbox, hub, bucket) = ready(scratch).await;
        put(
            bucket.path(),
            "20261120/20261120T110000Z_a.log.gz",
            gzip("Datetime,Email,QueryID\nx,y,z\nx,y,z\n"),
        );
        set(&hub, &folder(bucket.path())).await.unwrap();
        round(&hub).await.unwrap();
        let shown = fares(&hub).await;
        assert_eq!(shown.state.as_str(), "failing");
        let problem = shown.problem.unwrap();
        assert!(
            problem.contains("unsupported format: CSV")
                && problem.contains("set the Logpush output_type to ndjson"),
            "{problem}"
        );
        // The journal is told at the next look, once.
        for name in ["b", "c"] {
            put(
                bucket.path(),
                &format!("20261120/20261120T11{name}.log.gz"),
                gzip(&lookups(0, 3)),
            );
            round(&hub).await.unwrap();
        }
        let journal = hub.app.store.journal_latest(None, None, 1_000).await.unwrap();
        let told = journal
            .iter()
            .filter(|row| row.kind.as_str() == "log_source.failing");
        assert_eq!(told.count(), 1);
        // Good objects make it well again.
        for number in 0..20 {
            let name = format!("20261120/20261120T12{number:02}.log.gz");
            put(bucket.path(), &name, gzip(&lookups(number * 10, number * 10 + 9)));
        }
        hub.clock.advance(TimeDelta::minutes(1));
        round(&hub).await.unwrap();
        assert_eq!(fares(&hub).await.state.as_str(), "working");
    })
    .await;
}

#[tokio::test]
async fn what_is_pushed_or_taken_from_files_is_judged_too() {
    each(async |scratch| {
        let (_sandbox, hub, _bucket) = ready(scratch).await;
        let connection = hub.connection().await;
        let network = json!({ "Datetime": "2026-11-20T11:00:00Z", "SessionID": "n", "Action": "block", "SNI": "y.example",
            "DestinationIP": "203.0.113.5", "Email": "a@x.example" });
        let body = format!("{}{network}\n", lookups(0, 4));
        hub.receive("gateway_dns", body).await.unwrap();
        let table = futures::stream::iter([Ok(Bytes::from_static(b"Datetime,HTTPHost\nx,y\n"))]);
        hub::ingest::receive(&hub.app, &connection, "gateway_http", "file", table).await.unwrap();
        hub.receive("access_requests", "not a record").await.unwrap();
        let few = format!("{}{{oops\n", lookups(10, 40));
        hub.receive("gateway_dns", few).await.unwrap();
        hub.pipeline().await;
        let all = status(&hub.app, None).await.unwrap();
        let of = |dataset: &str| all.iter().find(|one| one.dataset == dataset).unwrap();
        // Two of thirty-six are few enough.
        assert_eq!(of("gateway_dns").state.as_str(), "unmanaged");
        for (dataset, source, words) in [("gateway_http", "file", "unsupported format: CSV"), ("access_requests", "logpush", "not JSON")] {
            let one = of(dataset);
            assert_eq!((one.source.as_str(), one.state.as_str()), (source, "failing"));
            assert!(one.problem.as_ref().unwrap().contains(words), "{one:?}");
        }
    })
    .await;
}
