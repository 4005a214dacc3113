//! The server itself, over a real connection.

use crate::world::World;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_its_streams_and_itself() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(web::serve(world.app.clone(), listener, stop.clone()));
    let client = reqwest::Client::builder().build().unwrap();
    let live = client
        .get(format!("http://{address}/health/live"))
        .send()
        .await
        .unwrap();
    assert_eq!(live.status(), 200);
    let stream = client
        .get(format!("http://{address}/api/v1/journal/stream"))
        .bearer_auth(&world.token)
        .send()
        .await
        .unwrap();
    stop.cancel();
    assert_eq!(stream.text().await.unwrap(), "");
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .expect("the server ends")
        .unwrap()
        .unwrap();
}
