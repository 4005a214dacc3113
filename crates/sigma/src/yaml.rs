//! YAML values, with the text of each scalar as written.
//!
//! YAML converts `61e9540` (infinity), `1.10` and `0x1F` to numbers, but rules mean text. So each document is read
//! twice: once with YAML's types, and once with every scalar as text. Code that compares text uses the second.
//!
//! Errors describe the YAML, without the terms of the libraries that read it. Start reading at [`parse_yaml`].

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Error;

use crate::document::ParseError;

/// The maximum nesting depth of a document.
const MAX_DEPTH: usize = 32;

/// A YAML document.
#[derive(Debug, Clone, PartialEq)]
pub struct Yaml {
    /// Its values, with their YAML 1.2 types.
    pub value: Value,
    /// The same with each scalar except null as the text that was written.
    pub texts: Value,
}

impl Yaml {
    /// The values for a log record: a scalar is a number only if it was written in plain decimals.
    pub fn record(&self) -> Value {
        fn merged(value: &Value, texts: &Value) -> Value {
            match (value, texts) {
                (Value::Object(map), texts) => map
                    .iter()
                    .map(|(key, value)| (key.clone(), merged(value, &texts[key])))
                    .collect::<Map<_, _>>()
                    .into(),
                (Value::Array(list), texts) => list
                    .iter()
                    .enumerate()
                    .map(|(place, value)| merged(value, &texts[place]))
                    .collect(),
                (Value::Number(number), Value::String(text)) if is_plain_number(text) => {
                    number.clone().into()
                }
                (Value::Number(_) | Value::String(_), Value::String(text)) => Value::from(text.as_str()),
                (value, _) => value.clone(),
            }
        }
        merged(&self.value, &self.texts)
    }
}

/// Whether the text is a number in plain decimals: no exponent, no other base, no leading zero.
pub(crate) fn is_plain_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

/// Parses one document; `None` if it is empty.
///
/// # Errors
///
/// [`ParseError`] if it is not YAML.
pub fn parse_yaml(document: &str) -> Result<Option<Yaml>, ParseError> {
    read(document, 1)
}

/// The same for a document whose first line has this number in a longer text.
pub(crate) fn read(document: &str, first_line: usize) -> Result<Option<Yaml>, ParseError> {
    let options = || {
        serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            ignore_binary_tag_for_string: true,
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        }
    };
    let value = match serde_saphyr::from_str_with_options::<Value>(document, options()) {
        Ok(Value::Null) => return Ok(None),
        Ok(value) => value,
        Err(error) => return Err(refused(error.without_snippet(), first_line)),
    };
    let texts = serde_saphyr::with_deserializer_from_str_with_options(document, options(), |scalars| {
        Texts(&value).deserialize(scalars)
    });
    // A scalar with a tag of its own has no text beside its value.
    let texts = texts.unwrap_or_else(|_| texts_of(&value));
    Ok(Some(Yaml { value, texts }))
}

fn texts_of(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), texts_of(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(texts_of).collect(),
        Value::Number(number) => Value::from(number.to_string()),
        Value::Bool(truth) => Value::from(truth.to_string()),
        other => other.clone(),
    }
}

/// Deserializes a type with all scalars as texts.
struct Texts<'v>(&'v Value);

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, scalars: D) -> Result<Value, D::Error> {
        match self.0 {
            Value::Object(_) => scalars.deserialize_map(self),
            Value::Array(_) => scalars.deserialize_seq(self),
            Value::Null => IgnoredAny::deserialize(scalars).map(|_| Value::Null),
            _ => String::deserialize(scalars).map(Value::from),
        }
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the same document again")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut texts = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let inner = self.0.get(&key).unwrap_or(&Value::Null);
            let text = map.next_value_seed(Texts(inner))?;
            texts.insert(key, text);
        }
        Ok(texts.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) =
            list.next_element_seed(Texts(self.0.get(texts.len()).unwrap_or(&Value::Null)))?
        {
            texts.push(text);
        }
        Ok(texts.into())
    }
}

fn refused(error: &Error, first_line: usize) -> ParseError {
    const PLAIN: &str = "check indentation and quotes";
    let (reason, advice) = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => (
            format!("the key `{key}` occurs twice in one mapping"),
            "remove one of the two",
        ),
        Error::DuplicateMappingKey { .. } => (
            "a key occurs twice in one mapping".to_owned(),
            "remove one of the two",
        ),
        Error::Eof { .. } => ("it ends too early".to_owned(), PLAIN),
        Error::UnknownAnchor { .. } => (
            "an alias refers to a missing anchor".to_owned(),
            "replace the alias with the value",
        ),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => (
            format!("it is nested more than {MAX_DEPTH} levels deep, or its aliases make it too large"),
            "flatten it, and replace aliases with their values",
        ),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => (
            "`<<` is not followed by a mapping".to_owned(),
            "write the keys and values in full",
        ),
        Error::MultipleDocuments { .. } => (
            "it contains more than one document".to_owned(),
            "put `---` on a line of its own between them",
        ),
        // The parser's own words are about YAML.
        Error::ExternalMessage { msg, .. } => (plain_words(msg), PLAIN),
        _ => ("it is invalid YAML here".to_owned(), PLAIN),
    };
    let place = error.location();
    let number = |n: u64| usize::try_from(n).ok().filter(|n| *n > 0);
    ParseError {
        line: place
            .and_then(|place| number(place.line()))
            .map(|line| first_line + line - 1),
        column: place.and_then(|place| number(place.column())),
        rule: None,
        reason: format!("this is not valid YAML: {reason}"),
        advice: advice.to_owned(),
    }
}

/// The parser's message without the position, which is relative to the document and is reported separately.
fn plain_words(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let message = message.split(" at byte ").next().unwrap_or_default();
    let message = message.split(" at line ").next().unwrap_or_default();
    message.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scalar_keeps_its_text() {
        let yaml = parse_yaml(
            "a: 61e9540\nb: 1.10\nc: [0x1F, 012, 1_000, .5, +5, 2026-11-01, 12:30:45]\nd: {e: on, f: yes, g: True, h: ~}\n\
             i: '5'\nj: 5\nk: !!str 7\nl: &x 1.0\nm: *x\nn: |\n  1.20\n",
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            yaml.texts,
            json!({"a": "61e9540", "b": "1.10", "c": ["0x1F", "012", "1_000", ".5", "+5", "2026-11-01", "12:30:45"],
                "d": {"e": "on", "f": "yes", "g": "True", "h": null}, "i": "5", "j": "5", "k": "7", "l": "1.0", "m": "1.0",
                "n": "1.20\n"})
        );
        assert_eq!(yaml.value["i"], json!("5"));
        assert_eq!(yaml.value["j"], json!(5));
        assert_eq!(yaml.value["d"]["g"], json!(true));
        assert_eq!(yaml.value["d"]["e"], json!("on"));
        let record = yaml.record();
        assert_eq!((&record["a"], &record["b"]), (&json!("61e9540"), &json!(1.1)));
        assert_eq!(record["c"][0], json!("0x1F"));
    }

    #[test]
    fn mistakes_are_told_without_the_words_of_libraries() {
        for (text, reason) in [
            ("a: 1\na: 2", "`a` occurs twice"),
            ("a: [", ""),
            ("a: *b", "anchor"),
            ("a: b: c", ""),
            ("a: 'x", ""),
            ("\tx: 1", ""),
            ("a: {b: 1", ""),
            ("- a\nb: 1", ""),
            ("a: \"\\q\"", ""),
            ("%YAML 9.9\n---\na: 1\n...\nb", ""),
            ("{a: 1}}", ""),
            ("<<: 1", ""),
            ("? [a, b]\n: 1", ""),
            ("!!binary a: b\nc: !!int x", ""),
            (&format!("a: {}{}", "[".repeat(60), "]".repeat(60)), "deep"),
        ] {
            let Err(error) = parse_yaml(text) else { continue };
            let words = error.to_string();
            assert!(words.contains(reason), "{text}: {words}");
            for word in [
                "Policy",
                "Options",
                "serde",
                "saphyr",
                "granit",
                "deserializ",
                "struct",
                "enum",
                "Option<",
                "seed",
                "replay",
                "budget",
                "visitor",
                "u64",
                "i64",
                "f64",
                "::",
            ] {
                assert!(!words.contains(word), "{text}: {words}");
            }
        }
    }
}
