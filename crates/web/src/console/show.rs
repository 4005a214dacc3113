//! How a value looks on a page: times, levels, states, counts, records.
//!
//! Pure. What comes from outside is escaped here; what is returned as [`Html`] is put on the page as it is.

use askama::Template;
use askama::filters::{Html as Escaper, HtmlSafe, escape};
use chrono::{DateTime, SecondsFormat, Utc};
use model::RiskLevel;
use serde_json::Value;
use std::fmt;

/// HTML that is already escaped.
pub(super) struct Html(String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

fn escaped(text: &str) -> String {
    escape(text, Escaper)
        .map(|text| text.to_string())
        .unwrap_or_default()
}

/// A time for a link, to the microsecond.
pub(super) fn instant(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A time in UTC, to the second.
pub(super) fn when(at: &DateTime<Utc>) -> Html {
    Html(format!(
        "<time datetime=\"{}\">{} <span class=\"utc\">UTC</span></time>",
        at.to_rfc3339_opts(SecondsFormat::Secs, true),
        at.format("%Y-%m-%d %H:%M:%S")
    ))
}

/// The time of day, with the full time as its title.
pub(super) fn clock(at: &DateTime<Utc>) -> Html {
    Html(format!(
        "<time datetime=\"{}\" title=\"{}\">{}</time>",
        at.to_rfc3339_opts(SecondsFormat::Secs, true),
        at.format("%Y-%m-%d %H:%M:%S UTC"),
        at.format("%H:%M:%S")
    ))
}

/// An optional time.
pub(super) fn when_or(at: &Option<DateTime<Utc>>, otherwise: &str) -> Html {
    match at {
        Some(at) => when(at),
        None => Html(format!("<span class=\"none\">{}</span>", escaped(otherwise))),
    }
}

/// An optional text.
pub(super) fn text_or(text: &Option<String>, otherwise: &str) -> Html {
    match text.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Html(escaped(text)),
        None => Html(format!("<span class=\"none\">{}</span>", escaped(otherwise))),
    }
}

/// An address as people read it: its domain in Unicode.
pub(super) fn address(address: &(impl AsRef<str> + ?Sized)) -> String {
    model::address::shown(address.as_ref())
}

/// Yes, no or unknown.
pub(super) fn known(truth: &Option<bool>) -> Html {
    Html(
        match truth {
            Some(true) => "yes",
            Some(false) => "no",
            None => "<span class=\"none\">unknown</span>",
        }
        .to_owned(),
    )
}

/// A risk level as a badge.
pub(super) fn level(level: &RiskLevel) -> Html {
    Html(format!(
        "<span class=\"badge fw-badge\" data-level=\"{level}\">{level}</span>"
    ))
}

/// A state, outcome, certainty or Sigma level as a badge.
pub(super) fn state(word: &(impl fmt::Display + ?Sized)) -> Html {
    let word = word.to_string();
    let tone = match word.as_str() {
        "connected" | "complete" | "delivered" | "yes" | "detected" | "accepted" | "matched" | "working"
        | "on" => "good",
        "syncing" | "validating" | "running" | "pending" | "new" | "archived" | "waiting" | "test" => "busy",
        "degraded" | "partial" | "paused" | "interrupted" | "conditional" | "medium" | "suspended"
        | "suppressed" => "warn",
        "failed" | "failing" | "disabled" | "missing" | "unreadable" | "dead" | "high" | "critical" => "bad",
        _ => "calm",
    };
    Html(format!(
        "<span class=\"badge fw-badge\" data-tone=\"{tone}\">{}</span>",
        escaped(&word)
    ))
}

/// A part of a page with its own template.
pub(super) fn part(template: &impl Template) -> Html {
    Html(template.render().unwrap_or_default())
}

/// A count with thousands separators.
pub(super) fn count(number: &i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if *number < 0 {
        out.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            // A narrow space that does not break: it reads alike in every language.
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1 person`, `2 people`.
pub(super) fn counted(number: &i64, one: &str, many: &str) -> String {
    let word = if *number == 1 { one } else { many };
    format!("{} {word}", count(number))
}

/// A dataset, kind or feature in words: `gateway_dns` is `gateway dns`.
pub(super) fn words(name: &str) -> String {
    name.replace(['_', '-'], " ")
}

/// A record as indented JSON; other text is unchanged.
pub(super) fn pretty(raw: &str) -> String {
    serde_json::from_str::<Value>(raw)
        .and_then(|value| serde_json::to_string_pretty(&hub::redact::redacted(value)))
        .unwrap_or_else(|_| raw.to_owned())
}

/// A value of a rule or a record on one line: texts without quotes.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{202f}000"),
            (-1_234_567, "-1\u{202f}234\u{202f}567"),
        ] {
            assert_eq!(count(&number), text);
        }
    }

    #[test]
    fn a_word_from_outside_is_escaped() {
        assert!(!state(&"<b>").to_string().contains("<b>"));
        assert!(
            !text_or(&Some("<script>".to_owned()), "")
                .to_string()
                .contains("<script>")
        );
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is() {
        assert_eq!(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(pretty("a,b"), "a,b");
    }
}
