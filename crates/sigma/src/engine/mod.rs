//! The evaluator that runs in production: matches many rules against many records.
//!
//! A [`Matcher`] holds the rules of one source. For each line, it
//!
//! 1. reads the fields that some rule uses ([`record`]; for nearly all lines [`quick`], with the positions from
//!    [`quotes`] and the keys from [`shape`]);
//! 2. evaluates the tests of all rules on each field together ([`fields`]);
//! 3. evaluates only rules that have a *witness*: a set mark without which the rule cannot match ([`program`]).
//!
//! Tests that cannot be evaluated together, such as regular expressions, run on demand, once per record.
//!
//! Start reading at [`Matcher::scan`]. [`crate::CompiledRule::explain`] gives the same result for each rule and record.

mod affix;
mod fields;
mod literal;
mod program;
mod quick;
mod quotes;
mod record;
mod shape;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use self::fields::{Cost, Field, FieldQuestions, Marks};
use self::program::{Costs, Node};
pub use self::record::NotARecord;
use self::record::{Readings, Roots, Values};
use crate::compile::{CompiledRule, ResolvedSelection};
use crate::condition::Condition;
use crate::criterion::{Resolved, Test};
use crate::derived::{Derivation, PERSON, add_person};
use crate::event::{Event, Scalar};
use crate::matching::Matcher as SingleTest;

/// Identifies matchers, so that none uses the cached state of another.
static MATCHERS: AtomicU64 = AtomicU64::new(1);

/// The compiled rules of one source.
#[derive(Debug)]
pub struct Matcher {
    id: u64,
    roots: Roots,
    fields: Vec<FieldPlan>,
    /// Fields with at least one test, by index.
    asked: Vec<usize>,
    by_name: HashMap<String, usize>,
    /// Fields that may contain the record's identity, as indexes in `fields`.
    identity: Vec<usize>,
    wanted: Vec<usize>,
    tests: Vec<LazyTest>,
    marks: usize,
    /// For each mark, the rules that it is a witness of, by index.
    witnessed: Vec<Vec<u32>>,
    /// Rules without a witness.
    always: Vec<u32>,
    rules: Vec<(usize, Node)>,
}

#[derive(Debug)]
struct FieldPlan {
    source: FieldSource,
    questions: Field,
}

#[derive(Debug)]
enum FieldSource {
    Key(u32),
    /// A key with dots, else a path under its first part, else a value derived from another field.
    Dotted {
        key: u32,
        first: u32,
        rest: String,
        derived: Option<(usize, Derivation)>,
    },
    /// The record's own `person`, else its identity.
    Person(u32),
}

#[derive(Debug)]
struct LazyTest {
    /// `None` means that the whole record is searched.
    field: Option<usize>,
    test: SingleTest,
    hint: Option<u32>,
}

/// The working memory of [`Matcher::scan`]. For speed, use one for many records of one matcher.
#[derive(Debug, Default)]
pub struct Scratch {
    matcher: u64,
    readings: Readings,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    marks: Marks,
    folding: String,
    seen_rules: Vec<u64>,
    tests: Vec<(u64, bool)>,
    record: u64,
    matched: Vec<usize>,
}

/// A record that was scanned.
#[derive(Debug)]
pub struct Scanned<'a> {
    matcher: &'a Matcher,
    line: &'a [u8],
    /// The line, if it is UTF-8; every record is.
    text: &'a str,
    values: &'a Values,
    whole: OnceCell<Value>,
}

impl Matcher {
    /// A matcher of `rules`, each with a number that identifies it to the caller. `identity` lists the fields that may
    /// contain a record's identity, best first; `wanted` are fields that the caller will read.
    pub fn new<'r>(
        rules: impl IntoIterator<Item = (usize, &'r CompiledRule)>,
        identity: &[&str],
        wanted: &[&str],
    ) -> Self {
        let mut builder = Builder::default();
        let identity_fields: Vec<usize> = identity.iter().map(|name| builder.field(name)).collect();
        let wanted = wanted.iter().map(|name| builder.field(name)).collect();
        let rules: Vec<(usize, Node)> = rules
            .into_iter()
            .map(|(number, rule)| (number, builder.rule(rule)))
            .collect();
        let mut witnessed = vec![Vec::new(); builder.costs.len()];
        let mut always = Vec::new();
        for (place, (_, node)) in rules.iter().enumerate() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            match node.witness(&builder) {
                Some(witness) => witness
                    .marks
                    .into_iter()
                    .for_each(|mark| witnessed[mark as usize].push(place)),
                None => always.push(place),
            }
        }
        let marks = builder.costs.len();
        let fields: Vec<FieldPlan> = builder
            .sources
            .into_iter()
            .zip(builder.questions)
            .map(|(source, questions)| FieldPlan {
                source,
                questions: questions.build(),
            })
            .collect();
        Self {
            id: MATCHERS.fetch_add(1, Ordering::Relaxed),
            roots: builder.roots,
            asked: (0..fields.len())
                .filter(|field| !fields[*field].questions.is_idle())
                .collect(),
            fields,
            by_name: builder.by_name,
            identity: identity_fields,
            wanted,
            tests: builder.tests,
            marks,
            witnessed,
            always,
            rules,
        }
    }

    /// The names of the fields that rules test, in alphabetical order; `None` if a rule searches the whole record.
    pub fn asked_names(&self) -> Option<Vec<&str>> {
        if self.tests.iter().any(|test| test.field.is_none()) {
            return None;
        }
        let is_asked = |field: &usize| self.asked.contains(field);
        let asked = self.by_name.iter().filter(|(_, field)| is_asked(field));
        let mut names: Vec<&str> = asked.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        Some(names)
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Matches one line against every rule. Calls `seen` with the record and the numbers of the matching rules, in
    /// order.
    ///
    /// # Errors
    ///
    /// [`NotARecord`] if the line is not a JSON object or is nested too deeply.
    pub fn scan<T>(
        &self,
        line: &[u8],
        scratch: &mut Scratch,
        seen: impl FnOnce(&Scanned<'_>, &[usize]) -> T,
    ) -> Result<T, NotARecord> {
        if scratch.matcher != self.id {
            *scratch = Scratch {
                matcher: self.id,
                ..Scratch::default()
            };
        }
        let text = simdutf8::basic::from_utf8(line).ok();
        scratch.readings.read(line, text, &self.roots)?;
        let scanned = Scanned {
            matcher: self,
            line,
            text: text.unwrap_or_default(),
            values: &scratch.readings.values,
            whole: OnceCell::new(),
        };
        self.evaluate(&scanned, &mut scratch.state);
        Ok(seen(&scanned, &scratch.state.matched))
    }

    fn evaluate(&self, scanned: &Scanned<'_>, state: &mut State) {
        let State {
            marks,
            folding,
            seen_rules,
            tests,
            record,
            matched,
        } = state;
        *record += 1;
        matched.clear();
        marks.reset(self.marks);
        if seen_rules.len() != self.rules.len() || tests.len() != self.tests.len() {
            *seen_rules = vec![0; self.rules.len()];
            *tests = vec![(0, false); self.tests.len()];
        }
        for plan in self.asked.iter().map(|field| &self.fields[*field]) {
            let mut visit = |scalar: Scalar<'_>| {
                plan.questions.scalar(scalar, folding, marks);
                false
            };
            let is_present = match &plan.source {
                FieldSource::Key(key) => scanned.values.each(*key, scanned.text, &mut visit),
                other => scanned.each_of(other, &mut visit),
            };
            plan.questions.presence(is_present, marks);
        }
        let has = |mark| marks.has(mark);
        let tests = RefCell::new(tests);
        let epoch = *record;
        let mut test = |place: u32| {
            let lazy = &self.tests[place as usize];
            if lazy.hint.is_some_and(|hint| !has(hint)) {
                return false;
            }
            let (known, outcome) = tests.borrow()[place as usize];
            if known == epoch {
                return outcome;
            }
            let outcome = scanned.test(lazy);
            tests.borrow_mut()[place as usize] = (epoch, outcome);
            outcome
        };
        let mut consider = |rule: u32| {
            let (number, node) = &self.rules[rule as usize];
            if node.holds(&has, &mut test) {
                matched.push(*number);
            }
        };
        for mark in &marks.set {
            for rule in &self.witnessed[*mark as usize] {
                if seen_rules[*rule as usize] != epoch {
                    seen_rules[*rule as usize] = epoch;
                    consider(*rule);
                }
            }
        }
        self.always.iter().for_each(|rule| consider(*rule));
        matched.sort_unstable();
    }
}

impl Scanned<'_> {
    /// Calls `visit` with each scalar of the wanted field at this index until it returns `true`. Returns whether the
    /// record has the field.
    pub fn wanted(&self, place: usize, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        let plan = &self.matcher.fields[self.matcher.wanted[place]];
        self.each_of(&plan.source, visit)
    }

    fn each_of(&self, source: &FieldSource, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        let values = self.values;
        match source {
            FieldSource::Key(key) => values.each(*key, self.text, visit),
            FieldSource::Dotted {
                key,
                first,
                rest,
                derived,
            } => {
                if values.each(*key, self.text, visit) || values.each_inside(*first, rest, visit) {
                    return true;
                }
                let Some((base, derivation)) = derived else {
                    return false;
                };
                let mut is_present = false;
                self.each_of(&self.matcher.fields[*base].source, &mut |scalar| match scalar {
                    Scalar::Text(text) => derivation.apply(text).is_some_and(|derived| {
                        is_present = true;
                        visit(derived.scalar())
                    }),
                    _ => false,
                });
                is_present
            }
            FieldSource::Person(key) => {
                if values.each(*key, self.text, visit) {
                    return true;
                }
                let mut people = Vec::new();
                for field in &self.matcher.identity {
                    self.each_of(&self.matcher.fields[*field].source, &mut |scalar| {
                        add_person(scalar, &mut people);
                        false
                    });
                    if !people.is_empty() {
                        break;
                    }
                }
                let _ = people.iter().any(|person| visit(Scalar::Text(person)));
                !people.is_empty()
            }
        }
    }

    fn test(&self, lazy: &LazyTest) -> bool {
        let held = Cell::new(false);
        let mut visit = |scalar: Scalar<'_>| {
            held.set(lazy.test.fits(scalar, self));
            held.get()
        };
        match lazy.field {
            Some(field) => {
                self.each_of(&self.matcher.fields[field].source, &mut visit);
            }
            None => self.each(&mut visit),
        }
        held.get()
    }
}

impl Event for Scanned<'_> {
    fn field(&self, name: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        match self.matcher.by_name.get(name) {
            Some(field) => self.each_of(&self.matcher.fields[*field].source, visit),
            None => false,
        }
    }

    fn each(&self, visit: &mut dyn FnMut(Scalar<'_>) -> bool) {
        self.whole
            .get_or_init(|| serde_json::from_slice(self.line).unwrap_or_default())
            .each(visit);
    }
}

/// Collects the tests of rules.
#[derive(Default)]
struct Builder {
    roots: Roots,
    sources: Vec<FieldSource>,
    questions: Vec<FieldQuestions>,
    by_name: HashMap<String, usize>,
    tests: Vec<LazyTest>,
    costs: Vec<Cost>,
    /// Groups of tests by their text, so that rules share marks.
    known: HashMap<String, Node>,
}

impl Builder {
    fn field(&mut self, name: &str) -> usize {
        if let Some(place) = self.by_name.get(name) {
            return *place;
        }
        let source = if name == PERSON {
            FieldSource::Person(self.roots.add(name, false))
        } else if let Some((first, rest)) = name.split_once('.') {
            let derived = Derivation::of_name(name).map(|(base, derivation)| (self.field(base), derivation));
            FieldSource::Dotted {
                key: self.roots.add(name, false),
                first: self.roots.add(first, true),
                rest: rest.to_owned(),
                derived,
            }
        } else {
            FieldSource::Key(self.roots.add(name, false))
        };
        self.sources.push(source);
        self.questions.push(FieldQuestions::default());
        self.by_name.insert(name.to_owned(), self.sources.len() - 1);
        self.sources.len() - 1
    }

    fn mark(&mut self) -> u32 {
        self.costs.push(0);
        u32::try_from(self.costs.len() - 1).unwrap_or(u32::MAX)
    }

    fn rule(&mut self, rule: &CompiledRule) -> Node {
        let selections: Vec<Node> = rule
            .resolved()
            .iter()
            .map(|selection| self.selection(selection))
            .collect();
        node(&rule.rule().detection.condition, &selections)
    }

    fn selection(&mut self, selection: &ResolvedSelection) -> Node {
        match selection {
            ResolvedSelection::AllOf(items) => {
                Node::every(items.iter().map(|item| self.item(item)).collect())
            }
            ResolvedSelection::AnyOf(inner) => {
                Node::any(inner.iter().map(|one| self.selection(one)).collect())
            }
        }
    }

    fn item(&mut self, item: &Resolved) -> Node {
        let node = if item.all {
            let groups = item
                .groups
                .iter()
                .map(|group| self.group(item.field.as_deref(), group.iter()))
                .collect();
            Node::every(groups)
        } else {
            self.group(item.field.as_deref(), item.groups.iter().flatten())
        };
        if item.negated {
            Node::Not(Box::new(node))
        } else {
            node
        }
    }

    /// True if one test of the group is true.
    fn group<'t>(&mut self, field: Option<&str>, tests: impl Iterator<Item = &'t Test>) -> Node {
        let tests: Vec<&Test> = tests.collect();
        let known = format!("{field:?} {tests:?}");
        if let Some(node) = self.known.get(&known) {
            return node.clone();
        }
        let mut nodes = Vec::new();
        match field.map(|name| self.field(name)) {
            None => {
                for test in tests {
                    nodes.push(self.lazy(None, test, None));
                }
            }
            Some(field) => {
                let mark = self.mark();
                let mut cost: Cost = 0;
                let mut is_marked = false;
                for test in tests {
                    if let Some(more) = self.questions[field].ask(test, mark) {
                        cost = cost.saturating_add(more);
                        is_marked = true;
                    } else {
                        if let Test::Field { name, .. } = test {
                            self.field(name);
                        }
                        let hint = self.hint(field, test);
                        nodes.push(self.lazy(Some(field), test, Some(hint)));
                    }
                }
                self.costs[mark as usize] = cost;
                if is_marked {
                    nodes.insert(0, Node::Mark(mark));
                }
            }
        }
        let node = if nodes.is_empty() {
            Node::never()
        } else {
            Node::any(nodes)
        };
        self.known.insert(known, node.clone());
        node
    }

    fn lazy(&mut self, field: Option<usize>, test: &Test, hint: Option<u32>) -> Node {
        self.tests.push(LazyTest {
            field,
            test: SingleTest::new(test),
            hint,
        });
        Node::Test(u32::try_from(self.tests.len() - 1).unwrap_or(u32::MAX))
    }

    /// A mark that is always set if the test is true.
    fn hint(&mut self, field: usize, test: &Test) -> u32 {
        let mark = self.mark();
        let texts = match test {
            Test::Regex(regex) => literal::of_regex(regex.as_str()),
            Test::Text { pattern, .. } => literal::of_pattern(pattern).map(|text| vec![text]),
            _ => None,
        };
        let questions = &mut self.questions[field];
        let cost = match texts {
            Some(texts) => texts.iter().fold(0, |sum: Cost, text| {
                sum.saturating_add(questions.hint_text(text, mark))
            }),
            None => questions.hint_scalar(mark),
        };
        self.costs[mark as usize] = cost;
        mark
    }
}

impl Costs for Builder {
    fn mark(&self, mark: u32) -> Cost {
        self.costs[mark as usize]
    }

    fn hint(&self, test: u32) -> Option<u32> {
        self.tests[test as usize].hint
    }
}

fn node(condition: &Condition, selections: &[Node]) -> Node {
    let all = |inner: &[Condition]| inner.iter().map(|one| node(one, selections)).collect();
    match condition {
        Condition::Selection(place) => selections[*place].clone(),
        Condition::And(inner) => Node::And(all(inner)),
        Condition::Or(inner) => Node::Or(all(inner)),
        Condition::Not(inner) => Node::Not(Box::new(node(inner, selections))),
        Condition::AtLeast(needed, places) => Node::AtLeast(
            *needed,
            places.iter().map(|place| selections[*place].clone()).collect(),
        ),
    }
}
