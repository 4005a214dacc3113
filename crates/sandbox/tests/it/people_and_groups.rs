//! The quirks of members, users, groups and risk that a client must handle.

use sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::client::{Client, config, start, start_with};

fn by<'a>(items: &'a Value, key: &str, value: &str) -> &'a Value {
    let items = items.as_array().unwrap();
    items
        .iter()
        .find(|item| item[key] == value)
        .unwrap_or_else(|| panic!("no {key} {value} in {items:#?}"))
}

async fn members(client: &Client) -> Vec<Value> {
    client
        .get("members?per_page=50")
        .await
        .result()
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn who_never_signed_up_has_no_user_id() {
    let (_sandbox, client) = start().await;
    let pending = client.get("members?status=pending").await;
    assert_eq!(pending.result().as_array().unwrap().len(), 2);
    assert!(
        pending
            .result()
            .as_array()
            .unwrap()
            .iter()
            .all(|member| member["user"].get("id").is_none())
    );
    assert!(
        client
            .get("members?status=rejected")
            .await
            .result()
            .as_array()
            .unwrap()
            .is_empty()
    );
    client.get("members?status=gone").await.refused(400, 1400);
}

#[tokio::test]
async fn pages_of_members_hold_between_five_and_fifty() {
    let (_sandbox, client) = start_with(SandboxConfig {
        members: 120,
        ..config()
    })
    .await;
    client.get("members?per_page=51").await.refused(400, 1400);
    client.get("members?per_page=4").await.refused(400, 1400);
    let third = client.get("members?per_page=50&page=3").await;
    assert_eq!(
        third.body["result_info"],
        json!({ "count": 20, "page": 3, "per_page": 50, "total_count": 120 })
    );
    assert!(
        client
            .get("members?per_page=50&page=4")
            .await
            .result()
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_invitation_takes_role_ids_and_answers_without_roles() {
    let (_sandbox, client) = start().await;
    let roles = client.get("roles").await;
    let role = roles.result()[0]["id"].clone();
    let invited = client
        .post(
            "members",
            json!({ "email": "Newt@tidewater.example", "roles": [role] }),
        )
        .await;
    assert_eq!(invited.result()["status"], "pending");
    assert!(invited.result().get("roles").is_none());
    let read = client
        .get(&format!("members/{}", invited.result()["id"].as_str().unwrap()))
        .await;
    assert_eq!(read.result()["roles"][0]["id"], role);
    client
        .post(
            "members",
            json!({ "email": "newt@Tidewater.example", "roles": [role] }),
        )
        .await
        .refused(400, 1008);
    let objects = json!({ "email": "b@tidewater.example", "roles": [{ "id": role }] });
    client.post("members", objects).await.refused(400, 1001);
}

#[tokio::test]
async fn a_change_of_a_member_replaces_all_roles_and_takes_objects() {
    let (_sandbox, client) = start().await;
    let roles = client.get("roles").await;
    let (first, second) = (roles.result()[0]["id"].clone(), roles.result()[1]["id"].clone());
    let member = members(&client)
        .await
        .into_iter()
        .find(|member| member["email"] == "ben.carter@tidewater.example");
    let path = format!("members/{}", member.unwrap()["id"].as_str().unwrap());
    client
        .put(&path, json!({ "roles": [{ "id": first }, { "id": second }] }))
        .await
        .result();
    let changed = client.put(&path, json!({ "roles": [{ "id": second }] })).await;
    assert_eq!(changed.result()["roles"].as_array().unwrap().len(), 1);
    client
        .put(&path, json!({ "roles": [second] }))
        .await
        .refused(400, 1001);
}

#[tokio::test]
async fn someone_has_roles_or_policies_but_not_both() {
    let (_sandbox, client) = start().await;
    let all = members(&client).await;
    let with_policies = all
        .iter()
        .find(|member| member["email"] == "greta.olsen@tidewater.example")
        .unwrap();
    assert!(with_policies["roles"].as_array().unwrap().is_empty());
    assert_eq!(with_policies["policies"].as_array().unwrap().len(), 1);
    let role = client.get("roles").await.result()[0]["id"].clone();
    let path = format!("members/{}", with_policies["id"].as_str().unwrap());
    let changed = client.put(&path, json!({ "roles": [{ "id": role }] })).await;
    assert!(changed.result().get("policies").is_none());
}

#[tokio::test]
async fn policies_win_when_roles_are_sent_too() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let ben = "ben.carter@tidewater.example";
    let path = format!("members/{}", world.member(ben).unwrap()["id"].as_str().unwrap());
    let role = client.get("roles").await.result()[0]["id"].clone();
    let roles = json!([{ "id": role }]);
    let policy = world.member_policies("greta.olsen@tidewater.example").remove(0);

    let both = json!({ "roles": roles, "policies": [policy] });
    let changed = client.put(&path, both).await;
    assert_eq!(
        (&changed.result()["roles"], &changed.result()["policies"]),
        (&json!([]), &json!([policy]))
    );
    assert_eq!(client.get(&path).await.body, changed.body);
    let back = client
        .put(&path, json!({ "roles": roles, "policies": null }))
        .await;
    assert_eq!(back.result()["roles"][0]["id"], role);
    assert!(back.result().get("policies").is_none());

    // Nothing at all is no answer to what someone may do, and leaves them as they are.
    client
        .put(&path, json!({ "roles": roles, "policies": [] }))
        .await
        .refused(400, 1001);
    client
        .put(&path, json!({ "policies": null }))
        .await
        .refused(400, 1001);
    assert_eq!(client.get(&path).await.body, back.body);
}

#[tokio::test]
async fn the_list_of_roles_leaves_out_the_highest() {
    let (_sandbox, client) = start().await;
    let roles = client.get("roles?per_page=50").await;
    assert!(
        roles
            .result()
            .as_array()
            .unwrap()
            .iter()
            .all(|role| role["name"] != "Super Administrator")
    );
    let highest = client.get("roles/33666b9c79b9a5273fc7344ff42f953d").await;
    assert_eq!(highest.result()["name"], "Super Administrator");
}

#[tokio::test]
async fn the_same_person_is_written_differently_in_the_two_lists() {
    let (_sandbox, client) = start().await;
    assert!(
        members(&client)
            .await
            .iter()
            .any(|member| member["email"] == "Ines.Moreau@tidewater.example")
    );
    let users = client.get("access/users?email=ines.moreau").await;
    assert_eq!(users.result()[0]["email"], "ines.moreau@tidewater.example");
}

#[tokio::test]
async fn the_email_filter_of_users_matches_a_part() {
    let (_sandbox, client) = start().await;
    let longer = json!({ "email": "xtom.okafor@tidewater.example", "name": "Not Tom" });
    client.post("access/users", longer).await.result();
    let found = client
        .get("access/users?email=tom.okafor@tidewater.example")
        .await;
    assert_eq!(found.result().as_array().unwrap().len(), 2);
    assert_eq!(found.body["result_info"]["total_pages"], 1);
}

#[tokio::test]
async fn a_rename_must_confirm_the_address() {
    let (_sandbox, client) = start().await;
    let user = client.get("access/users?email=mei.tanaka").await.result()[0].clone();
    let path = format!("access/users/{}", user["id"].as_str().unwrap());
    client
        .put(&path, json!({ "email": "other@tidewater.example", "name": "M" }))
        .await
        .refused(400, 12130);
    let renamed = client
        .put(&path, json!({ "email": user["email"], "name": "Mei T." }))
        .await;
    assert_eq!(renamed.result()["name"], "Mei T.");
}

#[tokio::test]
async fn a_removed_user_is_gone_from_users_and_risk() {
    let (_sandbox, client) = start().await;
    let summary = client.get("zt_risk_scoring/summary").await;
    let user = summary.result()["users"][0].clone();
    assert_eq!(
        (&user["email"], &user["max_risk_level"]),
        (&json!("ines.moreau@tidewater.example"), &json!("high"))
    );
    let path = format!("access/users/{}", user["user_id"].as_str().unwrap());
    assert_eq!(client.delete(&path).await.status, 202);
    client.get(&path).await.refused(404, 12137);
    let summary = client.get("zt_risk_scoring/summary").await;
    assert_ne!(summary.result()["users"][0]["email"], user["email"]);
}

#[tokio::test]
async fn a_reset_user_leaves_the_summary_and_keeps_the_time() {
    let (_sandbox, client) = start().await;
    let user = client.get("zt_risk_scoring/summary").await.result()["users"][0].clone();
    let path = format!("zt_risk_scoring/{}", user["user_id"].as_str().unwrap());
    let scored = client.get(&path).await;
    assert_eq!(scored.result()["events"][0]["name"], "imp_travel");
    assert!(
        client
            .post(&format!("{path}/reset"), json!({}))
            .await
            .result()
            .is_null()
    );
    let reset = client.get(&path).await;
    assert_eq!(reset.result()["risk_level"], Value::Null);
    assert_eq!(reset.result()["last_reset_time"], "2026-11-20T12:00:00Z");
    let summary = client.get("zt_risk_scoring/summary").await;
    assert!(
        summary.result()["users"]
            .as_array()
            .unwrap()
            .iter()
            .all(|other| other["email"] != user["email"])
    );
}

#[tokio::test]
async fn a_change_of_a_group_loses_what_it_leaves_out() {
    let (_sandbox, client) = start().await;
    let groups = client.get("access/groups").await;
    let group = by(groups.result(), "name", "On call");
    assert_eq!(group["require"].as_array().unwrap().len(), 1);
    let path = format!("access/groups/{}", group["id"].as_str().unwrap());
    client
        .put(&path, json!({ "include": group["include"] }))
        .await
        .refused(400, 12130);
    client
        .put(&path, json!({ "name": "On call" }))
        .await
        .refused(400, 12130);
    let changed = client
        .put(&path, json!({ "name": "On call", "include": group["include"] }))
        .await;
    assert_eq!(
        (&changed.result()["exclude"], &changed.result()["require"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn an_unknown_selector_survives() {
    let (_sandbox, client) = start().await;
    let groups = client.get("access/groups").await;
    let group = by(groups.result(), "name", "Badge pilot").clone();
    assert!(group["include"][0].get("office_badge").is_some());
    let path = format!("access/groups/{}", group["id"].as_str().unwrap());
    let changed = client.put(&path, group.clone()).await;
    assert_eq!(changed.result()["include"], group["include"]);
}

#[tokio::test]
async fn a_nested_group_cannot_be_removed() {
    let (_sandbox, client) = start().await;
    let groups = client.get("access/groups").await;
    let nested = by(groups.result(), "name", "Engineering")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    client
        .delete(&format!("access/groups/{nested}"))
        .await
        .refused(400, 12140);
}

#[tokio::test]
async fn an_integration_is_overwritten_whole() {
    let (sandbox, client) = start().await;
    let tenant = &sandbox.info().okta_url;
    let body = json!({ "integration_type": "Okta", "tenant_url": tenant, "reference_id": "idp-1" });
    let made = client.post("zt_risk_scoring/integrations", body).await;
    assert_eq!(made.result()["active"], true);
    let path = format!(
        "zt_risk_scoring/integrations/{}",
        made.result()["id"].as_str().unwrap()
    );
    client
        .put(&path, json!({ "tenant_url": tenant }))
        .await
        .refused(400, 3301);
    let changed = client
        .put(&path, json!({ "tenant_url": tenant, "active": false }))
        .await;
    assert_eq!(changed.result()["reference_id"], "");
    client
        .get("zt_risk_scoring/integrations/reference_id/idp-1")
        .await
        .refused(404, 3305);
    let unknown = json!({ "integration_type": "Other", "tenant_url": tenant });
    client
        .post("zt_risk_scoring/integrations", unknown)
        .await
        .refused(400, 3301);
}

#[tokio::test]
async fn revoked_sessions_are_gone() {
    let (_sandbox, client) = start().await;
    let user = client.get("access/users?email=hana.kim").await.result()[0].clone();
    let sessions = format!("access/users/{}/active_sessions", user["id"].as_str().unwrap());
    assert_eq!(client.get(&sessions).await.result().as_array().unwrap().len(), 1);
    let revoked = client
        .post(
            "access/organizations/revoke_user",
            json!({ "email": user["email"] }),
        )
        .await;
    assert_eq!(revoked.body, json!({ "result": true, "success": true }));
    assert!(
        client
            .get(&sessions)
            .await
            .result()
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_world_changes_under_a_client_that_looks_away() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    assert!(world.member_roles_set("ben.carter@tidewater.example", &["Billing", "DNS"]));
    assert!(world.member_second_factor_set("ben.carter@tidewater.example", true));
    world.member_add("late@tidewater.example", &["Billing"], false);
    assert!(world.member_remove("dora.finch@tidewater.example"));
    let all = members(&client).await;
    let ben = by(&all.clone().into(), "email", "ben.carter@tidewater.example").clone();
    assert_eq!(ben["roles"].as_array().unwrap().len(), 2);
    assert_eq!(ben["user"]["two_factor_authentication_enabled"], true);
    assert!(
        all.iter()
            .any(|member| member["email"] == "late@tidewater.example" && member["status"] == "pending")
    );
    assert!(
        !all.iter()
            .any(|member| member["email"] == "dora.finch@tidewater.example")
    );

    let id = world.access_user_add("late@tidewater.example", "Late");
    assert_eq!(world.access_user_id("LATE@tidewater.example"), Some(id.clone()));
    assert!(world.risk_trigger("late@tidewater.example", "high_dlp", "medium"));
    assert_eq!(
        client.get(&format!("zt_risk_scoring/{id}")).await.result()["risk_level"],
        "medium"
    );
    assert!(world.access_user_remove("late@tidewater.example"));
    client
        .get(&format!("access/users/{id}"))
        .await
        .refused(404, 12137);

    let id = world.access_group_put("Finance", json!([{ "everyone": {} }]), json!([]), json!([]));
    let group = client.get(&format!("access/groups/{id}")).await;
    assert_eq!(group.result()["include"], json!([{ "everyone": {} }]));
    assert!(world.access_group("Finance").is_some() && world.access_group_remove("Finance"));
    client
        .get(&format!("access/groups/{id}"))
        .await
        .refused(404, 12141);
}
