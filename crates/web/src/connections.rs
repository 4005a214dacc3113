//! Taking connections: one router for all of them, and bounds on how many there are and how long they may wait.
//!
//! A connection that waits, for its first request or for a further one, may do so for [`WAIT`]. When all places are
//! taken, the one that has waited the longest is closed for the next. The last places are for health and for requests
//! that carry a credential: whoever floods the server with connections keeps neither out. HTTP/1.1 alone is offered.
//! Start reading at [`serve`].

use crate::error::ApiError;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long a connection may take to send the head of a request. Chosen: longer than the ten seconds that Logpush keeps
/// a connection open, and short enough that a flood of idle connections does no harm.
const WAIT: Duration = Duration::from_secs(20);
/// The largest head of a request, and what one connection buffers at most, in bytes.
const BUFFER_BYTES: usize = 32 << 10;
/// File descriptors reserved for the database, the archive and outgoing requests.
const DESCRIPTORS_KEPT: u64 = 256;
/// One slot in this many is reserved for health checks and requests with a credential.
const KEPT_SHARE: usize = 8;
/// How long a new connection waits for a slot before it is closed.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// The pause after a lasting error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves every connection until `stop`: then idle ones are closed and requests in flight are finished.
pub(crate) async fn serve(router: Router, listener: TcpListener, most: usize, stop: CancellationToken) {
    let open = TaskTracker::new();
    let places = Arc::new(Semaphore::new(most));
    let waiting = Waiting::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("could not accept a connection: {error}");
                if is_lasting(&error) {
                    waiting.close_longest();
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let Some(place) = place(&places, &waiting).await else {
            metrics::counter!("flareward_connections_refused_total").increment(1);
            continue;
        };
        let is_kept = places.available_permits() < most / KEPT_SHARE;
        let one = Connection {
            router: router.clone(),
            waiting: waiting.clone(),
            stop: stop.clone(),
            is_kept,
        };
        open.spawn(one.serve(stream, place));
    }
    open.close();
    open.wait().await;
}

/// A slot for a new connection. If none is free, the longest idle connection is closed.
async fn place(places: &Arc<Semaphore>, waiting: &Waiting) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    waiting.close_longest();
    let place = tokio::time::timeout(PLACE_WITHIN, Arc::clone(places).acquire_owned()).await;
    place.ok()?.ok()
}

/// Maximum number of connections: the setting, limited by the file descriptors of this process.
pub(crate) fn most(set: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let descriptors = limit.current.unwrap_or(u64::MAX);
    let free = descriptors.saturating_sub(DESCRIPTORS_KEPT).max(descriptors / 2);
    let free = usize::try_from(free).unwrap_or(usize::MAX).max(16);
    if set == 0 { free.min(16_384) } else { set.min(free) }
}

/// Whether an error of the listener persists until a resource is released.
fn is_lasting(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    !matches!(
        error.kind(),
        ConnectionRefused | ConnectionAborted | ConnectionReset
    )
}

/// One connection.
struct Connection {
    router: Router,
    waiting: Waiting,
    stop: CancellationToken,
    /// Whether it uses a slot reserved for health checks and requests with a credential.
    is_kept: bool,
}

impl Connection {
    async fn serve(self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let Connection {
            router,
            waiting,
            stop,
            is_kept,
        } = self;
        // Small answers are not held back to be joined with later ones.
        let _ = stream.set_nodelay(true);
        let turn = Turn::begin(waiting);
        let closed = turn.closed();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let busy = turn.busy();
            let router = router.clone();
            let request = request.map(Body::new);
            async move {
                let mut response = if is_kept && !may_use_kept(&request) {
                    crowded()
                } else {
                    match router.oneshot(request).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    }
                };
                if is_kept {
                    // The place is for the next who needs it.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| Watched { body, _busy: busy }))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(WAIT)
            .max_buf_size(BUFFER_BYTES);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut is_ending = false;
        loop {
            tokio::select! {
                // What goes wrong with one connection concerns nobody else: most often the other side has gone.
                _ = connection.as_mut() => break,
                () = closed.cancelled() => break,
                () = stop.cancelled(), if !is_ending => {
                    is_ending = true;
                    if turn.is_waiting() {
                        break;
                    }
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        drop(place);
    }
}

/// Whether a request may use a reserved slot.
fn may_use_kept(request: &Request) -> bool {
    let headers = request.headers();
    request.uri().path().starts_with("/health")
        || [header::AUTHORIZATION, header::COOKIE]
            .iter()
            .any(|name| headers.contains_key(name))
        || headers.contains_key(crate::ingest::SECRET_HEADER)
}

fn crowded() -> Response {
    ApiError::Unavailable {
        detail: "too many open connections".to_owned(),
        retry_after_seconds: 5,
    }
    .into_response()
}

/// Idle connections, longest idle first.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    next: u64,
    by_turn: BTreeMap<u64, CancellationToken>,
}

impl Waiting {
    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, closed: &CancellationToken) -> u64 {
        let mut line = self.line();
        line.next += 1;
        let turn = line.next;
        line.by_turn.insert(turn, closed.clone());
        turn
    }

    fn leave(&self, turn: u64) {
        self.line().by_turn.remove(&turn);
    }

    fn close_longest(&self) {
        let longest = self.line().by_turn.pop_first();
        if let Some((_, closed)) = longest {
            metrics::counter!("flareward_connections_closed_for_room_total").increment(1);
            closed.cancel();
        }
    }
}

/// State of a connection: idle or handling a request.
#[derive(Clone)]
struct Turn {
    waiting: Waiting,
    closed: CancellationToken,
    place: Arc<Mutex<Option<u64>>>,
}

impl Turn {
    fn begin(waiting: Waiting) -> Self {
        let closed = CancellationToken::new();
        let place = waiting.enter(&closed);
        Self {
            waiting,
            closed,
            place: Arc::new(Mutex::new(Some(place))),
        }
    }

    fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_waiting(&self) -> bool {
        self.place().is_some()
    }

    /// Marks the connection as busy until the response to this request has ended.
    fn busy(&self) -> Busy {
        if let Some(place) = self.place().take() {
            self.waiting.leave(place);
        }
        Busy(self.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The last of its kind: the connection has ended.
        if Arc::strong_count(&self.place) == 1
            && let Some(place) = self.place().take()
        {
            self.waiting.leave(place);
        }
    }
}

/// A request being handled.
struct Busy(Turn);

impl Drop for Busy {
    fn drop(&mut self) {
        let place = self.0.waiting.enter(&self.0.closed);
        *self.0.place() = Some(place);
    }
}

/// A response that keeps its connection busy until it has ended.
struct Watched {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
