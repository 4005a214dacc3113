//! Notices that the machine's clock was set.
//!
//! What ends by itself ends by the database's clock ([`crate::lease`]) and what is due is due again after a jump
//! ([`crate::due`]), so nothing has to be done about it; but whoever reads times of that hour should know.

use crate::app::App;
use chrono::TimeDelta;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// A difference that no drift and no busy machine makes in that time.
const JUMP: TimeDelta = TimeDelta::seconds(5);

/// Watches the clock until `stop` is cancelled.
pub(crate) async fn run(app: App, stop: CancellationToken) {
    let mut before = (app.clock.now(), Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let now = (app.clock.now(), Instant::now());
        let passed = TimeDelta::from_std(now.1 - before.1).unwrap_or(TimeDelta::MAX);
        let jumped = jump(now.0 - before.0, passed);
        if let Some(jumped) = jumped {
            let (seconds, way) = (
                jumped.num_seconds().abs(),
                if jumped < TimeDelta::zero() {
                    "back"
                } else {
                    "forward"
                },
            );
            metrics::counter!("flareward_clock_jumps_total", "way" => way).increment(1);
            tracing::warn!(
                "the system clock was set {way} by {seconds} seconds: timestamps around this time are not in order"
            );
            app.wake.call_all();
        }
        before = now;
    }
}

/// How far the clock was set, when `shown` of it passed in `passed`.
fn jump(shown: TimeDelta, passed: TimeDelta) -> Option<TimeDelta> {
    let difference = shown - passed;
    (difference.abs() > JUMP).then_some(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_told_from_a_slow_machine() {
        let seconds = TimeDelta::seconds;
        assert_eq!(jump(seconds(2), seconds(2)), None);
        assert_eq!(jump(seconds(60), seconds(60)), None, "the machine slept");
        assert_eq!(jump(seconds(-3_598), seconds(2)), Some(seconds(-3_600)));
        assert_eq!(jump(seconds(302), seconds(2)), Some(seconds(300)));
    }
}
