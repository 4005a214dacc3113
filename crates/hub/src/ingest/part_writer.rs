//! Writes the records of a batch as parts, by the hour of each record, on threads beside the one that reads.

use crate::app::App;
use crate::record;
use archive::write::{PartInfo, folder};
use archive::{PartError, Record};
use model::{Clock, IdSource};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::PartRow;
use tokio::task::JoinSet;

/// Bytes of records in memory after which they are written.
const BUFFER_BYTES: usize = 48 << 20;
/// Hours of one batch that have parts of their own. The records of further hours share one: a batch may have a record of
/// every hour since 1970.
const HOURS_MAX: usize = 48;
/// Parts that are encoded and written at once.
const AT_ONCE: usize = 2;
const HOUR_US: i64 = 3_600_000_000;

/// The parts of one batch.
pub(crate) struct PartWriter {
    parts: Arc<archive::read::Parts>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    dataset: String,
    by_hour: BTreeMap<i64, Vec<Record>>,
    bytes: usize,
    writing: JoinSet<Result<Option<PartInfo>, PartError>>,
    written: Vec<PartRow>,
}

impl PartWriter {
    pub(crate) fn new(app: &App, dataset: &str) -> Self {
        Self {
            parts: Arc::clone(app.archive.parts()),
            clock: Arc::clone(&app.clock),
            ids: Arc::clone(&app.ids),
            dataset: dataset.to_owned(),
            by_hour: BTreeMap::new(),
            bytes: 0,
            writing: JoinSet::new(),
            written: Vec::new(),
        }
    }

    /// Takes records. Those in memory are written when they are too many.
    pub(crate) async fn add(&mut self, records: impl Iterator<Item = Record>) -> Result<(), PartError> {
        for record in records {
            self.bytes += record.size_bytes();
            self.by_hour
                .entry(record.at_us.div_euclid(HOUR_US))
                .or_default()
                .push(record);
        }
        if self.bytes >= BUFFER_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes what is left, and answers all parts. An error leaves parts behind that are in no list: the sweep removes
    /// them.
    pub(crate) async fn finish(&mut self) -> Result<Vec<PartRow>, PartError> {
        self.write().await?;
        while !self.writing.is_empty() {
            self.join().await?;
        }
        self.written.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(std::mem::take(&mut self.written))
    }

    async fn write(&mut self) -> Result<(), PartError> {
        self.bytes = 0;
        let mut hours: Vec<(i64, Vec<Record>)> = std::mem::take(&mut self.by_hour).into_iter().collect();
        if hours.len() > HOURS_MAX {
            hours.sort_by_key(|(_, records)| std::cmp::Reverse(records.len()));
            let rest = hours.split_off(HOURS_MAX - 1);
            let mixed = format!("dataset={}/date=mixed/hour=mixed", self.dataset);
            let records = rest.into_iter().flat_map(|(_, records)| records).collect();
            self.begin(&mixed, records).await?;
        }
        for (hour, records) in hours {
            self.begin(&folder(&self.dataset, hour.saturating_mul(HOUR_US)), records)
                .await?;
        }
        Ok(())
    }

    async fn begin(&mut self, folder: &str, records: Vec<Record>) -> Result<(), PartError> {
        while self.writing.len() >= AT_ONCE {
            self.join().await?;
        }
        let path = record::part_path(&*self.ids, &*self.clock, folder);
        let (parts, dataset) = (Arc::clone(&self.parts), self.dataset.clone());
        self.writing.spawn(async move {
            let Some((info, content)) = record::encode(&dataset, path, records).await? else {
                return Ok(None);
            };
            parts.put(&info, content).await?;
            Ok(Some(info))
        });
        Ok(())
    }

    async fn join(&mut self) -> Result<(), PartError> {
        match self.writing.join_next().await {
            Some(Ok(Ok(Some(info)))) => {
                let now = self.clock.now();
                self.written.push(record::part_row(info, now));
            }
            Some(Ok(Err(error))) => return Err(error),
            Some(Err(_)) => {
                return Err(PartError::Task {
                    path: self.dataset.clone(),
                });
            }
            Some(Ok(Ok(None))) | None => {}
        }
        Ok(())
    }
}
