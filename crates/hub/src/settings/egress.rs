//! Which addresses Flareward may connect to.
//!
//! Section `[egress]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Outgoing connections.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Allow unencrypted `http://` URLs.
    pub allow_http: bool,
    /// Allow loopback addresses of this machine (127.0.0.0/8, ::1).
    pub allow_loopback: bool,
    /// Hosts that may resolve to private addresses, for example an internal chat server.
    pub private_hosts: Vec<String>,
    /// Allowed host name suffixes for risk score integrations of type Okta.
    pub okta_hosts: Vec<String>,
}

impl Default for Egress {
    fn default() -> Self {
        let okta = [
            ".okta.com",
            ".oktapreview.com",
            ".okta-emea.com",
            ".okta-gov.com",
            ".okta.mil",
        ];
        Self {
            allow_http: false,
            allow_loopback: false,
            private_hosts: Vec::new(),
            okta_hosts: okta.map(str::to_owned).to_vec(),
        }
    }
}
