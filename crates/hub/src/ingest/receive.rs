//! Takes one batch into the archive.
//!
//! The body streams through: it is unpacked to be checked, counted and recognised, and goes to the archive as
//! gzip. Memory does not grow with the batch. Nothing of a refused body remains.

use super::places::{Place, Places};
use crate::app::App;
use crate::archive::{ArchiveError, ArchiveWriter, batch_path, begin_id};
use crate::fault;
use crate::wake::Written;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use futures::Stream;
use model::BatchState;
use rules::dataset::Dataset;
use rules::form::{CHALLENGE_BYTES, is_challenge};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::Range;
use std::time::Duration;
use store::{ConnectionRow, NewBatch, RejectRow, StoreError};

/// Below this size a high ratio of expansion is nothing to fear.
const EXPANSION_FREE_BYTES: u64 = 16 << 20;
/// A test upload is a single short line.
const TEST_UPLOAD_BYTES: usize = 64;
/// The first bytes of every gzip member (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Said of a body whose gzip is followed by something else.
const GARBAGE: &str =
    "data after the last gzip member is not gzip and was skipped; the records before it are kept";

/// What became of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Durable in the archive under this id.
    Stored(String),
    /// The same content was there already.
    Duplicate(String),
    /// Cloudflare's test of the destination: nothing is kept.
    Test,
    /// There was nothing in it.
    Empty,
}

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Nobody knows the dataset.
    #[error("unknown dataset \"{name}\"; available: {}", Dataset::names())]
    Dataset {
        /// What was asked for.
        name: String,
    },
    /// The gzip stream is damaged or cut off.
    #[error("the gzip body is damaged or incomplete: {0}")]
    Gzip(String),
    /// The body is larger than the setting allows.
    #[error("the batch is larger than {limit_bytes} bytes uncompressed (ingest.batch_limit_bytes)")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The body expands like a bomb.
    #[error("the batch expands more than {limit} times (ingest.expansion_limit)")]
    Bomb {
        /// The limit.
        limit: u64,
    },
    /// The sender went away.
    #[error("the request body ended early")]
    Body(#[source] std::io::Error),
    /// The body came too slowly.
    #[error("{0}; send this batch again")]
    Slow(String),
    /// Too many batches at once.
    #[error("too many batches are being received; send this batch again later")]
    Busy,
    /// The archive cannot be written, for example because the disk is full.
    #[error("cannot write to the archive; send this batch again later")]
    Archive(#[from] ArchiveError),
    /// The store.
    #[error("cannot write to the database; send this batch again later")]
    Store(#[from] StoreError),
}

/// Takes a body in. When this answers, the batch is durable.
///
/// # Errors
///
/// See [`IngestError`]; nothing is kept then and the sender must send again.
pub async fn receive(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    source: &'static str,
    body: impl Stream<Item = std::io::Result<Bytes>> + Unpin + Send,
) -> Result<Received, IngestError> {
    let dataset = Dataset::named(dataset).ok_or_else(|| IngestError::Dataset {
        name: dataset.to_owned(),
    })?;
    let place = app
        .slots
        .of(|| Places::new(app.settings.ingest.concurrent_batches))
        .take(&connection.id)
        .await?;
    let limit_seconds = app.settings.ingest.receive_limit_seconds;
    let too_slow = |_| {
        IngestError::Slow(format!(
            "the batch took longer than {limit_seconds} seconds to receive (ingest.receive_limit_seconds)"
        ))
    };
    let limit = Duration::from_secs(limit_seconds);
    let received_at = app.clock.now();
    let mut writer = app.archive.begin(&app.ids.new_id(received_at)).await?;
    let copying = copy(app, connection, dataset, &place, body, &mut writer);
    let copied = tokio::time::timeout(limit, copying).await;
    let content = match copied.map_err(too_slow).and_then(|content| content) {
        Ok(content) => content,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    if content.is_no_log() || content.bytes == 0 {
        writer.abort().await;
        return Ok(if content.bytes == 0 {
            Received::Empty
        } else {
            Received::Test
        });
    }
    // From here on what is cut off is whole: the sweep finds it after twice the limit.
    tokio::time::timeout(
        limit,
        keep(app, connection, dataset, source, received_at, content, writer),
    )
    .await
    .map_err(too_slow)?
}

/// Puts a whole object where it belongs, and writes it down.
async fn keep(
    app: &App,
    connection: &ConnectionRow,
    dataset: &Dataset,
    source: &'static str,
    received_at: DateTime<Utc>,
    content: Content,
    writer: ArchiveWriter,
) -> Result<Received, IngestError> {
    let id = hex::encode(content.digest.clone().finalize());
    // The same content must not lie in the archive twice: other tools read it as it lies.
    let known = app.store.batch_get(&id).await;
    let path = match known {
        Ok(Some(known)) if known.state != BatchState::Failed => {
            writer.abort().await;
            known.path
        }
        Ok(_) => {
            let path = batch_path(dataset.name, received_at, &connection.id, &id, source);
            writer.finish(&path).await?;
            fault::point("receive.archived");
            path
        }
        Err(error) => {
            writer.abort().await;
            return Err(error.into());
        }
    };
    let batch = NewBatch {
        id: id.clone(),
        connection_id: connection.id.clone(),
        dataset: dataset.name.to_owned(),
        source,
        path,
        bytes: i64::try_from(content.bytes).unwrap_or(i64::MAX),
        received_at,
    };
    // At a line that no record has.
    let about = content.tail.map(|reason| RejectRow {
        batch_id: id.clone(),
        reason: reason.to_owned(),
        connection_id: connection.id.clone(),
        dataset: dataset.name.to_owned(),
        count: 1,
        first_line: 0,
        rejected_at: received_at,
        samples: Vec::new(),
    });
    let is_new = app.store.batch_archive(&batch, about.as_slice()).await?;
    if is_new {
        app.wake.call(Written::Batches);
        Ok(Received::Stored(id))
    } else {
        Ok(Received::Duplicate(id))
    }
}

/// What passes through on the way to the archive is counted and recognised here.
struct Content {
    digest: Sha256,
    bytes: u64,
    start: Vec<u8>,
    limit_bytes: u64,
    is_over: bool,
    /// What is to be said of bytes behind the last gzip member.
    tail: Option<&'static str>,
}

impl Content {
    /// Whether this is no log: a test upload, or what Cloudflare asks the owner of a bucket to read back.
    fn is_no_log(&self) -> bool {
        (self.bytes <= CHALLENGE_BYTES as u64 && is_challenge(&self.start)) || self.is_test()
    }

    fn is_test(&self) -> bool {
        if self.bytes > TEST_UPLOAD_BYTES as u64 {
            return false;
        }
        let text = String::from_utf8_lossy(&self.start);
        let words = match serde_json::from_str::<serde_json::Value>(text.trim()) {
            Ok(value) => value
                .get("content")
                .and_then(|content| content.as_str())
                .map(str::to_owned),
            Err(_) => Some(text.trim().to_owned()),
        };
        words.is_some_and(|words| words == "test" || words == "tests")
    }
}

impl Write for Content {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.bytes += part.len() as u64;
        if self.bytes > self.limit_bytes {
            self.is_over = true;
            return Err(std::io::Error::other("over the limit"));
        }
        self.digest.update(part);
        let room = CHALLENGE_BYTES.saturating_sub(self.start.len());
        self.start.extend_from_slice(&part[..part.len().min(room)]);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn copy(
    app: &App,
    connection: &ConnectionRow,
    dataset: &Dataset,
    place: &Place,
    mut body: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
    writer: &mut ArchiveWriter,
) -> Result<Content, IngestError> {
    let limits = &app.settings.ingest;
    let digest = begin_id(&connection.id, dataset.name);
    let content = Content {
        digest,
        bytes: 0,
        start: Vec::new(),
        limit_bytes: limits.batch_limit_bytes,
        is_over: false,
        tail: None,
    };
    let mut lead = Vec::new();
    while lead.len() < GZIP_MAGIC.len() {
        match place.next(&mut body).await? {
            Some(part) => lead.extend_from_slice(&part),
            None => break,
        }
    }
    let mut next = Some(Bytes::from(lead));
    if next.as_deref().is_some_and(|lead| lead.starts_with(&GZIP_MAGIC)) {
        let mut members = Members::new(content);
        let mut compressed = 0_u64;
        while let Some(part) = next.take() {
            compressed += part.len() as u64;
            // Small pieces, so that a bomb is noticed before it has grown.
            for piece in part.chunks(4096) {
                let used = members.write(piece)?;
                let expanded = members.content().bytes;
                if expanded > EXPANSION_FREE_BYTES && expanded / compressed.max(1) > limits.expansion_limit {
                    return Err(IngestError::Bomb {
                        limit: limits.expansion_limit,
                    });
                }
                // What stands behind the last member is not archived: other tools would stumble over it.
                for kept in used {
                    writer.write(&piece[kept]).await?;
                }
            }
            next = place.next(&mut body).await?;
        }
        return members.finish();
    }
    let mut content = content;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    while let Some(part) = next.take() {
        content.write_all(&part).map_err(|_| IngestError::TooLarge {
            limit_bytes: limits.batch_limit_bytes,
        })?;
        encoder.write_all(&part).map_err(IngestError::Body)?;
        writer.write(&std::mem::take(encoder.get_mut())).await?;
        next = place.next(&mut body).await?;
    }
    writer
        .write(&encoder.finish().map_err(IngestError::Body)?)
        .await?;
    Ok(content)
}

/// The gzip members of a body, one behind the other.
enum Members {
    Inside(Box<GzDecoder<Content>>),
    /// A member is over; what follows may be another, zeros that fill a block up, or garbage.
    Between(Content),
    Garbage(Content),
    /// While one becomes another.
    Taken,
}

impl Members {
    fn new(content: Content) -> Self {
        Self::Inside(Box::new(GzDecoder::new(content)))
    }

    fn content(&self) -> &Content {
        match self {
            Self::Inside(decoder) => decoder.get_ref(),
            Self::Between(content) | Self::Garbage(content) => content,
            Self::Taken => unreachable!("no call reads the content during a state change"),
        }
    }

    /// Unpacks a piece. Answers which parts of it belong to members.
    fn write(&mut self, piece: &[u8]) -> Result<Vec<Range<usize>>, IngestError> {
        let mut at = 0;
        let mut used = Vec::new();
        while at < piece.len() {
            match std::mem::replace(self, Self::Taken) {
                Self::Inside(mut decoder) => {
                    let count = decoder
                        .write(&piece[at..])
                        .map_err(|error| unpacking(decoder.get_ref(), &error))?;
                    if count == 0 {
                        let content = decoder
                            .finish()
                            .map_err(|error| IngestError::Gzip(error.to_string()))?;
                        *self = Self::Between(content);
                    } else {
                        used.push(at..at + count);
                        at += count;
                        *self = Self::Inside(decoder);
                    }
                }
                Self::Between(content) if piece[at..].starts_with(&GZIP_MAGIC) => {
                    *self = Self::new(content);
                }
                Self::Between(content) if piece[at] == 0 => {
                    at += 1;
                    *self = Self::Between(content);
                }
                Self::Between(content) if piece[at..] == GZIP_MAGIC[..1] => {
                    // The second byte of a beginning is in the next piece; a decoder tells what it is.
                    *self = Self::new(content);
                }
                Self::Between(mut content) | Self::Garbage(mut content) => {
                    content.tail = Some(GARBAGE);
                    at = piece.len();
                    *self = Self::Garbage(content);
                }
                Self::Taken => unreachable!("a state is always put back"),
            }
        }
        Ok(used)
    }

    fn finish(self) -> Result<Content, IngestError> {
        match self {
            Self::Inside(mut decoder) => {
                decoder
                    .try_finish()
                    .map_err(|error| unpacking(decoder.get_ref(), &error))?;
                decoder
                    .finish()
                    .map_err(|error| IngestError::Gzip(error.to_string()))
            }
            Self::Between(content) | Self::Garbage(content) => Ok(content),
            Self::Taken => unreachable!("a state is always put back"),
        }
    }
}

fn unpacking(content: &Content, error: &std::io::Error) -> IngestError {
    if content.is_over {
        IngestError::TooLarge {
            limit_bytes: content.limit_bytes,
        }
    } else {
        IngestError::Gzip(error.to_string())
    }
}
