//! `gateway/lists`: named lists of addresses, domains and networks that Access rules and Gateway rules refer to.
//!
//! Read only. The response about a list contains only the number of its items; a separate call returns the items.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::uuid_of;
use crate::world::people::{CONTRACTORS, STRANGER};

/// The addresses that the group "Contractors" includes.
pub(crate) const CONTRACTOR_LIST: &str = "contractors";

/// The networks of the offices.
pub(crate) const OFFICE_LIST: &str = "office networks";

/// A list and its items.
#[derive(Debug, Clone)]
pub(crate) struct GatewayList {
    pub(crate) list: Value,
    pub(crate) items: Vec<Value>,
}

/// The id of the list with a name.
pub(crate) fn list_id(name: &str) -> String {
    uuid_of(&format!("list: {name}"))
}

pub(crate) fn lists(now: DateTime<Utc>) -> Vec<GatewayList> {
    let list = |name: &str, kind: &str, description: &str, values: &[(&str, &str)]| {
        let created = now - TimeDelta::days(210);
        let items: Vec<Value> = values
            .iter()
            .zip(1..)
            .map(|((value, description), week)| {
                let created = rfc3339(created + TimeDelta::weeks(week));
                let mut item = json!({ "value": value, "created_at": created });
                if !description.is_empty() {
                    item["description"] = json!(description);
                }
                item
            })
            .collect();
        GatewayList {
            list: json!({
                "id": list_id(name), "name": name, "description": description, "type": kind, "count": items.len(),
                "created_at": rfc3339(created), "updated_at": rfc3339(now - TimeDelta::days(20)),
            }),
            items,
        }
    };
    vec![
        list(
            CONTRACTOR_LIST,
            "EMAIL",
            "People of other companies who work with us",
            &[
                (CONTRACTORS[0], "Through the end of the ledger project"),
                (CONTRACTORS[1], ""),
            ],
        ),
        list(
            OFFICE_LIST,
            "IP",
            "Where our offices reach the Internet",
            &[("198.18.0.0/24", "Head office"), ("198.18.64.7", "")],
        ),
        list(
            "suppliers",
            "DOMAIN",
            "Sites that purchasing needs",
            &[("harbourworks.example", ""), ("app.ledgerly.example", "")],
        ),
        list(
            "left behind",
            "EMAIL",
            "Kept for a rule that is gone",
            &[(STRANGER, "")],
        ),
    ]
}
