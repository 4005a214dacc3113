//! `roles`: the roles of a dashboard member. Role ids are the same in every account.
//!
//! The listing omits Super Administrator; a request by id returns it.

use serde_json::{Value, json};

use crate::ids::hex32_of;

/// The published id of the Super Administrator role.
pub(crate) const SUPER_ADMINISTRATOR: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// One role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) writes: bool,
}

const NAMES: &[(&str, &str, bool)] = &[
    (
        "Super Administrator",
        "Can edit any setting, and who is a member.",
        true,
    ),
    (
        "Administrator",
        "Can edit every setting except membership and billing.",
        true,
    ),
    ("Administrator Read Only", "Can see every setting.", false),
    ("Audit Logs Viewer", "Can read the audit log.", false),
    ("Billing", "Can edit the billing profile and subscriptions.", true),
    ("Log Share Reader", "Can read Enterprise logs.", false),
    ("Cloudflare Zero Trust", "Can edit Zero Trust.", true),
    (
        "Cloudflare Zero Trust PII",
        "Can see personal data in Zero Trust.",
        false,
    ),
    ("Cloudflare Zero Trust Read Only", "Can see Zero Trust.", false),
    (
        "Cloudflare Zero Trust Reporting",
        "Can see Zero Trust reports.",
        false,
    ),
    ("Cloudflare Access", "Can edit Access policies.", true),
    ("Cloudflare Gateway", "Can edit Gateway policies.", true),
    ("Log Share", "Can edit log export.", true),
    ("DNS", "Can edit DNS records.", true),
    ("Firewall", "Can edit firewall rules.", true),
    ("Analytics", "Can read analytics.", false),
];

/// Super Administrator and `listed` other roles.
pub(crate) fn all(listed: usize) -> Vec<Role> {
    (0..=listed.max(6))
        .map(|at| match NAMES.get(at) {
            Some((name, description, writes)) => Role {
                id: if at == 0 {
                    SUPER_ADMINISTRATOR.to_owned()
                } else {
                    hex32_of(&format!("role: {name}"))
                },
                name: (*name).to_owned(),
                description: (*description).to_owned(),
                writes: *writes,
            },
            None => Role {
                id: hex32_of(&format!("role {at}")),
                name: format!("Domain Role {at}"),
                description: format!("Can edit domain {at}."),
                writes: true,
            },
        })
        .collect()
}

impl Role {
    pub(crate) fn to_json(&self) -> Value {
        let grants = json!({ "read": true, "write": self.writes });
        let permissions = if self.name == "Billing" {
            json!({ "billing": grants })
        } else {
            json!({
                "analytics": { "read": true, "write": false }, "billing": { "read": true, "write": false },
                "dns_records": grants, "logs": grants, "organization": grants, "zone_settings": grants, "zones": grants,
            })
        };
        json!({ "id": self.id, "name": self.name, "description": self.description, "permissions": permissions })
    }
}
