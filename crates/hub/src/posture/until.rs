//! Until when a mute holds, as people write it.
//!
//! Pure.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// A time.
pub type At = DateTime<Utc>;
/// A time span.
pub type Span = TimeDelta;

/// The end that `text` names: `2026-12-31` (to the end of that day, UTC) or `2026-12-31T18:00:00Z`.
///
/// # Errors
///
/// What is expected instead.
pub fn date(text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Ok(day) = text.parse::<NaiveDate>() {
        let next = day.succ_opt().and_then(|day| day.and_hms_opt(0, 0, 0));
        return next
            .map(|end| end.and_utc())
            .ok_or_else(|| format!("{text} is too far in the future"));
    }
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|_| format!("invalid date \"{text}\": use 2026-12-31 or 2026-12-31T18:00:00Z"))
}

/// A time span: `30d`, `12h` or `2w`.
///
/// # Errors
///
/// What is expected instead.
pub fn span(text: &str) -> Result<TimeDelta, String> {
    /// A hundred years, in hours.
    const HOURS_MAX: i64 = 876_000;
    let text = text.trim();
    let refused = || format!("invalid duration \"{text}\": use 12h, 30d or 2w");
    let unit = text.chars().last().ok_or_else(refused)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 168,
        _ => return Err(refused()),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| refused())?;
    let hours = number.checked_mul(hours).ok_or_else(refused)?;
    if !(1..=HOURS_MAX).contains(&hours) {
        return Err(refused());
    }
    Ok(TimeDelta::hours(hours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_people_write_them() {
        assert_eq!(
            date("2026-12-31").unwrap().to_rfc3339(),
            "2027-01-01T00:00:00+00:00"
        );
        assert_eq!(
            date("2026-12-31T18:00:00+01:00").unwrap().to_rfc3339(),
            "2026-12-31T17:00:00+00:00"
        );
        assert_eq!(span("30d").unwrap(), TimeDelta::days(30));
        assert_eq!(span("2w").unwrap(), TimeDelta::days(14));
        for wrong in [
            "",
            "d",
            "30",
            "-3d",
            "0d",
            "3 months",
            "99999999999999999999d",
            "9999999w",
            "5é",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
            assert!(date(wrong).is_err(), "{wrong}");
        }
    }
}
