//! Compares values of an event with the tests of a rule: the evaluator that runs in production.
//!
//! Start reading at [`Predicate::holds`]. The other evaluator is [`crate::explain`]; neither calls the other.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use crate::criterion::{Number, Order, Place, Resolved, Test};
use crate::event::{Event, Scalar};
use crate::modifier::TimePart;
use crate::pattern::{DASHES, Part, Pattern};
use crate::timestamp;

/// One compiled item: the test on one field, or on the whole event.
#[derive(Debug, Clone)]
pub(crate) struct Predicate {
    field: Option<String>,
    groups: Vec<Vec<Matcher>>,
    all: bool,
    negated: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    Text(TextMatcher),
    Regex(Regex),
    Number(Number),
    NumberAlone(Number),
    Bool(bool),
    Null,
    Exists(bool),
    Order(Order, Number),
    Time(TimePart, Order, Number),
    Network(IpNet),
    Field { name: String, place: Place, cased: bool },
}

#[derive(Debug, Clone)]
pub(crate) struct TextMatcher {
    cased: bool,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Always,
    Equal(String),
    Starts(String),
    Ends(String),
    Contains(String),
    Glob(Vec<Token>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Char(char),
    One,
    Dash,
    Run,
}

impl Predicate {
    pub(crate) fn new(item: &Resolved) -> Self {
        let groups = item
            .groups
            .iter()
            .map(|group| group.iter().map(Matcher::new).collect())
            .collect();
        Self {
            field: item.field.clone(),
            groups,
            all: item.all,
            negated: item.negated,
        }
    }

    pub(crate) fn holds<E: Event + ?Sized>(&self, event: &E) -> bool {
        let group_holds = |group: &Vec<Matcher>| self.group_holds(group, event);
        let outcome = if self.all {
            self.groups.iter().all(group_holds)
        } else {
            self.groups.iter().any(group_holds)
        };
        outcome != self.negated
    }

    fn group_holds<E: Event + ?Sized>(&self, group: &[Matcher], event: &E) -> bool {
        let mut matched = false;
        let mut visit = |scalar: Scalar<'_>| {
            matched = matched || group.iter().any(|matcher| matcher.fits(scalar, event));
            matched
        };
        let present = match &self.field {
            Some(field) => event.field(field, &mut visit),
            None => {
                event.each(&mut visit);
                true
            }
        };
        matched
            || group.iter().any(|matcher| match matcher {
                Matcher::Exists(wanted) => *wanted == present,
                Matcher::Null => !present,
                _ => false,
            })
    }
}

impl Matcher {
    pub(crate) fn new(test: &Test) -> Self {
        match test {
            Test::Text { pattern, cased } => Self::Text(TextMatcher::new(pattern, *cased)),
            Test::Regex(regex) => Self::Regex(regex.clone()),
            Test::Number(number) => Self::Number(*number),
            Test::NumberAlone(number) => Self::NumberAlone(*number),
            Test::Bool(truth) => Self::Bool(*truth),
            Test::Null => Self::Null,
            Test::Exists(present) => Self::Exists(*present),
            Test::Order(order, number) => Self::Order(*order, *number),
            Test::Time(part, order, number) => Self::Time(*part, *order, *number),
            Test::Network(network) => Self::Network(*network),
            Test::Field { name, place, cased } => Self::Field {
                name: name.clone(),
                place: *place,
                cased: *cased,
            },
        }
    }

    pub(crate) fn fits<E: Event + ?Sized>(&self, scalar: Scalar<'_>, event: &E) -> bool {
        match self {
            Self::Text(matcher) => scalar.text().is_some_and(|text| matcher.fits(&text)),
            Self::Regex(regex) => scalar.text().is_some_and(|text| regex.is_match(&text)),
            Self::Number(wanted) => {
                number(scalar).is_some_and(|found| compare(found, *wanted) == Some(Ordering::Equal))
            }
            Self::NumberAlone(_) if matches!(scalar, Scalar::Text(_)) => false,
            Self::NumberAlone(wanted) => {
                number(scalar).is_some_and(|found| compare(found, *wanted) == Some(Ordering::Equal))
            }
            Self::Bool(wanted) => match scalar {
                Scalar::Bool(found) => found == *wanted,
                Scalar::Text(text) => text.eq_ignore_ascii_case(if *wanted { "true" } else { "false" }),
                _ => false,
            },
            Self::Null => scalar == Scalar::Null,
            Self::Exists(_) => false,
            Self::Order(order, wanted) => number(scalar)
                .and_then(|found| compare(found, *wanted))
                .is_some_and(|is| order.allows(is)),
            Self::Time(part, order, wanted) => timestamp::part(scalar, *part)
                .and_then(|found| compare(Number::Int(found.into()), *wanted))
                .is_some_and(|is| order.allows(is)),
            Self::Network(network) => match scalar {
                Scalar::Text(text) => text
                    .trim()
                    .parse::<IpAddr>()
                    .is_ok_and(|address| network.contains(&address.to_canonical())),
                _ => false,
            },
            Self::Field { name, place, cased } => {
                let Some(ours) = scalar.text() else { return false };
                let ours = folded(&ours, *cased);
                let mut same = false;
                event.field(name, &mut |other| {
                    same = other.text().is_some_and(|theirs| {
                        let theirs = folded(&theirs, *cased);
                        match place {
                            Place::Whole => ours == theirs,
                            Place::Start => ours.starts_with(theirs.as_ref()),
                            Place::End => ours.ends_with(theirs.as_ref()),
                            Place::Anywhere => ours.contains(theirs.as_ref()),
                        }
                    });
                    same
                });
                same
            }
        }
    }
}

impl Order {
    pub(crate) fn allows(self, is: Ordering) -> bool {
        match self {
            Self::Equal => is == Ordering::Equal,
            Self::Less => is == Ordering::Less,
            Self::LessOrEqual => is != Ordering::Greater,
            Self::Greater => is == Ordering::Greater,
            Self::GreaterOrEqual => is != Ordering::Less,
        }
    }
}

pub(crate) fn number(scalar: Scalar<'_>) -> Option<Number> {
    match scalar {
        Scalar::Int(number) => Some(Number::Int(number)),
        Scalar::Float(number) => Some(Number::Float(number)),
        Scalar::Text(text) => Number::from_text(text),
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

pub(crate) fn compare(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (Number::Int(left), Number::Float(right)) => (left as f64).partial_cmp(&right),
        (Number::Float(left), Number::Int(right)) => left.partial_cmp(&(right as f64)),
        (Number::Float(left), Number::Float(right)) => left.partial_cmp(&right),
    }
}

/// Lower case, character by character. A character whose lower case is longer is unchanged.
pub(crate) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}

/// The text for case-insensitive comparison: two texts that match have the same folded text.
pub fn fold(text: &str) -> Cow<'_, str> {
    folded(text, false)
}

pub(crate) fn folded(text: &str, cased: bool) -> Cow<'_, str> {
    if cased
        || text
            .bytes()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().map(fold_char).collect())
    }
}

impl TextMatcher {
    fn new(pattern: &Pattern, cased: bool) -> Self {
        let own = |text: &str| folded(text, cased).into_owned();
        let shape = match pattern.parts.as_slice() {
            [] => Shape::Equal(String::new()),
            [Part::AnyRun] => Shape::Always,
            [Part::Literal(text)] => Shape::Equal(own(text)),
            [Part::Literal(text), Part::AnyRun] => Shape::Starts(own(text)),
            [Part::AnyRun, Part::Literal(text)] => Shape::Ends(own(text)),
            [Part::AnyRun, Part::Literal(text), Part::AnyRun] => Shape::Contains(own(text)),
            parts => Shape::Glob(parts.iter().flat_map(|part| tokens(part, cased)).collect()),
        };
        Self { cased, shape }
    }

    fn fits(&self, text: &str) -> bool {
        let text = folded(text, self.cased);
        match &self.shape {
            Shape::Always => true,
            Shape::Equal(wanted) => text == wanted.as_str(),
            Shape::Starts(wanted) => text.starts_with(wanted),
            Shape::Ends(wanted) => text.ends_with(wanted),
            Shape::Contains(wanted) => text.contains(wanted),
            Shape::Glob(tokens) => glob(tokens, &text.chars().collect::<Vec<_>>()),
        }
    }
}

fn tokens(part: &Part, cased: bool) -> Vec<Token> {
    match part {
        Part::Literal(text) => folded(text, cased).chars().map(Token::Char).collect(),
        Part::AnyRun => vec![Token::Run],
        Part::AnyOne => vec![Token::One],
        Part::Dash => vec![Token::Dash],
        // A placeholder that is left over is the text that it was written as.
        Part::Placeholder(name) => format!("%{name}%").chars().map(Token::Char).collect(),
    }
}

/// Matches the whole text. After a mismatch, only the last `*` is extended, so the time is at most proportional to the
/// product of both lengths.
fn glob(tokens: &[Token], text: &[char]) -> bool {
    let (mut at_token, mut at_char) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while at_char < text.len() {
        let fits = tokens.get(at_token).is_some_and(|token| match token {
            Token::Char(wanted) => *wanted == text[at_char],
            Token::One => true,
            Token::Dash => DASHES.contains(&text[at_char]),
            Token::Run => false,
        });
        if fits {
            at_token += 1;
            at_char += 1;
        } else if tokens.get(at_token) == Some(&Token::Run) {
            last_run = Some((at_token, at_char));
            at_token += 1;
        } else if let Some((run, start)) = last_run {
            last_run = Some((run, start + 1));
            at_token = run + 1;
            at_char = start + 1;
        } else {
            return false;
        }
    }
    tokens[at_token..].iter().all(|token| *token == Token::Run)
}
