//! Who may do what: every route of the table refuses everyone else.

use crate::world::{Answer, World, noon};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use chrono::TimeDelta;
use hub::session::{self, Rights, Session};
use hub::{Actor, Permission, permission, secret};
use secrecy::ExposeSecret;
use serde_json::json;
use std::collections::BTreeSet;
use web::permissions::{Needs, TABLE};

/// One route, and requests to it that differ in what they present.
struct Route<'w> {
    world: &'w World,
    router: Router,
    method: Method,
    path: String,
    needs: Needs,
}

/// What a request presents.
#[derive(Clone, Copy)]
enum Shows<'a> {
    Nothing,
    Token(&'a str),
    /// The cookie's value and, if any, the CSRF token.
    Session(&'a str, Option<&'a str>),
}

impl Route<'_> {
    async fn ask(&self, shows: Shows<'_>) -> Answer {
        let is_page = matches!(self.needs, Needs::Page(_) | Needs::Session);
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        let mut form = "reason=x".to_owned();
        match shows {
            Shows::Nothing => {}
            Shows::Token(token) => request = request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            Shows::Session(cookie, csrf) => {
                request = request.header(header::COOKIE, format!("flareward_session={cookie}"));
                match csrf {
                    Some(csrf) if is_page => form = format!("csrf={csrf}"),
                    Some(csrf) => request = request.header("x-csrf-token", csrf),
                    None => {}
                }
            }
        }
        let (kind, body) = if is_page {
            ("application/x-www-form-urlencoded", form)
        } else {
            ("application/json", "{}".to_owned())
        };
        let body = if self.method == Method::GET {
            Body::empty()
        } else {
            Body::from(body)
        };
        let request = request.header(header::CONTENT_TYPE, kind).body(body).unwrap();
        World::send_to(self.router.clone(), request).await
    }

    /// A new session with these permissions: the cookie's value and what is stored.
    async fn session(&self, permissions: &[Permission]) -> (String, Session) {
        let app = &self.world.app;
        let actor = Actor::Person("ana@corp.example".to_owned());
        let value = session::open(app, &actor, Rights::Own(permissions.to_vec()))
            .await
            .unwrap();
        let value = value.expose_secret().to_owned();
        let session = session::find(app, &value, false).await.unwrap().unwrap();
        (value, session)
    }

    /// The permissions of which one is enough.
    fn enough(&self) -> Vec<Permission> {
        match self.needs {
            Needs::Caller(permission) | Needs::Page(permission) => vec![permission],
            Needs::OneOf(permissions) => permissions.to_vec(),
            Needs::Anyone | Needs::LogSecret | Needs::Session => Vec::new(),
        }
    }

    /// All permissions but those that are enough.
    fn others(&self) -> Vec<Permission> {
        let enough = self.enough();
        let mut others = Permission::ALL.to_vec();
        others.retain(|one| !enough.contains(one));
        others
    }
}

impl std::fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// The tokens that no route takes: unknown, revoked, expired.
async fn dead_tokens(world: &World) -> [String; 3] {
    let app = &world.app;
    let (row, revoked) = permission::token_create(app, "revoked", &Permission::ALL)
        .await
        .unwrap();
    app.store.access_token_revoke(&row.id, noon()).await.unwrap();
    let expired = store::AccessTokenRow {
        id: "expired".to_owned(),
        name: "expired".to_owned(),
        token_hash: secret::digest("fw_expired"),
        expires_at: Some(noon() - TimeDelta::minutes(1)),
        ..row
    };
    app.store.access_token_insert(&expired).await.unwrap();
    let revoked = revoked.expose_secret().to_owned();
    ["fw_nobody-has-this".to_owned(), revoked, "fw_expired".to_owned()]
}

fn routes(world: &World) -> Vec<Route<'_>> {
    let router = web::router(world.app.clone());
    let route = |(method, path, needs): &(&str, &str, Needs)| {
        let path = path.replace("{capability}", "getIPOverview");
        // A label or id that names nothing.
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "none" } else { part });
        Route {
            world,
            router: router.clone(),
            method: method.parse().unwrap(),
            path: parts.collect::<Vec<_>>().join("/"),
            needs: *needs,
        }
    };
    TABLE.iter().map(route).collect()
}

#[tokio::test]
async fn a_route_for_callers_refuses_who_does_not_hold_its_permission() {
    let world = World::new().await;
    let dead = dead_tokens(&world).await;
    let mut count = 0;
    for route in routes(&world) {
        if !matches!(route.needs, Needs::Caller(_) | Needs::OneOf(_)) {
            continue;
        }
        count += 1;
        let is_cloudflare = route.path.starts_with("/client/v4");
        let of_dead = dead.iter().map(|token| Shows::Token(token));
        for shows in [Shows::Nothing, Shows::Session("fws_none", None)]
            .into_iter()
            .chain(of_dead)
        {
            let answer = route.ask(shows).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{route}: {}",
                answer.text
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{route}");
        }
        let token = world.token_of(&route.others()).await;
        let (cookie, session) = route.session(&route.others()).await;
        for shows in [Shows::Token(&token), Shows::Session(&cookie, Some(&session.csrf))] {
            let answer = route.ask(shows).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route}: {}", answer.text);
            let names = |one: &Permission| answer.text.contains(&format!("\\\"{}\\\"", one.as_str()));
            assert!(route.enough().iter().any(names), "{route}: {}", answer.text);
            assert_eq!(answer.json()["success"] == json!(false), is_cloudflare, "{route}");
        }
        // Which of several is enough is for the handler: each capability takes one of them.
        for one in route.enough().into_iter().take(1) {
            let (cookie, session) = route.session(&[one]).await;
            if !route.method.is_safe() {
                for csrf in [None, Some("fwc_of-another-session")] {
                    let answer = route.ask(Shows::Session(&cookie, csrf)).await;
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route}: {}", answer.text);
                    assert!(answer.text.contains("CSRF token"), "{route}: {}", answer.text);
                }
            }
            let token = world.token_of(&[one]).await;
            for shows in [Shows::Token(&token), Shows::Session(&cookie, Some(&session.csrf))] {
                let answer = route.ask(shows).await;
                reached(&route, &answer);
            }
        }
    }
    assert!(count > 90, "{count}");
}

#[tokio::test]
async fn a_page_leads_to_the_login_and_a_form_needs_its_session_and_permission() {
    let world = World::new().await;
    for route in routes(&world) {
        if !matches!(route.needs, Needs::Page(_) | Needs::Session) {
            continue;
        }
        // A token alone opens no page: what a browser sends by itself is a cookie.
        for shows in [
            Shows::Nothing,
            Shows::Token(&world.token),
            Shows::Session("fws_none", Some("fwc_none")),
        ] {
            let answer = route.ask(shows).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{route}: {}", answer.text);
            assert!(answer.header("location").starts_with("/login"), "{route}");
        }
        let (cookie, session) = route.session(&Permission::ALL).await;
        if !route.method.is_safe() {
            for csrf in [None, Some("fwc_of-another-session")] {
                let answer = route.ask(Shows::Session(&cookie, csrf)).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route}: {}", answer.text);
                assert!(
                    answer.text.contains("another session"),
                    "{route}: {}",
                    answer.text
                );
            }
        }
        if let Needs::Page(permission) = route.needs {
            let (cookie, session) = route.session(&route.others()).await;
            let answer = route.ask(Shows::Session(&cookie, Some(&session.csrf))).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route}: {}", answer.text);
            assert!(
                answer.text.contains(permission.as_str()),
                "{route}: {}",
                answer.text
            );
        }
        let answer = route.ask(Shows::Session(&cookie, Some(&session.csrf))).await;
        reached(&route, &answer);
    }
}

#[tokio::test]
async fn the_other_routes_are_open_or_take_a_log_secret() {
    let world = World::new().await;
    let mut open = BTreeSet::new();
    for route in routes(&world) {
        match route.needs {
            Needs::Anyone => {
                open.insert(route.to_string());
                reached(&route, &route.ask(Shows::Nothing).await);
            }
            Needs::LogSecret => {
                for shows in [
                    Shows::Nothing,
                    Shows::Token(&world.token),
                    Shows::Token("fwlog_none"),
                ] {
                    let answer = route.ask(shows).await;
                    assert_eq!(
                        answer.status,
                        StatusCode::UNAUTHORIZED,
                        "{route}: {}",
                        answer.text
                    );
                }
            }
            Needs::Caller(_) | Needs::OneOf(_) | Needs::Page(_) | Needs::Session => {}
        }
    }
    // Whoever opens one more route to everyone says so here.
    let expected = [
        "GET /.well-known/sse-configuration/none",
        "GET /.well-known/sse-configuration/none/",
        "GET /.well-known/ssf-configuration/none",
        "GET /.well-known/ssf-configuration/none/",
        "GET /api/v1/openapi.json",
        "GET /assets/none",
        "GET /health/live",
        "GET /health/ready",
        "GET /jwks.json",
        "GET /login",
        "GET /none/jwks.json",
        "POST /login",
    ];
    assert_eq!(open, expected.map(str::to_owned).into());
}

/// The handler answered: there is a route, and nobody else refused the request.
fn reached(route: &Route<'_>, answer: &Answer) {
    let refused = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::METHOD_NOT_ALLOWED,
    ];
    let is_login = route.path == "/login";
    assert!(
        is_login || !refused.contains(&answer.status),
        "{route}: {}",
        answer.text
    );
    assert_ne!(
        answer.status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "{route}: {}",
        answer.text
    );
    assert!(
        !answer.text.contains("/problems/no-route"),
        "{route}: {}",
        answer.text
    );
    assert!(!answer.header("location").starts_with("/login?"), "{route}");
}

#[tokio::test]
async fn every_operation_of_the_description_is_in_the_table_once() {
    let description = serde_json::to_value(web::api::openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["security"].is_array(), "{method} {path}");
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let mut listed = BTreeSet::new();
    for (method, path, _) in TABLE {
        assert!(
            listed.insert(((*method).to_owned(), (*path).to_owned())),
            "{method} {path} twice"
        );
    }
    listed.retain(|(_, path)| path.starts_with("/api/v1/") && !path.ends_with("openapi.json"));
    assert_eq!(listed, described);
}

#[tokio::test]
async fn a_revoked_token_ends_its_sessions_and_a_persons_session_needs_no_token() {
    let world = World::new().await;
    let app = &world.app;
    let (row, token) = permission::token_create(app, "ana", &Permission::ALL)
        .await
        .unwrap();
    let of_token = session::login(app, token.expose_secret()).await.unwrap();
    let person = Actor::Person("ana@corp.example".to_owned());
    let of_person = session::open(app, &person, Rights::Own(vec![Permission::Read]))
        .await
        .unwrap();
    let found = session::find(app, of_person.expose_secret(), false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.actor, found.permissions), (person, vec![Permission::Read]));
    let ask = async |cookie: &str| {
        let request = Request::get("/api/v1/people")
            .header(header::COOKIE, format!("flareward_session={cookie}"))
            .body(Body::empty())
            .unwrap();
        world.send(request).await.status
    };
    assert_eq!(ask(of_token.expose_secret()).await, StatusCode::OK);
    app.store.access_token_revoke(&row.id, noon()).await.unwrap();
    assert_eq!(ask(of_token.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(of_person.expose_secret()).await, StatusCode::OK);
}

#[tokio::test]
async fn a_capability_needs_the_permission_that_the_list_names() {
    let world = World::new().await;
    let list = world.get("/api/v1/capabilities").await.json();
    for one in list["items"].as_array().unwrap() {
        let (id, needed) = (one["id"].as_str().unwrap(), one["permission"].as_str().unwrap());
        let others: Vec<Permission> = Permission::ALL
            .into_iter()
            .filter(|one| one.as_str() != needed)
            .collect();
        let token = world.token_of(&others).await;
        let path = format!("/api/v1/capabilities/{id}");
        let answer = world
            .call_with(Some(&token), Method::POST, &path, Some(json!({})))
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{id}");
        // Whoever may gets the capability's own answer, here that the input is not one.
        let answer = world.call(Method::POST, &path, Some(json!({}))).await;
        assert_eq!(answer.json()["eventName"], "error", "{id}: {}", answer.text);
    }
}

#[tokio::test]
async fn metrics_need_a_token_and_health_does_not() {
    let world = World::new().await;
    for path in ["/health/live", "/health/ready"] {
        let answer = world.call_with(None, Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let answer = world.call_with(None, Method::GET, "/metrics", None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = world.get("/metrics").await;
    assert!(answer.text.contains("flareward_people 0\n"), "{}", answer.text);
    assert!(answer.text.contains(r#"route="/health/live""#), "{}", answer.text);
}
