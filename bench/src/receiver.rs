//! The receiver from end to end: the served program over HTTP on loopback, from a sender's request to a detection's
//! row.
//!
//! Everything runs in this process as in `flareward serve`: the router, the stages, SQLite, and an archive that is
//! synced to the disk. Start reading at [`measure`].

use crate::ingest::{new_connection, record};
use crate::{Figure, say};
use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use futures::{StreamExt, TryStreamExt};
use hub::settings::Settings;
use hub::{App, secret};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use store::DetectionFilter;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const LOG_SECRET: &str = "fwlog_of-the-bench";
const DATASET: &str = "gateway_dns";

const BATCHES: usize = 40;
const RECORDS_OF_A_BATCH: usize = 2_500;
/// The number of batches in transit. Chosen: Cloudflare does not document its own number.
const SENDERS: usize = 4;

/// The number of small batches, each with one record that a rule matches.
const SMALL_BATCHES: usize = 200;
const RECORDS_OF_A_SMALL_BATCH: usize = 20;
/// How often the test queries the store for the detection, which is also the precision of the measured time.
const LOOK_EVERY: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    app: App,
    client: reqwest::Client,
    address: String,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// Measures and prints the results.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let bodies = (0..BATCHES)
        .map(|batch| {
            let first = batch * RECORDS_OF_A_BATCH;
            packed((first..first + RECORDS_OF_A_BATCH).map(record))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let records = BATCHES * RECORDS_OF_A_BATCH;
    let begun = Instant::now();
    for body in &bodies {
        std::io::copy(&mut MultiGzDecoder::new(body.as_ref()), &mut std::io::sink())?;
    }
    let floor = Figure::of("gunzip alone", "records/s", records, begun);

    let served = Served::start().await?;
    let begun = Instant::now();
    let sent = futures::stream::iter(bodies).map(|body| served.send(body));
    sent.buffer_unordered(SENDERS).try_collect::<Vec<_>>().await?;
    let received = Figure::of(
        "received over HTTP: answered, so durable",
        "records/s",
        records,
        begun,
    );
    let deadline = Instant::now() + 5 * PATIENCE;
    while served.app.store.batch_counts(None).await?.pending > 0 {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the batches were not processed in time"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let processed = Figure::of("… and processed, sent at once", "records/s", records, begun);
    crate::print(
        "The receiver over HTTP, stages at work, SQLite, archive synced (baseline: gunzip alone)",
        &[floor, received, processed],
    );

    let mut answered = Vec::with_capacity(SMALL_BATCHES);
    let mut detected = Vec::with_capacity(SMALL_BATCHES);
    for batch in 0..SMALL_BATCHES {
        let (email, body) = small(batch)?;
        let last_byte = served.send(body).await?;
        answered.push(last_byte.elapsed());
        served.wait_for(&email).await?;
        detected.push(last_byte.elapsed());
    }
    say(&format!(
        "\n{SMALL_BATCHES} batches of {RECORDS_OF_A_SMALL_BATCH} records one after the other, from a batch's last byte"
    ));
    for (what, took) in [("to its answer", answered), ("to the detection's row", detected)] {
        say(&percentiles(what, took));
    }
    served.end().await;
    Ok(())
}

fn percentiles(what: &str, mut took: Vec<Duration>) -> String {
    took.sort();
    let at =
        |hundredths: usize| took[(took.len() * hundredths / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    format!(
        "  {what:<52} {:>9.2} ms p50 {:>9.2} ms p99 {:>9.2} ms at most",
        at(50),
        at(99),
        at(100)
    )
}

fn packed(records: impl Iterator<Item = Value>) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for record in records {
        writeln!(encoder, "{record}")?;
    }
    encoder.finish().map(Bytes::from)
}

/// A batch with current times, and the person of the one record in it that a rule matches.
fn small(batch: usize) -> anyhow::Result<(String, Bytes)> {
    let email = format!("found{batch}@bench.example");
    let first = 1_000_000 + batch * RECORDS_OF_A_SMALL_BATCH;
    let records = (0..RECORDS_OF_A_SMALL_BATCH).map(|place| {
        // The first of them all is one that a rule finds, and none of the others.
        let number = if place == 0 { 0 } else { first * 50 + place };
        let mut record = record(number);
        record["Datetime"] = json!(Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true));
        record["QueryID"] = json!(format!("small-{batch}-{place}"));
        if place == 0 {
            record["Email"] = json!(email);
        }
        record
    });
    let body = packed(records)?;
    Ok((email, body))
}

impl Served {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        let app = App::open(settings).await?;
        new_connection(&app, secret::digest(LOG_SECRET)).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}/ingest/bench/{DATASET}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let (working, ending) = (app.clone(), stop.clone());
        let stages = tokio::spawn(hub::driver::run(working, ending));
        let (serving, ending) = (app.clone(), stop.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = web::serve(serving, listener, ending).await {
                say(&format!("the server ended: {error}"));
            }
        });
        Ok(Self {
            app,
            client: reqwest::Client::builder().no_proxy().build()?,
            address,
            stop,
            tasks: vec![stages, server],
            _folder: folder,
        })
    }

    /// Sends a batch and waits for the response. Returns when the last byte was passed to the connection.
    async fn send(&self, body: Bytes) -> anyhow::Result<Instant> {
        let last_byte = Arc::new(OnceLock::new());
        let taken = last_byte.clone();
        let stream = futures::stream::once(async move {
            let _ = taken.set(Instant::now());
            Ok::<_, std::io::Error>(body)
        });
        let answer = self
            .client
            .post(&self.address)
            .header("x-flareward-secret", LOG_SECRET)
            .body(reqwest::Body::wrap_stream(stream))
            .send()
            .await?
            .error_for_status()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        anyhow::ensure!(answer["received"] == "stored", "{answer}");
        last_byte
            .get()
            .copied()
            .ok_or_else(|| anyhow::anyhow!("the batch was answered before it was sent"))
    }

    async fn wait_for(&self, email: &str) -> anyhow::Result<()> {
        let newest = DetectionFilter {
            limit: 5,
            ..DetectionFilter::default()
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.app.store.detection_list(&newest).await?;
            if rows.iter().any(|row| row.identifier.as_deref() == Some(email)) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "nothing was found for {email}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.client);
        for task in self.tasks {
            let _ = task.await;
        }
        self.app.store.close().await;
    }
}
