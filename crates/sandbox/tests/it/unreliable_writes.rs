//! Writes that are lost, ignored, or answered with an error although they were applied; and changes of the world
//! through the library.

use sandbox::{Faults, Seats};
use serde_json::{Value, json};

use crate::client::{Client, http, start};

const BEN: &str = "ben.carter@tidewater.example";

async fn crew(client: &Client) -> (String, Value) {
    let body = json!({ "name": "Crew", "include": [{ "email": { "email": "a@tidewater.example" } }] });
    let made = client.post("access/groups", body).await.result().clone();
    (made["id"].as_str().unwrap().to_owned(), made)
}

/// The group with one more person in it, as someone would write it back who has read it.
fn with(group: &Value, email: &str) -> Value {
    let mut group = group.clone();
    let more = json!({ "email": { "email": email } });
    group["include"].as_array_mut().unwrap().push(more);
    group
}

#[tokio::test]
async fn a_change_of_a_group_is_lost_to_someone_who_read_it_too() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let path = format!("access/groups/{id}");
    world.lose_next_write(&id);
    let changed = with(&group, "b@tidewater.example");
    let answer = client.put(&path, changed.clone()).await;
    assert_eq!(answer.result()["include"], changed["include"]);
    assert_eq!(client.get(&path).await.result()["include"], group["include"]);
    // Only the next one: trying again succeeds.
    client.put(&path, changed.clone()).await.result();
    assert_eq!(client.get(&path).await.result()["include"], changed["include"]);
}

#[tokio::test]
async fn a_rule_that_someone_adds_after_a_read_is_overwritten_by_the_reader() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let path = format!("access/groups/{id}");
    let rule = json!({ "email": { "email": "rival@tidewater.example" } });
    world.add_after_next_read(&id, rule.clone());
    let read = client.get(&path).await.result().clone();
    assert_eq!(read["include"], group["include"]);
    assert_eq!(client.get(&path).await.result()["include"][1], rule);
    let mine = with(&read, "b@tidewater.example");
    client.put(&path, mine.clone()).await.result();
    assert_eq!(world.access_group_by_id(&id).unwrap()["include"], mine["include"]);
}

#[tokio::test]
async fn a_write_of_another_group_uses_up_no_loss() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let finance = world.access_group("Finance").unwrap();
    let other = format!("access/groups/{}", finance["id"].as_str().unwrap());
    world.lose_next_write(&id);
    client
        .put(&other, with(&finance, "b@tidewater.example"))
        .await
        .result();
    assert_eq!(
        world.access_group("Finance").unwrap()["include"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    client
        .put(&format!("access/groups/{id}"), json!({ "name": "Crew" }))
        .await
        .refused(400, 12130);
    assert_eq!(world.faults().writes_lost, [id.as_str()]);
    client
        .put(
            &format!("access/groups/{id}"),
            with(&group, "b@tidewater.example"),
        )
        .await
        .result();
    assert_eq!(
        world.access_group_by_id(&id).unwrap()["include"],
        group["include"]
    );
}

#[tokio::test]
async fn a_change_of_a_member_is_lost_in_the_same_way() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let member = world.member(BEN).unwrap();
    let id = member["id"].as_str().unwrap();
    let role = client.get("roles").await.result()[0]["id"].clone();
    world.lose_next_write(id);
    let answer = client
        .put(&format!("members/{id}"), json!({ "roles": [{ "id": role }] }))
        .await;
    assert_eq!(answer.result()["roles"][0]["id"], role);
    assert_eq!(world.member(BEN).unwrap(), member);
}

#[tokio::test]
async fn a_write_fails_without_being_done() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let path = format!("access/groups/{id}");
    let changed = with(&group, "b@tidewater.example");
    world.writes_fail_before_applying(2);
    client.put(&path, changed.clone()).await.refused(503, 10013);
    // Reading is no writing.
    assert_eq!(client.get(&path).await.result()["include"], group["include"]);
    client.delete(&path).await.refused(503, 10013);
    client.put(&path, changed.clone()).await.result();
    assert_eq!(
        world.access_group_by_id(&id).unwrap()["include"],
        changed["include"]
    );
}

#[tokio::test]
async fn a_write_fails_after_being_done() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let path = format!("access/groups/{id}");
    let changed = with(&group, "b@tidewater.example");
    world.writes_fail_after_applying(1);
    // What is refused anyway is refused as ever, and does not count.
    client
        .put(&path, json!({ "name": "Crew" }))
        .await
        .refused(400, 12130);
    client.put(&path, changed.clone()).await.refused(503, 10013);
    assert_eq!(client.get(&path).await.result()["include"], changed["include"]);
    client.delete(&path).await;
    assert!(world.access_group_by_id(&id).is_none());
}

#[tokio::test]
async fn a_write_is_acknowledged_and_never_done() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let path = format!("access/groups/{id}");
    let before = client
        .get("logs/audit?since=2026-11-20&before=2026-11-21")
        .await
        .body;
    world.writes_ignore(4);
    client
        .put(&path, json!({ "name": "Crew" }))
        .await
        .refused(400, 12130);
    let changed = client.put(&path, with(&group, "b@tidewater.example")).await;
    assert_eq!(changed.result()["include"].as_array().unwrap().len(), 2);
    let made = client
        .post("access/users", json!({ "email": "ghost@tidewater.example" }))
        .await;
    assert_eq!(made.status, 201);
    let ghost = made.result()["id"].clone();
    let member = world.member(BEN).unwrap();
    let gone = client
        .delete(&format!("members/{}", member["id"].as_str().unwrap()))
        .await;
    assert_eq!(gone.result()["id"], member["id"]);
    assert_eq!(client.delete(&path).await.status, 202);

    assert_eq!(world.faults().writes_ignored, 0);
    assert_eq!(world.access_group_by_id(&id), Some(group));
    assert!(world.access_user("ghost@tidewater.example").is_none());
    assert_eq!(world.member(BEN), Some(member));
    let after = client
        .get("logs/audit?since=2026-11-20&before=2026-11-21")
        .await
        .body;
    assert_eq!(after, before);
    // The id that was acknowledged is not given to anyone else.
    let made = client
        .post("access/users", json!({ "email": "real@tidewater.example" }))
        .await;
    assert_ne!(made.result()["id"], ghost);
}

#[tokio::test]
async fn unreliable_writes_are_armed_over_http_too() {
    let (sandbox, client) = start().await;
    let (id, group) = crew(&client).await;
    let faults = json!({ "writes_lost": [id], "writes_fail_after_applying": 1 });
    let url = format!("{}/faults", sandbox.info().control_url);
    let on = http().put(url).json(&faults).send().await.unwrap();
    assert_eq!(on.status(), 200);
    client
        .put(
            &format!("access/groups/{id}"),
            with(&group, "b@tidewater.example"),
        )
        .await
        .refused(503, 10013);
    assert_eq!(
        sandbox.world().access_group_by_id(&id).unwrap()["include"],
        group["include"]
    );
    assert_eq!(sandbox.world().faults(), Faults::default());
}

#[tokio::test]
async fn members_and_users_are_read_and_changed_from_behind() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let id = world.member(BEN).unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("members/{id}");
    assert_eq!(world.member(BEN).as_ref(), Some(client.get(&path).await.result()));

    let policy = world.member_policies("greta.olsen@tidewater.example").remove(0);
    assert!(world.member_policies_set(BEN, vec![policy.clone()]));
    let ben = client.get(&path).await;
    assert_eq!(
        (&ben.result()["roles"], &ben.result()["policies"]),
        (&json!([]), &json!([policy]))
    );
    assert!(world.member_roles_set(BEN, &["Billing"]));
    assert!(world.member_policies(BEN).is_empty());

    assert_eq!(world.member_accepted(BEN), Some(true));
    assert!(world.member_accepted_set(BEN, false));
    let ben = client.get(&path).await;
    assert_eq!(ben.result()["status"], "pending");
    assert!(ben.result()["user"].get("id").is_none());
    assert!(world.member_accepted_set(BEN, true));
    assert!(client.get(&path).await.result()["user"]["id"].is_string());
    assert!(!world.member_accepted_set("nobody@tidewater.example", true));

    let hana = "hana.kim@tidewater.example";
    let both = Seats {
        access: true,
        gateway: true,
    };
    assert_eq!(world.access_user_seats(hana), Some(both));
    let access_only = Seats {
        gateway: false,
        ..both
    };
    assert!(world.access_user_seats_set(hana, access_only));
    let shown = client.get("access/users?email=hana.kim").await;
    assert_eq!(
        (
            &shown.result()[0]["access_seat"],
            &shown.result()[0]["gateway_seat"]
        ),
        (&json!(true), &json!(false))
    );

    assert!(world.sessions_revoked().is_empty());
    for _ in 0..2 {
        let body = json!({ "email": hana.to_uppercase() });
        client.post("access/organizations/revoke_user", body).await;
    }
    assert_eq!(world.sessions_revoked(), [hana, hana]);
}

#[tokio::test]
async fn groups_applications_and_policies_are_set_from_behind() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    let (id, group) = crew(&client).await;
    let mut changed = with(&group, "B@tidewater.example");
    changed["id"] = json!("another");
    assert!(world.access_group_set(&id, changed));
    let read = client.get(&format!("access/groups/{id}")).await;
    assert_eq!(
        (
            &read.result()["id"],
            &read.result()["include"][1]["email"]["email"]
        ),
        (&json!(id), &json!("B@tidewater.example"))
    );
    assert!(!world.access_group_set("no-such-group", json!({})));

    let mut app = world.access_apps()[0].clone();
    app["name"] = json!("Wiki of old");
    world.access_app_put(app.clone());
    assert_eq!(world.access_apps().len(), 4);
    let path = format!("access/apps/{}", app["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.result()["name"], "Wiki of old");

    let mut policy = world.access_policies()[0].clone();
    policy["include"] = json!([{ "everyone": {} }]);
    world.access_policy_put(policy);
    let in_app = client.get(&path).await.result()["policies"][0].clone();
    assert_eq!(
        (&in_app["include"], &in_app["precedence"]),
        (&json!([{ "everyone": {} }]), &json!(1))
    );

    world.access_apps_set(vec![app]);
    world.access_policies_set(Vec::new());
    assert_eq!(
        client.get("access/apps").await.result().as_array().unwrap().len(),
        1
    );
    assert_eq!(client.get("access/policies").await.result(), &json!([]));
}

#[tokio::test]
async fn a_changed_reusable_policy_is_changed_in_its_applications() {
    let (_sandbox, client) = start().await;
    let policies = client.get("access/policies").await;
    let policy = policies.result()[0].clone();
    let path = format!("access/policies/{}", policy["id"].as_str().unwrap());
    let body = json!({ "name": "Guests may enter", "decision": "allow", "include": [{ "everyone": {} }] });
    client.put(&path, body).await.result();
    let apps = client.get("access/apps?name=Wiki").await;
    let held = &apps.result()[0]["policies"][0];
    assert_eq!(
        (&held["name"], &held["precedence"]),
        (&json!("Guests may enter"), &json!(1))
    );
}
