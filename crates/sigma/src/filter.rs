//! Filters: additional conditions for rules, in documents of their own.
//!
//! A filtered rule matches if its own condition and the filter's condition are true. A filter that excludes records
//! uses `condition: not selection` (Sigma filters specification 2.1.0).

use serde_json::{Map, Value};

use crate::detection::{Detection, Refusal};
use crate::rule::{Header, LogSource, Rule};

/// One filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Title, id, name and the other descriptive keys.
    pub header: Header,
    /// The log source that a rule must have. Parts that are unset here match any value.
    pub logsource: Option<LogSource>,
    /// The rules that the filter applies to.
    pub target: FilterTarget,
    /// Selections and the condition over them.
    pub detection: Detection,
}

/// The rules that a filter applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterTarget {
    /// Every rule of its log source.
    Any,
    /// Rules with one of these ids or names.
    Named(Vec<String>),
}

impl Filter {
    /// Whether the filter's log source includes the rule.
    pub fn fits(&self, rule: &Rule) -> bool {
        let same = |wanted: &Option<String>, has: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| has.as_ref().is_some_and(|has| has.eq_ignore_ascii_case(wanted)))
        };
        self.logsource.as_ref().is_none_or(|source| {
            same(&source.category, &rule.logsource.category)
                && same(&source.product, &rule.logsource.product)
                && same(&source.service, &rule.logsource.service)
        })
    }

    /// The rule, restricted by this filter's condition.
    #[must_use]
    pub fn apply(&self, rule: &Rule) -> Rule {
        let mut filtered = rule.clone();
        filtered.detection = rule.detection.and(&self.detection, &self.header.title);
        filtered
    }
}

/// Parses the `filter` section.
pub(crate) fn parse(
    header: Header,
    logsource: Option<LogSource>,
    section: &Map<String, Value>,
    texts: &Value,
) -> Result<Filter, Refusal> {
    let mut section = section.clone();
    section.shift_remove("rules");
    let target = match texts.get("rules").cloned() {
        None | Some(Value::Null) => FilterTarget::Any,
        Some(Value::String(word)) if word.eq_ignore_ascii_case("any") => FilterTarget::Any,
        Some(Value::String(one)) => FilterTarget::Named(vec![one]),
        Some(Value::Array(list)) if list.is_empty() => FilterTarget::Any,
        Some(Value::Array(list)) => FilterTarget::Named(
            list.iter()
                .map(|name| name.as_str().map(ToOwned::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| {
                    Refusal::new(
                        "`filter.rules` has a member that is not a string",
                        "name rules by id or name",
                    )
                    .near("rules:")
                })?,
        ),
        Some(_) => {
            return Err(Refusal::new(
                "`filter.rules` is not a list",
                "name rules by id or name, or write `any`",
            )
            .near("rules:"));
        }
    };
    Ok(Filter {
        header,
        logsource,
        target,
        detection: Detection::parse(&section, texts)?,
    })
}
