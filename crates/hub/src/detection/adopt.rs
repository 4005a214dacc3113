//! Brings detections in step with who is who: identifiers that were unmapped and belong to a person by now.
//!
//! Logs may come in before the first sync, or before a new colleague is listed. Reads `unmapped_identifier`, the people
//! and the archive; writes `detection` and the journal, and shows the records of the identifier to the rules again, since
//! some rules look at one person's records together. Records themselves stay as they are: whose they are is asked when
//! they are read. Repeating changes nothing.

use super::{again, settle};
use crate::app::App;
use crate::fault;
use crate::journal_words;
use crate::people::{self, AddressRules};
use crate::record;
use archive::read::Wanted;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rules::book::RuleBook;
use std::collections::BTreeSet;
use store::{Adoptable, LIST_LIMIT_MAX, PartFilter, StoreError};

/// Identifiers that are adopted before the next stage has its turn.
const IDENTIFIERS: i64 = 100;

/// Adopts what can be adopted. Answers how many identifiers found their person.
///
/// # Errors
///
/// When the store refuses.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    if !AddressRules::new(&app.settings.people).is_empty() {
        // Whoever a rule finds gets the identifier as a further address, by which it is given below.
        let unmapped = app.store.unmapped_list(None, LIST_LIMIT_MAX).await?;
        let mut identifiers: Vec<String> = unmapped.into_iter().map(|row| row.identifier).collect();
        identifiers.retain(|identifier| !identifier.starts_with("non_identity@"));
        identifiers.sort_unstable();
        identifiers.dedup();
        people::find(app, &identifiers).await?;
    }
    let found = app.store.adoptable(IDENTIFIERS).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let book = app.rules();
    for one in &found {
        let now = app.clock.now();
        app.store
            .adopt_detections(one, &journal_words::detection_mapped, now)
            .await?;
        look_again(app, &book, one, now).await?;
        fault::point("adopt.looked");
    }
    settle::settle(app, &book).await?;
    let mut adopted = 0;
    for one in &found {
        adopted += usize::from(app.store.adopted(one).await?);
    }
    Ok(adopted)
}

/// Shows the records of an identifier to the rules. A part that cannot be read is left out: its detections stay as they
/// are.
async fn look_again(
    app: &App,
    book: &RuleBook,
    found: &Adoptable,
    began_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let names = std::slice::from_ref(&found.identifier);
    for seen in app.store.identifier_seen(names).await? {
        if seen.connection_id != found.connection_id {
            continue;
        }
        let filter = PartFilter {
            since_us: Some(seen.first_at.timestamp_micros()),
            until_us: Some(seen.last_at.timestamp_micros().saturating_add(1)),
            dataset: Some(seen.dataset),
        };
        let mut tries = 0;
        while look_at_parts(app, book, found, &filter, began_at).await? && tries < record::TRIES {
            tries += 1;
        }
    }
    Ok(())
}

/// Returns whether a part was replaced meanwhile, so that its records are in another one.
async fn look_at_parts(
    app: &App,
    book: &RuleBook,
    found: &Adoptable,
    filter: &PartFilter,
    began_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let wanted = Wanted {
        identifiers: Some(BTreeSet::from([found.identifier.clone()])),
        connection: Some(found.connection_id.0.clone()),
        ..Wanted::default()
    };
    let mut is_replaced = false;
    for part in app.store.part_list(filter).await? {
        let part = record::part_info(part);
        if !wanted.may_be_in(&part) {
            continue;
        }
        let read = async {
            let mut records = app.archive.parts().records(&part, &wanted).await?;
            let mut all = Vec::new();
            while let Some(some) = records.try_next().await? {
                all.extend(some);
            }
            Ok::<_, archive::PartError>(all)
        };
        match read.await {
            Ok(records) => {
                for some in records.chunks(1_000) {
                    again::look(app, book, &part.dataset, some, began_at).await?;
                }
            }
            Err(error) if record::is_replaced(app, &error).await? => is_replaced = true,
            Err(error) => tracing::error!("{}", crate::causes(&error)),
        }
    }
    Ok(is_replaced)
}
