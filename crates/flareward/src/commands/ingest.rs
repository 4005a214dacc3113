//! `flareward ingest`: takes log files in as if Cloudflare had pushed them, and processes them at once.

use super::connection;
use crate::Global;
use crate::output::Printer;
use crate::progress::ProgressBar;
use anyhow::{Context, bail};
use futures::TryStreamExt;
use hub::ingest::{Received, receive};
use serde_json::json;
use std::path::PathBuf;
use tokio_util::io::ReaderStream;

/// The files, their connection and dataset.
#[derive(Debug, clap::Args)]
pub(crate) struct IngestArgs {
    /// NDJSON files, plain or gzip
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Connection that the logs belong to
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Dataset, for example gateway_dns
    #[arg(long)]
    dataset: String,
}

const COLUMNS: &[&str] = &["file", "received", "batch_id"];

pub(crate) async fn run(args: IngestArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let row = connection(&app, args.connection.as_deref()).await?;
    let mut printer = Printer::new(global.output, COLUMNS);
    let mut taken = Vec::new();
    for path in &args.files {
        let file = tokio::fs::File::open(path)
            .await
            .with_context(|| format!("cannot read {}", path.display()))?;
        let length = file
            .metadata()
            .await
            .map(|metadata| metadata.len())
            .unwrap_or_default();
        let bar = ProgressBar::new(Some(length), true);
        let body = ReaderStream::with_capacity(file, 64 << 10).inspect_ok(|part| bar.inc(part.len() as u64));
        let received = receive(&app, &row, &args.dataset, "file", body)
            .await
            .with_context(|| format!("could not ingest {}", path.display()))?;
        bar.finish_and_clear();
        let (word, id) = match &received {
            Received::Stored(id) => ("stored", Some(id)),
            Received::Duplicate(id) => ("duplicate", Some(id)),
            Received::Test => ("test", None),
            Received::Empty => ("empty", None),
        };
        printer.row(&json!({ "file": path.display().to_string(), "received": word, "batch_id": id }))?;
        taken.extend(id.map(|id| (path, id.clone())));
    }
    printer.finish("no files")?;
    let batches: Vec<String> = taken.iter().map(|(_, id)| id.clone()).collect();
    super::finish_batches(&app, &batches).await?;
    let counts = app.store.batch_counts(Some(&row.id)).await?;
    eprintln!(
        "{} now holds {} records: {} events ({} repaired), {} duplicates, {} rejected",
        row.label, counts.records, counts.accepted, counts.repaired, counts.duplicates, counts.rejected
    );
    let mut useless = 0;
    for (path, id) in &taken {
        let Some(batch) = app.store.batch_get(id).await?.filter(|batch| batch.rejected > 0) else {
            continue;
        };
        let rejects = app.store.reject_of_batch(id).await?;
        let reason = rejects
            .first()
            .map_or(String::new(), |reject| match reject.samples.first() {
                Some(sample) if !sample.detail.is_empty() => format!("{}: {}", reject.reason, sample.detail),
                _ => reject.reason.clone(),
            });
        eprintln!(
            "{}: {} of {} records rejected, for example: {reason}",
            path.display(),
            batch.rejected,
            batch.records.max(batch.rejected)
        );
        useless += usize::from(batch.accepted + batch.duplicates == 0);
    }
    if useless > 0 {
        bail!("{useless} of {} files contain no usable record", args.files.len());
    }
    Ok(())
}
