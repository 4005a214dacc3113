//! Hunting: stored events by person, dataset, time, and any field, in the words of Sigma.
//!
//! Reads the archive, newest first, and looks at each record that the filters leave. Start reading at [`run`].

use crate::app::App;
use crate::event::{self, EVENTS_MAX, Event, EventFilter};
use archive::search::{Condition, Test};
use chrono::{DateTime, Utc};
use model::{ConnectionId, PersonId};
use rules::Dataset;
use serde_json::{Map, Value, json};
use sigma::{CompiledRule, Matcher, Placeholders, Scratch, parse_rules};
use std::collections::HashMap;
use std::sync::Arc;
use store::StoreError;

/// Records that are looked at before the progress is shown.
const STEP: u64 = 500_000;
/// Conditions of one search.
const CONDITIONS_MAX: usize = 50;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Only of this person.
    pub person: Option<PersonId>,
    /// Only of this connection.
    pub connection: Option<ConnectionId>,
    /// Only of this dataset.
    pub dataset: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
    /// Fields with modifiers and what they must be, as `QueryName|endswith` and `.example`; all must hold.
    pub conditions: Vec<(String, Vec<String>)>,
    /// At most this many events.
    pub limit: usize,
}

/// Why nothing can be looked for.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Nobody knows the dataset.
    #[error("unknown dataset \"{name}\"; available: {}", Dataset::names())]
    Dataset {
        /// What was asked for.
        name: String,
    },
    /// A condition cannot be honoured.
    #[error("invalid condition: {problem}")]
    Condition {
        /// Why, and what to do.
        problem: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Events, newest first.
    pub events: Vec<Event>,
    /// How many were looked at.
    pub looked_at: u64,
    /// Whether there may be more.
    pub is_cut: bool,
    /// Parts that could not be read, with the reason. Their events are missing.
    pub unread: Vec<String>,
}

/// Looks. `progress` is told how many events were looked at, and how far back it came.
///
/// # Errors
///
/// See [`SearchError`].
pub async fn run(
    app: &App,
    search: &Search,
    progress: impl Fn(u64, DateTime<Utc>),
) -> Result<Found, SearchError> {
    if let Some(name) = &search.dataset
        && Dataset::named(name).is_none()
    {
        return Err(SearchError::Dataset { name: name.clone() });
    }
    let mut filter = EventFilter {
        person_id: search.person.clone(),
        dataset: search.dataset.clone(),
        connection_id: search.connection.clone(),
        since: search.since,
        until: search.until,
        condition: conditions(search)?,
        read_max: STEP,
        ..EventFilter::default()
    };
    let mut found = Found::default();
    while found.events.len() < search.limit {
        let left = search.limit - found.events.len();
        filter.limit = i64::try_from(left).unwrap_or(EVENTS_MAX);
        let page = event::find(app, &filter).await?;
        found.looked_at += page.looked_at;
        found.unread.extend(page.unread);
        found.events.extend(page.events);
        found.is_cut = page.next.is_some();
        let Some(next) = page.next else { break };
        progress(found.looked_at, next.at);
        filter.before = Some(next);
    }
    Ok(found)
}

/// The conditions as the archive tests records by them; `None` when there is none.
fn conditions(search: &Search) -> Result<Option<Condition>, SearchError> {
    let Some(rule) = compiled(&search.conditions)? else {
        return Ok(None);
    };
    let matchers: HashMap<&str, Arc<Matcher>> = rules::DATASETS
        .iter()
        .filter(|dataset| search.dataset.as_deref().is_none_or(|only| only == dataset.name))
        .map(|dataset| {
            let rules = std::iter::once((0, &rule));
            (
                dataset.name,
                Arc::new(Matcher::new(rules, dataset.identifier, &[])),
            )
        })
        .collect();
    Ok(Some(Arc::new(move |dataset: &str| -> Test {
        let Some(matcher) = matchers.get(dataset).cloned() else {
            return Box::new(|_| false);
        };
        let mut scratch = Scratch::default();
        Box::new(move |raw| {
            matcher
                .scan(raw.as_bytes(), &mut scratch, |_, matched| !matched.is_empty())
                .unwrap_or(false)
        })
    })))
}

/// Reads `Field|modifier=value`, or `Field|modifier=one,other` of which one must hold.
///
/// # Errors
///
/// When there is no `=` or no field.
pub fn condition(text: &str) -> Result<(String, Vec<String>), SearchError> {
    match text.split_once('=') {
        Some((field, value)) if !field.trim().is_empty() => Ok((
            field.trim().to_owned(),
            value.split(',').map(str::to_owned).collect(),
        )),
        _ => Err(SearchError::Condition {
            problem: format!("invalid condition \"{text}\": use Field=value or Field|modifier=value"),
        }),
    }
}

/// The conditions as a rule; nothing when there is none.
fn compiled(conditions: &[(String, Vec<String>)]) -> Result<Option<CompiledRule>, SearchError> {
    if conditions.is_empty() {
        return Ok(None);
    }
    let refused = |problem: String| SearchError::Condition { problem };
    if conditions.len() > CONDITIONS_MAX {
        return Err(refused(format!(
            "too many conditions: the maximum is {CONDITIONS_MAX}"
        )));
    }
    let mut detection = Map::new();
    for (place, (field, values)) in conditions.iter().enumerate() {
        // Numbers and truth values may be compared as such.
        let values: Vec<Value> = values
            .iter()
            .map(|value| match serde_json::from_str(value) {
                Ok(scalar @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => scalar,
                _ => Value::from(value.as_str()),
            })
            .collect();
        let value = match <[Value; 1]>::try_from(values) {
            Ok([only]) => only,
            Err(several) => Value::from(several),
        };
        detection.insert(format!("w{place}"), json!({ field.as_str(): value }));
    }
    detection.insert("condition".to_owned(), json!("all of w*"));
    let document =
        json!({ "title": "search", "logsource": { "product": "cloudflare" }, "detection": detection });
    let rules = parse_rules(&document.to_string()).map_err(|error| refused(error.to_string()))?;
    rules
        .first()
        .map(|rule| CompiledRule::compile(rule, &Placeholders::none()))
        .transpose()
        .map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_field_and_values() {
        for (text, expected) in [
            ("QueryName=a.example", Some(("QueryName", vec!["a.example"]))),
            ("URL|contains=x=1,y", Some(("URL|contains", vec!["x=1", "y"]))),
            ("=a", None),
            ("QueryName", None),
        ] {
            let read = condition(text).ok();
            let expected = expected.map(|(field, values)| {
                (
                    field.to_owned(),
                    values.into_iter().map(str::to_owned).collect::<Vec<_>>(),
                )
            });
            assert_eq!(read, expected, "{text}");
        }
        assert!(
            compiled(&[condition("A|sounds=x").unwrap()])
                .unwrap_err()
                .to_string()
                .contains("sounds")
        );
        let rule = compiled(&[
            condition("N|gte=5").unwrap(),
            condition("T|endswith=.example").unwrap(),
        ])
        .unwrap()
        .unwrap();
        assert!(rule.matches(&json!({"N": 7, "T": "a.example"})));
        assert!(!rule.matches(&json!({"N": 4, "T": "a.example"})));
    }
}
