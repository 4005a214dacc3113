//! Reads YAML text into rules, correlations and filters: the only file that reads text.
//!
//! Splits the text at `---` lines before parsing, so that an error is reported with its line in the whole text. Start
//! reading at [`parse_documents`].

use std::fmt;

use serde_json::{Map, Value};

use crate::correlation::{self, Correlation};
use crate::detection::{Detection, Refusal};
use crate::filter::{self, Filter};
use crate::rule::{Header, Level, LogSource, Rule, Status};
use crate::yaml::{self, Yaml};

/// The maximum length of a text with rules, in bytes.
///
/// Chosen; the largest public rule has under 200 kB.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Why a document is not a usable rule, with the location and a fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Line in the whole text, from 1, if known.
    pub line: Option<usize>,
    /// Column in that line, from 1, if known.
    pub column: Option<usize>,
    /// Title or id of the rule, if known.
    pub rule: Option<String>,
    /// What is not supported or invalid.
    pub reason: String,
    /// How to fix it.
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
    /// An additional condition for other rules.
    Filter(Box<Filter>),
}

/// Parses a YAML text that contains only rules.
///
/// # Errors
///
/// As [`parse_documents`], and for the first document that is a correlation or a filter.
pub fn parse_rules(yaml: &str) -> Result<Vec<Rule>, ParseError> {
    let other = |header: Header| ParseError {
        line: None,
        column: None,
        rule: Some(header.label()),
        reason: "only rules about single events are accepted here".to_owned(),
        advice: "remove correlations and filters".to_owned(),
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

/// Parses every document of a YAML text, in order. An empty text has none.
///
/// # Errors
///
/// [`ParseError`] for the first document that is invalid or not supported, for example because of old aggregations or
/// unknown modifiers.
pub fn parse_documents(yaml: &str) -> Result<Vec<Document>, ParseError> {
    parse_each(yaml).into_iter().collect()
}

/// Parses every document of a YAML text, in order. Each is parsed separately, so that an invalid document does not
/// affect the others.
pub fn parse_each(yaml: &str) -> Vec<Result<Document, ParseError>> {
    if yaml.len() > MAX_DOCUMENT_BYTES {
        return vec![Err(ParseError {
            line: None,
            column: None,
            rule: None,
            reason: format!("the document has {} bytes", yaml.len()),
            advice: format!("split it into files of at most {MAX_DOCUMENT_BYTES} bytes"),
        })];
    }
    split(yaml)
        .into_iter()
        .filter_map(|(first_line, document)| parse_one(document, first_line).transpose())
        .collect()
}

fn parse_one(document: &str, first_line: usize) -> Result<Option<Document>, ParseError> {
    let Some(yaml) = yaml::read(document, first_line)? else {
        return Ok(None);
    };
    let named = |key: &str| yaml.texts.get(key).and_then(Value::as_str);
    let label = named("title").or(named("id")).or(named("name"));
    parse_document(&yaml).map(Some).map_err(|refusal| {
        let line = refusal.near.as_deref().and_then(|near| line_of(document, near));
        ParseError {
            line: Some(first_line + line.unwrap_or(0)),
            column: None,
            rule: label.map(ToOwned::to_owned),
            reason: refusal.reason,
            advice: refusal.advice,
        }
    })
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

fn parse_document(document: &Yaml) -> Result<Document, Refusal> {
    let (Some(values), Some(texts)) = (document.value.as_object(), document.texts.as_object()) else {
        return Err(Refusal::new(
            "the document is not a mapping",
            "start it with `title:`",
        ));
    };
    if values.contains_key("action") {
        return Err(Refusal::new(
            "collections with `action` are not supported: Sigma 2 removed them",
            "write whole rules",
        )
        .near("action:"));
    }
    let section = |key: &str| match values.get(key) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some((section, &texts[key]))),
        Some(_) => Err(Refusal::new(
            format!("`{key}` is not a mapping"),
            "see the Sigma specification 2.1.0",
        )
        .near(format!("{key}:"))),
    };
    if let Some((section, section_texts)) = section("correlation")? {
        if values.contains_key("detection") || values.contains_key("filter") {
            return Err(Refusal::new(
                "`correlation` is in the same document as `detection` or `filter`",
                "write them as separate documents, with `---` between them",
            )
            .near("correlation:"));
        }
        let header = parse_header(document, &["correlation", "logsource"]);
        return Ok(Document::Correlation(Box::new(correlation::parse(
            header,
            section,
            section_texts,
        )?)));
    }
    if let Some((section, section_texts)) = section("filter")? {
        let mut header = parse_header(document, &["filter", "logsource"]);
        let logsource = match texts.get("logsource") {
            None | Some(Value::Null) => None,
            some => Some(parse_logsource(some, &mut header.warnings)?),
        };
        return Ok(Document::Filter(Box::new(filter::parse(
            header,
            logsource,
            section,
            section_texts,
        )?)));
    }
    let mut header = parse_header(document, &["logsource", "detection", "fields"]);
    let fields = Described(texts, &mut header.warnings).texts("fields");
    let logsource = parse_logsource(texts.get("logsource"), &mut header.warnings)?;
    let detection = match values.get("detection") {
        Some(Value::Object(section)) => Detection::parse(section, &texts["detection"])?,
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
        warnings,
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
        warnings,
    })))
}

/// Parses the descriptive keys of a document. They do not affect what matches, so errors in them do not refuse the
/// document: invalid values are left out with a warning.
fn parse_header(document: &Yaml, sections: &[&str]) -> Header {
    const OWN: [&str; 13] = [
        "title",
        "id",
        "name",
        "status",
        "description",
        "author",
        "references",
        "date",
        "modified",
        "level",
        "tags",
        "falsepositives",
        "fields",
    ];
    let empty = Map::new();
    let texts = document.texts.as_object().unwrap_or(&empty);
    let mut warnings = Vec::new();
    let mut described = Described(texts, &mut warnings);
    let (id, name) = (described.text("id"), described.text("name"));
    let title = described.text("title").filter(|title| !title.trim().is_empty());
    let title = title.unwrap_or_else(|| {
        described.1.push("there is no title".to_owned());
        name.clone()
            .or_else(|| id.clone())
            .unwrap_or_else(|| "Untitled".to_owned())
    });
    let mut custom = document.value.as_object().cloned().unwrap_or_default();
    custom.retain(|key, _| !OWN.contains(&key.as_str()) && !sections.contains(&key.as_str()));
    let header = Header {
        title,
        id,
        name,
        status: described.word("status", &Status::NAMES),
        description: described.text("description"),
        author: described.text("author"),
        references: described.texts("references"),
        date: described.text("date"),
        modified: described.text("modified"),
        level: described.word("level", &Level::NAMES),
        tags: described.texts("tags"),
        falsepositives: described.texts("falsepositives"),
        custom,
        warnings: Vec::new(),
    };
    Header { warnings, ..header }
}

fn parse_logsource(section: Option<&Value>, warnings: &mut Vec<String>) -> Result<LogSource, Refusal> {
    /// Keys that describe the log source without restricting it.
    const ABOUT: [&str; 9] = [
        "definition",
        "description",
        "comment",
        "comments",
        "note",
        "notes",
        "title",
        "author",
        "references",
    ];
    let advice = "add `logsource:` with category, product or service";
    let Some(Value::Object(section)) = section else {
        return Err(Refusal::new("the rule has no log source", advice));
    };
    let part = |key: &str| match section.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(_) => {
            Err(Refusal::new(format!("`{key}` is not a string"), "use one string").near(format!("{key}:")))
        }
    };
    let source = LogSource {
        category: part("category")?,
        product: part("product")?,
        service: part("service")?,
    };
    for key in section
        .keys()
        .filter(|key| !["category", "product", "service"].contains(&key.as_str()))
    {
        if !ABOUT.contains(&key.to_ascii_lowercase().as_str()) {
            return Err(Refusal::new(
                format!("the log source has the key `{key}`, which would restrict it and is not supported"),
                "use category, product and service",
            )
            .near(format!("{key}:")));
        }
        if key != "definition" {
            warnings.push(format!(
                "`logsource.{key}` is ignored: Sigma does not define this key"
            ));
        }
    }
    if source == LogSource::default() {
        return Err(Refusal::new("the log source is empty", advice).near("logsource:"));
    }
    Ok(source)
}

/// The descriptive keys of a document, as texts, and the list for warnings about them.
struct Described<'a>(&'a Map<String, Value>, &'a mut Vec<String>);

impl Described<'_> {
    fn text(&mut self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => {
                self.1.push(format!("`{key}` is ignored: it is not a string"));
                None
            }
        }
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let listed = match self.0.get(key) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let texts: Vec<String> = listed
            .iter()
            .filter_map(|value| value.as_str().map(ToOwned::to_owned))
            .collect();
        if texts.len() < listed.len() {
            self.1.push(format!(
                "members of `{key}` are ignored: they are empty or not strings"
            ));
        }
        texts
    }

    fn word<T: Copy>(&mut self, key: &str, known: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let word = text.trim();
        let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        match found {
            Some((name, _)) if *name != text => {
                self.1.push(format!("`{key}: {text}` is read as `{name}`"));
            }
            Some(_) => {}
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                self.1.push(format!(
                    "`{key}: {text}` is ignored: it is not one of {}",
                    names.join(", ")
                ));
            }
        }
        found.map(|(_, value)| *value)
    }
}
