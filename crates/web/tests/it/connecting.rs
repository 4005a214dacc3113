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

#[tokio::test]
async fn sources_of_logs_are_enabled_pulled_and_shown() {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
    let world = World::with(|settings| {
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
        settings.logs.pull_first_hours = 24 * 3_650;
    })
    .await;
    let info = sandbox.info();
    let body = json!({ "label": "simulated", "account": info.account_id, "token": info.token,
        "base_url": info.base_url });
    let made = world.call(Method::POST, "/api/v1/connections", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let secret = made.json()["ingest_secret"].as_str().unwrap().to_owned();
    // Nothing listens there.
    let body =
        json!({ "connection": "simulated", "datasets": ["gateway_dns"], "public_url": "http://127.0.0.1:9" });
    let answer = world.call(Method::POST, "/api/v1/log-sources", Some(body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let refused = &answer.json()["items"][0];
    assert_eq!(refused["outcome"], "refused");
    assert!(
        refused["problem"].as_str().unwrap().contains("test upload"),
        "{refused}"
    );
    assert!(!answer.text.contains(&secret));
    for (body, pointer) in [
        (json!({ "connection": "nobody" }), "/connection"),
        (
            json!({ "connection": "simulated", "datasets": ["gateway_smoke"] }),
            "/datasets",
        ),
        (
            json!({ "connection": "simulated", "datasets": ["risk_score_events"] }),
            "/datasets",
        ),
        (
            json!({ "connection": "simulated", "public_url": "https://10.0.0.1" }),
            "/public_url",
        ),
    ] {
        let answer = world.call(Method::POST, "/api/v1/log-sources", Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let pulled = world
        .call(Method::POST, "/api/v1/log-sources/simulated/pull", None)
        .await;
    assert_eq!(pulled.status, StatusCode::OK, "{}", pulled.text);
    assert_eq!(pulled.json()["items"][0]["dataset"], "access_requests");
    let shown = world.get("/api/v1/log-sources?connection=simulated").await.json();
    let sources: Vec<&str> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["pull", "pull", "pull"]);
    let checked = world
        .call(Method::POST, "/api/v1/log-sources/simulated/check", None)
        .await;
    assert_eq!(checked.json()["items"], shown["items"]);
    let off = world
        .call(Method::DELETE, "/api/v1/log-sources/simulated/gateway_dns", None)
        .await;
    assert_eq!(off.status, StatusCode::NOT_FOUND, "{}", off.text);
    sandbox.stop().await;
}
