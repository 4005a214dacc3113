//! What happened: the journal in pages, and as a stream.

use super::people;
use crate::auth::Shown;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use crate::paging::{self, Page};
use crate::server::Stopping;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::stream::{self, Stream};
use hub::{App, Permission};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::{JournalRow, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

/// Interval for reading new entries.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Interval for checking the permission of the reader while there are no new entries.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Number of newest entries that are read each time.
const LOOK_AT: i64 = 200;
/// Maximum duration of a stream. The reader then reconnects, which checks the permission again.
const STREAM_LIFE: Duration = Duration::from_secs(15 * 60);
/// Maximum number of simultaneous streams. Chosen: each costs one small query a second.
const STREAMS_MAX: usize = 100;

/// A journal entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalBody {
    /// Sequence number. Later entries have larger numbers, with gaps.
    pub seq: i64,
    /// Time of the entry.
    pub at: DateTime<Utc>,
    /// Kind: `noun.verb`, for example `risk.changed`.
    pub kind: String,
    /// ID of the person concerned.
    pub person_id: Option<String>,
    /// ID of the connection concerned.
    pub connection_id: Option<String>,
    /// ID of the object that changed.
    pub subject_id: Option<String>,
    /// Readable summary.
    pub summary: String,
    /// The same data for programs.
    pub data: Value,
}

impl JournalBody {
    pub(crate) fn new(row: JournalRow) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.seq,
            at: row.at,
            kind: row.kind.to_string(),
            person_id: row.person_id,
            connection_id: row.connection_id,
            subject_id: row.subject_id,
            summary: row.summary,
            data: store::stored("journal", row.seq, "data", &row.data)?,
        })
    }
}

/// Filters for entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JournalQuery {
    /// Only about the person with this email address or ID.
    person: Option<String>,
    /// Only entries with a `seq` smaller than this.
    before: Option<i64>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; replaces `before`.
    cursor: Option<String>,
}

/// The starting point.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Start after this `seq`, limited to the newest 200 entries. If omitted, the stream starts with new entries.
    /// Reconnecting readers send the same value in `Last-Event-ID`.
    after: Option<i64>,
}

/// Lists journal entries, newest first.
#[utoipa::path(get, path = "/journal", tag = "journal", operation_id = "journal_list",
    params(JournalQuery),
    responses((status = 200, description = "A page of entries", body = Page<JournalBody>), Problems))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<JournalQuery>,
) -> Result<Json<Page<JournalBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let before = paging::read_number(query.cursor.as_deref())?.or(query.before);
    let person = people::id_in_query(&app, query.person.as_deref()).await?;
    let rows = app.store.journal_latest(person.as_ref(), before, limit).await?;
    let cursor = |row: &JournalRow| paging::cursor([&row.seq.to_string()]);
    Ok(Json(Page::read(rows, limit, cursor, JournalBody::new)?))
}

/// Streams new journal entries as server-sent events: `id` is the entry's `seq`, `event` its kind, `data` the entry
/// as JSON. A stream ends after 15 minutes, or when its token or session ends. Readers reconnect automatically.
#[utoipa::path(get, path = "/journal/stream", tag = "journal", operation_id = "journal_stream",
    params(StreamQuery),
    responses((status = 200, description = "A stream of entries", body = String,
        content_type = "text/event-stream"), Problems))]
pub async fn stream(
    shown: Shown,
    State(app): State<App>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
    Extension(streams): Extension<Streams>,
    stopping: Option<Extension<Stopping>>,
) -> Result<Response, ApiError> {
    let place = Arc::clone(&streams.0)
        .try_acquire_owned()
        .map_err(|_| ApiError::Unavailable {
            detail: format!("all {STREAMS_MAX} journal streams are in use: close one, or try again later"),
            retry_after_seconds: 30,
        })?;
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let stop = stopping.map(|Extension(Stopping(stop))| stop).unwrap_or_default();
    let newest = app.store.journal_latest(None, None, LOOK_AT).await?;
    let begin = last
        .or(query.after)
        .unwrap_or_else(|| newest.first().map_or(0, |row| row.seq));
    let reader = Reader {
        app,
        shown,
        asked: Instant::now(),
        begin,
        seen: newest
            .iter()
            .map(|row| row.seq)
            .filter(|seq| *seq <= begin)
            .collect(),
        waiting: VecDeque::new(),
        stop,
        until: Instant::now() + STREAM_LIFE,
        _place: place,
    };
    Ok(Sse::new(events(reader))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response())
}

/// Number of streams that can still be opened.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

/// One reader of the stream.
struct Reader {
    app: App,
    shown: Shown,
    /// Time of the last permission check.
    asked: Instant,
    /// Entries up to this one are not sent.
    begin: i64,
    /// Entries already sent: an entry committed late can have a smaller number than one already sent.
    seen: BTreeSet<i64>,
    waiting: VecDeque<JournalRow>,
    stop: CancellationToken,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

fn events(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reader, |mut reader| async move {
        let row = reader.next().await?;
        let event = Event::default().id(row.seq.to_string()).event(row.kind.as_str());
        // An entry that is damaged ends the stream: whoever reads on from it asks again and is told why.
        let body = JournalBody::new(row)
            .inspect_err(|error| tracing::error!("a journal stream ended: {}", hub::causes(error)))
            .ok()?;
        Some((Ok(event.json_data(body).ok()?), reader))
    })
}

impl Reader {
    /// The next entry; `None` when the stream has ended.
    async fn next(&mut self) -> Option<JournalRow> {
        let mut is_new = false;
        while self.waiting.is_empty() {
            match self.app.store.journal_latest(None, None, LOOK_AT).await {
                Ok(rows) => self.take(rows),
                Err(error) => {
                    tracing::warn!("could not read the journal for a stream: {}", hub::causes(&error));
                }
            }
            is_new = !self.waiting.is_empty();
            if !is_new {
                if Instant::now() >= self.until || !self.may_read(ASK_EVERY).await {
                    return None;
                }
                self.stop
                    .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
                    .await?;
            }
        }
        // What waits for a reader that takes its time is not shown either when the right has ended meanwhile.
        let answer_lasts = if is_new { Duration::ZERO } else { LOOK_EVERY };
        if self.stop.is_cancelled() || !self.may_read(answer_lasts).await {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Whether the reader still has the permission. The result is reused for `answer_lasts`, so that a reader costs at
    /// most one check a second.
    async fn may_read(&mut self, answer_lasts: Duration) -> bool {
        if self.asked.elapsed() < answer_lasts {
            return true;
        }
        self.asked = Instant::now();
        match self.shown.still_holds(&self.app, Permission::Read).await {
            Ok(holds) => holds,
            Err(error) => {
                tracing::warn!("closed a journal stream because its token could not be checked: {error:?}");
                false
            }
        }
    }

    fn take(&mut self, newest: Vec<JournalRow>) {
        let floor = newest.last().map_or(0, |row| row.seq);
        for row in newest.into_iter().rev() {
            if row.seq > self.begin && self.seen.insert(row.seq) {
                self.waiting.push_back(row);
            }
        }
        // What has left the newest entries does not come again.
        self.seen = self.seen.split_off(&floor);
    }
}
