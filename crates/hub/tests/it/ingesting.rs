//! Taking batches in: what is durable, what is refused, and that nothing is lost or counted twice.

use crate::kit::{Hub, each, receive, story};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use hub::event::{Event, EventFilter};
use hub::ingest::{IngestError, Received};
use model::BatchState;
use sandbox::Sandbox;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use store::scratch::Scratch;
use store::{BatchRow, RejectSample};

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    ready_with(scratch, |_| {}).await
}

async fn ready_with(scratch: Scratch, change: impl FnOnce(&mut hub::settings::Settings)) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, change).await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

/// A lookup, numbered.
fn lookup(n: usize) -> String {
    json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": "omar.said@tidewater.example", "QueryID": format!("q{n}"),
        "QueryName": "news.daily.example" })
    .to_string()
}

fn lookups(from: usize, to: usize) -> String {
    (from..to).map(|n| lookup(n) + "\n").collect()
}

fn gzip(text: impl AsRef<[u8]>, level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn stored(received: Result<Received, IngestError>) -> String {
    match received {
        Ok(Received::Stored(id)) => id,
        other => panic!("{other:?}"),
    }
}

async fn events(hub: &Hub) -> Vec<Event> {
    let filter = EventFilter {
        limit: 1_000,
        ..EventFilter::default()
    };
    hub::event::find(&hub.app, &filter).await.unwrap().events
}

async fn batches(hub: &Hub) -> Vec<BatchRow> {
    hub.app.store.batch_list(None, None, 1_000).await.unwrap()
}

/// What lies in the archive, but for parts.
fn archived(hub: &Hub) -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.extend(Some(path).filter(|path| path.extension().is_none_or(|end| end != "parquet")));
            }
        }
    }
    let mut files = Vec::new();
    walk(&hub.folder.path().join("archive"), &mut files);
    files
}

#[tokio::test]
async fn every_shape_of_a_batch_gives_the_same_events() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let connection = hub.connection().await;
        let mut members = gzip(lookups(20, 25), 6);
        members.extend(gzip(lookups(25, 30), 1));
        for (what, body, piece) in [
            ("plain", lookups(0, 10).into_bytes(), usize::MAX),
            ("gzip", gzip(lookups(10, 20), 6), usize::MAX),
            ("two gzip members", members, usize::MAX),
            ("gzip, byte by byte", gzip(lookups(30, 40), 6), 1),
            ("plain, byte by byte", lookups(40, 50).into_bytes(), 1),
            (
                "without a last line break",
                lookups(50, 60).trim_end().as_bytes().to_vec(),
                7,
            ),
            (
                "with carriage returns and blank lines",
                lookups(60, 70).replace('\n', "\r\n\r\n").into_bytes(),
                7,
            ),
        ] {
            let before = events(&hub).await.len();
            stored(receive(&hub.app, &connection, "gateway_dns", body.into(), piece).await);
            hub.pipeline().await;
            assert_eq!(events(&hub).await.len(), before + 10, "{what}");
        }
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.rejected, counts.duplicates, counts.failed), (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn the_same_content_is_kept_once_however_it_was_packed() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let text = lookups(0, 50);
        let id = stored(hub.receive("gateway_dns", gzip(&text, 9)).await);
        // Cloudflare may come again hours later, when another folder is written.
        hub.clock.advance(chrono::TimeDelta::hours(2));
        for body in [gzip(&text, 9), gzip(&text, 1), text.clone().into_bytes()] {
            let again = hub.receive("gateway_dns", body).await.unwrap();
            assert_eq!(again, Received::Duplicate(id.clone()));
        }
        assert_eq!(archived(&hub).len(), 1);
        hub.pipeline().await;
        let batch = batches(&hub).await.remove(0);
        assert_eq!((batch.deliveries, batch.records, batch.accepted), (4, 50, 50));
        // The same lines as another dataset are another batch.
        stored(hub.receive("gateway_http", text).await);
        // Single records that come again in another batch, or in the same one, are no new events.
        stored(
            hub.receive("gateway_dns", [lookups(40, 60), lookups(55, 60)].concat())
                .await,
        );
        hub.pipeline().await;
        let lately = batches(&hub).await;
        let overlap = lately.iter().find(|batch| batch.records == 25).unwrap();
        assert_eq!((overlap.accepted, overlap.duplicates), (20, 5));
        let lookups = events(&hub)
            .await
            .into_iter()
            .filter(|event| event.dataset == "gateway_dns");
        assert_eq!(lookups.count(), 60);
    })
    .await;
}

#[tokio::test]
async fn test_uploads_and_empty_bodies_leave_nothing() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        for body in [
            gzip("{\"content\":\"tests\"}", 6),
            gzip("{\"content\":\"test\"}\n", 6),
            b"{\"content\":\"test\"}".to_vec(),
            b"test\n".to_vec(),
        ] {
            assert_eq!(hub.receive("gateway_dns", body).await.unwrap(), Received::Test);
        }
        for body in [Vec::new(), gzip("", 6)] {
            assert_eq!(hub.receive("gateway_dns", body).await.unwrap(), Received::Empty);
        }
        assert!(batches(&hub).await.is_empty());
        assert!(archived(&hub).is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_not_whole_is_refused_and_leaves_nothing() {
    each(async |scratch| {
        let (_sandbox, hub) =
            ready_with(scratch, |settings| settings.ingest.batch_limit_bytes = 1 << 20).await;
        let whole = gzip(lookups(0, 100), 6);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0xff;
        let mut checksum = whole.clone();
        checksum[whole.len() - 6] ^= 0xff;
        for (what, body) in [
            ("cut off in the middle", whole[..whole.len() / 2].to_vec()),
            ("cut off before its checksum", whole[..whole.len() - 8].to_vec()),
            ("cut off in its checksum", whole[..whole.len() - 1].to_vec()),
            ("cut off in its head", whole[..5].to_vec()),
            ("changed", flipped),
            ("with another checksum", checksum),
        ] {
            let error = hub.receive("gateway_dns", body).await.unwrap_err();
            assert!(matches!(error, IngestError::Gzip(_)), "{what}: {error}");
        }
        let large = lookups(0, 10_000);
        assert!(large.len() > 1 << 20);
        for body in [large.clone().into_bytes(), gzip(&large, 6)] {
            let error = hub.receive("gateway_dns", body).await.unwrap_err();
            assert!(matches!(error, IngestError::TooLarge { .. }), "{error}");
        }
        let error = hub.receive("gateway_smoke", lookups(0, 1)).await.unwrap_err();
        assert!(error.to_string().contains("gateway_dns"), "{error}");
        // The sender goes away.
        let body = futures::stream::iter([
            Ok(Bytes::from(lookups(0, 3))),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ]);
        let connection = hub.connection().await;
        let error = hub::ingest::receive(&hub.app, &connection, "gateway_dns", "logpush", body.boxed())
            .await
            .unwrap_err();
        assert!(matches!(error, IngestError::Body(_)), "{error}");
        assert!(batches(&hub).await.is_empty());
        assert!(archived(&hub).is_empty());
        // And all of it comes again, whole.
        stored(hub.receive("gateway_dns", whole).await);
    })
    .await;
}

#[tokio::test]
async fn what_follows_the_last_gzip_member_costs_no_record() {
    each(async |scratch| {
        let (_sandbox, hub) = ready_with(scratch, |settings| settings.archive.keep_batches_days = 10).await;
        let padded = [gzip(lookups(0, 3), 6), vec![0; 700]].concat();
        let several = [
            gzip(lookups(3, 5), 6),
            vec![0; 10],
            gzip(lookups(5, 7), 6),
            vec![0],
        ]
        .concat();
        let garbage = [gzip(lookups(7, 10), 6), b"and something else".to_vec()].concat();
        for body in [padded, several, garbage] {
            stored(hub.receive("gateway_dns", body).await);
        }
        hub.pipeline().await;
        assert_eq!(events(&hub).await.len(), 10);
        let rejects = hub.app.store.reject_list(None, 100).await.unwrap();
        assert_eq!(rejects.len(), 1, "{rejects:?}");
        assert_eq!((rejects[0].first_line, rejects[0].count), (0, 1));
        assert!(
            rejects[0].reason.contains("data after the last gzip member"),
            "{rejects:?}"
        );
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!(
            (
                counts.records,
                counts.accepted,
                counts.duplicates,
                counts.rejected
            ),
            (10, 10, 0, 1)
        );
        // Other tools read what is archived.
        assert_eq!(archived(&hub).len(), 3);
        for path in archived(&hub) {
            let mut text = String::new();
            let mut whole = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap());
            std::io::Read::read_to_string(&mut whole, &mut text).unwrap();
            assert!(text.ends_with('\n') || text.ends_with('}'));
        }
    })
    .await;
}

#[tokio::test]
async fn records_in_other_forms_and_slightly_damaged_ones_become_events() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let array = format!("[{},\n{}]", lookup(1), lookup(2));
        let answer = format!(
            "{{\"success\":true,\"errors\":[],\"result\":[{},{}]}}",
            lookup(3),
            lookup(4)
        );
        let wrapped = format!(
            "{{\"events\":[\n{{\"info\":{}}},\n{{\"info\":{}}}\n]}}",
            lookup(5),
            lookup(6)
        );
        for body in [array, answer, wrapped] {
            stored(hub.receive("gateway_dns", body).await);
        }
        hub.pipeline().await;
        assert_eq!(events(&hub).await.len(), 6);
        let damaged = [
            format!("\u{feff}{}", lookup(7)),
            lookup(8).replacen('{', "{\"DeviceName\":\"LAP \\ud83d\",", 1),
            lookup(9).replacen('{', "{\"Duration\":1e999,\"Big\":123456789012345678901,", 1),
            lookup(10),
        ];
        stored(hub.receive("gateway_dns", damaged.join("\n")).await);
        hub.pipeline().await;
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.accepted, counts.rejected, counts.repaired), (10, 0, 3));
        assert!(
            events(&hub)
                .await
                .iter()
                .any(|event| event.raw.contains("\"1e999\""))
        );
    })
    .await;
}

#[tokio::test]
async fn a_million_bad_lines_make_a_handful_of_rows_and_are_counted_exactly() {
    use std::fmt::Write;
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let mut body = String::new();
        for n in 0..1_000_000 {
            match n % 4 {
                0 => writeln!(body, "{{oops {n}"),
                1 => writeln!(body, "{{\"Datetime\":\"day {n}\"}}"),
                2 => writeln!(body, "{{\"Datetime\":\"2031-01-01T00:00:00.{n:06}Z\"}}"),
                _ => writeln!(body, "{n}"),
            }
            .unwrap();
        }
        let id = stored(hub.receive("gateway_dns", gzip(&body, 1)).await);
        hub.pipeline().await;
        let store = &hub.app.store;
        let rejects = store.reject_of_batch(&id).await.unwrap();
        let counts: Vec<(&str, i64, usize)> = rejects
            .iter()
            .map(|reject| (reject.reason.as_str(), reject.count, reject.samples.len()))
            .collect();
        assert_eq!(
            counts,
            [
                ("not JSON", 250_000, 5),
                ("Datetime is not a valid time", 250_000, 5),
                ("Datetime is in the future", 250_000, 5),
                ("not a JSON object", 250_000, 5),
            ]
        );
        assert_eq!(rejects[1].samples[0].detail, "\"day 1\"");
        let batch = batches(&hub).await.remove(0);
        assert_eq!(
            (batch.records, batch.rejected, batch.duplicates),
            (1_000_000, 1_000_000, 0)
        );
        assert_eq!(store.overview().await.unwrap().rejects, 1_000_000);
        assert_eq!(store.reject_list(None, 1_000).await.unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_read_is_named_once_and_foreign_records_by_their_dataset() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let wide: Vec<u8> = lookup(1).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let network = serde_json::json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": "a@x.example", "SessionID": "n",
            "Action": "block", "SNI": "y.example", "DestinationIP": "203.0.113.5", "DestinationPort": 443 });
        for (body, words) in [
            (b"Datetime,Email,QueryID\na,b,c\nd,e,f".to_vec(), "unsupported format: CSV"),
            (wide, "UTF-16"),
            (network.to_string().into_bytes(), "belongs to gateway_network, not to gateway_dns"),
        ] {
            stored(hub.receive("gateway_dns", body).await);
            hub.pipeline().await;
            let reject = hub.app.store.reject_list(None, 100).await.unwrap().remove(0);
            assert!(reject.reason.contains(words), "{reject:?}");
            hub.clock.advance(chrono::TimeDelta::seconds(1));
        }
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.accepted, counts.rejected), (0, 3));
        let challenge = format!("eyJhbGciOiJkaXIi{}", "a".repeat(200));
        assert_eq!(hub.receive("gateway_dns", challenge).await.unwrap(), Received::Test);
    })
    .await;
}

#[tokio::test]
async fn alike_lines_without_a_key_are_several_records_and_the_same_batch_is_one() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let line = serde_json::json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": "a@x.example", "Action": "block",
            "DestinationIP": "203.0.113.5", "DestinationPort": 22, "SourceIP": "10.0.0.1" });
        let six = vec![line.to_string(); 6].join("\n");
        let other = format!("{six}\n{}", line.to_string().replace("22", "23"));
        for (body, expected) in [(&six, 6), (&six, 6), (&other, 13), (&six, 6 + 7)] {
            hub.receive("gateway_network", body.clone()).await.unwrap();
            hub.pipeline().await;
            assert_eq!(events(&hub).await.len(), expected);
        }
        // A record with a key is the same wherever it comes.
        stored(hub.receive("gateway_dns", format!("{}\n{}", lookup(1), lookup(1))).await);
        stored(hub.receive("gateway_dns", format!("{}\n{}", lookup(2), lookup(1))).await);
        hub.pipeline().await;
        assert_eq!(events(&hub).await.len(), 13 + 2);
    })
    .await;
}

/// The most memory that this process ever used, in kilobytes.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn large_records_are_stored_before_many_of_them_are_in_memory() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for number in 0..120 {
            let record = json!({ "Datetime": "2026-01-05T10:00:00Z", "QueryID": number.to_string(),
                "QueryName": "large.example", "RData": "x".repeat(1_000_000) });
            writeln!(encoder, "{record}").unwrap();
        }
        let before = peak_kb();
        stored(hub.receive("gateway_dns", encoder.finish().unwrap()).await);
        hub.pipeline().await;
        let grown = peak_kb().saturating_sub(before);
        assert_eq!(hub.app.store.batch_counts(None).await.unwrap().accepted, 120);
        assert!(grown < 250_000, "{grown} kB more");
    })
    .await;
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_has_grown() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        // A thousand times the same member of 10 MB of zeros: 10 GB, packed in 10 MB.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..10 {
            encoder.write_all(&zeros).unwrap();
        }
        let member = Bytes::from(encoder.finish().unwrap());
        let before = peak_kb();
        let body = futures::stream::iter(std::iter::repeat_n(member, 1_000).map(Ok));
        let connection = hub.connection().await;
        let error = hub::ingest::receive(&hub.app, &connection, "gateway_dns", "logpush", body.boxed())
            .await
            .unwrap_err();
        assert!(matches!(error, IngestError::Bomb { .. }), "{error}");
        let grown = peak_kb().saturating_sub(before);
        assert!(grown < 200_000, "{grown} kB more");
        assert!(archived(&hub).is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_line_that_cannot_be_understood_is_kept_as_a_reject_and_its_neighbours_as_events() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let mut body = Vec::new();
        body.extend(lookup(1).into_bytes());
        body.extend(b"\n{\"Datetime\":\"2026-11-20T11:00:00Z\",\"x\":\"");
        body.resize(body.len() + (2 << 20), b'y');
        body.extend(b"\"}\n");
        body.extend(lookup(2).into_bytes());
        body.extend(b"\n\xff\xfe{}\n\0\0\0\n[1]\n{\"QueryID\":\"q\"}\n");
        body.extend(lookup(3).into_bytes());
        // A NUL that is properly written is part of the text.
        body.extend(b"\n{\"Datetime\":\"2026-11-20T11:00:00Z\",\"QueryID\":\"n\",\"Email\":\"a\\u0000b@x.example\",\"QueryName\":\"\\u0000\"}\n");
        stored(hub.receive("gateway_dns", body).await);
        hub.pipeline().await;
        let rejects = hub.app.store.reject_list(None, 100).await.unwrap();
        let lines: Vec<(&str, i64, Vec<i64>)> = rejects
            .iter()
            .map(|reject| {
                let lines = reject.samples.iter().map(|sample| sample.line).collect();
                (reject.reason.as_str(), reject.count, lines)
            })
            .collect();
        assert_eq!(
            lines,
            [
                ("the line is longer than 1048576 bytes (ingest.line_limit_bytes)", 1, vec![2]),
                ("not JSON", 2, vec![4, 5]),
                ("not a JSON object", 1, vec![6]),
                ("the field Datetime is missing: add it to the fields of the Logpush job", 1, vec![7]),
            ]
        );
        let samples: Vec<&RejectSample> = rejects.iter().flat_map(|reject| &reject.samples).collect();
        assert!(samples[0].excerpt.starts_with("{\"Datetime\""));
        assert_eq!(samples[1].detail, "expected value at column 1");
        assert!(samples.iter().all(|sample| sample.excerpt.chars().count() <= 200));
        assert_eq!(events(&hub).await.len(), 4);
        let batch = batches(&hub).await.remove(0);
        assert_eq!(
            (batch.records, batch.accepted, batch.rejected, batch.state),
            (9, 4, 5, BatchState::Detected)
        );
    })
    .await;
}

#[tokio::test]
async fn long_keys_that_differ_at_their_ends_are_different_events() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let asset = |end: &str| {
            json!({ "FindingTypeID": "f", "AssetExternalID": format!("https://drive.example/{}{end}", "x".repeat(600)),
                "InstanceID": "i", "DetectedTimestamp": "2026-11-20T11:00:00Z" })
        };
        hub.happen("casb_findings", &[asset("a"), asset("b"), asset("b")]).await;
        assert_eq!(events(&hub).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_archive_that_cannot_be_written_takes_nothing_until_it_can() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let archive = hub.folder.path().join("archive");
        let aside = hub.folder.path().join("aside");
        std::fs::rename(&archive, &aside).unwrap();
        std::fs::write(&archive, "in the way").unwrap();
        let error = hub.receive("gateway_dns", lookups(0, 3)).await.unwrap_err();
        assert!(matches!(error, IngestError::Archive(_)), "{error}");
        assert!(batches(&hub).await.is_empty());
        hub.pipeline().await;

        std::fs::remove_file(&archive).unwrap();
        std::fs::rename(&aside, &archive).unwrap();
        stored(hub.receive("gateway_dns", lookups(0, 3)).await);
        hub.pipeline().await;
        assert_eq!(events(&hub).await.len(), 3);

        // The last step fails: the folder of the dataset is not one.
        std::fs::create_dir_all(archive.join("batches")).unwrap();
        std::fs::write(archive.join("batches/dataset=ssh_logs"), "in the way").unwrap();
        let before = archived(&hub).len();
        let error = hub.receive("ssh_logs", lookups(0, 3)).await.unwrap_err();
        assert!(matches!(error, IngestError::Archive(_)), "{error}");
        assert_eq!(archived(&hub).len(), before);
        assert_eq!(batches(&hub).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_gone_from_the_archive_fails_alone_and_can_come_again() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        stored(hub.receive("gateway_dns", lookups(0, 3)).await);
        std::fs::remove_file(&archived(&hub)[0]).unwrap();
        stored(hub.receive("gateway_dns", lookups(3, 6)).await);
        hub.pipeline().await;
        assert_eq!(events(&hub).await.len(), 3);
        let counts = hub.app.store.batch_counts(None).await.unwrap();
        assert_eq!((counts.failed, counts.pending), (1, 0));
        let failed = hub
            .app
            .store
            .batch_list(None, Some(BatchState::Failed), 10)
            .await
            .unwrap();
        let reason = failed[0].problem.as_deref().unwrap();
        assert!(
            reason.contains("archive") && reason.contains("No such file"),
            "{reason}"
        );

        hub.clock.advance(chrono::TimeDelta::hours(1));
        let again = hub.receive("gateway_dns", lookups(0, 3)).await.unwrap();
        assert_eq!(again, Received::Duplicate(failed[0].id.clone()));
        hub.pipeline().await;
        assert_eq!(events(&hub).await.len(), 6);
        assert_eq!(hub.app.store.batch_counts(None).await.unwrap().failed, 0);
    })
    .await;
}

#[tokio::test]
async fn two_processes_on_one_store_make_everything_once() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        hub.sync().await;
        let second = hub.again().await;
        for batch in 0..8 {
            let lines: String = (0..40)
                .map(|n| {
                    let risky = json!({ "Datetime": "2026-11-20T11:00:00Z", "Email": "omar.said@tidewater.example",
                        "QueryID": format!("{batch}-{n}"), "QueryName": format!("x{batch}-{n}.test"),
                        "QueryCategoryIDs": [80],
                        "QueryCategoryNames": ["Command and Control & Botnet"] });
                    format!("{risky}\n{{broken {n}\n")
                })
                .collect();
            stored(hub.receive("gateway_dns", lines).await);
        }
        let (one, two) = tokio::join!(hub::driver::pipeline(&hub.app), hub::driver::pipeline(&second));
        one.unwrap();
        two.unwrap();
        hub.pipeline().await;
        let store = &hub.app.store;
        let overview = store.overview().await.unwrap();
        assert_eq!((overview.events, overview.detections, overview.rejects), (320, 320, 320));
        let counts = store.batch_counts(None).await.unwrap();
        assert_eq!((counts.records, counts.accepted, counts.duplicates), (640, 320, 0));
        let journal = store.journal_latest(None, None, 1_000).await.unwrap();
        let of_kind = |kind: &str| journal.iter().filter(|entry| entry.kind.as_str() == kind).count();
        assert_eq!((of_kind("detection.created"), of_kind("risk.changed")), (320, 1));
    })
    .await;
}

#[tokio::test]
async fn more_batches_than_may_be_received_at_once_are_told_to_come_again() {
    each(async |scratch| {
        let (_sandbox, hub) = ready_with(scratch, |settings| settings.ingest.concurrent_batches = 1).await;
        let connection = hub.connection().await;
        // A sender that never ends holds the only place.
        let endless = futures::stream::pending::<std::io::Result<Bytes>>();
        let held = hub::ingest::receive(&hub.app, &connection, "gateway_dns", "logpush", endless.boxed());
        tokio::pin!(held);
        assert!(futures::poll!(held.as_mut()).is_pending());
        tokio::select! {
            _ = held => panic!("an endless body ended"),
            refused = hub.receive("gateway_dns", lookups(0, 1)) => {
                assert!(matches!(refused, Err(IngestError::Busy)), "{refused:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_late_is_told_so_and_leaves_nothing() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let connection = hub.connection().await;
        let late = std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "the request body took longer than 110 seconds",
        );
        let parts = [Ok(Bytes::from(lookups(0, 50_000))), Err(late)];
        let body = futures::stream::iter(parts);
        let refused = hub::ingest::receive(&hub.app, &connection, "gateway_dns", "logpush", body).await;
        assert!(matches!(refused, Err(IngestError::Slow(_))), "{refused:?}");
        let incoming = hub.folder.path().join("archive/incoming");
        assert_eq!(std::fs::read_dir(incoming).map_or(0, Iterator::count), 0);
    })
    .await;
}
