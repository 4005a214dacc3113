//! The cost of the next batch as the store grows: equal batches, one after the other, each timed separately.

use crate::Figure;
use crate::ingest::{new_connection, record};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hub::ingest::receive;
use hub::settings::Settings;
use hub::{App, driver};
use serde_json::json;
use std::io::Write;
use std::time::Instant;
use store::Store;

const ROUNDS: usize = 4;
const RECORDS: usize = 40_000;
/// One in this number of records is a lookup that rules match, by one of the people in turn.
const MATCHED_ONE_IN: usize = 10;

/// A batch of new records, in the hour of its round.
fn body(round: usize) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for number in 0..RECORDS {
        let mut record = record(round * RECORDS + number);
        record["Datetime"] = json!(format!("2026-01-05T{:02}:00:00Z", 10 + round));
        if number.is_multiple_of(MATCHED_ONE_IN) {
            record["QueryCategoryIDs"] = json!([131]);
        }
        writeln!(encoder, "{record}")?;
    }
    Ok(encoder.finish()?)
}

async fn rounds(engine: &str, settings: Settings) -> anyhow::Result<Vec<Figure>> {
    let app = App::open(settings).await?;
    let row = new_connection(&app, String::new()).await?;
    let mut figures = Vec::new();
    for round in 0..ROUNDS {
        let body = body(round)?;
        let parts = futures::stream::iter(body.chunks(64 << 10).map(|part| Ok(Bytes::copy_from_slice(part))));
        receive(&app, &row, "gateway_dns", "file", parts).await?;
        let begun = Instant::now();
        driver::pipeline(&app).await?;
        figures.push(Figure::of(
            &format!(
                "{engine}: batch {} of {RECORDS}, one in {MATCHED_ONE_IN} matched",
                round + 1
            ),
            "records/s",
            RECORDS,
            begun,
        ));
    }
    let counts = app.store.batch_counts(None).await?;
    anyhow::ensure!(counts.accepted as usize == ROUNDS * RECORDS, "{counts:?}");
    Ok(figures)
}

/// The first result of each engine is the baseline of the others.
pub(crate) async fn all() -> anyhow::Result<Vec<Vec<Figure>>> {
    let mut tables = Vec::new();
    let folder = tempfile::tempdir()?;
    let mut settings = Settings::default();
    settings.data.dir = folder.path().to_owned();
    tables.push(rounds("SQLite", settings).await?);
    if let Ok(server) = std::env::var("FLAREWARD_TEST_POSTGRES") {
        let folder = tempfile::tempdir()?;
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        let scratch = store::scratch::stores().await?;
        let own = scratch.iter().find(|one| one.store.engine_name() == "PostgreSQL");
        let own = own.ok_or_else(|| anyhow::anyhow!("no database at {server}"))?;
        settings.store.url.clone_from(&own.address);
        let store: &Store = &own.store;
        anyhow::ensure!(store.is_ready().await, "the database does not answer");
        tables.push(rounds("PostgreSQL", settings).await?);
    }
    Ok(tables)
}
