//! Operations that take long: followed and cancelled over the API.

use crate::world::{World, noon};
use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use hub::detection::{backtest, replay};
use hub::{Actor, Permission};
use serde_json::{Value, json};

async fn cancel(world: &World, path: &str) -> crate::world::Answer {
    world
        .call(Method::POST, &format!("{path}/cancel"), Some(json!({})))
        .await
}

#[tokio::test]
async fn a_backtest_is_one_operation_for_all_who_ask_and_can_be_cancelled() {
    let world = World::lived_in().await;
    let book = world.app.rules();
    let mut rules = book.rules().iter();
    let rule = rules.find(|rule| rule.dataset == "gateway_dns").unwrap();
    let since = noon() - TimeDelta::days(2);
    let ask = async || {
        let asked = backtest::ask(&world.app, rule, since, None, &Actor::CommandLine).await;
        asked.unwrap().id
    };
    let id = ask().await;
    assert_eq!(ask().await, id, "the one that waits");
    let path = format!("/api/v1/operations/{id}");
    let waiting = world.get(&path).await.json();
    assert_eq!(
        (&waiting["kind"], &waiting["outcome"]),
        (&json!("backtest"), &Value::Null)
    );
    let answer = cancel(&world, &path).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.json()["cancelled_by"], "token tests");
    let next = ask().await;
    assert_ne!(next, id, "what was cancelled is not joined");
    for _ in 0..2 {
        assert!(backtest::carry_out(&world.app).await.unwrap());
    }
    assert!(
        !backtest::carry_out(&world.app).await.unwrap(),
        "nothing else waits"
    );
    assert_eq!(cancel(&world, &path).await.status, StatusCode::CONFLICT);
    assert_eq!(
        cancel(&world, "/api/v1/operations/none").await.status,
        StatusCode::NOT_FOUND
    );
    let list = world.get("/api/v1/operations").await.json();
    let mut ours = list["items"].as_array().unwrap().clone();
    ours.retain(|one| one["target"].as_str().unwrap().starts_with(&rule.name));
    let outcome_of = |id: &str| ours.iter().find(|one| one["id"] == id).unwrap()["outcome"].clone();
    assert_eq!(
        (outcome_of(&id), outcome_of(&next)),
        (json!("cancelled"), json!("done"))
    );
    let result = &world.get(&format!("/api/v1/operations/{next}")).await.json()["result"];
    assert_eq!(
        (&result["rule"], &result["parts"]),
        (&json!(rule.name), &json!(1)),
        "{list}"
    );
    let audit = world.get("/api/v1/audit?limit=1").await.json();
    assert_eq!(audit["items"][0]["action"], "operation.cancel", "{audit}");
}

#[tokio::test]
async fn a_replay_that_is_cancelled_leaves_what_was_detected_before() {
    let world = World::lived_in().await;
    let before = world.get("/api/v1/detections").await.json();
    let body = json!({ "since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" });
    let asked = world
        .call(Method::POST, "/api/v1/events/replay", Some(body.clone()))
        .await
        .json();
    let again = world
        .call(Method::POST, "/api/v1/events/replay", Some(body))
        .await
        .json();
    assert_eq!(asked["operation"]["id"], again["operation"]["id"]);
    let path = format!(
        "/api/v1/operations/{}",
        asked["operation"]["id"].as_str().unwrap()
    );
    // Whoever may only read may cancel a backtest, and no replay.
    let reader = world.token_of(&[Permission::Read]).await;
    let refused = world
        .call_with(
            Some(&reader),
            Method::POST,
            &format!("{path}/cancel"),
            Some(json!({})),
        )
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert_eq!(cancel(&world, &path).await.status, StatusCode::ACCEPTED);
    assert!(replay::carry_out(&world.app).await.unwrap());
    let ended = world.get(&path).await.json();
    assert_eq!(ended["outcome"], "cancelled", "{ended}");
    assert_eq!(world.get("/api/v1/detections").await.json(), before);
}

#[tokio::test]
async fn cancelling_a_replay_takes_nothing_from_one_that_is_asked_for_meanwhile() {
    let world = World::lived_in().await;
    let ask = async |dataset: Option<&str>| {
        let body =
            json!({ "since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "dataset": dataset });
        let asked = world
            .call(Method::POST, "/api/v1/events/replay", Some(body))
            .await
            .json();
        format!(
            "/api/v1/operations/{}",
            asked["operation"]["id"].as_str().unwrap()
        )
    };
    let outcome = async |path: &str| world.get(path).await.json()["outcome"].clone();
    let first = ask(None).await;
    assert_eq!(cancel(&world, &first).await.status, StatusCode::ACCEPTED);
    // The same again, before anyone has stopped the first; and another that shares its records.
    let second = ask(None).await;
    assert_ne!(first, second);
    let third = ask(Some("gateway_dns")).await;
    assert_eq!(cancel(&world, &third).await.status, StatusCode::ACCEPTED);
    while replay::carry_out(&world.app).await.unwrap() {}
    assert_eq!(
        (outcome(&first).await, outcome(&third).await),
        (json!("cancelled"), json!("cancelled"))
    );
    assert_eq!(outcome(&second).await, json!("done"));
}

#[tokio::test]
async fn a_purge_that_is_cancelled_ends_and_can_be_asked_for_again() {
    let world = World::lived_in().await;
    let ask = async || {
        let body = json!({ "reason": "asked" });
        world
            .call(Method::POST, "/api/v1/people/p1/purge", Some(body))
            .await
            .json()
    };
    let purge = ask().await;
    let path = format!("/api/v1/purges/{}", purge["id"].as_str().unwrap());
    let answer = cancel(&world, &path).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert!(hub::purge::run(&world.app).await.unwrap());
    let ended = world.get(&path).await.json();
    assert_eq!(
        (&ended["outcome"], &ended["cancelled_by"]),
        (&json!("cancelled"), &json!("token tests"))
    );
    assert_eq!(ended["records"], 0);
    assert_eq!(cancel(&world, &path).await.status, StatusCode::CONFLICT);
    assert_eq!(
        cancel(&world, "/api/v1/purges/none").await.status,
        StatusCode::NOT_FOUND
    );
    assert_ne!(ask().await["id"], purge["id"]);
}

#[tokio::test]
async fn an_export_of_a_connection_is_asked_for_and_downloaded() {
    let world = World::lived_in().await;
    let path = "/api/v1/connections/production/export";
    let ask = async || {
        let asked = world.call(Method::POST, path, Some(json!({}))).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
        asked.json()
    };
    let asked = ask().await;
    assert_eq!(
        (&asked["kind"], &asked["target"]),
        (&json!("export"), &json!("production"))
    );
    assert_eq!(ask().await["id"], asked["id"], "the one that waits");
    assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND);
    let place = world.archive().join("exports");
    std::fs::create_dir_all(&place).unwrap();
    let connection = world.get("/api/v1/connections/production").await.json()["id"].clone();
    std::fs::write(
        place.join(format!("{}.c1z", connection.as_str().unwrap())),
        "content",
    )
    .unwrap();
    let file = world.get(path).await;
    assert_eq!((file.status, file.text.as_str()), (StatusCode::OK, "content"));
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"production.c1z\""
    );
    let unknown = world.get("/api/v1/connections/nowhere/export").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
