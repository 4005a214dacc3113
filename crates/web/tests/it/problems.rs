//! What refusals look like.

use crate::world::World;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

/// Sends and answers the problem document, after checking what all of them have.
async fn problem(world: &World, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let answer = world.call(method, path, body).await;
    let problem = answer.json();
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{path}"
    );
    assert_eq!(problem["status"], answer.status.as_u16(), "{path}");
    assert_eq!(problem["instance"], answer.header("x-request-id"), "{path}");
    assert!(!problem["title"].as_str().unwrap().is_empty(), "{path}");
    (answer.status, problem)
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    for (path, kind) in [
        ("/nothing", "/problems/no-route"),
        ("/api/v1/nothing", "/problems/no-route"),
        ("/api/v1/people/none", "/problems/not-found"),
        ("/api/v1/connections/none", "/problems/not-found"),
        ("/api/v1/events/none", "/problems/not-found"),
        ("/api/v1/detections/none", "/problems/not-found"),
        ("/api/v1/rules/none", "/problems/not-found"),
        ("/api/v1/campaigns/none", "/problems/not-found"),
        ("/api/v1/capabilities/none/manifest", "/problems/not-found"),
    ] {
        let (status, problem) = problem(&world, Method::GET, path, None).await;
        assert_eq!(
            (status, problem["type"].as_str().unwrap()),
            (StatusCode::NOT_FOUND, kind),
            "{path}"
        );
    }
    let (status, _) = problem(&world, Method::PATCH, "/api/v1/people", None).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn someone_unknown_is_not_found_wherever_people_are_named() {
    let world = World::lived_in().await;
    for path in [
        "/api/v1/people/WHO",
        "/api/v1/grants?person=WHO",
        "/api/v1/detections?person=WHO",
        "/api/v1/events?person=WHO",
        "/api/v1/messages?person=WHO",
        "/api/v1/journal?person=WHO",
        "/api/v1/signals?person=WHO",
        "/api/v1/access/changes?person=WHO",
        "/api/v1/access/changes?email=WHO",
        "/api/v1/access/timed-grants?person=WHO",
        "/api/v1/access/timed-grants?email=WHO",
    ] {
        for nobody in ["nobody@corp.example", "p9", ""] {
            let path = path.replace("WHO", nobody);
            if path.ends_with('/') {
                continue;
            }
            let (status, problem) = problem(&world, Method::GET, &path, None).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {problem}");
            assert_eq!(problem["type"], "/problems/not-found", "{path}");
        }
        let mut answers = Vec::new();
        for known in ["p1", "Ana@corp.example"] {
            let answer = world.get(&path.replace("WHO", known)).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
            answers.push(answer.text);
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
    for (path, body) in [
        ("risk-reset", json!({ "reason": "x" })),
        ("purge", json!({ "reason": "x" })),
        ("offboard", json!({ "plan_only": true })),
        ("aliases", json!({ "address": "b@corp.example" })),
    ] {
        let path = format!("/api/v1/people/nobody@corp.example/{path}");
        let (status, _) = problem(&world, Method::POST, &path, Some(body)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_query_that_is_not_understood_names_the_parameter() {
    let world = World::new().await;
    for (path, pointer) in [
        ("/api/v1/people?limit=0", "limit"),
        ("/api/v1/people?limit=many", "limit"),
        ("/api/v1/people?cursor=x", "cursor"),
        ("/api/v1/events?cursor=WyJhIl0", "cursor"),
        ("/api/v1/events?connection=none", "connection"),
        ("/api/v1/people?risk_level=severe", "risk_level"),
    ] {
        let (status, problem) = problem(&world, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}: {problem}");
    }
    let (status, problem) = problem(&world, Method::GET, "/api/v1/people?colour=red", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"].as_str().unwrap().contains("colour"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_pointed_into() {
    let world = World::new().await;
    for (path, body, pointer) in [
        ("/api/v1/tokens", json!({ "name": "x" }), "/permissions"),
        (
            "/api/v1/tokens",
            json!({ "name": "x", "permissions": ["rule"] }),
            "/permissions/0",
        ),
        (
            "/api/v1/tokens",
            json!({ "name": " ", "permissions": ["read"] }),
            "/name",
        ),
        (
            "/api/v1/tokens",
            json!({ "name": "x", "permissions": [] }),
            "/permissions",
        ),
        ("/api/v1/connections", json!({ "label": "x" }), "/token"),
        (
            "/api/v1/connections",
            json!({ "label": "a b", "token": "t" }),
            "/label",
        ),
        (
            "/api/v1/connections",
            json!({ "label": "x", "token": "t", "base_url": "http://169.254.169.254" }),
            "/base_url",
        ),
        (
            "/api/v1/campaigns",
            json!({ "name": "x", "rules": ["none"], "channel": "webhook" }),
            "/rules",
        ),
        (
            "/api/v1/campaigns",
            json!({ "name": "x", "rules": ["*"], "channel": "webhook", "webhook_url": "http://10.0.0.1" }),
            "/webhook_url",
        ),
    ] {
        let (status, problem) = problem(&world, Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_before_anything_else() {
    let world = World::new().await;
    let send = async |kind: &str, body: Body| {
        let request = Request::post("/api/v1/tokens")
            .header(header::AUTHORIZATION, format!("Bearer {}", world.token))
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .unwrap();
        world.send(request).await.status
    };
    assert_eq!(
        send("text/plain", Body::from("{}")).await,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        send("application/json", Body::from("{")).await,
        StatusCode::BAD_REQUEST
    );
    let large = vec![b' '; (2 << 20) + 1];
    assert_eq!(
        send("application/json", Body::from(large)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn an_internal_error_says_nothing_of_its_cause() {
    let world = World::new().await;
    world.app.store.close().await;
    let (status, problem) = problem(&world, Method::GET, "/api/v1/overview", None).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!problem.to_string().contains("pool"), "{problem}");
    let (status, _) = self::problem(&world, Method::GET, "/health/ready", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_paused_connection_is_synced_only_when_that_is_confirmed() {
    let world = World::new().await;
    let id = model::ConnectionId("c1".to_owned());
    let now = world.app.clock.now();
    world
        .app
        .store
        .connection_state_set(
            &id,
            model::ConnectionState::Paused,
            Some("members fell by half"),
            "Connection production is paused: members fell by half",
            now,
        )
        .await
        .unwrap();
    let path = "/api/v1/connections/production/sync";
    let (status, problem) = problem(&world, Method::POST, path, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"].as_str().unwrap().contains("fell by half"),
        "{problem}"
    );
    let answer = world
        .call(Method::POST, &format!("{path}?confirm=true"), None)
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.header("location"), "/api/v1/connections/c1/sync-runs");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = World::new().await;
    for path in ["/health/live", "/api/v1/people", "/nothing"] {
        let answer = world.get(path).await;
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(
            answer.header("cross-origin-opener-policy"),
            "same-origin",
            "{path}"
        );
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "same-origin",
            "{path}"
        );
        assert!(
            answer.header("permissions-policy").contains("camera=()"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.header("strict-transport-security").is_empty(), "{path}");
    }
    let plain = World::with(|settings| settings.server.public_url = "http://127.0.0.1:1".to_owned()).await;
    let answer = plain.get("/health/live").await;
    assert_eq!(answer.header("strict-transport-security"), "");
}

#[tokio::test]
async fn an_explanation_that_is_not_understood_says_what_to_name() {
    let world = World::lived_in().await;
    for (query, status, said) in [
        (
            "person=ana@corp.example&group=Engineers",
            200,
            "\"access\":\"yes\"",
        ),
        (
            "person=p1&role=Administrator&connection=production",
            200,
            "\"kind\":\"role\"",
        ),
        ("person=ana@corp.example&group=None", 400, "no Access group named"),
        (
            "person=ana@corp.example",
            400,
            "exactly one of group, app and role",
        ),
        ("person=ana@corp.example&group=a&role=b", 400, "exactly one of"),
        ("person=nobody@corp.example&group=Engineers", 404, "person"),
        (
            "person=ana@corp.example&group=Engineers&connection=none",
            400,
            "no connection named",
        ),
    ] {
        let answer = world.get(&format!("/api/v1/access/explain?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text);
        assert!(answer.text.contains(said), "{query}: {}", answer.text);
        if status != 200 {
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
}

#[tokio::test]
async fn an_address_of_another_person_is_given_only_when_merging_is_said() {
    let world = World::lived_in().await;
    let add = async |body: Value| {
        world
            .call(Method::POST, "/api/v1/people/p1/aliases", Some(body))
            .await
    };
    let added = add(json!({ "address": "Ana@home.example" })).await;
    assert_eq!(added.json(), json!({ "aliases": ["ana@home.example"] }));
    assert_eq!(add(json!({ "address": "nothing" })).await.status.as_u16(), 422);
    let refused = add(json!({ "address": "bo@corp.example" })).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("\\\"merge\\\": true"), "{}", refused.text);
    let merged = add(json!({ "address": "bo@corp.example", "merge": true })).await;
    assert_eq!(merged.status, StatusCode::OK, "{}", merged.text);
    assert_eq!(world.get("/api/v1/people/p2").await.status, StatusCode::NOT_FOUND);
    let path = "/api/v1/people/p1/aliases/ana@home.example";
    assert_eq!(
        world.call(Method::DELETE, path, None).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.call(Method::DELETE, path, None).await.status,
        StatusCode::NOT_FOUND
    );
}
