//! Writes parts as the server does, for tests of other engines: `write_parts FOLDER < batches.ndjson`.
//!
//! Each line of the input is a batch: `{"dataset": …, "part": "date=…/hour=…/part-….parquet", "batch": …, "lines": […]}`,
//! with `part` below the folder of the dataset. Its valid lines become one part. Prints, for each batch, the IDs of the
//! records and the number of lines that were rejected.
#![expect(clippy::print_stdout, reason = "a test reads it")]

use anyhow::Context;
use archive::Record;
use chrono::{DateTime, Utc};
use model::ConnectionId;
use rules::Dataset;
use serde::Deserialize;
use serde_json::json;
use std::io::BufRead;
use std::path::Path;

#[derive(Deserialize)]
struct Batch {
    dataset: String,
    part: String,
    batch: String,
    lines: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .context("usage: write_parts FOLDER < batches.ndjson")?;
    let connection = ConnectionId("connection-1".to_owned());
    for line in std::io::stdin().lock().lines() {
        let batch: Batch = serde_json::from_str(&line?)?;
        let dataset = Dataset::named(&batch.dataset).context("no such dataset")?;
        let mut ids = Vec::new();
        let mut records = Vec::new();
        for (place, raw) in batch.lines.iter().enumerate() {
            // Test data is older than this.
            let now = DateTime::<Utc>::MAX_UTC - chrono::TimeDelta::days(2);
            let Ok(found) = rules::normalise::normalise(raw, dataset, &connection, now) else {
                continue;
            };
            ids.push(found.id.0.clone());
            records.push(Record {
                id: found.id.0.parse()?,
                at_us: found.at.timestamp_micros(),
                is_person: found.identifier.is_some() && !found.is_non_identity,
                identifier: found.identifier,
                action: found.action,
                target: found.target,
                source_ip: found.source_ip,
                country: found.country,
                connection: connection.0.clone(),
                batch: batch.batch.clone(),
                line: place as u64 + 1,
                is_repaired: false,
                raw: raw.clone(),
            });
        }
        let rejected = batch.lines.len() - records.len();
        let path = Path::new(&folder)
            .join(format!("dataset={}", dataset.name))
            .join(&batch.part);
        if let Some((_, content)) = archive::write::part(dataset.name, &batch.part, records)? {
            std::fs::create_dir_all(path.parent().context("a part is in a folder")?)?;
            std::fs::write(&path, content)?;
        }
        println!("{}", json!({"ids": ids, "rejected": rejected}));
    }
    Ok(())
}
