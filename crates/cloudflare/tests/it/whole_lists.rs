//! A partial list is never taken for a complete one: reads each list of the client from a server that announces, or
//! shows, more items than it returns.
//!
//! `docs/cloudflare-lists.md` has the same table in prose; a test compares the two.

use super::{client_of, now};
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cloudflare::{AccountId, AuditWindow, Client, CloudflareError, LISTS};
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How the server lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// The whole list has more than all pages together.
    TotalCount,
    /// A page says that it has more than it has.
    PageCount,
    /// Fifty whatever is asked for, without any count, and the same again for the next page.
    Capped,
    /// A thing in another form.
    Shape,
    /// No list at all.
    Null,
    /// A list in a list, which is read.
    Nested,
}

/// What of a list is read: how many things, or why they are not all.
type Read = BoxFuture<'static, Result<Result<usize, String>, CloudflareError>>;

/// Every list of the client, by the name that the documentation has, with which lies it can tell.
fn lists(client: &Client, account: &AccountId) -> Vec<(&'static str, Read)> {
    macro_rules! pages {
        ($call:expr) => {{
            let pages = $call;
            async move {
                let pages: Vec<_> = pages.try_collect().await?;
                Ok(Ok(pages.into_iter().map(|page| page.items.len()).sum()))
            }
            .boxed()
        }};
    }
    macro_rules! whole {
        (|$client:ident, $account:ident| $call:expr) => {{
            let ($client, $account) = (client.clone(), account.clone());
            async move { Ok(Ok($call.await?.len())) }.boxed()
        }};
    }
    macro_rules! listed {
        (|$client:ident, $account:ident| $call:expr) => {{
            let ($client, $account) = (client.clone(), account.clone());
            async move {
                let listed = $call.await?;
                Ok(match listed.partial {
                    Some(reason) => Err(reason),
                    None => Ok(listed.items.len()),
                })
            }
            .boxed()
        }};
    }
    let window = AuditWindow {
        since: now(),
        before: now(),
    };
    let mut all: Vec<(&'static str, Read)> = vec![
        ("members", pages!(client.members(account, 1))),
        ("access_users", pages!(client.access_users(account, 1))),
        ("access_groups", pages!(client.access_groups(account, 1))),
        ("roles", whole!(|client, account| client.roles(&account))),
        (
            "accounts",
            whole!(|client, account| {
                let _ = &account;
                client.accounts()
            }),
        ),
        (
            "logpush_jobs",
            whole!(|client, account| client.logpush_jobs(&account)),
        ),
        (
            "active_sessions",
            whole!(|client, account| client.active_sessions(&account, "u")),
        ),
        (
            "failed_logins",
            whole!(|client, account| client.failed_logins(&account, "u")),
        ),
        (
            "user_group_members",
            listed!(|client, account| client.user_group_members(&account, "g")),
        ),
        (
            "list_items",
            listed!(|client, account| client.list_items(&account, "l", None)),
        ),
        ("access_requests", pages!(client.access_requests(account, window))),
        ("audit_logs_v1", pages!(client.audit_logs_v1(account, window))),
    ];
    for list in LISTS {
        all.push((list.kind, pages!(client.objects(account, list))));
    }
    all
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Option<Lie>>>);

async fn answer(
    uri: axum::http::Uri,
    State(server): State<Server>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let lie = server.0.lock().unwrap().unwrap();
    let page: usize = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    // Jobs are numbered; everything else has text for an id.
    let is_job = uri.path().ends_with("/logpush/jobs");
    let id = |n: usize| if is_job { json!(n) } else { json!(n.to_string()) };
    let thing = |n: usize| json!({ "id": id(n), "name": "n", "email": format!("a{n}@x.example") });
    let fifty: Vec<Value> = (0..50).map(thing).collect();
    let three: Vec<Value> = (0..3).map(thing).collect();
    let empty = Vec::new();
    let first = |items: &Vec<Value>| if page == 1 { items.clone() } else { empty.clone() };
    Json(match lie {
        Lie::TotalCount => json!({ "success": true, "result": first(&three),
            "result_info": { "page": page, "per_page": 3, "count": 3, "total_count": 4 } }),
        Lie::PageCount => json!({ "success": true, "result": first(&three), "result_info": { "count": 4 } }),
        Lie::Capped => json!({ "success": true, "result": fifty }),
        Lie::Shape => json!({ "success": true, "result": first(&vec![json!("a text"), json!(7)]) }),
        Lie::Null => json!({ "success": true, "result": null }),
        Lie::Nested => {
            json!({ "success": true, "result": if page == 1 { vec![three.clone()] } else { Vec::new() },
            "result_info": { "count": 3, "total_count": 3 } })
        }
    })
}

async fn served() -> (Server, Client, AccountId) {
    let server = Server::default();
    let router = Router::new().fallback(get(answer)).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = client_of(&format!("http://{address}"), 100_000);
    (server, client, AccountId::parse(&"a".repeat(32)).unwrap())
}

#[tokio::test]
async fn no_list_that_was_given_in_part_is_taken_for_the_whole() {
    let (server, client, account) = served().await;
    for lie in [Lie::TotalCount, Lie::PageCount, Lie::Capped, Lie::Null] {
        *server.0.lock().unwrap() = Some(lie);
        for (name, read) in lists(&client, &account) {
            // A list that comes at once has no pages that could be the same again.
            let is_single = [
                "resource_groups",
                "lists",
                "logpush_jobs",
                "active_sessions",
                "failed_logins",
            ];
            if lie == Lie::Capped && is_single.contains(&name) {
                continue;
            }
            match read.await {
                Ok(Ok(count)) => panic!("{lie:?}: {name} was read as whole, with {count}"),
                Ok(Err(_)) => {}
                Err(error) => assert!(error.is_partial(), "{lie:?}: {name}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_list_in_a_list_is_read_and_things_of_another_form_are_told() {
    let (server, client, account) = served().await;
    *server.0.lock().unwrap() = Some(Lie::Nested);
    for (name, read) in lists(&client, &account) {
        assert_eq!(read.await.unwrap(), Ok(3), "{name}");
    }
    *server.0.lock().unwrap() = Some(Lie::Shape);
    for name in [
        "members",
        "access_users",
        "access_groups",
        "roles",
        "accounts",
        "logpush_jobs",
    ] {
        let (_, read) = lists(&client, &account)
            .into_iter()
            .find(|(known, _)| *known == name)
            .unwrap();
        let error = read.await.unwrap_err();
        assert!(
            error.is_partial() && error.to_string().contains("result[0]"),
            "{name}: {error}"
        );
    }
}

#[test]
fn the_documentation_has_every_list() {
    let text = include_str!("../../../../docs/cloudflare-lists.md");
    let client = client_of("http://127.0.0.1:9", 1);
    for (name, _) in lists(&client, &AccountId::parse(&"a".repeat(32)).unwrap()) {
        assert!(
            text.contains(&format!("| `{name}` |")),
            "docs/cloudflare-lists.md lacks {name}"
        );
    }
}
