//! How members sign in to the dashboard: through their organisation's identity provider, or with a password.
//!
//! No list of Cloudflare's says it of a member. What does is the application of type `dash_sso`: whoever its
//! policies let in by everyone, domain or address signs in through it. Reads applications and policies; writes
//! nothing. Start reading at [`SignIns::of_connection`].

use super::rule::Selector;
use super::view::policies_of;
use crate::app::App;
use model::{ConnectionId, ListKind};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use store::{LIST_LIMIT_MAX, StoreError};

/// Who signs in through the identity provider, as far as the lists of one account say.
#[derive(Debug, Default)]
pub struct SignIns {
    /// Whether the applications were ever read to their end.
    is_known: bool,
    /// Whether a rule stands there that does not follow from the address.
    is_open: bool,
    is_everyone: bool,
    domains: HashSet<Box<str>>,
    addresses: HashSet<Box<str>>,
}

impl SignIns {
    /// What one account's applications say.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn of_connection(app: &App, connection: &ConnectionId) -> Result<SignIns, StoreError> {
        let listings = app.store.listing_list(connection).await?;
        let is_known = listings
            .iter()
            .any(|row| row.kind == ListKind::Apps && row.complete_at.is_some());
        let mut found = SignIns {
            is_known,
            ..SignIns::default()
        };
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let store = &app.store;
            let rows = store
                .account_object_list("apps", Some(connection), place, LIST_LIMIT_MAX)
                .await?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some((last.connection_id.0.clone(), last.id.clone()));
            for row in rows.iter().filter(|row| row.raw.contains("dash_sso")) {
                let raw = row.raw_json()?;
                if raw["type"] != "dash_sso" {
                    continue;
                }
                for policy in raw["policies"].as_array().into_iter().flatten() {
                    if policy.get("include").is_some() {
                        found.look(policy);
                        continue;
                    }
                    let ids: Vec<String> = policies_of(&serde_json::json!({ "policies": [policy] }))
                        .map(str::to_owned)
                        .collect();
                    for id in ids {
                        match store.account_object_get(connection, "policies", &id).await? {
                            Some(row) => found.look(&row.raw_json()?),
                            None => found.is_open = true,
                        }
                    }
                }
            }
        }
    }

    /// The same for every connection.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn of_all(app: &App) -> Result<HashMap<ConnectionId, SignIns>, StoreError> {
        let mut all = HashMap::new();
        for row in app.store.connection_list().await? {
            let found = Self::of_connection(app, &row.id).await?;
            all.insert(row.id, found);
        }
        Ok(all)
    }

    fn look(&mut self, policy: &Value) {
        if policy["decision"] != "allow" {
            return;
        }
        for rule in policy["include"].as_array().into_iter().flatten() {
            match Selector::read(rule) {
                Selector::Everyone => self.is_everyone = true,
                Selector::Email(address) => {
                    self.addresses.insert(address);
                }
                Selector::EmailDomain(domain) => {
                    self.domains.insert(domain);
                }
                _ => self.is_open = true,
            }
        }
    }

    /// How the member with this address signs in: `sso`, `password` or `unknown`.
    pub fn of(&self, address: &str) -> &'static str {
        let address = model::address::compared(address);
        let domain = model::address::domain_of(&address).unwrap_or_default();
        if self.is_everyone || self.domains.contains(domain) || self.addresses.contains(address.as_str()) {
            "sso"
        } else if self.is_known && !self.is_open {
            "password"
        } else {
            "unknown"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_follow_from_the_address_is_unknown() {
        let read = |rules: Value, is_known: bool| {
            let mut found = SignIns {
                is_known,
                ..SignIns::default()
            };
            found.look(&json!({ "decision": "allow", "include": rules }));
            found
        };
        let domain = json!([{ "email_domain": { "domain": "x.example" } }]);
        assert_eq!(read(domain.clone(), true).of("Ana@X.example"), "sso");
        assert_eq!(read(domain.clone(), true).of("ana@y.example"), "password");
        assert_eq!(read(domain, false).of("ana@y.example"), "unknown");
        let group = json!([{ "group": { "id": "g" } }]);
        assert_eq!(read(group, true).of("ana@y.example"), "unknown");
        assert_eq!(read(json!([]), true).of("ana@y.example"), "password");
    }
}
