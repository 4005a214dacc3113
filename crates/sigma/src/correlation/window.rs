//! Computes when a correlation fires: a pure function of the matches of one group.
//!
//! Evaluates the matches in order of time, each with the matches up to one timespan before it (both ends inclusive).
//! The correlation fires where its condition becomes true. Start reading at [`Correlation::firings`].

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Bound, Correlation, CorrelationCondition, CorrelationKind};
use crate::condition::Condition;

/// Up to this number, distinct values in one window are counted exactly. Above it, the count is estimated from a sample
/// of at least half as many values (error about 1.5 %).
pub const EXACT_DISTINCT_MAX: usize = 10_000;

/// A match of one of a correlation's rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The time, in nanoseconds since 1970.
    pub at_ns: i64,
    /// The index of the rule in the correlation.
    pub part: usize,
    /// Identifies the match; determines the order of matches at the same time.
    pub id: u128,
    /// The compared value, for types that use one.
    pub value: Option<MatchValue>,
}

/// The value of a match that a correlation compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MatchValue {
    /// For sums, averages and percentiles.
    Number(f64),
    /// For counts: equal values have equal digests.
    Digest(u64),
}

impl MatchValue {
    /// The digest of a text, the same in every process of one build.
    pub fn digest_of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self::Digest(hasher.finish())
    }
}

/// A correlation's condition became true.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// The time of the match that made it true, in nanoseconds since 1970.
    pub at_ns: i64,
    /// The id of that match.
    pub id: u128,
    /// The index of the first match in the window that made it true.
    pub first: usize,
    /// The index of that match.
    pub last: usize,
    /// The compared number: a count, a sum, an average, a percentile.
    pub value: f64,
    /// Whether the value is an estimate.
    pub is_estimate: bool,
}

impl Correlation {
    /// The firings for `matches`, which all belong to one group. Sorts the matches by time first.
    pub fn firings(&self, matches: &mut [Match]) -> Vec<Firing> {
        // By value before id: what an event is called must not decide what is found.
        matches.sort_unstable_by(|left, right| {
            (left.at_ns, left.part)
                .cmp(&(right.at_ns, right.part))
                .then_with(|| by_value(left.value, right.value))
                .then_with(|| left.id.cmp(&right.id))
        });
        let mut firings = Vec::new();
        let mut window = Window::new(self);
        let mut first = 0;
        let mut held = false;
        let mut last_fired: Option<i64> = None;
        for (place, one) in matches.iter().enumerate() {
            let opens = one.at_ns.saturating_sub(self.timespan_ns);
            while matches[first].at_ns < opens {
                window.leave(&matches[first]);
                first += 1;
            }
            // A window that ran empty ends what held before.
            held &= first < place;
            window.enter(one);
            let (value, holds, is_estimate) = window.verdict(&matches[first..=place], opens);
            let again = held
                && self.suppress_ns.is_some_and(|pause| {
                    last_fired.is_none_or(|fired| one.at_ns.saturating_sub(fired) >= pause)
                });
            if holds && (!held || again) {
                last_fired = Some(one.at_ns);
                firings.push(Firing {
                    at_ns: one.at_ns,
                    id: one.id,
                    first,
                    last: place,
                    value,
                    is_estimate,
                });
            }
            held = holds;
        }
        firings
    }
}

fn by_value(left: Option<MatchValue>, right: Option<MatchValue>) -> Ordering {
    let rank = |value: Option<MatchValue>| match value {
        None => (0, 0, 0.0),
        Some(MatchValue::Digest(digest)) => (1, digest, 0.0),
        Some(MatchValue::Number(number)) => (2, 0, number),
    };
    let (left, right) = (rank(left), rank(right));
    (left.0, left.1)
        .cmp(&(right.0, right.1))
        .then_with(|| left.2.total_cmp(&right.2))
}

/// The state of the matches inside the window.
struct Window<'a> {
    correlation: &'a Correlation,
    /// Matches per rule.
    parts: Vec<u64>,
    events: u64,
    distinct: Distinct,
    /// Sum of the integers, exact.
    whole: i128,
    /// Number of values that are not integers.
    fractions: usize,
    numbers: u64,
    sorted: Vec<f64>,
    /// `chains[rule][length - 1]`: the latest start of a sequence of this length that ends with this rule.
    chains: Vec<Vec<i64>>,
}

const NEVER: i64 = i64::MIN;

impl<'a> Window<'a> {
    fn new(correlation: &'a Correlation) -> Self {
        let rules = correlation.rules.len();
        let chains = if correlation.kind == CorrelationKind::TemporalOrdered {
            vec![vec![NEVER; rules]; rules]
        } else {
            Vec::new()
        };
        Self {
            correlation,
            parts: vec![0; rules],
            events: 0,
            distinct: Distinct::default(),
            whole: 0,
            fractions: 0,
            numbers: 0,
            sorted: Vec::new(),
            chains,
        }
    }

    fn enter(&mut self, one: &Match) {
        self.events += 1;
        self.parts[one.part] += 1;
        match one.value {
            Some(MatchValue::Digest(digest)) => self.distinct.enter(digest),
            Some(MatchValue::Number(number)) => {
                self.numbers += 1;
                match whole(number) {
                    Some(number) => self.whole += number,
                    None => self.fractions += 1,
                }
                if self.correlation.kind == CorrelationKind::ValuePercentile {
                    let place = self
                        .sorted
                        .partition_point(|other| other.total_cmp(&number).is_lt());
                    self.sorted.insert(place, number);
                }
            }
            None => {}
        }
        if !self.chains.is_empty() {
            for length in (0..=one.part).rev() {
                let begins = if length == 0 {
                    one.at_ns
                } else {
                    (0..one.part)
                        .map(|before| self.chains[before][length - 1])
                        .max()
                        .unwrap_or(NEVER)
                };
                let chain = &mut self.chains[one.part][length];
                *chain = begins.max(*chain);
            }
        }
    }

    fn leave(&mut self, one: &Match) {
        self.events -= 1;
        self.parts[one.part] -= 1;
        match one.value {
            Some(MatchValue::Digest(digest)) => self.distinct.leave(digest),
            Some(MatchValue::Number(number)) => {
                self.numbers -= 1;
                match whole(number) {
                    Some(number) => self.whole -= number,
                    None => self.fractions -= 1,
                }
                if self.correlation.kind == CorrelationKind::ValuePercentile {
                    let place = self
                        .sorted
                        .partition_point(|other| other.total_cmp(&number).is_lt());
                    self.sorted.remove(place);
                }
            }
            None => {}
        }
    }

    /// The value, whether the condition is true, and whether the value is an estimate.
    fn verdict(&self, matches: &[Match], opens: i64) -> (f64, bool, bool) {
        let mut is_estimate = false;
        let value = match self.correlation.kind {
            CorrelationKind::EventCount => Some(self.events as f64),
            CorrelationKind::ValueCount => {
                is_estimate = self.distinct.level > 0;
                Some(self.distinct.count())
            }
            CorrelationKind::Temporal => Some(self.parts.iter().filter(|count| **count > 0).count() as f64),
            CorrelationKind::TemporalOrdered => Some(
                (1..=self.chains.len())
                    .rev()
                    .find(|length| {
                        self.chains
                            .iter()
                            .any(|rule| rule[length - 1] >= opens && rule[length - 1] != NEVER)
                    })
                    .unwrap_or(0) as f64,
            ),
            CorrelationKind::ValueSum => (self.numbers > 0).then(|| self.sum(matches)),
            CorrelationKind::ValueAvg => (self.numbers > 0).then(|| self.sum(matches) / self.numbers as f64),
            CorrelationKind::ValuePercentile => {
                percentile(&self.sorted, self.correlation.percentile.unwrap_or(50.0))
            }
        };
        let Some(value) = value else {
            return (0.0, false, false);
        };
        let holds = match &self.correlation.condition {
            CorrelationCondition::Bounds(bounds) => bounds
                .iter()
                .all(|(bound, number)| Bound::holds(*bound, value, *number)),
            CorrelationCondition::Expression(condition) => self.expression(condition),
        };
        (value, holds, is_estimate)
    }

    /// Exact if all values are integers, regardless of values that entered and left before; otherwise added up again.
    fn sum(&self, matches: &[Match]) -> f64 {
        if self.fractions == 0 {
            return self.whole as f64;
        }
        matches
            .iter()
            .filter_map(|one| match one.value {
                Some(MatchValue::Number(number)) => Some(number),
                _ => None,
            })
            .sum()
    }

    fn expression(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Selection(place) => self.parts[*place] > 0,
            Condition::And(inner) => inner.iter().all(|one| self.expression(one)),
            Condition::Or(inner) => inner.iter().any(|one| self.expression(one)),
            Condition::Not(inner) => !self.expression(inner),
            Condition::AtLeast(needed, places) => {
                places.iter().filter(|place| self.parts[**place] > 0).count() >= *needed
            }
        }
    }
}

fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i128)
}

/// Linear interpolation between the two nearest values.
fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = percent / 100.0 * last as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    Some(below + (above - below) * rank.fract())
}

/// Counts distinct values. If there are too many, keeps only values whose digest ends in `level` zero bits; each then
/// stands for 2^level values. The level only grows, so only the values determine which of them are kept.
#[derive(Default)]
struct Distinct {
    level: u32,
    counts: HashMap<u64, u32>,
}

impl Distinct {
    fn enter(&mut self, digest: u64) {
        if digest.trailing_zeros() < self.level {
            return;
        }
        *self.counts.entry(digest).or_insert(0) += 1;
        while self.counts.len() > EXACT_DISTINCT_MAX {
            self.level += 1;
            let level = self.level;
            self.counts.retain(|digest, _| digest.trailing_zeros() >= level);
        }
    }

    fn leave(&mut self, digest: u64) {
        if let Some(count) = self.counts.get_mut(&digest) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&digest);
            }
        }
    }

    fn count(&self) -> f64 {
        self.counts.len() as f64 * f64::from(self.level).exp2()
    }
}
