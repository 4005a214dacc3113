//! The API keeps to its description, and the committed description is the one that is served.

use crate::world::World;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::path::Path;

fn described() -> Value {
    serde_json::to_value(web::api::openapi()).unwrap()
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&described()).unwrap());
    if std::env::var_os("FLAREWARD_RENEW").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == now,
        "docs/openapi.json is old; renew it:\n    \
         FLAREWARD_RENEW=1 cargo test -p flareward-web the_committed_description"
    );
}

#[test]
fn every_operation_names_its_permission_and_describes_its_answers() {
    let words: Vec<&str> = hub::Permission::ALL.iter().map(|one| one.as_str()).collect();
    let description = described();
    assert_eq!(description["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let place = format!("{method} {path}");
            let security = operation["security"]
                .as_array()
                .unwrap_or_else(|| panic!("{place}"));
            for one in security {
                let word = one["token"][0].as_str().unwrap_or_else(|| panic!("{place}"));
                assert!(words.contains(&word), "{place}: {word}");
            }
            assert!(operation["summary"].is_string(), "{place} has no summary");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let words = response["description"].as_str().unwrap_or_default();
                assert!(!words.is_empty(), "{place}: {status} has no description");
            }
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "two operations have one id");
    assert!(count > 40, "{count}");
}

/// The description's schemas, allowing nothing that they do not name.
fn closed_components(description: &Value) -> Value {
    let mut components = description["components"].clone();
    for schema in components["schemas"].as_object_mut().unwrap().values_mut() {
        if let Some(schema) = schema
            .as_object_mut()
            .filter(|schema| schema.contains_key("properties"))
        {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    components
}

#[tokio::test]
async fn every_get_answers_what_the_description_says() {
    let world = World::lived_in().await;
    let description = described();
    let components = closed_components(&description);
    let mut parts = Map::new();
    for (name, list, pointer) in [
        ("connection", "connections", "/items/0/id"),
        ("person", "people", "/items/0/id"),
        ("event", "events", "/items/0/id"),
        ("sync", "syncs", "/items/0/id"),
        ("rule", "rules", "/items/0/name"),
        ("document", "rule-documents", "/items/0/name"),
        ("detection", "detections", "/items/0/id"),
        ("campaign", "campaigns", "/items/0/id"),
        ("capability", "capabilities", "/items/0/id"),
        ("change", "access/changes", "/items/0/id"),
        ("purge", "purges", "/items/0/id"),
        ("operation", "operations", "/items/0/id"),
    ] {
        let answer = world.get(&format!("/api/v1/{list}")).await.json();
        let id = answer
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{list}: {answer}"));
        parts.insert(name.to_owned(), id.clone());
    }
    for (path, operations) in description["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get").filter(|_| !path.ends_with("/stream")) else {
            continue;
        };
        let content = &operation["responses"]["200"]["content"];
        // Downloads have no schema of their bodies.
        if content.get("application/octet-stream").is_some() {
            continue;
        }
        let mut address = path.clone();
        for (name, value) in &parts {
            address = address.replace(&format!("{{{name}}}"), value.as_str().unwrap());
        }
        if path == "/api/v1/objects" {
            address.push_str("?kind=service-tokens");
        }
        if path == "/api/v1/access/explain" {
            address.push_str("?person=ana@corp.example&group=Engineers");
        }
        let answer = world.get(&address).await;
        assert_eq!(answer.status, StatusCode::OK, "{address}: {}", answer.text);
        let body = answer.json();
        let mut schema = content["application/json"]["schema"].clone();
        schema["components"] = components.clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let problems: Vec<String> = validator
            .iter_errors(&body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{address}: {problems:?}\n{body:#}");
        if let Some(items) = body.get("items").filter(|_| path != "/api/v1/rule-problems") {
            assert_ne!(
                items,
                &json!([]),
                "{address} lists nothing: the test shows nothing"
            );
        }
        for secret in [
            "s3cret-path",
            "sealed",
            "token_hash",
            "secret_hash",
            "fwlog_",
            &world.token,
        ] {
            assert!(!answer.text.contains(secret), "{address} shows {secret}");
        }
    }
}

#[tokio::test]
async fn pages_follow_one_another_to_the_end() {
    let world = World::lived_in().await;
    for list in ["people", "grants", "events", "detections", "journal", "audit"] {
        let whole = world.get(&format!("/api/v1/{list}")).await.json();
        let mut found = Vec::new();
        let mut address = format!("/api/v1/{list}?limit=1");
        loop {
            let page = world.get(&address).await.json();
            found.extend(page["items"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(cursor) => address = format!("/api/v1/{list}?limit=1&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(json!(found), whole["items"], "{list}");
        assert!(found.len() > 1, "{list}");
    }
}

#[tokio::test]
async fn changes_since_a_time_come_in_pages() {
    let world = World::lived_in().await;
    let all = world
        .get("/api/v1/risk/changes?since=2026-11-20T09:14:05Z")
        .await
        .json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all}");
    assert_eq!(all["items"][0]["current"], "high");
    let later = world
        .get("/api/v1/risk/changes?since=2026-11-20T09:14:06Z")
        .await
        .json();
    assert_eq!(later["items"], json!([]));
}
