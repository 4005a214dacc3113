//! Which email addresses belong to the same person.
//!
//! Section `[people]` of the settings.

use super::SettingsError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Matching email addresses to people.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct People {
    /// Renamed domains, as `old.example=new.example`. An address in the old domain belongs to the person with the
    /// same local part in the new domain.
    pub domain_aliases: Vec<String>,
    /// Treat `ana+news@x.example` as `ana@x.example`.
    pub ignore_plus_tags: bool,
}

impl People {
    /// Refuses a rule that does not name two domains.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        for rule in &self.domain_aliases {
            let is_rule = rule.split_once('=').is_some_and(|(old, new)| {
                [old, new]
                    .iter()
                    .all(|domain| domain.contains('.') && !domain.contains('@'))
            });
            if !is_rule {
                return Err(SettingsError::Understand(format!(
                    "people.domain_aliases must have the form old.example=new.example, not \"{rule}\""
                )));
            }
        }
        Ok(())
    }
}
