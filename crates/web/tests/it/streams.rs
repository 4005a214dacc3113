//! The journal as a stream.

use crate::world::{World, noon};
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use chrono::TimeDelta;
use futures::StreamExt;
use hub::{Actor, Permission, permission};
use model::StoppedClock;
use secrecy::ExposeSecret;
use std::sync::Arc;
use tower::ServiceExt;

async fn open(world: &World, query: &str) -> BodyDataStream {
    let request = Request::get(format!("/api/v1/journal/stream{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", world.token))
        .body(Body::empty())
        .unwrap();
    let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

async fn next(stream: &mut BodyDataStream) -> String {
    let part = stream.next().await.unwrap().unwrap();
    String::from_utf8(part.to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_shows_what_follows_the_place_that_the_reader_names() {
    let world = World::lived_in().await;
    let all = world.app.store.journal_latest(None, None, 100).await.unwrap();
    let oldest = all.last().unwrap();
    let mut stream = open(&world, &format!("?after={}", oldest.seq)).await;
    for row in all.iter().rev().skip(1) {
        let event = next(&mut stream).await;
        assert!(event.contains(&format!("id: {}\n", row.seq)), "{event}");
        assert!(event.contains(&format!("event: {}\n", row.kind)), "{event}");
    }
}

#[tokio::test]
async fn a_stream_without_a_place_shows_what_is_new() {
    let world = World::lived_in().await;
    let mut stream = open(&world, "").await;
    let person = model::PersonId("p1".to_owned());
    hub::risk::reset(&world.app, &person, "looked into", &Actor::System)
        .await
        .unwrap();
    let event = next(&mut stream).await;
    assert!(event.contains("event: risk.reset\n"), "{event}");
}

async fn ends(mut stream: BodyDataStream) {
    let rest = async { while stream.next().await.is_some() {} };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), rest).await;
    ended.expect("the stream ends");
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_it_was_opened_with() {
    let world = World::lived_in().await;
    let (row, token) = permission::token_create(&world.app, "reader", &[Permission::Read])
        .await
        .unwrap();
    let request = Request::get("/api/v1/journal/stream")
        .header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
        .body(Body::empty())
        .unwrap();
    let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    let person = model::PersonId("p1".to_owned());
    hub::risk::reset(&world.app, &person, "looked into", &Actor::System)
        .await
        .unwrap();
    assert!(next(&mut stream).await.contains("risk.reset"));
    permission::token_revoke(&world.app, &row.id, &Actor::System)
        .await
        .unwrap();
    // What happens from now on is not for this reader.
    let now = world.app.clock.now();
    let state = model::ConnectionState::Failed;
    let connection = model::ConnectionId("c1".to_owned());
    world
        .app
        .store
        .connection_state_set(
            &connection,
            state,
            Some("gone"),
            "Connection production is failed: gone",
            now,
        )
        .await
        .unwrap();
    let mut rest = String::new();
    let read = async {
        while let Some(part) = stream.next().await {
            rest.push_str(&String::from_utf8_lossy(&part.unwrap()));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), read)
        .await
        .expect("the stream ends");
    assert!(!rest.contains("connection.state"), "{rest}");
}

/// What a stream is opened with.
async fn open_with(world: &World, name: header::HeaderName, value: &str) -> BodyDataStream {
    let request = Request::get("/api/v1/journal/stream")
        .header(name, value)
        .header(header::ACCEPT, "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().into_data_stream()
}

async fn token_named(world: &World, name: &str) -> store::AccessTokenRow {
    let tokens = world.app.store.access_token_list().await.unwrap();
    tokens.into_iter().find(|row| row.name == name).unwrap()
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let clock = Arc::new(StoppedClock::at(noon()));
    let world = World::with_clock(Arc::clone(&clock)).await;
    let (_, token) = permission::token_issue(
        &world.app,
        "visitor",
        &[Permission::Read],
        Some(TimeDelta::minutes(10)),
        &Actor::System,
        &Permission::ALL,
    )
    .await
    .unwrap();
    let bearer = format!("Bearer {}", token.expose_secret());
    let stream = open_with(&world, header::AUTHORIZATION, &bearer).await;
    clock.advance(TimeDelta::minutes(10));
    ends(stream).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    for way in ["logged out", "idle", "over", "token revoked"] {
        let clock = Arc::new(StoppedClock::at(noon()));
        // Whether it is the limit of a working day or that of idleness is told apart by leaving the other out.
        let idle = if way == "over" { 0 } else { 120 };
        let world = World::open(
            |settings| settings.server.session_idle_minutes = idle,
            Arc::clone(&clock),
        )
        .await;
        let cookie = crate::console::session_cookie(&world).await;
        let stream = open_with(&world, header::COOKIE, &cookie).await;
        match way {
            "idle" => clock.advance(TimeDelta::minutes(120)),
            "over" => clock.advance(TimeDelta::hours(12)),
            "logged out" => {
                let digest = hub::secret::digest(cookie.split_once('=').unwrap().1);
                world.app.store.session_delete(&digest).await.unwrap();
            }
            _ => {
                let row = token_named(&world, "token 1").await;
                permission::token_revoke(&world.app, &row.id, &Actor::System)
                    .await
                    .unwrap();
            }
        }
        ends(stream).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_slow_reader_is_not_shown_after_its_token_was_revoked() {
    let world = World::lived_in().await;
    let (row, token) = permission::token_create(&world.app, "reader", &[Permission::Read])
        .await
        .unwrap();
    let all = world.app.store.journal_latest(None, None, 100).await.unwrap();
    assert!(all.len() > 3, "{} entries", all.len());
    let request = Request::get("/api/v1/journal/stream?after=0")
        .header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
        .body(Body::empty())
        .unwrap();
    let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    next(&mut stream).await;
    permission::token_revoke(&world.app, &row.id, &Actor::System)
        .await
        .unwrap();
    // The reader takes its time.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    tokio::time::resume();
    // A sign of life may come before the end, and nothing that happened.
    let mut rest = String::new();
    while let Some(part) = stream.next().await {
        rest.push_str(&String::from_utf8_lossy(&part.unwrap()));
    }
    assert!(!rest.contains("event:"), "{rest}");
}

#[tokio::test]
async fn a_page_that_is_left_open_does_not_keep_its_session() {
    let clock = Arc::new(StoppedClock::at(noon()));
    let world = World::with_clock(Arc::clone(&clock)).await;
    let cookie = crate::console::session_cookie(&world).await;
    let ask = async |path: &str, name: &'static str, value: &'static str| {
        let request = Request::get(path)
            .header(header::COOKIE, &cookie)
            .header(name, value)
            .body(Body::empty())
            .unwrap();
        let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
        (
            response.status().as_u16(),
            response.headers().contains_key("hx-redirect"),
        )
    };
    let follow = async || {
        ask("/api/v1/journal/stream", "accept", "text/event-stream")
            .await
            .0
    };
    let progress = async || {
        ask("/connections/production/progress", "hx-request", "true")
            .await
            .1
    };
    let look = async || ask("/people", "accept", "text/html").await.0;
    for minutes in [0, 60, 59] {
        clock.advance(TimeDelta::minutes(minutes));
        assert_eq!((follow().await, progress().await), (200, false), "{minutes}");
    }
    // A page that someone opens is a use.
    assert_eq!(look().await, 200);
    clock.advance(TimeDelta::minutes(119));
    assert_eq!((follow().await, progress().await), (200, false));
    clock.advance(TimeDelta::minutes(1));
    assert_eq!((follow().await, progress().await), (401, true));
    assert_eq!(look().await, 303);
}

#[tokio::test]
async fn no_idle_limit_and_one_beyond_all_clocks_keep_a_session_for_its_day() {
    for minutes in [0, u64::MAX, i64::MAX as u64] {
        let clock = Arc::new(StoppedClock::at(noon()));
        let world = World::open(
            |settings| settings.server.session_idle_minutes = minutes,
            Arc::clone(&clock),
        )
        .await;
        let cookie = crate::console::session_cookie(&world).await;
        clock.advance(TimeDelta::hours(11));
        let request = Request::get("/people").header(header::COOKIE, &cookie);
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{minutes}");
    }
}
