//! Rules over files of log records on one thread: Flareward, rsigma, and the minimum cost of any engine.
//!
//! The events and rules are generated here ([`stream`], [`book`]), so that every run measures the same. The numbers are
//! wall time, the best of three alternating runs, and are not asserted. The benchmark does assert that both engines
//! find the same matches.

mod book;
mod memory;
mod peer;
mod stream;

pub(crate) use memory::{WORD as MEMORY, run as memory};

use self::peer::Peer;
use self::stream::{DNS_EVENTS, Files, HTTP_EVENTS};
use crate::say;
use model::{Clock, SystemClock};
use rules::book::RuleBook;
use rules::file_run::{self, Options, Totals};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

const TIMES: usize = 3;
const EVENTS: usize = DNS_EVENTS + HTTP_EVENTS;

struct Row {
    what: &'static str,
    /// Seconds for all events.
    took: f64,
}

fn run(book: &RuleBook, path: &Path) -> anyhow::Result<Totals> {
    let options = Options {
        dataset: None,
        matches: None,
        threads: 1,
        now: SystemClock.now(),
        progress: &|_| {},
    };
    let totals = file_run::run(book, &[path.to_owned()], options)?;
    anyhow::ensure!(
        totals.events as usize == EVENTS && totals.rejected == 0,
        "{totals:?}"
    );
    Ok(totals)
}

fn folder_book(folder: &Path, each: usize, with_correlations: bool) -> anyhow::Result<RuleBook> {
    book::write(folder, each, with_correlations)?;
    let begun = Instant::now();
    let book = RuleBook::of_folder(folder);
    anyhow::ensure!(book.problems.is_empty(), "{:?}", book.problems);
    say(&format!(
        "  {} rules read in {:.0} ms",
        book.rules().len(),
        begun.elapsed().as_secs_f64() * 1e3
    ));
    Ok(book)
}

pub(crate) fn measure() -> anyhow::Result<()> {
    say("\nRules over files of log records, one thread");
    let folder = tempfile::tempdir()?;
    let files = stream::write(folder.path())?;
    say(&format!(
        "  {EVENTS} events ({DNS_EVENTS} gateway_dns, {HTTP_EVENTS} gateway_http), {:.0} bytes each, {} MB, {} MB packed",
        files.bytes as f64 / EVENTS as f64,
        files.bytes / 1_000_000,
        files.packed_bytes / 1_000_000
    ));
    let few = folder_book(&folder.path().join("few"), 2, false)?;
    let many = folder_book(&folder.path().join("many"), 20, false)?;
    let correlated = folder_book(&folder.path().join("correlated"), 2, true)?;
    let peer = Peer::of_folder(&folder.path().join("few"))?;
    let peer_many = Peer::of_folder(&folder.path().join("many"))?;

    compare(&run(&few, &files.plain)?.rules, &peer.run(&files.plain)?);
    compare(&run(&many, &files.plain)?.rules, &peer_many.run(&files.plain)?);
    let firings: u64 = run(&correlated, &files.plain)?
        .rules
        .iter()
        .filter(|(name, _)| name.starts_with("c-"))
        .map(|(_, count)| count)
        .sum();
    say(&format!("  the correlations fire {firings} times"));
    table(&files, &few, &many, &correlated, &peer, &peer_many)?;
    memory::print(folder.path())
}

fn compare(ours: &BTreeMap<String, u64>, theirs: &BTreeMap<String, u64>) {
    let total: u64 = ours.values().sum();
    let differing: Vec<String> = ours
        .keys()
        .chain(theirs.keys())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| format!("{name}: {:?} and {:?}", ours.get(name), theirs.get(name)))
        .collect();
    if differing.is_empty() {
        say(&format!(
            "  {total} matches of {} rules; the same of each with rsigma",
            ours.len()
        ));
    } else {
        say(&format!(
            "  DIFFERENT from rsigma, ours first: {}",
            differing.join("; ")
        ));
    }
}

type Job<'a> = (&'static str, Box<dyn Fn() -> anyhow::Result<()> + 'a>);

fn table(
    files: &Files,
    few: &RuleBook,
    many: &RuleBook,
    correlated: &RuleBook,
    peer: &Peer,
    peer_many: &Peer,
) -> anyhow::Result<()> {
    let (plain, packed) = (&files.plain, &files.packed);
    let jobs: Vec<Job<'_>> = vec![
        (
            "floor: each line parsed by sonic-rs",
            Box::new(|| peer::parse(plain).map(drop)),
        ),
        (
            "floor: unpacked alone",
            Box::new(|| peer::unpack(packed).map(drop)),
        ),
        (
            "floor: unpacked and parsed",
            Box::new(|| peer::parse(packed).map(drop)),
        ),
        ("Flareward, 50 rules", Box::new(|| run(few, plain).map(drop))),
        (
            "Flareward, 50 rules, .gz",
            Box::new(|| run(few, packed).map(drop)),
        ),
        ("Flareward, 500 rules", Box::new(|| run(many, plain).map(drop))),
        (
            "Flareward, 500 rules, .gz",
            Box::new(|| run(many, packed).map(drop)),
        ),
        (
            "Flareward, 50 rules and 4 correlations",
            Box::new(|| run(correlated, plain).map(drop)),
        ),
        ("rsigma 0.23, 50 rules", Box::new(|| peer.run(plain).map(drop))),
        (
            "rsigma 0.23, 50 rules, .gz",
            Box::new(|| peer.run(packed).map(drop)),
        ),
        (
            "rsigma 0.23, 500 rules",
            Box::new(|| peer_many.run(plain).map(drop)),
        ),
    ];
    let mut rows: Vec<Row> = jobs
        .iter()
        .map(|(what, _)| Row {
            what,
            took: f64::INFINITY,
        })
        .collect();
    for _ in 0..TIMES {
        for (row, (_, job)) in rows.iter_mut().zip(&jobs) {
            let begun = Instant::now();
            job()?;
            row.took = row.took.min(begun.elapsed().as_secs_f64());
        }
    }
    let took = |place: usize| rows[place].took;
    for (place, row) in rows.iter().enumerate() {
        let is_packed = row.what.ends_with(".gz") || [1, 2].contains(&place);
        let (floor, rival) = if is_packed { (2, 9) } else { (0, 8) };
        let rival = if row.what.contains("500") { 10 } else { rival };
        say(&format!(
            "  {:<40} {:>10.0} events/s {:>7.2} x rsigma {:>6.2} x the floor's time",
            row.what,
            EVENTS as f64 / row.took,
            took(rival) / row.took,
            row.took / took(floor)
        ));
    }
    for (what, value, aim, is_least) in [
        ("times rsigma, NDJSON", took(8) / took(3), 8.0, true),
        ("times rsigma, .gz", took(9) / took(4), 4.0, true),
        ("times the floor's time, NDJSON", took(3) / took(0), 2.5, false),
        ("500 rules to 50, time", took(5) / took(3), 1.5, false),
        (
            "with correlations to without, time",
            took(7) / took(3),
            1.2,
            false,
        ),
    ] {
        let is_met = if is_least { value >= aim } else { value <= aim };
        let (sign, verdict) = (
            if is_least { "at least" } else { "at most" },
            if is_met { "met" } else { "MISSED" },
        );
        say(&format!(
            "  {what:<40} {value:>7.2}   aim: {sign} {aim:.1}, {verdict}"
        ));
    }
    Ok(())
}
