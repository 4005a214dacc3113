//! Finds records, newest first, within a bound on what one question may read.
//!
//! Parts are read from the newest to the oldest, several at once. The search ends when no unread part can have a newer
//! record than those found, or when it has read as much as it may: then [`Found::searched_until_us`] says how far back
//! it came. A part that cannot be read is named, and the rest is answered. Start reading at [`run`].

use crate::error::PartError;
use crate::read::{Parts, Wanted, records_of};
use crate::record::{Record, RecordId};
use crate::write::PartInfo;
use futures::TryStreamExt;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// The place behind a record in the order of a search: newest first, then by descending ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The record's time.
    pub at_us: i64,
    /// The record's ID.
    pub id: RecordId,
}

/// Whether a record as it came is wanted. It is called for records that the other conditions leave.
pub type Test = Box<dyn FnMut(&str) -> bool + Send>;

/// Makes the test for the records of one part, from its dataset.
pub type Condition = Arc<dyn Fn(&str) -> Test + Send + Sync>;

/// What to find.
#[derive(Clone)]
pub struct Search {
    /// By the columns.
    pub wanted: Wanted,
    /// By the record as it came.
    pub condition: Option<Condition>,
    /// Only after this place.
    pub after: Option<Cursor>,
    /// The maximum number of records to return.
    pub limit: usize,
    /// No further part is opened once this number of records was looked at.
    pub records_max: u64,
    /// Parts that are read at once, each by a task of its own.
    pub parts_at_once: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Records with their datasets, newest first.
    pub records: Vec<(Arc<str>, Record)>,
    /// Where the next page starts. `None` at the end, and when the bound was reached: then the next question ends at
    /// `searched_until_us`.
    pub next: Option<Cursor>,
    /// The number of records that were looked at. Pages that cannot have a wanted record do not count.
    pub read: u64,
    /// If the bound was reached: everything from this time on was searched, and nothing before it.
    pub searched_until_us: Option<i64>,
    /// Parts that could not be read.
    pub unread: Vec<PartError>,
}

/// A record in a heap, ordered by its place.
struct Placed(Arc<str>, Record);

impl Placed {
    fn place(&self) -> Cursor {
        Cursor {
            at_us: self.1.at_us,
            id: self.1.id,
        }
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Placed {}

impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Placed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// The newest records, at most `limit`.
struct Newest {
    limit: usize,
    heap: BinaryHeap<Reverse<Placed>>,
    /// The places in the heap: the same record can be in two parts until they are merged.
    places: HashSet<Cursor>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
            places: HashSet::new(),
        }
    }

    /// The oldest place, once there is no room for an older one.
    fn oldest(&self) -> Option<Cursor> {
        let is_full = self.heap.len() >= self.limit;
        self.heap.peek().filter(|_| is_full).map(|one| one.0.place())
    }

    fn add(&mut self, placed: Placed) {
        if !self.places.insert(placed.place()) {
            return;
        }
        self.heap.push(Reverse(placed));
        if self.heap.len() > self.limit
            && let Some(Reverse(oldest)) = self.heap.pop()
        {
            self.places.remove(&oldest.place());
        }
    }
}

/// Searches `parts`, which may be in any order.
///
/// One more record than [`Search::limit`] is looked for, so that the end is known.
pub async fn run(parts: &Arc<Parts>, list: &[PartInfo], search: &Search) -> Found {
    let mut wanted = search.wanted.clone();
    if let Some(after) = search.after {
        wanted.until_us = wanted.until_us.min(after.at_us.saturating_add(1));
    }
    let mut list: Vec<&PartInfo> = list.iter().filter(|part| wanted.may_be_in(part)).collect();
    list.sort_unstable_by_key(|part| Reverse(part.last_us));
    let mut found = Found::default();
    let mut newest = Newest::new(search.limit.saturating_add(1));
    let mut left = list.as_slice();
    loop {
        // What may still be newer than the oldest record found.
        let is_needed = |part: &&PartInfo| newest.oldest().is_none_or(|oldest| part.last_us >= oldest.at_us);
        let at_once = search.parts_at_once.max(1).min(left.len());
        let (next, rest) = left.split_at(at_once);
        let needed: Vec<&PartInfo> = next.iter().copied().take_while(|part| is_needed(part)).collect();
        if needed.is_empty() {
            break;
        }
        if found.read >= search.records_max {
            found.searched_until_us = Some(needed[0].last_us.saturating_add(1));
            break;
        }
        let oldest = newest.oldest();
        let tasks: Vec<_> = needed
            .iter()
            .map(|part| {
                let (parts, part) = (Arc::clone(parts), PartInfo::clone(part));
                let (wanted, search) = (wanted.clone(), search.clone());
                let work = async move { one(&parts, &part, &wanted, &search, oldest).await };
                AbortOnDropHandle::new(tokio::spawn(work))
            })
            .collect();
        for (part, task) in needed.iter().zip(tasks) {
            match task.await {
                Ok(Ok((read, records))) => {
                    found.read += read;
                    records.into_iter().for_each(|record| newest.add(record));
                }
                Ok(Err(error)) => found.unread.push(error),
                Err(_) => found.unread.push(PartError::Task {
                    path: part.path.clone(),
                }),
            }
        }
        left = rest;
    }
    let placed = newest
        .heap
        .into_iter()
        .map(|Reverse(Placed(dataset, record))| (dataset, record));
    let mut records: Vec<(Arc<str>, Record)> = placed.collect();
    records.sort_unstable_by_key(|(_, record)| Reverse((record.at_us, record.id)));
    if let Some(until) = found.searched_until_us {
        // Older ones would come again on the next page, with those between them.
        records.retain(|(_, record)| record.at_us >= until);
    }
    let has_more = records.len() > search.limit;
    records.truncate(search.limit);
    found.next = records.last().filter(|_| has_more).map(|(_, record)| Cursor {
        at_us: record.at_us,
        id: record.id,
    });
    found.records = records;
    found
}

/// The newest wanted records of one part, and the number of those that were looked at.
async fn one(
    parts: &Parts,
    part: &PartInfo,
    wanted: &Wanted,
    search: &Search,
    oldest: Option<Cursor>,
) -> Result<(u64, Vec<Placed>), PartError> {
    let dataset: Arc<str> = part.dataset.as_str().into();
    let mut newest = Newest::new(search.limit.saturating_add(1));
    let mut test = search
        .condition
        .as_ref()
        .map(|condition| condition(&part.dataset));
    let (read, mut rows) = parts.rows(part, wanted).await?;
    while let Some(batch) = rows.try_next().await? {
        let columns = records_of(&batch, &part.path)?;
        for row in 0..columns.len() {
            let place = Cursor {
                at_us: columns.at_us(row),
                id: columns.id(row),
            };
            let is_behind = search.after.is_none_or(|after| place < after);
            let is_new = |oldest: Option<Cursor>| oldest.is_none_or(|oldest| place > oldest);
            if is_behind
                && is_new(oldest)
                && is_new(newest.oldest())
                && test.as_mut().is_none_or(|fits| fits(columns.raw(row)))
            {
                newest.add(Placed(Arc::clone(&dataset), columns.record(row)));
            }
        }
        // Others have their turn: decoding alone never waits for anything.
        tokio::task::yield_now().await;
    }
    Ok((
        read,
        newest.heap.into_iter().map(|Reverse(placed)| placed).collect(),
    ))
}
