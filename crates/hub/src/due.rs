//! Whether something that is done every so often is due.

use chrono::{DateTime, TimeDelta, Utc};

/// Whether `every` has passed since `last`. A last time that lies ahead was written before the clock was set back, and
/// holds nothing up.
pub(crate) fn is_due(last: Option<DateTime<Utc>>, every: TimeDelta, now: DateTime<Utc>) -> bool {
    last.is_none_or(|last| last > now || now - last >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_at_first_after_its_time_and_when_the_clock_was_set_back() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let (second, minute) = (TimeDelta::seconds(1), TimeDelta::minutes(1));
        assert!(is_due(None, minute, now));
        assert!(!is_due(Some(now - minute + second), minute, now));
        assert!(is_due(Some(now - minute), minute, now));
        assert!(is_due(Some(now + second), minute, now));
    }
}
