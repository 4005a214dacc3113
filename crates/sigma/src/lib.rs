//! Sigma detection rules: parse, compile, match. No I/O and no clock.
//!
//! - [`parse_documents`] reads YAML into [`Document`]s.
//! - [`CompiledRule::compile`] prepares a rule for matching.
//! - [`Collection`] combines rules, filters and correlations.
//! - [`Matcher`] matches a record against many rules at once.
//! - [`CompiledRule::explain`] shows which part of a rule matched which value. It is a second evaluator that shares no
//!   matching code with the first, so that tests can compare the two.
//! - [`Correlation::firings`] computes when a correlation fires.
//!
//! Anything that this crate does not support is refused with a reason, never ignored: unknown modifiers, look-around in
//! regular expressions, placeholders without a value, references from a correlation or filter to a missing rule.
//!
//! The semantics follow the Sigma specification 2.1.0. Where it leaves a case open, this crate decides:
//!
//! - a field with a list matches if any member matches; with `all`, each value must match some member;
//! - `null` matches a field that is absent or null, but not an empty list or an empty text;
//! - an integer matches a text that reads as the same number in plain decimals; any other number is compared with texts
//!   as written (`1.10` is not `1.1`), and with numbers by value;
//! - `neq` is the exact negation of the item without it, so it is true for an absent field;
//! - letter case is folded per character if Unicode's lower case is one character (`İ` and `ß` are unchanged);
//! - times are read as UTC; the number of digits of a numeric time determines its unit (seconds to nanoseconds);
//! - a keyword matches anywhere inside any value of the event, at any depth; field names are not searched.

mod collection;
mod compile;
mod condition;
mod correlation;
mod criterion;
mod derived;
mod detection;
mod document;
mod encoding;
mod engine;
mod event;
mod explain;
mod filter;
mod first_seen;
mod matching;
mod modifier;
mod pattern;
mod pcre;
mod resolve;
mod rule;
mod timestamp;
mod yaml;

pub use collection::{CollectedCorrelation, CollectedRule, Collection, Part, PartOf, Problem, without_cased};
pub use compile::{CompileError, CompiledRule};
pub use condition::Condition;
pub use correlation::{
    Bound, Correlation, CorrelationCondition, CorrelationKind, EXACT_DISTINCT_MAX, Firing, Match, MatchValue,
};
pub use derived::{PERSON, add_to as add_derived};
pub use detection::{Detection, Item, Literal, NamedSelection, Selection};
pub use document::{Document, MAX_DOCUMENT_BYTES, ParseError, parse_documents, parse_each, parse_rules};
pub use engine::{Matcher, NotARecord, Scanned, Scratch};
pub use event::{Event, Scalar};
pub use explain::{Explanation, ItemExplanation, SelectionExplanation};
pub use filter::{Filter, FilterTarget};
pub use first_seen::{Sighting, day, first_seen};
pub use matching::fold;
pub use modifier::{Modifier, TimePart};
pub use resolve::Placeholders;
pub use rule::{Header, Level, LogSource, Rule, Status, canonical_name};
pub use yaml::{Yaml, parse_yaml};
