//! The extensions to Sigma in a rule, under its key `flareward`.

use super::words;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The key `flareward` of a document.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// The behaviour that it triggers.
    pub behaviour: Option<String>,
    /// What to coach about.
    pub topic: Option<String>,
    /// Journeys that it looks for among the events that it selects.
    pub travel: Option<Travel>,
    /// Values that it looks for among the events that it selects because they were not there before.
    pub first_seen: Option<FirstSeen>,
    /// Of a correlation: report again after this time while the condition holds on (`1h`). Read by `sigma`.
    pub suppress: Option<String>,
}

/// Two successive events of one person that lie farther apart than anyone could go in the time between.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Travel {
    /// Faster than this is impossible, in kilometres an hour.
    pub speed_kmh: f64,
    /// Shorter than this is never looked at, in kilometres.
    pub distance_km: f64,
}

/// A combination of values that a person's selected events did not have on the days before.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstSeen {
    /// The fields whose values make the combination.
    pub fields: Vec<String>,
    /// On how many days before (UTC) it must be absent.
    pub days: i64,
    /// How many days old a person's first selected event must be before anything counts as new.
    #[serde(default = "learning_days")]
    pub learning_days: i64,
}

fn learning_days() -> i64 {
    7
}

impl Own {
    /// Reads the key from what a document has beside Sigma's own keys.
    pub(super) fn read(custom: &Map<String, Value>) -> Result<Self, String> {
        let Some(value) = custom.get("flareward") else {
            return Ok(Self::default());
        };
        let own: Self = serde_json::from_value(value.clone())
            .map_err(|error| format!("the part `flareward` is not understood: {}", words::plain(&error)))?;
        if let Some(first_seen) = &own.first_seen
            && (first_seen.fields.is_empty()
                || !(1..=365).contains(&first_seen.days)
                || !(0..=365).contains(&first_seen.learning_days))
        {
            return Err(
                "first_seen needs fields, days from 1 to 365, and learning_days from 0 to 365".to_owned(),
            );
        }
        if own.first_seen.is_some() && own.travel.is_some() {
            return Err("first_seen and travel do not go together; write two rules".to_owned());
        }
        Ok(own)
    }
}
