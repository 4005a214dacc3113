//! Compares Flareward with rsigma, an independent engine, on random rules and events; and with PCRE2 on regular
//! expressions ([`pcre`]).
//!
//! The tests compare more than 20,000 pairs of a rule and an event, always the same ones. `FLAREWARD_PAIRS=1000000`
//! compares that many of each kind, with different ones in every run. The generator avoids constructs that the two
//! interpret differently. The known differences:
//!
//! | what | Flareward | rsigma 0.23 | by the specification |
//! |---|---|---|---|
//! | `exists` of a field that is null | exists | does not exist | presence only: Flareward |
//! | two null fields under `fieldref` | not equal | equal | undefined |
//! | lists under `fieldref` | some members are equal | only whole lists, or never | undefined |
//! | `all` over a list in an event | each value in some member | for some values, all in one member | undefined |
//! | `startswith`, `endswith` with a wildcard in the value | as written | the wrong end is anchored | Flareward |
//! | `base64offset` | only the part that does not depend on adjacent text | treats values as final | Flareward |
//! | `windash` of `/a` | `-a` and the other dashes too | replaces only a dash | any of them: Flareward |
//! | `1 of f*` and `all of them` in a filter | the filter's own selections | none, because it renames them | Flareward |
//! | keywords in booleans and numbers | found in their text | searches only texts | "all fields": Flareward |
//! | the texts `1` and `yes` under `true` | not true | true | undefined |
//! | `nan` and `inf` as numbers; 2^53 and above | not numbers; exact | numbers; as floats | undefined |
//! | letters whose lower case has several characters (`İ`) | unchanged | unfolded | undefined |
//! | firing | where a condition becomes true | at every event where it is true | undefined; converted to ours here |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod correlations;
mod pcre;
mod single;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The number of events for each rule.
const EVENTS: usize = 5;

/// The number of pairs to compare, and a runner for the corresponding number of rules.
fn runner() -> (usize, TestRunner) {
    runner_of(30_000)
}

/// The same with another default number.
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
