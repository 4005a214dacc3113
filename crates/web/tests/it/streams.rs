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
