//! The server itself, over a real connection.

use crate::world::{LOG_SECRET, World};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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

/// A server with room for this many connections.
async fn small(connections_max: usize) -> (SocketAddr, CancellationToken) {
    let mut settings = hub::settings::Settings::default();
    let folder = tempfile::tempdir().unwrap();
    settings.data.dir = folder.keep();
    settings.server.connections_max = connections_max;
    let app = hub::App::open(settings).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(web::serve(app, listener, stop.clone()));
    (address, stop)
}

/// One request on a new connection: the first line of its answer.
async fn asked(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0_u8; 64];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer));
    let count = read.await.expect("an answer in time").unwrap();
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let (address, stop) = small(16).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // Health is answered, and so are those with a credential, however it turns out; the last places are theirs.
    assert_eq!(asked(address, "/health/live", "").await, "HTTP/1.1 200 OK");
    let known = asked(address, "/api/v1/people", "authorization: Bearer nobody\r\n").await;
    assert_eq!(known, "HTTP/1.1 401 Unauthorized");
    assert_eq!(
        asked(address, "/login", "").await,
        "HTTP/1.1 503 Service Unavailable"
    );
    // The silent ones that waited the longest were closed for the others.
    let mut byte = [0_u8; 1];
    let closed = tokio::time::timeout(Duration::from_secs(5), silent[0].read(&mut byte)).await;
    assert_eq!(closed.expect("closed in time").unwrap_or(0), 0);
    drop(silent);
    stop.cancel();
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_the_server_stops() {
    let (address, stop) = small(0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = vec![0_u8; 4_096];
        let count = stream.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK"));
    }
    stop.cancel();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "an idle connection ends with the server");
}

/// A body of which a byte comes ten times a second. Answers what the server said at last; the connection ends when this
/// is given up.
async fn sent_slowly(address: SocketAddr) -> String {
    let head = format!(
        "POST /ingest/production/gateway_dns HTTP/1.1\r\nhost: x\r\nx-flareward-secret: {LOG_SECRET}\r\n\
         content-length: 100000\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0_u8; 64];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => {
                let count = read.unwrap_or(0);
                return String::from_utf8_lossy(&answer[..count]).into_owned();
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                stream.write_all(b" ").await.unwrap();
            }
        }
    }
}

/// Whoever has the log secret of one connection can hold some places for bodies, and not for long.
#[tokio::test]
async fn slow_bodies_leave_room_for_other_connections_and_make_room_for_their_own() {
    const PLACES: usize = 4;
    let world = World::with(|settings| settings.ingest.concurrent_batches = PLACES).await;
    world.connect("other", "fwlog_of-another").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(web::serve(world.app.clone(), listener, stop.clone()));
    let incoming = world.archive().join("incoming");
    let unfinished = || std::fs::read_dir(&incoming).map_or(0, Iterator::count);
    let in_time = async |until: &dyn Fn() -> bool, what: &str| {
        let wait = async {
            while !until() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
        waited.unwrap_or_else(|_| panic!("{what}"));
    };
    let mut slow: Vec<_> = (0..PLACES - 1)
        .map(|_| tokio::spawn(sent_slowly(address)))
        .collect();
    let client = reqwest::Client::builder().build().unwrap();
    let answered = async |connection: &str, secret: &str| {
        let url = format!("http://{address}/ingest/{connection}/gateway_dns");
        let request = client.post(url).header("x-flareward-secret", secret);
        let answer = request.body("{\"QueryName\":\"a.example\"}\n").send().await;
        answer.unwrap().status().as_u16()
    };
    // They have all that their connection may have.
    while answered("production", LOG_SECRET).await != 503 {}
    // A hundred more that wait take nothing from another.
    let more: Vec<_> = (0..100).map(|_| tokio::spawn(sent_slowly(address))).collect();
    let begun = std::time::Instant::now();
    assert_eq!(answered("other", "fwlog_of-another").await, 200);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for one in more {
        one.abort();
    }
    // Their own connection gets a place from the slowest of them.
    let begun = std::time::Instant::now();
    while answered("production", LOG_SECRET).await != 200 {}
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let (first, _, rest) = futures::future::select_all(slow).await;
    let first = first.unwrap();
    assert!(first.starts_with("HTTP/1.1 408"), "{first}");
    slow = rest;
    for one in slow {
        one.abort();
    }
    in_time(
        &|| unfinished() == 0,
        "what was cut off, or went away, leaves nothing",
    )
    .await;
    stop.cancel();
}

#[tokio::test]
async fn http_2_is_not_offered_and_costs_nothing() {
    let (address, stop) = small(0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    stop.cancel();
}
