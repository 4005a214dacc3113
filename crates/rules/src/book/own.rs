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
    /// The topic for coaching.
    pub topic: Option<String>,
    /// Impossible travel to detect among the selected events.
    pub travel: Option<Travel>,
    /// New values to detect among the selected events.
    pub first_seen: Option<FirstSeen>,
    /// For a correlation: report again after this time while the condition stays true (`1h`). `sigma` reads it.
    pub suppress: Option<String>,
}

/// Two successive events of one person that are too far apart for the time between them.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Travel {
    /// The maximum possible speed, in kilometres per hour.
    pub speed_kmh: f64,
    /// The minimum distance, in kilometres.
    pub distance_km: f64,
}

/// A combination of values that a person's selected events did not have in the previous days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstSeen {
    /// The fields of the combination.
    pub fields: Vec<String>,
    /// The number of previous days (UTC) in which it must be absent.
    pub days: i64,
    /// The minimum age of a person's first selected event, in days, before anything counts as new.
    #[serde(default = "learning_days")]
    pub learning_days: i64,
}

fn learning_days() -> i64 {
    7
}

impl Own {
    /// Reads the key from the keys of a document that are not Sigma's.
    pub(super) fn read(custom: &Map<String, Value>) -> Result<Self, String> {
        let Some(value) = custom.get("flareward") else {
            return Ok(Self::default());
        };
        let own: Self = serde_json::from_value(value.clone())
            .map_err(|error| format!("the `flareward` section is invalid: {}", words::plain(&error)))?;
        if let Some(first_seen) = &own.first_seen
            && (first_seen.fields.is_empty()
                || !(1..=365).contains(&first_seen.days)
                || !(0..=365).contains(&first_seen.learning_days))
        {
            return Err(
                "first_seen requires fields, days from 1 to 365, and learning_days from 0 to 365".to_owned(),
            );
        }
        if own.first_seen.is_some() && own.travel.is_some() {
            return Err("first_seen and travel cannot be combined; write two rules".to_owned());
        }
        Ok(own)
    }
}
