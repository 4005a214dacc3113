//! Delivers events through the enabled jobs, and counts accepted ones.
//!
//! A batch is sent again until the response is 2xx. Every fifth batch is sent once more after that, as if the response
//! was lost. Up to four batches are in transit at any time, in no fixed order.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::Instant;

use crate::ids::Ids;
use crate::logpush::destination::Destination;
use crate::logpush::ledger::{Batch, Line};
use crate::logpush::record::{self, Item};
use crate::shared::Shared;
use crate::world::logpush_job::Job;

const AT_ONCE: usize = 4;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The outcome of a delivery: accepted batches, and what remained at the deadline.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) batches: usize,
    pub(crate) records: usize,
    pub(crate) undelivered: Vec<String>,
}

/// Delivers `items`, numbered from `first_number`, through every enabled job of their datasets.
///
/// Returns when everything was answered 2xx, or at `deadline`.
pub(crate) async fn deliver(
    shared: &Arc<Shared>,
    items: &[Item],
    first_number: usize,
    deadline: Instant,
) -> Outcome {
    let batches = batches(shared, items, first_number);
    let attempts = stream::iter(batches.into_iter().map(|batch| {
        let shared = Arc::clone(shared);
        async move {
            let times = if batch.twice { 2 } else { 1 };
            for _ in 0..times {
                push(&shared, &batch, deadline).await?;
            }
            Ok::<usize, String>(batch.lines.iter().filter(|line| !line.malformed).count())
        }
    }));
    let mut outcome = Outcome::default();
    let mut attempts = attempts.buffer_unordered(AT_ONCE);
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(records) => {
                outcome.batches += 1;
                outcome.records += records;
            }
            Err(why) => outcome.undelivered.push(why),
        }
    }
    outcome
}

/// The batches of every enabled job, in a shuffled order that depends only on the seed.
fn batches(shared: &Shared, items: &[Item], first_number: usize) -> Vec<Batch> {
    let mut ids = Ids::new(shared.config.seed, &format!("batches from {first_number}"));
    let world = shared.world();
    let redact = world.gateway_logging["redact_pii"] == true;
    let mut batches = Vec::new();
    for job in world.logpush_jobs.iter().filter(|job| job.enabled) {
        let mut lines: Vec<Line> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.dataset() == job.dataset)
            .map(|(at, item)| write(first_number + at, item, job, redact))
            .collect();
        while !lines.is_empty() {
            let size = usize::try_from(ids.between(4, 60)).unwrap_or(4).min(lines.len());
            let rest = lines.split_off(size);
            // Order within a batch is not promised.
            ids.shuffle(&mut lines);
            batches.push(Batch {
                job_id: job.id,
                dataset: job.dataset.clone(),
                lines: Arc::new(lines),
                twice: batches.len() % 5 == 2,
            });
            lines = rest;
        }
    }
    ids.shuffle(&mut batches);
    batches
}

fn write(number: usize, item: &Item, job: &Job, redact: bool) -> Line {
    match item {
        Item::Event(event) => Line {
            number,
            text: record::line(event, &job.output_options, redact),
            malformed: false,
        },
        Item::Malformed { text, .. } => Line {
            number,
            text: text.clone(),
            malformed: true,
        },
    }
}

/// Sends one batch until it is accepted. A job that was removed or disabled in the meantime delivers nothing more.
async fn push(shared: &Shared, batch: &Batch, deadline: Instant) -> Result<(), String> {
    let text: String = batch
        .lines
        .iter()
        .flat_map(|line| [line.text.as_str(), "\n"])
        .collect();
    let mut wait = FIRST_WAIT;
    loop {
        let destination_conf = {
            let world = shared.world();
            let job = world
                .logpush_jobs
                .iter()
                .find(|job| job.id == batch.job_id && job.enabled);
            let Some(job) = job else { return Ok(()) };
            job.destination_conf.clone()
        };
        let pushed = match Destination::parse(&destination_conf, shared.config.allow_any_destination) {
            Ok(destination) => {
                let pushing = destination.upload(shared, &text);
                tokio::time::timeout_at(deadline, pushing)
                    .await
                    .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            }
            Err(why) => Err(why),
        };
        shared.pushed.note(batch, pushed.is_ok());
        let now = shared.clock.now();
        {
            let mut world = shared.world();
            if let Some(job) = world.logpush_jobs.iter_mut().find(|job| job.id == batch.job_id) {
                match &pushed {
                    Ok(()) => job.last_complete = Some(now),
                    Err(why) => {
                        job.last_error = Some(now);
                        job.error_message = Some(why.clone());
                    }
                }
            }
        }
        let Err(why) = pushed else { return Ok(()) };
        if Instant::now() + wait >= deadline || shared.stopping.is_cancelled() {
            let (job, dataset, records) = (batch.job_id, &batch.dataset, batch.lines.len());
            return Err(format!("{records} lines of {dataset} (job {job}): {why}"));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
