//! What a job should be, and what is to be done so that it is: computed, never called.

use super::{INTERVAL_SECONDS, RECORDS_MAX, SourceError};
use cloudflare::LogpushJob;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// A job that lets records wait longer is repaired.
const INTERVAL_SECONDS_MAX: u64 = 60;
/// The longest destination that Cloudflare takes, in characters.
const DESTINATION_MAX: usize = 4_096;

/// What a job should be.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) dataset: &'static str,
    pub(super) destination: SecretString,
    pub(super) fields: Vec<String>,
    pub(super) bytes_max: u64,
}

/// What is to be done for it.
#[derive(Debug)]
pub(super) enum Plan {
    Create,
    Change(Box<LogpushJob>, Vec<String>),
    Nothing,
}

/// Compares a job with what it should be. Members that are not ours stay as they are.
pub(super) fn plan(job: Option<&LogpushJob>, wanted: &Wanted) -> Plan {
    let Some(job) = job else { return Plan::Create };
    let mut changed = job.clone();
    let mut changes = Vec::new();
    let destination = job.destination();
    let current = destination.as_ref().map(ExposeSecret::expose_secret);
    if !current.is_some_and(|current| is_same(current, wanted.destination.expose_secret())) {
        let text = wanted.destination.expose_secret();
        changed.other.insert("destination_conf".to_owned(), json!(text));
        let moved = current.map(place_of) != Some(place_of(text));
        changes.push(if moved { "destination" } else { "log secret" }.to_owned());
    }
    let mut options = job.other.get("output_options").cloned().unwrap_or_default();
    if !options.is_object() {
        options = json!({});
    }
    let (asked, offered) = (
        asked_fields(job),
        BTreeSet::from_iter(wanted.fields.iter().cloned()),
    );
    if asked != offered {
        let added: Vec<&String> = offered.difference(&asked).collect();
        let gone: Vec<&String> = asked.difference(&offered).collect();
        for (word, fields) in [("added", added), ("no longer offered", gone)] {
            if !fields.is_empty() {
                let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
                changes.push(format!("fields {word}: {}", names.join(", ")));
            }
        }
        options["field_names"] = json!(wanted.fields);
    }
    if options["timestamp_format"] != "rfc3339ns" {
        options["timestamp_format"] = json!("rfc3339ns");
        changes.push("timestamps with nanoseconds".to_owned());
    }
    if options["output_type"]
        .as_str()
        .is_some_and(|kind| kind != "ndjson")
    {
        options["output_type"] = json!("ndjson");
        changes.push("NDJSON".to_owned());
    }
    changed.other.insert("output_options".to_owned(), options);
    let interval = job
        .other
        .get("max_upload_interval_seconds")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    if !(1..=INTERVAL_SECONDS_MAX).contains(&interval) {
        for (name, value) in [
            ("max_upload_interval_seconds", json!(INTERVAL_SECONDS)),
            ("max_upload_records", json!(RECORDS_MAX)),
            ("max_upload_bytes", json!(wanted.bytes_max)),
        ] {
            changed.other.insert(name.to_owned(), value);
        }
        changes.push("batch sizes".to_owned());
    }
    if !job.enabled {
        changed.enabled = true;
        changes.push("enabled".to_owned());
    }
    if changes.is_empty() {
        Plan::Nothing
    } else {
        Plan::Change(Box::new(changed), changes)
    }
}

pub(super) fn asked_fields(job: &LogpushJob) -> BTreeSet<String> {
    let names = job
        .other
        .get("output_options")
        .map(|options| &options["field_names"]);
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

/// Our job among those of a dataset: the one that we remember, else the first that pushes to our address. A job of
/// another name or address is somebody else's, for example of a second installation.
pub(super) fn ours<'a>(
    jobs: &'a [LogpushJob],
    known: Option<i64>,
    destination: &str,
) -> Option<&'a LogpushJob> {
    jobs.iter()
        .find(|job| Some(job.id) == known)
        .or_else(|| jobs.iter().find(|job| is_at(job, destination)))
}

pub(super) fn is_at(job: &LogpushJob, destination: &str) -> bool {
    let at = job.destination();
    at.is_some_and(|at| place_of(at.expose_secret()) == place_of(destination))
}

/// A destination without its query, where the secrets are.
pub(super) fn place_of(destination: &str) -> String {
    destination
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Whether two destinations say the same, in whichever order and spelling.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| {
        let url = Url::parse(text).ok()?;
        let query: BTreeMap<String, String> = url
            .query_pairs()
            .map(|(name, value)| (name.to_lowercase(), value.into_owned()))
            .collect();
        Some((place_of(url.as_str()), query))
    };
    one == other || (read(one).is_some() && read(one) == read(other))
}

/// Our receiver's address for a connection and dataset, with the header that carries the log secret.
pub(super) fn destination(
    base: &str,
    label: &str,
    dataset: &str,
    secret: &SecretString,
) -> Result<SecretString, SourceError> {
    let not_an_address = || SourceError::PublicUrl {
        url: base.to_owned(),
        source: crate::egress::EgressError::NotAnAddress(base.to_owned()),
    };
    let mut url = Url::parse(base.trim()).map_err(|_| not_an_address())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(not_an_address());
    }
    url.path_segments_mut()
        .map_err(|()| not_an_address())?
        .pop_if_empty()
        .extend(["ingest", label, dataset]);
    url.query_pairs_mut()
        .append_pair("header_X-Flareward-Secret", secret.expose_secret());
    let text = String::from(url);
    if text.len() > DESTINATION_MAX {
        return Err(SourceError::PublicUrlLong {
            limit: DESTINATION_MAX,
        });
    }
    Ok(SecretString::from(text))
}
