//! The building blocks of a story: people who act, and verbs that record an event for each action.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::Site;
use crate::ids::Ids;
use crate::logpush::record::{Event, Item};
use crate::world::World;
use crate::world::logs::{AccessLogin, AuditEntry};
use crate::world::people::{Device, Part, Person};
use crate::world::provider::Provider;

/// A person or program that acts.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) email: String,
    pub(crate) name: String,
    /// The Zero Trust user's id; empty for unknown people.
    pub(crate) user_id: String,
    /// The dashboard user's id; empty if there is none.
    pub(crate) dashboard_id: String,
    /// Upper-case country code.
    pub(crate) country: &'static str,
    pub(crate) ip: String,
    pub(crate) device: Device,
    pub(crate) part: Part,
    /// The type of the actor's usual identity provider.
    pub(crate) connection: &'static str,
}

/// The events written so far.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) ids: Ids,
    pub(crate) account_id: String,
    pub(crate) account_name: String,
    pub(crate) actors: Vec<Actor>,
    pub(crate) items: Vec<Item>,
    pub(crate) logins: Vec<AccessLogin>,
    pub(crate) audit: Vec<AuditEntry>,
}

impl Script {
    /// A script for the people who are Zero Trust users.
    pub(crate) fn new(ids: Ids, world: &World, people: &[Person]) -> Self {
        let users: BTreeMap<&str, &str> = world
            .access_users
            .iter()
            .map(|user| (user.email.as_str(), user.id.as_str()))
            .collect();
        let members: BTreeMap<String, &str> = world
            .members
            .iter()
            .filter_map(|member| Some((member.email.to_lowercase(), member.user_id.as_deref()?)))
            .collect();
        let actors = people
            .iter()
            .filter(|person| person.is_access_user)
            .map(|person| Actor {
                email: person.email.clone(),
                name: person.name(),
                user_id: users
                    .get(person.email.as_str())
                    .copied()
                    .unwrap_or_default()
                    .to_owned(),
                dashboard_id: members.get(&person.email).copied().unwrap_or_default().to_owned(),
                country: person.country,
                ip: person.ip.clone(),
                device: person.device.clone(),
                part: person.part,
                connection: person.provider.kind(),
            })
            .collect();
        Self {
            ids,
            account_id: world.account_id.clone(),
            account_name: world.account_name.clone(),
            actors,
            items: Vec::new(),
            logins: Vec::new(),
            audit: Vec::new(),
        }
    }

    pub(crate) fn actor(&self, part: Part) -> Actor {
        let actor = self
            .actors
            .iter()
            .find(|actor| actor.part == part)
            .or(self.actors.first());
        actor
            .cloned()
            .unwrap_or_else(|| self.nobody("nobody@tidewater.example", "TW-SPARE-1"))
    }

    /// A person who is in no list.
    pub(crate) fn nobody(&self, email: &str, device_name: &str) -> Actor {
        Actor {
            email: email.to_owned(),
            name: String::new(),
            user_id: String::new(),
            dashboard_id: String::new(),
            country: "GB",
            ip: "198.18.9.9".to_owned(),
            device: Device {
                id: crate::ids::uuid_of(device_name),
                registration_id: crate::ids::uuid_of(&format!("registration of {device_name}")),
                name: device_name.to_owned(),
                serial_number: "C02SPARE".to_owned(),
            },
            part: Part::Ordinary,
            connection: Provider::Okta.kind(),
        }
    }

    pub(crate) fn event(&mut self, dataset: &'static str, at: DateTime<Utc>, record: serde_json::Value) {
        self.items.push(Item::Event(Event { dataset, at, record }));
    }

    /// A lookup as a browser makes it: A, AAAA and HTTPS at almost the same time.
    pub(crate) fn lookups(&mut self, who: &Actor, at: DateTime<Utc>, site: &Site, decision: &str) {
        for (delay, kind) in [(0, (1, "A")), (4, (28, "AAAA")), (7, (65, "HTTPS"))] {
            self.dns(who, at + TimeDelta::milliseconds(delay), site, kind, decision);
        }
    }
}
