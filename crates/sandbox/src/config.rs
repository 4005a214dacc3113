//! The configuration of a sandbox, and its description once it runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The size of the simulated account, and the seed of everything in it.
///
/// The same configuration gives the same ids, names, tokens and events, byte for byte. Only ports differ, and times if
/// [`SandboxConfig::now`] is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The seed of every id, name and event.
    pub seed: u64,
    /// The port on 127.0.0.1; 0 selects a free one.
    pub port: u16,
    /// The number of dashboard members. With a story, at least its cast.
    pub members: usize,
    /// The number of Zero Trust users. With a story, at least its cast.
    pub access_users: usize,
    /// The number of Access groups. The hand-written ones come first.
    pub groups: usize,
    /// The approximate number of rules in each generated group ("Team 12"): mostly addresses, and every kind of
    /// selector among them. `None`: up to eight addresses.
    pub rules_per_group: Option<usize>,
    /// The number of applications, at least the hand-written ones. Generated ones have several policies each. `None`:
    /// only the hand-written ones.
    pub apps: Option<usize>,
    /// The number of roles in the listing; the real names come first.
    pub roles: usize,
    /// Whether the account has a week of events.
    pub story: bool,
    /// The end of the story, which is also the sandbox's current time. `None`: the machine's clock.
    pub now: Option<DateTime<Utc>>,
    /// The account's name; `None` means the name of the story's company.
    pub account_name: Option<String>,
    /// Whether the sandbox may push logs to, and fetch keys from, hosts other than this machine.
    pub allow_any_destination: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            seed: 7,
            port: 0,
            members: 12,
            access_users: 16,
            groups: 12,
            rules_per_group: None,
            apps: None,
            roles: 14,
            story: true,
            now: None,
            account_name: None,
            allow_any_destination: false,
        }
    }
}

/// The maximum total number of rules in generated groups; chosen, so that a typing error does not fill the memory.
const MOST_RULES: usize = 2_000_000;
/// The maximum number of applications; chosen for the same reason.
const MOST_APPS: usize = 20_000;

impl SandboxConfig {
    /// Why this configuration is invalid; `None` if it is valid.
    pub(crate) fn refusal(&self) -> Option<String> {
        let groups = self.groups;
        match (self.rules_per_group, self.apps) {
            (Some(0), _) => {
                Some("a group has at least one rule, so there cannot be 0 rules per group".to_owned())
            }
            (Some(rules), _) if groups.saturating_mul(rules) > MOST_RULES => Some(format!(
                "{groups} groups with {rules} rules each are more than {MOST_RULES} rules together"
            )),
            (_, Some(apps)) if apps > MOST_APPS => Some(format!(
                "{apps} applications are more than the {MOST_APPS} that there can be"
            )),
            _ => None,
        }
    }
}

/// Everything that a caller needs to use a running sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxInfo {
    /// The base of the simulated API, `http://127.0.0.1:<port>/client/v4`.
    pub base_url: String,
    /// The account's id, 32 hexadecimal digits.
    pub account_id: String,
    /// The account's name.
    pub account_name: String,
    /// A token owned by a user, with every permission.
    pub token: String,
    /// A token owned by the account, with every permission that such a token can have.
    pub account_token: String,
    /// The address of `api_key`.
    pub email: String,
    /// The global API key of `email`.
    pub api_key: String,
    /// The Okta-like tenant: a risk integration's `tenant_url`, and the audience it accepts.
    pub okta_url: String,
    /// The URL of the Slack webhook.
    pub slack_webhook_url: String,
    /// The URL of the Teams webhook.
    pub teams_webhook_url: String,
    /// The URL of the Google Chat webhook.
    pub google_chat_webhook_url: String,
    /// The host of the mail sink.
    pub smtp_host: String,
    /// The port of the mail sink.
    pub smtp_port: u16,
    /// The URL to read and control the sandbox.
    pub control_url: String,
}
