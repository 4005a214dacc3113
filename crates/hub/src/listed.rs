//! What Cloudflare lists, as rows to be stored: the same for a sync, which reads whole lists, and for a change of access,
//! which reads one object again.

use cloudflare::{AccessUser, Member};
use model::{PersonId, address};
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use store::{AccessUserSeen, MemberSeen};

/// What changes by itself, without anybody changing anything.
pub(crate) const RESTLESS: [&str; 7] = [
    "updated_at",
    "modified_on",
    "last_seen_at",
    "last_used_on",
    "last_successful_login",
    "active_device_count",
    "app_count",
];

/// Takes away what changes by itself, at any depth: an application carries its policies whole.
fn still(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            members.retain(|name, _| !RESTLESS.contains(&name.as_str()));
            members.values_mut().for_each(still);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(still),
        _ => {}
    }
}

/// A digest of what matters of an object: two syncs are compared by it.
pub(crate) fn fingerprint(thing: &impl Serialize) -> String {
    let mut value = serde_json::to_value(thing).unwrap_or_default();
    still(&mut value);
    crate::secret::digest(&value.to_string())[..32].to_owned()
}

/// First and last name, where one of them is known.
pub(crate) fn full_name(member: &Member) -> Option<String> {
    let parts = [
        member.user.first_name.as_deref(),
        member.user.last_name.as_deref(),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// A member as Cloudflare listed it, to be stored. `people` finds the person by address.
pub(crate) fn member_seen(member: &Member, people: &HashMap<String, PersonId>) -> MemberSeen {
    let email = member.address().unwrap_or_default().to_owned();
    let roles: Vec<_> = member
        .roles
        .iter()
        .map(|role| json!({ "id": role.id, "name": role.name }))
        .collect();
    MemberSeen {
        id: member.id.clone(),
        person_id: address::canonical(&email).and_then(|email| people.get(&email).cloned()),
        email,
        name: full_name(member),
        status: member.status.clone(),
        // Someone who has never signed up has no second factor to speak of: that is not "off".
        two_factor: member
            .user
            .id
            .as_ref()
            .and(member.user.two_factor_authentication_enabled),
        roles: json!(roles).to_string(),
        policies: member
            .other
            .get("policies")
            .filter(|policies| policies.is_array())
            .map_or_else(|| "[]".to_owned(), ToString::to_string),
        raw: as_text(member),
        fingerprint: fingerprint(member),
    }
}

/// An Access user as Cloudflare listed it, to be stored. `people` finds the person by address.
pub(crate) fn access_user_seen(user: &AccessUser, people: &HashMap<String, PersonId>) -> AccessUserSeen {
    AccessUserSeen {
        id: user.id.clone(),
        person_id: address::canonical(&user.email).and_then(|email| people.get(&email).cloned()),
        email: user.email.clone(),
        name: user.name.clone(),
        access_seat: user.access_seat,
        gateway_seat: user.gateway_seat,
        active_device_count: user.active_device_count.map(|count| count as i64),
        last_login_at: user.last_successful_login,
        raw: as_text(user),
        fingerprint: fingerprint(user),
    }
}

/// An object as JSON text.
pub(crate) fn as_text(thing: &impl Serialize) -> String {
    serde_json::to_string(thing).unwrap_or_default()
}
