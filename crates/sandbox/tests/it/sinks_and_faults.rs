//! Chat and mail sinks, the injected faults, and the control calls.

use std::time::{Duration, Instant};

use sandbox::{FailingPage, Faults, Sink, SinkFault, SinkFaults};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{http, start};

async fn post(url: &str, body: &Value) -> (u16, String) {
    let response = http().post(url).json(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn chat_sinks_take_what_the_real_ones_take() {
    let (sandbox, _) = start().await;
    let info = sandbox.info();
    let card = json!({ "type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": { "type": "AdaptiveCard", "version": "1.5", "body": [] },
    }] });
    assert_eq!(
        post(&info.slack_webhook_url, &json!({ "text": "hello" })).await,
        (200, "ok".to_owned())
    );
    assert_eq!(
        post(&info.slack_webhook_url, &json!({ "txt": "hello" })).await,
        (400, "no_text".to_owned())
    );
    assert_eq!(post(&info.teams_webhook_url, &card).await.0, 202);
    assert_eq!(
        post(&info.teams_webhook_url, &json!({ "text": "hello" })).await.0,
        400
    );
    assert_eq!(
        post(&info.google_chat_webhook_url, &json!({ "text": "hello" }))
            .await
            .0,
        200
    );
    assert_eq!(post(&info.google_chat_webhook_url, &json!({})).await.0, 400);
    assert_eq!(
        post(&format!("{}x", info.slack_webhook_url), &json!({ "text": "a" }))
            .await
            .0,
        404
    );
    let seen: Vec<(Sink, bool)> = sandbox
        .world()
        .received_messages()
        .iter()
        .map(|message| (message.sink, message.accepted))
        .collect();
    let expected = [Sink::Slack, Sink::Teams, Sink::GoogleChat]
        .into_iter()
        .flat_map(|sink| [(sink, true), (sink, false)]);
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_chat_sink_refuses_as_often_as_it_is_told() {
    let (sandbox, _) = start().await;
    let slack = SinkFault {
        times: 1,
        status: Some(429),
    };
    sandbox.world().faults_set(Faults {
        sinks: SinkFaults {
            slack,
            ..SinkFaults::default()
        },
        ..Faults::default()
    });
    let url = &sandbox.info().slack_webhook_url;
    let response = http()
        .post(url)
        .json(&json!({ "text": "a" }))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(post(url, &json!({ "text": "a" })).await.0, 200);
}

/// Says each line and returns the last answer's code.
async fn smtp(port: u16, lines: &[&str]) -> Vec<String> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut answers = Vec::new();
    let mut buffer = [0_u8; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    answers.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        answers.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
    }
    answers.iter().map(|answer| answer[..3].to_owned()).collect()
}

#[tokio::test]
async fn mail_is_taken_with_its_dots_made_single() {
    let (sandbox, _) = start().await;
    let port = sandbox.info().smtp_port;
    let message = "Subject: A tip\r\n for you\r\nTo: <a@tidewater.example>\r\n\r\nfirst\r\n..dotted\r\n.";
    let said = [
        "EHLO me",
        "MAIL FROM:<hub@tidewater.example> SIZE=100",
        "RCPT TO:<a@tidewater.example>",
        "DATA",
        message,
    ];
    assert_eq!(
        smtp(port, &said).await,
        ["220", "250", "250", "250", "354", "250"]
    );
    let received = sandbox.world().received_messages();
    assert_eq!(
        (received[0].sink, received[0].subject.as_str()),
        (Sink::Smtp, "A tip for you")
    );
    assert_eq!(
        (received[0].from.as_str(), received[0].to.as_slice()),
        ("hub@tidewater.example", &["a@tidewater.example".to_owned()][..])
    );
    assert!(
        received[0]
            .body
            .as_str()
            .unwrap()
            .ends_with("\r\n\r\nfirst\r\n.dotted\r\n")
    );
}

#[tokio::test]
async fn mail_keeps_to_the_order_of_commands() {
    let (sandbox, _) = start().await;
    let port = sandbox.info().smtp_port;
    let said = [
        "HELO me",
        "RCPT TO:<a@b.example>",
        "DATA",
        "MAIL FROM:<a@b.example>",
        "RSET",
        "NOOP",
        "WHAT",
        "QUIT",
    ];
    assert_eq!(
        smtp(port, &said).await,
        ["220", "250", "503", "503", "250", "250", "250", "502", "221"]
    );
    let smtp_fault = SinkFault {
        times: 1,
        status: None,
    };
    sandbox.world().faults_set(Faults {
        sinks: SinkFaults {
            smtp: smtp_fault,
            ..SinkFaults::default()
        },
        ..Faults::default()
    });
    let said = [
        "HELO me",
        "MAIL FROM:<>",
        "RCPT TO:<a@b.example>",
        "DATA",
        "Subject: x\r\n\r\ny\r\n.",
    ];
    assert_eq!(smtp(port, &said).await.last().unwrap(), "451");
    assert_eq!(smtp(port, &said).await.last().unwrap(), "250");
}

#[tokio::test]
async fn limits_are_announced_and_enforced_when_told_to() {
    let (sandbox, client) = start().await;
    let got = client.get("roles").await;
    assert_eq!(got.headers["ratelimit-policy"], "\"default\";q=1200;w=300");
    assert!(
        got.headers["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"default\";r=1199;t=")
    );
    let world = sandbox.world();
    world.faults_set(Faults {
        rate_limited_after_requests: Some(2),
        ..Faults::default()
    });
    client.get("roles").await.result();
    client.get("roles").await.result();
    let refused = client.get("roles").await;
    refused.refused(429, 10100);
    assert_eq!(refused.headers["retry-after"], "1");
    world.faults_set(Faults {
        rate_limited_for_seconds: Some(60),
        ..Faults::default()
    });
    assert!(
        client.get("roles").await.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 50
    );
    world.faults_set(Faults {
        enforce_rate_limit: true,
        ..Faults::default()
    });
    for _ in 0..1200 {
        assert_eq!(
            http_status(&client.info.base_url, &client.headers[0].1, &client.http).await,
            200
        );
    }
    let refused = client.get("roles").await;
    refused.refused(429, 10100);
    assert_eq!(refused.headers["retry-after"], "300");
    world.faults_clear();
    client.get("roles").await.result();
}

async fn http_status(base: &str, authorization: &str, http: &reqwest::Client) -> u16 {
    let request = http
        .get(format!("{base}/user/tokens/verify"))
        .header("authorization", authorization);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn answers_can_fail_in_every_way() {
    let (sandbox, client) = start().await;
    let world = sandbox.world();
    world.faults_set(Faults {
        server_error_every: Some(2),
        server_error_status: Some(503),
        ..Faults::default()
    });
    assert_eq!(
        (client.get("roles").await.status, client.get("roles").await.status),
        (200, 503)
    );
    let page = FailingPage {
        path: "/members".to_owned(),
        page: 2,
    };
    world.faults_set(Faults {
        failing_pages: vec![page],
        ..Faults::default()
    });
    client.get("members?per_page=5").await.result();
    assert_eq!(client.get("members?per_page=5&page=2").await.status, 500);
    client.get("members?per_page=5&page=3").await.result();
    world.faults_set(Faults {
        not_json_path: Some("/roles".to_owned()),
        ..Faults::default()
    });
    let page = client.get("roles").await;
    assert!(page.status == 200 && page.body["text"].as_str().unwrap().contains("<html>"));
    world.faults_set(Faults {
        unsuccessful_path: Some("/roles".to_owned()),
        ..Faults::default()
    });
    assert_eq!(
        (client.get("roles").await.status, client.get("roles").await.code()),
        (200, 1500)
    );
    world.faults_set(Faults {
        latency_ms: 120,
        ..Faults::default()
    });
    let began = Instant::now();
    client.get("roles").await.result();
    assert!(began.elapsed() >= Duration::from_millis(120));
    world.faults_set(Faults {
        truncate_path: Some("/roles".to_owned()),
        ..Faults::default()
    });
    let url = format!(
        "{}/accounts/{}/roles",
        client.info.base_url, client.info.account_id
    );
    let cut = client
        .http
        .get(url)
        .header("authorization", &client.headers[0].1)
        .send()
        .await
        .unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.text().await.is_err());
    client.get("members").await.result();
}

#[tokio::test]
async fn everything_can_be_steered_over_http() {
    let (sandbox, client) = start().await;
    let control = &sandbox.info().control_url;
    let read = |path: &str| {
        let request = http().get(format!("{control}{path}"));
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    client.get("members").await.result();
    let overview = read("").await;
    assert_eq!(overview["requests"]["GET /accounts/{account_id}/members"], 1);
    assert_eq!(overview["info"]["token"], sandbox.info().token.as_str());
    let faults = format!("{control}/faults");
    let on = http()
        .put(&faults)
        .json(&json!({ "risk_not_entitled": true }))
        .send()
        .await
        .unwrap();
    assert_eq!(on.status(), 200);
    client.get("zt_risk_scoring/summary").await.refused(403, 3314);
    assert_eq!(read("/faults").await["risk_not_entitled"], true);
    let unknown = http()
        .put(&faults)
        .json(&json!({ "no_such_fault": true }))
        .send()
        .await
        .unwrap();
    assert!(unknown.status().is_client_error());
    http().delete(&faults).send().await.unwrap();
    client.get("zt_risk_scoring/summary").await.result();
    post(&sandbox.info().slack_webhook_url, &json!({ "text": "hi" })).await;
    assert_eq!(read("/received/messages").await[0]["sink"], "slack");
    assert_eq!(read("/received/signals").await, json!([]));
    let story = format!("{control}/story");
    assert_eq!(post(&story, &json!({ "action": "play" })).await.0, 409);
    assert_eq!(
        post(&story, &json!({ "action": "start", "interval_ms": 1000 }))
            .await
            .0,
        200
    );
    assert_eq!(post(&story, &json!({ "action": "stop" })).await.0, 200);
    assert_eq!(post(&story, &json!({ "action": "sing" })).await.0, 400);
    assert!(
        read("/pushed").await["expected"]["gateway_dns"]["records"]
            .as_u64()
            .unwrap()
            > 500
    );
}

#[tokio::test]
async fn a_change_shows_in_the_audit_log() {
    let (_sandbox, client) = start().await;
    let group = json!({ "name": "Crew", "include": [{ "everyone": {} }] });
    client.post("access/groups", group).await.result();
    let path = "logs/audit?since=2026-11-20&before=2026-11-21&action_type=create";
    let log = client.get(path).await;
    let entry = &log.result().as_array().unwrap()[0];
    assert_eq!(
        (&entry["resource"]["product"], &entry["resource"]["type"]),
        (&json!("access"), &json!("groups"))
    );
    let refused = client.get("logs/audit").await;
    assert_eq!(
        (refused.status, refused.body["errors"][0].get("code")),
        (400, None)
    );
}

#[tokio::test]
async fn the_newer_audit_log_is_read_by_cursor() {
    let (_sandbox, client) = start().await;
    let window = "logs/audit?since=2026-11-01T00:00:00Z&before=2026-12-01T00:00:00Z";
    let all = client.get(window).await;
    let wanted = all.result().as_array().unwrap().clone();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{window}&limit=2&cursor={cursor}")).await;
        let items = page.result().as_array().unwrap().clone();
        assert_eq!(page.body["result_info"]["count"], items.len().to_string());
        seen.extend(items);
        match page.body["result_info"]["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, wanted);
    let updates = client.get(&format!("{window}&action_type.not=update")).await;
    assert!(
        updates
            .result()
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["action"]["type"] != "update")
    );
}

#[tokio::test]
async fn addresses_are_asked_for_by_their_kind() {
    let (_sandbox, client) = start().await;
    client.get("intel/ip").await.refused(400, 1400);
    client.get("intel/ip?ip=203.0.113.31").await.refused(400, 1400);
    let risky = client.get("intel/ip?ipv4=203.0.113.31").await;
    assert_eq!(risky.result()[0]["risk_types"][0]["id"], 131);
    let harmless = client.get("intel/ip?ipv6=2001:db8::1").await;
    assert!(harmless.result()[0].get("risk_types").is_none());
    let domain = client.get("intel/domain?domain=chat.promptharbour.example").await;
    assert_eq!(domain.result()["content_categories"][0]["id"], 184);
    let bulk = client
        .get("intel/domain/bulk?domain=a.example&domain=parcel-redelivery.example")
        .await;
    assert_eq!(bulk.result()[1]["risk_types"][0]["name"], "Phishing");
    assert!(bulk.result()[0].get("resolves_to_refs").is_none());
}
