//! YAML in, rules, correlations and filters out: the only place that reads text.
//!
//! Documents are split at their `---` lines before they are read, so that a mistake is reported
//! with the line of the whole text. Start reading at [`parse_documents`].

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::correlation::{self, Correlation};
use crate::detection::{Detection, Refusal};
use crate::filter::{self, Filter};
use crate::rule::{Header, LogSource, Rule};

/// How long a text with rules may be, in bytes.
///
/// Chosen; the largest public rule has under 200 kB.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// How deep a document may be nested.
const MAX_DEPTH: usize = 32;

/// Why a document is not a usable rule, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Line in the whole text, from 1, where known.
    pub line: Option<usize>,
    /// Column in that line, from 1, where known.
    pub column: Option<usize>,
    /// Title or id of the rule, where known.
    pub rule: Option<String>,
    /// What cannot be honoured.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "line {line}")?;
            if let Some(column) = self.column {
                write!(out, ", column {column}")?;
            }
            out.write_str(": ")?;
        }
        if let Some(rule) = &self.rule {
            write!(out, "rule {rule}: ")?;
        }
        write!(out, "{} ({})", self.reason, self.advice)
    }
}

/// One Sigma document.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A rule about single events.
    Rule(Box<Rule>),
    /// A rule about the matches of other rules.
    Correlation(Box<Correlation>),
    /// A further condition on other rules.
    Filter(Box<Filter>),
}

/// Reads the rules of a YAML text that has nothing else.
///
/// # Errors
///
/// As [`parse_documents`], and for the first document that is a correlation or a filter.
pub fn parse_rules(yaml: &str) -> Result<Vec<Rule>, ParseError> {
    let other = |header: Header| ParseError {
        line: None,
        column: None,
        rule: Some(header.label()),
        reason: "a rule about single events is wanted here".to_owned(),
        advice: "leave correlations and filters out".to_owned(),
    };
    parse_documents(yaml)?
        .into_iter()
        .map(|document| match document {
            Document::Rule(rule) => Ok(*rule),
            Document::Correlation(correlation) => Err(other(correlation.header)),
            Document::Filter(filter) => Err(other(filter.header)),
        })
        .collect()
}

/// Reads every document of a YAML text, in order. An empty text has none.
///
/// # Errors
///
/// [`ParseError`] for the first document that cannot be honoured, for instance because of old aggregations or
/// unknown modifiers.
pub fn parse_documents(yaml: &str) -> Result<Vec<Document>, ParseError> {
    if yaml.len() > MAX_DOCUMENT_BYTES {
        return Err(ParseError {
            line: None,
            column: None,
            rule: None,
            reason: format!("the text has {} bytes", yaml.len()),
            advice: format!("split it into files of at most {MAX_DOCUMENT_BYTES} bytes"),
        });
    }
    let mut rules = Vec::new();
    for (first_line, document) in split(yaml) {
        if let Some(value) = read(document, first_line)? {
            let label = value
                .get("title")
                .or(value.get("id"))
                .or(value.get("name"))
                .and_then(Value::as_str);
            let rule = parse_document(&value).map_err(|refusal| {
                let line = refusal.near.as_deref().and_then(|near| line_of(document, near));
                ParseError {
                    line: Some(first_line + line.unwrap_or(0)),
                    column: None,
                    rule: label.map(ToOwned::to_owned),
                    reason: refusal.reason,
                    advice: refusal.advice,
                }
            })?;
            rules.push(rule);
        }
    }
    Ok(rules)
}

/// The documents with the number of their first line. A `---` at the start of a line always ends a
/// document, even inside a block text (YAML 1.2 §9.1.1).
fn split(yaml: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 1, 0);
    for (number, line) in yaml.split_inclusive('\n').enumerate() {
        let marks = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marks {
            documents.push((begin_line, &yaml[begin..at]));
            (begin, begin_line) = (at, number + 1);
        }
        at += line.len();
    }
    documents.push((begin_line, &yaml[begin..]));
    documents.retain(|(_, document)| {
        document.lines().any(|line| {
            let line = line.trim_start_matches('\u{feff}').trim();
            !(line.is_empty()
                || line.starts_with('#')
                || line.starts_with('%')
                || line == "---"
                || line == "...")
        })
    });
    documents
}

fn line_of(document: &str, near: &str) -> Option<usize> {
    document
        .lines()
        .position(|line| !line.trim_start().starts_with('#') && line.contains(near))
}

fn read(document: &str, first_line: usize) -> Result<Option<Value>, ParseError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    match serde_saphyr::from_str_with_options::<Value>(document, options) {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let error = error.without_snippet();
            let place = error.location();
            // The message ends with a place inside this document; ours is inside the whole text.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let number = |n: u64| usize::try_from(n).ok().filter(|n| *n > 0);
            Err(ParseError {
                line: place
                    .and_then(|place| number(place.line()))
                    .map(|line| first_line + line - 1),
                column: place.and_then(|place| number(place.column())),
                rule: None,
                reason: format!("this is not YAML that can be read: {message}"),
                advice: "check indentation, quotes and repeated keys".to_owned(),
            })
        }
    }
}

fn parse_document(document: &Value) -> Result<Document, Refusal> {
    let Some(map) = document.as_object() else {
        return Err(Refusal::new(
            "the document is not a mapping",
            "begin it with `title:`",
        ));
    };
    if map.contains_key("action") {
        return Err(Refusal::new(
            "collections with `action` are not supported: Sigma 2 left them out",
            "write whole rules",
        )
        .near("action:"));
    }
    let mut map = map.clone();
    let section = |map: &mut Map<String, Value>, key: &str| match map.shift_remove(key) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(Refusal::new(
            format!("`{key}` is not a mapping"),
            "see the Sigma specification 2.1.0",
        )
        .near(format!("{key}:"))),
    };
    if let Some(section) = section(&mut map, "correlation")? {
        if map.contains_key("detection") || map.contains_key("filter") {
            return Err(Refusal::new(
                "`correlation` stands beside `detection` or `filter`",
                "write them as documents of their own, with `---` between",
            )
            .near("correlation:"));
        }
        let header = parse_header(map)?;
        return Ok(Document::Correlation(Box::new(correlation::parse(
            header, &section,
        )?)));
    }
    if let Some(section) = section(&mut map, "filter")? {
        let logsource = match map.shift_remove("logsource") {
            None | Some(Value::Null) => None,
            some => Some(parse_logsource(some)?),
        };
        let header = parse_header(map)?;
        return Ok(Document::Filter(Box::new(filter::parse(
            header, logsource, &section,
        )?)));
    }
    let logsource = map.shift_remove("logsource");
    let detection = map.shift_remove("detection");
    let fields = texts(&mut map, "fields")?;
    let header = parse_header(map)?;
    let logsource = parse_logsource(logsource)?;
    let detection = match detection {
        Some(Value::Object(section)) => Detection::parse(&section)?,
        _ => {
            return Err(Refusal::new(
                "the rule has no detection",
                "add `detection:` with selections and a condition",
            ));
        }
    };
    let Header {
        title,
        id,
        name,
        status,
        description,
        author,
        references,
        date,
        modified,
        level,
        tags,
        falsepositives,
        custom,
    } = header;
    Ok(Document::Rule(Box::new(Rule {
        title,
        id,
        name,
        status,
        description,
        author,
        references,
        date,
        modified,
        level,
        logsource,
        tags,
        falsepositives,
        fields,
        detection,
        custom,
    })))
}

fn parse_header(mut map: Map<String, Value>) -> Result<Header, Refusal> {
    let title = text(&mut map, "title")?
        .filter(|title| !title.trim().is_empty())
        .ok_or_else(|| Refusal::new("the document has no title", "add `title:`"))?;
    Ok(Header {
        title,
        id: text(&mut map, "id")?,
        name: text(&mut map, "name")?,
        status: word(&mut map, "status")?,
        description: text(&mut map, "description")?,
        author: text(&mut map, "author")?,
        references: texts(&mut map, "references")?,
        date: text(&mut map, "date")?,
        modified: text(&mut map, "modified")?,
        level: word(&mut map, "level")?,
        tags: texts(&mut map, "tags")?,
        falsepositives: texts(&mut map, "falsepositives")?,
        custom: map,
    })
}

fn parse_logsource(section: Option<Value>) -> Result<LogSource, Refusal> {
    let advice = "add `logsource:` with category, product or service";
    let Some(Value::Object(mut section)) = section else {
        return Err(Refusal::new("the rule has no log source", advice));
    };
    let source = LogSource {
        category: text(&mut section, "category")?,
        product: text(&mut section, "product")?,
        service: text(&mut section, "service")?,
    };
    section.shift_remove("definition");
    if let Some(key) = section.keys().next() {
        return Err(Refusal::new(
            format!("the log source has the key `{key}`, which would narrow it and is not understood"),
            "use category, product and service",
        )
        .near(format!("{key}:")));
    }
    if source == LogSource::default() {
        return Err(Refusal::new("the log source names nothing", advice).near("logsource:"));
    }
    Ok(source)
}

fn text(map: &mut Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match map.shift_remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => scalar_text(&value).map(Some).ok_or_else(|| {
            Refusal::new(format!("`{key}` is not a text"), "write one text").near(format!("{key}:"))
        }),
    }
}

fn texts(map: &mut Map<String, Value>, key: &str) -> Result<Vec<String>, Refusal> {
    let listed = match map.shift_remove(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    listed
        .iter()
        .map(|value| {
            scalar_text(value).ok_or_else(|| {
                Refusal::new(format!("`{key}` is not a list of texts"), "write texts").near(format!("{key}:"))
            })
        })
        .collect()
}

fn word<T: DeserializeOwned>(map: &mut Map<String, Value>, key: &str) -> Result<Option<T>, Refusal> {
    match map.shift_remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
            Refusal::new(
                format!("`{key}` has a value that is not known: {error}"),
                "use one of those",
            )
            .near(format!("{key}:"))
        }),
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
