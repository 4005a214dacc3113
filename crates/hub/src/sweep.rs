//! Finds what lies in the archive and the database does not know: what a receive that was cut off has left.
//!
//! A part that is in no list is adopted: its records may be elsewhere too, and repeats fall away when parts are merged.
//! A batch that is whole is adopted: written down as it would have been, and processed like any other. What was left
//! half-written, what is damaged and what the database knows at another place is removed; nobody was told that it is
//! kept. Never touches what may still be received, what the database knows, and what is not of ours. A batch of a
//! connection or a dataset that is not known (a database of before was restored) stays, and is told of.
//!
//! Reads the archive page by page, and `batch`; writes `batch`, the audit log and the journal. Safe to repeat. Start
//! reading at [`run`].

use crate::app::App;
use crate::archive::{Archive, ArchiveError, Lying, Place, begin_id};
use crate::audit;
use crate::fault;
use crate::permission::Actor;
use crate::record;
use crate::wake::Written;
use async_compression::tokio::bufread::GzipDecoder;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use model::{AuditAction, AuditOutcome, ConnectionId, JournalKind};
use rules::Dataset;
use serde_json::json;
use sha2::Digest;
use std::collections::{HashMap, HashSet};
use store::{JournalEntry, NewBatch, StoreError};
use tokio::io::{AsyncReadExt, BufReader};
use tokio_util::io::StreamReader;

/// Objects that are compared with the database at once.
const PAGE: usize = 1_000;
/// Paths that the audit log gets of each page.
const TOLD: usize = 20;

/// Why could not compare the archive with the database.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The archive.
    #[error("could not compare the archive with the database")]
    Archive(#[from] ArchiveError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches and parts that are written down now.
    pub adopted: usize,
    /// Objects and files that are gone now.
    pub removed: usize,
    /// What may still be received: too young to be judged.
    pub young: usize,
    /// When all of that is old enough.
    pub judged_at: Option<DateTime<Utc>>,
    /// Batches of connections or datasets that are not known, which stay.
    pub foreign: usize,
}

/// Compares everything in the archive with the database. Of what is too young to be judged, only what was written to
/// before `as_of` is told of: what came later is no matter of who asks.
///
/// # Errors
///
/// When the archive or the store refuses; the next run goes on.
pub async fn run(app: &App, as_of: DateTime<Utc>) -> Result<Report, SweepError> {
    let mut report = Report::default();
    let age = age(app);
    let mut unknown = Unknown::begin(app).await?;
    while let Some(page) = unknown.next().await? {
        let now = app.clock.now();
        let mut cut_off = Vec::new();
        for one in page {
            let judged_at = one.lying.changed_at + age;
            if one.why == Why::Foreign {
                report.foreign += 1;
            } else if judged_at > now {
                if one.lying.changed_at <= as_of {
                    report.young += 1;
                    report.judged_at = report.judged_at.max(Some(judged_at));
                }
            } else {
                cut_off.push(one);
            }
        }
        settle(app, cut_off, &mut report).await?;
    }
    if report.foreign > 0 {
        tracing::warn!(
            "{} batches in the archive belong to connections or datasets that are not in this database; \
                 they are kept: restore the matching database, or move the batches away",
            report.foreign
        );
    }
    if report.adopted + report.removed > 0 {
        let summary = format!(
            "adopted {} batches and removed {} objects that interrupted deliveries left in the archive",
            report.adopted, report.removed
        );
        tracing::info!("{summary}");
        let entry = JournalEntry {
            at: app.clock.now(),
            kind: JournalKind::ArchiveSwept,
            person_id: None,
            connection_id: None,
            subject_id: None,
            summary,
            data: json!({ "adopted": report.adopted, "removed": report.removed }),
        };
        app.store.journal_append(&entry).await?;
        app.wake.call(Written::Batches);
    }
    Ok(report)
}

/// Nothing that was written to within this time is touched: a receive writes for at most its limit, and has as long
/// again to write down what it has written.
fn age(app: &App) -> TimeDelta {
    let seconds = app.settings.ingest.receive_limit_seconds.saturating_mul(2);
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000).min(31_536_000))
}

/// Something that lies in the archive and the database does not know there.
#[derive(Debug)]
pub(crate) struct Found {
    lying: Lying,
    pub(crate) place: Place,
    why: Why,
}

impl Found {
    pub(crate) fn path(&self) -> &str {
        &self.lying.path
    }

    pub(crate) fn changed_at(&self) -> DateTime<Utc> {
        self.lying.changed_at
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    /// It never came to its place.
    Incoming,
    /// It is a batch at its place, and not in the database.
    Unrecorded,
    /// It is a part that is in no list.
    Unlisted,
    /// The records of the batch are in parts.
    Processed,
    /// The database has the batch at another place.
    Elsewhere(String),
    Foreign,
}

/// What the database does not know, page by page.
pub(crate) struct Unknown<'a> {
    app: &'a App,
    lying: std::pin::Pin<Box<dyn futures::Stream<Item = Result<Lying, ArchiveError>> + Send + 'a>>,
    connections: HashSet<ConnectionId>,
}

impl<'a> Unknown<'a> {
    pub(crate) async fn begin(app: &'a App) -> Result<Self, StoreError> {
        let connections = app.store.connection_list().await?;
        Ok(Self {
            app,
            lying: Box::pin(app.archive.lying()),
            connections: connections.into_iter().map(|row| row.id).collect(),
        })
    }

    /// The next page, which may be empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Found>>, SweepError> {
        let mut page = Vec::new();
        while page.len() < PAGE
            && let Some(one) = self.lying.next().await
        {
            let lying = one?;
            page.push((Place::of(&lying.path), lying));
        }
        if page.is_empty() {
            return Ok(None);
        }
        let ids: Vec<String> = page
            .iter()
            .filter_map(|(place, _)| match place {
                Place::Batch { id, .. } => Some(id.clone()),
                _ => None,
            })
            .collect();
        let known = self.app.store.batch_paths(&ids).await?;
        let parts: Vec<String> = page
            .iter()
            .filter(|(place, _)| matches!(place, Place::Part { .. }))
            .map(|(_, lying)| lying.path.clone())
            .collect();
        let listed = self.app.store.part_known(&parts).await?;
        let found = page.into_iter().filter_map(|(place, lying)| {
            let why = self.why(&place, &lying.path, &known, &listed)?;
            Some(Found { lying, place, why })
        });
        Ok(Some(found.collect()))
    }

    /// Why something is not known; `None` for what is, and for what is not of ours.
    fn why(
        &self,
        place: &Place,
        path: &str,
        known: &HashMap<String, String>,
        listed: &HashSet<String>,
    ) -> Option<Why> {
        match place {
            Place::Other => None,
            Place::Part { .. } if listed.contains(path) => None,
            Place::Part { dataset } if Dataset::named(dataset).is_none() => Some(Why::Foreign),
            Place::Part { .. } => Some(Why::Unlisted),
            Place::Incoming => Some(Why::Incoming),
            Place::Batch {
                dataset,
                connection,
                id,
                ..
            } => match known.get(id) {
                Some(own) if own == path => None,
                Some(own) if own.is_empty() => Some(Why::Processed),
                Some(own) => Some(Why::Elsewhere(own.clone())),
                None if Dataset::named(dataset).is_none() || !self.connections.contains(connection) => {
                    Some(Why::Foreign)
                }
                None => Some(Why::Unrecorded),
            },
        }
    }
}

/// Adopts or removes what was cut off.
async fn settle(app: &App, cut_off: Vec<Found>, report: &mut Report) -> Result<(), SweepError> {
    let (mut adopt, mut remove) = (Vec::new(), Vec::new());
    for found in cut_off {
        match &found.why {
            Why::Unrecorded => match whole(&app.archive, &found).await? {
                Some(bytes) => adopt.push((found, bytes)),
                None => remove.push(found),
            },
            // The only copy stays, whatever the database says.
            Why::Elsewhere(own) if app.archive.changed_at(own).await?.is_none() => {
                tracing::warn!(
                    "the batch {own} is missing in the archive; its content is at {}",
                    found.path()
                );
            }
            Why::Unlisted => adopt.push((found, 0)),
            Why::Elsewhere(_) | Why::Incoming | Why::Processed => remove.push(found),
            Why::Foreign => {}
        }
    }
    if adopt.is_empty() && remove.is_empty() {
        return Ok(());
    }
    let paths = |all: &mut dyn Iterator<Item = &Found>| -> Vec<String> {
        all.take(TOLD).map(|found| found.path().to_owned()).collect()
    };
    let detail = json!({ "adopted": adopt.len(), "removed": remove.len(),
        "adopted_paths": paths(&mut adopt.iter().map(|(found, _)| found)),
        "removed_paths": paths(&mut remove.iter()) });
    audit::record(
        app,
        &Actor::System,
        AuditAction::ArchiveSweep,
        "archive",
        AuditOutcome::Begun,
        detail,
    )
    .await?;
    for (found, bytes) in adopt {
        if adopted(app, &found, bytes).await? {
            fault::point("sweep.adopted");
            tracing::info!(
                "adopted {}, which an interrupted delivery left in the archive",
                found.path()
            );
            report.adopted += 1;
        }
    }
    for found in remove {
        if is_still_unknown(app, &found).await? {
            app.archive.remove(found.path()).await?;
            tracing::info!(
                "removed {}, which an interrupted delivery left in the archive",
                found.path()
            );
            report.removed += 1;
        }
    }
    Ok(())
}

/// Whether nobody wrote it or wrote it down since it was listed: the same content may just have been sent again.
async fn is_still_unknown(app: &App, found: &Found) -> Result<bool, SweepError> {
    if let Place::Batch { id, .. } = &found.place {
        let known = app.store.batch_paths(std::slice::from_ref(id)).await?;
        if known.get(id).is_some_and(|own| own == found.path()) {
            return Ok(false);
        }
    }
    Ok(app.archive.changed_at(found.path()).await? == Some(found.lying.changed_at))
}

async fn adopted(app: &App, found: &Found, bytes: u64) -> Result<bool, SweepError> {
    if let Place::Part { dataset } = &found.place {
        return part_adopted(app, dataset, found.path()).await;
    }
    let Place::Batch {
        dataset,
        connection,
        id,
        source,
    } = &found.place
    else {
        return Ok(false);
    };
    if !is_still_unknown(app, found).await? {
        return Ok(false);
    }
    let batch = NewBatch {
        id: id.clone(),
        connection_id: connection.clone(),
        dataset: dataset.clone(),
        source,
        path: found.path().to_owned(),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        received_at: app.clock.now(),
    };
    Ok(app.store.batch_archive(&batch, &[]).await?)
}

/// Lists a part. One that cannot be read stays where it is, and is told of.
async fn part_adopted(app: &App, dataset: &str, path: &str) -> Result<bool, SweepError> {
    let info = match app.archive.parts().describe(dataset, path).await {
        Ok(info) => info,
        Err(error) => {
            tracing::error!(
                "cannot adopt a part that is in no list: {}",
                crate::causes(&error)
            );
            return Ok(false);
        }
    };
    if info.records == 0 {
        return Ok(false);
    }
    let row = record::part_row(info, app.clock.now());
    if !app
        .store
        .part_known(std::slice::from_ref(&row.path))
        .await?
        .is_empty()
    {
        return Ok(false);
    }
    Ok(app.store.part_replace(&[], &[row], app.clock.now()).await?)
}

/// The size of a batch, unpacked, if its content is what its name says.
async fn whole(archive: &Archive, found: &Found) -> Result<Option<u64>, SweepError> {
    let Place::Batch {
        dataset,
        connection,
        id,
        ..
    } = &found.place
    else {
        return Ok(None);
    };
    let object = match archive.read(found.path()).await {
        Ok(object) => object,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // That the archive cannot be read now does not make an object damaged.
    let mut refused = None;
    let packed = object.map_err(|error| {
        let told = std::io::Error::other(error.to_string());
        refused = Some(ArchiveError::from(error));
        told
    });
    let (mut digest, mut bytes) = (begin_id(connection, dataset), 0);
    let mut piece = vec![0; 64 << 10];
    let is_unpacked = {
        let mut unpacked = GzipDecoder::new(BufReader::new(StreamReader::new(packed)));
        unpacked.multiple_members(true);
        loop {
            match unpacked.read(&mut piece).await {
                Ok(0) => break true,
                Ok(count) => {
                    digest.update(&piece[..count]);
                    bytes += count as u64;
                }
                Err(_) => break false,
            }
        }
    };
    match refused {
        Some(error) => Err(error.into()),
        None => Ok((is_unpacked && hex::encode(digest.finalize()) == *id).then_some(bytes)),
    }
}
