//! Watches evaluate several matches together: correlations, first sightings, impossible travel.
//!
//! The firings of a watch are a pure function of all matches of one group ([`Watch::firings`]), so their order and
//! batches have no effect. `docs/correlations.md` describes the semantics.

use super::countries;
use super::detector::MatchValue;
use crate::book::{FirstSeen, Travel};
use sigma::{CollectedCorrelation, Correlation, CorrelationKind, PERSON, Part, PartOf, Sighting};
use std::borrow::Cow;

/// How long an earlier sign-in counts for impossible travel. One day: no two places are farther apart by air.
const JOURNEY_NS: i64 = DAY_NS;
const DAY_NS: i64 = 86_400_000_000_000;
/// The maximum number of matches in the evidence of a firing.
pub const EVIDENCE_MAX: usize = 100;

/// The separator between the values of several fields.
pub(super) const BETWEEN: &str = "\u{1f}";

/// One watch.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Its name with a digest of its definition: matches stored for another definition are ignored.
    pub id: String,
    /// What it evaluates.
    pub kind: WatchKind,
    /// The rule that is reported when it fires.
    pub reports: PartOf,
    /// The rules whose matches it evaluates.
    pub parts: Vec<Part>,
    /// Names of the values that separate groups.
    pub group_by: Vec<String>,
    /// Correlations that refer to this one: their index, the part, and the indexes of their `group-by` values in ours.
    pub outers: Vec<(usize, usize, Vec<usize>)>,
}

/// What a watch evaluates.
#[derive(Debug, Clone)]
pub enum WatchKind {
    /// A correlation rule.
    Correlation(Box<Correlation>),
    /// A value that is seen for the first time.
    FirstSeen(FirstSeen),
    /// Impossible travel.
    Travel(Travel),
}

/// A match, as stored by a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchMatch {
    /// The time, in nanoseconds since 1970.
    pub at_ns: i64,
    /// The index of the rule in the watch.
    pub part: usize,
    /// Identifies the event.
    pub id: u128,
    /// The compared value.
    pub value: Option<MatchValue>,
}

/// A firing of a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchFiring {
    /// The time of the event that made it fire, in nanoseconds since 1970.
    pub at_ns: i64,
    /// That event.
    pub id: u128,
    /// The events that are its evidence, oldest first; the latest [`EVIDENCE_MAX`] if there are more.
    pub evidence: Vec<u128>,
    /// The number of its matches.
    pub count: usize,
    /// A description of the result.
    pub detail: String,
}

impl Watch {
    pub(super) fn correlation(place: usize, collected: &CollectedCorrelation) -> Self {
        Self {
            id: String::new(),
            group_by: collected
                .correlation
                .group_by
                .iter()
                .map(|field| sigma::without_cased(field).0.to_owned())
                .collect(),
            kind: WatchKind::Correlation(Box::new(collected.correlation.clone())),
            reports: PartOf::Correlation(place),
            parts: collected.parts.clone(),
            outers: Vec::new(),
        }
    }

    pub(super) fn first_seen(rule: usize, first_seen: FirstSeen) -> Self {
        let value = first_seen.fields.clone();
        Self::of_rule(rule, WatchKind::FirstSeen(first_seen), value)
    }

    pub(super) fn travel(rule: usize, travel: Travel) -> Self {
        Self::of_rule(rule, WatchKind::Travel(travel), vec!["Country".to_owned()])
    }

    fn of_rule(rule: usize, kind: WatchKind, value: Vec<String>) -> Self {
        let key = vec![PERSON.to_owned()];
        Self {
            id: String::new(),
            kind,
            reports: PartOf::Rule(rule),
            group_by: key.clone(),
            parts: vec![Part {
                of: PartOf::Rule(rule),
                key,
                value,
            }],
            outers: Vec::new(),
        }
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = usize> + '_ {
        self.parts.iter().filter_map(|part| match part.of {
            PartOf::Rule(rule) => Some(rule),
            PartOf::Correlation(_) => None,
        })
    }

    /// Whether the watch compares values as numbers.
    pub fn is_number(&self) -> bool {
        match &self.kind {
            WatchKind::Correlation(correlation) => matches!(
                correlation.kind,
                CorrelationKind::ValueSum | CorrelationKind::ValueAvg | CorrelationKind::ValuePercentile
            ),
            _ => false,
        }
    }

    /// Whether matches of any age can affect the next firing.
    pub fn is_unbounded(&self) -> bool {
        match &self.kind {
            WatchKind::Correlation(correlation) => correlation.suppress_ns.is_some(),
            WatchKind::FirstSeen(_) => true,
            WatchKind::Travel(_) => false,
        }
    }

    /// The maximum time between matches that affect each other, in nanoseconds.
    pub fn reach_ns(&self) -> i64 {
        match &self.kind {
            WatchKind::Correlation(correlation) => {
                correlation.timespan_ns.max(correlation.suppress_ns.unwrap_or(0))
            }
            WatchKind::FirstSeen(first_seen) => {
                (first_seen.days + first_seen.learning_days + 1).saturating_mul(DAY_NS)
            }
            WatchKind::Travel(_) => JOURNEY_NS,
        }
    }

    /// Whether one match per day and value represents all of them.
    pub fn is_daily(&self) -> bool {
        matches!(self.kind, WatchKind::FirstSeen(_))
    }

    /// The firings, given every match of one group. Sorts the matches by time first.
    pub fn firings(&self, matches: &mut [WatchMatch]) -> Vec<WatchFiring> {
        matches.sort_by(|left, right| {
            (left.at_ns, left.part)
                .cmp(&(right.at_ns, right.part))
                .then_with(|| sigma::fold(text(left)).cmp(&sigma::fold(text(right))))
                .then_with(|| left.id.cmp(&right.id))
                .then_with(|| text(left).cmp(text(right)))
        });
        match &self.kind {
            WatchKind::Correlation(correlation) => correlated(correlation, matches),
            WatchKind::FirstSeen(first_seen) => sighted(first_seen, matches),
            WatchKind::Travel(travel) => travelled(travel, matches),
        }
    }
}

fn text(one: &WatchMatch) -> &str {
    match &one.value {
        Some(MatchValue::Text(text)) => text,
        _ => "",
    }
}

/// The digest of the value in its form for comparison: the values of `fields`; those with `|cased` keep their letter
/// case.
fn digest(fields: &[String], one: &WatchMatch) -> u64 {
    let is_cased = |field: &String| sigma::without_cased(field).1;
    let text = text(one);
    let compared = if fields.iter().any(is_cased) {
        let parts = text.split(BETWEEN).zip(fields);
        let folded = parts.map(|(part, field)| match is_cased(field) {
            true => Cow::Borrowed(part),
            false => sigma::fold(part),
        });
        Cow::Owned(folded.collect::<Vec<_>>().join(BETWEEN))
    } else {
        sigma::fold(text)
    };
    match sigma::MatchValue::digest_of(&compared) {
        sigma::MatchValue::Digest(digest) => digest,
        sigma::MatchValue::Number(_) => 0,
    }
}

fn names(fields: &[String]) -> Vec<&str> {
    fields.iter().map(|field| sigma::without_cased(field).0).collect()
}

fn correlated(correlation: &Correlation, matches: &[WatchMatch]) -> Vec<WatchFiring> {
    let mut inputs: Vec<sigma::Match> = matches
        .iter()
        .map(|one| sigma::Match {
            at_ns: one.at_ns,
            part: one.part,
            id: one.id,
            value: one.value.as_ref().map(|value| match value {
                MatchValue::Text(_) => sigma::MatchValue::Digest(digest(&correlation.fields, one)),
                MatchValue::Number(number) => sigma::MatchValue::Number(*number),
            }),
        })
        .collect();
    let firings = correlation.firings(&mut inputs);
    firings
        .into_iter()
        .map(|firing| {
            let window = &inputs[firing.first..=firing.last];
            let mut evidence: Vec<u128> = Vec::new();
            for one in window.iter().rev() {
                if !evidence.contains(&one.id) && evidence.len() < EVIDENCE_MAX {
                    evidence.push(one.id);
                }
            }
            evidence.reverse();
            WatchFiring {
                at_ns: firing.at_ns,
                id: firing.id,
                evidence,
                count: window.len(),
                detail: words(correlation, firing.value, firing.is_estimate),
            }
        })
        .collect()
}

fn words(correlation: &Correlation, value: f64, is_estimate: bool) -> String {
    let span = span_words(correlation.timespan_ns);
    let field = names(&correlation.fields).join(" and ");
    let about = if is_estimate { "about " } else { "" };
    match correlation.kind {
        CorrelationKind::EventCount => format!("{value} matches within {span}"),
        CorrelationKind::ValueCount => format!("{about}{value} different values of {field} within {span}"),
        CorrelationKind::Temporal => format!("{value} of {} rules within {span}", correlation.rules.len()),
        CorrelationKind::TemporalOrdered => format!("{value} rules in sequence within {span}"),
        CorrelationKind::ValueSum => format!("sum of {field} is {value} within {span}"),
        CorrelationKind::ValueAvg => format!("average of {field} is {value} within {span}"),
        CorrelationKind::ValuePercentile => format!(
            "percentile {} of {field} is {value} within {span}",
            correlation.percentile.unwrap_or_default()
        ),
    }
}

/// A duration in the largest unit that divides it.
fn span_words(ns: i64) -> String {
    let seconds = ns / 1_000_000_000;
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(unit, _)| seconds % unit == 0)
        .map_or((seconds, "second"), |(unit, name)| (seconds / unit, name));
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

fn sighted(first_seen: &FirstSeen, matches: &[WatchMatch]) -> Vec<WatchFiring> {
    let mut sightings: Vec<Sighting> = Vec::new();
    for one in matches {
        let (value, today) = (digest(&first_seen.fields, one), sigma::day(one.at_ns));
        // Only the first of a day counts: the matches are in order of time.
        let is_there = sightings
            .iter()
            .rev()
            .take_while(|other| sigma::day(other.at_ns) == today)
            .any(|other| other.value == value);
        if !is_there {
            sightings.push(Sighting {
                at_ns: one.at_ns,
                value,
                id: one.id,
            });
        }
    }
    let new = sigma::first_seen(&mut sightings, first_seen.days, first_seen.learning_days);
    new.into_iter()
        .map(|place| {
            let sighting = sightings[place];
            let value = matches
                .iter()
                .find(|one| one.id == sighting.id && digest(&first_seen.fields, one) == sighting.value)
                .map(|one| text(one).replace(BETWEEN, ", "))
                .unwrap_or_default();
            WatchFiring {
                at_ns: sighting.at_ns,
                id: sighting.id,
                evidence: vec![sighting.id],
                count: 1,
                detail: format!(
                    "{} {value} not seen in the previous {} days",
                    names(&first_seen.fields).join(", "),
                    first_seen.days
                ),
            }
        })
        .collect()
}

fn travelled(travel: &Travel, matches: &[WatchMatch]) -> Vec<WatchFiring> {
    matches
        .windows(2)
        .filter_map(|pair| {
            let (earlier, later) = (&pair[0], &pair[1]);
            let detail = journey(travel, earlier, later)?;
            Some(WatchFiring {
                at_ns: later.at_ns,
                id: later.id,
                evidence: vec![earlier.id, later.id],
                count: 2,
                detail,
            })
        })
        .collect()
}

/// A description of the journey, if it is impossible. Distances are between the centres of countries, because the
/// record contains nothing more precise.
fn journey(travel: &Travel, earlier: &WatchMatch, later: &WatchMatch) -> Option<String> {
    let (from, to) = (text(earlier).to_uppercase(), text(later).to_uppercase());
    let apart_ns = later.at_ns - earlier.at_ns;
    if apart_ns > JOURNEY_NS {
        return None;
    }
    let distance_km = countries::distance_km(&from, &to)?;
    let minutes = apart_ns as f64 / 60e9;
    let is_possible = distance_km < travel.distance_km || distance_km <= travel.speed_kmh * (minutes / 60.0);
    (!is_possible).then(|| format!("{from} to {to}, about {distance_km:.0} km in {minutes:.0} minutes"))
}
