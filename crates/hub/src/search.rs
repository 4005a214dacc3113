//! Hunting: stored events by person, dataset, time, and any field, in the words of Sigma.
//!
//! Reads `event`, newest first, and looks at each record that the filters leave. Start reading at [`run`].

use crate::app::App;
use chrono::{DateTime, Utc};
use model::{ConnectionId, PersonId};
use rules::Dataset;
use serde_json::{Map, Value, json};
use sigma::{CompiledRule, Matcher, Placeholders, Scratch, parse_rules};
use store::{EventFilter, EventRow, LIST_LIMIT_MAX, StoreError, TimeCursor};

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
    pub events: Vec<EventRow>,
    /// How many were looked at.
    pub looked_at: u64,
    /// Whether there may be more.
    pub is_cut: bool,
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
    let rule = compiled(&search.conditions)?;
    let matchers: Vec<(&str, Matcher)> = rules::DATASETS
        .iter()
        .filter(|dataset| search.dataset.as_deref().is_none_or(|name| name == dataset.name))
        .map(|dataset| {
            let rules = rule.iter().map(|rule| (0, rule));
            (dataset.name, Matcher::new(rules, dataset.identifier, &[]))
        })
        .collect();
    let mut scratch = Scratch::default();
    let mut found = Found::default();
    let mut filter = EventFilter {
        person_id: search.person.clone(),
        dataset: search.dataset.clone(),
        connection_id: search.connection.clone(),
        before: search.until.map(|at| TimeCursor {
            at,
            id: String::new(),
        }),
        limit: LIST_LIMIT_MAX,
    };
    loop {
        let rows = app.store.event_list(&filter).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        filter.before = Some(TimeCursor {
            at: last.at,
            id: last.id.0.clone(),
        });
        let reached = last.at;
        for row in rows {
            if search.since.is_some_and(|since| row.at < since) {
                return Ok(found);
            }
            found.looked_at += 1;
            let fits = rule.is_none()
                || matchers.iter().any(|(dataset, matcher)| {
                    *dataset == row.dataset
                        && matcher
                            .scan(row.raw.as_bytes(), &mut scratch, |_, matched| !matched.is_empty())
                            .unwrap_or(false)
                });
            if fits {
                if found.events.len() >= search.limit {
                    found.is_cut = true;
                    return Ok(found);
                }
                found.events.push(row);
            }
        }
        progress(found.looked_at, reached);
    }
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
