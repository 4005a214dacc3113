//! The three lists of rules that groups and policies have.
//!
//! Reads Cloudflare's objects. What is missing or in another form becomes a rule that cannot be known.

use crate::access::rule::Selector;
use serde_json::Value;

/// The three lists of rules that groups and policies have.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Any of these lets in.
    pub include: Vec<Selector>,
    /// All of these must hold.
    pub require: Vec<Selector>,
    /// None of these may hold.
    pub exclude: Vec<Selector>,
}

impl Rules {
    /// Reads a group or policy as Cloudflare gives it. A list that it does not give, where it must, or gives in
    /// another form, holds one rule that cannot be known.
    pub fn read(raw: &Value) -> Rules {
        let list = |name: &'static str| match raw.get(name) {
            Some(Value::Array(rules)) => rules.iter().map(Selector::read).collect(),
            // There is no group or policy that includes nobody; requirements and exclusions may be missing.
            None | Some(Value::Null) if name != "include" => Vec::new(),
            None | Some(Value::Null) => vec![Selector::Unknown(
                "the rules of `include`, which are missing in Cloudflare's response".into(),
            )],
            Some(_) => vec![Selector::Unknown(
                format!("the rules of `{name}`, which have an unsupported format").into(),
            )],
        };
        Rules {
            include: list("include"),
            require: list("require"),
            exclude: list("exclude"),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Selector> {
        self.include.iter().chain(&self.require).chain(&self.exclude)
    }
}
