//! Records and parts between the archive, which knows no SQL, and the store, which knows no Parquet.

use crate::app::App;
use crate::fault;
use archive::merge;
use archive::write::{self, PartInfo};
use archive::{PartError, Record};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use model::{Clock, ConnectionId, EventId, IdSource};
use std::sync::{Mutex, PoisonError};
use store::{EvidenceRow, PartRow, StoreError};

/// A time in microseconds since 1970. One that no calendar has is 1970.
pub(crate) fn time(at_us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at_us).unwrap_or_default()
}

/// A part of the list as the archive reads it.
pub(crate) fn part_info(row: PartRow) -> PartInfo {
    PartInfo {
        path: row.path,
        dataset: row.dataset,
        records: u64::try_from(row.records).unwrap_or_default(),
        bytes: u64::try_from(row.bytes).unwrap_or_default(),
        sha256: row.sha256,
        first_us: row.first_us,
        last_us: row.last_us,
        first_identifier: row.first_identifier,
        last_identifier: row.last_identifier,
    }
}

/// A part that was written, for the list.
pub(crate) fn part_row(info: PartInfo, now: DateTime<Utc>) -> PartRow {
    PartRow {
        path: info.path,
        dataset: info.dataset,
        records: i64::try_from(info.records).unwrap_or(i64::MAX),
        bytes: i64::try_from(info.bytes).unwrap_or(i64::MAX),
        sha256: info.sha256,
        first_us: info.first_us,
        last_us: info.last_us,
        first_identifier: info.first_identifier,
        last_identifier: info.last_identifier,
        made_at: now,
        dropped_at: None,
        verified_at: now,
        problem: None,
    }
}

/// Encodes records as a part under a name that no other part has, on a thread for work that takes long.
pub(crate) async fn encode(
    dataset: &str,
    path: String,
    records: Vec<Record>,
) -> Result<Option<(PartInfo, Bytes)>, PartError> {
    let dataset = dataset.to_owned();
    let task_path = path.clone();
    tokio::task::spawn_blocking(move || write::part(&dataset, &path, records))
        .await
        .map_err(|_| PartError::Task { path: task_path })?
}

/// A path in `folder` that no other part has.
pub(crate) fn part_path(ids: &dyn IdSource, clock: &dyn Clock, folder: &str) -> String {
    format!("{folder}/part-{}.parquet", ids.new_id(clock.now()))
}

/// Writes the records of `sources` that `keep` accepts as new parts of about `part_bytes` in `folder`, and replaces the
/// sources in the list. Their objects stay. Returns `false` without a change if another process replaced one of the
/// sources first.
///
/// # Errors
///
/// When a source cannot be read, an object cannot be written, or the store refuses. Nothing is changed then.
pub(crate) async fn rewrite(
    app: &App,
    sources: &[PartInfo],
    folder: &str,
    part_bytes: usize,
    keep: impl Fn(&Record) -> bool,
) -> Result<bool, RewriteError> {
    let parts = app.archive.parts();
    let made = Mutex::new(Vec::new());
    let put = |info: PartInfo, content| {
        let made = &made;
        async move {
            parts.put(&info, content).await?;
            made.lock().unwrap_or_else(PoisonError::into_inner).push(info);
            Ok(())
        }
    };
    let name = |_| part_path(&*app.ids, &*app.clock, folder);
    let merged = merge::run(parts, sources, part_bytes, keep, name, put).await;
    fault::point("rewrite.written");
    let now = app.clock.now();
    let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rows: Vec<PartRow> = made.into_iter().map(|info| part_row(info, now)).collect();
    let is_replaced = match &merged {
        Ok(_) => {
            let old: Vec<&str> = sources.iter().map(|part| part.path.as_str()).collect();
            app.store.part_replace(&old, &rows, now).await?
        }
        Err(_) => false,
    };
    if !is_replaced {
        for row in &rows {
            parts.remove(&row.path).await?;
        }
    }
    match merged {
        Err(error) if self::is_replaced(app, &error).await? => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(is_replaced),
    }
}

/// Why parts cannot be written anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// The archive.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Deletes the objects of parts that were replaced or removed until a time.
pub(crate) async fn delete_dropped(app: &App, until: DateTime<Utc>) -> Result<(), RewriteError> {
    loop {
        let dropped = app.store.part_dropped(until).await?;
        if dropped.is_empty() {
            return Ok(());
        }
        for part in dropped {
            app.archive.parts().remove(&part.path).await?;
            fault::point("rewrite.deleted");
            app.store.part_forget(&part.path).await?;
        }
    }
}

/// Times that a question is asked again because parts were replaced while it was answered.
pub(crate) const TRIES: usize = 5;

/// Whether a part could not be read because another process has replaced or removed it since it was listed: then the list
/// is to be read again. A purge removes the objects at once.
pub(crate) async fn is_replaced(app: &App, error: &PartError) -> Result<bool, StoreError> {
    match error.path().filter(|_| error.is_missing()) {
        Some(path) => Ok(!app.store.part_is_listed(path).await?),
        None => Ok(false),
    }
}

/// A record as evidence.
pub(crate) fn evidence(dataset: &str, record: &Record) -> EvidenceRow {
    EvidenceRow {
        id: EventId(record.id.to_string()),
        connection_id: ConnectionId(record.connection.clone()),
        dataset: dataset.to_owned(),
        at: time(record.at_us),
        identifier: record.identifier.clone(),
        is_person: record.is_person,
        action: record.action.clone(),
        target: record.target.clone(),
        source_ip: record.source_ip.clone(),
        country: record.country.clone(),
        batch_id: record.batch.clone(),
        raw: record.raw.clone(),
    }
}
