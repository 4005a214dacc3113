//! Who may call, and the format of a refusal.

use reqwest::Method;
use sandbox::Faults;
use serde_json::json;

use crate::client::start;

#[tokio::test]
async fn each_kind_of_token_is_verified_at_its_own_path() {
    let (sandbox, user) = start().await;
    let account = user.with_token(&sandbox.info().account_token);
    let got = user.get("/user/tokens/verify").await;
    assert_eq!(got.result()["status"], "active");
    assert_eq!(got.body["messages"][0]["code"], 10000);
    account.get("tokens/verify").await.result();
    account.get("/user/tokens/verify").await.refused(401, 1000);
    user.get("tokens/verify").await.refused(401, 1000);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_token_of_the_account_belongs_to_no_user() {
    let (sandbox, user) = start().await;
    let account = user.with_token(&sandbox.info().account_token);
    account.get("/accounts").await.refused(400, 1001);
    account.get("/user").await.refused(403, 9109);
    account.get("/memberships").await.refused(403, 9109);
    account.get("members").await.result();
}

#[tokio::test]
async fn the_global_key_does_everything() {
    let (sandbox, user) = start().await;
    let info = sandbox.info().clone();
    let key = user.with_headers(&[("x-auth-email", &info.email), ("x-auth-key", &info.api_key)]);
    key.get("/user").await.result();
    key.get("members").await.result();
    let wrong = user.with_headers(&[
        ("x-auth-email", "else@tidewater.example"),
        ("x-auth-key", &info.api_key),
    ]);
    wrong.get("members").await.refused(403, 9103);
}

#[tokio::test]
async fn wrong_and_malformed_credentials_differ() {
    let (_sandbox, user) = start().await;
    let wrong = user.with_token("cfut_0000000000000000000000000000000000000000");
    wrong.get("members").await.refused(403, 9109);
    wrong.get("access/users").await.refused(403, 10000);
    wrong.get("/user/tokens/verify").await.refused(401, 1000);
    user.with_headers(&[("authorization", "Bearer ")])
        .get("members")
        .await
        .refused(400, 6003);
    user.with_headers(&[("authorization", "Bearer with spaces and such things")])
        .get("roles")
        .await
        .refused(400, 6003);
    user.with_headers(&[("x-auth-email", "a@b.example"), ("x-auth-key", "short")])
        .get("roles")
        .await
        .refused(400, 6003);
    user.with_headers(&[]).get("members").await.refused(400, 9106);
}

#[tokio::test]
async fn unknown_accounts_and_routes_cannot_be_routed_to() {
    let (_sandbox, user) = start().await;
    user.get("/accounts/00000000000000000000000000000000/members")
        .await
        .refused(404, 7003);
    user.get("no/such/thing").await.refused(404, 7003);
    user.call(Method::DELETE, "roles", None).await.refused(404, 7003);
}

#[tokio::test]
async fn a_lost_permission_looks_like_a_wrong_credential() {
    let (sandbox, user) = start().await;
    let lost = |name: &str| Faults {
        removed_permissions: vec![name.to_owned()],
        ..Faults::default()
    };
    sandbox.world().faults_set(lost("Access: Audit Logs Read"));
    user.get("access/users").await.refused(403, 10000);
    user.get("members").await.result();
    sandbox.world().faults_set(lost("Zero Trust: PII Read"));
    user.get("zt_risk_scoring/summary").await.refused(403, 10000);
    user.get("access/users").await.result();
    sandbox.world().faults_set(Faults {
        risk_not_entitled: true,
        ..Faults::default()
    });
    user.get("zt_risk_scoring/summary").await.refused(403, 3314);
    sandbox.world().faults_clear();
    user.get("zt_risk_scoring/summary").await.result();
}

#[tokio::test]
async fn the_user_is_the_member_who_owns_the_credential() {
    let (sandbox, token) = start().await;
    let world = sandbox.world();
    let info = sandbox.info().clone();
    let with_key =
        |email: &str| token.with_headers(&[("x-auth-email", email), ("x-auth-key", &info.api_key)]);
    let owner = world.member(&info.email).unwrap();
    for client in [&token, &with_key(&info.email)] {
        let user = client.get("/user").await;
        assert_eq!(
            (&user.result()["id"], &user.result()["email"]),
            (&owner["user"]["id"], &owner["email"])
        );
    }

    let priya = "priya.nair@tidewater.example";
    assert!(world.credential_owner_set(priya));
    let owner = world.member(priya).unwrap();
    for client in [&token, &with_key(priya)] {
        let user = client.get("/user").await;
        assert_eq!(
            (&user.result()["id"], &user.result()["email"]),
            (&owner["user"]["id"], &owner["email"])
        );
        assert_eq!(client.get("/memberships").await.result()[0]["id"], owner["id"]);
    }
    with_key(&info.email).get("/user").await.refused(403, 9103);
    // What the token does is in the audit log under its owner.
    let group = json!({ "name": "Crew", "include": [{ "everyone": {} }] });
    token.post("access/groups", group).await.result();
    let log = token
        .get("logs/audit?since=2026-11-20&before=2026-11-21&action_type=create")
        .await;
    assert_eq!(log.result()[0]["actor"]["email"], priya);
    // Someone who never signed up owns nothing.
    assert!(!world.credential_owner_set("kato.mensah@tidewater.example"));
    assert!(!world.credential_owner_set("nobody@tidewater.example"));
}

#[tokio::test]
async fn the_user_is_shown_to_those_who_may_see_it() {
    let (sandbox, client) = start().await;
    let lost = ["Read", "Write"].map(|name| format!("User Details {name}"));
    sandbox.world().faults_set(Faults {
        removed_permissions: lost.to_vec(),
        ..Faults::default()
    });
    client.get("/user").await.refused(403, 10000);
    let info = sandbox.info();
    let key = client.with_headers(&[("x-auth-email", &info.email), ("x-auth-key", &info.api_key)]);
    key.get("/user").await.result();
}
