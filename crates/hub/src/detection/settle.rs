//! Makes the stored detections of some groups what the matches kept of them say.
//!
//! Start reading at [`settle`].

use crate::app::App;
use crate::event::{self, Event};
use crate::fault;
use crate::journal_words;
use chrono::{DateTime, Utc};
use model::DetectionId;
use rules::book::{BookRule, RuleBook, RuleMode, level_word};
use rules::detector::MatchValue;
use rules::watch::{Watch, WatchFiring, WatchMatch};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use store::{
    DetectionChanges, DetectionRow, GroupDebt, MATCHES_MAX, MatchGroup, MatchRow, MatchRun, StoreError,
};

/// Groups that are settled with one question and one transaction.
const GROUPS: i64 = 1_000;
/// What the watch of a rule's repeats is called.
const REPEATS: &str = "repeats:";
/// Events that are named as proof.
const EVIDENCE_MAX: usize = rules::watch::EVIDENCE_MAX;

/// The watch under which matches of a rule about single events are kept: repeats become one detection.
pub(super) fn repeats_of(rule_id: &str) -> String {
    format!("{REPEATS}{rule_id}")
}

pub(super) fn is_repeats(watch: &str) -> bool {
    watch.starts_with(REPEATS)
}

/// Settles every group that is owed its detections, and those of correlations that refer to theirs. Answers how many
/// detections are new.
pub(super) async fn settle(app: &App, book: &RuleBook) -> Result<usize, StoreError> {
    let mut owed: BTreeSet<String> = app.store.group_debt_watches().await?.into_iter().collect();
    let mut new = 0;
    // Each after those that it refers to: what they leave for it is owed before its turn comes.
    for (id, watch) in in_book(book) {
        if !owed.contains(&id) {
            continue;
        }
        owed.extend(outers(book, watch));
        loop {
            let debts = app.store.group_debt_list(&id, GROUPS).await?;
            if debts.is_empty() {
                break;
            }
            new += settle_groups(app, book, &id, watch, &debts).await?;
        }
    }
    Ok(new)
}

/// Those of `owed` that the book has, in the order in which they are settled.
pub(super) fn in_order<'b>(book: &'b RuleBook, owed: &'b [String]) -> impl Iterator<Item = String> + 'b {
    in_book(book)
        .map(|(id, _)| id)
        .filter(move |id| owed.contains(id))
}

/// Everything that keeps matches: rules about single events first, then watches, each after those that it refers to.
fn in_book(book: &RuleBook) -> impl Iterator<Item = (String, Option<&Watch>)> {
    let repeats = book.rules().iter().map(|rule| (repeats_of(&rule.id), None));
    let watches = &book.detector.watches;
    repeats.chain(watches.iter().map(|watch| (watch.id.clone(), Some(watch))))
}

/// The watches that refer to one.
fn outers(book: &RuleBook, watch: Option<&Watch>) -> Vec<String> {
    let outers = watch.map(|watch| watch.outers.as_slice()).unwrap_or_default();
    outers
        .iter()
        .map(|(outer, ..)| book.detector.watches[*outer].id.clone())
        .collect()
}

async fn settle_groups(
    app: &App,
    book: &RuleBook,
    id: &str,
    watch: Option<&Watch>,
    debts: &[GroupDebt],
) -> Result<usize, StoreError> {
    let rule = match watch {
        Some(watch) => book.reported(watch.reports),
        None => id.strip_prefix(REPEATS).and_then(|rule| book.rule(rule)),
    };
    let first = debts.iter().map(|debt| debt.from_us).min().unwrap_or_default();
    let reach_us = watch.map_or(0, |watch| watch.reach_ns() / 1_000);
    let from = match watch {
        Some(watch) if !watch.is_unbounded() => first.saturating_sub(reach_us * 2),
        _ => i64::MIN,
    };
    let keys: Vec<&str> = debts.iter().map(|debt| debt.group_key.as_str()).collect();
    let mut matches = matches_of(app, id, &keys, from).await?;
    let mut stored: HashMap<String, Vec<DetectionRow>> = HashMap::new();
    // All repeats of one stretch of time are one detection, also those from before the change.
    let earliest = match watch {
        Some(_) => time(first.saturating_sub(reach_us)),
        None => DateTime::UNIX_EPOCH,
    };
    for row in app.store.detection_groups(id, &keys, earliest).await? {
        stored
            .entry(row.group_key.clone().unwrap_or_default())
            .or_default()
            .push(row);
    }
    let mut settled = Vec::new();
    for debt in debts {
        let (key, from_us) = (&debt.group_key, &debt.from_us);
        let matches = matches.remove(key).unwrap_or_default();
        let fired = match watch {
            Some(watch) => watched(watch, &matches),
            None => repeated(&matches),
        };
        if let Some(watch) = watch {
            derive(app, book, watch, debt, &fired).await?;
        }
        let Some(rule) = rule else { continue };
        if rule.mode == RuleMode::Test {
            let matches: Vec<_> = fired
                .iter()
                .map(|fired| (rule.id.clone(), fired.event.clone(), key.clone(), fired.at))
                .collect();
            app.store.test_match_record(&matches).await?;
            continue;
        }
        // What lies before the change stays as it is.
        let is_open = |at: DateTime<Utc>| watch.is_none() || at.timestamp_micros() >= *from_us;
        let rows = stored.remove(key).unwrap_or_default();
        settled.push(Settled {
            key,
            fired: fired.into_iter().filter(|fired| is_open(fired.at)).collect(),
            taken: rows.iter().map(|row| row.id.0.clone()).collect(),
            stored: rows.into_iter().filter(|row| is_open(row.at)).collect(),
        });
    }
    let mut changes = DetectionChanges::default();
    let now = app.clock.now();
    if let Some(rule) = rule {
        let events = events_of(app, &settled).await?;
        for group in settled {
            group.reconcile(rule, id, reach_us, &events, now, &mut changes);
        }
    }
    fault::point("detection.derived");
    // More may have come to a group since its matches were read: then it is still owed, and looked at again.
    let new = app
        .store
        .detection_change(&changes, debts, &journal_words::detection, now)
        .await?;
    Ok(new.unwrap_or(0))
}

/// A group with the detections that there should be and those that there are.
struct Settled<'g> {
    key: &'g str,
    fired: Vec<Fired>,
    stored: Vec<DetectionRow>,
    /// Ids that detections of the group have already.
    taken: Vec<String>,
}

/// The events that detections begin with and that no stored one begins with.
async fn events_of(app: &App, settled: &[Settled<'_>]) -> Result<HashMap<String, Event>, StoreError> {
    let wanted: Vec<String> = settled
        .iter()
        .flat_map(|group| {
            group
                .fired
                .iter()
                .filter(|fired| !group.stored.iter().any(|row| row.event_id.0 == fired.event))
        })
        .map(|fired| fired.event.clone())
        .collect();
    let events = event::evidence(app, &wanted).await?;
    Ok(events
        .into_iter()
        .map(|event| (event.id.0.clone(), event))
        .collect())
}

/// The matches of groups of a watch, by group.
async fn matches_of(
    app: &App,
    watch: &str,
    keys: &[&str],
    from: i64,
) -> Result<HashMap<String, Vec<MatchRow>>, StoreError> {
    let is_all = |rows: &[MatchRow]| i64::try_from(rows.len()).unwrap_or(i64::MAX) < MATCHES_MAX;
    let mut rows = app.store.match_groups(watch, keys, from).await?;
    if !is_all(&rows) {
        // Too many at once: one group after the other.
        rows.clear();
        for key in keys {
            let own = app.store.match_groups(watch, &[*key], from).await?;
            if !is_all(&own) {
                tracing::warn!(
                    watch,
                    group = key,
                    "more than {MATCHES_MAX} matches in one group; only the oldest are used: narrow the rule"
                );
                metrics::counter!("flareward_matches_left_out_total").increment(1);
            }
            rows.extend(own);
        }
    }
    let mut by_group: HashMap<String, Vec<MatchRow>> = HashMap::new();
    for row in rows {
        by_group.entry(row.group_key.clone()).or_default().push(row);
    }
    Ok(by_group)
}

/// A detection that there should be.
struct Fired {
    at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    event: String,
    evidence: Vec<String>,
    count: usize,
    detail: Option<String>,
}

fn time(at_us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at_us).unwrap_or_default()
}

/// The matches of one rule, person and target within one stretch of time: the first, with a count.
fn repeated(matches: &[MatchRow]) -> Vec<Fired> {
    let mut ordered: Vec<&MatchRow> = matches.iter().collect();
    ordered.sort_by(|left, right| (left.at_us, &left.event_id).cmp(&(right.at_us, &right.event_id)));
    let (Some(first), Some(last)) = (ordered.first(), ordered.last()) else {
        return Vec::new();
    };
    vec![Fired {
        at: time(first.at_us),
        last_at: time(last.at_us),
        event: first.event_id.clone(),
        evidence: ordered
            .iter()
            .take(EVIDENCE_MAX)
            .map(|one| one.event_id.clone())
            .collect(),
        count: ordered.len(),
        detail: (ordered.len() > 1).then(|| format!("{} times", ordered.len())),
    }]
}

/// An event's id as a number, and back.
fn number_of(event: &str) -> u128 {
    u128::from_str_radix(event, 16).unwrap_or_else(|_| {
        let digest = Sha256::digest(event.as_bytes());
        digest[..16]
            .iter()
            .fold(0, |number, byte| number << 8 | u128::from(*byte))
    })
}

fn watched(watch: &Watch, matches: &[MatchRow]) -> Vec<Fired> {
    let mut names: HashMap<u128, &str> = HashMap::new();
    let mut matched: Vec<WatchMatch> = matches
        .iter()
        .map(|one| {
            let id = number_of(&one.event_id);
            names.insert(id, one.event_id.as_str());
            WatchMatch {
                at_ns: one.at_us.saturating_mul(1_000),
                part: usize::try_from(one.part).unwrap_or_default(),
                id,
                value: if watch.is_number() {
                    one.value.parse().ok().map(MatchValue::Number)
                } else {
                    (!one.value.is_empty()).then(|| MatchValue::Text(one.value.clone()))
                },
            }
        })
        .collect();
    let parts = watch.parts.len();
    matched.retain(|one| one.part < parts);
    let name = |id: &u128| (*names.get(id).unwrap_or(&"")).to_owned();
    watch
        .firings(&mut matched)
        .into_iter()
        .map(|firing: WatchFiring| Fired {
            at: time(firing.at_ns / 1_000),
            last_at: time(firing.at_ns / 1_000),
            event: name(&firing.id),
            evidence: firing.evidence.iter().map(name).collect(),
            count: firing.count,
            detail: Some(firing.detail),
        })
        .collect()
}

/// Gives the firings of a watch to the correlations that refer to it.
async fn derive(
    app: &App,
    book: &RuleBook,
    watch: &Watch,
    debt: &GroupDebt,
    fired: &[Fired],
) -> Result<(), StoreError> {
    if watch.outers.is_empty() {
        return Ok(());
    }
    let (key, from_us) = (&debt.group_key, debt.from_us);
    let values: Vec<String> = store::stored("group_debt", &watch.id, "group_key", key)?;
    for (outer, part, places) in &watch.outers {
        let outer = &book.detector.watches[*outer];
        let outer_key: Vec<&String> = places.iter().filter_map(|place| values.get(*place)).collect();
        let group = MatchGroup {
            watch: outer.id.clone(),
            group_key: json!(outer_key).to_string(),
            at_us: from_us,
        };
        // Known by the watch and group that they come from, as other matches are by their batch.
        let source = format!("{} {key}", watch.id);
        let matches: Vec<MatchRow> = fired
            .iter()
            .filter(|fired| fired.at.timestamp_micros() >= from_us)
            .map(|fired| MatchRow {
                watch: group.watch.clone(),
                group_key: group.group_key.clone(),
                slot: fired.event.clone(),
                part: i64::try_from(*part).unwrap_or_default(),
                value: String::new(),
                at_us: fired.at.timestamp_micros(),
                event_id: fired.event.clone(),
                batch_id: source.clone(),
            })
            .collect();
        let now = app.clock.now();
        let run = MatchRun {
            began_at: now,
            stamp: app.ids.new_id(now),
        };
        app.store
            .match_replace_derived(&group, &source, &matches, &run)
            .await?;
    }
    Ok(())
}

impl Settled<'_> {
    fn reconcile(
        mut self,
        rule: &BookRule,
        watch: &str,
        reach_us: i64,
        events: &HashMap<String, Event>,
        now: DateTime<Utc>,
        changes: &mut DetectionChanges,
    ) {
        let mut unmet = Vec::new();
        for fired in std::mem::take(&mut self.fired) {
            match self.stored.iter().position(|row| row.event_id.0 == fired.event) {
                Some(place) => changes
                    .revised
                    .extend(revised(self.stored.remove(place), &fired, events)),
                None => unmet.push(fired),
            }
        }
        for fired in unmet {
            // A late record may have moved the event that a detection begins with.
            let moved = self.stored.iter().position(|row| {
                let apart = (row.at - fired.at).num_microseconds();
                reach_us == 0 || apart.is_some_and(|apart| apart.abs() <= reach_us)
            });
            match moved {
                Some(place) => changes
                    .revised
                    .extend(revised(self.stored.remove(place), &fired, events)),
                None => changes.new.extend(self.created(rule, watch, &fired, events, now)),
            }
        }
        changes.withdrawn.append(&mut self.stored);
    }

    fn created(
        &self,
        rule: &BookRule,
        watch: &str,
        fired: &Fired,
        events: &HashMap<String, Event>,
        now: DateTime<Utc>,
    ) -> Option<DetectionRow> {
        let Some(event) = events.get(&fired.event) else {
            tracing::warn!(rule = %rule.name, event = %fired.event, "skipped a match because its event \
                 no longer exists");
            return None;
        };
        let key = if is_repeats(watch) { "" } else { self.key };
        let mut id = identity(&[&rule.id, key, &fired.event]);
        while self.taken.contains(&id) {
            id = identity(&[&id, "again"]);
        }
        Some(DetectionRow {
            id: DetectionId(id),
            rule_id: rule.id.clone(),
            rule_name: rule.name.clone(),
            title: rule.title.clone(),
            level: level_word(rule.level).to_owned(),
            behaviour: rule.own.behaviour.clone(),
            topic: rule.own.topic.clone(),
            event_id: event.id.clone(),
            connection_id: event.connection_id.clone(),
            dataset: event.dataset.clone(),
            person_id: event.person_id.clone(),
            identifier: event.identifier.clone(),
            at: fired.at,
            detected_at: now,
            detail: fired.detail.clone(),
            watch: Some(watch.to_owned()),
            group_key: Some(self.key.to_owned()),
            matches: i64::try_from(fired.count).unwrap_or(i64::MAX),
            last_at: fired.last_at,
            evidence: evidence(fired),
        })
    }
}

fn evidence(fired: &Fired) -> String {
    json!(fired.evidence).to_string()
}

/// The row as it should be; nothing when it is so already.
fn revised(mut row: DetectionRow, fired: &Fired, events: &HashMap<String, Event>) -> Option<DetectionRow> {
    let matches = i64::try_from(fired.count).unwrap_or(i64::MAX);
    let is_same = row.event_id.0 == fired.event
        && row.at == fired.at
        && row.last_at == fired.last_at
        && row.matches == matches
        && row.evidence == evidence(fired);
    if is_same {
        return None;
    }
    if let Some(event) = events.get(&fired.event) {
        row.event_id = event.id.clone();
        row.connection_id = event.connection_id.clone();
        row.dataset.clone_from(&event.dataset);
        row.person_id.clone_from(&event.person_id);
        row.identifier.clone_from(&event.identifier);
    }
    row.at = fired.at;
    row.last_at = fired.last_at;
    row.matches = matches;
    row.evidence = evidence(fired);
    row.detail.clone_from(&fired.detail);
    Some(row)
}

fn identity(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    hex::encode(&digest.finalize()[..16])
}
