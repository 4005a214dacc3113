//! Runs rules over files of log records, without a store or connection: `flareward rules run`.
//!
//! - `read` reads the lines of a file, `source` finds the rules for each line and matches it;
//! - `worker` counts the matches and keeps those that correlations need; each file has one thread;
//! - `output` writes matches, `totals` has their numbers.
//!
//! Memory is bounded, except for the kept matches. Correlations are computed at the end. Start reading at [`run`].

mod asked;
mod output;
mod place;
mod read;
mod source;
mod totals;
mod worker;

pub use self::totals::{Totals, counts, summary};

use self::asked::Asked;
use self::worker::{Shared, Worker};
use crate::Dataset;
use crate::book::RuleBook;
use crate::firing::fire;
use crate::matches::Groups;
use chrono::{DateTime, Utc};
use sigma::PartOf;
use std::io::{Result, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The options of a run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The dataset of all records; `None` means that it is recognised for each record.
    pub dataset: Option<&'static Dataset>,
    /// The output for each match, as a line of JSON.
    pub matches: Option<&'a Mutex<Box<dyn Write + Send>>>,
    /// The number of files that are read in parallel.
    pub threads: usize,
    /// The current time. A record that is much later has an invalid time.
    pub now: DateTime<Utc>,
    /// Called with the number of bytes that were read.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// Runs all rules of `book` over `files`, plain or gzip.
///
/// # Errors
///
/// If matches cannot be written, or correlations would need too much memory.
pub fn run(book: &RuleBook, files: &[PathBuf], options: Options<'_>) -> Result<Totals> {
    let shared = Shared::default();
    let mut totals = Totals::default();
    let mut counts = vec![0; book.rules().len()];
    let mut asked = Asked::default();
    let mut groups = Groups::default();
    for worker in work(book, files, options, &shared) {
        let worker = worker?;
        totals.add(worker.totals);
        for (count, more) in counts.iter_mut().zip(worker.counts) {
            *count += more;
        }
        asked.add(worker.asked);
        groups.merge(worker.groups);
    }
    if totals.events > 0 {
        totals.unasked = asked.missing();
    }
    let mut reported = Vec::new();
    for firing in fire(&book.detector.watches, groups) {
        if let Some(index) = index_of(book, firing.reports) {
            counts[index] += 1;
            reported.push((index, firing));
        }
    }
    for (rule, count) in book.rules().iter().zip(counts) {
        totals.add_matches(&rule.name, count);
    }
    output::write_firings(book, files, &reported, options)?;
    Ok(totals)
}

/// Lets several threads take the files one after another.
fn work<'a>(
    book: &'a RuleBook,
    files: &[PathBuf],
    options: Options<'a>,
    shared: &'a Shared,
) -> Vec<Result<Worker<'a>>> {
    let next = AtomicUsize::new(0);
    let one = || {
        let mut worker = Worker::new(book, options, shared);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(index) else { break };
            worker.file(index, path)?;
        }
        worker.end()?;
        Ok(worker)
    };
    let threads = options.threads.clamp(1, files.len().max(1));
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| Err(std::io::Error::other("a thread ended unexpectedly")))
            })
            .collect()
    })
}

/// The index in the book of the rule that is reported for a rule or correlation of the collection.
fn index_of(book: &RuleBook, source: PartOf) -> Option<usize> {
    let rule = book.reported(source)?;
    book.rules().iter().position(|other| std::ptr::eq(other, rule))
}
