//! The log receiver answers 200 when a batch is durable, and never before.

use crate::world::{LOG_SECRET, World, dns};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_batch_is_stored_once_however_often_it_comes() {
    let world = World::new().await;
    let line = dns("ana@corp.example", "q1").to_string();
    let first = world.receive("gateway_dns", line.clone()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert_eq!(first.json()["received"], "stored");
    let again = world.receive("gateway_dns", gzip(line.as_bytes())).await.json();
    assert_eq!(again["received"], "duplicate");
    assert_eq!(again["batch_id"], first.json()["batch_id"]);
}

#[tokio::test]
async fn a_test_upload_and_an_empty_body_keep_nothing() {
    let world = World::new().await;
    let test = world
        .receive("gateway_dns", gzip(br#"{"content":"tests"}"#))
        .await;
    assert_eq!(test.json()["received"], "test");
    assert_eq!(world.receive("gateway_dns", "").await.json()["received"], "empty");
    assert_eq!(world.app.store.batch_counts(None).await.unwrap().batches, 0);
}

#[tokio::test]
async fn the_secret_may_stand_in_either_header_or_in_the_query() {
    let world = World::new().await;
    let send = async |request: Request<Body>| world.send(request).await.status;
    let body = || Body::from("test");
    let path = "/ingest/c1/gateway_dns";
    let request = Request::post(path).header("authorization", format!("Bearer {LOG_SECRET}"));
    assert_eq!(send(request.body(body()).unwrap()).await, StatusCode::OK);
    let request = Request::post(format!("{path}?secret={LOG_SECRET}"));
    assert_eq!(send(request.body(body()).unwrap()).await, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_connection_are_answered_alike() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for (connection, secret) in [
        ("production", "wrong"),
        ("production", ""),
        ("nowhere", LOG_SECRET),
    ] {
        let request = Request::post(format!("/ingest/{connection}/gateway_dns"))
            .header("x-flareward-secret", secret)
            .body(Body::from("test"))
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let mut problem = answer.json();
        problem["instance"].take();
        answers.push(problem);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_leaves_nothing() {
    let world = World::with(|settings| settings.ingest.batch_limit_bytes = 64 << 20).await;
    let whole = gzip(dns("ana@corp.example", "q1").to_string().as_bytes());
    let half = whole[..whole.len() / 2].to_vec();
    // 32 MiB of zeros pack to some 32 KiB.
    let bomb = gzip(&vec![0; 32 << 20]);
    for (dataset, body, status) in [
        ("gateway_dns", half, StatusCode::BAD_REQUEST),
        ("gateway_dns", bomb, StatusCode::PAYLOAD_TOO_LARGE),
        ("gateway_smtp", whole, StatusCode::NOT_FOUND),
    ] {
        let answer = world.receive(dataset, body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    assert_eq!(world.app.store.batch_counts(None).await.unwrap().batches, 0);
}

#[tokio::test]
async fn a_batch_beyond_the_limit_is_too_large() {
    let world = World::with(|settings| settings.ingest.batch_limit_bytes = 1_000).await;
    let line = dns("ana@corp.example", "q1").to_string();
    let answer = world
        .receive("gateway_dns", gzip(line.repeat(10).as_bytes()))
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
    assert!(
        answer.text.contains("ingest.batch_limit_bytes"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_batch_larger_than_other_bodies_may_be_is_taken() {
    let world = World::new().await;
    let line = dns("ana@corp.example", "q1").to_string() + "\n";
    let answer = world.receive("gateway_dns", line.repeat(12_000)).await;
    assert_eq!(answer.json()["received"], "stored", "{}", answer.text);
}

#[tokio::test]
async fn an_archive_that_cannot_be_written_asks_the_sender_to_come_again() {
    let world = World::new().await;
    std::fs::remove_dir_all(world.archive()).unwrap();
    std::fs::write(world.archive(), "in the way").unwrap();
    let answer = world
        .receive("gateway_dns", dns("ana@corp.example", "q1").to_string())
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(world.app.store.batch_counts(None).await.unwrap().batches, 0);
}
