//! The client against the simulated API: pages, retries, the rate limit.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod whole_lists;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::any;
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use cloudflare::retry::RetryPolicy;
use cloudflare::{AccountId, AuditWindow, Client, ClientOptions, CloudflareError, Credential, Member};
use futures::TryStreamExt;
use reqwest::Method;
use sandbox::{FailingPage, Faults, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

fn client_of(base_url: &str, calls_per_window: u32) -> Client {
    let options = ClientOptions {
        base_url: base_url.to_owned(),
        calls_per_window,
        ..ClientOptions::new(Credential::token("cfut_secret_of_nobody_in_particular"))
    };
    Client::new(&options, http()).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

async fn start(config: SandboxConfig) -> (Sandbox, Client, AccountId) {
    let config = SandboxConfig {
        now: Some(now()),
        ..config
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let info = sandbox.info();
    let options = ClientOptions {
        base_url: info.base_url.clone(),
        ..ClientOptions::new(Credential::token(&info.token))
    };
    let client = Client::new(&options, http()).unwrap();
    let account = AccountId::parse(&info.account_id).unwrap();
    (sandbox, client, account)
}

fn many() -> SandboxConfig {
    SandboxConfig {
        members: 230,
        access_users: 40,
        story: false,
        ..SandboxConfig::default()
    }
}

async fn addresses(client: &Client, account: &AccountId) -> Result<Vec<String>, CloudflareError> {
    let pages: Vec<_> = client.members(account, 1).try_collect().await?;
    assert!(pages.iter().all(|page| page.total == Some(230)));
    let members = pages.into_iter().flat_map(|page| page.items);
    Ok(members
        .map(|member: Member| member.address().unwrap().to_owned())
        .collect())
}

/// Waits that a test has time for.
fn hasty() -> RetryPolicy {
    RetryPolicy {
        base: Duration::from_millis(5),
        ..RetryPolicy::INTERACTIVE
    }
}

#[tokio::test]
async fn a_counted_list_is_complete_and_in_order() {
    let (sandbox, client, account) = start(many()).await;
    // Answers that take their time come back in another order than they were asked for.
    sandbox.world().faults_set(Faults {
        latency_ms: 20,
        ..Faults::default()
    });
    let listed = addresses(&client, &account).await.unwrap();
    assert_eq!(listed, sandbox.world().member_emails());
    assert_eq!(client.requests(), 5);
}

#[tokio::test]
async fn a_page_that_fails_ends_the_list_with_its_error() {
    let (sandbox, client, account) = start(many()).await;
    sandbox.world().faults_set(Faults {
        failing_pages: vec![FailingPage {
            path: "/members".to_owned(),
            page: 3,
        }],
        ..Faults::default()
    });
    let client = client.with_policy(hasty());
    let mut pages = client.members(&account, 1);
    let mut seen = 0;
    let error = loop {
        match pages.try_next().await {
            Ok(Some(page)) => seen += page.items.len(),
            Ok(None) => panic!("a list without its third page is no list"),
            Err(error) => break error,
        }
    };
    assert_eq!(seen, 100);
    assert_eq!(error.refusal().unwrap().status, 500);
    assert!(
        !matches!(pages.try_next().await, Ok(Some(_))),
        "pages after the error"
    );
}

#[tokio::test]
async fn a_list_without_a_count_ends_at_its_first_short_page() {
    let (_sandbox, client, account) = start(SandboxConfig::default()).await;
    let window = AuditWindow {
        since: now() - TimeDelta::days(30),
        before: now() + TimeDelta::days(1),
    };
    let pages: Vec<_> = client
        .access_requests(&account, window)
        .try_collect()
        .await
        .unwrap();
    let all: Vec<Value> = pages.into_iter().flat_map(|page| page.items).collect();
    assert!(all.len() > 50, "{}", all.len());
    assert_eq!(client.requests(), 1);
    let small = cloudflare::paging::Style::Uncounted { per_page: 7 };
    let query = vec![
        ("since".to_owned(), "2026-10-21T12:00:00Z".to_owned()),
        ("until".to_owned(), "2026-11-21T12:00:00Z".to_owned()),
        ("direction".to_owned(), "asc".to_owned()),
        ("fields".to_owned(), "country,user_id".to_owned()),
    ];
    let path = format!("/accounts/{account}/access/logs/access_requests");
    let paged: Vec<Value> = client.list(path, query, small).try_collect().await.unwrap();
    assert_eq!(paged, all);
    assert_eq!(client.requests(), 1 + all.len() as u64 / 7 + 1);
}

#[tokio::test]
async fn a_list_by_cursor_is_followed_to_its_end() {
    let (_sandbox, client, account) = start(SandboxConfig::default()).await;
    let window = AuditWindow {
        since: now() - TimeDelta::days(30),
        before: now() + TimeDelta::days(1),
    };
    let ids = |entries: Vec<Value>| -> Vec<String> {
        let ids = entries
            .iter()
            .map(|entry| entry["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    let whole: Vec<_> = client.audit_logs(&account, window).try_collect().await.unwrap();
    let whole = ids(whole.into_iter().flat_map(|page| page.items).collect());
    assert!(whole.len() > 5, "{whole:?}");
    let query = vec![
        ("since".to_owned(), "2026-10-21T12:00:00Z".to_owned()),
        ("before".to_owned(), "2026-11-21T12:00:00Z".to_owned()),
        ("direction".to_owned(), "asc".to_owned()),
    ];
    let small = cloudflare::paging::Style::Cursor { limit: 2 };
    let path = format!("/accounts/{account}/logs/audit");
    let paged: Vec<Value> = client.list(path, query, small).try_collect().await.unwrap();
    assert_eq!(ids(paged), whole);
}

#[tokio::test]
async fn what_fails_in_passing_is_asked_again_and_counted() {
    let (sandbox, client, account) = start(many()).await;
    let client = client.with_policy(RetryPolicy {
        attempts: 4,
        ..hasty()
    });
    for faults in [
        Faults {
            server_error_every: Some(2),
            ..Faults::default()
        },
        Faults {
            truncate_every: Some(3),
            ..Faults::default()
        },
    ] {
        let before = client.requests();
        sandbox.world().faults_set(faults.clone());
        addresses(&client, &account).await.unwrap();
        assert!(client.requests() - before > 5, "{faults:?}");
    }
    sandbox.world().faults_set(Faults {
        truncate_path: Some("/members".to_owned()),
        ..Faults::default()
    });
    let before = client.requests();
    let error = addresses(&client, &account).await.unwrap_err();
    assert!(matches!(error, CloudflareError::Unreachable { .. }), "{error}");
    assert_eq!(client.requests() - before, 4);
}

#[tokio::test]
async fn a_refusal_is_final_and_keeps_cloudflares_words() {
    let (sandbox, client, account) = start(many()).await;
    sandbox.world().faults_set(Faults {
        removed_permissions: vec![
            "Account Settings Read".to_owned(),
            "Account Settings Write".to_owned(),
            "SCIM Provisioning".to_owned(),
        ],
        ..Faults::default()
    });
    let error = addresses(&client, &account).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert!(refusal.is_not_allowed() && refusal.has_code(10_000), "{error}");
    assert_eq!(client.requests(), 1);
    sandbox.world().faults_set(Faults {
        unsuccessful_path: Some("/members".to_owned()),
        ..Faults::default()
    });
    let error = addresses(&client, &account).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().status, 200, "{error}");
    assert_eq!(client.requests(), 2);
}

type Script = Arc<Mutex<Vec<u16>>>;

/// A service that gives these statuses in turn, and then 200. A 429 asks for a second.
async fn scripted(statuses: &[u16]) -> (String, Script) {
    let script: Script = Arc::new(Mutex::new(statuses.to_vec()));
    let answer = async |State(script): State<Script>, _: Query<HashMap<String, String>>| {
        let mut script = script.lock().unwrap();
        let status = if script.is_empty() { 200 } else { script.remove(0) };
        let status = StatusCode::from_u16(status).unwrap();
        let body = json!({ "success": status.is_success(), "errors": [], "result": { "id": 1 } });
        (status, [("retry-after", "1")], Json(body)).into_response()
    };
    let router = Router::new()
        .fallback(any(answer))
        .with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base_url, script)
}

#[tokio::test]
async fn only_what_cannot_have_happened_is_done_again() {
    for (method, statuses, requests, good) in [
        (Method::GET, vec![500, 502], 3, true),
        (Method::PUT, vec![500], 2, true),
        (Method::DELETE, vec![503], 2, true),
        // It may have been done.
        (Method::POST, vec![500], 1, false),
        (Method::PATCH, vec![502], 1, false),
        // It was not done.
        (Method::POST, vec![429], 2, true),
        (Method::GET, vec![404], 1, false),
        (Method::GET, vec![500, 500, 500, 500], 3, false),
    ] {
        let (base_url, _) = scripted(&statuses).await;
        let client = client_of(&base_url, 1_200).with_policy(hasty());
        let answer = client.send::<Value>(method.clone(), "/x", &[], None).await;
        assert_eq!(answer.is_ok(), good, "{method} {statuses:?}: {answer:?}");
        assert_eq!(client.requests(), requests, "{method} {statuses:?}");
    }
}

#[tokio::test]
async fn a_used_up_budget_is_not_exceeded() {
    let (base_url, _) = scripted(&[]).await;
    let client = client_of(&base_url, 10);
    let get = async |client: &Client| client.send::<Value>(Method::GET, "/x", &[], None).await;
    let background = client.in_background().with_policy(RetryPolicy {
        budget_wait: Duration::ZERO,
        ..RetryPolicy::BACKGROUND
    });
    for _ in 0..9 {
        get(&background).await.unwrap();
    }
    // The last tenth is for those who wait.
    let error = get(&background).await.unwrap_err();
    assert!(matches!(error, CloudflareError::RateLimited { .. }), "{error}");
    get(&client).await.unwrap();
    let error = get(&client).await.unwrap_err();
    assert!(matches!(error, CloudflareError::RateLimited { .. }), "{error}");
    assert_eq!((client.requests(), client.budget_left()), (10, 0));
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_timeout_without_its_address() {
    let slow = any(async || tokio::time::sleep(Duration::from_secs(60)).await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(slow)).await });
    let client = client_of(&base_url, 10).with_timeout(Duration::from_millis(200));
    let call = cloudflare::RawCall {
        method: Method::GET,
        path: "/x".to_owned(),
        query: vec![("email".to_owned(), "omar.said@tidewater.example".to_owned())],
        headers: reqwest::header::HeaderMap::new(),
        body: None,
    };
    let error = client.raw(call).await.unwrap_err();
    assert!(
        matches!(&error, CloudflareError::Unreachable { source, .. } if source.is_timeout()),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("omar"), "{error:?}");
}

#[tokio::test]
async fn an_absurd_retry_after_is_no_longer_than_the_window() {
    let answer = any(async || {
        (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "18446744073709551615")],
        )
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let client = client_of(&base_url, 10);
    let error = client
        .send::<Value>(Method::GET, "/x", &[], None)
        .await
        .unwrap_err();
    let CloudflareError::RateLimited { retry_after, .. } = error else {
        panic!("{error}")
    };
    assert!(retry_after <= cloudflare::budget::WINDOW);
}
