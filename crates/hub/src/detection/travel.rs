//! Impossible travel: two selected events of one person farther apart than anyone could go in between.
//!
//! An event is shown as a detection when an earlier one, at most [`LOOK_BACK`] before, lies in a country so far
//! away that the journey would have been faster than the rule allows. Each pair is looked at whichever of the
//! two comes in last, so the order in which records arrive does not matter. Distances are between the middles
//! of countries, all that the record tells.

use super::{countries, detection};
use crate::app::App;
use crate::rule_book::{BookRule, Travel};
use chrono::TimeDelta;
use model::PersonId;
use store::{DetectionRow, EventRow, StoreError};

/// How far back an earlier event counts. A day: no two places are farther apart by air.
const LOOK_BACK: TimeDelta = TimeDelta::hours(24);

pub(super) async fn look(
    app: &App,
    rule: &BookRule,
    limits: &Travel,
    event: &EventRow,
) -> Result<Vec<DetectionRow>, StoreError> {
    let Some(person) = event.person_id.clone().map(PersonId) else {
        return Ok(Vec::new());
    };
    if event.country.is_none() {
        return Ok(Vec::new());
    }
    let (from, to) = (event.at - LOOK_BACK, event.at + LOOK_BACK);
    let mut found = Vec::new();
    for other in app.store.event_between(&event.dataset, &person, from, to).await? {
        let is_selected = other.id != event.id
            && serde_json::from_str(&other.raw)
                .is_ok_and(|record: serde_json::Value| rule.compiled.matches(&record));
        if !is_selected {
            continue;
        }
        let (earlier, later) = if (other.at, &other.id) < (event.at, &event.id) {
            (&other, event)
        } else {
            (event, &other)
        };
        if let Some(detail) = journey(limits, earlier, later) {
            found.push(detection(app.clock.now(), rule, later, Some(detail)));
        }
    }
    Ok(found)
}

/// The journey in words, if nobody could have made it.
fn journey(limits: &Travel, earlier: &EventRow, later: &EventRow) -> Option<String> {
    let (from, to) = (earlier.country.as_deref()?, later.country.as_deref()?);
    let distance_km = countries::distance_km(from, to)?;
    let minutes = (later.at - earlier.at).num_seconds() as f64 / 60.0;
    let hours = minutes / 60.0;
    let is_possible = distance_km < limits.distance_km || distance_km <= limits.speed_kmh * hours;
    (!is_possible).then(|| format!("{from} to {to}, about {distance_km:.0} km in {minutes:.0} minutes"))
}
