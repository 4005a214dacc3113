//! What records cost as the store grows: equal batches, one after the other, over the hours of seven days; then the
//! questions that people ask.
//!
//! `FLAREWARD_BENCH_RECORDS` sets the number of records of each store (default: 2,000,000).

use crate::ingest::{new_connection, record};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use hub::event::{self, EventFilter};
use hub::ingest::receive;
use hub::search::{self, Search};
use hub::settings::Settings;
use hub::{App, compact, driver};
use rules::Dataset;
use rules::book::RuleBook;
use rules::file_run::{self, Options};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use store::PersonSeen;

/// Records of one batch.
const BATCH: usize = 50_000;
const RECORDS: usize = 2_000_000;
const DAYS: i64 = 7;
/// People whose first page is asked for.
const PEOPLE: usize = 40;
/// Clock ticks of the kernel in a second.
const TICKS: f64 = 100.0;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_571_200, 0).unwrap_or_default()
}

/// A batch of new records within a stretch of time, one in so many of which rules match.
fn body(batch: usize, batches: usize, matched_one_in: usize) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let length = TimeDelta::days(DAYS) / i32::try_from(batches)?;
    let from = start() + length * i32::try_from(batch)?;
    for number in 0..BATCH {
        let mut record = record(batch * BATCH + number);
        let at = from + length * i32::try_from(number)? / i32::try_from(BATCH)?;
        record["Datetime"] = json!(at.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true));
        let category = if number.is_multiple_of(matched_one_in) {
            131
        } else {
            26
        };
        record["QueryCategoryIDs"] = json!([category, 155]);
        writeln!(encoder, "{record}")?;
    }
    Ok(encoder.finish()?)
}

/// Seconds of processor time of this process so far.
fn cpu() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS)
}

fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

fn print(what: &str, value: String) {
    crate::say(&format!("  {what:<62} {value:>16}"));
}

/// Records a second of one core that the rules alone need for the same batch.
fn rules_alone(body: &[u8]) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("batch.ndjson.gz");
    std::fs::write(&path, body)?;
    let book = RuleBook::load(None);
    let begun = cpu()?;
    let mut rounds = 0;
    while cpu()? - begun < 1.0 {
        let options = Options {
            dataset: Dataset::named("gateway_dns"),
            matches: None,
            threads: 1,
            now: Utc::now(),
            progress: &|_| {},
        };
        file_run::run(&book, std::slice::from_ref(&path), options)?;
        rounds += 1;
    }
    Ok((rounds * BATCH) as f64 / (cpu()? - begun))
}

/// Takes batches in and merges parts, until all records are there. Returns records a second of one core for each batch.
async fn fill(app: &App, records: usize, matched_one_in: usize) -> anyhow::Result<Vec<f64>> {
    let row = new_connection(app, String::new()).await?;
    let batches = records.div_ceil(BATCH);
    let mut rates = Vec::new();
    for batch in 0..batches {
        let body = body(batch, batches, matched_one_in)?;
        let pieces = body
            .chunks(64 << 10)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)));
        receive(app, &row, "gateway_dns", "file", futures::stream::iter(pieces)).await?;
        let begun = cpu()?;
        driver::pipeline(app).await?;
        while compact::run(app).await? {}
        rates.push(BATCH as f64 / (cpu()? - begun).max(1.0 / TICKS));
    }
    let counts = app.store.batch_counts(None).await?;
    anyhow::ensure!(counts.accepted as usize == batches * BATCH, "{counts:?}");
    Ok(rates)
}

fn mean(rates: &[f64]) -> f64 {
    // Of the times, not of the rates.
    rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>()
}

fn percentile(mut times: Vec<Duration>, part: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * part / 100).min(times.len() - 1)]
}

async fn first_pages(app: &App) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..PEOPLE {
        let email = format!("person{}@bench.example", number * 37);
        let person = app.store.person_by_email(&email).await?;
        let person = person.ok_or_else(|| anyhow::anyhow!("no person {email}"))?;
        let begun = Instant::now();
        let filter = EventFilter {
            person_id: Some(person.id),
            since: Some(start()),
            limit: 50,
            ..EventFilter::default()
        };
        let page = event::find(app, &filter).await?;
        anyhow::ensure!(page.events.len() == 50 && page.unread.is_empty(), "{email}");
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn measure(engine: &str, settings: Settings, records: usize) -> anyhow::Result<()> {
    let alone = rules_alone(&body(0, 1, 50)?)?;
    let folder = settings.data.dir.clone();
    let url = settings.store_url();
    let app = App::open(settings.clone()).await?;
    let people: Vec<PersonSeen> = (0..2_000)
        .map(|number| PersonSeen {
            new_id: model::PersonId(format!("p{number}")),
            email: format!("person{number}@bench.example"),
            name: None,
        })
        .collect();
    hub::people::ensure(&app, people, app.clock.now()).await?;
    let rates = fill(&app, records, 50).await?;
    let fifth = (rates.len() / 5).max(1);
    let (first, last) = (mean(&rates[..fifth]), mean(&rates[rates.len() - fifth..]));
    crate::say(&format!(
        "\n{engine}: {records} records of 7 days, 2 % of them matched"
    ));
    print("rules alone over the same .gz", format!("{alone:.0}/s"));
    print(
        "from the pushed .gz to parts and detections, of one core",
        format!("{:.0}/s", mean(&rates)),
    );
    print(
        "  of the rules alone (aim: 0.3)",
        format!("{:.2}", mean(&rates) / alone),
    );
    print(
        "cost of the last fifth against the first (aim: 1.15)",
        format!("{:.2}", first / last),
    );
    let totals = app.store.part_totals().await?;
    let parts: i64 = totals.iter().map(|total| total.parts).sum();
    print("parts", parts.to_string());
    if url.starts_with("sqlite:") {
        let bytes = folder_bytes(&folder)?;
        print(
            "stored bytes a record (aim: 220)",
            format!("{}", bytes / records as u64),
        );
    }
    let warm_up = first_pages(&app).await?;
    let warm = first_pages(&app).await?;
    print(
        "a person's 7 days, first page, p95, first time",
        format!("{:.0?}", percentile(warm_up, 95)),
    );
    print(
        "  the same again (aim: 150 ms)",
        format!("{:.0?}", percentile(warm, 95)),
    );
    let question = Search {
        dataset: Some("gateway_dns".to_owned()),
        conditions: vec![(
            "QueryName".to_owned(),
            vec!["host7.service.example.com".to_owned()],
        )],
        limit: 10,
        ..Search::default()
    };
    let (begun, begun_cpu) = (Instant::now(), cpu()?);
    let found = search::run(&app, &question, |_, _| {}).await?;
    anyhow::ensure!(found.events.len() == 1, "{} found", found.events.len());
    print(
        "a search by field (aim: 400,000/s of one core)",
        format!("{:.0}/s", found.looked_at as f64 / (cpu()? - begun_cpu)),
    );
    print("  until it is answered", format!("{:.1?}", begun.elapsed()));
    app.store.close().await;
    Ok(())
}

async fn third(settings: Settings, records: usize) -> anyhow::Result<()> {
    let app = App::open(settings).await?;
    let rates = fill(&app, records, 3).await?;
    print(
        "the same with a third matched (aim: 30,000/s)",
        format!("{:.0}/s", mean(&rates)),
    );
    Ok(())
}

pub(crate) async fn all() -> anyhow::Result<()> {
    let records = match std::env::var("FLAREWARD_BENCH_RECORDS") {
        Ok(records) => records.parse()?,
        Err(_) => RECORDS,
    };
    let fresh = |url: &str| -> anyhow::Result<(tempfile::TempDir, Settings)> {
        let folder = tempfile::tempdir()?;
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        url.clone_into(&mut settings.store.url);
        Ok((folder, settings))
    };
    let (_folder, settings) = fresh("")?;
    measure("SQLite", settings, records).await?;
    let (_folder, settings) = fresh("")?;
    third(settings, records / 5).await?;
    if std::env::var("FLAREWARD_TEST_POSTGRES").is_ok() {
        for is_third in [false, true] {
            let scratch = store::scratch::stores().await?;
            let own = scratch.iter().find(|one| one.store.engine_name() == "PostgreSQL");
            let own = own.ok_or_else(|| anyhow::anyhow!("the PostgreSQL server does not answer"))?;
            let (_folder, settings) = fresh(&own.address)?;
            match is_third {
                true => third(settings, records / 5).await?,
                false => measure("PostgreSQL", settings, records).await?,
            }
        }
    }
    Ok(())
}
