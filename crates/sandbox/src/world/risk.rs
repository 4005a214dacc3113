//! Which behaviours raise someone's risk, and who has triggered them.
//!
//! Of the behaviours' keys only `imp_travel` and `high_dlp` are published; the third is the sandbox's own.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::config::SandboxConfig;
use crate::ids::Ids;
use crate::world::access_user::AccessUser;
use crate::world::people::Part;

pub(crate) const LEVELS: &[&str] = &["low", "medium", "high"];

/// Behaviours, triggered events, and the integrations.
#[derive(Debug, Clone)]
pub(crate) struct RiskScoring {
    pub(crate) behaviours: Map<String, Value>,
    /// By user id.
    pub(crate) users: BTreeMap<String, UserRisk>,
    pub(crate) integrations: Vec<Value>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct UserRisk {
    pub(crate) events: Vec<Value>,
    pub(crate) last_reset: Option<DateTime<Utc>>,
}

impl UserRisk {
    pub(crate) fn level(&self) -> Option<&'static str> {
        let rank = |event: &Value| LEVELS.iter().position(|level| event["risk_level"] == *level);
        self.events.iter().filter_map(rank).max().map(|rank| LEVELS[rank])
    }
}

impl RiskScoring {
    pub(crate) fn new(config: &SandboxConfig, users: &[AccessUser], now: DateTime<Utc>) -> Self {
        let behaviour = |name: &str, description: &str, level: &str, enabled: bool| json!({ "name": name, "description": description, "enabled": enabled, "risk_level": level });
        let behaviours = Map::from_iter([
            (
                "imp_travel".to_owned(),
                behaviour(
                    "Impossible Travel",
                    "Two logins that no journey connects",
                    "high",
                    true,
                ),
            ),
            (
                "high_dlp".to_owned(),
                behaviour(
                    "High Number of DLP Policies Triggered",
                    "Many DLP matches within a minute",
                    "medium",
                    true,
                ),
            ),
            (
                "malicious_file".to_owned(),
                behaviour(
                    "Interaction with Malicious File",
                    "A file that antivirus scanning stopped",
                    "high",
                    false,
                ),
            ),
        ]);
        let mut ids = Ids::new(config.seed, "risk");
        let mut scored = BTreeMap::new();
        if config.story {
            let mut trigger = |part: Part, name: &str, level: &str, ago: TimeDelta| {
                if let Some(user) = users.iter().find(|user| user.part == part) {
                    let event = json!({
                        "id": ids.uuid(), "name": name, "risk_level": level, "timestamp": rfc3339(now - ago),
                        "event_details": { "source": "sandbox" },
                    });
                    scored
                        .entry(user.id.clone())
                        .or_insert_with(UserRisk::default)
                        .events
                        .push(event);
                }
            };
            trigger(Part::Traveller, "imp_travel", "high", TimeDelta::hours(26));
            trigger(Part::AiUploader, "high_dlp", "medium", TimeDelta::hours(50));
            trigger(Part::FileDownloader, "high_dlp", "low", TimeDelta::hours(90));
        }
        Self {
            behaviours,
            users: scored,
            integrations: Vec::new(),
        }
    }

    pub(crate) fn forget(&mut self, user_id: &str) {
        self.users.remove(user_id);
    }

    /// Makes a user trigger a behaviour now.
    pub(crate) fn trigger(
        &mut self,
        event_id: String,
        user_id: &str,
        behaviour: &str,
        level: &str,
        at: DateTime<Utc>,
    ) {
        let event = json!({
            "id": event_id, "name": behaviour, "risk_level": level, "timestamp": rfc3339(at),
            "event_details": { "source": "sandbox" },
        });
        self.users
            .entry(user_id.to_owned())
            .or_default()
            .events
            .push(event);
    }
}
