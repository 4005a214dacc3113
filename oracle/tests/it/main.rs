//! Rules and events at random, shown to Flareward and to rsigma, an engine that others wrote; and regular expressions,
//! shown to Flareward and to PCRE2 ([`pcre`]).
//!
//! More than 20,000 pairs of a rule and an event are compared, always the same ones; `FLAREWARD_PAIRS=1000000` compares so
//! many of each kind, others in every run. What is generated keeps to what both mean alike. The known differences:
//!
//! | what | Flareward | rsigma 0.23 | by the specification |
//! |---|---|---|---|
//! | `exists` of a field that is null | it exists | it does not | presence only: Flareward |
//! | two null fields under `fieldref` | not equal | equal | silent |
//! | lists under `fieldref` | some members are equal | only whole lists, or none | silent |
//! | `all` over a list in an event | each value in some member | for some values, all in one member | silent |
//! | `startswith`, `endswith` with a wildcard in the value | as written | the wrong end is anchored | Flareward |
//! | `base64offset` | what is certain of the text, whatever stands beside it | its end as if nothing followed | Flareward |
//! | `windash` of `/a` | `-a` and the other dashes too | only a dash is permuted | any of them: Flareward |
//! | `1 of f*` and `all of them` in a filter | the filter's own selections | none, as it renames them | Flareward |
//! | keywords in truth values and numbers | found in their text | only texts are searched | "all fields": Flareward |
//! | the texts `1` and `yes` under `true` | not true | true | silent |
//! | `nan` and `inf` as numbers; 2^53 and above | not numbers; exact | numbers; as fractions | silent |
//! | letters whose small form is several (`İ`) | stay as they are | unfolded | silent |
//! | firing | where a condition begins to hold | at every event where it holds | silent; turned into ours here |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod correlations;
mod pcre;
mod single;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Events that each rule is shown.
const EVENTS: usize = 5;

/// How many pairs are compared, and a runner for as many rules.
fn runner() -> (usize, TestRunner) {
    runner_of(30_000)
}

/// The same with another number where none is set.
fn runner_of(default_pairs: usize) -> (usize, TestRunner) {
    let wanted = std::env::var("FLAREWARD_PAIRS")
        .ok()
        .map(|pairs| pairs.parse().unwrap());
    let pairs: usize = wanted.unwrap_or(default_pairs);
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
