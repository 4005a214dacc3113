//! What must hold when everything that was asked has been done: nothing lost, nothing twice, nothing stuck.

use super::arena::{Arena, PHISHING, RECORDS, email, files};
use hub::event::EventFilter;
use model::{ChangeOutcome, ConnectionState, JournalKind, MessageState, TimedGrantState};
use sandbox::Sink;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use store::{AccessChangeFilter, AccessChangeRow, LIST_LIMIT_MAX, PartFilter};

const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);

/// What was asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Batches that were answered, by number, with whose records they hold.
    pub(super) batches: BTreeMap<usize, String>,
    /// Who was granted Finance without an end, and for a time.
    pub(super) granted: BTreeSet<String>,
    pub(super) granted_for_a_time: BTreeSet<String>,
    /// Who was taken out of Target.
    pub(super) revoked: BTreeSet<String>,
    /// From whom everything was taken.
    pub(super) offboarded: BTreeSet<String>,
    /// Whose records were removed.
    pub(super) purged: BTreeSet<String>,
}

/// Waits until a running server has nothing left to do.
pub(super) async fn wait_until_quiet(arena: &Arena) {
    let begun = Instant::now();
    loop {
        let left = stuck(arena).await;
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{}: still {left:?}", arena.engine());
        tokio::time::sleep(POLL).await;
    }
}

/// What is not at rest.
pub(super) async fn stuck(arena: &Arena) -> Vec<String> {
    let store = &arena.app.store;
    let mut left = Vec::new();
    if store.batch_waits().await.unwrap() {
        left.push("batches that wait to be processed".to_owned());
    }
    if !store.group_debt_watches().await.unwrap().is_empty() {
        left.push("groups that are owed their detections".to_owned());
    }
    if !hub::driver::is_quiet(&arena.app).await.unwrap() {
        left.push("levels, messages or signals".to_owned());
    }
    let running = changes(arena, Some(ChangeOutcome::Running)).await;
    left.extend(
        running
            .into_iter()
            .map(|row| format!("change {} of {}", row.action, row.object)),
    );
    for row in store.timed_grant_list(None, false, LIST_LIMIT_MAX).await.unwrap() {
        if matches!(row.state, TimedGrantState::Pending | TimedGrantState::Overdue) {
            left.push(format!("a grant of {} that is {}", row.email, row.state));
        }
    }
    for row in store.connection_list().await.unwrap() {
        if row.state == ConnectionState::Syncing {
            left.push("the connection, which is syncing".to_owned());
        }
    }
    for row in store.purge_list(None, LIST_LIMIT_MAX).await.unwrap() {
        if row.finished_at.is_none() {
            left.push("a purge".to_owned());
        }
    }
    left
}

async fn changes(arena: &Arena, outcome: Option<ChangeOutcome>) -> Vec<AccessChangeRow> {
    let filter = AccessChangeFilter {
        outcome,
        limit: LIST_LIMIT_MAX,
        ..AccessChangeFilter::default()
    };
    arena.app.store.access_change_list(&filter).await.unwrap()
}

/// What is lost or twice, in words; nothing when all is well.
pub(super) async fn faults(arena: &Arena, asked: &Asked) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut twice) = (Vec::new(), Vec::new());
    records(arena, asked, &mut lost, &mut twice).await;
    detections(arena, asked, &mut lost, &mut twice).await;
    told(arena, asked, &mut lost, &mut twice).await;
    access(arena, asked, &mut lost, &mut twice).await;
    archive(arena, asked, &mut lost, &mut twice).await;
    (lost, twice)
}

/// Batch and record number of every event.
async fn numbers(arena: &Arena) -> Vec<(usize, usize)> {
    let mut filter = EventFilter {
        limit: hub::event::EVENTS_MAX,
        ..EventFilter::default()
    };
    let mut numbers = Vec::new();
    loop {
        let page = hub::event::find(&arena.app, &filter).await.unwrap();
        assert!(page.unread.is_empty(), "{:?}", page.unread);
        for event in page.events {
            let raw: serde_json::Value = serde_json::from_str(&event.raw).unwrap();
            let Some(id) = raw["QueryID"].as_str() else {
                continue;
            };
            let mut parts = id.split('-').skip(1).map(|part| part.parse().unwrap());
            numbers.push((parts.next().unwrap(), parts.next().unwrap()));
        }
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return numbers,
        }
    }
}

async fn records(arena: &Arena, asked: &Asked, lost: &mut Vec<String>, twice: &mut Vec<String>) {
    let mut of_batch: BTreeMap<usize, usize> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (batch, record) in numbers(arena).await {
        *of_batch.entry(batch).or_default() += 1;
        if !known.insert((batch, record)) {
            twice.push(format!("record {record} of batch {batch}"));
        }
    }
    for (number, who) in &asked.batches {
        let wanted = if asked.purged.contains(who) { 0 } else { RECORDS };
        let found = of_batch.get(number).copied().unwrap_or_default();
        if found != wanted {
            lost.push(format!(
                "batch {number} of {who} has {found} events, not {wanted}"
            ));
        }
    }
    let counts = arena.app.store.batch_counts(None).await.unwrap();
    if counts.failed > 0 {
        lost.push(format!("{} batches failed", counts.failed));
    }
}

async fn detections(arena: &Arena, asked: &Asked, lost: &mut Vec<String>, twice: &mut Vec<String>) {
    let counts = arena.app.store.detection_counts().await.unwrap();
    for (rule, of_batch) in [("dns-phishing", PHISHING), ("together", 1)] {
        let count = counts.iter().find(|count| count.rule_name == rule);
        let found = count.map_or(0, |count| usize::try_from(count.detections).unwrap());
        let wanted = asked.batches.len() * of_batch;
        match found.cmp(&wanted) {
            std::cmp::Ordering::Less => lost.push(format!("{} detections of {rule}", wanted - found)),
            std::cmp::Ordering::Greater => twice.push(format!("{} detections of {rule}", found - wanted)),
            std::cmp::Ordering::Equal => {}
        }
    }
}

/// Levels, signals and messages.
async fn told(arena: &Arena, asked: &Asked, lost: &mut Vec<String>, twice: &mut Vec<String>) {
    let store = &arena.app.store;
    let whose: BTreeSet<&String> = asked.batches.values().collect();
    let signals = arena.sandbox.world().received_signals();
    let messages = arena.sandbox.world().received_messages();
    let messages: Vec<String> = messages
        .iter()
        .filter(|one| one.sink == Sink::Slack && one.accepted)
        .map(|one| one.body.to_string())
        .collect();
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    for text in &messages {
        *times.entry(text).or_default() += 1;
    }
    for who in whose {
        let person = store.person_by_email(&email(who)).await.unwrap().unwrap();
        if person.risk_level.to_string() == "unscored" {
            lost.push(format!("the level of {who}"));
        }
        let changes = store
            .risk_change_by_person(&person.id, LIST_LIMIT_MAX)
            .await
            .unwrap();
        let raised: BTreeSet<String> = changes.iter().map(|row| row.current.to_string()).collect();
        if raised.len() != changes.len() {
            twice.push(format!("{who} was raised {} times to {raised:?}", changes.len()));
        }
        let accepted = signals
            .iter()
            .filter(|one| one.accepted && !one.duplicate && one.subject_email == email(who));
        let accepted = accepted.count();
        if accepted < changes.len() {
            lost.push(format!("{} signals about {who}", changes.len() - accepted));
        } else if accepted > changes.len() {
            twice.push(format!("{} signals about {who}", accepted - changes.len()));
        }
        let delivered = Some(MessageState::Delivered);
        let delivered = store
            .message_list(None, Some(&person.id), delivered, LIST_LIMIT_MAX)
            .await
            .unwrap();
        let wanted = asked.batches.values().filter(|other| *other == who).count() * PHISHING;
        if delivered.len() < wanted {
            lost.push(format!("{} messages to {who}", wanted - delivered.len()));
        }
        let doubtful = delivered.iter().filter(|row| row.reason.is_some()).count();
        let heard: Vec<usize> = times
            .iter()
            .filter(|(text, _)| text.contains(&email(who)))
            .map(|(_, times)| *times)
            .collect();
        if heard.len() < delivered.len() {
            lost.push(format!(
                "{} messages that {who} never got",
                delivered.len() - heard.len()
            ));
        }
        let again = heard.iter().filter(|times| **times > 1).count();
        if again > doubtful {
            twice.push(format!(
                "{} messages to {who}, without a word about it",
                again - doubtful
            ));
        }
    }
}

async fn access(arena: &Arena, asked: &Asked, lost: &mut Vec<String>, twice: &mut Vec<String>) {
    let world = arena.sandbox.world();
    let named = |group: &str, who: &str| {
        let group = world.access_group(group).unwrap();
        let rule = serde_json::json!({ "email": { "email": email(who) } });
        group["include"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|other| **other == rule)
            .count()
    };
    for who in asked.granted.iter().chain(&asked.granted_for_a_time) {
        match named("Finance", who) {
            0 => lost.push(format!("the grant of {who}")),
            1 => {}
            _ => twice.push(format!("the grant of {who}")),
        }
    }
    for who in asked.revoked.iter().chain(&asked.offboarded) {
        if named("Target", who) > 0 {
            lost.push(format!("the revocation of {who}"));
        }
    }
    for who in &asked.offboarded {
        if world.member(&email(who)).is_some() {
            lost.push(format!("the offboarding of {who}"));
        }
    }
    let live = arena
        .app
        .store
        .timed_grant_list(None, false, LIST_LIMIT_MAX)
        .await
        .unwrap();
    let ends: BTreeSet<String> = live.iter().map(|row| row.email.clone()).collect();
    let wanted: BTreeSet<String> = asked.granted_for_a_time.iter().map(|who| email(who)).collect();
    for who in wanted.difference(&ends) {
        lost.push(format!("the end of the grant of {who}"));
    }
    for who in ends.difference(&wanted) {
        twice.push(format!("an end of a grant of {who} that nobody asked for"));
    }
    // What a change did is told for each that was made, whoever ended it.
    let journal = arena
        .app
        .store
        .journal_after(0, JournalKind::AccessChanged.as_str(), LIST_LIMIT_MAX)
        .await
        .unwrap();
    let told: BTreeSet<String> = journal.into_iter().filter_map(|row| row.subject_id).collect();
    for row in changes(arena, None)
        .await
        .iter()
        .filter(|row| row.action != "person.offboard")
    {
        if !told.contains(&row.id) {
            lost.push(format!("the journal's entry of {} of {}", row.action, row.object));
        }
    }
}

/// What lies in the archive is what the database knows, and nothing of whom it was removed.
async fn archive(arena: &Arena, asked: &Asked, lost: &mut Vec<String>, twice: &mut Vec<String>) {
    let folder = arena.folder.path().join("archive");
    let mut known = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = arena.app.store.batch_after(&after, LIST_LIMIT_MAX).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        known.extend(page.into_iter().map(|row| folder.join(row.path)));
    }
    let found: BTreeSet<_> = files(&folder)
        .into_iter()
        .filter(|path| is_object(path))
        .collect();
    for path in known.difference(&found) {
        lost.push(format!("{}", path.display()));
    }
    for path in found.difference(&known) {
        twice.push(format!("{}, which nobody knows", path.display()));
    }
    for part in arena.app.store.part_list(&PartFilter::default()).await.unwrap() {
        if !folder.join(&part.path).exists() {
            lost.push(part.path);
        }
    }
    for who in &asked.purged {
        let filter = EventFilter {
            identifiers: Some(BTreeSet::from([email(who)])),
            limit: 1,
            ..EventFilter::default()
        };
        if !hub::event::find(&arena.app, &filter)
            .await
            .unwrap()
            .events
            .is_empty()
        {
            lost.push(format!("the removal of {who} from the parts"));
        }
        for path in &found {
            let packed = std::fs::read(path).unwrap();
            let mut text = String::new();
            let mut reader = flate2::read::MultiGzDecoder::new(packed.as_slice());
            std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
            if text.contains(&email(who)) {
                lost.push(format!("the removal of {who} from {}", path.display()));
            }
        }
    }
}

/// Whether a file is an object of the archive, whole or begun.
fn is_object(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name == "batches" || name == "incoming"
    })
}
