//! The tests that a value of an event can be compared with, shared by both evaluators.
//!
//! Only types: [`crate::resolve`] creates them, and [`crate::matching`] and [`crate::explain`] each evaluate them
//! independently.

use ipnet::IpNet;
use regex::Regex;

use crate::modifier::TimePart;
use crate::pattern::Pattern;

/// A number in rules and events; integers are exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub(crate) fn from_value(value: &serde_json::Number) -> Option<Self> {
        value
            .as_i128()
            .map(Self::Int)
            .or_else(|| value.as_f64().map(Self::Float))
    }

    /// Parses a number in plain decimals from a text of an event. A text with an exponent does not count as a number,
    /// because it may be the hexadecimal digits of an id.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
            && !text.contains(['e', 'E']);
        if !numeric {
            return None;
        }
        text.parse().ok().map(Self::Int).or_else(|| {
            text.parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Self::Float)
        })
    }
}

/// How two texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Whole,
    Start,
    End,
    Anywhere,
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One test on a value of an event.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Text {
        pattern: Pattern,
        cased: bool,
    },
    Regex(Regex),
    /// A number, or a text that reads as the same number.
    Number(Number),
    /// A number in the record itself, not a text.
    NumberAlone(Number),
    Bool(bool),
    /// Absent or null.
    Null,
    /// Present, or absent.
    Exists(bool),
    Order(Order, Number),
    Time(TimePart, Order, Number),
    Network(IpNet),
    Field {
        name: String,
        place: Place,
        cased: bool,
    },
}

/// An item that is ready to be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// `None` means that every value of the event is tested.
    pub(crate) field: Option<String>,
    /// One group for each value as written; a group is true if one of its tests is true.
    pub(crate) groups: Vec<Vec<Test>>,
    /// Whether every group must be true.
    pub(crate) all: bool,
    /// Whether the result is negated.
    pub(crate) negated: bool,
}
