//! Shows archived records to the rules again: what they match now replaces what they matched before.

use super::{Look, Looked, collapse_us};
use crate::app::App;
use crate::people;
use archive::Record;
use chrono::{DateTime, Utc};
use rules::book::RuleBook;
use rules::detector::DetectorScratch;
use std::collections::BTreeSet;
use store::{MatchRun, StoreError};

/// Looks at records of one dataset. `began_at` is the time of the whole look: matches that others stored after it stay.
pub(super) async fn look(
    app: &App,
    book: &RuleBook,
    dataset: &str,
    records: &[Record],
    began_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let named = records.iter().filter(|record| record.is_person);
    let names: BTreeSet<String> = named.filter_map(|record| record.identifier.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let people = people::whose(app, &names).await?;
    let look = Look {
        dataset,
        book,
        people: &people,
        collapse_us: collapse_us(app),
        late_before_us: None,
    };
    let mut found = Looked::default();
    look.at(records, &mut DetectorScratch::default(), &mut found);
    let run = MatchRun {
        began_at,
        stamp: app.ids.new_id(began_at),
    };
    let looked_at: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
    app.store.test_match_record(&found.tested).await?;
    app.store
        .match_keep_again(&looked_at, &found.matches, &found.evidence, &run)
        .await?;
    Ok(())
}
