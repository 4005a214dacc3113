//! Finds the rules for a line, and matches the line with them.
//!
//! The keys of a record show its dataset ([`dataset_of`]). The result is remembered for records with the same keys. A
//! digest of all keys takes time, so the dataset of the last record with the same first keys is tried before: if the
//! record has the time of that dataset and a field of no other one, it belongs to it. Start reading at
//! [`Sources::scan`].

use crate::detector::{Detector, DetectorScratch};
use crate::form::{Mended, second_look};
use crate::recognise::{keys_of_line, may_be_ours, plainly_other};
use crate::{DATASETS, Dataset, dataset_of, has_field};

/// The number of first keys. Chosen: those of two datasets usually differ this early.
const FIRST_KEYS: usize = 4;
/// The maximum number of remembered sources.
const REMEMBERED_MAX: usize = 10_000;

/// A line that was scanned.
pub(super) enum Scanned {
    /// A record. [`Sources::scratch`] of this source of the detector has the result.
    Record(usize),
    /// An envelope or a list, with these records inside.
    Envelope(Vec<Mended>),
}

/// Matches lines, and remembers the sources of the detector for their keys.
pub(super) struct Sources<'a> {
    detector: &'a Detector,
    /// The dataset of all records, if it is given.
    dataset: Option<&'static Dataset>,
    scratches: Vec<DetectorScratch>,
    /// By digests of keys: of all keys of a record, and of its first ones.
    remembered: hashbrown::HashMap<u64, usize>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(detector: &'a Detector, dataset: Option<&'static Dataset>) -> Self {
        // One for each dataset, for other products, and for unknown datasets.
        let scratches = (0..DATASETS.len() + 2).map(|_| DetectorScratch::default());
        Self {
            detector,
            dataset,
            scratches: scratches.collect(),
            remembered: hashbrown::HashMap::new(),
        }
    }

    /// The result for the last line that was scanned with a source.
    pub(super) fn scratch(&mut self, source: usize) -> &mut DetectorScratch {
        &mut self.scratches[source]
    }

    /// Matches a line with the rules of its source.
    ///
    /// # Errors
    ///
    /// The reason why the line is not a record.
    pub(super) fn scan(&mut self, line: &[u8]) -> Result<Scanned, String> {
        if line.first() == Some(&b'[') {
            let records = second_look(line, self.dataset).map_err(|reason| reason.to_string())?;
            return Ok(Scanned::Envelope(records));
        }
        match self.dataset {
            Some(dataset) => self.scan_given(dataset, line),
            None => self.scan_any(line),
        }
    }

    /// The same if all records should belong to one dataset.
    fn scan_given(&mut self, dataset: &'static Dataset, line: &[u8]) -> Result<Scanned, String> {
        let source = Detector::source(Some(dataset.name));
        if self.scan_as(source, line, None)? {
            return Ok(Scanned::Record(source));
        }
        let all_keys = KeyDigest::of_all(line);
        if self.remembered.get(&all_keys.sum) == Some(&source) {
            return Ok(Scanned::Record(source));
        }
        let keys = keys_of_line(line).unwrap_or_default();
        let names = || keys.iter().map(String::as_str);
        if let Some(other) = plainly_other(names, dataset) {
            return Err(format!(
                "the record belongs to {}, not to {}",
                other.name, dataset.name
            ));
        }
        if names().any(|key| has_field(dataset.name, key)) {
            self.remember(all_keys, source);
        } else if let Some(records) = envelope(line, Some(dataset)) {
            return Ok(Scanned::Envelope(records));
        }
        Ok(Scanned::Record(source))
    }

    /// The same if each record may belong to any dataset.
    fn scan_any(&mut self, line: &[u8]) -> Result<Scanned, String> {
        let first_keys = KeyDigest::of_first(line);
        let tried = self.remembered.get(&first_keys.sum).copied();
        if let Some(source) = tried
            && self.scan_as(source, line, None)?
        {
            return Ok(Scanned::Record(source));
        }
        let all_keys = KeyDigest::of_all(line);
        let known = self.remembered.get(&all_keys.sum).copied();
        let source = known.unwrap_or_else(|| source_of(line));
        if source == Detector::OTHER
            && all_keys.has_inner
            && let Some(records) = envelope(line, None)
        {
            return Ok(Scanned::Envelope(records));
        }
        if tried != Some(source) {
            self.scan_as(source, line, None)?;
            self.remember(first_keys, source);
        }
        // Only now it is certain that the line is a record, and not cut off after a key.
        if known.is_none() {
            self.remember(all_keys, source);
        }
        Ok(Scanned::Record(source))
    }

    fn remember(&mut self, keys: KeyDigest, source: usize) {
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        self.remembered.insert(keys.sum, source);
    }

    /// Matches a line that is known to be a record with the rules of its source, which is returned.
    ///
    /// # Errors
    ///
    /// The reason why the line is not a record after all.
    pub(super) fn scan_record(&mut self, line: &[u8]) -> Result<usize, String> {
        let source = source_of(line);
        self.scan_as(source, line, None)?;
        Ok(source)
    }

    /// Matches a line with the rules of a source. Returns whether the line certainly belongs to the source. `person` is
    /// the person of the record, if the caller knows it better than the record.
    pub(super) fn scan_as(
        &mut self,
        source: usize,
        line: &[u8],
        person: Option<&str>,
    ) -> Result<bool, String> {
        let scratch = &mut self.scratches[source];
        self.detector
            .look_from(source, line, person, scratch)
            .map_err(|error| error.to_string())?;
        Ok(scratch.found.has_own_field)
    }
}

/// The source of a record, according to all its keys.
fn source_of(line: &[u8]) -> usize {
    let keys = keys_of_line(line).unwrap_or_default();
    let names = || keys.iter().map(String::as_str);
    match dataset_of(names()) {
        Some(dataset) => Detector::source(Some(dataset.name)),
        None if may_be_ours(names()) => Detector::UNTOLD,
        None => Detector::OTHER,
    }
}

/// The records in a line, if it is an envelope.
fn envelope(line: &[u8], dataset: Option<&Dataset>) -> Option<Vec<Mended>> {
    let records = second_look(line, dataset).ok()?;
    (!is_only(&records, line)).then_some(records)
}

/// Whether the line itself is the only record in it.
pub(super) fn is_only(records: &[Mended], line: &[u8]) -> bool {
    matches!(records, [only] if only.text.as_bytes() == line)
}

/// A digest of a record's keys, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyDigest {
    sum: u64,
    /// Whether a value is a list or an object.
    has_inner: bool,
}

impl KeyDigest {
    /// Of all keys. Records with the same digest have the same keys.
    fn of_all(line: &[u8]) -> Self {
        Self::of(line, usize::MAX, 1)
    }

    /// Of the first keys, up to the first list or object.
    fn of_first(line: &[u8]) -> Self {
        Self::of(line, FIRST_KEYS, 0)
    }

    fn of(line: &[u8], keys_max: usize, seed: u64) -> Self {
        let mut digest = Self {
            sum: seed,
            has_inner: false,
        };
        let mut at = 0;
        for _ in 0..keys_max {
            let Some(open) = memchr::memchr(b'"', &line[at..]).map(|found| at + found + 1) else {
                break;
            };
            let Some(behind) = end_of_text(line, open) else {
                break;
            };
            digest.sum = add(digest.sum, &line[open..behind - 1]);
            let value = line[behind..].trim_ascii_start();
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii_start();
            let start = line.len() - value.len();
            let end = match value.first() {
                Some(b'"') => end_of_text(line, start + 1),
                Some(b'[' | b'{') => {
                    digest.has_inner = true;
                    if keys_max == FIRST_KEYS {
                        break;
                    }
                    end_of_inner(line, start)
                }
                Some(_) => memchr::memchr(b',', value).map(|found| start + found),
                None => None,
            };
            let Some(end) = end else { break };
            at = end;
        }
        digest
    }
}

/// The position after the list or object that starts at `start`.
fn end_of_inner(line: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match line.get(at)? {
            b'"' => {
                at = end_of_text(line, at + 1)?;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The position after the text whose inside starts at `start`.
fn end_of_text(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// Adds bytes to a digest that only has to tell a few apart.
fn add(before: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    words
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .chain([last, bytes.len() as u64])
        .fold(before, |digest, word| {
            (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::RuleBook;
    use crate::dataset_of_line;
    use std::collections::BTreeSet;

    /// Fields of datasets with the same start, some of them omitted, and some of an unknown dataset.
    fn line(numbers: &mut impl FnMut(usize) -> usize) -> String {
        const FIELDS: [&[&str]; 4] = [
            &["Action", "HTTPHost", "HTTPMethod", "PolicyID", "URL", "UserAgent"],
            &["Action", "DestinationPort", "PolicyID", "SNI", "Transport"],
            &["PolicyID", "QueryName", "QueryTypeName", "ResolverDecision"],
            &["Image", "PolicyID", "ProcessId", "URL"],
        ];
        let account = numbers(3).to_string().repeat(48);
        let mut line = format!("{{\"AccountID\":\"{account}\",\"Datetime\":1");
        for field in FIELDS[numbers(4)] {
            if numbers(4) > 0 {
                line += &format!(",\"{field}\":\"{}\"", numbers(2));
            }
        }
        line + "}"
    }

    #[test]
    fn each_record_is_told_as_if_it_came_alone() {
        let folder = tempfile::tempdir().unwrap();
        let book = RuleBook::of_folder(folder.path());
        let mut sources = Sources::new(&book.detector, None);
        let mut state = 7_u64;
        let mut numbers = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % end
        };
        let mut told = BTreeSet::new();
        for _ in 0..20_000 {
            let line = line(&mut numbers);
            let expected = dataset_of_line(line.as_bytes()).map(|dataset| dataset.name);
            let Ok(Scanned::Record(source)) = sources.scan(line.as_bytes()) else {
                panic!("not a record: {line}");
            };
            let found = DATASETS.get(source).map(|dataset| dataset.name);
            assert_eq!(found, expected, "{line}");
            told.insert(expected);
        }
        let expected = [
            None,
            Some("gateway_dns"),
            Some("gateway_http"),
            Some("gateway_network"),
        ];
        assert_eq!(told, BTreeSet::from(expected));
    }

    #[test]
    fn keys_are_read_past_values_of_any_kind() {
        let first = |line: &str| KeyDigest::of_first(line.as_bytes()).sum;
        let all = |line: &str| KeyDigest::of_all(line.as_bytes());
        let line = r#"{"a":"x","b":1,"c":true,"d":null,"e":1}"#;
        let like = r#"{ "a" : "\"\\", "b" : -1.5, "c":false,"d":"","f":2}"#;
        assert_eq!(first(line), first(like));
        assert_ne!(all(line), all(like));
        assert_ne!(first(line), first(r#"{"a":"x","b":1,"c":true,"e":1}"#));
        assert_eq!(first(r#"{"a":[1],"b":1}"#), first(r#"{"a":{"c":1},"d":1}"#));
        let inner = all(r#"{"a":[{"z":"]}"},[]],"b":{"y":{}},"c":1}"#);
        assert_eq!(inner, all(r#"{"a" : {} , "b" : [ ] , "c" : "" }"#));
        assert!(inner.has_inner && !all(line).has_inner);
        assert_ne!(inner.sum, all(r#"{"a":[],"b":{},"d":1}"#).sum);
        for length in 0..line.len() {
            all(&line[..length]);
        }
        for cut in [
            "{\"a\":\"\\",
            "{\"a\":[[",
            "{\"a\":[\"",
            "{\"a\":}}",
            "{\"a\":[]}]}",
            "\"\\\"",
            "[]",
        ] {
            all(cut);
        }
    }

    #[test]
    fn a_line_that_is_cut_off_does_not_decide_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let book = RuleBook::of_folder(folder.path());
        let mut sources = Sources::new(&book.detector, None);
        let whole = br#"{"Datetime":1,"SNI":"a","DestinationIP":"b","Action":"c","DestinationPort":1,"PolicyID":"d"}"#;
        let of = |scanned| match scanned {
            Ok(Scanned::Record(source)) => DATASETS.get(source).map(|dataset| dataset.name),
            _ => Some("not a record"),
        };
        assert_eq!(of(sources.scan(&whole[..whole.len() - 1])), Some("not a record"));
        for _ in 0..2 {
            assert_eq!(of(sources.scan(whole)), Some("gateway_network"));
        }
    }
}
