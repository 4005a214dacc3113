//! Buckets as a source of logs: what a caller may name, and what becomes of it.

use crate::world::{LOG_SECRET, World, dns};
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::collections::HashMap;

const BUCKET: &str = "/api/v1/log-sources/production/gateway_dns/bucket";
const KEY: &str = "dns/20261120/one.log";

/// The two calls of S3 that reading needs, about one object.
async fn service() -> String {
    let text = format!("{}\n", dns("ana@corp.example", "from-a-bucket"));
    let length = text.len();
    let list = async move |Query(asked): Query<HashMap<String, String>>, headers: HeaderMap| {
        let signed = headers["authorization"].to_str().unwrap().to_owned();
        assert!(signed.contains("Credential=the-id/"), "{signed}");
        let object = format!(
            "<Contents><Key>{KEY}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
             <Size>{length}</Size></Contents>"
        );
        let is_there = KEY.starts_with(asked["prefix"].as_str());
        format!(
            "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
            if is_there { object } else { String::new() }
        )
    };
    let get = async move |Path(key): Path<String>| {
        assert_eq!(key, KEY);
        let headers = [
            ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT"),
            ("etag", "\"1\""),
        ];
        (headers, text.clone()).into_response()
    };
    let router = Router::new()
        .route("/logs", axum::routing::get(list))
        .route("/logs/", axum::routing::get(list))
        .route("/logs/{*key}", axum::routing::get(get));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn bucket(endpoint: &str) -> Value {
    json!({ "place": "s3://logs/dns/{DATE}", "endpoint": endpoint, "access_key_id": "the-id",
        "secret_key": "the-secret" })
}

#[tokio::test]
async fn a_bucket_is_set_read_once_and_forgotten() {
    let world = World::with(|settings| {
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
    })
    .await;
    let endpoint = service().await;
    let made = world.call(Method::PUT, BUCKET, Some(bucket(&endpoint))).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert!(
        !made.text.contains("the-secret") && !made.text.contains(LOG_SECRET),
        "{}",
        made.text
    );
    let row = made.json();
    assert_eq!(
        (&row["source"], &row["state"], &row["place"]),
        (
            &json!("object"),
            &json!("waiting"),
            &json!("s3://logs/dns/{DATE}")
        )
    );
    let read = format!("{BUCKET}/read?since=2026-11-18");
    for (listed, taken) in [(1, 1), (1, 0)] {
        let answer = world.call(Method::POST, &read, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(
            answer.json(),
            json!({ "listed": listed, "read": taken, "set_aside": [] })
        );
    }
    // What is known is known with its key.
    let again = json!({ "place": "s3://logs/dns/{DATE}", "endpoint": endpoint });
    assert_eq!(
        world.call(Method::PUT, BUCKET, Some(again)).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.call(Method::POST, &read, None).await.json()["read"],
        json!(0)
    );
    let shown = world.get("/api/v1/log-sources").await.json();
    assert_eq!(shown["items"][0]["state"], "working");
    assert_eq!(
        world.call(Method::DELETE, BUCKET, None).await.status,
        StatusCode::NO_CONTENT
    );
    for (method, path) in [(Method::DELETE, BUCKET), (Method::POST, &read)] {
        let answer = world.call(method, path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
    }
    let audit = world.get("/api/v1/audit?limit=10").await.json();
    let actions: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["action"].as_str()?.strip_prefix("logs."))
        .collect();
    assert_eq!(
        actions,
        [
            "objects_read",
            "objects_forget",
            "objects_read",
            "objects",
            "objects_read",
            "objects_read",
            "objects"
        ]
    );
}

#[tokio::test]
async fn a_caller_names_no_folder_and_borrows_no_key() {
    let world = World::new().await;
    let with = |name: &str, value: Value| {
        let mut body = bucket("https://objects.corp.example");
        body[name] = value;
        body
    };
    for (path, body, status, place) in [
        (
            BUCKET,
            with("place", json!("file:///etc")),
            StatusCode::UNPROCESSABLE_ENTITY,
            "/place",
        ),
        (
            BUCKET,
            with("place", json!("gs://logs/dns")),
            StatusCode::UNPROCESSABLE_ENTITY,
            "/place",
        ),
        (
            BUCKET,
            with("secret_key", Value::Null),
            StatusCode::UNPROCESSABLE_ENTITY,
            "/secret_key",
        ),
        (
            BUCKET,
            json!({ "place": "s3://logs/dns" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "/access_key_id",
        ),
        (
            BUCKET,
            with("endpoint", json!("http://10.0.0.1:9000")),
            StatusCode::UNPROCESSABLE_ENTITY,
            "/endpoint",
        ),
        (
            "/api/v1/log-sources/production/gateway_smoke/bucket",
            with("place", json!("s3://logs")),
            StatusCode::NOT_FOUND,
            "",
        ),
        (
            "/api/v1/log-sources/nobody/gateway_dns/bucket",
            with("place", json!("s3://logs")),
            StatusCode::NOT_FOUND,
            "",
        ),
    ] {
        let answer = world.call(Method::PUT, path, Some(body)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        if !place.is_empty() {
            assert_eq!(answer.json()["errors"][0]["pointer"], place, "{}", answer.text);
        }
    }
    assert_eq!(world.get("/api/v1/log-sources").await.json()["items"], json!([]));
}
