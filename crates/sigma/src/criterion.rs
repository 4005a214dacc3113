//! The tests that a value of an event can be compared with, shared by both evaluators.
//!
//! Only types: [`crate::resolve`] creates them, and [`crate::matching`] and [`crate::explain`] each evaluate them
//! independently.

use ipnet::IpNet;
use regex::Regex;

use crate::modifier::TimePart;
use crate::pattern::Pattern;

/// A number as rules and events have it; whole ones are exact.
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

    /// Reads a number in plain decimals, as a text in an event may hold. One with an exponent is not taken for a number:
    /// it may be the hexadecimal digits of an id.
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

/// One thing that a value of an event can be held against.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Text {
        pattern: Pattern,
        cased: bool,
    },
    Regex(Regex),
    /// A number, or a text that reads as it.
    Number(Number),
    /// A number of the record itself, not a text.
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

/// An item ready to be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// Nothing means that every value of the event is looked at.
    pub(crate) field: Option<String>,
    /// One group per value as written; a group holds when one of its tests does.
    pub(crate) groups: Vec<Vec<Test>>,
    /// Whether every group must hold.
    pub(crate) all: bool,
    /// Whether the outcome is turned round.
    pub(crate) negated: bool,
}
