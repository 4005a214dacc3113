//! The providers that are registered with the Okta-like receiver.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};

/// The registered providers, by id.
#[derive(Debug, Default)]
pub(crate) struct Tenant(Mutex<BTreeMap<String, Provider>>);

#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) active: bool,
    pub(crate) issuer: String,
    pub(crate) jwks_url: String,
    pub(crate) well_known_url: Option<String>,
    pub(crate) keys: Option<JwkSet>,
}

impl Tenant {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Provider>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider {
    pub(crate) fn to_json(&self, base: &str) -> Value {
        json!({
            "id": self.id, "name": self.name, "type": self.kind,
            "status": if self.active { "ACTIVE" } else { "INACTIVE" },
            "settings": { "issuer": self.issuer, "jwks_url": self.jwks_url, "well_known_url": self.well_known_url },
            "_links": { "self": { "href": format!("{base}/api/v1/security-events-providers/{}", self.id) } },
        })
    }
}
