//! Finds which datasets have parts, by the names of the objects.
//!
//! For readers without the list of parts. Start reading at [`datasets`].

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use std::collections::BTreeSet;

/// The names of the datasets that have at least one part. Lists each dataset until its first part.
///
/// # Errors
///
/// When the object store cannot be listed.
pub async fn datasets(objects: &dyn ObjectStore) -> object_store::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in objects.list_with_delimiter(None).await?.common_prefixes {
        let mut below = objects.list(Some(&folder));
        while let Some(object) = below.try_next().await? {
            if let Some(dataset) = dataset_of(&object.location) {
                found.insert(dataset.to_owned());
                break;
            }
        }
    }
    Ok(found)
}

/// The dataset of a part; `None` for any other object.
fn dataset_of(path: &ObjectPath) -> Option<&str> {
    let mut names = path.as_ref().split('/');
    let dataset = names.next()?.strip_prefix("dataset=")?;
    names.next()?.strip_prefix("date=")?;
    names.next()?.strip_prefix("hour=")?;
    let name = names.next()?;
    let is_part = name.starts_with("part-") && name.ends_with(".parquet") && names.next().is_none();
    is_part.then_some(dataset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    #[tokio::test]
    async fn a_dataset_is_found_by_a_part_and_by_nothing_else() {
        let objects = InMemory::new();
        for path in [
            "dataset=access_requests/date=2026-11-27/hour=08/c-1.ndjson.gz",
            "dataset=access_requests/date=2026-11-27/hour=09/part-1.parquet",
            "dataset=gateway_http/date=mixed/hour=mixed/part-2.parquet",
            "dataset=gateway_dns/date=2026-11-27/hour=08/c-1.ndjson.gz",
            "dataset=ssh_logs/date=2026-11-27/part-1.parquet",
            "dataset=ssh_logs/date=2026-11-27/hour=08/other.parquet",
            "incoming/part-1.parquet",
            "exports/dataset=audit_logs/date=2026-11-27/hour=08/part-1.parquet",
        ] {
            let content = PutPayload::from_static(b"x");
            objects.put(&ObjectPath::from(path), content).await.unwrap();
        }
        let found = datasets(&objects).await.unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["access_requests", "gateway_http"]
        );
    }
}
