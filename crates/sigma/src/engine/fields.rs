//! Evaluates the tests of all rules on one field together.
//!
//! Tests that can be evaluated for all rules at once are *marks*: equal texts with a lookup; prefixes, suffixes and
//! contained texts with one automaton; numbers, addresses and presence. A mark is a bit that is set when one of its
//! tests is true.

use std::collections::HashMap;
use std::net::IpAddr;

use aho_corasick::automaton::OverlappingState;
use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use ipnet::IpNet;

use super::affix::Affixes;
use crate::criterion::{Number, Order, Test};
use crate::event::Scalar;
use crate::matching::{compare, fold_char, number};
use crate::pattern::{Part, Pattern};

/// Above this number of patterns, a full automaton needs too much memory.
const DFA_PATTERNS: usize = 4_000;

/// The number of patterns that one vectorised search can handle.
const LOOK_PATTERNS: usize = 64;
/// More searches than this take as long as the automaton.
const LOOKS: usize = 4;

/// The marks that are set, in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Marks {
    words: Vec<u64>,
    pub(super) set: Vec<u32>,
}

impl Marks {
    pub(super) fn reset(&mut self, count: usize) {
        if self.words.len() == count.div_ceil(64) {
            for mark in self.set.drain(..) {
                self.words[mark as usize / 64] = 0;
            }
        } else {
            self.words.clear();
            self.words.resize(count.div_ceil(64), 0);
            self.set.clear();
        }
    }

    pub(super) fn put(&mut self, mark: u32) {
        let (word, bit) = (mark as usize / 64, 1 << (mark % 64));
        if self.words[word] & bit == 0 {
            self.words[word] |= bit;
            self.set.push(mark);
        }
    }

    pub(super) fn has(&self, mark: u32) -> bool {
        self.words[mark as usize / 64] & (1 << (mark % 64)) != 0
    }
}

/// The required position of a pattern in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stand {
    Start,
    End,
    Anywhere,
}

/// The tests on one field while they are collected.
#[derive(Debug, Default)]
pub(super) struct FieldQuestions {
    exact: HashMap<String, Vec<u32>>,
    placed: HashMap<(String, Stand), Vec<u32>>,
    any_text: Vec<u32>,
    any_scalar: Vec<u32>,
    numbers: Vec<(Number, u32)>,
    orders: Vec<(Order, Number, u32)>,
    bools: [Vec<u32>; 2],
    null: Vec<u32>,
    present: Vec<u32>,
    absent: Vec<u32>,
    networks: Vec<(IpNet, u32)>,
}

/// How likely an event is to set a mark, from 1. A witness of a rule should be rare.
pub(super) type Cost = u32;

fn text_cost(text: &str, is_whole: bool) -> Cost {
    match (text.chars().count(), is_whole) {
        (0..=1, _) => 60,
        (2..=3, false) => 30,
        (2..=5, true) => 15,
        (4..=5, false) => 6,
        _ => 2,
    }
}

impl FieldQuestions {
    /// Makes this test set `mark`. Returns its cost, or `None` if this test cannot be evaluated together with others.
    pub(super) fn ask(&mut self, test: &Test, mark: u32) -> Option<Cost> {
        Some(match test {
            Test::Text {
                pattern,
                cased: false,
            } => self.ask_text(pattern, mark)?,
            Test::Number(wanted) => {
                self.numbers.push((*wanted, mark));
                4
            }
            Test::Order(order, wanted) => {
                self.orders.push((*order, *wanted, mark));
                40
            }
            Test::Bool(wanted) => {
                self.bools[usize::from(*wanted)].push(mark);
                40
            }
            Test::Null => {
                self.null.push(mark);
                self.absent.push(mark);
                80
            }
            Test::Exists(true) => {
                self.present.push(mark);
                70
            }
            Test::Exists(false) => {
                self.absent.push(mark);
                80
            }
            Test::Network(network) => {
                self.networks.push((*network, mark));
                20
            }
            Test::Text { .. }
            | Test::NumberAlone(_)
            | Test::Regex(_)
            | Test::Time(..)
            | Test::Field { .. } => return None,
        })
    }

    fn ask_text(&mut self, pattern: &Pattern, mark: u32) -> Option<Cost> {
        let fold = |text: &str| text.chars().map(fold_char).collect::<String>();
        let mut placed = |text: &str, stand| {
            let text = fold(text);
            let cost = text_cost(&text, false);
            self.placed.entry((text, stand)).or_default().push(mark);
            cost
        };
        Some(match pattern.parts.as_slice() {
            [] => {
                self.exact.entry(String::new()).or_default().push(mark);
                30
            }
            [Part::AnyRun] => {
                self.any_text.push(mark);
                70
            }
            [Part::Literal(text)] => {
                let text = fold(text);
                let cost = text_cost(&text, true);
                self.exact.entry(text).or_default().push(mark);
                cost
            }
            [Part::Literal(text), Part::AnyRun] => placed(text, Stand::Start),
            [Part::AnyRun, Part::Literal(text)] => placed(text, Stand::End),
            [Part::AnyRun, Part::Literal(text), Part::AnyRun] => placed(text, Stand::Anywhere),
            _ => return None,
        })
    }

    /// Makes `mark` be set if the folded text is contained.
    pub(super) fn hint_text(&mut self, text: &str, mark: u32) -> Cost {
        self.placed
            .entry((text.to_owned(), Stand::Anywhere))
            .or_default()
            .push(mark);
        text_cost(text, false)
    }

    /// Makes `mark` be set if there is any scalar but null.
    pub(super) fn hint_scalar(&mut self, mark: u32) -> Cost {
        self.any_scalar.push(mark);
        65
    }

    pub(super) fn build(self) -> Field {
        let (mut starts, mut ends) = (Affixes::default(), Affixes::default());
        let mut patterns: Vec<(String, Vec<u32>)> = Vec::new();
        for ((text, stand), marks) in self.placed {
            match stand {
                Stand::Start => starts.add(text.bytes(), &marks),
                Stand::End => ends.add(text.bytes().rev(), &marks),
                Stand::Anywhere => patterns.push((text, marks)),
            }
        }
        patterns.sort_unstable_by(|left, right| left.1.cmp(&right.1));
        let automaton = (!patterns.is_empty()).then(|| {
            let kind = (patterns.len() <= DFA_PATTERNS).then_some(AhoCorasickKind::DFA);
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(kind)
                .build(patterns.iter().map(|(text, _)| text.as_bytes()))
        });
        let first_looks = first_looks(&patterns);
        let contained = patterns.into_iter().map(|(_, marks)| marks).collect();
        // An automaton is refused only beyond 2^31 patterns or states, which the bounds on rules exclude.
        let automaton = automaton.and_then(Result::ok);
        let mut whole: hashbrown::HashMap<i128, Vec<u32>> = hashbrown::HashMap::new();
        let mut others = Vec::new();
        for (number, mark) in self.numbers {
            match number {
                Number::Int(number) => whole.entry(number).or_default().push(mark),
                Number::Float(_) => others.push((Order::Equal, number, mark)),
            }
        }
        others.extend(self.orders);
        let has_texts = !(self.exact.is_empty()
            && automaton.is_none()
            && starts.is_empty()
            && ends.is_empty()
            && self.any_text.is_empty());
        Field {
            exact_lengths: self
                .exact
                .keys()
                .fold(0, |lengths, text| lengths | length_bit(text)),
            exact: self
                .exact
                .into_iter()
                .map(|(text, marks)| (text.into(), marks))
                .collect(),
            starts,
            ends,
            first_looks,
            automaton,
            contained,
            any_text: self.any_text,
            any_scalar: self.any_scalar,
            has_numbers: !whole.is_empty() || !others.is_empty(),
            whole,
            orders: others,
            bools: self.bools,
            null: self.null,
            present: self.present,
            absent: self.absent,
            networks: self.networks,
            has_texts,
        }
    }
}

/// The tests on one field, ready to be evaluated.
#[derive(Debug)]
pub(super) struct Field {
    exact: hashbrown::HashMap<Box<str>, Vec<u32>>,
    /// The lengths of the exact texts, each as [`length_bit`].
    exact_lengths: u64,
    starts: Affixes,
    ends: Affixes,
    /// If none of these finds anything, the automaton does not either; the automaton is much slower.
    first_looks: Vec<Searcher>,
    automaton: Option<AhoCorasick>,
    /// By the automaton's patterns.
    contained: Vec<Vec<u32>>,
    any_text: Vec<u32>,
    any_scalar: Vec<u32>,
    whole: hashbrown::HashMap<i128, Vec<u32>>,
    orders: Vec<(Order, Number, u32)>,
    bools: [Vec<u32>; 2],
    null: Vec<u32>,
    present: Vec<u32>,
    absent: Vec<u32>,
    networks: Vec<(IpNet, u32)>,
    has_texts: bool,
    has_numbers: bool,
}

impl Field {
    /// Whether there are no tests on the field.
    pub(super) fn is_idle(&self) -> bool {
        !(self.has_texts || self.has_numbers)
            && [
                &self.any_scalar,
                &self.null,
                &self.present,
                &self.absent,
                &self.bools[0],
                &self.bools[1],
            ]
            .iter()
            .all(|marks| marks.is_empty())
            && self.networks.is_empty()
    }

    /// Evaluates the tests for the presence of the field.
    pub(super) fn presence(&self, is_present: bool, marks: &mut Marks) {
        let list = if is_present { &self.present } else { &self.absent };
        list.iter().for_each(|mark| marks.put(*mark));
    }

    /// Evaluates the tests on a scalar. `folding` is a buffer.
    pub(super) fn scalar(&self, scalar: Scalar<'_>, folding: &mut String, marks: &mut Marks) {
        let put = |list: &[u32], marks: &mut Marks| list.iter().for_each(|mark| marks.put(*mark));
        if scalar == Scalar::Null {
            return put(&self.null, marks);
        }
        put(&self.any_scalar, marks);
        if self.has_texts {
            put(&self.any_text, marks);
            match scalar {
                Scalar::Text(text) => self.text(text, folding, marks),
                other => self.text(&other.text().unwrap_or_default(), folding, marks),
            }
        }
        match scalar {
            Scalar::Bool(truth) => put(&self.bools[usize::from(truth)], marks),
            Scalar::Text(text) => {
                if !(self.bools[0].is_empty() && self.bools[1].is_empty()) {
                    for (truth, word) in ["false", "true"].iter().enumerate() {
                        if text.eq_ignore_ascii_case(word) {
                            put(&self.bools[truth], marks);
                        }
                    }
                }
                if !self.networks.is_empty()
                    && let Ok(address) = text.trim().parse::<IpAddr>()
                {
                    let address = address.to_canonical();
                    for (network, mark) in &self.networks {
                        if network.contains(&address) {
                            marks.put(*mark);
                        }
                    }
                }
            }
            _ => {}
        }
        if self.has_numbers
            && let Some(found) = number(scalar)
        {
            match found {
                Number::Int(found) => {
                    if let Some(list) = self.whole.get(&found) {
                        put(list, marks);
                    }
                }
                Number::Float(float) => {
                    for (wanted, list) in &self.whole {
                        if float == *wanted as f64 {
                            put(list, marks);
                        }
                    }
                }
            }
            for (order, wanted, mark) in &self.orders {
                if compare(found, *wanted).is_some_and(|is| order.allows(is)) {
                    marks.put(*mark);
                }
            }
        }
    }

    fn text(&self, text: &str, folding: &mut String, marks: &mut Marks) {
        let folded = fold_into(text, folding);
        if self.exact_lengths & length_bit(folded) != 0
            && let Some(list) = self.exact.get(folded)
        {
            list.iter().for_each(|mark| marks.put(*mark));
        }
        self.starts.walk(folded.bytes(), |mark| marks.put(mark));
        self.ends.walk(folded.bytes().rev(), |mark| marks.put(mark));
        let Some(automaton) = &self.automaton else { return };
        let is_hopeless = |look: &Searcher| look.find(folded).is_none();
        if !self.first_looks.is_empty() && self.first_looks.iter().all(is_hopeless) {
            return;
        }
        let mut state = OverlappingState::start();
        loop {
            automaton.find_overlapping(folded, &mut state);
            let Some(found) = state.get_match() else { return };
            self.contained[found.pattern().as_usize()]
                .iter()
                .for_each(|mark| marks.put(*mark));
        }
    }
}

/// Vectorised searchers for all patterns together; empty if there are too many patterns, or the CPU does not support
/// them.
fn first_looks(patterns: &[(String, Vec<u32>)]) -> Vec<Searcher> {
    if patterns.len() > LOOK_PATTERNS * LOOKS || patterns.iter().any(|(text, _)| text.is_empty()) {
        return Vec::new();
    }
    let searchers: Option<Vec<Searcher>> = patterns
        .chunks(LOOK_PATTERNS)
        .map(|patterns| Searcher::new(patterns.iter().map(|(text, _)| text.as_bytes())))
        .collect();
    searchers.unwrap_or_default()
}

/// A bit for the length of the text; long texts share one bit.
fn length_bit(text: &str) -> u64 {
    1 << text.len().min(63)
}

/// The text in lower case; most texts already are.
fn fold_into<'t>(text: &'t str, folding: &'t mut String) -> &'t str {
    // Looking at every byte, whatever comes, is faster than stopping at the first that matters.
    let (is_upper, is_beyond) = text.bytes().fold((false, false), |(upper, beyond), byte| {
        (upper | byte.is_ascii_uppercase(), beyond | !byte.is_ascii())
    });
    if !(is_upper || is_beyond) {
        return text;
    }
    folding.clear();
    if !is_beyond {
        folding.push_str(text);
        folding.make_ascii_lowercase();
    } else {
        folding.extend(text.chars().map(fold_char));
    }
    folding
}
