//! Records that were read from the API, in the words of the datasets that Logpush would have pushed.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

/// An Access authentication in the fields of the dataset `access_requests`.
pub(super) fn access_record(pulled: &Value) -> Value {
    let mut record = Map::new();
    for (name, value) in pulled.as_object().into_iter().flatten() {
        let field = match name.as_str() {
            "app_uid" => "AppUUID".to_owned(),
            "ip_address" => "IPAddress".to_owned(),
            "ray_id" => "RayID".to_owned(),
            "user_email" => "Email".to_owned(),
            "user_id" => "UserUID".to_owned(),
            other => pascal(other),
        };
        let value = if name == "created_at" {
            time(value)
        } else {
            value.clone()
        };
        record.insert(field, value);
    }
    Value::Object(record)
}

/// An entry of the audit log in the fields of the dataset `audit_logs_v2`.
pub(super) fn audit_record(pulled: &Value) -> Value {
    let part = |path: &str| pulled.pointer(path).cloned().unwrap_or_default();
    let text = |path: &str| match part(path) {
        Value::Null => json!(""),
        value => value,
    };
    let object = |path: &str| match part(path) {
        Value::Null => json!({}),
        value => value,
    };
    let mut token = Map::new();
    for (member, path) in [("id", "/actor/token_id"), ("name", "/actor/token_name")] {
        if let Some(value) = pulled.pointer(path).filter(|value| !value.is_null()) {
            token.insert(member.to_owned(), value.clone());
        }
    }
    json!({
        "AccountID": text("/account/id"), "AccountName": text("/account/name"),
        "ActionDescription": text("/action/description"), "ActionResult": text("/action/result"),
        "ActionTimestamp": time(&part("/action/time")), "ActionType": text("/action/type"),
        "ActorContext": text("/actor/context"), "ActorEmail": text("/actor/email"), "ActorID": text("/actor/id"),
        "ActorIPAddress": text("/actor/ip_address"), "ActorTokenDetails": token, "ActorType": text("/actor/type"),
        "AuditLogID": part("/id"), "Raw": object("/raw"), "ResourceID": text("/resource/id"),
        "ResourceProduct": text("/resource/product"), "ResourceRequest": object("/resource/request"),
        "ResourceResponse": object("/resource/response"), "ResourceScope": object("/resource/scope"),
        "ResourceType": text("/resource/type"), "ResourceValue": object("/resource/value"),
        "ZoneID": text("/zone/id"), "ZoneName": text("/zone/name"),
    })
}

/// An entry of the audit log, version 1, in the fields of the dataset `audit_logs`.
pub(super) fn audit_v1_record(pulled: &Value) -> Value {
    let part = |path: &str| pulled.pointer(path).cloned().unwrap_or_default();
    // The whole value where it is given as JSON, else the text.
    let either = |json: &str, text: &str| match part(json) {
        Value::Null => part(text),
        value => value,
    };
    json!({
        "ActionResult": part("/action/result"), "ActionType": part("/action/type"),
        "ActorEmail": part("/actor/email"), "ActorID": part("/actor/id"), "ActorIP": part("/actor/ip"),
        "ActorType": part("/actor/type"), "ID": part("/id"), "Interface": part("/interface"),
        "Metadata": part("/metadata"), "NewValue": either("/newValueJson", "/newValue"),
        "OldValue": either("/oldValueJson", "/oldValue"), "OwnerID": part("/owner/id"),
        "ResourceID": part("/resource/id"), "ResourceType": part("/resource/type"), "When": time(&part("/when")),
    })
}

/// One of a user's risk events, with the user's members beside its own, in the fields of our dataset
/// `risk_score_events`.
pub(super) fn risk_record(pulled: &Value) -> Value {
    let mut record = Map::new();
    for (name, value) in pulled.as_object().into_iter().flatten() {
        let field = match name.as_str() {
            "id" => "EventID".to_owned(),
            "user_id" => "UserID".to_owned(),
            other => pascal(other),
        };
        let value = if name == "timestamp" {
            time(value)
        } else {
            value.clone()
        };
        record.insert(field, value);
    }
    Value::Object(record)
}

/// A time as our jobs have it pushed, so that a record has one key whichever way it comes.
fn time(value: &Value) -> Value {
    let read = value
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    read.map_or_else(
        || value.clone(),
        |at| json!(at.to_utc().to_rfc3339_opts(SecondsFormat::Nanos, true)),
    )
}

/// `app_domain` becomes `AppDomain`.
fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Log;
    use super::*;
    use std::collections::BTreeSet;

    /// Every field that the dataset has is there, and none that it does not have.
    fn check(log: Log, pulled: &Value, left_out: &[&str]) -> Value {
        let record = log.record(pulled);
        let given: BTreeSet<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        let table = rules::recognise::FIELDS;
        let known = table.lines().filter_map(|line| {
            let mut columns = line.split('\t');
            (columns.next() == Some(log.dataset())).then(|| columns.next().unwrap())
        });
        let known: BTreeSet<&str> = known.filter(|field| !left_out.contains(field)).collect();
        assert_eq!(given, known);
        record
    }

    #[test]
    fn pulled_records_have_the_fields_of_their_dataset() {
        let login = json!({
            "action": "login", "allowed": true, "app_domain": "wiki.x.example", "app_uid": "a", "connection": "okta",
            "country": "de", "created_at": "2026-11-20T10:00:00.12Z", "ip_address": "192.0.2.1", "ray_id": "r",
            "user_email": "Ana@x.example", "user_id": "u",
        });
        // Only the log that is pushed has these.
        let approvals = [
            "PurposeJustificationPrompt",
            "PurposeJustificationResponse",
            "TemporaryAccessApprovers",
            "TemporaryAccessDuration",
        ];
        let record = check(Log::Access, &login, &approvals);
        assert_eq!(record["CreatedAt"], "2026-11-20T10:00:00.120000000Z");
        assert_eq!(record["Email"], "Ana@x.example");
        let entry = json!({ "id": "1", "action": { "time": "2026-11-20T10:00:00+01:00", "type": "view" },
            "actor": { "email": "ana@x.example", "token_id": "t" } });
        let record = check(Log::AuditV2, &entry, &[]);
        assert_eq!(record["ActionTimestamp"], "2026-11-20T09:00:00.000000000Z");
        assert_eq!(record["ActorTokenDetails"], json!({ "id": "t" }));
        let entry = json!({ "id": "1", "action": { "result": true }, "when": "2026-11-20T10:00:00Z",
            "newValue": "text", "newValueJson": { "a": 1 } });
        let record = check(Log::AuditV1, &entry, &[]);
        assert_eq!(record["NewValue"], json!({ "a": 1 }));
        assert_eq!(record["ActionResult"], true);
        let event = json!({ "id": "e", "name": "imp_travel", "risk_level": "high", "event_details": {},
            "timestamp": "2026-11-20T10:00:00Z", "user_id": "u", "user_name": "Ana", "email": "ana@x.example" });
        let record = check(Log::RiskEvents, &event, &[]);
        assert_eq!(record["Timestamp"], "2026-11-20T10:00:00.000000000Z");
    }

    #[test]
    fn a_member_that_is_new_at_cloudflare_is_kept() {
        let record = access_record(&json!({ "identity_provider_kind": "saml" }));
        assert_eq!(record["IdentityProviderKind"], "saml");
    }
}
