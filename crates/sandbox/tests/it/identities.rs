//! The content of the last seen identity, by identity provider.

use std::collections::BTreeMap;

use sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::client::{Client, config, start, start_with};

async fn users(client: &Client) -> Vec<Value> {
    client
        .get("access/users")
        .await
        .result()
        .as_array()
        .unwrap()
        .clone()
}

async fn identity(client: &Client, email: &str) -> Value {
    let user = client.get(&format!("access/users?email={email}")).await.result()[0].clone();
    let path = format!("access/users/{}/last_seen_identity", user["id"].as_str().unwrap());
    client.get(&path).await.result().clone()
}

fn names(identity: &Value) -> Vec<&str> {
    let groups = identity["groups"].as_array().unwrap();
    assert!(
        groups
            .iter()
            .all(|group| !group["id"].as_str().unwrap().is_empty())
    );
    groups
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn each_provider_tells_what_it_knows() {
    let (_sandbox, client) = start().await;
    let engineer = identity(&client, "sam.harlow").await;
    assert_eq!(names(&engineer), ["Engineering", "Staff"]);
    assert_eq!(
        (&engineer["idp"]["type"], &engineer["amr"]),
        (&json!("okta"), &json!(["pwd", "mfa"]))
    );
    let without_second_factor = identity(&client, "mei.tanaka").await;
    assert_eq!(names(&without_second_factor), ["Staff"]);
    assert_eq!(without_second_factor["amr"], json!(["pwd"]));
    let azure = identity(&client, "omar.said").await;
    assert_eq!(
        (&azure["idp"]["type"], names(&azure)),
        (&json!("azureAD"), vec!["Staff"])
    );
    let saml = identity(&client, "greta.olsen").await;
    assert_eq!(saml["saml_attributes"]["department"], "Operations");
    assert!(saml.get("groups").is_none() && saml.get("amr").is_none());
    // The log of logins says the same.
    let logins = client
        .get("access/logs/access_requests?email=greta.olsen&limit=1")
        .await;
    assert_eq!(logins.result()[0]["connection"], "saml");
    let oidc = identity(&client, "noor.aziz").await;
    assert_eq!(
        oidc["oidc_fields"]["preferred_username"],
        "noor.aziz@tidewater.example"
    );
}

#[tokio::test]
async fn an_identity_names_a_provider_of_the_account_and_the_same_seed_gives_the_same_one() {
    let crowded = SandboxConfig {
        access_users: 120,
        ..config()
    };
    let (_first, client) = start_with(crowded.clone()).await;
    let (_second, again) = start_with(crowded).await;
    let providers: BTreeMap<String, Value> = client
        .get("access/identity_providers")
        .await
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| {
            (
                provider["id"].as_str().unwrap().to_owned(),
                provider["type"].clone(),
            )
        })
        .collect();
    let mut by_type = BTreeMap::<String, usize>::new();
    for user in users(&client).await {
        let path = format!("access/users/{}/last_seen_identity", user["id"].as_str().unwrap());
        let got = client.get(&path).await;
        assert_eq!(got.body, again.get(&path).await.body);
        if user.get("last_successful_login").is_none() {
            got.refused(404, 12134);
            *by_type.entry("never".to_owned()).or_default() += 1;
            assert_eq!(
                (&user["access_seat"], &user["seat_uid"]),
                (&json!(false), &json!(""))
            );
            continue;
        }
        let idp = &got.result()["idp"];
        assert_eq!(providers[idp["id"].as_str().unwrap()], idp["type"]);
        *by_type
            .entry(idp["type"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    for kind in ["never", "okta", "azureAD", "saml", "oidc", "onetimepin"] {
        assert!(by_type.contains_key(kind), "{kind} in {by_type:?}");
    }
}
