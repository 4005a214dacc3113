//! The HTTP server: its address, its connections and its sessions.
//!
//! Section `[server]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: String,
    /// Public URL of this server. Used in log destinations and as the issuer of signals. Empty: `http://` and the
    /// listen address.
    pub public_url: String,
    /// Maximum number of concurrent connections. At the limit, a new connection closes the one that has been idle
    /// longest. 0: the process's open-file limit minus the files that Flareward needs itself, at most 16,384.
    pub connections_max: usize,
    /// Minutes of inactivity after which a console session ends. An open page does not count as activity. 0: no
    /// idle limit. Every session ends after twelve hours.
    pub session_idle_minutes: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8787".to_owned(),
            public_url: String::new(),
            connections_max: 0,
            session_idle_minutes: 120,
        }
    }
}
