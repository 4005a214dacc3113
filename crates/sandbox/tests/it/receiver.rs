//! A small log receiver: unpacks uploads and stores every line; on request, it refuses first.

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use serde_json::Value;

#[derive(Default)]
struct Kept {
    /// How many uploads are refused before one is taken, and with what.
    refusals: Vec<u16>,
    /// Every n-th upload is kept and refused all the same, as when an answer is lost.
    lose_every: Option<usize>,
    uploads: usize,
    batches: Vec<Vec<String>>,
    headers: Vec<HeaderMap>,
    queries: Vec<String>,
}

pub(crate) struct Receiver {
    port: u16,
    kept: Arc<Mutex<Kept>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let app = Router::new()
            .route("/logs", post(take))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&kept));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, kept, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/logs", self.port)
    }

    pub(crate) fn refuse(&self, statuses: &[u16]) {
        self.kept.lock().unwrap().refusals = statuses.to_vec();
    }

    pub(crate) fn lose_every(&self, every: usize) {
        self.kept.lock().unwrap().lose_every = Some(every);
    }

    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        self.kept.lock().unwrap().batches.clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.batches().into_iter().flatten().collect()
    }

    pub(crate) fn records(&self) -> Vec<Value> {
        self.lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub(crate) fn last_headers(&self) -> HeaderMap {
        self.kept.lock().unwrap().headers.last().unwrap().clone()
    }

    pub(crate) fn last_query(&self) -> String {
        self.kept.lock().unwrap().queries.last().unwrap().clone()
    }
}

async fn take(
    State(kept): State<Arc<Mutex<Kept>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let mut kept = kept.lock().unwrap();
    kept.uploads += 1;
    if !kept.refusals.is_empty() {
        let status = StatusCode::from_u16(kept.refusals.remove(0)).unwrap();
        return (status, "not now");
    }
    assert_eq!(headers["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut text)
        .unwrap();
    kept.batches.push(text.lines().map(str::to_owned).collect());
    kept.headers.push(headers);
    kept.queries.push(uri.query().unwrap_or_default().to_owned());
    if kept
        .lose_every
        .is_some_and(|every| kept.uploads.is_multiple_of(every))
    {
        return (StatusCode::BAD_GATEWAY, "lost");
    }
    (StatusCode::OK, "")
}
