//! Tells receivers of every change of a risk level, as signed Security Event Tokens.
//!
//! [`decide::run`] makes a signal of each change and integration; [`deliver::run`] signs and pushes them.
//! A token is signed once: every attempt sends the same bytes under the same `jti`.

pub mod decide;
pub mod deliver;
pub mod keys;

use crate::app::App;

/// The issuer of an integration's tokens: one for each, so that a token never passes for another's.
pub fn issuer(app: &App, integration_id: &str) -> String {
    format!("{}/{integration_id}", app.public_url())
}

/// The address that a receiver is given: it names the issuer and the keys.
pub fn well_known_url(app: &App, integration_id: &str) -> String {
    format!(
        "{}/.well-known/sse-configuration/{integration_id}",
        app.public_url()
    )
}
