//! What the tests stand on: one hub per engine, a sandbox beside it, and a small server in place of the `web`
//! crate, so that logs can be pushed to the hub and receivers can fetch its keys.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use cloudflare::Credential;
use futures::{FutureExt, StreamExt, TryStreamExt};
use hub::connect::{ConnectRequest, Connected};
use hub::ingest::{IngestError, Received};
use hub::settings::Settings;
use hub::{Actor, App};
use model::{SeededIds, StoppedClock};
use sandbox::{Sandbox, SandboxConfig};
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use store::ConnectionRow;
use store::scratch::Scratch;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The instant at which every sandbox and every hub begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// The account with the story, at the instant above.
pub(crate) fn story() -> SandboxConfig {
    SandboxConfig {
        now: Some(start()),
        ..SandboxConfig::default()
    }
}

/// An account without a story, of these sizes.
pub(crate) fn sized(members: usize, access_users: usize, groups: usize) -> SandboxConfig {
    SandboxConfig {
        members,
        access_users,
        groups,
        story: false,
        ..story()
    }
}

/// Collects what is written, for whoever holds another clone.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a case on every engine at once.
#[expect(clippy::print_stderr, reason = "a failed test must say on which engine")]
pub(crate) async fn each(case: impl AsyncFn(Scratch)) {
    let stores = store::scratch::stores().await.unwrap();
    let runs = stores.into_iter().map(|scratch| {
        let engine = scratch.store.engine_name();
        let run = AssertUnwindSafe(case(scratch)).catch_unwind();
        async move { run.await.map_err(|panic| (engine, panic)) }
    });
    for result in futures::future::join_all(runs).await {
        if let Err((engine, panic)) = result {
            eprintln!("failed on {engine}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A hub with its clock and files. The store outlives it in `scratch`.
pub(crate) struct Hub {
    pub(crate) app: App,
    pub(crate) clock: Arc<StoppedClock>,
    pub(crate) folder: TempDir,
    pub(crate) scratch: Scratch,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Hub {
    pub(crate) async fn start(scratch: Scratch) -> Hub {
        Self::start_with(scratch, |_| {}).await
    }

    pub(crate) async fn start_with(scratch: Scratch, change: impl FnOnce(&mut Settings)) -> Hub {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(scratch, folder, change).await
    }

    pub(crate) async fn start_in(
        scratch: Scratch,
        folder: TempDir,
        change: impl FnOnce(&mut Settings),
    ) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        settings.store.url.clone_from(&scratch.address);
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
        settings.server.public_url = format!("http://{}", listener.local_addr().unwrap());
        change(&mut settings);
        let clock = Arc::new(StoppedClock::at(start()));
        let app = open(settings, &clock, 1).await;
        let server = tokio::spawn(serve(listener, app.clone()));
        Hub {
            app,
            clock,
            folder,
            scratch,
            server,
        }
    }

    /// The same store and files in a second process.
    pub(crate) async fn again(&self) -> App {
        open((*self.app.settings).clone(), &self.clock, 2).await
    }

    pub(crate) async fn connect(&self, sandbox: &Sandbox) -> Connected {
        let info = sandbox.info();
        let request = ConnectRequest {
            label: "tidewater".to_owned(),
            account: Some(info.account_id.clone()),
            credential: Credential::token(&info.token),
            base_url: Some(info.base_url.clone()),
        };
        hub::connect::connect(&self.app, &request, &Actor::CommandLine)
            .await
            .unwrap()
    }

    pub(crate) async fn connection(&self) -> ConnectionRow {
        let row = self.app.store.connection_by_label("tidewater").await.unwrap();
        row.unwrap()
    }

    /// Syncs the connection, a second after whatever was before.
    pub(crate) async fn sync(&self) -> hub::sync::Report {
        self.clock.advance(TimeDelta::seconds(1));
        hub::sync::connection(&self.app, &self.connection().await, Default::default(), &|_| {})
            .await
            .unwrap()
    }

    /// Runs every stage until nothing is left to do, letting time pass for what waits to be tried again.
    pub(crate) async fn settle(&self) {
        for _ in 0..500 {
            hub::driver::pass(&self.app).await.unwrap();
            if hub::driver::is_quiet(&self.app).await.unwrap() {
                return;
            }
            self.clock.advance(TimeDelta::seconds(1));
            // On PostgreSQL the journal waits for transactions of other tests.
            tokio::task::yield_now().await;
        }
        panic!("there is always something left to do");
    }

    /// Takes a body in as a log batch.
    pub(crate) async fn receive(
        &self,
        dataset: &str,
        body: impl Into<bytes::Bytes>,
    ) -> Result<Received, IngestError> {
        receive(
            &self.app,
            &self.connection().await,
            dataset,
            body.into(),
            usize::MAX,
        )
        .await
    }

    /// Takes records in and runs the pipeline over them.
    pub(crate) async fn happen(&self, dataset: &str, records: &[serde_json::Value]) {
        let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
        let received = self.receive(dataset, lines.join("\n")).await.unwrap();
        assert!(matches!(received, Received::Stored(_)), "{received:?}");
        self.pipeline().await;
    }

    /// Runs the pipeline until it has nothing to do.
    pub(crate) async fn pipeline(&self) {
        for _ in 0..500 {
            hub::driver::pipeline(&self.app).await.unwrap();
            let store = &self.app.store;
            let mut waits = store.batch_counts(None).await.unwrap().pending > 0;
            for consumer in [hub::risk::CONSUMER, hub::coaching::decide::CONSUMER] {
                let position = store.consumer_position(consumer).await.unwrap();
                waits |= store.journal_has_after(position, "detection.%").await.unwrap();
            }
            if !waits {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the pipeline never ends");
    }

    /// The level of a person.
    pub(crate) async fn level(&self, email: &str) -> String {
        let person = self.app.store.person_by_email(email).await.unwrap().unwrap();
        person.risk_level.to_string()
    }
}

/// Takes a body in, in pieces of at most `piece` bytes.
pub(crate) async fn receive(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    body: bytes::Bytes,
    piece: usize,
) -> Result<Received, IngestError> {
    let pieces: Vec<_> = body
        .chunks(piece.min(body.len().max(1)))
        .map(|part| Ok(bytes::Bytes::copy_from_slice(part)))
        .collect();
    hub::ingest::receive(
        app,
        connection,
        dataset,
        "logpush",
        futures::stream::iter(pieces).boxed(),
    )
    .await
}

async fn open(settings: Settings, clock: &Arc<StoppedClock>, seed: u64) -> App {
    App::open_with(settings, Arc::clone(clock) as _, Arc::new(SeededIds::new(seed)))
        .await
        .unwrap()
}

/// Serves a router for as long as the test runs; answers its base address.
pub(crate) async fn stand_in(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn serve(listener: TcpListener, app: App) {
    let router = Router::new()
        .route("/ingest/{connection}/{dataset}", post(ingest))
        .route("/.well-known/sse-configuration/{id}", get(well_known))
        .route("/jwks.json", get(jwks))
        .with_state(app);
    axum::serve(listener, router).await.unwrap();
}

async fn ingest(
    State(app): State<App>,
    Path((label, dataset)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let connection = app.store.connection_by_label(&label).await.unwrap();
    let secret = headers
        .get("x-flareward-secret")
        .and_then(|value| value.to_str().ok());
    let connection = connection
        .filter(|row| secret.is_some_and(|secret| hub::secret::digest(secret) == row.ingest_secret_hash));
    let Some(connection) = connection else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let body = body.into_data_stream().map_err(std::io::Error::other);
    match hub::ingest::receive(&app, &connection, &dataset, "logpush", body).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn well_known(State(app): State<App>, Path(id): Path<String>) -> Json<signals::TransmitterMetadata> {
    let jwks = format!("{}/jwks.json", app.public_url());
    Json(signals::TransmitterMetadata::new(&hub::transmit::issuer(&app, &id), &jwks).unwrap())
}

async fn jwks(State(app): State<App>) -> Json<signals::Jwks> {
    Json(hub::transmit::keys::jwks(&app).await.unwrap())
}

/// Everything that is stored, as far as it can be listed, and on SQLite every byte of the file: for looking
/// whether a secret is in it.
pub(crate) async fn everything_stored(hub: &Hub) -> String {
    let store = &hub.app.store;
    let mut text = format!(
        "{:?}{:?}{:?}{:?}",
        store.journal_latest(None, None, 1_000).await.unwrap(),
        store.audit_list(None, 1_000).await.unwrap(),
        store.sync_run_list(None, 1_000).await.unwrap(),
        store.campaign_list().await.unwrap(),
    );
    for connection in store.connection_list().await.unwrap() {
        text.push_str(&format!("{connection:?}"));
        text.push_str(&format!("{:?}", store.probe_list(&connection.id).await.unwrap()));
        text.push_str(&format!(
            "{:?}",
            store.listing_list(&connection.id).await.unwrap()
        ));
    }
    if let Some(file) = hub.scratch.address.strip_prefix("sqlite://") {
        for ending in ["", "-wal"] {
            let bytes = std::fs::read(format!("{file}{ending}")).unwrap_or_default();
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}
