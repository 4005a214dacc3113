//! Pushes logs to a receiver that refuses, loses responses and accepts batches in any order: no record may be missing.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::{Faults, StoryError};
use serde_json::{Value, json};

use crate::client::{Client, start};
use crate::receiver::Receiver;

const FILLED: &[&str] = &[
    "access_requests",
    "audit_logs_v2",
    "email_security_alerts",
    "gateway_dns",
    "gateway_http",
    "warp_toggle_changes",
];

async fn job(client: &Client, dataset: &str, destination: &str, options: Value) -> Value {
    let body = json!({
        "dataset": dataset, "destination_conf": destination, "enabled": true, "output_options": options,
    });
    client.post("logpush/jobs", body).await.result().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_arrives_although_the_receiver_refuses_and_loses_answers() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    for dataset in FILLED {
        let receiver = Receiver::start().await;
        let made = job(&client, dataset, &receiver.url(), Value::Null).await;
        receiver.refuse(&[500, 429, 503, 415]);
        receiver.lose_every(3);
        world.story_play_all().await.unwrap();

        let expected = world.story_expected()[*dataset];
        let mut lines = receiver.lines();
        assert_eq!(lines.remove(0), "{\"content\":\"tests\"}");
        let unique: BTreeSet<&String> = lines.iter().collect();
        let (records, broken): (Vec<&String>, Vec<&String>) = unique
            .into_iter()
            .partition(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!(
            (records.len(), broken.len()),
            (expected.records, expected.malformed_lines),
            "{dataset}"
        );
        assert!(
            lines.len() > expected.records,
            "{dataset}: some batches come twice"
        );

        let pushed = world
            .pushed()
            .into_iter()
            .find(|pushed| pushed.dataset == *dataset)
            .unwrap();
        assert_eq!(pushed.unique_records, expected.records);
        assert_eq!(pushed.malformed_lines, expected.malformed_lines);
        assert!(pushed.refused >= 4);
        let read = client.get(&format!("logpush/jobs/{}", made["id"])).await;
        assert!(read.result()["last_complete"].is_string() && read.result()["last_error"].is_string());
        let message = read.result()["error_message"].as_str().unwrap();
        assert!(
            message.contains("error pushing: error uploading to http:"),
            "{message}"
        );
        client
            .delete(&format!("logpush/jobs/{}", made["id"]))
            .await
            .result();
    }
    let malformed: usize = world
        .story_expected()
        .values()
        .map(|expected| expected.malformed_lines)
        .sum();
    assert_eq!(malformed, 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_destination_that_refuses_the_test_upload_gets_no_job() {
    let (_sandbox, client) = start().await;
    let receiver = Receiver::start().await;
    receiver.refuse(&[401]);
    let body = json!({ "dataset": "gateway_dns", "destination_conf": receiver.url(), "enabled": true });
    let refused = client.post("logpush/jobs", body.clone()).await;
    refused.refused(400, 1002);
    let message = refused.body["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("error validating destination: error writing object: "),
        "{message}"
    );
    assert!(message.contains("401 not now"), "{message}");
    let elsewhere = json!({ "destination_conf": "https://logs.other.example/in", "enabled": true });
    client.post("logpush/jobs", elsewhere).await.refused(400, 1002);
    client.post("logpush/jobs", body).await.result();
    assert_eq!(
        client
            .get("logpush/jobs")
            .await
            .result()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn header_parameters_become_headers_and_leave_the_address() {
    let (sandbox, client) = start().await;
    let receiver = Receiver::start().await;
    let destination = format!(
        "{}?header_Authorization=Bearer%20s3cret&header_X-Team=blue&tag=a",
        receiver.url()
    );
    job(&client, "warp_toggle_changes", &destination, Value::Null).await;
    assert_eq!(receiver.last_query(), "tag=a");
    let headers = receiver.last_headers();
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["x-team"], "blue");
    assert_ne!(headers["content-type"], "application/json");
    sandbox.world().story_play_all().await.unwrap();
    assert_eq!(receiver.last_headers()["authorization"], "Bearer s3cret");
}

#[tokio::test]
async fn records_have_the_fields_and_the_times_that_the_job_asks_for() {
    let (sandbox, client) = start().await;
    for (format, is_right) in [
        (
            "unixnano",
            (|at: &Value| at.as_i64().is_some_and(|at| at > 1_700_000_000_000_000_000)) as fn(&Value) -> bool,
        ),
        ("unix", |at| at.as_i64().is_some_and(|at| at < 2_000_000_000)),
        ("rfc3339", |at| at.as_str().is_some_and(|at| at.len() == 20)),
        ("rfc3339ms", |at| at.as_str().is_some_and(|at| at.len() == 24)),
        ("rfc3339ns", |at| at.as_str().is_some_and(|at| at.len() == 30)),
    ] {
        let receiver = Receiver::start().await;
        let options = json!({ "field_names": ["Email", "Datetime"], "timestamp_format": format });
        let made = job(&client, "gateway_http", &receiver.url(), options).await;
        sandbox.world().story_play_all().await.unwrap();
        let records = receiver.records();
        for record in records.iter().filter(|record| record.get("content").is_none()) {
            let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["Email", "Datetime"]);
            assert!(is_right(&record["Datetime"]), "{format}: {record}");
        }
        client
            .delete(&format!("logpush/jobs/{}", made["id"]))
            .await
            .result();
    }
    let wrong = json!({
        "dataset": "gateway_http", "destination_conf": "http://127.0.0.1/", "output_options": { "field_names": ["No"] },
    });
    client.post("logpush/jobs", wrong).await.refused(400, 1400);
}

#[tokio::test]
async fn a_change_of_a_job_keeps_what_it_leaves_out() {
    let (_sandbox, client) = start().await;
    let receiver = Receiver::start().await;
    let options = json!({ "timestamp_format": "unix" });
    let made = job(&client, "gateway_dns", &receiver.url(), options.clone()).await;
    let path = format!("logpush/jobs/{}", made["id"]);
    let changed = client.put(&path, json!({ "enabled": false })).await;
    assert_eq!(changed.result()["enabled"], false);
    assert_eq!(changed.result()["output_options"], options);
    client
        .put(&path, json!({ "dataset": "gateway_http" }))
        .await
        .refused(400, 1400);
    client
        .put(&path, json!({ "max_upload_records": 5 }))
        .await
        .refused(400, 1400);
}

#[tokio::test]
async fn jobs_about_people_need_the_second_permission() {
    let (sandbox, client) = start().await;
    let receiver = Receiver::start().await;
    let made = job(&client, "gateway_dns", &receiver.url(), Value::Null).await;
    let removed_permissions = vec!["Zero Trust: PII Read".to_owned()];
    sandbox.world().faults_set(Faults {
        removed_permissions,
        ..Faults::default()
    });
    let refused = client.get(&format!("logpush/jobs/{}", made["id"])).await;
    refused.refused(403, 1004);
    assert_eq!(
        refused.body["errors"][0]["message"],
        "reading job for product 'gateway_dns' is not allowed"
    );
    job(&client, "audit_logs_v2", &receiver.url(), Value::Null).await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_named() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    assert!(matches!(world.story_play_all().await, Err(StoryError::NoJobs)));
    let receiver = Receiver::start().await;
    job(&client, "email_security_alerts", &receiver.url(), Value::Null).await;
    receiver.refuse(&[500; 500]);
    let failed = world
        .story_play_all_within(Duration::from_millis(300))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failed.contains("lines of email_security_alerts") && failed.contains("500 not now"),
        "{failed}"
    );
}

#[tokio::test]
async fn excluded_personal_data_is_never_pushed() {
    let (sandbox, client) = start().await;
    let receiver = Receiver::start().await;
    client
        .put("gateway/logging", json!({ "redact_pii": true }))
        .await
        .result();
    job(
        &client,
        "gateway_http",
        &receiver.url(),
        json!({ "field_names": ["Email", "UserID", "HTTPHost"] }),
    )
    .await;
    sandbox.world().story_play_all().await.unwrap();
    let records = receiver.records();
    assert!(
        records
            .iter()
            .skip(1)
            .all(|record| record["Email"] == "" && record["UserID"] == "")
    );
    assert!(records.iter().skip(1).all(|record| record["HTTPHost"] != ""));
}

#[tokio::test]
async fn life_goes_on_after_the_story() {
    let (sandbox, client) = start().await;
    let receiver = Receiver::start().await;
    job(&client, "gateway_dns", &receiver.url(), Value::Null).await;
    sandbox.world().trickle_start(Duration::from_millis(10));
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while receiver.records().len() < 40 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap();
    assert!(sandbox.world().trickle_stop());
    assert!(!sandbox.world().trickle_stop());
}
