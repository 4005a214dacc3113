//! The configuration of a sandbox, and its description once it runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How large the simulated account is and from which seed everything in it is made.
///
/// The same configuration gives the same ids, names, tokens and events, byte for byte; only ports differ, and times
/// when [`SandboxConfig::now`] is left to the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The seed of every id, name and event.
    pub seed: u64,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// How many people may log in to the dashboard. With a story, never fewer than its cast.
    pub members: usize,
    /// How many Zero Trust users there are. With a story, never fewer than its cast.
    pub access_users: usize,
    /// How many Access groups there are. The hand-written ones come first.
    pub groups: usize,
    /// About how many rules each generated group ("Team 12") has: addresses mostly, with every kind of selector among
    /// them. `None`: up to eight addresses.
    pub rules_per_group: Option<usize>,
    /// How many applications there are, never fewer than the hand-written ones; those that are generated have several
    /// policies each. `None`: the hand-written ones.
    pub apps: Option<usize>,
    /// How many roles the listing shows; the real names come first.
    pub roles: usize,
    /// Whether the company has a week of events behind it.
    pub story: bool,
    /// The instant that the story ends at, which is then also the time that the sandbox believes it is.
    /// `None`: the clock.
    pub now: Option<DateTime<Utc>>,
    /// The account's name; `None` gives it the story's company.
    pub account_name: Option<String>,
    /// Whether logs may be pushed to, and keys fetched from, hosts that are not this machine.
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

/// The most rules that all generated groups may have together; chosen, so that a slip does not fill the memory.
const MOST_RULES: usize = 2_000_000;
/// The most applications; chosen likewise.
const MOST_APPS: usize = 20_000;

impl SandboxConfig {
    /// Says why no account can be made of this, if so.
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
    /// A token owned by the account, with every permission an account's token can have.
    pub account_token: String,
    /// The address that belongs to `api_key`.
    pub email: String,
    /// The global API key of `email`.
    pub api_key: String,
    /// The Okta-like tenant: a risk integration's `tenant_url`, and the audience it accepts.
    pub okta_url: String,
    /// Where a Slack message is sent.
    pub slack_webhook_url: String,
    /// Where a Teams message is sent.
    pub teams_webhook_url: String,
    /// Where a Google Chat message is sent.
    pub google_chat_webhook_url: String,
    /// The host of the mail sink.
    pub smtp_host: String,
    /// The port of the mail sink.
    pub smtp_port: u16,
    /// Where the sandbox itself is read and steered.
    pub control_url: String,
}
