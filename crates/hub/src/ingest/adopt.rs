//! Gives events to the person whose address they carry, once that person is known.
//!
//! Logs may come in before the first sync, or before a new colleague is listed. Reads `unmapped_identifier` and
//! `person`; writes `event`, `detection`, the journal, and sends the batches concerned through detection again, since
//! some rules look at one person's events together. Repeating changes nothing.

use crate::app::App;
use store::StoreError;

/// Identifiers that are given in one transaction each, before the next stage has its turn.
const IDENTIFIERS: i64 = 100;

/// Gives what can be given. Answers how many identifiers found their person.
///
/// # Errors
///
/// When the store refuses.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    app.store.event_adopt(app.clock.now(), IDENTIFIERS).await
}
