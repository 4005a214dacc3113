//! Finds the dataset of a record by the names of its fields.

use super::dataset::{DATASETS, Dataset};
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Dataset, field, type and whether Cloudflare plans to remove it, according to its field reference; and the fields of
/// Flareward's own dataset.
pub const FIELDS: &str = include_str!("dataset_fields.tsv");

static KNOWN: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
    for (dataset, field) in documented() {
        if let Some(place) = DATASETS.iter().position(|other| other.name == dataset) {
            known.entry(field).or_default().push(place);
        }
    }
    known
});

fn documented() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        Some((columns.next()?, columns.next()?))
    })
}

/// Whether this dataset has this field.
pub fn has_field(dataset: &str, field: &str) -> bool {
    KNOWN
        .get(field)
        .is_some_and(|places| places.iter().any(|place| DATASETS[*place].name == dataset))
}

/// The dataset with these field names, if one fits best and has at least half of the names.
pub fn dataset_of<'k>(keys: impl IntoIterator<Item = &'k str>) -> Option<&'static Dataset> {
    let mut counts = [0_usize; DATASETS.len()];
    let mut all = 0;
    for key in keys {
        all += 1;
        for place in KNOWN.get(key).into_iter().flatten() {
            counts[*place] += 1;
        }
    }
    let best = counts.iter().copied().max().filter(|best| *best > 0)?;
    let mut fitting = (0..DATASETS.len()).filter(|place| counts[*place] == best);
    let place = fitting.next()?;
    (fitting.next().is_none() && best * 2 >= all).then(|| &DATASETS[place])
}

/// Whether the names could be fields of a dataset, although none fits best.
pub(crate) fn may_be_ours<'k>(keys: impl IntoIterator<Item = &'k str>) -> bool {
    let mut counts = [0_usize; DATASETS.len()];
    let mut all = 0;
    for key in keys {
        all += 1;
        for place in KNOWN.get(key).into_iter().flatten() {
            counts[*place] += 1;
        }
    }
    let best = counts.into_iter().max().unwrap_or(0);
    best > 0 && best * 2 >= all
}

/// The keys of a line, if it is an object.
pub fn keys_of_line(line: &[u8]) -> Option<Vec<String>> {
    let record: BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).ok()?;
    Some(record.into_keys().collect())
}

/// The other dataset that a record clearly belongs to: the record has at least two more keys of it in addition to those
/// shared with `dataset`, and none that only `dataset` has; or one more, if the time of `dataset` is missing.
pub(crate) fn plainly_other<'k, K: Iterator<Item = &'k str>>(
    keys: impl Fn() -> K,
    dataset: &Dataset,
) -> Option<&'static Dataset> {
    let own = DATASETS.iter().position(|other| other.name == dataset.name)?;
    let places = |key: &str| KNOWN.get(key).map(Vec::as_slice).unwrap_or_default();
    // Nearly every record has no key that only others know.
    if !keys().any(|key| matches!(places(key), known if !known.is_empty() && !known.contains(&own))) {
        return None;
    }
    let mut more = [0_usize; DATASETS.len()];
    let mut lacks = [false; DATASETS.len()];
    for key in keys() {
        let known = places(key);
        let is_own = known.contains(&own);
        for place in 0..DATASETS.len() {
            match (is_own, known.contains(&place)) {
                (true, false) => lacks[place] = true,
                (false, true) => more[place] += 1,
                _ => {}
            }
        }
    }
    let needed = if keys().any(|key| key == dataset.time) {
        2
    } else {
        1
    };
    (0..DATASETS.len())
        .filter(|place| *place != own && !lacks[*place] && more[*place] >= needed)
        .max_by_key(|place| more[*place])
        .map(|place| &DATASETS[place])
}

/// The maximum number of keys of a record that [`key_weights`] can count.
pub(crate) const WEIGHED_BYTES: usize = 256 << 10;
/// The weight of a key that belongs to no dataset, in [`key_weights`].
pub(crate) const OTHER_KEY: u64 = 1;
const OWN_KEY: u64 = 1 << 16;
const OWN_ALONE: u64 = 1 << 32;
const FOREIGN_KEY: u64 = 1 << 48;

/// The weight of each known key as evidence for this dataset: all keys, those of the dataset, those of no other, and
/// those only of others, in sixteen bits each.
pub(crate) fn key_weights(dataset: &Dataset) -> impl Iterator<Item = (String, u64)> {
    let own = DATASETS.iter().position(|other| other.name == dataset.name);
    KNOWN.iter().map(move |(key, places)| {
        let weight = match own {
            Some(own) if places.as_slice() == [own] => OWN_KEY | OWN_ALONE,
            Some(own) if places.contains(&own) => OWN_KEY,
            _ => FOREIGN_KEY,
        };
        ((*key).to_owned(), OTHER_KEY | weight)
    })
}

/// Whether a record with this total weight belongs to the dataset, with the same result as [`dataset_of`]: no other can
/// fit as well. `false` means that the dataset is unknown.
pub(crate) fn weighs_enough(sum: u64) -> bool {
    let part = |place: u32| (sum >> place) & 0xffff;
    let (all, own, alone, foreign) = (part(0), part(16), part(32), part(48));
    foreign < alone && own * 2 >= all
}

/// The dataset of a line, if it is an object of a dataset.
pub fn dataset_of_line(line: &[u8]) -> Option<&'static Dataset> {
    let record: BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).ok()?;
    dataset_of(record.keys().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_record_of_each_dataset_is_told() {
        for dataset in DATASETS {
            let keys = documented()
                .filter(|(name, _)| *name == dataset.name)
                .map(|(_, field)| field);
            assert_eq!(dataset_of(keys).map(|found| found.name), Some(dataset.name));
            assert!(has_field(dataset.name, dataset.time), "{}", dataset.name);
        }
    }

    #[test]
    fn what_weighs_enough_is_of_the_dataset() {
        let mut numbers = 1_u64;
        let mut below = |end: usize| {
            numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (numbers >> 33) as usize % end
        };
        let fields: Vec<(&str, &str)> = documented().collect();
        let mut enough = 0;
        for dataset in DATASETS {
            let weights: HashMap<String, u64> = key_weights(dataset).collect();
            let own: Vec<&str> = fields
                .iter()
                .filter(|(name, _)| *name == dataset.name)
                .map(|(_, field)| *field)
                .collect();
            for _ in 0..300 {
                let mut keys: Vec<&str> = (0..below(6)).map(|_| own[below(own.len())]).collect();
                keys.extend((0..below(5)).map(|_| fields[below(fields.len())].1));
                keys.extend(["NewField", "Another"].iter().take(below(3)));
                keys.sort_unstable();
                keys.dedup();
                let sum = keys
                    .iter()
                    .map(|key| weights.get(*key).copied().unwrap_or(OTHER_KEY))
                    .sum();
                if weighs_enough(sum) {
                    enough += 1;
                    let found = dataset_of(keys.iter().copied());
                    assert_eq!(found.map(|found| found.name), Some(dataset.name), "{keys:?}");
                }
            }
        }
        assert!(enough > 1_000, "{enough}");
    }

    #[test]
    fn a_record_is_of_another_dataset_only_where_that_is_plain() {
        for (keys, of, expected) in [
            (
                "Datetime Email SessionID Action SNI DestinationIP Transport",
                "gateway_dns",
                Some("gateway_network"),
            ),
            (
                "CreatedAt Email RayID Action Allowed AppDomain",
                "gateway_dns",
                Some("access_requests"),
            ),
            (
                "Datetime Email QueryID QueryName NewField Another",
                "gateway_dns",
                None,
            ),
            ("Datetime Email QueryID SNI DestinationIP", "gateway_dns", None),
            ("Datetime Email", "gateway_dns", None),
            ("Datetime Email Action SourceIP", "gateway_http", None),
            ("Image ProcessId UtcTime", "gateway_dns", None),
        ] {
            let dataset = Dataset::named(of).unwrap();
            let found = plainly_other(|| keys.split(' '), dataset).map(|other| other.name);
            assert_eq!(found, expected, "{keys}");
        }
        for dataset in DATASETS {
            let own: Vec<&str> = documented()
                .filter(|(name, _)| *name == dataset.name)
                .map(|(_, field)| field)
                .collect();
            assert_eq!(plainly_other(|| own.iter().copied(), dataset), None);
        }
    }

    #[test]
    fn parts_of_records_are_told_where_they_fit_one_alone() {
        for (line, expected) in [
            (
                r#"{"Datetime":1,"QueryName":"a","Email":"b","New":1}"#,
                Some("gateway_dns"),
            ),
            (
                r#"{"Datetime":1,"URL":"a","HTTPMethod":"GET"}"#,
                Some("gateway_http"),
            ),
            (r#"{"Datetime":1,"Email":"b"}"#, None),
            (
                r#"{"QueryName":"a","Image":"b","ProcessId":1,"UtcTime":"x"}"#,
                None,
            ),
            ("{}", None),
            ("[]", None),
        ] {
            let found = dataset_of_line(line.as_bytes()).map(|dataset| dataset.name);
            assert_eq!(found, expected, "{line}");
        }
    }
}
