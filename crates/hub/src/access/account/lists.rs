//! What is on the Zero Trust lists of an account.

use model::address;
use std::collections::HashSet;

/// What is on a Zero Trust list.
#[derive(Debug, Default)]
pub(super) struct ListContent {
    /// Addresses and domains, as they are compared.
    pub(super) values: HashSet<Box<str>>,
    /// Why there may be more, where the list was read in part.
    pub(super) partial: Option<Box<str>>,
}

impl ListContent {
    pub(super) fn has(&self, address: &str) -> bool {
        self.values.contains(address)
            || address::domain_of(address).is_some_and(|domain| self.values.contains(domain))
    }
}
