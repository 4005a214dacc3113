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

/// The maximum number of [`own_fields`]. Chosen: a record rarely lacks all of them.
const OWN_FIELDS_MAX: usize = 4;

/// Fields other than the time that only this dataset has; those that normalising uses come first.
pub(crate) fn own_fields(dataset: &Dataset) -> Vec<&'static str> {
    let used = [dataset.key, dataset.target, dataset.action, dataset.identifier].concat();
    let documented = documented()
        .filter(|(name, _)| *name == dataset.name)
        .map(|(_, field)| field);
    let mut own: Vec<&str> = Vec::new();
    for field in used.into_iter().chain(documented) {
        let is_alone = has_field(dataset.name, field) && KNOWN[field].len() == 1;
        if is_alone && field != dataset.time && !own.contains(&field) && own.len() < OWN_FIELDS_MAX {
            own.push(field);
        }
    }
    own
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
    fn the_time_and_an_own_field_show_the_dataset() {
        for dataset in DATASETS {
            let own = own_fields(dataset);
            assert!(!own.is_empty(), "{}", dataset.name);
            for field in own {
                let found = dataset_of([dataset.time, field]);
                assert_eq!(found.map(|found| found.name), Some(dataset.name), "{field}");
            }
        }
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
