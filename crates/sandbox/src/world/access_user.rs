//! A Zero Trust user: who it is, which seats they hold, and how the API shows them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::ids::{Ids, hex32_of};
use crate::register::HasId;
use crate::world::people::{Part, Person};
use crate::world::provider::Provider;

/// A Zero Trust user.
#[derive(Debug, Clone)]
pub(crate) struct AccessUser {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) seat_uid: String,
    pub(crate) access_seat: bool,
    pub(crate) gateway_seat: bool,
    pub(crate) device_count: usize,
    pub(crate) last_login: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) part: Part,
    pub(crate) country: &'static str,
    pub(crate) ip: String,
    pub(crate) device_id: String,
    pub(crate) provider: Provider,
    pub(crate) engineer: bool,
    /// Whether the last login used a second factor.
    pub(crate) second_factor: bool,
    pub(crate) authenticator_id: Option<String>,
}

impl HasId for AccessUser {
    fn id(&self) -> &str {
        &self.id
    }
}

impl AccessUser {
    pub(crate) fn new(person: &Person, ids: &mut Ids, now: DateTime<Utc>) -> Self {
        let created_at = now - TimeDelta::days(ids.between(60, 600));
        let last_login = now - TimeDelta::minutes(ids.between(30, 4000));
        let (id, seat_uid) = (ids.uuid(), ids.uuid());
        // Everything is drawn for everyone: who has signed in must not change what the next one gets.
        let authenticator_id = person.second_factor.then(|| ids.uuid());
        let signed_in = person.signed_in;
        Self {
            id,
            email: person.email.clone(),
            name: person.name(),
            seat_uid: if signed_in { seat_uid } else { String::new() },
            access_seat: signed_in,
            gateway_seat: signed_in,
            device_count: usize::from(signed_in),
            last_login: signed_in.then_some(last_login),
            created_at,
            updated_at: if signed_in { last_login } else { created_at },
            part: person.part,
            country: person.country,
            ip: person.ip.clone(),
            device_id: person.device.id.clone(),
            provider: person.provider,
            engineer: person.engineer,
            second_factor: person.second_factor,
            authenticator_id: authenticator_id.filter(|_| signed_in),
        }
    }

    /// A user that was created by a call and has not signed in yet.
    pub(crate) fn fresh(ids: &mut Ids, email: &str, name: &str, now: DateTime<Utc>) -> Self {
        Self {
            id: ids.uuid(),
            email: email.to_owned(),
            name: name.to_owned(),
            seat_uid: String::new(),
            access_seat: false,
            gateway_seat: false,
            device_count: 0,
            last_login: None,
            created_at: now,
            updated_at: now,
            part: Part::Ordinary,
            country: "GB",
            ip: "198.18.255.1".to_owned(),
            device_id: ids.uuid(),
            provider: Provider::Okta,
            engineer: false,
            second_factor: false,
            authenticator_id: None,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut user = json!({
            "id": self.id, "uid": self.id, "seat_uid": self.seat_uid, "email": self.email, "name": self.name,
            "access_seat": self.access_seat, "gateway_seat": self.gateway_seat,
            "active_device_count": self.device_count,
            "created_at": rfc3339(self.created_at), "updated_at": rfc3339(self.updated_at),
        });
        if let Some(last_login) = self.last_login {
            user["last_successful_login"] = json!(rfc3339(last_login));
        }
        user
    }

    /// The name of the only session of a user who has signed in.
    pub(crate) fn session_nonce(&self) -> String {
        hex32_of(&format!("session of {}", self.id))[..16].to_owned()
    }
}
