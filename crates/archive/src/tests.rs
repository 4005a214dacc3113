//! Parts as a whole: what is written is found, merged, removed and verified.

use crate::merge::{self, Merged};
use crate::read::{Parts, Wanted};
use crate::record::{Record, RecordId};
use crate::search::{self, Cursor, Found, Search};
use crate::{PartError, PartInfo, verify, write};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

const HOUR_US: i64 = 3_600_000_000;

fn record(number: u32, at_us: i64, identifier: Option<&str>) -> Record {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    Record {
        id: RecordId(id),
        at_us,
        identifier: identifier.map(str::to_owned),
        is_person: identifier.is_some(),
        action: number.is_multiple_of(3).then(|| "block".to_owned()),
        target: Some(format!("host-{}.example", number % 7)),
        source_ip: None,
        country: Some("DE".to_owned()),
        connection: format!("c{}", number % 2),
        batch: "b".to_owned(),
        line: u64::from(number),
        is_repaired: false,
        raw: format!("{{\"n\":{number},\"text\":\"\u{e9}\"}}"),
    }
}

struct Archive {
    objects: Arc<InMemory>,
    parts: Arc<Parts>,
    list: Vec<PartInfo>,
}

impl Archive {
    fn new() -> Self {
        let objects = Arc::new(InMemory::new());
        let store: Arc<dyn ObjectStore> = objects.clone();
        Self {
            objects,
            parts: Arc::new(Parts::new(store, 1 << 20)),
            list: Vec::new(),
        }
    }

    async fn add(&mut self, records: Vec<Record>) {
        let path = format!("{}/{}.parquet", write::folder("gateway_dns", 0), self.list.len());
        if let Some((info, content)) = write::part("gateway_dns", &path, records).unwrap() {
            self.parts.put(&info, content).await.unwrap();
            self.list.push(info);
        }
    }

    async fn search(&self, search: &Search) -> Found {
        search::run(&self.parts, &self.list, search).await
    }
}

fn everything(limit: usize) -> Search {
    Search {
        wanted: Wanted::default(),
        condition: None,
        after: None,
        limit,
        records_max: u64::MAX,
        parts_at_once: 2,
    }
}

fn plain(found: &Found) -> Vec<Record> {
    assert!(
        found
            .records
            .iter()
            .all(|(dataset, _)| &**dataset == "gateway_dns")
    );
    found.records.iter().map(|(_, record)| record.clone()).collect()
}

/// The test for records, whatever their dataset.
fn test(fits: impl Fn(&str) -> bool + Copy + Send + Sync + 'static) -> Option<search::Condition> {
    Some(Arc::new(move |_: &str| Box::new(fits)))
}

fn one_of(identifiers: &[&str]) -> Wanted {
    Wanted {
        identifiers: Some(identifiers.iter().map(|one| (*one).to_owned()).collect()),
        ..Wanted::default()
    }
}

/// What a search must find.
fn expected(all: &[Record], fits: impl Fn(&Record) -> bool) -> Vec<Record> {
    let mut seen = HashSet::new();
    let mut records: Vec<Record> = all.iter().filter(|one| fits(one)).cloned().collect();
    records.retain(|one| seen.insert((one.at_us, one.id)));
    records.sort_by_key(|one| Reverse((one.at_us, one.id)));
    records
}

async fn all_pages(archive: &Archive, mut search: Search) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let found = archive.search(&search).await;
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        assert!(found.records.len() <= search.limit);
        records.extend(plain(&found));
        match found.next {
            Some(next) => search.after = Some(next),
            None => return records,
        }
    }
}

const NAMES: [Option<&str>; 5] = [None, Some("ana"), Some("bo"), Some("caro"), Some("z\u{fc}")];

/// Numbers of records, part by part: one number is one record, however often it comes.
fn numbers() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0_u32..400, 0..120), 0..6)
}

/// The archive with these parts, and all records that were written.
async fn filled(parts: &[Vec<u32>]) -> (Archive, Vec<Record>) {
    let mut archive = Archive::new();
    let mut all = Vec::new();
    for numbers in parts {
        let name = |number: u32| NAMES[number as usize % NAMES.len()];
        let records = numbers
            .iter()
            .map(|number| record(*number, i64::from(number % 50), name(*number)));
        let records: Vec<Record> = records.collect();
        all.extend(records.clone());
        archive.add(records).await;
    }
    (archive, all)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_give_what_was_written_newest_first(rows in numbers(), limit in 1_usize..40, who in 1_usize..NAMES.len()) {
        block_on(async {
            let (archive, all) = filled(&rows).await;
            let found = all_pages(&archive, everything(limit)).await;
            assert_eq!(found, expected(&all, |_| true));

            let name = NAMES[who].unwrap();
            let mut search = everything(limit);
            search.wanted = Wanted { since_us: 5, until_us: 40, connection: Some("c1".to_owned()), ..one_of(&[name]) };
            search.condition = test(|raw: &str| raw.contains('1'));
            let fits = |one: &Record| {
                one.identifier.as_deref() == Some(name) && (5..40).contains(&one.at_us) && one.connection == "c1"
                    && one.raw.contains('1')
            };
            assert_eq!(all_pages(&archive, search).await, expected(&all, fits));
        });
    }

    #[test]
    fn a_merge_keeps_every_record_once(rows in numbers(), part_bytes in 1_usize..20_000) {
        block_on(async {
            let (mut archive, all) = filled(&rows).await;
            let written: u64 = archive.list.iter().map(|part| part.records).sum();
            let (parts, mut made) = (&archive.parts, Vec::new());
            let merged = merge::run(
                parts,
                &archive.list,
                part_bytes,
                |one| one.identifier.as_deref() != Some("bo"),
                |number| format!("merged/{number}.parquet"),
                |info, content| {
                    made.push(info.clone());
                    async move { parts.put(&info, content).await }
                },
            )
            .await
            .unwrap();
            let whole = expected(&all, |_| true);
            let kept = expected(&all, |one| one.identifier.as_deref() != Some("bo"));
            assert_eq!(merged, Merged {
                kept: kept.len() as u64,
                removed: (whole.len() - kept.len()) as u64,
                repeats: written - whole.len() as u64,
            });
            for part in &made {
                verify::part(parts, part).await.unwrap();
            }
            archive.list = made;
            assert_eq!(all_pages(&archive, everything(50)).await, kept);
        });
    }
}

#[tokio::test]
async fn one_persons_records_and_one_id_are_found_in_a_large_part() {
    let mut archive = Archive::new();
    let count = 150_000_u32;
    let name = |number: u32| format!("person-{:05}@corp.example", number % 5_000);
    let all = (0..count).map(|number| {
        let anonymous = number.is_multiple_of(4);
        record(
            number,
            i64::from(number),
            Some(&name(number)).filter(|_| !anonymous).map(String::as_str),
        )
    });
    archive.add(all.collect()).await;
    let mut search = everything(1_000);
    search.wanted = one_of(&["person-00001@corp.example"]);
    let found = archive.search(&search).await;
    let numbers: Vec<u64> = plain(&found).iter().map(|one| one.line).collect();
    let expected: Vec<u64> = (0..u64::from(count))
        .rev()
        .filter(|n| n % 5_000 == 1 && n % 4 != 0)
        .collect();
    assert_eq!(numbers, expected);
    let by_id = Search {
        wanted: Wanted {
            ids: Some(HashSet::from([plain(&found)[3].id])),
            ..Wanted::default()
        },
        ..everything(10)
    };
    assert_eq!(plain(&archive.search(&by_id).await), plain(&found)[3..4]);
    search.wanted = one_of(&["nobody@corp.example", "person-99999@corp.example"]);
    let none = archive.search(&search).await;
    assert!(
        none.records.is_empty() && none.read == 0,
        "the list of parts answers"
    );
}

#[tokio::test]
async fn a_bound_says_how_far_back_the_search_came() {
    let mut archive = Archive::new();
    for hour in 0..10 {
        let records = (0..100).map(|n| {
            record(
                hour * 100 + n,
                i64::from(hour) * HOUR_US + i64::from(n),
                Some("ana"),
            )
        });
        archive.add(records.collect()).await;
    }
    let search = Search {
        records_max: 250,
        parts_at_once: 1,
        condition: test(|raw: &str| raw.contains("\"n\":1") || raw.contains("\"n\":95")),
        ..everything(1_000)
    };
    let found = archive.search(&search).await;
    assert_eq!(found.read, 300);
    let until = found.searched_until_us.unwrap();
    assert_eq!(until, 6 * HOUR_US + 100, "the three newest hours were searched");
    let numbers: Vec<u64> = plain(&found).iter().map(|one| one.line).collect();
    assert_eq!(numbers, (950..960).rev().collect::<Vec<u64>>());
    // The next question goes on from there.
    let rest = Search {
        records_max: u64::MAX,
        wanted: Wanted {
            until_us: until,
            ..Wanted::default()
        },
        ..search
    };
    let found = archive.search(&rest).await;
    assert_eq!((found.searched_until_us, found.records.len()), (None, 112));
}

#[tokio::test]
async fn what_is_wrong_with_a_part_is_named_and_the_rest_is_answered() {
    let mut archive = Archive::new();
    for part in 0..4 {
        let records = (0..50).map(|n| record(part * 50 + n, i64::from(part * 50 + n), Some("ana")));
        archive.add(records.collect()).await;
    }
    let path = |place: usize| object_store::path::Path::from(archive.list[place].path.as_str());
    let content = archive
        .objects
        .get(&path(2))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    archive.objects.delete(&path(0)).await.unwrap();
    let cut = content.slice(..content.len() / 2);
    archive
        .objects
        .put(&path(1), PutPayload::from(cut))
        .await
        .unwrap();
    let mut swapped = archive.list[3].clone();
    swapped.records += 1;
    archive.list[3] = swapped;
    let found = archive.search(&everything(1_000)).await;
    let numbers: BTreeSet<u64> = plain(&found).iter().map(|one| one.line).collect();
    assert_eq!(numbers, (100..150).collect());
    assert_eq!(found.unread.len(), 3);
    let named = |place: usize| {
        let mut errors = found.unread.iter();
        errors
            .find(|error| error.to_string().contains(&archive.list[place].path))
            .unwrap()
    };
    assert!(named(0).is_missing());
    assert!(!named(1).is_missing(), "{}", named(1));
    assert!(matches!(
        named(3),
        PartError::Records {
            found: 50,
            expected: 51,
            ..
        }
    ));
    let refused = verify::part(&archive.parts, &archive.list[1]).await.unwrap_err();
    assert!(matches!(refused, PartError::Checksum { .. }), "{refused}");
    verify::part(&archive.parts, &archive.list[2]).await.unwrap();
}

#[tokio::test]
async fn times_of_any_year_and_empty_values_come_back_as_they_were() {
    let mut archive = Archive::new();
    let mut odd = record(1, i64::MIN / 2, Some(""));
    odd.raw = String::new();
    odd.target = Some("x".repeat(100_000));
    let far = record(2, 4_102_444_800_000_000, None);
    archive.add(vec![odd.clone(), far.clone()]).await;
    assert_eq!(
        plain(&archive.search(&everything(5)).await),
        [far.clone(), odd.clone()]
    );
    let after = Some(Cursor {
        at_us: far.at_us,
        id: far.id,
    });
    let rest = Search {
        after,
        ..everything(5)
    };
    assert_eq!(plain(&archive.search(&rest).await), [odd]);
    assert_eq!(
        write::folder("gateway_dns", far.at_us),
        "dataset=gateway_dns/date=2100-01-01/hour=00"
    );
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let records: Vec<Record> = (0..5_000)
        .map(|n| record(n, i64::from(n % 100), NAMES[n as usize % 5]))
        .collect();
    let mut reversed = records.clone();
    reversed.reverse();
    reversed.extend_from_slice(&records[..100]);
    let first = write::part("gateway_dns", "p", records).unwrap().unwrap();
    assert_eq!(first, write::part("gateway_dns", "p", reversed).unwrap().unwrap());
    assert_eq!(first.0.records, 5_000);
    assert_eq!(write::part("gateway_dns", "p", Vec::new()).unwrap(), None);
}
