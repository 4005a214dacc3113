//! The record that a rule is matched against, with named fields.
//!
//! Implement [`Event`] to match over your own representation. The implementation for [`serde_json::Value`] defines the
//! meaning of names and lists.

use std::borrow::Cow;

use serde_json::Value;

/// One scalar value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// JSON's null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(&'a str),
}

/// A record that rules can be matched against.
pub trait Event {
    /// Calls `visit` with each scalar of the field, and with each member of lists, until it returns `true`. Returns
    /// whether the field exists, even if it is null, an empty list or an object.
    ///
    /// A name is first looked up as a key as written, then as a path of keys separated by dots. A path goes through
    /// lists to each member.
    fn field(&self, name: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool;

    /// Calls `visit` with each scalar of the whole record, at any depth, until it returns `true`.
    fn each(&self, visit: &mut dyn FnMut(Scalar<'_>) -> bool);
}

impl Event for Value {
    fn field(&self, name: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        let mut found = Vec::new();
        find(self, name, &mut found);
        let present = !found.is_empty();
        let _ = found.into_iter().any(|value| members(value, visit));
        present
    }

    fn each(&self, visit: &mut dyn FnMut(Scalar<'_>) -> bool) {
        everything(self, visit);
    }
}

fn find<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            if let Some(inner) = map.get(name) {
                found.push(inner);
            } else if let Some((first, rest)) = name.split_once('.')
                && let Some(inner) = map.get(first)
            {
                find(inner, rest, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|member| find(member, name, found)),
        _ => {}
    }
}

pub(crate) fn members(value: &Value, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|member| members(member, visit)),
        Value::Object(_) => false,
        other => scalar(other).is_some_and(visit),
    }
}

fn everything(value: &Value, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|member| everything(member, visit)),
        Value::Object(map) => map.values().any(|member| everything(member, visit)),
        other => scalar(other).is_some_and(visit),
    }
}

fn scalar(value: &Value) -> Option<Scalar<'_>> {
    Some(match value {
        Value::Null => Scalar::Null,
        Value::Bool(truth) => Scalar::Bool(*truth),
        Value::Number(number) => number
            .as_i128()
            .map(Scalar::Int)
            .or_else(|| number.as_f64().map(Scalar::Float))?,
        Value::String(text) => Scalar::Text(text),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

impl<'a> Scalar<'a> {
    /// The value as text in JSON's notation; `None` for null.
    pub fn text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Float(number) => Cow::Owned(Value::from(number).to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(event: &Value, name: &str) -> (bool, Vec<String>) {
        let mut seen = Vec::new();
        let present = event.field(name, &mut |scalar| {
            seen.push(scalar.text().map_or_else(|| "null".to_owned(), Cow::into_owned));
            false
        });
        (present, seen)
    }

    #[test]
    fn a_name_is_a_key_first_and_a_path_then() {
        let event = json!({"a.b": 1, "a": {"b": 2, "c": [{"d": 3}, {"d": [4, "x"]}, 5], "e.f": 6}, "n": null, "l": [], "o": {}});
        for (name, present, values) in [
            ("a.b", true, vec!["1"]),
            ("a.c.d", true, vec!["3", "4", "x"]),
            ("a.e.f", true, vec!["6"]),
            ("a.c", true, vec!["5"]),
            ("n", true, vec!["null"]),
            ("l", true, vec![]),
            ("o", true, vec![]),
            ("zz", false, vec![]),
            ("a.zz", false, vec![]),
            ("A.B", false, vec![]),
        ] {
            assert_eq!(
                look(&event, name),
                (present, values.iter().map(ToString::to_string).collect()),
                "{name}"
            );
        }
    }
}
