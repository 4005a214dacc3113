//! Writes one event as a line, in the format of a job's `output_options`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::logpush::datasets::time_field;

/// The fields that `redact_pii` removes.
const PERSONAL: &[&str] = &[
    "Email",
    "UserID",
    "SourceIP",
    "SrcIP",
    "DeviceID",
    "DeviceName",
    "URL",
    "Referer",
    "UserAgent",
];

/// One event of one dataset. Its time is separate from the record, because each job writes it in its own format.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) dataset: &'static str,
    pub(crate) at: DateTime<Utc>,
    pub(crate) record: Value,
}

/// Something to deliver: an event, or a line that is broken on purpose.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Event(Event),
    Malformed { dataset: &'static str, text: String },
}

impl Item {
    pub(crate) fn dataset(&self) -> &'static str {
        match self {
            Self::Event(event) => event.dataset,
            Self::Malformed { dataset, .. } => dataset,
        }
    }
}

/// A time in one of the formats that a job can request.
pub(crate) fn timestamp(at: DateTime<Utc>, format: &str) -> Value {
    match format {
        "unix" => json!(at.timestamp()),
        "rfc3339" => json!(at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        "rfc3339ms" => json!(at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        "rfc3339ns" => json!(at.to_rfc3339_opts(SecondsFormat::Nanos, true)),
        // Nanoseconds fit an i64 until the year 2262.
        _ => json!(at.timestamp_nanos_opt().unwrap_or_default()),
    }
}

/// The line of an event, without the newline.
pub(crate) fn line(event: &Event, output_options: &Value, redact: bool) -> String {
    let format = output_options["timestamp_format"].as_str().unwrap_or("unixnano");
    let time_field = time_field(event.dataset);
    let empty = Map::new();
    let record = event.record.as_object().unwrap_or(&empty);
    let value = |name: &str| -> Value {
        if name == time_field {
            return timestamp(event.at, format);
        }
        let value = record.get(name).cloned().unwrap_or_default();
        if redact && PERSONAL.contains(&name) && event.dataset.starts_with("gateway_") {
            json!("")
        } else {
            value
        }
    };
    let written: Map<String, Value> = match output_options["field_names"]
        .as_array()
        .filter(|names| !names.is_empty())
    {
        Some(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| record.contains_key(*name))
            .map(|name| (name.to_owned(), value(name)))
            .collect(),
        None => record.keys().map(|name| (name.clone(), value(name))).collect(),
    };
    Value::Object(written).to_string()
}
