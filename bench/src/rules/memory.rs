//! The memory of a run over files, with rules that look back one week.
//!
//! 2,000 people, 100 rules (50 about single events, 25 event counts, 25 value counts), and two million matches that are
//! all kept. The run is a separate process, to measure its own peak: [`run`] is in that process, [`print()`] in this
//! one.

use super::stream::Numbers;
use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use model::{Clock, SystemClock};
use rules::book::RuleBook;
use rules::file_run::{self, Options};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

/// The argument that makes the program run as that process.
pub(crate) const WORD: &str = "rules-memory";
const EVENTS: usize = 2_000_000;
const PEOPLE: u64 = 2_000;
const BASES: usize = 50;
const BEGIN_S: u64 = 1_767_600_000;

pub(super) fn print(folder: &Path) -> anyhow::Result<()> {
    let rules = folder.join("week");
    std::fs::create_dir_all(&rules)?;
    for place in 0..BASES {
        let (condition, kind) = if place % 2 == 0 {
            ("gte: 1000000", "event_count")
        } else {
            ("field: QueryName, gte: 1000000", "value_count")
        };
        let text = format!(
            "title: b{place}\nname: b{place}\nlogsource: {{service: gateway_dns}}\n\
             detection: {{a: {{QueryCategoryIDs: {place}}}, condition: a}}\n---\n\
             title: w{place}\nname: w{place}\n\
             correlation: {{type: {kind}, rules: [b{place}], group-by: [Email], timespan: 7d, condition: {{{condition}}}}}\n"
        );
        std::fs::write(rules.join(format!("{place}.yml")), text)?;
    }
    let mut numbers = Numbers(7);
    let mut to = GzEncoder::new(
        BufWriter::new(File::create(folder.join("week.gz"))?),
        Compression::fast(),
    );
    for event in 0..EVENTS {
        writeln!(
            to,
            "{{\"Datetime\":{},\"Email\":\"person{}@corp.example\",\"QueryID\":\"{event}\",\"QueryName\":\"{}.example.com\",\"QueryCategoryIDs\":[{}]}}",
            BEGIN_S + (event * 600_000 / EVENTS) as u64,
            numbers.below(PEOPLE),
            numbers.below(5_000),
            numbers.below(BASES as u64)
        )?;
    }
    to.finish()?.flush()?;
    let output = Command::new(std::env::current_exe()?)
        .arg(WORD)
        .arg(folder)
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    crate::say(&format!("  {}", String::from_utf8_lossy(&output.stdout).trim()));
    Ok(())
}

/// The body of the other process.
pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    let book = RuleBook::of_folder(&folder.join("week"));
    anyhow::ensure!(book.problems.is_empty(), "{:?}", book.problems);
    let before = peak()?;
    let totals = file_run::run(
        &book,
        &[folder.join("week.gz")],
        Options {
            dataset: None,
            matches: None,
            threads: 1,
            now: SystemClock.now(),
            progress: &|_| {},
        },
    )?;
    anyhow::ensure!(
        totals.events as usize == EVENTS && totals.untaken == 0,
        "{totals:?}"
    );
    crate::say(&format!(
        "peak memory of a run over a file, 2,000 people, 100 rules, 7 days, {EVENTS} matches kept: {} MB ({} MB before it)",
        peak()? >> 10,
        before >> 10
    ));
    Ok(())
}

/// The largest resident size so far, in KiB.
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let words = line.context("no VmHWM here")?;
    Ok(words.trim().trim_end_matches(" kB").parse()?)
}
