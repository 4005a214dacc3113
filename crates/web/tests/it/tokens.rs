//! Tokens, resets and campaigns: what is changed over the API.

use crate::world::{World, noon};
use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use hub::Permission;
use model::StoppedClock;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_token_is_shown_once_works_and_is_taken_back() {
    let world = World::new().await;
    let body = json!({ "name": "reader", "permissions": ["read"] });
    let answer = world.call(Method::POST, "/api/v1/tokens", Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let made = answer.json();
    let (value, id) = (
        made["value"].as_str().unwrap(),
        made["token"]["id"].as_str().unwrap(),
    );
    let read = async || {
        world
            .call_with(Some(value), Method::GET, "/api/v1/people", None)
            .await
            .status
    };
    assert_eq!(read().await, StatusCode::OK);
    let list = world.get("/api/v1/tokens").await;
    assert!(!list.text.contains(value), "{}", list.text);
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(read().await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.status,
        StatusCode::NOT_FOUND
    );
    let audit = world.get("/api/v1/audit").await.json();
    let actions: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["action"])
        .collect();
    assert_eq!(actions, ["token.revoke", "token.create"]);
    assert_eq!(audit["items"][0]["actor"], "token tests");
}

#[tokio::test]
async fn the_last_administrator_cannot_be_locked_out() {
    let world = World::new().await;
    let id = world.app.store.access_token_list().await.unwrap()[0].id.clone();
    let answer = world
        .call(Method::DELETE, &format!("/api/v1/tokens/{id}"), None)
        .await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
    assert_eq!(world.get("/api/v1/tokens").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_reset_takes_the_level_back_and_needs_a_reason() {
    let world = World::lived_in().await;
    let people = world.get("/api/v1/people?risk_level=high").await.json();
    let id = people["items"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/people/{id}/risk-reset");
    let answer = world
        .call(Method::POST, &path, Some(json!({ "reason": " " })))
        .await;
    assert_eq!(
        answer.json()["errors"][0]["pointer"],
        "/reason",
        "{}",
        answer.text
    );
    let reason = json!({ "reason": "looked into" });
    let answer = world.call(Method::POST, &path, Some(reason)).await;
    assert_eq!(
        answer.json(),
        json!({ "outcome": "changed", "person_id": id, "previous": "high", "reset": "hub_risk_level" })
    );
    let person = world.get(&format!("/api/v1/people/{id}")).await.json();
    assert_eq!(person["person"]["hub_risk_level"], "unscored");
    let changes = person["risk_changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|change| change["reason"] == "looked into"),
        "{person}"
    );
}

#[tokio::test]
async fn a_campaign_keeps_its_address_when_it_is_changed_without_one() {
    let world = World::new().await;
    let address = "https://chat.corp.example/hooks/s3cret-path";
    let mut body = json!({ "name": "Phishing", "rules": ["dns-phishing"], "channel": "webhook",
        "webhook_url": address });
    let made = world
        .call(Method::POST, "/api/v1/campaigns", Some(body.clone()))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let path = format!("/api/v1/campaigns/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(made.header("location"), path);
    body.as_object_mut().unwrap().remove("webhook_url");
    body["test_mode"] = json!(true);
    let changed = world.call(Method::PUT, &path, Some(body.clone())).await;
    assert_eq!(changed.json()["destination_hint"], "https://chat.corp.example/…");
    assert_eq!(changed.json()["test_mode"], true);
    let again = world
        .call(
            Method::POST,
            "/api/v1/campaigns",
            Some(json!({ "name": "Phishing",
        "rules": ["*"], "channel": "webhook", "webhook_url": address })),
        )
        .await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    let unknown = world
        .call(Method::PUT, "/api/v1/campaigns/none", Some(body))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_with_an_end_is_refused_with_words_when_it_is_over() {
    let clock = Arc::new(StoppedClock::at(noon()));
    let world = World::with_clock(Arc::clone(&clock)).await;
    let made = world
        .call(
            Method::POST,
            "/api/v1/tokens",
            Some(json!({ "name": "visitor", "permissions": ["read"], "expires_in_minutes": 60 })),
        )
        .await
        .json();
    let token = made["value"].as_str().unwrap().to_owned();
    assert_eq!(made["token"]["expires_at"], "2026-11-20T13:00:00Z", "{made}");
    let ask = async || {
        world
            .call_with(Some(&token), Method::GET, "/api/v1/people", None)
            .await
    };
    assert_eq!(ask().await.status, StatusCode::OK);
    clock.advance(TimeDelta::minutes(60));
    let over = ask().await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);
    assert_eq!(over.json()["type"], "/problems/token-expired");
    assert!(
        over.text.contains("expired at 2026-11-20 13:00 UTC"),
        "{}",
        over.text
    );
    for minutes in [0, -1, 60 * 24 * 366 * 20, i64::MAX] {
        let body = json!({ "name": "x", "permissions": ["read"], "expires_in_minutes": minutes });
        let refused = world.call(Method::POST, "/api/v1/tokens", Some(body)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{minutes}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/expires_in_minutes");
    }
    // What ends by itself does not count as the administrator that must stay.
    let body = json!({ "name": "guest", "permissions": ["admin"], "expires_in_minutes": 60 });
    assert_eq!(
        world
            .call(Method::POST, "/api/v1/tokens", Some(body))
            .await
            .status,
        StatusCode::CREATED
    );
    let all = world.get("/api/v1/tokens").await.json();
    let tokens = all["items"].as_array().unwrap();
    let lasting = tokens.iter().find(|token| token["name"] == "tests").unwrap();
    let path = format!("/api/v1/tokens/{}", lasting["id"].as_str().unwrap());
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.status,
        StatusCode::CONFLICT
    );
}

#[tokio::test]
async fn a_token_gives_no_more_than_its_maker_holds_and_its_name_is_its_own() {
    let world = World::new().await;
    let maker = world.token_of(&[Permission::Admin, Permission::Read]).await;
    let asked = async |name: &str, permissions: &[&str]| {
        let body = json!({ "name": name, "permissions": permissions });
        world
            .call_with(Some(&maker), Method::POST, "/api/v1/tokens", Some(body))
            .await
    };
    let beyond = asked("beyond", &["read", "access:write"]).await;
    assert_eq!(beyond.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", beyond.text);
    assert!(
        beyond.text.contains("/permissions") && beyond.text.contains("access:write"),
        "{}",
        beyond.text
    );
    assert_eq!(asked("reader", &["read"]).await.status, StatusCode::CREATED);
    for taken in ["reader", " reader ", "read\u{202e}er", "re\u{7}ader", ""] {
        let refused = asked(taken, &["read"]).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{taken:?}: {}",
            refused.text
        );
        assert!(refused.text.contains("/name"), "{}", refused.text);
    }
    // Two at once cannot both have a name, whoever looked first.
    let row = hub::permission::token_create(&world.app, "reader", &[Permission::Read]).await;
    assert!(matches!(row, Err(hub::permission::TokenError::Exists(_))));
}
