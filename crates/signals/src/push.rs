//! The meaning of a receiver's response to a pushed token, and the delay before the next attempt.
//!
//! Pure: the caller sends, counts attempts, and provides time and randomness. The token keeps its `jti` and its bytes
//! on every attempt, so a repetition does no harm. Start reading at [`classify`].
//!
//! RFC 8935 §2.4 lets the transmitter choose how to handle each error. The choices here match the observed responses of
//! receivers.

use std::time::Duration;

use serde::Deserialize;

/// The number of attempts with [`PushOutcome::RetryBounded`] after which the integration is suspended.
///
/// Enough for a receiver that caches the JWKS document to fetch it again. Chosen, nothing depends on it.
pub const SUSPEND_AFTER_BOUNDED_RETRIES: u32 = 5;

/// The maximum length of the receiver's own message that is kept.
const DESCRIPTION_MAX_CHARS: usize = 500;

/// The response. A push without a response (no connection, time-out) is [`PushOutcome::Retry`] without calling
/// [`classify`].
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header, if any.
    pub retry_after: Option<&'a str>,
    /// The body, possibly truncated by the caller.
    pub body: &'a [u8],
}

/// What to do with the token after a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The receiver accepted it (202).
    Delivered,
    /// The receiver accepted it, but responded 200 or 204 where the RFC requires 202.
    DeliveredFlagged {
        /// The status of the response.
        status: u16,
    },
    /// Rate limit: wait at least this long; `None` if the receiver did not say how long.
    RetryAfter(Option<Duration>),
    /// A temporary failure: try again after [`backoff`].
    Retry,
    /// May succeed after caches or credentials are renewed: try again a few times ([`SUSPEND_AFTER_BOUNDED_RETRIES`]),
    /// then suspend the integration.
    RetryBounded {
        /// The code of RFC 8935 §2.4, or the HTTP status as text.
        err: String,
        /// The receiver's own message.
        description: String,
    },
    /// The receiver will never accept this token, but may accept the next one.
    DeadLetter {
        /// The code of RFC 8935 §2.4.
        err: String,
        /// The receiver's own message.
        description: String,
    },
    /// The receiver will accept nothing until someone changes the configuration: keep the backlog, stop sending.
    SuspendIntegration {
        /// The code of RFC 8935 §2.4, or the HTTP status as text.
        err: String,
        /// The receiver's own message.
        description: String,
    },
}

/// Interprets a response. `now` is the time in Unix seconds, for a `Retry-After` with a date.
pub fn classify(answer: Answer<'_>, now: i64) -> PushOutcome {
    let wait = answer.retry_after.and_then(|header| retry_after(header, now));
    let of_status = || (format!("http_{}", answer.status), description(answer.body));
    match answer.status {
        202 => PushOutcome::Delivered,
        200 | 204 => PushOutcome::DeliveredFlagged {
            status: answer.status,
        },
        400 => bad_request(answer.body),
        401 => {
            let (err, description) = of_status();
            PushOutcome::RetryBounded { err, description }
        }
        429 => PushOutcome::RetryAfter(wait),
        503 if wait.is_some() => PushOutcome::RetryAfter(wait),
        408 | 425 | 500..=599 => PushOutcome::Retry,
        // Redirects are not followed, and any other answer does not come from a receiver of tokens.
        _ => {
            let (err, description) = of_status();
            PushOutcome::SuspendIntegration { err, description }
        }
    }
}

/// The delay before attempt `attempt` + 1: a random part of a doubling limit ("full jitter").
///
/// `random` is in `0.0..=1.0`; other values are clamped. The result is at most `cap`.
pub fn backoff(attempt: u32, base: Duration, cap: Duration, random: f64) -> Duration {
    let limit = base
        .saturating_mul(2_u32.saturating_pow(attempt.min(31)))
        .min(cap);
    let share = if random.is_finite() {
        random.clamp(0.0, 1.0)
    } else {
        1.0
    };
    limit.mul_f64(share)
}

#[derive(Deserialize)]
struct ErrorBody {
    err: String,
    #[serde(default)]
    description: String,
}

fn bad_request(body: &[u8]) -> PushOutcome {
    let Ok(ErrorBody { err, description }) = serde_json::from_slice::<ErrorBody>(body) else {
        return PushOutcome::SuspendIntegration {
            err: "http_400".to_owned(),
            description: self::description(body),
        };
    };
    let (err, description) = (cut(&err), cut(&description));
    match err.as_str() {
        "invalid_key" | "authentication_failed" | "access_denied" => {
            PushOutcome::RetryBounded { err, description }
        }
        "invalid_issuer" | "invalid_audience" => PushOutcome::SuspendIntegration { err, description },
        // The registry is open: a code that is not known speaks of this token only.
        _ => PushOutcome::DeadLetter { err, description },
    }
}

fn description(body: &[u8]) -> String {
    cut(String::from_utf8_lossy(body).trim())
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(DESCRIPTION_MAX_CHARS)
        .collect()
}

/// `Retry-After` in its two formats (RFC 9110 §10.2.3): seconds, or a date such as `Fri, 31 Dec 1999 23:59:59 GMT`. The
/// two obsolete date formats are not supported.
fn retry_after(header: &str, now: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let (_, date) = header.split_once(", ")?;
    let parts: Vec<&str> = date.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts.as_slice() else {
        return None;
    };
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|name| name == month)? as i64
        + 1;
    let clock: Vec<i64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(hour)
        && (0..60).contains(minute)
        && (0..=60).contains(second);
    let at = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    in_range.then(|| Duration::from_secs(u64::try_from(at - now).unwrap_or(0)))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counting years from March so that a
/// leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(status: u16, retry_after: Option<&str>, body: &str) -> PushOutcome {
        classify(
            Answer {
                status,
                retry_after,
                body: body.as_bytes(),
            },
            946_684_790,
        )
    }

    fn kind(outcome: &PushOutcome) -> &'static str {
        match outcome {
            PushOutcome::Delivered => "delivered",
            PushOutcome::DeliveredFlagged { .. } => "flagged",
            PushOutcome::RetryAfter(_) => "wait",
            PushOutcome::Retry => "retry",
            PushOutcome::RetryBounded { .. } => "bounded",
            PushOutcome::DeadLetter { .. } => "dead",
            PushOutcome::SuspendIntegration { .. } => "suspend",
        }
    }

    #[test]
    fn each_answer_leads_to_one_decision() {
        for (status, body, decision) in [
            (202, "", "delivered"),
            (200, "", "flagged"),
            (204, "", "flagged"),
            (400, r#"{"err":"invalid_request","description":"x"}"#, "dead"),
            (400, r#"{"err":"something_new"}"#, "dead"),
            (400, r#"{"err":"invalid_key","description":"x"}"#, "bounded"),
            (400, r#"{"err":"authentication_failed"}"#, "bounded"),
            (400, r#"{"err":"access_denied"}"#, "bounded"),
            (400, r#"{"err":"invalid_issuer"}"#, "suspend"),
            (400, r#"{"err":"invalid_audience"}"#, "suspend"),
            (400, "<html>", "suspend"),
            (401, "", "bounded"),
            (403, "", "suspend"),
            (404, "", "suspend"),
            (302, "", "suspend"),
            (206, "", "suspend"),
            (408, "", "retry"),
            (429, "", "wait"),
            (500, "", "retry"),
            (503, "", "retry"),
        ] {
            assert_eq!(kind(&ask(status, None, body)), decision, "{status} {body}");
        }
    }

    #[test]
    fn back_pressure_is_read_as_seconds_or_as_a_date() {
        let seconds = |n| PushOutcome::RetryAfter(Some(Duration::from_secs(n)));
        assert_eq!(ask(429, Some("120"), ""), seconds(120));
        assert_eq!(ask(503, Some("7"), ""), seconds(7));
        assert_eq!(ask(429, Some("Sat, 01 Jan 2000 00:00:10 GMT"), ""), seconds(20));
        assert_eq!(ask(429, Some("Fri, 31 Dec 1999 23:59:59 GMT"), ""), seconds(9));
        assert_eq!(ask(429, Some("Thu, 01 Jan 1970 00:00:00 GMT"), ""), seconds(0));
        for junk in [
            "soon",
            "-1",
            "Sat, 99 Jan 2000 00:00:10 GMT",
            "Sat, 01 Jan 2000 00:00 GMT",
            ", ",
            "a, 1 2 3 4 GMT",
        ] {
            assert_eq!(ask(429, Some(junk), ""), PushOutcome::RetryAfter(None), "{junk}");
        }
    }

    #[test]
    fn the_days_of_known_dates_are_right() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2024, 12, 31), 20_088),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), days, "{date:?}");
        }
    }

    #[test]
    fn a_receivers_words_are_kept_short_and_on_one_line() {
        let body = format!(
            r#"{{"err":"invalid_request","description":"a\nb{}"}}"#,
            "x".repeat(5_000)
        );
        let PushOutcome::DeadLetter { description, .. } = ask(400, None, &body) else {
            panic!("not a dead letter")
        };
        assert!(description.starts_with("abx") && description.len() == DESCRIPTION_MAX_CHARS);
    }

    #[test]
    fn waiting_doubles_up_to_the_cap_and_is_spread() {
        let (base, cap) = (Duration::from_secs(2), Duration::from_secs(600));
        let longest: Vec<u64> = (0..5)
            .map(|attempt| backoff(attempt, base, cap, 1.0).as_secs())
            .collect();
        assert_eq!(longest, [2, 4, 8, 16, 32]);
        assert_eq!(backoff(u32::MAX, base, cap, 1.0), cap);
        assert_eq!(backoff(3, base, cap, 0.5), Duration::from_secs(8));
        assert_eq!(backoff(3, base, cap, 0.0), Duration::ZERO);
        assert_eq!(backoff(3, base, cap, f64::NAN), Duration::from_secs(16));
    }
}
