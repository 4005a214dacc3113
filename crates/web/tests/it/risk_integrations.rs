//! Cloudflare's API for risk score integrations, by Cloudflare's envelope.

use crate::world::{ACCOUNT, World};
use axum::http::{Method, StatusCode};
use hub::Permission;
use serde_json::{Value, json};

const WELL_KNOWN: &str = "https://hub.corp.example/.well-known/sse-configuration/";

fn base() -> String {
    format!("/client/v4/accounts/{ACCOUNT}/zt_risk_scoring/integrations")
}

async fn call(world: &World, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let answer = world.call(method, path, body).await;
    let envelope = answer.json();
    assert_eq!(envelope["success"], answer.status.is_success(), "{envelope}");
    assert_eq!(envelope["messages"], json!([]));
    for error in envelope["errors"].as_array().unwrap() {
        assert!(error["code"].as_u64().unwrap() >= 1_000, "{envelope}");
    }
    (answer.status, envelope)
}

#[tokio::test]
async fn an_integration_is_made_read_changed_and_removed() {
    // The documentation's own example has this address.
    let world = World::with(|settings| settings.egress.okta_hosts = vec!["example.com".to_owned()]).await;
    let body = json!({ "integration_type": "Okta", "tenant_url": "https://example.com" });
    let (status, made) = call(&world, Method::POST, &base(), Some(body.clone())).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let result = &made["result"];
    let id = result["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "account_tag": ACCOUNT, "active": true, "created_at": "2026-11-20T12:00:00.000000Z",
        "integration_type": "Okta", "reference_id": "", "tenant_url": "https://example.com",
        "well_known_url": format!("{WELL_KNOWN}{id}"),
    });
    assert_eq!(result, &expected);
    let (_, again) = call(&world, Method::POST, &base(), Some(body)).await;
    assert_eq!(again["result"]["id"], id, "the same once more is the same");
    let one = format!("{}/{id}", base());
    assert_eq!(call(&world, Method::GET, &one, None).await.1["result"], expected);
    assert_eq!(
        call(&world, Method::GET, &base(), None).await.1["result"],
        json!([expected])
    );
    let change =
        json!({ "tenant_url": "https://corp.example.com", "active": false, "reference_id": "idp-1" });
    let (_, changed) = call(&world, Method::PUT, &one, Some(change)).await;
    assert_eq!(changed["result"]["active"], false);
    let by_reference = format!("{}/reference_id/idp-1", base());
    let (_, found) = call(&world, Method::GET, &by_reference, None).await;
    assert_eq!(found["result"]["tenant_url"], "https://corp.example.com");
    let (status, removed) = call(&world, Method::DELETE, &one, None).await;
    assert_eq!((status, &removed["result"]), (StatusCode::OK, &Value::Null));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(call(&world, method, &one, None).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn refusals_have_the_envelope_too() {
    let world = World::new().await;
    let elsewhere = base().replace(ACCOUNT, "00000000000000000000000000000000");
    let good = json!({ "integration_type": "Okta", "tenant_url": "https://corp.okta.com" });
    for (method, path, body, status, code) in [
        (Method::GET, &elsewhere, None, StatusCode::NOT_FOUND, 7003),
        (Method::POST, &elsewhere, Some(good), StatusCode::NOT_FOUND, 7003),
        (
            Method::GET,
            &"/client/v4/user".to_owned(),
            None,
            StatusCode::NOT_FOUND,
            7003,
        ),
        (Method::PATCH, &base(), None, StatusCode::METHOD_NOT_ALLOWED, 7003),
        (Method::POST, &base(), None, StatusCode::BAD_REQUEST, 1001),
    ] {
        let (answered, envelope) = call(&world, method, path, body).await;
        assert_eq!(
            (answered, &envelope["errors"][0]["code"]),
            (status, &json!(code)),
            "{path}: {envelope}"
        );
    }
    for (body, pointer) in [
        (json!({ "integration_type": "Okta" }), "/tenant_url"),
        (
            json!({ "integration_type": "Okta", "tenant_url": 1 }),
            "/tenant_url",
        ),
        (
            json!({ "integration_type": "Ping", "tenant_url": "https://corp.okta.com" }),
            "/integration_type",
        ),
        (
            json!({ "integration_type": "Okta", "tenant_url": "https://10.0.0.1" }),
            "/tenant_url",
        ),
        (
            json!({ "integration_type": "Okta", "tenant_url": "https://evil.example" }),
            "/tenant_url",
        ),
    ] {
        let (status, envelope) = call(&world, Method::POST, &base(), Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{envelope}");
        assert_eq!(envelope["errors"][0]["source"]["pointer"], pointer, "{envelope}");
    }
}

#[tokio::test]
async fn reading_and_changing_need_their_permissions() {
    let world = World::new().await;
    let reader = world.token_of(&[Permission::Read]).await;
    for (token, method, status) in [
        (None, Method::GET, StatusCode::UNAUTHORIZED),
        (Some("wrong"), Method::POST, StatusCode::UNAUTHORIZED),
        (Some(reader.as_str()), Method::GET, StatusCode::OK),
        (Some(reader.as_str()), Method::POST, StatusCode::FORBIDDEN),
    ] {
        let answer = world.call_with(token, method.clone(), &base(), None).await;
        assert_eq!(answer.status, status, "{method}: {}", answer.text);
        if !status.is_success() {
            assert_eq!(answer.json()["errors"][0]["code"], 10_000);
        }
    }
}
