//! Measures the stages and prints ratios to baselines that run in the same process just before.
//!
//! Absolute numbers depend on the machine and the moment; watch the ratios. Nothing is asserted.
#![expect(clippy::print_stdout, reason = "a benchmark speaks through it")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real clock and a plain client"
)]

mod access;
mod connections;
mod growth;
mod ingest;
mod receiver;
mod rules;
mod sync;

use std::time::Instant;

/// One measurement.
struct Figure {
    what: String,
    /// Units of work per second.
    rate: f64,
    unit: &'static str,
}

impl Figure {
    fn of(what: &str, unit: &'static str, amount: usize, begun: Instant) -> Self {
        Self {
            what: what.to_owned(),
            rate: amount as f64 / begun.elapsed().as_secs_f64(),
            unit,
        }
    }
}

fn say(line: &str) {
    println!("{line}");
}

fn print(title: &str, figures: &[Figure]) {
    println!("\n{title}");
    let baseline = figures.first().map_or(1.0, |figure| figure.rate);
    for figure in figures {
        println!(
            "  {:<52} {:>12.0} {:<10} {:>6.2} x the baseline",
            figure.what,
            figure.rate,
            figure.unit,
            figure.rate / baseline
        );
    }
}

/// The same allocator as in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The parts that can be measured separately, by name; without a name, all of them.
const PARTS: [&str; 6] = ["ingest", "growth", "rules", "sync", "access", "connections"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, folder] = arguments.as_slice()
        && word == rules::MEMORY
    {
        return rules::memory(folder.as_ref());
    }
    if let Some(other) = arguments.iter().find(|part| !PARTS.contains(&part.as_str())) {
        anyhow::bail!("there is no part {other}; there are {}", PARTS.join(", "));
    }
    let is_wanted = |part: &str| arguments.is_empty() || arguments.iter().any(|wanted| wanted == part);
    // A provider that is installed already is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if is_wanted("connections") {
        connections::print().await?;
    }
    if is_wanted("ingest") {
        print(
            "One core: a record from text to rules (baseline: serde_json alone)",
            &ingest::one_core()?,
        );
        print(
            "Batches from HTTP body to detections, SQLite, archive synced (baseline: gunzip alone)",
            &ingest::whole().await?,
        );
        receiver::measure().await?;
    }
    if is_wanted("growth") {
        growth::all().await?;
    }
    if is_wanted("rules") {
        rules::measure()?;
    }
    if is_wanted("sync") {
        print(
            "Sync of 2,000 members, 5,000 Access users, 200 groups (baseline: the same pages one by one)",
            &sync::sync().await?,
        );
    }
    if is_wanted("access") {
        for (title, latencies) in access::measure().await? {
            access::print(&title, &latencies);
        }
    }
    if let Some(line) = std::fs::read_to_string("/proc/self/status")?
        .lines()
        .find(|line| line.starts_with("VmHWM"))
    {
        println!(
            "\npeak memory of all of the above, sandbox included: {}",
            line.trim_start_matches("VmHWM:").trim()
        );
    }
    Ok(())
}
