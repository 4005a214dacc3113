//! Parts of a time, for the modifiers `minute` to `year`. All in UTC.
//!
//! Reads RFC 3339 (a missing zone means UTC) and Unix times; the number of digits determines the unit.

use crate::event::Scalar;
use crate::modifier::TimePart;

/// The part of the time in a value; `None` if the value is not a time.
pub(crate) fn part(scalar: Scalar<'_>, part: TimePart) -> Option<i64> {
    let seconds = match scalar {
        Scalar::Int(number) => from_number(number)?,
        Scalar::Text(text) => match text.trim().parse::<i128>() {
            Ok(number) => from_number(number)?,
            Err(_) => from_rfc3339(text.trim())?,
        },
        Scalar::Null | Scalar::Bool(_) | Scalar::Float(_) => return None,
    };
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = date(days);
    Some(match part {
        TimePart::Minute => of_day / 60 % 60,
        TimePart::Hour => of_day / 3_600,
        TimePart::Day => day,
        TimePart::Month => month,
        TimePart::Year => year,
        TimePart::Week => {
            // The Thursday of a week lies in the year to which ISO 8601 counts the week.
            let thursday = days - (days + 3).rem_euclid(7) + 3;
            (thursday - days_since_1970(date(thursday).0, 1, 1)) / 7 + 1
        }
    })
}

/// Up to 11 digits are seconds, then milliseconds, microseconds and nanoseconds.
fn from_number(number: i128) -> Option<i64> {
    let unit = match number.unsigned_abs() {
        0..=99_999_999_999 => 1,
        100_000_000_000..=99_999_999_999_999 => 1_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000_000,
        _ => 1_000_000_000,
    };
    i64::try_from(number.div_euclid(unit))
        .ok()
        .filter(|seconds| seconds.unsigned_abs() < 1 << 40)
}

fn from_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [hour, minute, second] = numbers(clock, ':').or_else(|| {
        let [hour, minute] = numbers(clock, ':')?;
        Some([hour, minute, 0])
    })?;
    let offset = match zone {
        "" | "Z" | "z" => 0,
        signed => {
            let [hours, minutes] = numbers(&signed[1..], ':')?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if signed.starts_with('-') { -60 } else { 60 }
        }
    };
    let sound = (1..=9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    sound.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let read: Vec<i64> = text
        .split(between)
        .map(|digits| {
            let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        })
        .collect::<Option<_>>()?;
    read.try_into().ok()
}

/// Days of the Gregorian calendar, counting years from March so that a leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469
}

/// Year, month and day of a day counted from 1970-01-01: the inverse of [`days_since_1970`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    (year + era * 400, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_utc() {
        use TimePart::{Day, Hour, Minute, Month, Week, Year};
        let parts = |text| {
            [Year, Month, Week, Day, Hour, Minute].map(|wanted| part(Scalar::Text(text), wanted).unwrap())
        };
        for (text, expected) in [
            ("2026-03-15T23:59:59Z", [2026, 3, 11, 15, 23, 59]),
            ("2026-01-01T00:30:00+02:00", [2025, 12, 1, 31, 22, 30]),
            ("2024-02-29 08:05", [2024, 2, 9, 29, 8, 5]),
            ("2021-01-03T00:00:00.123456789Z", [2021, 1, 53, 3, 0, 0]),
            ("1795310000", [2026, 11, 47, 22, 1, 13]),
            ("1795310000123", [2026, 11, 47, 22, 1, 13]),
            ("1795310000123456", [2026, 11, 47, 22, 1, 13]),
            ("1795310000123456789", [2026, 11, 47, 22, 1, 13]),
            ("-1", [1969, 12, 1, 31, 23, 59]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_has_no_parts() {
        for text in [
            "",
            "soon",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T25:00:00Z",
            "2026-01-01T00:00:00+x",
            "T",
        ] {
            assert_eq!(part(Scalar::Text(text), TimePart::Hour), None, "{text}");
        }
        assert_eq!(part(Scalar::Int(i128::MAX), TimePart::Hour), None);
        assert_eq!(part(Scalar::Null, TimePart::Hour), None);
    }

    #[test]
    fn a_date_and_its_count_of_days_agree() {
        for days in -800_000..800_000 {
            let (year, month, day) = date(days);
            assert_eq!(days_since_1970(year, month, day), days);
        }
    }
}
