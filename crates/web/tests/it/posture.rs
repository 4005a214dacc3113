//! Posture over the API and in the console: lists, filters, muting and its refusals.

use crate::world::World;
use axum::http::{Method, StatusCode};
use hub::posture;
use serde_json::{Value, json};

async fn items(world: &World, path: &str) -> Vec<Value> {
    let answer = world.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.json()["items"].as_array().unwrap().clone()
}

/// Findings of three members, beside those of the world.
async fn with_findings() -> World {
    let world = World::lived_in().await;
    let connection = world.app.store.connection_list().await.unwrap().remove(0);
    let seen: Vec<store::FindingSeen> = [("f1", "high", "m1"), ("f2", "high", "m2"), ("f3", "low", "m3")]
        .into_iter()
        .map(|(id, severity, subject)| store::FindingSeen {
            id: id.to_owned(),
            severity: severity.parse().unwrap(),
            subject_kind: "member".to_owned(),
            subject_id: subject.to_owned(),
            subject_name: format!("{subject}@corp.example"),
            evidence: json!({ "summary": "the second factor is off" }).to_string(),
        })
        .collect();
    let result = store::CheckResultRow {
        connection_id: connection.id.clone(),
        check_id: "member_2fa_off".to_owned(),
        verdict: model::CheckVerdict::Fail,
        unknown_reason: None,
        findings: 3,
        checked_at: world.app.clock.now(),
    };
    let entry = |finding: &store::FindingSeen| store::JournalEntry {
        at: world.app.clock.now(),
        kind: model::JournalKind::FindingOpened,
        person_id: None,
        connection_id: None,
        subject_id: Some(finding.id.clone()),
        summary: "found".to_owned(),
        data: json!({}),
    };
    let none = std::collections::HashSet::new();
    world
        .app
        .store
        .finding_replace(&result, &seen, &none, entry)
        .await
        .unwrap();
    world
}

#[tokio::test]
async fn the_catalogue_says_what_each_check_needs() {
    let world = World::new().await;
    let checks = items(&world, "/api/v1/posture/checks").await;
    assert_eq!(checks.len(), posture::catalogue().count());
    assert_eq!(checks[0]["severity"], "critical");
    for check in checks {
        assert!(check["question"].as_str().unwrap().ends_with('?'), "{check}");
    }
}

#[tokio::test]
async fn what_could_not_be_told_is_listed_with_the_reason() {
    let world = World::lived_in().await;
    let results = items(&world, "/api/v1/posture/results?connection=production").await;
    assert_eq!(results.len(), posture::catalogue().count());
    let result = results.iter().find(|row| row["check_id"] == "token_unused_90d");
    let result = result.unwrap();
    assert_eq!(result["verdict"], "unknown", "{result}");
    assert!(
        result["unknown_reason"]
            .as_str()
            .unwrap()
            .contains("Account API Tokens Read")
    );
    // Page by page it is the same.
    let page = world.get("/api/v1/posture/results?limit=20").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = items(
        &world,
        &format!("/api/v1/posture/results?limit=20&cursor={cursor}"),
    )
    .await;
    assert_eq!(20 + rest.len(), results.len());
}

#[tokio::test]
async fn findings_are_filtered_and_paged() {
    let world = with_findings().await;
    let ids = async |query: &str| -> Vec<String> {
        let path = format!("/api/v1/posture/findings?check=member_2fa_off{query}");
        let rows = items(&world, &path).await;
        rows.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("").await, ["f1", "f2", "f3"]);
    assert_eq!(ids("&severity=high").await, ["f1", "f2"]);
    assert_eq!(
        ids("&severity=low&connection=production").await,
        ["f1", "f2", "f3"]
    );
    assert_eq!(ids("&subject=m2&state=open").await, ["f2"]);
    assert!(ids("&state=muted").await.is_empty());
    let first = world
        .get("/api/v1/posture/findings?check=member_2fa_off&limit=2")
        .await
        .json();
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&format!("&limit=2&cursor={cursor}")).await, ["f3"]);
    for (query, pointer) in [
        ("check=none", "check"),
        ("state=shut", "state"),
        ("severity=bad", "severity"),
        ("connection=none", "connection"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
    ] {
        let answer = world.get(&format!("/api/v1/posture/findings?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn a_finding_is_muted_and_opened_again_and_refusals_say_why() {
    let world = with_findings().await;
    let call = async |path: &str, body: Option<Value>| {
        let path = format!("/api/v1/posture/findings/{path}");
        world.call(Method::POST, &path, body).await
    };
    let answer = call(
        "f1/mute",
        Some(json!({ "reason": "key ordered", "until": "2026-12-24T00:00:00Z" })),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let muted = answer.json();
    assert_eq!(
        (&muted["state"], &muted["muted_by"]),
        (&json!("muted"), &json!("token tests"))
    );
    assert_eq!(muted["muted_until"], "2026-12-24T00:00:00Z");
    for (path, body, status, pointer) in [
        ("none/mute", json!({ "reason": "x" }), StatusCode::NOT_FOUND, None),
        (
            "f1/mute",
            json!({ "reason": " " }),
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("/reason"),
        ),
        (
            "f1/mute",
            json!({}),
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("/reason"),
        ),
        (
            "f1/mute",
            json!({ "reason": "x", "until": "2020-01-01T00:00:00Z" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("/until"),
        ),
    ] {
        let answer = call(path, Some(body)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        if let Some(pointer) = pointer {
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{path}");
        }
    }
    let answer = call("f1/unmute", None).await;
    assert_eq!(answer.json()["state"], "open", "{}", answer.text);
    assert_eq!(call("none/unmute", None).await.status, StatusCode::NOT_FOUND);
    let audit = items(&world, "/api/v1/audit").await;
    for action in ["finding.mute", "finding.unmute"] {
        assert!(audit.iter().any(|row| row["action"] == action), "{action}");
    }
}
