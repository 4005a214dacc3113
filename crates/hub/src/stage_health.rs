//! Whether the stages that this process runs succeed: what readiness is told by.
//!
//! Written by [`crate::driver`], read by whoever asks whether the hub is ready. In memory: another process tells its
//! own. Start reading at [`StageHealth::problems`].

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A stage that fails for longer than this is a problem. Chosen: one failure of the network is none.
const FAILING_FOR: TimeDelta = TimeDelta::seconds(30);

/// How the stages of this process fare.
#[derive(Debug, Default)]
pub struct StageHealth(Mutex<BTreeMap<&'static str, Failing>>);

#[derive(Debug, Clone)]
struct Failing {
    since: DateTime<Utc>,
    reason: String,
}

impl StageHealth {
    /// A stage has worked, or is run elsewhere.
    pub(crate) fn succeeded(&self, stage: &'static str) {
        self.stages().remove(stage);
    }

    /// A stage has failed.
    pub(crate) fn failed(&self, stage: &'static str, reason: String, now: DateTime<Utc>) {
        let mut stages = self.stages();
        let since = stages.get(stage).map_or(now, |failing| failing.since);
        stages.insert(stage, Failing { since, reason });
    }

    /// The stages that have not succeeded for a while, each with the reason.
    pub fn problems(&self, now: DateTime<Utc>) -> Vec<String> {
        self.stages()
            .iter()
            .filter(|(_, failing)| now - failing.since >= FAILING_FOR)
            .map(|(stage, failing)| {
                let since = failing.since.format("%Y-%m-%d %H:%M:%S UTC");
                format!("the stage {stage} has failed since {since}: {}", failing.reason)
            })
            .collect()
    }

    fn stages(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_problem_once_it_has_failed_for_a_while_and_until_it_succeeds() {
        let at = |seconds: i64| DateTime::from_timestamp(1_795_000_000 + seconds, 0).unwrap();
        let health = StageHealth::default();
        health.failed("pipeline", "disk full".to_owned(), at(0));
        assert!(health.problems(at(10)).is_empty());
        health.failed("pipeline", "disk still full".to_owned(), at(20));
        let problems = health.problems(at(30));
        assert!(problems[0].contains("pipeline") && problems[0].contains("disk still full"));
        health.succeeded("pipeline");
        assert!(health.problems(at(90)).is_empty());
    }
}
