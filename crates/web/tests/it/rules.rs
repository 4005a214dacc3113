//! Rules over the API: which run, the organisation's own, lists, trials.

use crate::world::{RULE, World, dns, noon};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use hub::Permission;
use serde_json::{Value, json};

async fn put(world: &World, path: &str, body: Value) -> crate::world::Answer {
    world
        .call(Method::PUT, &format!("/api/v1/{path}"), Some(body))
        .await
}

async fn send_yaml(world: &World, method: Method, path: &str, text: &str) -> crate::world::Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", world.token))
        .header(header::CONTENT_TYPE, "text/yaml; charset=utf-8")
        .body(Body::from(text.to_owned()))
        .unwrap();
    world.send(request).await
}

/// Who did what, newest first.
async fn audited(world: &World) -> Vec<String> {
    let audit = world.get("/api/v1/audit").await.json();
    let rows = audit["items"].as_array().unwrap().iter();
    rows.map(|row| {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", word("actor"), word("action"), word("target"))
    })
    .collect()
}

#[tokio::test]
async fn a_rule_is_switched_and_the_list_says_so() {
    let world = World::new().await;
    let rule = world.get("/api/v1/rules/dns-phishing").await.json();
    assert_eq!(rule["mode"], "on");
    assert_eq!(rule["stateful"], false);
    assert_eq!(rule["file"], "gateway_dns/dns-phishing.yml");
    let answer = put(&world, "rules/dns-phishing/mode", json!({ "mode": "test" })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["mode"], "test");
    let listed = world.get("/api/v1/rules").await.json();
    let mut rows = listed["items"].as_array().unwrap().iter();
    assert_eq!(
        rows.find(|row| row["name"] == "dns-phishing").unwrap()["mode"],
        "test"
    );
    assert_eq!(audited(&world).await, ["token tests rule.mode dns-phishing"]);

    let answer = put(&world, "rules/dns-phishing/mode", json!({ "mode": "loud" })).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.json()["errors"][0]["pointer"], "/mode", "{}", answer.text);
    assert!(answer.text.contains("must be"), "{}", answer.text);
    let answer = put(&world, "rules/none/mode", json!({ "mode": "off" })).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
}

#[tokio::test]
async fn matches_in_test_mode_are_counted_and_nothing_else_comes_of_them() {
    let world = World::lived_in().await;
    let rule = world.get("/api/v1/rules/our-nodes").await.json();
    assert_eq!(rule["test_matches"], 2, "{rule}");
    assert_eq!(rule["test_people"], 2, "{rule}");
    assert_eq!(rule["test_last_at"], "2026-11-20T09:14:05Z");
    assert_eq!(
        (&rule["detections"], &rule["origin"]),
        (&json!(0), &json!("custom"))
    );
}

#[tokio::test]
async fn a_document_is_kept_in_versions_and_its_rules_run() {
    let world = World::new().await;
    let answer = send_yaml(&world, Method::PUT, "rule-documents/ours.yml", RULE).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let kept = answer.json();
    assert_eq!(
        (&kept["version"], &kept["rules"]),
        (&json!(1), &json!(["our-nodes"]))
    );
    assert_eq!(kept["written_by"], "token tests");
    let changed = RULE.replace("Lookups of", "Look-ups of");
    let answer = put(&world, "rule-documents/ours.yml", json!({ "text": changed })).await;
    assert_eq!(answer.json()["version"], 2, "{}", answer.text);
    assert_eq!(
        world.get("/api/v1/rules/our-nodes").await.json()["title"],
        "Look-ups of our nodes"
    );

    let world_has = async || world.get("/api/v1/rules/our-nodes").await.status;
    assert_eq!(world_has().await, StatusCode::OK);
    let path = "/api/v1/rule-documents/ours.yml";
    let answer = world.call(Method::DELETE, path, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world_has().await, StatusCode::NOT_FOUND);
    assert_eq!(
        world.call(Method::DELETE, path, None).await.status,
        StatusCode::NOT_FOUND
    );
    let versions = world.get(&format!("{path}/versions")).await.json();
    let texts: Vec<&Value> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["text"])
        .collect();
    assert_eq!(texts, [&Value::Null, &json!(changed), &json!(RULE)]);
    let none = world.get("/api/v1/rule-documents/none/versions").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(audited(&world).await, ["token tests rule.document ours.yml"; 3]);
}

#[tokio::test]
async fn a_document_that_cannot_be_honoured_is_refused_whole_with_line_and_reason() {
    let world = World::new().await;
    let broken = format!(
        "{RULE}---{}",
        RULE.replace("condition: node", "condition: node and")
    );
    let answer = put(&world, "rule-documents/ours.yml", json!({ "text": broken })).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    let problem = &answer.json()["errors"][0];
    assert_eq!(problem["pointer"], "/text");
    assert!(problem["detail"].as_str().unwrap().contains("line"), "{problem}");
    let answer = send_yaml(&world, Method::PUT, "rule-documents/ours.yml", &broken).await;
    assert_eq!(answer.json()["errors"][0]["pointer"], "", "{}", answer.text);
    assert_eq!(
        world.get("/api/v1/rule-documents").await.json()["items"],
        json!([])
    );
    assert_eq!(
        world.get("/api/v1/rules/our-nodes").await.status,
        StatusCode::NOT_FOUND
    );
    for (name, text, status) in [
        ("a%20b", RULE, StatusCode::BAD_REQUEST),
        ("ours.yml", "  ", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = put(&world, &format!("rule-documents/{name}"), json!({ "text": text })).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let request = Request::put("/api/v1/rule-documents/ours.yml")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.token))
        .header(header::CONTENT_TYPE, "text/html")
        .body(Body::from(RULE))
        .unwrap();
    assert_eq!(
        world.send(request).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

#[tokio::test]
async fn a_document_is_checked_without_being_kept() {
    let world = World::new().await;
    let answer = send_yaml(&world, Method::POST, "rule-documents/check", RULE).await;
    let good = json!({ "ok": true, "problem": null, "rules": ["our-nodes"], "datasets": ["gateway_dns"] });
    assert_eq!(answer.json(), good, "{}", answer.text);
    let broken = json!({ "text": RULE.replace("condition: node", "condition: no") });
    let answer = world
        .call(Method::POST, "/api/v1/rule-documents/check", Some(broken))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let checked = answer.json();
    assert_eq!(checked["ok"], false);
    assert!(checked["problem"].as_str().unwrap().contains("line"), "{checked}");
    assert_eq!(
        world.get("/api/v1/rule-documents").await.json()["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_list_is_set_and_goes_back_to_what_came_with_the_rules() {
    let world = World::new().await;
    let list = async || {
        let lists = world.get("/api/v1/rule-parameters").await.json();
        let mut rows = lists["items"].as_array().unwrap().iter();
        rows.find(|row| row["name"] == "approved_domains")
            .unwrap()
            .clone()
    };
    let before = list().await;
    assert_eq!(before["set_by"], Value::Null);
    let path = "rule-parameters/approved_domains";
    let answer = put(&world, path, json!({ "values": [" *.corp.example "] })).await;
    assert_eq!(
        answer.json()["values"],
        json!(["*.corp.example"]),
        "{}",
        answer.text
    );
    assert_eq!(list().await["set_by"], "token tests");
    let answer = put(&world, path, json!({ "values": ["a.example", ""] })).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        answer.json()["errors"][0]["pointer"],
        "/values/1",
        "{}",
        answer.text
    );
    let answer = world.call(Method::DELETE, &format!("/api/v1/{path}"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(list().await, before);
    let answer = put(&world, "rule-parameters/none", json!({ "values": [] })).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text.contains("rule-parameters"), "{}", answer.text);
}

#[tokio::test]
async fn a_trial_says_what_a_rule_would_have_found_and_keeps_nothing() {
    let world = World::new().await;
    let lines = [dns("ana@corp.example", "q1"), dns("bo@corp.example", "q2")].map(|line| line.to_string());
    let answer = world.receive("gateway_dns", lines.join("\n")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    while hub::driver::pipeline(&world.app).await.unwrap() {}
    send_yaml(&world, Method::PUT, "rule-documents/ours.yml", RULE).await;
    put(&world, "rules/our-nodes/mode", json!({ "mode": "off" })).await;
    let path = "/api/v1/rules/our-nodes/backtest";
    let body = json!({ "since": "2026-11-01T00:00:00Z" });
    let stage = async {
        while !hub::detection::backtest::carry_out(&world.app).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(world.call(Method::POST, path, Some(body)), stage);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let found = answer.json();
    assert_eq!(
        (&found["events"], &found["matches"], &found["detections"]),
        (&json!(2), &json!(2), &json!(2))
    );
    assert_eq!(
        found["days"],
        json!([{ "day": "2026-11-20", "detections": 2, "people": 2 }])
    );
    assert_eq!(
        found["most"][0],
        json!({ "identifier": "ana@corp.example", "detections": 1 })
    );
    assert_eq!(found["until"], json!(noon()));
    assert_eq!(
        world.get("/api/v1/detections?rule=our-nodes").await.json()["items"],
        json!([])
    );
    for (body, pointer) in [
        (json!({ "since": "yesterday" }), "/since"),
        (json!({}), "/since"),
        (
            json!({ "since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z" }),
            "/since",
        ),
    ] {
        let answer = world.call(Method::POST, path, Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let body = json!({ "since": "2026-11-01T00:00:00Z" });
    let answer = world
        .call(Method::POST, "/api/v1/rules/none/backtest", Some(body))
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_detection_gives_its_evidence() {
    let world = World::lived_in().await;
    let listed = world.get("/api/v1/detections").await.json();
    let one = &listed["items"][0];
    assert_eq!(
        (&one["matches"], &one["last_at"]),
        (&json!(1), &one["at"]),
        "{one}"
    );
    assert_eq!(one["evidence"], json!([one["event_id"]]));
    let id = one["id"].as_str().unwrap();
    let detail = world.get(&format!("/api/v1/detections/{id}")).await.json();
    assert_eq!(&detail["detection"], one);
}

#[tokio::test]
async fn rules_are_changed_with_a_permission_of_their_own() {
    let world = World::new().await;
    let reader = world.token_of(&[Permission::Read]).await;
    let answer = world
        .call_with(
            Some(&reader),
            Method::PUT,
            "/api/v1/rules/dns-phishing/mode",
            Some(json!({ "mode": "off" })),
        )
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("rules:write"), "{}", answer.text);
}

#[tokio::test]
async fn a_detection_of_several_matches_says_so() {
    let world = World::new().await;
    let lines = ["q1", "q2", "q3"].map(|id| dns("ana@corp.example", id).to_string());
    let answer = world.receive("gateway_dns", lines.join("\n")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    while hub::driver::pipeline(&world.app).await.unwrap() {}
    let list = world.get("/api/v1/detections").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    let found = &list.json()["items"][0];
    assert_eq!(
        (&found["matches"], &found["detail"]),
        (&json!(3), &json!("3 times"))
    );
}
