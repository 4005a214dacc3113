//! Calls every operation at least once successfully and once with a refusal; the client validates both responses.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, start};
use crate::description;
use crate::receiver::Receiver;

struct Walk {
    client: Client,
    world: sandbox::WorldHandle,
    answered: BTreeSet<(String, String)>,
    refused: BTreeSet<(String, String)>,
}

impl Walk {
    async fn call(&mut self, method: Method, path: &str, body: Option<Value>, status: u16) -> Value {
        let got = self.client.call(method.clone(), path, body).await;
        assert_eq!(got.status, status, "{method} {path}: {}", got.body);
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/accounts/a/{path}")
        };
        let path = path.replace("/accounts/a/?", "/accounts/a?");
        let operation = (
            method.to_string(),
            description::template(path.trim_end_matches('/')).unwrap(),
        );
        assert!(
            description::describes(&operation.0, &operation.1),
            "{operation:?}"
        );
        if status < 300 {
            self.answered.insert(operation)
        } else {
            self.refused.insert(operation)
        };
        got.body["result"].clone()
    }

    async fn get(&mut self, path: &str) -> Value {
        self.call(Method::GET, path, None, 200).await
    }

    async fn change(&mut self, method: Method, path: &str, body: Value, status: u16) -> Value {
        self.call(method, path, Some(body), status).await
    }

    async fn delete(&mut self, path: &str, status: u16) -> Value {
        self.call(Method::DELETE, path, None, status).await
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_described() {
    let (sandbox, client) = start().await;
    let mut walk = Walk {
        client,
        world: sandbox.world(),
        answered: BTreeSet::new(),
        refused: BTreeSet::new(),
    };
    accounts(&mut walk).await;
    members_and_iam(&mut walk).await;
    access(&mut walk).await;
    risk(&mut walk).await;
    logs(&mut walk).await;

    // Without a credential every operation refuses, and says so as described.
    walk.client.headers.clear();
    for (method, path) in sandbox::served_operations() {
        let account = walk.client.info.account_id.clone();
        let path = path.replace("{account_id}", &account).replace(['{', '}'], "");
        let body = (method != "GET" && method != "DELETE").then(|| json!({}));
        walk.call(Method::from_bytes(method.as_bytes()).unwrap(), &path, body, 400)
            .await;
    }

    let served: BTreeSet<(String, String)> = sandbox::served_operations().into_iter().collect();
    let missing: Vec<_> = served.difference(&walk.answered).collect();
    assert!(missing.is_empty(), "no validated answer of {missing:#?}");
    let missing: Vec<_> = served.difference(&walk.refused).collect();
    assert!(missing.is_empty(), "no validated refusal of {missing:#?}");
    sandbox.stop().await;
}

async fn accounts(walk: &mut Walk) {
    walk.get("/accounts").await;
    walk.get("").await;
    walk.get("/user").await;
    walk.get("/user/tokens/verify").await;
    let memberships = walk.get("/memberships").await;
    walk.get(&format!("/memberships/{}", id(&memberships[0]))).await;
    walk.get("tokens/permission_groups").await;
    walk.get("tokens").await;
    let user = walk.client.clone();
    walk.client = user.with_token(&user.info.account_token);
    walk.get("tokens/verify").await;
    walk.client = user;
}

async fn members_and_iam(walk: &mut Walk) {
    let roles = walk.get("roles").await;
    let role = id(&roles[0]);
    walk.get(&format!("roles/{role}")).await;
    let groups = walk.get("iam/permission_groups").await;
    let permission_group = id(&groups[0]);
    walk.get(&format!("iam/permission_groups/{permission_group}"))
        .await;

    let resources = walk.get("iam/resource_groups").await;
    let whole = id(&resources[0]);
    let scope = json!({ "key": "com.cloudflare.api.account.a", "objects": [{ "key": "*" }] });
    let made = json!({ "name": "Shop", "scope": scope });
    let made = walk.change(Method::POST, "iam/resource_groups", made, 200).await;
    let path = format!("iam/resource_groups/{}", id(&made));
    walk.get(&path).await;
    walk.change(Method::PUT, &path, json!({ "name": "Shops" }), 200)
        .await;
    walk.delete(&path, 200).await;

    let policy = json!({
        "access": "allow", "permission_groups": [{ "id": permission_group }], "resource_groups": [{ "id": whole }],
    });
    walk.get("members").await;
    let invitation = json!({ "email": "new@tidewater.example", "roles": [role] });
    let invited = walk.change(Method::POST, "members", invitation, 200).await;
    let member = format!("members/{}", id(&invited));
    walk.get(&member).await;
    walk.change(Method::PUT, &member, json!({ "roles": [{ "id": role }] }), 200)
        .await;
    walk.change(Method::PUT, &member, json!({ "policies": [policy] }), 200)
        .await;

    walk.get("iam/user_groups").await;
    let made = json!({ "name": "Night watch", "policies": [policy] });
    let made = walk.change(Method::POST, "iam/user_groups", made, 200).await;
    let path = format!("iam/user_groups/{}", id(&made));
    walk.get(&path).await;
    walk.change(Method::PUT, &path, json!({ "name": "Day watch" }), 200)
        .await;
    let members = format!("{path}/members");
    walk.change(Method::POST, &members, json!([{ "id": id(&invited) }]), 200)
        .await;
    walk.change(Method::PUT, &members, json!([{ "id": id(&invited) }]), 200)
        .await;
    walk.get(&members).await;
    walk.get(&format!("{members}/{}", id(&invited))).await;
    walk.delete(&format!("{members}/{}", id(&invited)), 200).await;
    walk.delete(&path, 200).await;
    walk.delete(&member, 200).await;
}

async fn access(walk: &mut Walk) {
    let users = walk.get("access/users").await;
    let made = json!({ "email": "fresh@tidewater.example", "name": "Fresh Face" });
    let made = walk.change(Method::POST, "access/users", made, 201).await;
    let path = format!("access/users/{}", id(&made));
    walk.get(&path).await;
    let renamed = json!({ "email": "fresh@tidewater.example", "name": "Fresher" });
    walk.change(Method::PUT, &path, renamed, 200).await;
    walk.delete(&path, 202).await;
    let user = format!("access/users/{}", id(&users[1]));
    let sessions = walk.get(&format!("{user}/active_sessions")).await;
    let nonce = sessions[0]["metadata"]["nonce"].as_str().unwrap().to_owned();
    walk.get(&format!("{user}/active_sessions/{nonce}")).await;
    walk.get(&format!("{user}/failed_logins")).await;
    walk.get(&format!("{user}/last_seen_identity")).await;
    // No call shows it, so the world is asked.
    let authenticator = walk
        .world
        .authenticator_id(users[1]["email"].as_str().unwrap())
        .unwrap();
    walk.delete(&format!("{user}/mfa_authenticators/{authenticator}"), 200)
        .await;
    let seat = json!([{ "seat_uid": users[1]["seat_uid"], "access_seat": false, "gateway_seat": false }]);
    walk.change(Method::PATCH, "access/seats", seat, 200).await;

    walk.get("access/groups").await;
    let group = json!({ "name": "Crew", "include": [{ "email": { "email": "a@tidewater.example" } }] });
    let made = walk
        .change(Method::POST, "access/groups", group.clone(), 201)
        .await;
    let path = format!("access/groups/{}", id(&made));
    walk.get(&path).await;
    walk.change(Method::PUT, &path, group, 200).await;
    walk.delete(&path, 202).await;

    walk.get("access/policies").await;
    let policy = json!({ "name": "Crew may enter", "decision": "allow", "include": [{ "everyone": {} }] });
    let made = walk
        .change(Method::POST, "access/policies", policy.clone(), 201)
        .await;
    let path = format!("access/policies/{}", id(&made));
    walk.get(&path).await;
    walk.change(Method::PUT, &path, policy, 200).await;
    walk.delete(&path, 202).await;

    let apps = walk.get("access/apps").await;
    let app = format!("access/apps/{}", id(&apps[0]));
    walk.get(&app).await;
    let policies = walk.get(&format!("{app}/policies")).await;
    walk.get(&format!("{app}/policies/{}", id(&policies[0]))).await;
    let providers = walk.get("access/identity_providers").await;
    walk.get(&format!("access/identity_providers/{}", id(&providers[0])))
        .await;
    walk.get("access/organizations").await;
    walk.get("access/service_tokens").await;
    let email = json!({ "email": users[1]["email"] });
    walk.change(Method::POST, "access/organizations/revoke_user", email, 200)
        .await;
}

async fn risk(walk: &mut Walk) {
    let summary = walk.get("zt_risk_scoring/summary").await;
    let user = summary["users"][0]["user_id"].as_str().unwrap().to_owned();
    walk.get(&format!("zt_risk_scoring/{user}")).await;
    walk.call(Method::POST, &format!("zt_risk_scoring/{user}/reset"), None, 200)
        .await;
    walk.get("zt_risk_scoring/behaviors").await;
    let change = json!({ "behaviors": { "high_dlp": { "enabled": true, "risk_level": "low" } } });
    walk.change(Method::PUT, "zt_risk_scoring/behaviors", change, 200)
        .await;
    let tenant = walk.client.info.okta_url.clone();
    let made = json!({ "integration_type": "Okta", "tenant_url": tenant, "reference_id": "ref-1" });
    let made = walk
        .change(Method::POST, "zt_risk_scoring/integrations", made, 200)
        .await;
    walk.get("zt_risk_scoring/integrations").await;
    walk.get("zt_risk_scoring/integrations/reference_id/ref-1").await;
    let path = format!("zt_risk_scoring/integrations/{}", id(&made));
    walk.get(&path).await;
    walk.change(
        Method::PUT,
        &path,
        json!({ "tenant_url": tenant, "active": false }),
        200,
    )
    .await;
    walk.delete(&path, 200).await;
}

async fn logs(walk: &mut Walk) {
    walk.get("audit_logs").await;
    walk.get("logs/audit?since=2026-01-01&before=2027-01-01").await;
    walk.get("access/logs/access_requests").await;
    let providers = walk.get("access/identity_providers").await;
    walk.get(&format!("access/logs/scim/updates?idp_id={}", id(&providers[0])))
        .await;
    let lists = walk.get("gateway/lists").await;
    let list = format!("gateway/lists/{}", id(&lists[0]));
    walk.get(&list).await;
    walk.get(&format!("{list}/items")).await;
    walk.get("gateway/logging").await;
    walk.change(
        Method::PUT,
        "gateway/logging",
        json!({ "redact_pii": false }),
        200,
    )
    .await;

    walk.get("intel/ip?ipv4=203.0.113.31").await;
    walk.get("intel/domain?domain=invoice-review.example").await;
    walk.get("intel/domain/bulk?domain=news.daily.example&domain=unheard-of.example")
        .await;
    walk.get("intel/domain-history?domain=news.daily.example").await;
    walk.get("intel/asn/64500").await;
    walk.get("intel/whois?domain=news.daily.example").await;
    walk.change(
        Method::POST,
        "intel/miscategorization",
        json!({ "indicator_type": "domain" }),
        200,
    )
    .await;
    logpush(walk).await;
}

async fn logpush(walk: &mut Walk) {
    let receiver = Receiver::start().await;
    let destination = json!({ "destination_conf": receiver.url() });
    walk.change(
        Method::POST,
        "logpush/validate/destination",
        destination.clone(),
        200,
    )
    .await;
    walk.change(
        Method::POST,
        "logpush/validate/destination/exists",
        destination.clone(),
        200,
    )
    .await;
    walk.change(
        Method::POST,
        "logpush/validate/origin",
        json!({ "logpull_options": "fields=A" }),
        200,
    )
    .await;
    walk.change(Method::POST, "logpush/ownership", destination, 200)
        .await;
    let challenge = json!({ "destination_conf": receiver.url(), "ownership_challenge": "no" });
    walk.change(Method::POST, "logpush/ownership/validate", challenge, 200)
        .await;
    let job = json!({
        "dataset": "gateway_dns", "destination_conf": receiver.url(), "enabled": true, "name": "everything",
        "output_options": { "timestamp_format": "rfc3339", "field_names": ["Datetime", "Email"] },
        "max_upload_interval_seconds": 30,
    });
    let made = walk.change(Method::POST, "logpush/jobs", job, 200).await;
    let path = format!("logpush/jobs/{}", made["id"]);
    walk.get("logpush/jobs").await;
    walk.get(&path).await;
    walk.get("logpush/datasets/gateway_dns/jobs").await;
    walk.get("logpush/datasets/gateway_dns/fields").await;
    walk.change(Method::PUT, &path, json!({ "enabled": false }), 200)
        .await;
    walk.delete(&path, 200).await;
    walk.get("logs/control/cmb/config").await;
    walk.change(
        Method::POST,
        "logs/control/cmb/config",
        json!({ "regions": "eu" }),
        200,
    )
    .await;
    walk.delete("logs/control/cmb/config", 200).await;
}
