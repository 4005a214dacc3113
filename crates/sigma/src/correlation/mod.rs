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
pub use window::{EXACT_DISTINCT_MAX, Firing, Match, MatchValue};

/// One correlation rule (Sigma correlation rules specification 2.1.0).
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    /// Title, id, name and the other descriptive keys.
    pub header: Header,
    /// What is compared.
    pub kind: CorrelationKind,
    /// Ids or names of the rules whose matches count, in the order written.
    pub rules: Vec<String>,
    /// Fields, or aliases, whose values separate matches into groups.
    pub group_by: Vec<String>,
    /// The maximum time between the first and last match, in nanoseconds.
    pub timespan_ns: i64,
    /// When the correlation is true.
    pub condition: CorrelationCondition,
    /// The fields whose values are counted or summed.
    pub fields: Vec<String>,
    /// Which percentile, 0 to 100.
    pub percentile: Option<f64>,
    /// The field that each alias stands for in each rule.
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the rules it refers to are reported as well.
    pub generate: bool,
    /// While the condition stays true, report again after this time, in nanoseconds. Our extension (`flareward:
    /// {suppress: 1h}`); without it, a condition that stays true is reported once.
    pub suppress_ns: Option<i64>,
}

/// What a correlation compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CorrelationKind {
    /// The number of matches.
    EventCount,
    /// The number of distinct values.
    ValueCount,
    /// The number of different rules that matched.
    Temporal,
    /// The number of different rules that matched in order.
    TemporalOrdered,
    /// The sum of a field.
    ValueSum,
    /// The average of a field.
    ValueAvg,
    /// A percentile of a field.
    ValuePercentile,
}

/// When a correlation is true.
#[derive(Debug, Clone, PartialEq)]
pub enum CorrelationCondition {
    /// Every bound is satisfied.
    Bounds(Vec<(Bound, f64)>),
    /// Which of the rules matched, by index.
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

    /// Whether the values of a field are used.
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
