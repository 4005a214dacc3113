//! Who may do what: every route refuses everyone else.

use crate::world::{World, noon};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use chrono::TimeDelta;
use hub::{Permission, secret};
use serde_json::json;
use store::SessionRow;

#[tokio::test]
async fn every_operation_refuses_who_does_not_hold_its_permission() {
    let world = World::new().await;
    let description = serde_json::to_value(web::api::openapi()).unwrap();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let needed: Vec<&str> = operation["security"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["token"][0].as_str().unwrap())
                .collect();
            let address = path.replace("{capability}", "getIPOverview");
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = operation.get("requestBody").map(|_| json!({}));
            for token in [None, Some("fw_nobody-has-this")] {
                let answer = world
                    .call_with(token, method.clone(), &address, body.clone())
                    .await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                assert_eq!(answer.json()["type"], "/problems/unauthorized");
            }
            let others: Vec<Permission> = Permission::ALL
                .into_iter()
                .filter(|one| !needed.contains(&one.as_str()))
                .collect();
            let token = world.token_of(&others).await;
            let answer = world
                .call_with(Some(&token), method.clone(), &address, body)
                .await;
            assert_eq!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{method} {path}: {}",
                answer.text
            );
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(
                needed.iter().any(|word| detail.contains(&format!("\"{word}\""))),
                "{method} {path}: {detail}"
            );
        }
    }
}

#[tokio::test]
async fn a_capability_needs_the_permission_that_the_list_names() {
    let world = World::new().await;
    let list = world.get("/api/v1/capabilities").await.json();
    for one in list["items"].as_array().unwrap() {
        let (id, needed) = (one["id"].as_str().unwrap(), one["permission"].as_str().unwrap());
        let others: Vec<Permission> = Permission::ALL
            .into_iter()
            .filter(|one| one.as_str() != needed)
            .collect();
        let token = world.token_of(&others).await;
        let path = format!("/api/v1/capabilities/{id}");
        let answer = world
            .call_with(Some(&token), Method::POST, &path, Some(json!({})))
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{id}");
        // Whoever may gets the capability's own answer, here that the input is not one.
        let answer = world.call(Method::POST, &path, Some(json!({}))).await;
        assert_eq!(answer.json()["eventName"], "error", "{id}: {}", answer.text);
    }
}

#[tokio::test]
async fn metrics_need_a_token_and_health_does_not() {
    let world = World::new().await;
    for path in ["/health/live", "/health/ready"] {
        let answer = world.call_with(None, Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let answer = world.call_with(None, Method::GET, "/metrics", None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = world.get("/metrics").await;
    assert!(answer.text.contains("flareward_people 0\n"), "{}", answer.text);
    assert!(answer.text.contains(r#"route="/health/live""#), "{}", answer.text);
}

#[tokio::test]
async fn a_session_may_read_and_changes_nothing_without_its_value() {
    let world = World::new().await;
    let tokens = world.app.store.access_token_list().await.unwrap();
    let session = SessionRow {
        id_hash: secret::digest("cookie-value"),
        access_token_id: tokens[0].id.clone(),
        csrf: "the-value".to_owned(),
        created_at: noon(),
        expires_at: noon() + TimeDelta::hours(1),
        used_at: noon(),
    };
    world.app.store.session_insert(&session).await.unwrap();
    let ask = async |method: Method, csrf: Option<&str>| {
        let path = if method == Method::GET {
            "/api/v1/tokens"
        } else {
            "/api/v1/tokens/none"
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, "flareward_session=cookie-value");
        if let Some(csrf) = csrf {
            request = request.header("x-csrf-token", csrf);
        }
        world.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(ask(Method::GET, None).await.status, StatusCode::OK);
    for csrf in [None, Some("another")] {
        let answer = ask(Method::DELETE, csrf).await;
        assert_eq!(answer.json()["type"], "/problems/csrf", "{}", answer.text);
    }
    let answer = ask(Method::DELETE, Some("the-value")).await;
    assert_eq!(answer.json()["type"], "/problems/not-found");
    world
        .app
        .store
        .access_token_revoke(&tokens[0].id, noon())
        .await
        .unwrap();
    assert_eq!(ask(Method::GET, None).await.status, StatusCode::UNAUTHORIZED);
}
