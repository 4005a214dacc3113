//! Converts one line of a batch to an event, or returns the reason for rejecting it.

use super::country;
use super::dataset::Dataset;
use super::reason::Reason;
use super::recognise::plainly_other;
use chrono::{DateTime, TimeDelta, Utc};
use model::{ConnectionId, EventId, address};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The maximum time that a record may be ahead of the clock. A later time is invalid.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(24);
/// The maximum length of a value in a column, in characters; the whole record is stored as well.
const COLUMN_CHARS: usize = 512;
/// The maximum number of identities of one record. Chosen: mail to more people uses lists.
const IDENTITIES_MAX: usize = 500;

/// The content of a record, in the columns that all datasets share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    /// Digest of connection, dataset and the record key; for a record without a key, of its line.
    pub id: EventId,
    /// Whether it has a key, so that it is the same record in every delivery.
    pub is_keyed: bool,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The address or name in it, in lower case.
    pub identifier: Option<String>,
    /// Whether the identifier belongs to nobody: traffic without an identity.
    pub is_non_identity: bool,
    /// The action or decision.
    pub action: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// The source IP address.
    pub source_ip: Option<String>,
    /// The country, in upper case; `None` if it is unknown, and for Tor.
    pub country: Option<String>,
}

/// Normalises one line.
///
/// # Errors
///
/// The reason for rejecting it, for people.
pub fn normalise(
    line: &str,
    dataset: &Dataset,
    connection: &ConnectionId,
    now: DateTime<Utc>,
) -> Result<Normalised, Reason> {
    let record: Value = serde_json::from_str(line).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        Reason::with("not JSON", format!("{message} at column {}", error.column()))
    })?;
    if !record.is_object() {
        return Err("not a JSON object".into());
    }
    normalise_record(line, &record, dataset, connection, now)
}

/// [`normalise`] for a line that was already parsed.
pub fn normalise_record(
    line: &str,
    record: &Value,
    dataset: &Dataset,
    connection: &ConnectionId,
    now: DateTime<Utc>,
) -> Result<Normalised, Reason> {
    let keys = || {
        record
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
    };
    if let Some(other) = plainly_other(keys, dataset) {
        return Err(format!(
            "the record belongs to {}, not to {}: use a separate job and folder for each dataset",
            other.name, dataset.name
        )
        .into());
    }
    let time = field(record, dataset.time).ok_or_else(|| {
        format!(
            "the field {} is missing: add it to the fields of the Logpush job",
            dataset.time
        )
    })?;
    let at = read_time(time).ok_or_else(|| {
        Reason::with(
            format!("{} is not a valid time", dataset.time),
            shorten(&time.to_string()),
        )
    })?;
    if at > now + AHEAD_MAX {
        return Err(Reason::with(
            format!("{} is in the future", dataset.time),
            at.to_rfc3339(),
        ));
    }
    let identifier = dataset
        .identifier
        .iter()
        .find_map(|path| text(record, path))
        .map(|text| address::compared(&text));
    let is_non_identity = identifier
        .as_deref()
        .is_some_and(|name| name.starts_with("non_identity@"));
    let is_keyed = dataset
        .key
        .first()
        .is_some_and(|path| whole_text(record, path).is_some());
    Ok(Normalised {
        id: event_id(line, record, dataset, connection),
        is_keyed,
        at,
        identifier,
        is_non_identity,
        action: first(record, dataset.action),
        target: first(record, dataset.target),
        source_ip: first(record, dataset.source_ip),
        country: first(record, dataset.country)
            .filter(|code| !country::is_none(code))
            .map(|code| code.to_uppercase()),
    })
}

/// The id of a record without a key: only its batch and its position among identical lines distinguish it. The same
/// batch gives the same id again; another batch gives other ids, even for identical lines.
pub fn id_in_batch(alike: &EventId, batch: &str, occurrence: u32) -> EventId {
    let digest = Sha256::digest(format!("{}\n{batch}\n{occurrence}", alike.0));
    EventId(hex::encode(&digest[..16]))
}

/// The same record for each of its other identities: a mail belongs to all its recipients, and becomes one event for
/// each. At most 500.
pub fn others(record: &Normalised, line: &str, dataset: &Dataset) -> Vec<Normalised> {
    let is_shared = dataset.name == "email_security_alerts";
    let Some(first) = record.identifier.as_deref().filter(|_| is_shared) else {
        return Vec::new();
    };
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let list = dataset
        .identifier
        .iter()
        .find_map(|path| field(&value, path)?.as_array());
    let mut known = vec![first.to_owned()];
    for member in list.into_iter().flatten().filter_map(Value::as_str) {
        let identifier = address::compared(&shorten(member.trim()));
        if !identifier.is_empty() && !known.contains(&identifier) && known.len() < IDENTITIES_MAX {
            known.push(identifier);
        }
    }
    known
        .into_iter()
        .skip(1)
        .map(|identifier| {
            let digest = Sha256::digest(format!("{}\n{identifier}", record.id));
            Normalised {
                id: EventId(hex::encode(&digest[..16])),
                is_non_identity: identifier.starts_with("non_identity@"),
                identifier: Some(identifier),
                ..record.clone()
            }
        })
        .collect()
}

/// The same record has the same id in every batch. Records without a key are identified by their whole line.
fn event_id(line: &str, record: &Value, dataset: &Dataset, connection: &ConnectionId) -> EventId {
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    };
    add(connection.as_str());
    add(dataset.name);
    // Whole, unlike what is kept in columns: two long keys may differ at their ends alone.
    let key: Vec<Option<String>> = dataset.key.iter().map(|path| whole_text(record, path)).collect();
    // The first part is the record's own id; where that is missing the rest may be shared by many.
    if key.first().is_some_and(Option::is_some) {
        for part in key {
            add(&part.unwrap_or_default());
        }
    } else {
        add(line);
    }
    EventId(hex::encode(&digest.finalize()[..16]))
}

/// The value at a path: first as an exact name, then through objects.
fn field<'a>(record: &'a Value, path: &str) -> Option<&'a Value> {
    record.get(path).or_else(|| {
        let (outer, inner) = path.split_once('.')?;
        field(record.get(outer)?, inner)
    })
}

/// A value in the form of a column.
fn text(record: &Value, path: &str) -> Option<String> {
    whole_text(record, path).map(|words| shorten(&words))
}

/// A value as text: for a list, its first member; `None` for an empty value.
fn whole_text(record: &Value, path: &str) -> Option<String> {
    let words = match field(record, path)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(members) => members.first()?.as_str()?.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Object(_) => return None,
    };
    (!words.is_empty()).then_some(words)
}

fn first(record: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| text(record, path))
}

fn shorten(text: &str) -> String {
    text.chars().take(COLUMN_CHARS).collect()
}

/// Reads a time in each of Logpush's formats: RFC 3339 text, and seconds, milliseconds, microseconds or nanoseconds
/// since 1970 as a number, also in quotes. The number of digits determines the unit.
pub fn read_time(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => read_time_text(text),
        Value::Number(number) => read_time_number(number.as_i64()?),
        _ => None,
    }
}

/// [`read_time`] of a text.
pub fn read_time_text(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return read_time_number(number);
    }
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    // Windows writes `2025-11-28 08:30:20.964`, meaning UTC.
    sensible(time.or_else(|| {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
            .ok()
            .map(|time| time.and_utc())
    }))
}

/// [`read_time`] of a number.
pub fn read_time_number(number: i64) -> Option<DateTime<Utc>> {
    sensible(from_number(number))
}

fn sensible(time: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    time.filter(|time| (1990..9000).contains(&chrono::Datelike::year(time)))
        .map(cut_to_micros)
}

fn from_number(number: i64) -> Option<DateTime<Utc>> {
    match number.unsigned_abs() {
        0..100_000_000_000 => DateTime::from_timestamp(number, 0),
        100_000_000_000..100_000_000_000_000 => DateTime::from_timestamp_millis(number),
        100_000_000_000_000..100_000_000_000_000_000 => DateTime::from_timestamp_micros(number),
        _ => Some(DateTime::from_timestamp_nanos(number)),
    }
}

fn cut_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    // Both databases keep microseconds: what is compared must be what was stored.
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn dns(line: &str) -> Result<Normalised, Reason> {
        normalise(
            line,
            Dataset::named("gateway_dns").unwrap(),
            &ConnectionId("c".to_owned()),
            now(),
        )
    }

    #[test]
    fn every_form_of_time_is_the_same_instant() {
        let expected = "2026-11-22T10:00:00Z".parse::<DateTime<Utc>>().unwrap();
        for value in [
            json!("2026-11-22T10:00:00Z"),
            json!("2026-11-22T11:00:00+01:00"),
            json!("2026-11-22T10:00:00.000000000Z"),
            json!(1_795_341_600_i64),
            json!(1_795_341_600_000_i64),
            json!(1_795_341_600_000_000_000_i64),
            json!("1795341600000000000"),
        ] {
            assert_eq!(read_time(&value), Some(expected), "{value}");
        }
        for value in [
            json!("yesterday"),
            json!(null),
            json!(true),
            json!(0),
            json!(i64::MIN),
            json!(1.5),
        ] {
            assert_eq!(read_time(&value), None, "{value}");
        }
    }

    #[test]
    fn an_address_is_kept_in_lower_case_and_a_country_in_upper() {
        let event = dns(r#"{"Datetime":1795341600,"Email":" Ana@X.example ","SrcIPCountryCode":"pt","QueryName":"a.example"}"#)
            .unwrap();
        assert_eq!(event.identifier.as_deref(), Some("ana@x.example"));
        assert_eq!(event.country.as_deref(), Some("PT"));
        assert_eq!(event.target.as_deref(), Some("a.example"));
    }

    #[test]
    fn traffic_without_identity_says_so() {
        let event =
            dns(r#"{"Datetime":1795341600,"Email":"non_identity@team.cloudflareaccess.com"}"#).unwrap();
        assert!(event.is_non_identity);
    }

    #[test]
    fn a_record_is_known_by_its_key_and_else_by_its_line() {
        let same = |a: &str, b: &str| dns(a).unwrap().id == dns(b).unwrap().id;
        assert!(same(
            r#"{"Datetime":1795341600,"QueryID":"q"}"#,
            r#"{"QueryID":"q","Datetime":1795341600,"New":1}"#
        ));
        assert!(!same(
            r#"{"Datetime":1795341600,"QueryID":"q"}"#,
            r#"{"Datetime":1795341600,"QueryID":"r"}"#
        ));
        assert!(!same(
            r#"{"Datetime":1795341600,"RCode":0}"#,
            r#"{"Datetime":1795341600,"RCode":3}"#
        ));
    }

    #[test]
    fn what_cannot_be_an_event_says_why() {
        for (line, reason) in [
            ("{oops", "not JSON"),
            ("[1]", "not a JSON object"),
            ("{}", "the field Datetime is missing"),
            (r#"{"Datetime":"soon"}"#, "Datetime is not a valid time"),
            (r#"{"Datetime":"2031-01-01T00:00:00Z"}"#, "is in the future"),
        ] {
            let problem = dns(line).unwrap_err().to_string();
            assert!(problem.contains(reason), "{line}: {problem}");
        }
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(
            dns(&format!("{{\"Datetime\":1795341600,\"x\":{deep}}}"))
                .unwrap_err()
                .to_string()
                .contains("recursion")
        );
    }
}
