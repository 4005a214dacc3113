//! Gives events to the person whose address they carry, once that person is known.
//!
//! Logs may come in before the first sync, or before a new colleague is listed. Reads `unmapped_identifier` and
//! `person`; writes `event`, `detection`, the journal, and sends the batches concerned through detection again, since
//! some rules look at one person's events together. Repeating changes nothing.

use crate::app::App;
use crate::journal_words;
use crate::people::{self, AddressRules};
use store::{LIST_LIMIT_MAX, StoreError};

/// Identifiers that are given in one transaction each, before the next stage has its turn.
const IDENTIFIERS: i64 = 100;

/// Gives what can be given. Answers how many identifiers found their person.
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
    app.store
        .event_adopt(IDENTIFIERS, &journal_words::detection_mapped, app.clock.now())
        .await
}
