//! `access/service_tokens`: the credentials that machines present to Access (read only).
//!
//! A token is listed without its secret, which only the response to its creation contains. The duration `forever` means
//! no `expires_at`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::{hex32_of, uuid_of};

/// The id of the service token with a name.
pub(crate) fn service_token_id(name: &str) -> String {
    uuid_of(&format!("service token: {name}"))
}

/// A token for each problem that a token can have, and one without problems.
pub(crate) fn service_tokens(now: DateTime<Utc>) -> Vec<Value> {
    let token = |name: &str, age_days: i64, expires_in_days: Option<i64>, seen_hours_ago: Option<i64>| {
        let created = rfc3339(now - TimeDelta::days(age_days));
        let duration = expires_in_days.map_or_else(
            || "forever".to_owned(),
            |left| format!("{}h", (age_days + left) * 24),
        );
        json!({
            "id": service_token_id(name), "name": name,
            "client_id": format!("{}.access", hex32_of(&format!("client of {name}"))), "duration": duration,
            "expires_at": expires_in_days.map(|days| rfc3339(now + TimeDelta::days(days))),
            "last_seen_at": seen_hours_ago.map(|hours| rfc3339(now - TimeDelta::hours(hours))),
            "created_at": created, "updated_at": created,
        })
    };
    vec![
        token("Build pipeline", 610, None, Some(2)),
        token("Nightly backup", 361, Some(4), Some(9)),
        token("Ledger export pilot", 95, Some(270), None),
        token("Status page", 140, Some(225), Some(1)),
    ]
}
