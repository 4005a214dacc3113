//! Moves the records that earlier versions stored as rows into the archive, when the store is opened for the first time by
//! this version.
//!
//! Reads and deletes `event_before`; writes parts. Killed anywhere, the next process goes on: rows are deleted in the
//! transaction that lists their parts. Nothing else runs before the end, so that no answer has a gap. Start reading at
//! [`run`].

use crate::app::App;
use crate::fault;
use crate::ingest::part_writer::PartWriter;
use crate::lease::Lease;
use crate::progress::Progress;
use archive::{PartError, Record, RecordId};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::{EvidenceRow, PartRow, StoreError};

/// Rows that are moved in one transaction. Chosen: some 20 MB.
const STEP: i64 = 20_000;
const LEASE: &str = "carry-over";
const LEASE_LENGTH: TimeDelta = TimeDelta::seconds(6);
/// How often it is asked whether another process is done.
const POLL: Duration = Duration::from_millis(500);

/// Why records could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum CarryOverError {
    /// The archive.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves all such records. Waits for another process that does it.
///
/// # Errors
///
/// When the store or the archive refuses; the next process goes on.
pub(crate) async fn run(app: &App, show: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), CarryOverError> {
    while let Some(left) = app.store.earlier_events().await? {
        if left == 0 {
            app.store.earlier_events_end().await?;
            return Ok(());
        }
        let Some(held) = Lease::take(app, LEASE, &app.holder, LEASE_LENGTH).await? else {
            show(progress(0, left));
            tokio::time::sleep(POLL).await;
            continue;
        };
        let moved = held.keep(Box::pin(all(app, left, show))).await;
        held.release().await;
        moved.transpose()?;
    }
    Ok(())
}

fn progress(done: i64, total: i64) -> Progress {
    Progress {
        what: "moving stored records into the archive".to_owned(),
        done: u64::try_from(done).unwrap_or_default(),
        total: u64::try_from(total).ok(),
    }
}

async fn all(app: &App, total: i64, show: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), CarryOverError> {
    let mut done = 0;
    tracing::info!("moving {total} stored records into the archive");
    loop {
        show(progress(done, total));
        let rows = app.store.earlier_events_next(STEP).await?;
        if rows.is_empty() {
            break;
        }
        let ids: Vec<String> = rows.iter().map(|row| row.id.0.clone()).collect();
        let mut parts: Vec<PartRow> = Vec::new();
        for of_dataset in rows.chunk_by(|one, next| one.dataset == next.dataset) {
            let mut writer = PartWriter::new(app, &of_dataset[0].dataset);
            writer.add(of_dataset.iter().map(record)).await?;
            parts.extend(writer.finish().await?);
        }
        fault::point("carry_over.written");
        app.store.earlier_events_moved(&ids, &parts).await?;
        done += i64::try_from(ids.len()).unwrap_or_default();
    }
    app.store.earlier_events_end().await?;
    app.store.shrink().await?;
    tracing::info!("moved {done} stored records into the archive");
    Ok(())
}

fn record(row: &EvidenceRow) -> Record {
    Record {
        id: row.id.0.parse().unwrap_or_else(|_| digest(&row.id.0)),
        at_us: row.at.timestamp_micros(),
        identifier: row.identifier.clone(),
        is_person: row.is_person,
        action: row.action.clone(),
        target: row.target.clone(),
        source_ip: row.source_ip.clone(),
        country: row.country.clone(),
        connection: row.connection_id.0.clone(),
        batch: row.batch_id.clone(),
        line: 0,
        is_repaired: false,
        raw: row.raw.clone(),
    }
}

/// An ID for one that is no digest: no version has written such, but nothing is left out.
fn digest(id: &str) -> RecordId {
    let digest = Sha256::digest(id.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    RecordId(bytes)
}
