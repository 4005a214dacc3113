//! The cost of connections for the server: memory of idle ones, a request on a new one, and `/health` during a flood.
//!
//! The server runs in this process on a port of this machine. The clients' ends are also in this process, so the
//! reported memory is slightly more than the server's own.

use crate::say;
use anyhow::Context;
use hub::App;
use hub::settings::Settings;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const IDLE: usize = 2_000;
const SLOW: usize = 500;
const REQUESTS: usize = 2_000;

const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";

/// Measures and prints the results.
pub(crate) async fn print() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut settings = Settings::default();
    settings.data.dir = folder.path().to_owned();
    let app = App::open(settings).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let server = tokio::spawn(web::serve(app, listener, stop.clone()));
    // What is made once is made before anything is measured.
    for _ in 0..50 {
        asked(address).await?;
    }
    let mut took = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        took.push(asked(address).await?);
    }
    took.sort_unstable();
    let (bare, bare_stop) = bare().await?;
    let mut baseline = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        baseline.push(asked(bare).await?);
    }
    baseline.sort_unstable();
    bare_stop.cancel();
    let micros = |took: &[Duration]| took[took.len() / 2].as_secs_f64() * 1e6;
    say("\nConnections");
    say(&format!(
        "  a request on a new connection: {:.0} microseconds at the median (a bare answer over TCP: {:.0})",
        micros(&took),
        micros(&baseline)
    ));
    let before = resident_kib()?;
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(address).await?);
    }
    // The last was taken once it is answered.
    asked(address).await?;
    let after = resident_kib()?;
    say(&format!(
        "  {IDLE} idle connections: {:.1} KiB each, with the client's end ({} KiB before, {} KiB then)",
        after.saturating_sub(before) as f64 / IDLE as f64,
        before,
        after
    ));
    let mut slow = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"POST /ingest/none/gateway_dns HTTP/1.1\r\nhost: bench\r\n")
            .await?;
        slow.push(stream);
    }
    let health = asked(address).await?;
    say(&format!(
        "  /health with {IDLE} idle and {SLOW} slow connections: {:.1} ms",
        health.as_secs_f64() * 1e3
    ));
    drop((idle, slow));
    stop.cancel();
    server.await??;
    Ok(())
}

/// One request on a new connection, up to the end of its response.
async fn asked(address: SocketAddr) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "not answered well");
    Ok(begun.elapsed())
}

/// A server that responds to everything with the same bytes: the minimum cost of a connection.
async fn bare() -> anyhow::Result<(SocketAddr, CancellationToken)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let ends = stop.clone();
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ends.cancelled() => return,
            };
            let Ok((mut stream, _)) = stream else { return };
            tokio::spawn(async move {
                let mut head = [0_u8; 1_024];
                if stream.read(&mut head).await.is_ok() {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await;
                }
            });
        }
    });
    Ok((address, stop))
}

fn resident_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.context("no VmRSS here")?;
    words
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .context("VmRSS is no number")
}
