//! Finds values that are seen for the first time in a long period. This is our extension to Sigma rules.
//!
//! A pure function of all sightings of one group, independent of their order.

use std::collections::HashMap;

const DAY_NS: i64 = 86_400_000_000_000;

/// The earliest event of a day (UTC) that a rule selected with this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The time, in nanoseconds since 1970.
    pub at_ns: i64,
    /// Digest of the value.
    pub value: u64,
    /// Identifies the event.
    pub id: u128,
}

/// The indexes of the new sightings: their value was not seen in the previous `days` days, and the group was first seen
/// at least `learning_days` days before. Later sightings on the same day are not new.
///
/// Sorts `sightings` by time first.
pub fn first_seen(sightings: &mut [Sighting], days: i64, learning_days: i64) -> Vec<usize> {
    sightings.sort_unstable_by_key(|sighting| (sighting.at_ns, sighting.value, sighting.id));
    let Some(begin) = sightings.first().map(|first| day(first.at_ns)) else {
        return Vec::new();
    };
    let mut last_day: HashMap<u64, i64> = HashMap::new();
    let mut new = Vec::new();
    for (place, sighting) in sightings.iter().enumerate() {
        let today = day(sighting.at_ns);
        let before = last_day.insert(sighting.value, today);
        let is_known = before.is_some_and(|before| today - before <= days);
        if !is_known && today - begin >= learning_days {
            new.push(place);
        }
    }
    new
}

/// The day (UTC) of a time in nanoseconds since 1970, as days since 1970.
pub fn day(at_ns: i64) -> i64 {
    at_ns.div_euclid(DAY_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(day: i64, value: u64) -> Sighting {
        Sighting {
            at_ns: day * DAY_NS + 5,
            value,
            id: u128::from(value),
        }
    }

    #[test]
    fn a_value_is_new_after_its_absence_and_after_learning() {
        let seen = [(0, 1), (1, 2), (7, 1), (7, 3), (8, 3), (37, 3), (39, 3), (70, 3)];
        let mut sightings: Vec<Sighting> = seen.iter().map(|(day, value)| sighting(*day, *value)).collect();
        sightings.reverse();
        let new = first_seen(&mut sightings, 30, 7);
        let days: Vec<(i64, u64)> = new
            .iter()
            .map(|place| (day(sightings[*place].at_ns), sightings[*place].value))
            .collect();
        assert_eq!(days, [(7, 3), (70, 3)]);
        assert_eq!(first_seen(&mut [], 30, 7), Vec::<usize>::new());
    }
}
