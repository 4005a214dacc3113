//! The mail server that outgoing email goes to.
//!
//! Section `[smtp]` of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Outgoing email.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// Host name of the mail server. Empty: no email is sent.
    pub host: String,
    /// Port of the mail server.
    pub port: u16,
    /// Encryption: `starttls`, `tls`, or `none` (for a relay on this machine).
    pub encryption: String,
    /// User name. Empty: no authentication.
    pub username: String,
    /// File that contains the password.
    pub password_file: String,
    /// Sender address.
    pub from: String,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            encryption: "starttls".to_owned(),
            username: String::new(),
            password_file: String::new(),
            from: String::new(),
        }
    }
}
