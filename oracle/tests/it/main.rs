//! Rules and events at random, shown to Flareward and to rsigma, an engine that others wrote.
//!
//! 20,000 pairs of a rule and an event are compared, always the same ones; `FLAREWARD_PAIRS=1000000` compares so
//! many of each kind, others in every run. What is generated keeps to what both mean alike. The known differences:
//!
//! | what | Flareward | rsigma 0.23 | by the specification |
//! |---|---|---|---|
//! | lists | | | |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod correlations;
mod single;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Events that each rule is shown.
const EVENTS: usize = 5;

/// How many pairs are compared, and a runner for as many rules.
fn runner() -> (usize, TestRunner) {
    let wanted = std::env::var("FLAREWARD_PAIRS")
        .ok()
        .map(|pairs| pairs.parse().unwrap());
    let pairs: usize = wanted.unwrap_or(20_000);
    let config = Config {
        cases: u32::try_from(pairs.div_ceil(EVENTS)).unwrap(),
        max_global_rejects: u32::MAX,
        failure_persistence: None,
        ..Config::default()
    };
    let runner = if wanted.is_some() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    (pairs, runner)
}
