//! The formats of a file or body of records, and repairs of slightly damaged records.
//!
//! Records are lines of JSON. Other unambiguous formats are also read: one JSON document (an array, an API response,
//! Logpush's `batch_prefix` and `batch_suffix`), records in an envelope, a byte order mark, half a surrogate pair, a
//! number out of range. Unsupported formats are reported by name: CSV, UTF-16. Pure.
//!
//! [`Former`] receives the lines of one file; [`second_look`] reads a line that is not a record as written.

use super::dataset::Dataset;
use super::reason::Reason;
use super::recognise::{dataset_of, has_field};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The maximum size of one JSON document, in bytes. Chosen; in larger files only lines are read.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;
/// The maximum nesting depth of envelopes.
const ENVELOPES_MAX: usize = 3;
/// A byte order mark in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();
/// The maximum length of an ownership challenge: an encrypted token on one line.
pub const CHALLENGE_BYTES: usize = 4096;

/// A record from a line that is not a record as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The record, as JSON.
    pub text: String,
    /// Whether something was repaired. An envelope is not damage.
    pub is_repaired: bool,
}

/// A line that may be a record, or the reason for rejecting lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formed {
    /// Its number; in a document, the number of the record.
    pub number: u64,
    /// The line, or why it and the remaining lines are rejected.
    pub line: Result<Vec<u8>, Reason>,
    /// Whether something was already repaired.
    pub is_repaired: bool,
}

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Start,
    /// The first line may be the start of a document; the second line shows which.
    Held(u64, Vec<u8>),
    Lines,
    Document(Vec<u8>),
    /// The file contains no record, and this was reported.
    Over,
}

/// Determines the format of a file from its first lines.
#[derive(Debug, Default)]
pub struct Former {
    mode: Mode,
}

impl Former {
    /// Whether every further line is a record by itself, so that the caller need not pass it.
    pub fn is_lines(&self) -> bool {
        matches!(self.mode, Mode::Lines)
    }

    /// Takes the next line, which is not blank.
    pub fn take(&mut self, number: u64, line: &[u8], out: &mut Vec<Formed>) {
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Lines => {
                self.mode = Mode::Lines;
                out.push(as_it_is(number, line));
            }
            Mode::Start => self.start(number, line, out),
            Mode::Held(first_number, first) => {
                if is_object(line) {
                    self.mode = Mode::Lines;
                    out.push(as_it_is(first_number, &first));
                    out.push(as_it_is(number, line));
                } else {
                    self.begin_document(first);
                    self.take(number, line, out);
                }
            }
            Mode::Document(mut bytes) => {
                if bytes.len() + line.len() > DOCUMENT_BYTES_MAX {
                    out.push(refused(
                        1,
                        format!(
                            "the file is one JSON document of more than {DOCUMENT_BYTES_MAX} bytes; use \
                                 ndjson, with one record per line"
                        ),
                    ));
                    return;
                }
                bytes.push(b'\n');
                bytes.extend_from_slice(line);
                self.mode = Mode::Document(bytes);
            }
            Mode::Over => {}
        }
    }

    /// Ends the file.
    pub fn end(&mut self, out: &mut Vec<Formed>) {
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Held(number, line) => out.push(as_it_is(number, &line)),
            Mode::Document(bytes) => document(&bytes, out),
            Mode::Start | Mode::Lines | Mode::Over => {}
        }
    }

    fn start(&mut self, number: u64, line: &[u8], out: &mut Vec<Formed>) {
        if let Some(reason) = not_text(line) {
            return out.push(refused(number, reason));
        }
        let bare = line.strip_prefix(MARK).unwrap_or(line).trim_ascii();
        let is_marked = bare.len() < line.trim_ascii().len();
        match (bare.first(), bare.last()) {
            (None, _) => self.mode = Mode::Start,
            (Some(b'{' | b'['), Some(last)) => {
                if serde_json::from_slice::<IgnoredAny>(bare).is_ok() || second_look(bare, None).is_ok() {
                    self.mode = Mode::Lines;
                    // The line goes on with its mark, so that it is counted as repaired.
                    out.push(as_it_is(number, line));
                } else if matches!(last, b'[' | b'{') || bare.first() == Some(&b'[') {
                    self.begin_document(bare.to_vec());
                } else if *last == b',' {
                    self.mode = Mode::Held(number, bare.to_vec());
                } else {
                    self.mode = Mode::Lines;
                    out.push(as_it_is(number, line));
                }
            }
            _ if is_challenge(bare) => {}
            _ => {
                if let Some(reason) = delimited(bare) {
                    out.push(refused(number, reason));
                } else {
                    self.mode = Mode::Lines;
                    let line = if is_marked { bare } else { line };
                    out.push(as_it_is(number, line));
                }
            }
        }
    }

    fn begin_document(&mut self, bytes: Vec<u8>) {
        self.mode = Mode::Document(bytes);
    }
}

fn as_it_is(number: u64, line: &[u8]) -> Formed {
    Formed {
        number,
        line: Ok(line.to_vec()),
        is_repaired: false,
    }
}

fn refused(number: u64, reason: String) -> Formed {
    Formed {
        number,
        line: Err(reason.into()),
        is_repaired: false,
    }
}

fn is_object(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Whether this is the token that Cloudflare asks the owner of a bucket to read back: an encrypted token (JWE) and
/// nothing else.
pub fn is_challenge(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.starts_with(b"eyJ")
        && text.len() <= CHALLENGE_BYTES
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'=' | b'+' | b'/')
        })
}

/// Whether an object with this name is in a log folder but contains no logs.
pub fn is_other_object(name: &str) -> bool {
    name.starts_with("ownership-challenge")
}

/// Why the start of a file is not readable text.
fn not_text(line: &[u8]) -> Option<String> {
    let is_wide = line.starts_with(&[0xff, 0xfe])
        || line.starts_with(&[0xfe, 0xff])
        || (line.len() > 3
            && (line[0] == 0) != (line[1] == 0)
            && line.iter().take(64).filter(|byte| **byte == 0).count() > 1);
    if is_wide {
        return Some("the file is UTF-16; convert it to UTF-8".to_owned());
    }
    for (magic, name) in [
        (&b"PK\x03\x04"[..], "a ZIP file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ", "an xz file"),
        (b"PAR1", "a Parquet file"),
    ] {
        if line.starts_with(magic) {
            return Some(format!(
                "unsupported format: {name}; use JSON lines, plain or gzip"
            ));
        }
    }
    None
}

/// Why a first line that is not JSON starts a table.
fn delimited(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    for (delimiter, name) in [
        (',', "CSV"),
        ('\t', "a tab-separated table"),
        (';', "CSV"),
        ('|', "a `|`-separated table"),
    ] {
        let cells: Vec<&str> = text
            .split(delimiter)
            .map(|cell| cell.trim().trim_matches(['"', '\'']))
            .collect();
        let is_known = |cell: &&&str| {
            super::DATASETS
                .iter()
                .any(|dataset| has_field(dataset.name, cell))
        };
        let known = cells.iter().filter(is_known).count();
        let has_time = cells
            .iter()
            .any(|cell| super::normalise::read_time_text(cell).is_some());
        if cells.len() > 1 && (known * 2 >= cells.len() || (has_time && cells.len() > 2)) {
            return Some(format!(
                "unsupported format: {name}; set the Logpush output_type to ndjson, with one JSON \
                     record per line"
            ));
        }
    }
    None
}

/// The records of one JSON document, or of several in sequence.
fn document(bytes: &[u8], out: &mut Vec<Formed>) {
    let (text, is_repaired) = mend(bytes);
    let mut number = 0;
    let mut push = |line: Result<Vec<u8>, Reason>| {
        number += 1;
        out.push(Formed {
            number,
            line,
            is_repaired,
        });
    };
    let mut rest = text.as_ref();
    while !rest.trim_start_matches([',', ' ', '\t', '\r', '\n']).is_empty() {
        rest = rest.trim_start_matches([',', ' ', '\t', '\r', '\n']);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => match records_in(value, None) {
                Ok(records) => records
                    .into_iter()
                    .for_each(|record| push(Ok(record.to_string().into_bytes()))),
                Err(reason) => push(Err(reason)),
            },
            Some(Err(error)) => {
                // The records of a list that is cut off are whole up to there.
                let whole = whole_records(rest);
                whole
                    .into_iter()
                    .for_each(|record| push(Ok(record.to_string().into_bytes())));
                let reason = format!(
                    "the file is one JSON document with an error at line {}, column {}: use ndjson, \
                         with one record per line",
                    error.line(),
                    error.column()
                );
                return push(Err(reason.into()));
            }
            None => return,
        }
        let read = values.byte_offset();
        rest = rest.get(read..).unwrap_or_default();
    }
}

/// The objects of the first list in a damaged document, up to the damage.
fn whole_records(text: &str) -> Vec<Value> {
    let Some(start) = text.find('[') else {
        return Vec::new();
    };
    let mut rest = &text[start + 1..];
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t', '\r', '\n']);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(value @ Value::Object(_))) = values.next() else {
            return found;
        };
        rest = rest.get(values.byte_offset()..).unwrap_or_default();
        found.extend(records_in(value, None).unwrap_or_default());
    }
}

/// Reads a line that is not a record of `dataset` as written, and returns the records that it unambiguously contains.
pub fn second_look(line: &[u8], dataset: Option<&Dataset>) -> Result<Vec<Mended>, Reason> {
    let (text, is_repaired) = mend(line);
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        let message = error.to_string();
        if message.starts_with("recursion limit") {
            return "nested more than 127 levels deep".into();
        }
        let message = message.split(" at line ").next().unwrap_or_default();
        Reason::with("not JSON", format!("{message} at column {}", error.column()))
    })?;
    let is_single = matches!(&value, Value::Object(map) if is_record(map, dataset));
    if is_single {
        return Ok(vec![Mended {
            text: text.into_owned(),
            is_repaired,
        }]);
    }
    let records = records_in(value, dataset)?;
    Ok(records
        .into_iter()
        .map(|record| Mended {
            text: record.to_string(),
            is_repaired,
        })
        .collect())
}

/// Whether the keys are those of a record, of this dataset or of any.
fn is_record(map: &Map<String, Value>, dataset: Option<&Dataset>) -> bool {
    match dataset {
        Some(dataset) => {
            map.contains_key(dataset.time)
                || map.keys().filter(|key| has_field(dataset.name, key)).count() > 1
        }
        None => dataset_of(map.keys().map(String::as_str)).is_some(),
    }
}

/// The same for the content of an envelope, which must have the time of a record.
fn is_surely_record(map: &Map<String, Value>, dataset: Option<&Dataset>) -> bool {
    dataset
        .or_else(|| dataset_of(map.keys().map(String::as_str)))
        .is_some_and(|dataset| map.contains_key(dataset.time))
}

/// The records in a value: the value itself, the members of a list, or the content of an envelope.
fn records_in(value: Value, dataset: Option<&Dataset>) -> Result<Vec<Value>, Reason> {
    fn open(value: Value, dataset: Option<&Dataset>, depth: usize) -> Result<Vec<Value>, Reason> {
        match value {
            Value::Array(list) => {
                let mut records = Vec::with_capacity(list.len());
                for member in list {
                    if !matches!(member, Value::Object(_) | Value::Array(_)) {
                        return Err("not a JSON object".into());
                    }
                    records.extend(open(member, dataset, depth)?);
                }
                Ok(records)
            }
            Value::Object(map) if depth >= ENVELOPES_MAX || is_record(&map, dataset) => Ok(vec![map.into()]),
            Value::Object(map) => {
                let key = envelope(&map, dataset).map(str::to_owned);
                match key.and_then(|key| map.get(&key).cloned()) {
                    Some(inner) => open(inner, dataset, depth + 1),
                    None => Ok(vec![map.into()]),
                }
            }
            _ => Err("not a JSON object".into()),
        }
    }
    open(value, dataset, 0)
}

/// The key under which an envelope contains its records, if it certainly is one.
fn envelope<'m>(map: &'m Map<String, Value>, dataset: Option<&Dataset>) -> Option<&'m str> {
    // An answer of the API, which may be empty.
    if map.contains_key("success") && map.get("result").is_some_and(Value::is_array) {
        return Some("result");
    }
    let is_list = |value: &Value| matches!(value, Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_object));
    let holds: Vec<&String> = map
        .iter()
        .filter(|(_, value)| value.is_object() || is_list(value))
        .map(|(key, _)| key)
        .collect();
    // One that is alone holds whatever it is; among others, it must be a record that is known.
    let [only] = holds.as_slice() else { return None };
    let first = match &map[only.as_str()] {
        Value::Array(list) => list.first().and_then(Value::as_object),
        other => other.as_object(),
    };
    let is_known = first.is_some_and(|inner| {
        is_surely_record(inner, dataset) || envelope(inner, dataset).is_some_and(|_| inner.len() == 1)
    });
    let is_alone_list = map.len() == 1 && map[only.as_str()].is_array();
    (is_known || is_alone_list).then_some(only.as_str())
}

/// The text as readable JSON, and whether anything was changed: bytes that are not UTF-8, a byte order mark, halves of
/// surrogate pairs and control characters in texts, numbers outside every reader's range.
pub fn mend(line: &[u8]) -> (Cow<'_, str>, bool) {
    let bare = line.strip_prefix(MARK).unwrap_or(line);
    let had_mark = bare.len() < line.len();
    let text = String::from_utf8_lossy(bare);
    let had_others = matches!(text, Cow::Owned(_));
    let (mended, changed) = mend_text(&text);
    if changed {
        (Cow::Owned(mended), true)
    } else {
        (text, had_mark || had_others)
    }
}

fn mend_text(text: &str) -> (String, bool) {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut at = 0;
    // What stands from here on is not written yet.
    let mut from = 0;
    let mut replace = |out: &mut String, from: &mut usize, start: usize, end: usize, with: &str| {
        out.push_str(&text[*from..start]);
        out.push_str(with);
        *from = end;
        changed = true;
    };
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    match bytes[at] {
                        b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                            let unit = |start: usize| {
                                let digits = text.get(start + 2..start + 6)?;
                                (bytes.get(start..start + 2)? == b"\\u").then_some(())?;
                                u16::from_str_radix(digits, 16).ok()
                            };
                            match unit(at) {
                                Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => {
                                    at += 12;
                                }
                                Some(0xd800..=0xdfff) => {
                                    replace(&mut out, &mut from, at, at + 6, "\\ufffd");
                                    at += 6;
                                }
                                _ => at += 2,
                            }
                        }
                        b'\\' => at += 2,
                        control @ 0..=0x1f => {
                            replace(&mut out, &mut from, at, at + 1, &format!("\\u{control:04x}"));
                            at += 1;
                        }
                        _ => at += 1,
                    }
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let start = at;
                while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                {
                    at += 1;
                }
                let number = &text[start..at];
                let is_whole = number
                    .trim_start_matches('-')
                    .bytes()
                    .all(|byte| byte.is_ascii_digit());
                let is_beyond = if is_whole {
                    number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
                } else {
                    number.parse::<f64>().is_ok_and(f64::is_infinite)
                };
                // As a text it keeps all its digits.
                if is_beyond && number.len() > 1 {
                    replace(&mut out, &mut from, start, at, &format!("\"{number}\""));
                }
            }
            _ => at += 1,
        }
    }
    if changed {
        out.push_str(&text[from..]);
    }
    (out, changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DNS: &str =
        r#"{"Datetime":"2026-11-27T08:10:00Z","Email":"a@x.example","QueryID":"q","QueryName":"b.example"}"#;

    /// The records of a file, each by its QueryID, or the reason for rejecting it.
    fn formed(text: impl AsRef<[u8]>) -> Vec<String> {
        let mut former = Former::default();
        let mut out = Vec::new();
        for (number, line) in text.as_ref().split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if !line.is_empty() {
                former.take(number as u64 + 1, line, &mut out);
            }
        }
        former.end(&mut out);
        let dataset = Dataset::named("gateway_dns");
        out.into_iter()
            .flat_map(|formed| match formed.line {
                Err(reason) => vec![reason.to_string()],
                Ok(line) => match second_look(&line, dataset) {
                    Err(reason) => vec![reason.to_string()],
                    Ok(records) => records
                        .into_iter()
                        .map(|record| {
                            let value: Value = serde_json::from_str(&record.text).unwrap();
                            value["QueryID"].as_str().unwrap_or("?").to_owned()
                        })
                        .collect(),
                },
            })
            .collect()
    }

    fn of(id: &str) -> String {
        DNS.replace("\"q\"", &format!("\"{id}\""))
    }

    #[test]
    fn every_form_that_is_surely_meant_is_read() {
        let (a, b) = (of("a"), of("b"));
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&a).unwrap()).unwrap();
        for text in [
            format!("{a}\n{b}"),
            format!("\u{feff}{a}\r\n{b}\r\n"),
            format!("[{a},{b}]"),
            format!("[\n{a},\n{b}\n]"),
            format!("[\n  {a}\n  ,{b}\n]\n"),
            format!("{{\"events\":[\n{{\"info\": {a}}},\n{{\"info\": {b}}}\n]}}"),
            format!("{{\"events\":[{{\"info\":{a}}},\n{{\"info\":{b}}}]}}"),
            format!("{{\"result\":[{a},{b}]}}"),
            format!(
                "{{\"success\":true,\"errors\":[],\"messages\":[],\"result\":[{a},{b}],\"result_info\":{{\"page\":1}}}}"
            ),
            format!("{{\n  \"success\": true,\n  \"result\": [\n    {a},\n    {b}\n  ]\n}}"),
            format!(
                "{{\"event\":{a},\"source\":\"x\",\"time\":5}}\n{{\"event\":{b},\"source\":\"x\",\"time\":5}}"
            ),
            format!("{{\"info\":{a}}}\n{{\"info\":{b}}}"),
            format!("{pretty}\n{}", pretty.replace("\"a\"", "\"b\"")),
            format!("[{a}]\n[{b}]"),
        ] {
            assert_eq!(formed(&text), ["a", "b"], "{text}");
        }
        assert_eq!(formed(r#"{"success":true,"result":[]}"#), Vec::<String>::new());
        assert_eq!(formed("eyJhbGciOiJkaXIiaaaa.bbb-_"), Vec::<String>::new());
    }

    #[test]
    fn an_object_inside_a_record_of_another_product_is_no_record() {
        let line = r##"{"#attributes":{"Name":"TaskDisabled"},"TaskName":"x","EventID":142}"##;
        let looked = second_look(line.as_bytes(), None).unwrap();
        assert_eq!(looked[0].text, line);
    }

    #[test]
    fn what_is_not_read_is_named_once() {
        let wide: Vec<u8> = DNS.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(wide.clone()).collect();
        for (text, words) in [
            (
                b"Datetime,Email,QueryID\n2026-11-27T08:10:00Z,a,b\n2026-11-27T08:10:00Z,a,b".to_vec(),
                "CSV",
            ),
            (
                b"\"Datetime\",\"Email\"\n\"x\",\"y\"".to_vec(),
                "set the Logpush output_type to ndjson",
            ),
            (b"2026-11-27T08:10:00Z,a@x.example,b.example\n".to_vec(), "CSV"),
            (b"Datetime\tEmail\tQueryID\nx\ty\tz".to_vec(), "tab-separated"),
            (wide, "UTF-16"),
            (marked, "UTF-16"),
            (b"PK\x03\x04....".to_vec(), "ZIP"),
        ] {
            let said = formed(&text);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(words), "{said:?}");
        }
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let cut = &DNS[..40];
        assert_eq!(formed(format!("{cut}\n{}", of("b"))).len(), 2);
        assert_eq!(
            formed(format!("{cut},\n{}\n{}", of("b"), of("c")))[1..],
            ["b", "c"]
        );
        let said = formed(format!("[\n{},\n{},\n{{\"QueryID\":", of("a"), of("b")));
        assert_eq!(said[..2], ["a", "b"]);
        assert!(said[2].contains("with an error at line 4"), "{said:?}");
    }

    #[test]
    fn what_no_reader_holds_is_mended() {
        for (line, expected) in [
            (r#"{"a":"x \ud83d"}"#, json!({"a": "x \u{fffd}"})),
            (
                r#"{"a":"\udc00 \ud83d\ude00 \\ud800"}"#,
                json!({"a": "\u{fffd} \u{1f600} \\ud800"}),
            ),
            (
                r#"{"a":1e999,"b":-1e999,"c":[1E+400]}"#,
                json!({"a": "1e999", "b": "-1e999", "c": ["1E+400"]}),
            ),
            (
                r#"{"a":123456789012345678901,"b":18446744073709551615}"#,
                json!({"a": "123456789012345678901", "b": 18_446_744_073_709_551_615_u64}),
            ),
            ("{\"a\":\"x\ty\"}", json!({"a": "x\ty"})),
            ("\u{feff}{\"a\":1}", json!({"a": 1})),
        ] {
            let (text, is_repaired) = mend(line.as_bytes());
            assert!(is_repaired, "{line}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected, "{line}");
        }
        let (text, is_repaired) = mend(b"{\"a\":\"\xff\"}");
        assert_eq!((text.as_ref(), is_repaired), ("{\"a\":\"\u{fffd}\"}", true));
        for line in [DNS, r#"{"a":1.5e3,"b":"1e999","c":"\u0041\\"}"#] {
            assert_eq!(mend(line.as_bytes()), (Cow::Borrowed(line), false));
        }
    }
}
