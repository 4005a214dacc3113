//! Which dataset a record belongs to, told by the names of its fields.

use super::dataset::{DATASETS, Dataset};
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Dataset, field, type and whether Cloudflare means to drop it, as its field reference has them; and the fields of the
/// dataset that is ours.
const FIELDS: &str = include_str!("dataset_fields.tsv");

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

/// Whether this dataset is known to have this field.
pub fn has_field(dataset: &str, field: &str) -> bool {
    KNOWN
        .get(field)
        .is_some_and(|places| places.iter().any(|place| DATASETS[*place].name == dataset))
}

/// The dataset whose fields these names are, if one fits best and at least half of the names are its own.
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

/// The dataset of a line, if it is an object of one.
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
