//! Changes of access over the API: bad input names its field, a plan changes nothing, a change is made, listed and
//! taken back.

use crate::world::World;
use axum::http::{Method, StatusCode};
use hub::Permission;
use hub::connect::{ConnectRequest, Credential, connect};
use sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};

pub(crate) async fn synced() -> (Sandbox, World) {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
    let world = World::with(|settings| {
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
        settings.provisioning.second_look_ms = 0;
    })
    .await;
    let info = sandbox.info();
    let request = ConnectRequest {
        label: "tidewater".to_owned(),
        account: Some(info.account_id.clone()),
        credential: Credential::token(&info.token),
        base_url: Some(info.base_url.clone()),
    };
    let connected = connect(&world.app, &request, &hub::Actor::CommandLine)
        .await
        .unwrap();
    hub::sync::connection(&world.app, &connected.connection, Default::default(), &|_| {})
        .await
        .unwrap();
    (sandbox, world)
}

fn grant(email: &str, group: &str) -> Value {
    json!({ "action": "group.grant", "connection": "tidewater", "email": email, "group": group })
}

#[tokio::test]
async fn a_plan_changes_nothing_and_a_change_is_made_listed_and_taken_back() {
    let (sandbox, world) = synced().await;
    let body = grant("omar.said@tidewater.example", "Finance");
    let before = sandbox.world().access_group("Finance");
    let plan = world
        .call(Method::POST, "/api/v1/access/plans", Some(body.clone()))
        .await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    assert_eq!(plan.json()["plan"]["step"]["verdict"], "write");
    assert_eq!(plan.json()["plan"]["calls"][0]["method"], "PUT");
    assert_eq!(sandbox.world().access_group("Finance"), before);

    let made = world
        .call(Method::POST, "/api/v1/access/changes", Some(body.clone()))
        .await
        .json();
    assert_eq!(made["outcome"], "changed", "{made}");
    let again = world
        .call(Method::POST, "/api/v1/access/changes", Some(body))
        .await
        .json();
    assert_eq!(again["outcome"], "already");
    let id = made["change_id"].as_str().unwrap();
    let one = world.get(&format!("/api/v1/access/changes/{id}")).await.json();
    assert_eq!(one["change"]["can_be_undone"], true);
    let listed = world
        .get("/api/v1/access/changes?outcome=changed&email=Omar.Said@tidewater.example")
        .await;
    assert_eq!(listed.json()["items"][0]["id"], id);
    let undone = world
        .call(
            Method::POST,
            &format!("/api/v1/access/changes/{id}/undo"),
            Some(json!({})),
        )
        .await
        .json();
    assert_eq!(undone["outcome"], "changed", "{undone}");
    assert_eq!(
        sandbox.world().access_group("Finance").unwrap()["include"],
        before.unwrap()["include"]
    );
}

#[tokio::test]
async fn what_is_refused_is_an_outcome_and_what_cannot_be_understood_names_its_field() {
    let (_sandbox, world) = synced().await;
    let refused = world
        .call(
            Method::POST,
            "/api/v1/access/changes",
            Some(grant("elena.rossi@tidewater.example", "All staff")),
        )
        .await;
    assert_eq!(refused.status, StatusCode::OK);
    assert_eq!(refused.json()["guard"], "void");
    let with = |name: &str, value: Value| {
        let mut body = grant("omar.said@tidewater.example", "Finance");
        body[name] = value;
        body
    };
    for (body, pointer) in [
        (with("group", json!("No such group")), "/group"),
        (with("connection", json!("nowhere")), "/connection"),
        (with("email", json!("nobody")), "/email"),
        (with("action", json!("group.destroy")), "/action"),
        (with("for_minutes", json!(-5)), "/for_minutes"),
    ] {
        let answer = world
            .call(Method::POST, "/api/v1/access/changes", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", answer.text);
    }
    let reader = world.token_of(&[Permission::Read]).await;
    let answer = world
        .call_with(
            Some(&reader),
            Method::POST,
            "/api/v1/access/changes",
            Some(grant("omar.said@tidewater.example", "Finance")),
        )
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_grant_for_a_time_shows_its_end_and_offboarding_its_steps() {
    let (_sandbox, world) = synced().await;
    let mut body = grant("omar.said@tidewater.example", "Finance");
    body["for_minutes"] = json!(90);
    let made = world
        .call(Method::POST, "/api/v1/access/changes", Some(body))
        .await
        .json();
    assert!(made["expires_at"].is_string(), "{made}");
    let timed = world
        .get("/api/v1/access/timed-grants?email=omar.said@tidewater.example")
        .await
        .json();
    assert_eq!(timed["items"][0]["state"], "active");
    let person = world
        .app
        .store
        .person_by_email("mei.tanaka@tidewater.example")
        .await;
    let path = format!("/api/v1/people/{}/offboard", person.unwrap().unwrap().id);
    let plans = world
        .call(Method::POST, &path, Some(json!({ "plan_only": true })))
        .await
        .json();
    assert!(plans["plans"].as_array().unwrap().len() > 2, "{plans}");
    let done = world
        .call(Method::POST, &path, Some(json!({ "note": "left" })))
        .await
        .json();
    assert_eq!(done["outcome"], "changed", "{done}");
    assert!(!done["remains"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_grant_keeps_its_end_over_the_api_until_permanent_is_asked_for() {
    let (_sandbox, world) = synced().await;
    let with = |name: &str, value: Value| {
        let mut body = grant("omar.said@tidewater.example", "Finance");
        body[name] = value;
        body
    };
    let post = async |path: &str, body: Value| world.call(Method::POST, path, Some(body)).await.json();
    let first = post("/api/v1/access/changes", with("for_minutes", json!(90))).await;
    let end = first["expires_at"].clone();
    assert_eq!(first["ends"], json!({ "before": null, "after": end }), "{first}");
    let again = post("/api/v1/access/changes", with("note", json!("again"))).await;
    assert_eq!(
        (again["outcome"].as_str(), &again["ends"]),
        (Some("already"), &json!({ "before": end, "after": end })),
        "{again}"
    );
    assert!(
        again["reason"].as_str().unwrap().contains("keeps its expiry"),
        "{again}"
    );
    let planned = post("/api/v1/access/plans", with("permanent", json!(true))).await;
    assert_eq!(
        planned["ends"],
        json!({ "before": end, "after": null }),
        "{planned}"
    );
    let made = post("/api/v1/access/changes", with("permanent", json!(true))).await;
    assert_eq!(
        (made["outcome"].as_str(), &made["expires_at"]),
        (Some("changed"), &Value::Null),
        "{made}"
    );
    let mut both = with("permanent", json!(true));
    both["for_minutes"] = json!(5);
    let mut other = with("permanent", json!(true));
    other["action"] = json!("group.revoke");
    for body in [both, other] {
        let answer = world
            .call(Method::POST, "/api/v1/access/changes", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], "/permanent");
    }
}
