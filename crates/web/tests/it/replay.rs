//! Running the rules again: asked for over the API, done by the stage that detects.

use crate::world::World;
use axum::http::{Method, StatusCode};
use hub::Permission;
use serde_json::json;

const PATH: &str = "/api/v1/events/replay";

#[tokio::test]
async fn a_replay_shows_archived_records_to_the_rules_again_and_changes_nothing_twice() {
    let world = World::lived_in().await;
    let before = world.get("/api/v1/detections").await.json();
    let body =
        json!({ "since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "dataset": "gateway_dns" });
    let answer = world.call(Method::POST, PATH, Some(body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let asked = answer.json();
    let id = asked["operation"]["id"].as_str().unwrap();
    assert_eq!(asked["operation"]["outcome"], json!(null));
    assert!(hub::detection::replay::carry_out(&world.app).await.unwrap());
    let ended = world.get(&format!("/api/v1/operations/{id}")).await.json();
    assert_eq!(
        (&ended["done"], &ended["total"], &ended["outcome"]),
        (&json!(1), &json!(1), &json!("done"))
    );
    let events = world.get("/api/v1/events?dataset=gateway_dns").await.json();
    let events = events["items"].as_array().unwrap().len();
    assert_eq!(ended["result"], json!({ "records": events, "unread": [] }));
    assert_eq!(world.get("/api/v1/detections").await.json(), before);
    let audit = world.get("/api/v1/audit?limit=1").await.json();
    assert_eq!(audit["items"][0]["action"], "events.replay", "{audit}");
}

#[tokio::test]
async fn a_replay_of_nothing_that_there_is_is_refused() {
    let world = World::new().await;
    for (body, place) in [
        (
            json!({ "since": "2026-01-01T00:00:00Z", "dataset": "dns" }),
            "/dataset",
        ),
        (
            json!({ "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z" }),
            "/since",
        ),
    ] {
        let answer = world.call(Method::POST, PATH, Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], place);
    }
    let reader = world.token_of(&[Permission::Read]).await;
    let body = json!({ "since": "2026-01-01T00:00:00Z" });
    let answer = world
        .call_with(Some(&reader), Method::POST, PATH, Some(body))
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
}
