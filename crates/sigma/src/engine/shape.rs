//! The order of keys in records. Records of one source usually have the same keys in the same order, so the reader
//! first tries the key that was at this position in the previous record, then a lookup. Keys that only some records
//! have are skipped where they are missing.

use super::record::Roots;

/// A record of endless keys must not be remembered.
const MAX_KEYS: usize = 1_000;
/// So many bytes of a key are compared without a loop.
const HEAD: usize = 32;
/// So many missing keys in a row are passed over without reading the key that is there.
const PASSED: usize = 4;
/// So many more are looked at when it was read.
const LOOKED_AT: usize = 64;

/// The keys of earlier records, and what is known of those of the last one.
#[derive(Debug, Default)]
pub(super) struct Shape {
    keys: Vec<Key>,
    /// Which key is expected next.
    next: usize,
    /// The key that was met last, if it is remembered.
    last: Option<usize>,
    weight: u64,
    /// Whether this record has had a key.
    is_begun: bool,
    /// Whether each key of this record was the one expected.
    is_expected: bool,
    next_before: usize,
    was_expected: bool,
}

/// A key that was seen, and its slot.
#[derive(Debug)]
struct Key {
    text: Box<str>,
    root: Option<u32>,
    weight: u64,
    /// From what divides it from the value before up to its own value, as it was written; empty when that is not
    /// known.
    written: Box<[u8]>,
    /// Whether it was written as the first key of a record, with the brace before it.
    is_first: bool,
    head: [u64; 4],
    mask: [u64; 4],
}

impl Key {
    /// How many bytes it takes, if it begins `line` just as last time, and stands where such a key may.
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
    /// A record begins.
    pub(super) fn begin(&mut self) {
        if self.keys.len() >= MAX_KEYS && !self.was_expected {
            self.keys.clear();
        }
        self.next = 0;
        self.is_begun = false;
        self.weight = 0;
        self.is_expected = true;
    }

    /// The record was read to its end. Whether it had the keys of the one before it, in the same order.
    pub(super) fn end(&mut self) -> bool {
        let is_repeated = self.is_expected && self.was_expected && self.next == self.next_before;
        self.next_before = self.next;
        self.was_expected = self.is_expected;
        is_repeated
    }

    /// The record was none: the next one is like none before it.
    pub(super) fn fail(&mut self) {
        self.was_expected = false;
    }

    /// The sum of the weights of the keys that this record has had.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Whether this record has had a key.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// How many bytes the next key takes that `line` begins with, and its slot, if it is one that is expected.
    #[inline(always)]
    pub(super) fn meet(&mut self, line: &[u8]) -> Option<(usize, Option<u32>)> {
        let known = self.keys.get(self.next)?;
        let Some(length) = known.begins(line, self.is_begun) else {
            return self.meet_later(line);
        };
        self.next += 1;
        self.is_begun = true;
        self.weight = self.weight.wrapping_add(known.weight);
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
        self.weight = self.weight.wrapping_add(self.keys[place].weight);
        self.last = Some(place);
    }

    /// The slot of a key that was not met, which is remembered.
    pub(super) fn learn(&mut self, roots: &Roots, text: &str) -> Option<u32> {
        let ahead = self.keys.iter().skip(self.next).take(LOOKED_AT);
        if let Some(ahead) = ahead.map(|key| &*key.text).position(|known| known == text) {
            self.met(self.next + ahead);
            return self.last.and_then(|place| self.keys[place].root);
        }
        self.is_expected = false;
        let root = roots.place(text);
        let weight = roots.weight(text);
        if self.keys.len() < MAX_KEYS {
            let key = Key {
                text: text.into(),
                root,
                weight,
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
            self.weight = self.weight.wrapping_add(weight);
        }
        root
    }

    /// Remembers how the key that was learnt last was written, and whether as a record's first.
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
