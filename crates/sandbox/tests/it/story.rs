//! The events of the story, which detections rely on; and that they are the same in every run.

use sandbox::{SandboxConfig, WorldHandle};
use serde_json::{Value, json};

use crate::client::{Client, config, start, start_with};
use crate::receiver::Receiver;

/// Every record of a dataset, repeated ones once.
async fn records(client: &Client, world: &WorldHandle, dataset: &str) -> Vec<Value> {
    let receiver = Receiver::start().await;
    let body = json!({
        "dataset": dataset, "destination_conf": receiver.url(), "enabled": true,
        "output_options": { "timestamp_format": "unix" },
    });
    let made = client.post("logpush/jobs", body).await.result().clone();
    world.story_play_all().await.unwrap();
    client
        .delete(&format!("logpush/jobs/{}", made["id"]))
        .await
        .result();
    let mut lines: Vec<String> = receiver.lines().into_iter().skip(1).collect();
    lines.sort();
    lines.dedup();
    let mut records: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let at = |record: &Value| {
        ["Datetime", "CreatedAt", "Timestamp", "ActionTimestamp"]
            .iter()
            .find_map(|key| record[*key].as_i64())
    };
    records.sort_by_key(|record| at(record));
    records
}

fn of<'a>(records: &'a [Value], person: &str) -> Vec<&'a Value> {
    let email = format!("{person}@tidewater.example");
    let is = |record: &&Value| {
        ["Email", "UserEmail", "ActorEmail"]
            .iter()
            .any(|key| record[*key] == email.as_str())
            || record["To"]
                .as_array()
                .is_some_and(|to| to.contains(&json!(email)))
    };
    records.iter().filter(is).collect()
}

#[tokio::test]
async fn the_logins_tell_of_a_journey_and_of_a_lockout() {
    let (sandbox, client) = start().await;
    let logins = records(&client, &sandbox.world(), "access_requests").await;
    let travel = of(&logins, "ines.moreau");
    let far = travel.iter().position(|login| login["Country"] == "sg").unwrap();
    let (home, far) = (travel[far - 1], travel[far]);
    assert_eq!(
        (&home["Country"], &home["Allowed"], &far["Allowed"]),
        (&json!("fr"), &json!(true), &json!(true))
    );
    assert_eq!(
        far["CreatedAt"].as_i64().unwrap() - home["CreatedAt"].as_i64().unwrap(),
        40 * 60
    );
    let locked = of(&logins, "elena.rossi");
    let denied: Vec<i64> = locked
        .iter()
        .filter(|login| login["Allowed"] == false)
        .map(|login| login["CreatedAt"].as_i64().unwrap())
        .collect();
    assert_eq!(denied.len(), 6);
    assert!(denied[5] - denied[0] < 600);
    let pin = locked
        .iter()
        .find(|login| login["Connection"] == "onetimepin")
        .unwrap();
    assert!(pin["Allowed"] == true && pin["CreatedAt"].as_i64().unwrap() - denied[5] < 900);
    assert!(logins.iter().filter(|login| login["Allowed"] == false).count() == 6);
    let pulled = client.get("access/logs/access_requests?limit=1000").await;
    assert_eq!(pulled.result().as_array().unwrap().len(), logins.len());
}

#[tokio::test]
async fn the_lookups_tell_of_phishing_tor_and_a_far_server() {
    let (sandbox, client) = start().await;
    let lookups = records(&client, &sandbox.world(), "gateway_dns").await;
    let has = |record: &Value, id: i64| {
        record["QueryCategoryIDs"]
            .as_array()
            .unwrap()
            .contains(&json!(id))
    };
    let phishing: Vec<&Value> = of(&lookups, "lucy.brandt")
        .into_iter()
        .filter(|one| has(one, 131))
        .collect();
    assert_eq!(phishing.len(), 12);
    let kinds: Vec<&str> = phishing[..3]
        .iter()
        .map(|one| one["QueryTypeName"].as_str().unwrap())
        .collect();
    assert!(
        ["A", "AAAA", "HTTPS"].iter().all(|kind| kinds.contains(kind)),
        "{kinds:?}"
    );
    let infected = of(&lookups, "sam.harlow");
    assert_eq!(infected.iter().filter(|one| has(one, 80)).count(), 8);
    assert_eq!(infected.iter().filter(|one| has(one, 68)).count(), 3);
    assert!(
        lookups
            .iter()
            .any(|one| one["Email"] == "non_identity@tidewater.cloudflareaccess.com")
    );
    assert!(
        lookups
            .iter()
            .any(|one| one["Email"] == "k.vance@driftwood.example")
    );
    let risky = |one: &&Value| [68, 80, 83, 117, 131, 153].iter().any(|id| has(one, *id));
    for innocent in [
        "hana.kim",
        "omar.said",
        "greta.olsen",
        "ben.carter",
        "noor.aziz",
        "alex.reid",
    ] {
        let seen = of(&lookups, innocent);
        assert!(!seen.is_empty() && !seen.iter().any(risky), "{innocent}");
    }
}

#[tokio::test]
async fn the_requests_tell_of_uploads_clicks_and_a_bad_file() {
    let (sandbox, client) = start().await;
    let requests = records(&client, &sandbox.world(), "gateway_http").await;
    let uploads: Vec<&Value> = of(&requests, "tom.okafor")
        .into_iter()
        .filter(|request| !request["UploadMatchedDlpProfiles"].as_array().unwrap().is_empty())
        .collect();
    assert_eq!(uploads.len(), 4);
    assert!(
        uploads
            .iter()
            .all(|request| request["CategoryIDs"] == json!([184]) && request["HTTPMethod"] == "POST")
    );
    let actions: Vec<&str> = uploads
        .iter()
        .map(|request| request["Action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["block", "block", "allow", "allow"]);
    let form = of(&requests, "lucy.brandt")
        .into_iter()
        .find(|request| request["HTTPMethod"] == "POST")
        .unwrap();
    assert_eq!(form["CategoryNames"], json!(["Phishing"]));
    let stopped = of(&requests, "jonas.weber")
        .into_iter()
        .find(|one| one["Quarantined"] == true)
        .unwrap();
    assert_eq!(
        (&stopped["BlockedFileReason"], &stopped["Action"]),
        (&json!("malware"), &json!("block"))
    );

    let mails = records(&client, &sandbox.world(), "email_security_alerts").await;
    let mail = of(&mails, "mei.tanaka")
        .into_iter()
        .find(|mail| mail["FinalDisposition"] == "malicious")
        .unwrap();
    let click = of(&requests, "mei.tanaka")
        .into_iter()
        .find(|request| request["CategoryNames"] == json!(["Phishing"]))
        .unwrap();
    let host = click["HTTPHost"].as_str().unwrap();
    assert!(
        mail["Links"]
            .as_array()
            .unwrap()
            .iter()
            .any(|link| link.as_str().unwrap().contains(host))
    );
    assert!(click["Datetime"].as_i64() > mail["Timestamp"].as_i64());
    assert_eq!(
        (&click["Action"], &click["HTTPMethod"]),
        (&json!("allow"), &json!("GET"))
    );
    assert!(click["Referer"].as_str().unwrap().contains("outlook.office.com"));
}

#[tokio::test]
async fn the_account_tells_of_a_removed_export_a_promotion_and_a_token() {
    let (sandbox, client) = start().await;
    let changes = records(&client, &sandbox.world(), "audit_logs_v2").await;
    let by_priya = of(&changes, "priya.nair");
    assert!(
        by_priya
            .iter()
            .any(|one| one["ActionType"] == "delete" && one["ResourceProduct"] == "logpush")
    );
    let promoted = by_priya
        .iter()
        .find(|one| one["ResourceType"] == "account_member")
        .unwrap();
    assert_eq!(
        promoted["ResourceRequest"]["roles"][0]["name"],
        "Super Administrator"
    );
    assert!(
        sandbox
            .world()
            .member_roles("victor.lindqvist@tidewater.example")
            .contains(&"Super Administrator".into())
    );
    let made = of(&changes, "victor.lindqvist")[0];
    assert_eq!(
        (&made["ActionType"], &made["ResourceType"]),
        (&json!("create"), &json!("api_token"))
    );
    let toggles = records(&client, &sandbox.world(), "warp_toggle_changes").await;
    let off = of(&toggles, "rafael.duarte")
        .into_iter()
        .filter(|one| one["Toggled"] == false)
        .count();
    assert_eq!(off, 4);
}

/// Everything that can be read of a sandbox, without ports.
async fn everything(config: SandboxConfig) -> Vec<String> {
    let (sandbox, client) = start_with(config).await;
    let info = sandbox.info().clone();
    let mut seen = vec![
        info.account_id.clone(),
        info.token,
        info.account_token,
        info.api_key,
    ];
    for path in [
        "members",
        "roles",
        "access/users",
        "access/groups",
        "zt_risk_scoring/summary",
        "audit_logs",
    ] {
        seen.push(client.get(path).await.body.to_string());
    }
    let body = json!({ "email": "later@tidewater.example" });
    seen.push(client.post("access/users", body).await.body.to_string());
    for dataset in ["gateway_dns", "gateway_http", "access_requests", "audit_logs_v2"] {
        let records = records(&client, &sandbox.world(), dataset).await;
        seen.extend(records.iter().map(Value::to_string));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_world() {
    let (first, second) = (everything(config()).await, everything(config()).await);
    assert_eq!(first, second);
    let other = everything(SandboxConfig { seed: 8, ..config() }).await;
    assert_ne!(first[0], other[0]);
}

#[tokio::test]
async fn every_documented_field_is_there() {
    let (sandbox, client) = start().await;
    for (dataset, fields) in [
        ("gateway_dns", 82),
        ("gateway_http", 62),
        ("access_requests", 15),
        ("audit_logs_v2", 23),
        ("warp_toggle_changes", 9),
        ("email_security_alerts", 32),
    ] {
        for record in records(&client, &sandbox.world(), dataset).await {
            assert_eq!(record.as_object().unwrap().len(), fields, "{dataset}");
        }
        let listed = client.get(&format!("logpush/datasets/{dataset}/fields")).await;
        assert_eq!(listed.result().as_object().unwrap().len(), fields, "{dataset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_account_starts_fast_and_answers_in_pages() {
    let began = std::time::Instant::now();
    let large = SandboxConfig {
        members: 2000,
        access_users: 5000,
        groups: 200,
        roles: 60,
        story: false,
        ..config()
    };
    let (sandbox, client) = start_with(large).await;
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    let members = client.get("members?per_page=50&page=40").await;
    assert_eq!(
        (
            &members.body["result_info"]["count"],
            &members.body["result_info"]["total_count"]
        ),
        (&json!(50), &json!(2000))
    );
    let users = client.get("access/users?per_page=1000&page=5").await;
    assert_eq!(
        (
            &users.body["result_info"]["count"],
            &users.body["result_info"]["total_pages"]
        ),
        (&json!(1000), &json!(5))
    );
    assert_eq!(
        client
            .get("access/groups")
            .await
            .result()
            .as_array()
            .unwrap()
            .len(),
        200
    );
    assert_eq!(
        client.get("roles?per_page=50").await.body["result_info"]["total_count"],
        60
    );
    assert!(sandbox.world().story_play_all().await.is_err());
}
