//! The parts of the archive: finds those that have records of a person, and writes them anew without these.

use super::{PurgeError, PurgePlan, stop_if_cancelled};
use crate::app::App;
use crate::fault;
use crate::progress::Progress;
use crate::record;
use archive::read::Wanted;
use archive::write::PartInfo;
use archive::{PartError, Record};
use futures::TryStreamExt;
use std::collections::BTreeSet;
use store::{PartFilter, PurgeRow, StoreError};

/// Adds the parts that would be written anew, and their records of the person.
pub(super) async fn plan(
    app: &App,
    identifiers: &BTreeSet<String>,
    plan: &mut PurgePlan,
) -> Result<(), PurgeError> {
    let wanted = wanted(identifiers);
    for part in list(app, &wanted).await? {
        let count = match count(app, &part, &wanted).await {
            // A part that is lost has no records to remove.
            Err(error) if error.is_missing() => 0,
            counted => counted?,
        };
        plan.objects += i64::from(count > 0);
        plan.events += count;
    }
    Ok(())
}

/// Writes every part that has records of the person anew without them, and looks again until none has any.
pub(super) async fn remove(
    app: &App,
    row: &mut PurgeRow,
    identifiers: &BTreeSet<String>,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), PurgeError> {
    let wanted = wanted(identifiers);
    loop {
        let list = list(app, &wanted).await?;
        let total = u64::try_from(list.len()).ok();
        let mut is_clean = true;
        for (done, part) in list.into_iter().enumerate() {
            stop_if_cancelled(app, row).await?;
            show(Progress {
                what: "searching the archive".to_owned(),
                done: done as u64,
                total,
            });
            let count = match count(app, &part, &wanted).await {
                // Another process has replaced it: its records are looked at with the next list. Or it is lost, and has
                // no records of anyone.
                Err(error) if error.is_missing() => {
                    is_clean &= !record::is_replaced(app, &error).await?;
                    continue;
                }
                counted => counted?,
            };
            if count == 0 {
                continue;
            }
            is_clean = false;
            if rewrite(app, &part, identifiers).await? {
                row.objects += 1;
                row.events += count;
                app.store.purge_progress(row).await?;
            }
        }
        if is_clean {
            break;
        }
    }
    // Parts that were replaced before may still be there for their readers.
    Ok(record::delete_dropped(app, app.clock.now()).await?)
}

fn wanted(identifiers: &BTreeSet<String>) -> Wanted {
    Wanted {
        identifiers: Some(identifiers.clone()),
        ..Wanted::default()
    }
}

/// The parts that may have such records, by what the list says.
async fn list(app: &App, wanted: &Wanted) -> Result<Vec<PartInfo>, StoreError> {
    let all = app.store.part_list(&PartFilter::default()).await?;
    let all = all.into_iter().map(record::part_info);
    Ok(all.filter(|part| wanted.may_be_in(part)).collect())
}

async fn count(app: &App, part: &PartInfo, wanted: &Wanted) -> Result<i64, PartError> {
    let mut records = app.archive.parts().records(part, wanted).await?;
    let mut count = 0;
    while let Some(some) = records.try_next().await? {
        count += i64::try_from(some.len()).unwrap_or(i64::MAX);
    }
    Ok(count)
}

/// Replaces a part by one without the records of these identifiers, and deletes its object at once. Returns `false` if
/// another process replaced it first.
async fn rewrite(app: &App, part: &PartInfo, identifiers: &BTreeSet<String>) -> Result<bool, PurgeError> {
    let folder = part.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let keep = |record: &Record| {
        let own = record.identifier.as_ref();
        own.is_none_or(|own| !identifiers.contains(own))
    };
    if !record::rewrite(app, std::slice::from_ref(part), folder, usize::MAX, keep).await? {
        return Ok(false);
    }
    fault::point("purge.rewritten");
    app.archive.parts().remove(&part.path).await?;
    app.store.part_forget(&part.path).await?;
    Ok(true)
}
