//! Correlation rules: conditions over the matches of other rules within a time window.
//!
//! This file defines the content of a correlation rule, [`parse`] reads it, and [`window`] computes when it fires: a
//! pure function of the matches of one group, independent of their order and batches. `docs/correlations.md` describes
//! what this code does where the specification leaves the behaviour open.

mod parse;
pub(crate) mod window;

use std::collections::BTreeMap;

use crate::condition::Condition;
use crate::rule::Header;

pub(crate) use parse::parse;
pub use window::{EXACT_DISTINCT_MAX, Firing, Hit, HitValue};

/// One correlation rule (Sigma correlation rules specification 2.1.0).
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    /// Title, id, name and the rest of what describes it.
    pub header: Header,
    /// What is looked at.
    pub kind: CorrelationKind,
    /// Ids or names of the rules whose matches count, in the order written.
    pub rules: Vec<String>,
    /// Fields, or aliases, whose values keep matches apart.
    pub group_by: Vec<String>,
    /// How far apart matches may lie, in nanoseconds.
    pub timespan_ns: i64,
    /// When it holds.
    pub condition: CorrelationCondition,
    /// The fields whose values are counted or summed.
    pub fields: Vec<String>,
    /// Which percentile, 0 to 100.
    pub percentile: Option<f64>,
    /// What an alias means in each rule.
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the rules it refers to are reported as well.
    pub generate: bool,
    /// While the condition holds on, report again after this time, in nanoseconds. Our extension
    /// (`flareward: {suppress: 1h}`); without it a condition that holds on is reported once.
    pub suppress_ns: Option<i64>,
}

/// What a correlation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CorrelationKind {
    /// How many matches there are.
    EventCount,
    /// How many different values they have.
    ValueCount,
    /// How many different rules matched.
    Temporal,
    /// How many different rules matched one after the other.
    TemporalOrdered,
    /// The sum of a field.
    ValueSum,
    /// The average of a field.
    ValueAvg,
    /// A percentile of a field.
    ValuePercentile,
}

/// When a correlation holds.
#[derive(Debug, Clone, PartialEq)]
pub enum CorrelationCondition {
    /// Every bound holds.
    Bounds(Vec<(Bound, f64)>),
    /// Which of the rules matched, by their place.
    Expression(Condition),
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the specification")]
pub enum Bound {
    Gt,
    Gte,
    Lt,
    Lte,
    Eq,
    Neq,
}

impl Bound {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Gt => left > right,
            Self::Gte => left >= right,
            Self::Lt => left < right,
            Self::Lte => left <= right,
            Self::Eq => left == right,
            Self::Neq => left != right,
        }
    }
}

impl CorrelationKind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "event_count" => Self::EventCount,
            "value_count" => Self::ValueCount,
            "temporal" => Self::Temporal,
            "temporal_ordered" => Self::TemporalOrdered,
            "value_sum" => Self::ValueSum,
            "value_avg" => Self::ValueAvg,
            "value_percentile" => Self::ValuePercentile,
            _ => return None,
        })
    }

    /// Whether the values of a field are looked at.
    pub fn has_value(self) -> bool {
        matches!(
            self,
            Self::ValueCount | Self::ValueSum | Self::ValueAvg | Self::ValuePercentile
        )
    }

    fn is_temporal(self) -> bool {
        matches!(self, Self::Temporal | Self::TemporalOrdered)
    }
}
