//! The last seen identity: the data that Access stores about a user's latest login, including claims of the identity
//! provider.
//!
//! The fields depend on the provider, as at Cloudflare: Okta and Entra ID provide `groups` and `amr`, SAML provides
//! `saml_attributes`, OpenID Connect provides `oidc_fields`, a one-time PIN provides nothing.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::{hex32_of, unix};
use crate::world::access_user::AccessUser;
use crate::world::people::Part;
use crate::world::provider::{DEPARTMENT, ENGINEERING, Provider, azure_group_id};

const STAFF: &str = "Staff";

impl AccessUser {
    /// The identity of the last login; `None` for a user who never signed in.
    pub(crate) fn identity(&self, account_id: &str) -> Option<Value> {
        Some(last_seen(self, self.last_login?, account_id))
    }
}

/// The identity of a user who was last seen at `seen`.
fn last_seen(user: &AccessUser, seen: DateTime<Utc>, account_id: &str) -> Value {
    let mut identity = json!({
        "account_id": account_id, "auth_status": "NONE", "common_name": "", "device_id": user.device_id,
        "devicePosture": {
            "disk-encryption": {
                "id": "disk-encryption", "rule_name": "Disk encryption", "type": "disk_encryption",
                "description": "", "error": "", "success": user.part != Part::Infected,
                "timestamp": rfc3339(seen), "check": { "exists": true, "path": "" }, "data": {},
            },
        },
        "device_sessions": { user.device_id.clone(): { "last_authenticated": unix(seen) } },
        "email": user.email, "name": user.name, "geo": { "country": user.country }, "iat": unix(seen),
        "idp": { "id": user.provider.id(), "type": user.provider.kind() }, "ip": user.ip,
        "is_gateway": true, "is_warp": true,
        "mtls_auth": {
            "auth_status": "NONE", "cert_issuer_dn": "", "cert_issuer_ski": "", "cert_presented": false,
            "cert_serial": "",
        },
        "service_token_id": "", "service_token_status": false, "user_uuid": user.id, "version": 2,
    });
    let amr = if user.second_factor {
        json!(["pwd", "mfa"])
    } else {
        json!(["pwd"])
    };
    match user.provider {
        Provider::Okta => {
            identity["groups"] = groups(user, |name| {
                format!("00g{}", &hex32_of(&format!("okta group: {name}"))[..17])
            });
            identity["amr"] = amr;
        }
        Provider::Azure => {
            identity["groups"] = groups(user, azure_group_id);
            identity["amr"] = amr;
        }
        Provider::Saml => {
            identity["saml_attributes"] =
                json!({ "email": user.email, DEPARTMENT: department(user), "groups": group_names(user) });
        }
        Provider::OpenIdConnect => {
            identity["oidc_fields"] =
                json!({ "preferred_username": user.email, DEPARTMENT: department(user), "amr": amr });
            identity["amr"] = amr;
        }
        Provider::OneTimePin | Provider::GitHub | Provider::GoogleWorkspace => {}
    }
    identity
}

fn department(user: &AccessUser) -> &'static str {
    if user.engineer { ENGINEERING } else { "Operations" }
}

fn group_names(user: &AccessUser) -> Vec<&'static str> {
    if user.engineer {
        vec![ENGINEERING, STAFF]
    } else {
        vec![STAFF]
    }
}

fn groups(user: &AccessUser, id: impl Fn(&str) -> String) -> Value {
    group_names(user)
        .into_iter()
        .map(|name| json!({ "id": id(name), "name": name }))
        .collect()
}
