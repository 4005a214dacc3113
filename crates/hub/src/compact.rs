//! Merges parts into fewer ones, deletes the objects of parts that were replaced, and verifies checksums.
//!
//! While an hour fills, parts of about the same size are merged as soon as there are many. When nothing came to an hour for
//! a while, all its parts are merged; a day after its last part, all parts of the day. The parts of a day lie in the order of
//! identifiers, so that one person's records are in one of them. Repeats of a record that meet in a merge fall away.
//!
//! Reads and writes `part` and the objects. Readers are not stopped: a part that was replaced leaves the list at once, and
//! its object is deleted later. Killed anywhere, the next run goes on: an object that is in no list is found by the sweep.
//! Start reading at [`run`].

use crate::app::App;
use crate::record::{self, RewriteError};
use archive::write::PartInfo;
use archive::{PartError, verify};
use chrono::{DateTime, TimeDelta, Utc};
use model::JournalKind;
use serde_json::json;
use std::collections::BTreeMap;
use store::{JournalEntry, PartFilter, PartRow, StoreError};

/// A part ends when it has so many bytes; larger ones than half of it are not merged again.
const PART_BYTES: i64 = 64 << 20;
/// Parts of about the same size that are merged while their hour fills.
const MANY: usize = 8;
/// Parts that are merged at once.
const SOURCES_MAX: usize = 64;
/// So long after its last part an hour is merged.
const QUIET: TimeDelta = TimeDelta::minutes(10);
/// So long after its last part a day is merged.
const QUIET_DAY: TimeDelta = TimeDelta::hours(24);
/// The object of a part that was replaced is kept so long for those who read it. Chosen: longer than most questions; one
/// that takes longer lists the parts again.
const READERS: TimeDelta = TimeDelta::minutes(15);
/// Parts that are verified in one turn.
const VERIFIED: usize = 20;

/// Why parts could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The archive.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RewriteError> for CompactError {
    fn from(error: RewriteError) -> Self {
        match error {
            RewriteError::Part(error) => Self::Part(error),
            RewriteError::Store(error) => Self::Store(error),
        }
    }
}

/// Merges what is due, once for each dataset. Answers whether anything was merged.
///
/// # Errors
///
/// When the store or the archive refuses; the next run goes on.
pub async fn run(app: &App) -> Result<bool, CompactError> {
    let now = app.clock.now();
    let mut is_merged = false;
    let mut problem = None;
    for total in app.store.part_totals().await? {
        let filter = PartFilter {
            dataset: Some(total.dataset),
            ..PartFilter::default()
        };
        let list = app.store.part_list(&filter).await?;
        let Some((folder, sources)) = due(&list, now) else {
            continue;
        };
        // A part that cannot be read stops its own dataset alone.
        match merged(app, &folder, sources).await {
            Ok(is_replaced) => is_merged |= is_replaced,
            Err(CompactError::Part(error)) => problem = Some(error),
            Err(error) => return Err(error),
        }
    }
    record::delete_dropped(app, now - READERS).await?;
    verify_some(app, now).await?;
    match problem {
        Some(error) => Err(error.into()),
        None => Ok(is_merged),
    }
}

/// The date and hour in the path of a part.
fn place(path: &str) -> Option<(&str, &str)> {
    let mut folders = path.split('/').skip(1);
    let date = folders.next()?.strip_prefix("date=")?;
    Some((date, folders.next()?.strip_prefix("hour=")?))
}

/// What to merge next, and the folder for it.
fn due(list: &[PartRow], now: DateTime<Utc>) -> Option<(String, Vec<&PartRow>)> {
    let mut by_day: BTreeMap<&str, BTreeMap<&str, Vec<&PartRow>>> = BTreeMap::new();
    for part in list.iter().filter(|part| part.problem.is_none()) {
        let Some((date, hour)) = place(&part.path) else {
            continue;
        };
        by_day
            .entry(date)
            .or_default()
            .entry(hour)
            .or_default()
            .push(part);
    }
    for (date, hours) in &by_day {
        let dataset = &list.first()?.dataset;
        let folder = |hour: &str| format!("dataset={dataset}/date={date}/hour={hour}");
        for (hour, parts) in hours {
            if let Some(sources) = due_in_hour(parts, now) {
                return Some((folder(hour), sources));
            }
        }
        let open: Vec<&PartRow> = hours
            .iter()
            .filter(|(hour, _)| !matches!(**hour, "all" | "mixed"))
            .flat_map(|(_, parts)| parts.iter().copied())
            .collect();
        if open.len() > 1 && is_quiet(&open, now, QUIET_DAY) {
            return Some((folder("all"), bounded(open)));
        }
    }
    None
}

fn is_quiet(parts: &[&PartRow], now: DateTime<Utc>, length: TimeDelta) -> bool {
    parts.iter().all(|part| part.made_at + length <= now)
}

fn bounded(mut parts: Vec<&PartRow>) -> Vec<&PartRow> {
    parts.sort_by(|left, right| (left.made_at, &left.path).cmp(&(right.made_at, &right.path)));
    parts.truncate(SOURCES_MAX);
    parts
}

fn due_in_hour<'p>(parts: &[&'p PartRow], now: DateTime<Utc>) -> Option<Vec<&'p PartRow>> {
    let small: Vec<&PartRow> = parts
        .iter()
        .copied()
        .filter(|part| part.bytes < PART_BYTES / 2)
        .collect();
    if small.len() > 1 && is_quiet(&small, now, QUIET) {
        return Some(bounded(small));
    }
    let mut by_size: BTreeMap<u32, Vec<&PartRow>> = BTreeMap::new();
    for part in small {
        // Each class is eight times the one before.
        let class = u64::try_from(part.bytes).unwrap_or_default().max(1).ilog2() / 3;
        by_size.entry(class).or_default().push(part);
    }
    by_size
        .into_values()
        .find(|parts| parts.len() >= MANY)
        .map(bounded)
}

/// Merges parts. Returns `false` if another process replaced or removed one of them meanwhile.
async fn merged(app: &App, folder: &str, sources: Vec<&PartRow>) -> Result<bool, CompactError> {
    let infos: Vec<PartInfo> = sources
        .iter()
        .map(|part| record::part_info((*part).clone()))
        .collect();
    let bytes = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
    let ended = record::rewrite(app, &infos, folder, bytes, |_| true).await;
    if let Err(RewriteError::Part(_)) = &ended {
        // The others are merged without the one that is in the way.
        for part in &sources {
            check(app, part).await?;
        }
    }
    Ok(ended?)
}

/// Stores why a part cannot be read, and writes it to the journal once.
async fn report(app: &App, part: &PartRow, reason: &str) -> Result<(), StoreError> {
    let now = app.clock.now();
    app.store.part_verified(&part.path, Some(reason), now).await?;
    if part.problem.is_some() {
        return Ok(());
    }
    tracing::error!("{reason}");
    let entry = JournalEntry {
        at: now,
        kind: JournalKind::ArchiveDamaged,
        person_id: None,
        connection_id: None,
        subject_id: Some(part.path.clone()),
        summary: format!(
            "{} records of {} cannot be read: {reason}",
            part.records, part.dataset
        ),
        data: json!({ "dataset": part.dataset, "path": part.path, "records": part.records }),
    };
    app.store.journal_append(&entry).await
}

/// Compares the content of some parts with their checksums: those that were not compared for the longest time.
async fn verify_some(app: &App, now: DateTime<Utc>) -> Result<(), StoreError> {
    let days = i64::try_from(app.settings.archive.verify_days.min(36_500)).unwrap_or(36_500);
    if days == 0 {
        return Ok(());
    }
    let due = app.store.part_unverified(now - TimeDelta::days(days)).await?;
    for part in due.into_iter().take(VERIFIED) {
        check(app, &part).await?;
    }
    Ok(())
}

/// Compares the content of a part with its checksum. Returns the problem, if there is one.
///
/// # Errors
///
/// When the store refuses.
pub async fn check(app: &App, part: &PartRow) -> Result<Option<String>, StoreError> {
    match verify::part(app.archive.parts(), &record::part_info(part.clone())).await {
        Ok(()) => {
            app.store.part_verified(&part.path, None, app.clock.now()).await?;
            Ok(None)
        }
        // It may have been replaced since it was listed.
        Err(error) if record::is_replaced(app, &error).await? => Ok(None),
        Err(error) => {
            let reason = crate::causes(&error);
            // An archive that cannot be read now says nothing about the part.
            if error.is_missing() || !matches!(error, PartError::Object { .. }) {
                report(app, part, &reason).await?;
            }
            Ok(Some(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(path: &str, bytes: i64, minutes: i64) -> PartRow {
        PartRow {
            path: path.to_owned(),
            dataset: "gateway_dns".to_owned(),
            records: 1,
            bytes,
            sha256: String::new(),
            first_us: 0,
            last_us: 0,
            first_identifier: None,
            last_identifier: None,
            made_at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes),
            dropped_at: None,
            verified_at: DateTime::UNIX_EPOCH,
            problem: None,
        }
    }

    fn chosen(list: &[PartRow], minutes: i64) -> Option<(String, usize)> {
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        due(list, now).map(|(folder, sources)| (folder, sources.len()))
    }

    #[test]
    fn an_hour_is_merged_when_it_has_many_alike_or_is_quiet_and_a_day_once_it_is_over() {
        let hour = "dataset=gateway_dns/date=2026-11-20/hour=11";
        let other = "dataset=gateway_dns/date=2026-11-20/hour=12";
        let path = |folder: &str, n: i64| format!("{folder}/part-{n}.parquet");
        let seven: Vec<PartRow> = (0..7).map(|n| part(&path(hour, n), 1_000, n)).collect();
        assert_eq!(chosen(&seven, 8), None, "few, and not quiet");
        assert_eq!(chosen(&seven, 16), Some((hour.to_owned(), 7)), "quiet");
        let mut mixed = seven.clone();
        mixed.push(part(&path(hour, 7), 900_000, 7));
        assert_eq!(chosen(&mixed, 8), None, "seven of one size, and one of another");
        mixed.push(part(&path(hour, 8), 1_010, 7));
        assert_eq!(chosen(&mixed, 8), Some((hour.to_owned(), 8)));
        let large = [part(&path(hour, 0), PART_BYTES, 0), part(&path(hour, 1), 10, 0)];
        assert_eq!(
            chosen(&large, 100),
            None,
            "a large part is not written again for a small one"
        );
        let day = [part(&path(hour, 0), PART_BYTES, 0), part(&path(other, 0), 10, 0)];
        let all = "dataset=gateway_dns/date=2026-11-20/hour=all".to_owned();
        assert_eq!(chosen(&day, 24 * 60 - 1), None);
        assert_eq!(chosen(&day, 24 * 60), Some((all, 2)));
        let mut damaged = seven;
        damaged[0].problem = Some("damaged".to_owned());
        assert_eq!(
            chosen(&damaged, 16),
            Some((hour.to_owned(), 6)),
            "the others go on"
        );
    }
}
