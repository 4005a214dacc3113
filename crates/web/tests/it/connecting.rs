//! Connecting an account over the API, against a simulated Cloudflare.

use crate::world::World;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

#[tokio::test]
async fn an_account_is_connected_looked_at_and_sends_logs() {
    let config = SandboxConfig {
        members: 5,
        access_users: 5,
        story: false,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let world = World::with(|settings| {
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
    })
    .await;
    let info = sandbox.info();
    let body = json!({ "label": "simulated", "account": info.account_id, "token": info.token,
        "base_url": info.base_url });
    let answer = world
        .call(Method::POST, "/api/v1/connections", Some(body.clone()))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert!(!answer.text.contains(&info.token), "{}", answer.text);
    let made = answer.json();
    assert_eq!(made["connection"]["account_id"], info.account_id.as_str());
    assert_eq!(
        answer.header("location"),
        format!(
            "/api/v1/connections/{}",
            made["connection"]["id"].as_str().unwrap()
        )
    );
    let doctor = world
        .call(Method::POST, "/api/v1/connections/simulated/doctor", None)
        .await;
    assert_eq!(doctor.status, StatusCode::OK, "{}", doctor.text);
    let probes = world.get("/api/v1/connections/simulated/probes").await.json();
    assert_eq!(
        probes["items"].as_array().unwrap().len(),
        doctor.json()["items"].as_array().unwrap().len()
    );

    let address = made["ingest_url"]
        .as_str()
        .unwrap()
        .replace("{dataset}", "gateway_dns");
    let path = address.strip_prefix("https://hub.corp.example").unwrap();
    let secret = made["ingest_secret"].as_str().unwrap();
    let request = Request::post(path).header("x-flareward-secret", secret);
    let answer = world.send(request.body(Body::from("test")).unwrap()).await;
    assert_eq!(answer.json()["received"], "test");

    let mut wrong = body;
    wrong["label"] = json!("other");
    wrong["token"] = json!("0000000000000000000000000000000000000000");
    let answer = world.call(Method::POST, "/api/v1/connections", Some(wrong)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    assert_eq!(answer.json()["errors"][0]["pointer"], "/token", "{}", answer.text);
    assert_eq!(
        world.get("/api/v1/connections/other").await.status,
        StatusCode::NOT_FOUND
    );
    sandbox.stop().await;
}
