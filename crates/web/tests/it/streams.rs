//! The journal as a stream.

use crate::world::World;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use futures::StreamExt;
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
    hub::risk::reset(&world.app, &person, "looked into", &hub::Actor::System)
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
    let (row, token) = hub::permission::token_create(&world.app, "reader", &[hub::Permission::Read])
        .await
        .unwrap();
    let request = Request::get("/api/v1/journal/stream")
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", secrecy::ExposeSecret::expose_secret(&token)),
        )
        .body(Body::empty())
        .unwrap();
    let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    let person = model::PersonId("p1".to_owned());
    hub::risk::reset(&world.app, &person, "looked into", &hub::Actor::System)
        .await
        .unwrap();
    assert!(next(&mut stream).await.contains("risk.reset"));
    hub::permission::token_revoke(&world.app, &row.id, &hub::Actor::System)
        .await
        .unwrap();
    // What happens from now on is not for this reader.
    let now = world.app.clock.now();
    let state = model::ConnectionState::Failed;
    let connection = model::ConnectionId("c1".to_owned());
    world
        .app
        .store
        .connection_state_set(&connection, state, Some("gone"), now)
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

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let clock = std::sync::Arc::new(model::StoppedClock::at(crate::world::noon()));
    for way in ["logged out", "idle"] {
        let world = World::with_clock(std::sync::Arc::clone(&clock)).await;
        let cookie = crate::console::session_cookie(&world).await;
        let request = Request::get("/api/v1/journal/stream")
            .header(header::COOKIE, &cookie)
            .body(Body::empty())
            .unwrap();
        let response = web::router(world.app.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let stream = response.into_body().into_data_stream();
        if way == "idle" {
            clock.advance(chrono::TimeDelta::hours(3));
        } else {
            let value = cookie.split_once('=').unwrap().1;
            let digest = hub::secret::digest(value);
            world.app.store.session_delete(&digest).await.unwrap();
        }
        ends(stream).await;
    }
}
