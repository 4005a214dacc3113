//! Merges parts into fewer ones, and writes parts anew without some of their records.
//!
//! Reads the sources row by row in their common order: memory holds one compressed row group of each source and the part
//! that is being written, and each record costs a look at every source. Merge some dozens at once. Sources stay as they
//! are: whoever keeps the list of parts replaces them in it, and then removes them.
//! Start reading at [`run`].

use crate::error::PartError;
use crate::read::{Parts, Wanted, records_of};
use crate::record::{Record, RecordId};
use crate::write::{Encoder, PartInfo};
use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Records that are encoded at once.
const STEP: usize = 4 << 10;

/// What a merge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Records that were written.
    pub kept: u64,
    /// Repeats of a record that were left out.
    pub repeats: u64,
    /// Records that `keep` refused.
    pub removed: u64,
}

/// One source: the records that come next, and the rest.
struct Source<'a> {
    path: &'a str,
    rest: BoxStream<'a, Result<RecordBatch, PartError>>,
    next: VecDeque<Record>,
}

impl Source<'_> {
    async fn fill(&mut self) -> Result<(), PartError> {
        while self.next.is_empty() {
            let Some(batch) = self.rest.try_next().await? else {
                break;
            };
            let rows = records_of(&batch, self.path)?;
            self.next.extend((0..rows.len()).map(|row| rows.record(row)));
        }
        Ok(())
    }
}

/// Merges `sources`, which have one dataset, and passes each part that is complete to `put`. A part ends when it has about `part_bytes`; `name`
/// gives the path of the part with a number. Only records that `keep` accepts are written.
///
/// # Errors
///
/// See [`PartError`]; and those of `put`. What `put` has taken before is for the caller to remove.
pub async fn run<P>(
    parts: &Parts,
    sources: &[PartInfo],
    part_bytes: usize,
    keep: impl Fn(&Record) -> bool,
    name: impl Fn(usize) -> String,
    mut put: impl FnMut(PartInfo, Bytes) -> P,
) -> Result<Merged, PartError>
where
    P: Future<Output = Result<(), PartError>>,
{
    let Some(dataset) = sources.first().map(|part| part.dataset.as_str()) else {
        return Ok(Merged::default());
    };
    let everything = Wanted::default();
    let mut open = Vec::new();
    for part in sources {
        let mut source = Source {
            path: &part.path,
            rest: parts.rows(part, &everything).await?.1.boxed(),
            next: VecDeque::new(),
        };
        source.fill().await?;
        open.push(source);
    }
    let mut merged = Merged::default();
    let mut number = 0;
    let mut encoder = Encoder::new().map_err(PartError::Encode)?;
    let mut step: Vec<Record> = Vec::with_capacity(STEP);
    let mut last = None;
    while let Some(record) = take_first(&mut open).await? {
        let same = |(at_us, id, identifier): &(i64, RecordId, Option<String>)| {
            (*at_us, *id) == (record.at_us, record.id) && *identifier == record.identifier
        };
        if last.as_ref().is_some_and(same) {
            merged.repeats += 1;
            continue;
        }
        last = Some((record.at_us, record.id, record.identifier.clone()));
        if keep(&record) {
            merged.kept += 1;
            step.push(record);
        } else {
            merged.removed += 1;
        }
        if step.len() >= STEP {
            encoder.add(&step).map_err(PartError::Encode)?;
            step.clear();
            // Others have their turn: encoding alone never waits for anything.
            tokio::task::yield_now().await;
            if encoder.bytes() >= part_bytes {
                let full = std::mem::replace(&mut encoder, Encoder::new().map_err(PartError::Encode)?);
                if let Some((info, content)) =
                    full.finish(dataset, &name(number)).map_err(PartError::Encode)?
                {
                    put(info, content).await?;
                    number += 1;
                }
            }
        }
    }
    encoder.add(&step).map_err(PartError::Encode)?;
    if let Some((info, content)) = encoder
        .finish(dataset, &name(number))
        .map_err(PartError::Encode)?
    {
        put(info, content).await?;
    }
    Ok(merged)
}

/// The first record of all sources in their order; of equal ones, that of the first source.
async fn take_first(open: &mut [Source<'_>]) -> Result<Option<Record>, PartError> {
    let mut first: Option<usize> = None;
    for (place, source) in open.iter().enumerate() {
        let Some(record) = source.next.front() else {
            continue;
        };
        let is_before = first
            .and_then(|first| open[first].next.front())
            .is_none_or(|before| record.order(before) == Ordering::Less);
        if is_before {
            first = Some(place);
        }
    }
    let Some(first) = first else { return Ok(None) };
    let record = open[first].next.pop_front();
    open[first].fill().await?;
    Ok(record)
}
