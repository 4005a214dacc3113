//! Service tokens, the account's API tokens, and the lists that rules refer to.

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::Faults;
use serde_json::{Value, json};

use crate::client::{now, start};

fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|text| text.parse().unwrap())
}

#[tokio::test]
async fn service_tokens_differ_in_what_is_wrong_with_them() {
    let (_sandbox, client) = start().await;
    let got = client.get("access/service_tokens").await;
    let tokens = got.result().as_array().unwrap();
    let forever = |token: &&Value| token["duration"] == "forever" && token["expires_at"].is_null();
    assert_eq!(tokens.iter().filter(forever).count(), 1);
    let soon = |token: &&Value| time(&token["expires_at"]).is_some_and(|at| at - now() < TimeDelta::days(7));
    assert_eq!(tokens.iter().filter(soon).count(), 1);
    assert_eq!(
        tokens
            .iter()
            .filter(|token| token["last_seen_at"].is_null())
            .count(),
        1
    );
    assert_eq!(got.body["result_info"]["total_pages"], 1);
    let one = client.get("access/service_tokens?search=BACKUP").await;
    assert_eq!(one.result().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tokens_of_the_account_say_what_they_may_do_and_when_they_end() {
    let (sandbox, client) = start().await;
    let got = client.get("tokens").await;
    let tokens = got.result().as_array().unwrap();
    let writes = |token: &Value| {
        token["policies"][0]["permission_groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|group| group["name"].as_str().unwrap().ends_with("Write"))
    };
    assert!(
        tokens
            .iter()
            .any(|token| writes(token) && token.get("expires_on").is_none())
    );
    assert!(
        tokens
            .iter()
            .any(|token| time(&token["last_used_on"]) == Some(now() - TimeDelta::days(120)))
    );
    assert!(
        tokens
            .iter()
            .any(|token| time(&token["expires_on"]) == Some(now() + TimeDelta::days(10)))
    );
    // The token that asks is one of them.
    let account = client.with_token(&sandbox.info().account_token);
    let own = account.get("tokens/verify").await.result()["id"].clone();
    assert!(tokens.iter().any(|token| token["id"] == own));
    client.get("tokens?per_page=51").await.refused(400, 1400);
}

#[tokio::test]
async fn the_list_of_contractors_is_the_one_that_the_group_names() {
    let (_sandbox, client) = start().await;
    let groups = client.get("access/groups?name=Contractors").await;
    let id = groups.result()[0]["include"][0]["email_list"]["id"]
        .as_str()
        .unwrap();
    let list = client.get(&format!("gateway/lists/{id}")).await;
    assert_eq!(
        (&list.result()["type"], &list.result()["count"]),
        (&json!("EMAIL"), &json!(2))
    );
    let items = client.get(&format!("gateway/lists/{id}/items")).await;
    let values: Vec<&Value> = items
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["value"])
        .collect();
    assert_eq!(
        values,
        ["noor.aziz@tidewater.example", "robin.castle@harbourworks.example"]
    );
    let of_a_kind = client.get("gateway/lists?type=IP").await;
    assert_eq!(of_a_kind.result().as_array().unwrap().len(), 1);
    client
        .get("gateway/lists/00000000-0000-4000-8000-000000000000/items")
        .await
        .refused(404, 2005);
    client.get("gateway/lists/contractors").await.refused(400, 2004);
}

#[tokio::test]
async fn each_family_needs_its_own_permission() {
    let (sandbox, client) = start().await;
    let lists = client.get("gateway/lists").await;
    let list = format!("gateway/lists/{}", lists.result()[0]["id"].as_str().unwrap());
    let families = [
        ("Access: Service Tokens", vec!["access/service_tokens".to_owned()]),
        ("Account API Tokens", vec!["tokens".to_owned()]),
        (
            "Zero Trust",
            vec!["gateway/lists".to_owned(), list.clone(), format!("{list}/items")],
        ),
    ];
    for (family, paths) in families {
        for path in paths {
            let lost = |names: &[&str]| Faults {
                removed_permissions: names.iter().map(|name| format!("{family} {name}")).collect(),
                ..Faults::default()
            };
            sandbox.world().faults_set(lost(&["Read", "Write"]));
            client.get(&path).await.refused(403, 10000);
            // Who may write may also read.
            sandbox.world().faults_set(lost(&["Read"]));
            client.get(&path).await.result();
        }
    }
}
