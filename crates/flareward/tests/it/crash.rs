//! The server is killed twenty times while batches come in. Every batch that was answered 2xx is processed
//! exactly once.

use crate::program::{Server, connect, sandbox};
use flate2::{Compression, write::GzEncoder};
use hub::App;
use hub::event::{self, EVENTS_MAX, EventFilter};
use hub::settings::Settings;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Store, scratch};

const KILLS: usize = 20;
const RECORDS_PER_BATCH: usize = 300;
/// Batches answered between two kills: the server is in the middle of others when it dies.
const BATCHES_PER_LIFE: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

fn batch(number: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for record in 0..RECORDS_PER_BATCH {
        // Every hundredth is a look-up of a phishing domain.
        let category = if record % 100 == 0 { 131 } else { 26 };
        writeln!(
            encoder,
            r#"{{"Datetime":"2026-01-05T10:00:00Z","QueryID":"q-{number}-{record}","QueryName":"n{record}.b{number}.example","Location":"{number}","Email":"tom.okafor@tidewater.example","QueryCategoryIDs":[{category}]}}"#
        )
        .unwrap();
    }
    encoder.finish().unwrap()
}

/// Three matches of one batch make one detection of this.
const TOGETHER: &str = "title: Named\nname: named\nlogsource: {service: gateway_dns}\n\
    detection: {a: {QueryCategoryIDs: 131}, condition: a}\n---\ntitle: Together\nname: together\n\
    correlation: {type: value_count, rules: [named], group-by: [person, Location], timespan: 1h, \
    condition: {field: QueryName, gte: 3}}\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_or_doubled_by_twenty_kills() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(folder.path().join("rules/together.yml"), TOGETHER).unwrap();
        let connected = connect(folder.path(), &scratch.address, &sandbox);
        let secret = connected["ingest_secret"].as_str().unwrap();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        let (mut answered, mut number) = (BTreeSet::new(), 0);
        for _ in 0..KILLS {
            let server = Server::start(folder.path(), &scratch.address);
            let url = format!("{}/ingest/corp/gateway_dns", server.address);
            let send = |number: usize| {
                let request = http
                    .post(&url)
                    .header("x-flareward-secret", secret)
                    .body(batch(number));
                async move {
                    (
                        number,
                        request
                            .send()
                            .await
                            .is_ok_and(|answer| answer.status().is_success()),
                    )
                }
            };
            for _ in 0..BATCHES_PER_LIFE {
                let (number, taken) = send(number).await;
                if taken {
                    answered.insert(number);
                }
            }
            number += 1;
            // Some more are on their way when the server dies; what it answered before counts.
            let flying: Vec<_> = (number..number + 4)
                .map(|number| tokio::spawn(send(number)))
                .collect();
            number += 4;
            tokio::task::yield_now().await;
            server.kill();
            for flight in flying {
                let (number, taken) = flight.await.unwrap();
                if taken {
                    answered.insert(number);
                }
            }
        }
        let server = Server::start(folder.path(), &scratch.address);
        let expected = answered.len() * RECORDS_PER_BATCH;
        assert!(answered.len() >= KILLS, "the test must send: {}", answered.len());
        wait_until_done(&scratch.store).await;
        server.kill();

        let ids = query_ids(folder.path(), &scratch.address).await;
        let of_answered = ids.iter().filter(|(number, _)| answered.contains(number)).count();
        assert_eq!(of_answered, expected, "{}", scratch.store.engine_name());
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an event is there twice");
        // A batch that was archived and recorded, but killed before its answer, counts as well: the sender
        // would send it again, and it would be known.
        let batches = unique
            .iter()
            .map(|(number, _)| number)
            .collect::<BTreeSet<_>>()
            .len();
        let counts = scratch.store.detection_counts().await.unwrap();
        let found = |rule: &str| {
            let count = counts.iter().find(|count| count.rule_name == rule);
            count.map_or(0, |count| count.detections as usize)
        };
        assert_eq!(found("dns-phishing"), batches * RECORDS_PER_BATCH / 100);
        assert_eq!(found("together"), batches);
        println!(
            "{}: {KILLS} kills, {} batches answered, {} events, {} detections of single events and {} of several, \
             each once",
            scratch.store.engine_name(),
            answered.len(),
            ids.len(),
            found("dns-phishing"),
            found("together")
        );
    }
    sandbox.stop().await;
}

async fn wait_until_done(store: &Store) {
    let begun = Instant::now();
    loop {
        let counts = store.batch_counts(None).await.unwrap();
        if counts.pending == 0 {
            assert_eq!(counts.failed, 0);
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{} batches still wait",
            counts.pending
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Batch and record number of every event.
async fn query_ids(folder: &Path, address: &str) -> Vec<(usize, usize)> {
    let mut settings = Settings::default();
    settings.data.dir = folder.to_owned();
    address.clone_into(&mut settings.store.url);
    let app = App::open(settings).await.unwrap();
    let mut filter = EventFilter {
        limit: EVENTS_MAX,
        ..EventFilter::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = event::find(&app, &filter).await.unwrap();
        assert!(page.unread.is_empty(), "{:?}", page.unread);
        for event in page.events {
            let raw: serde_json::Value = serde_json::from_str(&event.raw).unwrap();
            let mut parts = raw["QueryID"].as_str().unwrap().split('-').skip(1);
            let mut next = || parts.next().unwrap().parse().unwrap();
            ids.push((next(), next()));
        }
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return ids,
        }
    }
}
