//! The order of keys in records. Records of one source usually have the same keys in the same order, so the reader
//! first tries the key that was at this position in the previous record, then a lookup. Keys that only some records
//! have are skipped where they are missing.

use super::record::Roots;

/// The maximum number of remembered keys, so that a record with endless keys does not use endless memory.
const MAX_KEYS: usize = 1_000;
/// The number of bytes of a key that are compared without a loop.
const HEAD: usize = 32;
/// The number of missing keys in a row that are skipped without reading the actual key.
const PASSED: usize = 4;
/// The number of further keys that are compared after the actual key was read.
const LOOKED_AT: usize = 64;

/// The keys of earlier records, and the state of the current one.
#[derive(Debug, Default)]
pub(super) struct Shape {
    keys: Vec<Key>,
    /// The index of the next expected key.
    next: usize,
    /// The key that was last found, if it is remembered.
    last: Option<usize>,
    /// Whether this record has had a key.
    is_begun: bool,
    /// Whether each key of this record was the one expected.
    is_expected: bool,
}

/// A remembered key, and its slot.
#[derive(Debug)]
struct Key {
    text: Box<str>,
    root: Option<u32>,
    /// The bytes as written, from the separator after the previous value to the start of its own value; empty if
    /// unknown.
    written: Box<[u8]>,
    /// Whether it was written as the first key of a record, including the opening brace.
    is_first: bool,
    head: [u64; 4],
    mask: [u64; 4],
}

impl Key {
    /// The length of the key in bytes, if `line` starts with it exactly as last time and at a position where such a key
    /// may be.
    #[inline(always)]
    fn begins(&self, line: &[u8], is_begun: bool) -> Option<usize> {
        if self.is_first == is_begun {
            return None;
        }
        let length = self.written.len();
        let Some(head) = line.first_chunk::<HEAD>() else {
            return (length > 0 && line.starts_with(&self.written)).then_some(length);
        };
        let differing = words(head)
            .iter()
            .zip(self.head)
            .zip(self.mask)
            .fold(0, |differing, ((word, known), mask)| {
                differing | ((word ^ known) & mask)
            });
        let is_same = differing == 0
            && length > 0
            && (length <= HEAD || line.get(HEAD..length) == Some(&self.written[HEAD..]));
        is_same.then_some(length)
    }
}

fn words(bytes: &[u8; HEAD]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|place| u64::from_le_bytes(words[place]))
}

impl Shape {
    /// Starts a record.
    pub(super) fn begin(&mut self) {
        // Keys that the previous record did not follow are of no use.
        if self.keys.len() >= MAX_KEYS && !self.is_expected {
            self.keys.clear();
        }
        self.next = 0;
        self.is_begun = false;
        self.is_expected = true;
    }

    /// Whether this record has had a key.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The length in bytes of the next key in `line`, and its slot, if it is an expected key.
    #[inline(always)]
    pub(super) fn meet(&mut self, line: &[u8]) -> Option<(usize, Option<u32>)> {
        let known = self.keys.get(self.next)?;
        let Some(length) = known.begins(line, self.is_begun) else {
            return self.meet_later(line);
        };
        self.next += 1;
        self.is_begun = true;
        Some((length, known.root))
    }

    #[cold]
    fn meet_later(&mut self, line: &[u8]) -> Option<(usize, Option<u32>)> {
        let later = self.keys.iter().skip(self.next + 1).take(PASSED);
        let (passed, (length, root)) = later
            .map(|key| Some((key.begins(line, self.is_begun)?, key.root)))
            .enumerate()
            .find_map(|(passed, found)| Some((passed, found?)))?;
        self.met(self.next + 1 + passed);
        Some((length, root))
    }

    fn met(&mut self, place: usize) {
        self.is_expected &= place == self.next;
        self.next = place + 1;
        self.is_begun = true;
        self.last = Some(place);
    }

    /// The slot of a key that was not expected. The key is remembered.
    pub(super) fn learn(&mut self, roots: &Roots, text: &str) -> Option<u32> {
        let ahead = self.keys.iter().skip(self.next).take(LOOKED_AT);
        if let Some(ahead) = ahead.map(|key| &*key.text).position(|known| known == text) {
            self.met(self.next + ahead);
            return self.last.and_then(|place| self.keys[place].root);
        }
        self.is_expected = false;
        let root = roots.place(text);
        if self.keys.len() < MAX_KEYS {
            let key = Key {
                text: text.into(),
                root,
                written: Box::default(),
                is_first: false,
                head: [0; 4],
                mask: [0; 4],
            };
            self.keys.insert(self.next, key);
            self.met(self.next);
        } else {
            self.last = None;
            self.is_begun = true;
        }
        root
    }

    /// Remembers how the last learnt key was written, and whether it was the first of a record.
    pub(super) fn note(&mut self, written: &[u8], is_first: bool) {
        let Some(known) = self.last.and_then(|place| self.keys.get_mut(place)) else {
            return;
        };
        if *known.written != *written || known.is_first != is_first {
            known.is_first = is_first;
            let of = |byte: &dyn Fn(usize) -> u8| words(&std::array::from_fn(byte));
            known.head = of(&|at| written.get(at).copied().unwrap_or(0));
            known.mask = of(&|at| if at < written.len() { u8::MAX } else { 0 });
            known.written = written.into();
        }
    }
}
