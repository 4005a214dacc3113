//! Events: the records in the archive, with the person that each belongs to when it is read.
//!
//! Reads the list of parts, `identifier_seen` and `evidence`, and the parts themselves. Start reading at [`find`].

use crate::app::App;
use crate::people;
use crate::record;
use archive::read::Wanted;
use archive::search::{self, Condition, Cursor};
use archive::{Record, RecordId};
use chrono::{DateTime, Utc};
use model::{ConnectionId, EventId, PersonId};
use std::collections::{BTreeSet, HashMap, HashSet};
use store::{EvidenceRow, PartFilter, StoreError, TimeCursor};

/// Records that one question may look at, unless it says otherwise. Chosen: a few seconds on one core.
pub const READ_MAX: u64 = 2_000_000;
/// Events of one page. Each page reads the parts that it needs anew: whoever wants all events asks for large pages.
pub const EVENTS_MAX: i64 = 20_000;
/// Parts that are read at once.
const PARTS_AT_ONCE: usize = 4;

/// One log record, normalised.
#[derive(Debug, Clone)]
pub struct Event {
    /// Digest of connection, dataset and the record's key.
    pub id: EventId,
    /// The connection of the account.
    pub connection_id: ConnectionId,
    /// The dataset.
    pub dataset: String,
    /// When it happened, by the record's own time.
    pub at: DateTime<Utc>,
    /// The person, as far as the identifier is known.
    pub person_id: Option<String>,
    /// The address or name in the record, in lower case.
    pub identifier: Option<String>,
    /// The action or decision.
    pub action: Option<String>,
    /// The target: a name, an address, an application.
    pub target: Option<String>,
    /// The source IP address.
    pub source_ip: Option<String>,
    /// The country, in upper case.
    pub country: Option<String>,
    /// A batch that contained it.
    pub batch_id: String,
    /// The record as received.
    pub raw: String,
}

/// Which events to find.
#[derive(Clone)]
pub struct EventFilter {
    /// Only for this person.
    pub person_id: Option<PersonId>,
    /// Only for this dataset.
    pub dataset: Option<String>,
    /// Only for this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only with one of these identifiers.
    pub identifiers: Option<BTreeSet<String>>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Only before.
    pub until: Option<DateTime<Utc>>,
    /// Only before this position.
    pub before: Option<TimeCursor>,
    /// Only records that pass this test.
    pub condition: Option<Condition>,
    /// The maximum number of events.
    pub limit: i64,
    /// The maximum number of records to look at.
    pub read_max: u64,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self {
            person_id: None,
            dataset: None,
            connection_id: None,
            identifiers: None,
            since: None,
            until: None,
            before: None,
            condition: None,
            limit: 0,
            read_max: READ_MAX,
        }
    }
}

/// Events that were found, and how far the search came.
#[derive(Debug, Default)]
pub struct EventPage {
    /// Events, newest first.
    pub events: Vec<Event>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<TimeCursor>,
    /// The number of records that were looked at.
    pub looked_at: u64,
    /// If the search ended at its bound: nothing before this time was searched.
    pub searched_until: Option<DateTime<Utc>>,
    /// Parts that could not be read, with the reason. Their events are missing.
    pub unread: Vec<String>,
}

/// Finds events, newest first.
///
/// # Errors
///
/// When the store refuses. A part that cannot be read is named in the answer instead.
pub async fn find(app: &App, filter: &EventFilter) -> Result<EventPage, StoreError> {
    let Some(asked) = ask(app, filter).await? else {
        return Ok(EventPage::default());
    };
    let limit = filter.limit.clamp(1, EVENTS_MAX);
    let parts = PartFilter {
        dataset: filter.dataset.clone(),
        since_us: Some(asked.wanted.since_us),
        until_us: Some(asked.wanted.until_us),
    };
    let question = search::Search {
        wanted: asked.wanted,
        condition: filter.condition.clone(),
        after: asked.after,
        limit: usize::try_from(limit).unwrap_or(1),
        records_max: filter.read_max,
        parts_at_once: PARTS_AT_ONCE,
    };
    let found = search_parts(app, &parts, asked.datasets.as_ref(), &question).await?;
    let unread: Vec<String> = found.unread.iter().map(|error| crate::causes(error)).collect();
    for problem in &unread {
        tracing::error!("{problem}");
    }
    let next = match (found.searched_until_us, found.next) {
        (Some(until_us), _) => Some(TimeCursor {
            at: record::time(until_us),
            id: String::new(),
        }),
        (None, next) => next.map(|next| TimeCursor {
            at: record::time(next.at_us),
            id: next.id.to_string(),
        }),
    };
    Ok(EventPage {
        events: of_records(app, found.records).await?,
        next,
        looked_at: found.read,
        searched_until: found.searched_until_us.map(record::time),
        unread,
    })
}

/// Searches the parts of the list, only of `datasets` if they are given. Parts that are replaced meanwhile are listed again.
async fn search_parts(
    app: &App,
    filter: &PartFilter,
    datasets: Option<&HashSet<String>>,
    question: &search::Search,
) -> Result<search::Found, StoreError> {
    let mut tries = 0;
    loop {
        let list = app.store.part_list(filter).await?;
        let list = list
            .into_iter()
            .filter(|part| datasets.is_none_or(|some| some.contains(&part.dataset)));
        let list: Vec<_> = list.map(record::part_info).collect();
        let found = search::run(app.archive.parts(), &list, question).await;
        tries += 1;
        let mut is_replaced = false;
        for error in &found.unread {
            is_replaced |= record::is_replaced(app, error).await?;
        }
        if !is_replaced || tries == record::TRIES {
            return Ok(found);
        }
    }
}

/// What the filter says in the words of the archive.
struct Asked {
    wanted: Wanted,
    after: Option<Cursor>,
    /// Only these can have such records.
    datasets: Option<HashSet<String>>,
}

/// `None` when no record can fit.
async fn ask(app: &App, filter: &EventFilter) -> Result<Option<Asked>, StoreError> {
    let at_us = |at: DateTime<Utc>| at.timestamp_micros();
    let mut wanted = Wanted {
        connection: filter.connection_id.as_ref().map(|id| id.0.clone()),
        since_us: filter.since.map_or(i64::MIN, at_us),
        until_us: filter.until.map_or(i64::MAX, at_us),
        ..Wanted::default()
    };
    let mut identifiers = filter.identifiers.clone();
    if let Some(person) = &filter.person_id {
        let own = people::identifiers(app, person).await?;
        identifiers = Some(match identifiers {
            Some(some) => some.intersection(&own).cloned().collect(),
            None => own,
        });
    }
    let mut datasets = None;
    if let Some(identifiers) = identifiers {
        let names: Vec<String> = identifiers.iter().cloned().collect();
        let seen = app.store.identifier_seen(&names).await?;
        let seen = seen.into_iter().filter(|one| {
            let is_wanted = |only: &Option<String>, one: &str| only.as_deref().is_none_or(|only| only == one);
            is_wanted(&filter.dataset, &one.dataset)
                && is_wanted(&wanted.connection, one.connection_id.as_str())
        });
        let (mut first, mut last, mut of) = (i64::MAX, i64::MIN, HashSet::new());
        for one in seen {
            first = first.min(at_us(one.first_at));
            last = last.max(at_us(one.last_at));
            of.insert(one.dataset);
        }
        if of.is_empty() {
            return Ok(None);
        }
        wanted.since_us = wanted.since_us.max(first);
        wanted.until_us = wanted.until_us.min(last.saturating_add(1));
        wanted.identifiers = Some(identifiers);
        datasets = Some(of);
    }
    let mut after = None;
    if let Some(before) = &filter.before {
        let at_us = at_us(before.at);
        match before.id.parse() {
            Ok(id) => after = Some(Cursor { at_us, id }),
            // A position without an ID lies before all records of its time.
            Err(_) => wanted.until_us = wanted.until_us.min(at_us),
        }
    }
    if wanted.since_us >= wanted.until_us {
        return Ok(None);
    }
    Ok(Some(Asked {
        wanted,
        after,
        datasets,
    }))
}

/// One event. `at`, its time, makes it faster to find.
///
/// # Errors
///
/// See [`EventError`].
pub async fn get(app: &App, id: &EventId, at: Option<DateTime<Utc>>) -> Result<Option<Event>, EventError> {
    if let Some(found) = evidence(app, std::slice::from_ref(&id.0)).await?.pop() {
        return Ok(Some(found));
    }
    let Ok(record) = id.0.parse::<RecordId>() else {
        return Ok(None);
    };
    let wanted = Wanted {
        ids: Some(HashSet::from([record])),
        since_us: at.map_or(i64::MIN, |at| at.timestamp_micros()),
        until_us: at.map_or(i64::MAX, |at| at.timestamp_micros().saturating_add(1)),
        ..Wanted::default()
    };
    let parts = PartFilter {
        since_us: Some(wanted.since_us),
        until_us: Some(wanted.until_us),
        ..PartFilter::default()
    };
    let question = search::Search {
        wanted,
        condition: None,
        after: None,
        limit: 1,
        records_max: u64::MAX,
        parts_at_once: PARTS_AT_ONCE,
    };
    let found = search_parts(app, &parts, None, &question).await?;
    match (of_records(app, found.records).await?.pop(), found.unread.first()) {
        (Some(event), _) => Ok(Some(event)),
        (None, None) => Ok(None),
        (None, Some(problem)) => Err(EventError::Unread(crate::causes(problem))),
    }
}

/// Which of these events of a dataset, given with their times, are in the archive. A part that cannot be read has none:
/// then a record may be stored twice, until parts are merged.
///
/// # Errors
///
/// When the store refuses.
pub async fn known(
    app: &App,
    dataset: &str,
    events: &[(EventId, DateTime<Utc>)],
) -> Result<HashSet<EventId>, StoreError> {
    let times = || events.iter().map(|(_, at)| at.timestamp_micros());
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Ok(HashSet::new());
    };
    let wanted = Wanted {
        ids: Some(events.iter().filter_map(|(id, _)| id.0.parse().ok()).collect()),
        since_us: first,
        until_us: last.saturating_add(1),
        ..Wanted::default()
    };
    let parts = PartFilter {
        dataset: Some(dataset.to_owned()),
        since_us: Some(wanted.since_us),
        until_us: Some(wanted.until_us),
    };
    let question = search::Search {
        wanted,
        condition: None,
        after: None,
        limit: events.len(),
        records_max: u64::MAX,
        parts_at_once: PARTS_AT_ONCE,
    };
    let found = search_parts(app, &parts, None, &question).await?;
    let ids = found
        .records
        .iter()
        .map(|(_, record)| EventId(record.id.to_string()));
    Ok(ids.collect())
}

/// Why an event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It may be in a part that cannot be read.
    #[error("the event was not found, but a part of the archive could not be read: {0}")]
    Unread(String),
}

/// The events among these that matches or detections refer to, in no order.
///
/// # Errors
///
/// When the store refuses.
pub async fn evidence(app: &App, ids: &[String]) -> Result<Vec<Event>, StoreError> {
    let rows = app.store.evidence_get_many(ids).await?;
    let whose = whose(
        app,
        rows.iter()
            .filter(|row| row.is_person)
            .filter_map(|row| row.identifier.as_deref()),
    )
    .await?;
    Ok(rows.into_iter().map(|row| of_evidence(row, &whose)).collect())
}

fn of_evidence(row: EvidenceRow, whose: &HashMap<String, PersonId>) -> Event {
    let person = row.identifier.as_deref().filter(|_| row.is_person);
    Event {
        person_id: person
            .and_then(|own| whose.get(own))
            .map(|person| person.0.clone()),
        id: row.id,
        connection_id: row.connection_id,
        dataset: row.dataset,
        at: row.at,
        identifier: row.identifier,
        action: row.action,
        target: row.target,
        source_ip: row.source_ip,
        country: row.country,
        batch_id: row.batch_id,
        raw: row.raw,
    }
}

async fn whose(
    app: &App,
    identifiers: impl Iterator<Item = &str>,
) -> Result<HashMap<String, PersonId>, StoreError> {
    let names: BTreeSet<&str> = identifiers.collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    people::whose(app, &names).await
}

async fn of_records(
    app: &App,
    records: Vec<(std::sync::Arc<str>, Record)>,
) -> Result<Vec<Event>, StoreError> {
    let of_people = records.iter().filter(|(_, record)| record.is_person);
    let whose = whose(
        app,
        of_people.filter_map(|(_, record)| record.identifier.as_deref()),
    )
    .await?;
    let events = records.into_iter().map(|(dataset, record)| {
        let person = record.identifier.as_deref().filter(|_| record.is_person);
        Event {
            person_id: person
                .and_then(|own| whose.get(own))
                .map(|person| person.0.clone()),
            id: EventId(record.id.to_string()),
            connection_id: ConnectionId(record.connection),
            dataset: dataset.to_string(),
            at: record::time(record.at_us),
            identifier: record.identifier,
            action: record.action,
            target: record.target,
            source_ip: record.source_ip,
            country: record.country,
            batch_id: record.batch,
            raw: record.raw,
        }
    });
    Ok(events.collect())
}
