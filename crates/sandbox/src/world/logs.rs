//! The entries of the logs: changes of the account, Access logins, and SCIM updates.
//!
//! Each is kept once and written in the shape that each call, and each dataset of Logpush, has.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::uuid_of;
use crate::world::people::Person;
use crate::world::provider::identity_provider_id;

/// One change of the account, or one view.
#[derive(Debug, Clone)]
pub(crate) struct AuditEntry {
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    /// create, delete, update or view.
    pub(crate) action: String,
    pub(crate) description: String,
    pub(crate) actor_email: String,
    pub(crate) actor_id: String,
    pub(crate) actor_context: &'static str,
    pub(crate) actor_ip: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) status: u16,
    pub(crate) ray_id: String,
    pub(crate) product: String,
    pub(crate) resource_type: String,
    pub(crate) resource_id: String,
    pub(crate) request: Value,
    pub(crate) response: Value,
}

impl AuditEntry {
    fn result(&self) -> &'static str {
        if self.status < 400 { "success" } else { "failure" }
    }

    pub(crate) fn to_v2(&self, account_id: &str, account_name: &str) -> Value {
        json!({
            "id": self.id,
            "account": { "id": account_id, "name": account_name },
            "action": { "description": self.description, "result": self.result(), "time": rfc3339(self.at),
                        "type": self.action },
            "actor": { "context": self.actor_context, "email": self.actor_email, "id": self.actor_id,
                       "ip_address": self.actor_ip, "type": "user" },
            "raw": { "cf_ray_id": self.ray_id, "method": self.method, "status_code": self.status, "uri": self.uri,
                     "user_agent": "Mozilla/5.0" },
            "resource": { "id": self.resource_id, "product": self.product, "request": self.request,
                          "response": self.response, "scope": {}, "type": self.resource_type },
        })
    }

    pub(crate) fn to_v1(&self, account_id: &str) -> Value {
        json!({
            "id": self.id, "action": { "type": self.action, "result": self.status < 400 },
            "actor": { "id": self.actor_id, "email": self.actor_email, "ip": self.actor_ip, "type": "user" },
            "interface": if self.actor_context == "dash" { "UI" } else { "API" }, "metadata": {},
            "newValue": "", "oldValue": "", "owner": { "id": account_id },
            "resource": { "id": self.resource_id, "type": self.resource_type }, "when": rfc3339(self.at),
        })
    }

    /// The record of dataset `audit_logs_v2`, with its time not yet formatted.
    pub(crate) fn to_record(&self, account_id: &str, account_name: &str) -> Value {
        json!({
            "AccountID": account_id, "AccountName": account_name, "ActionDescription": self.description,
            "ActionResult": self.result(), "ActionTimestamp": null, "ActionType": self.action,
            "ActorContext": self.actor_context, "ActorEmail": self.actor_email, "ActorID": self.actor_id,
            "ActorIPAddress": self.actor_ip, "ActorTokenDetails": {}, "ActorType": "user", "AuditLogID": self.id,
            "Raw": { "cf_ray_id": self.ray_id, "method": self.method, "status_code": self.status, "uri": self.uri,
                     "user_agent": "Mozilla/5.0" },
            "ResourceID": self.resource_id, "ResourceProduct": self.product, "ResourceRequest": self.request,
            "ResourceResponse": self.response, "ResourceScope": "accounts", "ResourceType": self.resource_type,
            "ResourceValue": {}, "ZoneID": "", "ZoneName": "",
        })
    }
}

/// One login through Access, allowed or not.
#[derive(Debug, Clone)]
pub(crate) struct AccessLogin {
    pub(crate) at: DateTime<Utc>,
    pub(crate) allowed: bool,
    pub(crate) app_domain: String,
    pub(crate) app_id: String,
    /// The type of the identity provider, for example `okta` or `onetimepin`.
    pub(crate) connection: &'static str,
    /// Lower-case country code.
    pub(crate) country: String,
    pub(crate) email: String,
    pub(crate) ip: String,
    pub(crate) ray_id: String,
    pub(crate) user_id: String,
}

impl AccessLogin {
    /// The pulled record has no country and no user id, unless `fields` requests them.
    pub(crate) fn to_pull(&self, fields: &[&str]) -> Value {
        let mut login = json!({
            "action": "login", "allowed": self.allowed, "app_domain": self.app_domain, "app_uid": self.app_id,
            "connection": self.connection, "created_at": rfc3339(self.at), "ip_address": self.ip,
            "ray_id": self.ray_id, "user_email": self.email,
        });
        if fields.contains(&"country") {
            login["country"] = json!(self.country);
        }
        if fields.contains(&"user_id") {
            login["user_id"] = json!(self.user_id);
        }
        login
    }

    /// The record of dataset `access_requests`, with its time not yet formatted.
    pub(crate) fn to_record(&self) -> Value {
        json!({
            "Action": "login", "Allowed": self.allowed, "AppDomain": self.app_domain, "AppUUID": self.app_id,
            "Connection": self.connection, "Country": self.country, "CreatedAt": null, "Email": self.email,
            "IPAddress": self.ip, "PurposeJustificationPrompt": "", "PurposeJustificationResponse": "",
            "RayID": self.ray_id, "TemporaryAccessApprovers": [], "TemporaryAccessDuration": 0,
            "UserUID": self.user_id,
        })
    }
}

/// Recent SCIM updates from the identity provider.
pub(crate) fn scim_updates(people: &[Person], now: DateTime<Utc>) -> Vec<Value> {
    people
        .iter()
        .take(3)
        .enumerate()
        .map(|(at, person)| {
            let hours = i64::try_from(at).unwrap_or(0) * 20 + 5;
            json!({
                "cf_resource_id": uuid_of(&person.email), "idp_id": identity_provider_id("okta"),
                "idp_resource_id": format!("00u{at}tidewater"), "logged_at": rfc3339(now - TimeDelta::hours(hours)),
                "request_method": if at == 0 { "POST" } else { "PATCH" }, "resource_type": "USER",
                "resource_user_email": person.email, "status": if at == 2 { "FAILURE" } else { "SUCCESS" },
                "error_description": if at == 2 { "user is not assigned" } else { "" }, "request_body": "{}",
            })
        })
        .collect()
}
