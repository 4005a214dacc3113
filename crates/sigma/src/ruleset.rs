//! Many rules, found by the log source that they are for.

use std::collections::HashMap;

use serde_json::Value;

use crate::compile::CompiledRule;

/// Compiled rules by service: an event is shown only to the rules of its own service.
///
/// Rules of other services are never tried, which is most of the speed of a large set.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    by_service: HashMap<String, Vec<CompiledRule>>,
}

impl RuleSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule under its own `logsource.service`. A rule that names no service is given back:
    /// the caller knows which services its category means, and uses [`RuleSet::add_for`].
    ///
    /// # Errors
    ///
    /// The rule itself, when it names no service.
    pub fn add(&mut self, rule: CompiledRule) -> Result<(), Box<CompiledRule>> {
        match rule.rule().logsource.service.clone() {
            Some(service) => {
                self.add_for(service, rule);
                Ok(())
            }
            None => Err(Box::new(rule)),
        }
    }

    /// Adds a rule under a service, whatever its log source says.
    pub fn add_for(&mut self, service: impl Into<String>, rule: CompiledRule) {
        self.by_service.entry(service.into()).or_default().push(rule);
    }

    /// The rules of `service` that match, in the order they were added.
    pub fn matches<'a>(&'a self, service: &str, event: &Value) -> Vec<&'a CompiledRule> {
        self.rules(service)
            .iter()
            .filter(|rule| rule.matches(event))
            .collect()
    }

    /// The rules of `service`, in the order they were added.
    pub fn rules(&self, service: &str) -> &[CompiledRule] {
        self.by_service
            .get(service)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.by_service.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
