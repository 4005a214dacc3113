//! Matches one record against all rules, and returns the matches and the data that correlations need.
//!
//! Pure: reads no clock and no store. A record is matched against the rules of its dataset; a record of an unknown
//! dataset against all rules. A [`Match`] is the data that a *watch* (a correlation, a first sighting, impossible
//! travel) needs from a matched record. Start reading at [`Detector::look`].

use super::log_source::{is_of_cloudflare, runs_on};
use super::watch::{BETWEEN, Watch, WatchKind};
use crate::book::Own;
use crate::recognise::own_fields;
use crate::{DATASETS, country};
use sha2::{Digest, Sha256};
use sigma::{Collection, CompiledRule, Matcher, NotARecord, PERSON, PartOf, Scalar, Scratch};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// The maximum number of values of one field that are used; a list may have more.
const VALUES_MAX: usize = 100;
/// The possible time fields of records of unknown datasets.
const OTHER_TIMES: [&str; 7] = [
    "UtcTime",
    "@timestamp",
    "timestamp",
    "EventTime",
    "TimeCreated",
    "time",
    "_time",
];

/// Compiled rules by dataset, and the watches over their matches.
#[derive(Debug)]
pub struct Detector {
    /// One for each dataset, in the order of [`DATASETS`]; then [`Detector::OTHER`] and [`Detector::UNTOLD`].
    sources: Vec<Source>,
    /// The watches, each after those that it refers to.
    pub watches: Vec<Watch>,
}

#[derive(Debug)]
struct Source {
    matcher: Matcher,
    /// Indexes in the matcher's wanted fields.
    times: Vec<usize>,
    /// Fields that only records of this source have, as indexes in the matcher's wanted fields.
    own: Vec<usize>,
    match_fields: HashMap<usize, Vec<MatchFields>>,
}

/// A rule's index in the collection, the rule with the source's field names, and its own names for renamed fields.
type SourceRule = (usize, CompiledRule, BTreeMap<String, String>);

/// The data that a watch takes from a match of one rule.
#[derive(Debug)]
struct MatchFields {
    watch: usize,
    part: usize,
    key: Vec<MatchField>,
    value: Vec<MatchField>,
    is_number: bool,
}

/// A field whose values a watch uses.
#[derive(Debug, Clone, Copy)]
struct MatchField {
    /// Its index in the matcher's wanted fields.
    place: usize,
    is_person: bool,
    /// Comparison is case-sensitive (`Field|cased`).
    is_cased: bool,
    is_country: bool,
}

/// The data of a matched record for a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The index of the watch.
    pub watch: usize,
    /// The index of the rule in the watch.
    pub part: usize,
    /// The values of its `group-by` fields, in their form for comparison.
    pub key: Vec<String>,
    /// The same values as the record has them, if different.
    pub written: Option<Vec<String>>,
    /// The compared value, as the record has it.
    pub value: Option<MatchValue>,
}

/// A value that a watch compares.
#[derive(Debug, Clone, PartialEq)]
pub enum MatchValue {
    /// To be counted as a distinct value.
    Text(String),
    /// To be summed or ranked.
    Number(f64),
}

/// The result for one record.
#[derive(Debug, Default)]
pub struct Found {
    /// Matching rules, by index in the collection.
    pub rules: Vec<usize>,
    /// The matches for watches.
    pub matches: Vec<Match>,
    /// The record's time, in nanoseconds since 1970; only read if there are matches.
    pub at_ns: Option<i64>,
    /// The number of matches that were not created because a `group-by` field is missing.
    pub without_key: usize,
    /// Whether the record has the time of the source's dataset and a field of no other dataset. If not, it may still
    /// belong to the dataset.
    pub has_own_field: bool,
}

/// The working memory of [`Detector::look`] for one dataset.
#[derive(Debug, Default)]
pub struct DetectorScratch {
    scratch: Scratch,
    /// The result for the last record.
    pub found: Found,
}

impl Detector {
    /// A detector with the rules that `is_on` allows. `own` returns the extensions of a rule.
    pub fn new(
        collection: &Collection,
        own: &impl Fn(usize) -> Own,
        is_on: &impl Fn(PartOf) -> bool,
    ) -> Self {
        let watches = watches(collection, own, is_on);
        let wanted_rules: Vec<usize> = (0..collection.rules.len())
            .filter(|rule| {
                is_on(PartOf::Rule(*rule))
                    || watches
                        .iter()
                        .any(|watch| watch.rules().any(|other| other == *rule))
            })
            .collect();
        let mut by_dataset: BTreeMap<&'static str, Vec<SourceRule>> = BTreeMap::new();
        let mut all = Vec::new();
        for rule in wanted_rules {
            let compiled = &collection.rules[rule].compiled;
            for on in runs_on(compiled.rule()) {
                let (compiled, renamed) = if on.renamed.is_empty() {
                    (compiled.clone(), on.renamed)
                } else {
                    match compiled.with_fields_renamed(&on.renamed) {
                        Ok(compiled) => (compiled, on.renamed),
                        Err(_) => continue,
                    }
                };
                by_dataset
                    .entry(on.dataset.name)
                    .or_default()
                    .push((rule, compiled, renamed));
            }
            all.push((rule, compiled.clone(), BTreeMap::new()));
        }
        let mut sources: Vec<Source> = DATASETS
            .iter()
            .map(|dataset| {
                let rules = by_dataset.remove(dataset.name).unwrap_or_default();
                let own = own_fields(dataset);
                Source::new(&rules, dataset.identifier, &[dataset.time], &own, &watches)
            })
            .collect();
        let mut times: Vec<&str> = DATASETS.iter().map(|dataset| dataset.time).collect();
        times.extend(OTHER_TIMES);
        times.sort_unstable();
        times.dedup();
        let identity = ["Email", "UserEmail", "User"];
        let untold = Source::new(&all, &identity, &times, &[], &watches);
        all.retain(|(_, compiled, _)| !is_of_cloudflare(compiled.rule()));
        sources.push(Source::new(&all, &identity, &times, &[], &watches));
        sources.push(untold);
        Self { sources, watches }
    }

    /// The source for records of other products: every rule that is not specific to Cloudflare, with field names as
    /// written.
    pub const OTHER: usize = DATASETS.len();
    /// The source for records that could belong to several datasets: every rule, with field names as written.
    pub const UNTOLD: usize = DATASETS.len() + 1;

    /// The source of a dataset's records.
    pub fn source(dataset: Option<&str>) -> usize {
        let place = |name| DATASETS.iter().position(|dataset| dataset.name == name);
        dataset.and_then(place).unwrap_or(Self::UNTOLD)
    }

    /// The fields that the rules of a source use; `None` if a rule uses any field.
    pub(super) fn asked(&self, source: usize) -> Option<Vec<&str>> {
        self.sources[source].matcher.asked_names()
    }

    /// Matches one line against the rules of `dataset`, or against every rule if it is `None`. `person` is the person
    /// of the record, if the caller knows it better than the record. The result is in `scratch`.
    ///
    /// # Errors
    ///
    /// If the line is not a record.
    pub fn look(
        &self,
        dataset: Option<&str>,
        line: &[u8],
        person: Option<&str>,
        scratch: &mut DetectorScratch,
    ) -> Result<(), NotARecord> {
        self.look_from(Self::source(dataset), line, person, scratch)
    }

    /// The same for a source that is identified by its number.
    pub(super) fn look_from(
        &self,
        source: usize,
        line: &[u8],
        person: Option<&str>,
        scratch: &mut DetectorScratch,
    ) -> Result<(), NotARecord> {
        let source = &self.sources[source];
        let found = &mut scratch.found;
        found.rules.clear();
        found.matches.clear();
        found.at_ns = None;
        found.without_key = 0;
        found.has_own_field = false;
        source
            .matcher
            .scan(line, &mut scratch.scratch, |record, matched| {
                let has = |places: &[usize]| places.iter().any(|place| record.wanted(*place, &mut |_| true));
                found.has_own_field = has(&source.own) && has(&source.times);
                found.rules.extend_from_slice(matched);
                for rule in matched {
                    for fields in source.match_fields.get(rule).into_iter().flatten() {
                        if found.at_ns.is_none() {
                            found.at_ns = source.times.iter().find_map(|place| time_of(record, *place));
                        }
                        add_matches(fields, record, person, found);
                    }
                }
            })
    }
}

fn time_of(record: &sigma::Scanned<'_>, place: usize) -> Option<i64> {
    let mut at = None;
    record.wanted(place, &mut |scalar| {
        at = match scalar {
            Scalar::Text(text) => crate::normalise::read_time_text(text),
            Scalar::Int(number) => i64::try_from(number)
                .ok()
                .and_then(crate::normalise::read_time_number),
            _ => None,
        }
        .and_then(|at| at.timestamp_nanos_opt());
        at.is_some()
    });
    at
}

fn add_matches(fields: &MatchFields, record: &sigma::Scanned<'_>, person: Option<&str>, found: &mut Found) {
    let mut keys: Vec<Vec<String>> = vec![Vec::new()];
    for field in &fields.key {
        let values = match person.filter(|_| field.is_person) {
            Some(person) => vec![person.to_owned()],
            None => texts(record, *field),
        };
        keys = keys
            .iter()
            .flat_map(|key| {
                values
                    .iter()
                    .map(move |value| key.iter().cloned().chain([value.clone()]).collect())
            })
            .take(VALUES_MAX)
            .collect();
    }
    if keys.is_empty() {
        found.without_key += 1;
        return;
    }
    let mut values: Vec<Option<MatchValue>> = Vec::new();
    if fields.value.is_empty() {
        values.push(None);
    } else if fields.is_number {
        record.wanted(fields.value[0].place, &mut |scalar| {
            let number = match scalar {
                Scalar::Int(number) => Some(number as f64),
                Scalar::Float(number) => Some(number),
                Scalar::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
                _ => None,
            };
            values.extend(number.map(|number| Some(MatchValue::Number(number))));
            values.len() >= VALUES_MAX
        });
    } else {
        let mut joined: Vec<String> = vec![String::new()];
        for (place, field) in fields.value.iter().enumerate() {
            let texts = texts(record, *field);
            joined = joined
                .iter()
                .flat_map(|before| {
                    texts.iter().map(move |text| match place {
                        0 => text.clone(),
                        _ => format!("{before}{BETWEEN}{text}"),
                    })
                })
                .take(VALUES_MAX)
                .collect();
        }
        values.extend(joined.into_iter().map(|text| Some(MatchValue::Text(text))));
    }
    for written in keys {
        let key: Vec<String> = fields
            .key
            .iter()
            .zip(&written)
            .map(|(field, text)| field.compared(text).into_owned())
            .collect();
        let written = (key != written).then_some(written);
        for value in &values {
            found.matches.push(Match {
                watch: fields.watch,
                part: fields.part,
                key: key.clone(),
                written: written.clone(),
                value: value.clone(),
            });
        }
    }
}

/// The distinct values of a field as texts; empty if it is missing, null, empty, or an unknown country.
fn texts(record: &sigma::Scanned<'_>, field: MatchField) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    record.wanted(field.place, &mut |scalar| {
        if let Some(text) = scalar.text()
            && !text.is_empty()
            && !(field.is_country && country::is_none(&text))
            && !texts
                .iter()
                .any(|other| field.compared(other) == field.compared(&text))
        {
            texts.push(text.into_owned());
        }
        texts.len() >= VALUES_MAX
    });
    texts
}

impl MatchField {
    fn compared(self, text: &str) -> Cow<'_, str> {
        if self.is_cased {
            Cow::Borrowed(text)
        } else {
            sigma::fold(text)
        }
    }
}

impl Source {
    fn new(rules: &[SourceRule], identity: &[&str], times: &[&str], own: &[&str], watches: &[Watch]) -> Self {
        let mut wanted: Vec<String> = times.iter().chain(own).map(|name| (*name).to_owned()).collect();
        let own = (times.len()..wanted.len()).collect();
        let times = (0..times.len()).collect();
        let mut match_fields: HashMap<usize, Vec<MatchFields>> = HashMap::new();
        for (rule, _, renamed) in rules {
            let mut place = |field: &String| {
                let (field, is_cased) = sigma::without_cased(field);
                let ours = renamed.get(field).map_or(field, String::as_str);
                let place = wanted.iter().position(|other| other == ours).unwrap_or_else(|| {
                    wanted.push(ours.to_owned());
                    wanted.len() - 1
                });
                MatchField {
                    place,
                    is_person: field == PERSON,
                    is_cased,
                    is_country: country::is_field(ours),
                }
            };
            for (number, watch) in watches.iter().enumerate() {
                for (part, of) in watch.parts.iter().enumerate() {
                    if of.of != PartOf::Rule(*rule) {
                        continue;
                    }
                    let key = of.key.iter().map(&mut place).collect();
                    match_fields.entry(*rule).or_default().push(MatchFields {
                        watch: number,
                        part,
                        key,
                        value: of.value.iter().map(&mut place).collect(),
                        is_number: watch.is_number(),
                    });
                }
            }
        }
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        Self {
            matcher: Matcher::new(
                rules.iter().map(|(rule, compiled, _)| (*rule, compiled)),
                identity,
                &wanted,
            ),
            times,
            own,
            match_fields,
        }
    }
}

fn watches(
    collection: &Collection,
    own: &impl Fn(usize) -> Own,
    is_on: &impl Fn(PartOf) -> bool,
) -> Vec<Watch> {
    let mut needed: Vec<bool> = (0..collection.correlations.len())
        .map(|place| is_on(PartOf::Correlation(place)))
        .collect();
    // One that a switched-on correlation refers to works on, unseen.
    for place in (0..collection.correlations.len()).rev() {
        if needed[place] {
            for part in &collection.correlations[place].parts {
                if let PartOf::Correlation(inner) = part.of {
                    needed[inner] = true;
                }
            }
        }
    }
    let mut watches = Vec::new();
    let mut place_of = HashMap::new();
    for (place, collected) in collection.correlations.iter().enumerate() {
        if needed[place] {
            place_of.insert(place, watches.len());
            watches.push(Watch::correlation(place, collected));
        }
    }
    for rule in 0..collection.rules.len() {
        if !is_on(PartOf::Rule(rule)) {
            continue;
        }
        let own = own(rule);
        if let Some(first_seen) = own.first_seen {
            watches.push(Watch::first_seen(rule, first_seen));
        }
        if let Some(travel) = own.travel {
            watches.push(Watch::travel(rule, travel));
        }
    }
    let mut outers = Vec::new();
    for (outer, watch) in watches.iter().enumerate() {
        let WatchKind::Correlation(_) = &watch.kind else {
            continue;
        };
        for (part, of) in watch.parts.iter().enumerate() {
            let PartOf::Correlation(inner) = of.of else {
                continue;
            };
            let Some(inner) = place_of.get(&inner).copied() else {
                continue;
            };
            let key = of
                .key
                .iter()
                .filter_map(|field| {
                    let bare = sigma::without_cased(field).0;
                    watches[inner].group_by.iter().position(|other| other == bare)
                })
                .collect();
            outers.push((inner, (outer, part, key)));
        }
    }
    for (inner, outer) in outers {
        watches[inner].outers.push(outer);
    }
    for place in 0..watches.len() {
        watches[place].id = identified(collection, &watches, place);
    }
    watches
}

/// The watch's name and a digest of everything that determines when it fires.
fn identified(collection: &Collection, watches: &[Watch], place: usize) -> String {
    let watch = &watches[place];
    let mut meaning = String::new();
    for part in &watch.parts {
        meaning += &format!("{:?} {:?};", part.key, part.value);
    }
    let name = match (&watch.kind, watch.reports) {
        (WatchKind::Correlation(correlation), _) => {
            meaning += &format!(
                "{:?} {:?} {} {:?} {:?} {:?} {:?} {:?}",
                correlation.kind,
                correlation.group_by,
                correlation.timespan_ns,
                correlation.condition,
                correlation.fields,
                correlation.percentile,
                correlation.aliases,
                correlation.suppress_ns
            );
            let header = &correlation.header;
            header.name.clone().or_else(|| header.id.clone())
        }
        (kind, PartOf::Rule(rule)) => {
            meaning += &format!("{kind:?}");
            let rule = collection.rules[rule].compiled.rule();
            rule.name.clone().or_else(|| rule.id.clone())
        }
        (_, PartOf::Correlation(_)) => None,
    };
    for part in &watch.parts {
        match part.of {
            PartOf::Rule(rule) => meaning += &collection.rules[rule].compiled.meaning(),
            PartOf::Correlation(inner) => {
                let inner = watches[..place]
                    .iter()
                    .find(|watch| watch.reports == PartOf::Correlation(inner));
                meaning += inner.map_or("", |inner| inner.id.as_str());
            }
        }
    }
    let digest = hex::encode(&Sha256::digest(meaning.as_bytes())[..6]);
    format!("{}:{digest}", name.unwrap_or_else(|| "unnamed".to_owned()))
}
