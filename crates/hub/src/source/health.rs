//! Whether what a source gives can be used.
//!
//! A source may deliver on time and be blind all the same: tables instead of records, records of another dataset. Reads
//! `batch` and `reject`, writes nothing. Start reading at [`unusable`].

use crate::app::App;
use model::{ConnectionId, SourceState};
use std::collections::HashMap;
use store::{BatchRow, StoreError};

/// Batches that are looked at, newest first. Chosen: some ten minutes of a busy source, or the last few of a quiet one.
const RECENT: i64 = 20;
/// Rejects that are read for the reason that most records have.
const REJECTS: i64 = 500;
/// One in so many records, or batches, may be of no use.
const TOLERATED: i64 = 10;

/// By these words a problem that was kept is known for one of ours.
const WERE_REJECTED: &str = "records were rejected, in";

/// Why a source is not healthy although records come: more than a tenth of its recent records were rejected, or more
/// than a tenth of its recent batches held nothing but rejected ones.
///
/// # Errors
///
/// When the store refuses.
pub(crate) async fn unusable(
    app: &App,
    connection: &ConnectionId,
    dataset: &str,
    source: &str,
) -> Result<Option<String>, StoreError> {
    let batches = app
        .store
        .batch_recent(connection, dataset, source, RECENT)
        .await?;
    let sum = |of: fn(&BatchRow) -> i64| batches.iter().map(of).sum::<i64>();
    let (records, rejected) = (sum(|batch| batch.records), sum(|batch| batch.rejected));
    let is_empty = |batch: &&BatchRow| batch.rejected > 0 && batch.accepted + batch.duplicates == 0;
    let empty = batches.iter().filter(is_empty).count();
    let all = i64::try_from(batches.len()).unwrap_or(i64::MAX);
    let many = |part: i64, all: i64| part.saturating_mul(TOLERATED) > all;
    let empty = i64::try_from(empty).unwrap_or(i64::MAX);
    if !(many(rejected, records.max(rejected)) || many(empty, all)) || rejected == 0 {
        return Ok(None);
    }
    let mut reasons: HashMap<String, i64> = HashMap::new();
    for reject in app.store.reject_list(Some(connection), REJECTS).await? {
        if batches.iter().any(|batch| batch.id == reject.batch_id) {
            *reasons.entry(reject.reason).or_default() += reject.count;
        }
    }
    let most = reasons
        .into_iter()
        .max_by(|left, right| left.1.cmp(&right.1).then_with(|| right.0.cmp(&left.0)));
    let reason = most.map_or(String::new(), |(reason, _)| format!("; most often: {reason}"));
    Ok(Some(format!(
        "{rejected} of the last {} {WERE_REJECTED} {all} batches{reason}",
        records.max(rejected)
    )))
}

/// Makes a state that says nothing bad `failing` where what comes cannot be used, and one that was made so `working`
/// where it can be used again.
pub(super) async fn judge(
    app: &App,
    connection: &ConnectionId,
    dataset: &str,
    source: &str,
    state: &mut SourceState,
    problem: &mut Option<String>,
) -> Result<(), StoreError> {
    let was_ours = problem
        .as_ref()
        .is_some_and(|words| words.contains(WERE_REJECTED));
    if !was_ours && (state.is_bad() || *state == SourceState::Off) {
        return Ok(());
    }
    match unusable(app, connection, dataset, source).await? {
        Some(words) => {
            *state = SourceState::Failing;
            *problem = Some(words);
        }
        None if was_ours => {
            *state = SourceState::Working;
            *problem = None;
        }
        None => {}
    }
    Ok(())
}
