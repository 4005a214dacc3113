//! Which keys came in which order: the records of one source name their fields alike, so that the key that stood
//! here last time is tried before a lookup.

use super::record::Roots;

/// A record of endless keys must not be remembered.
const MAX_KEYS: usize = 1_000;
/// So many bytes of a key are compared without a loop.
const HEAD: usize = 32;

/// Which keys came at which place of earlier records, and their slots.
#[derive(Debug, Default)]
pub(super) struct Shape {
    keys: Vec<Key>,
    /// How many keys the last record had.
    pub(super) count: usize,
    /// Whether the last record had the keys of the one before it, in the same order.
    pub(super) is_repeated: bool,
}

/// A key that was seen, and its slot.
#[derive(Debug)]
pub(super) struct Key {
    text: Box<str>,
    pub(super) root: Option<u32>,
    /// From what divides it from the value before up to its own value, as it was written; empty when it has not
    /// been noted.
    written: Box<[u8]>,
    head: [u64; 4],
    mask: [u64; 4],
}

impl Key {
    fn new(text: &str, root: Option<u32>) -> Self {
        Self {
            text: text.into(),
            root,
            written: Box::default(),
            head: [0; 4],
            mask: [0; 4],
        }
    }

    /// How many bytes it takes, if it begins `line` just as last time.
    #[inline]
    pub(super) fn begins(&self, line: &[u8]) -> Option<usize> {
        let length = self.written.len();
        let Some(head) = line.first_chunk::<HEAD>() else {
            return (length > 0 && line.starts_with(&self.written)).then_some(length);
        };
        let differing = words(head)
            .iter()
            .zip(self.head)
            .zip(self.mask)
            .fold(0, |differing, ((word, known), mask)| differing | ((word ^ known) & mask));
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
    pub(super) fn begin(&mut self) {
        self.is_repeated = true;
    }

    pub(super) fn end(&mut self, count: usize) {
        self.is_repeated &= count == self.count;
        self.count = count;
    }

    /// The key that stood at this place last time.
    #[inline]
    pub(super) fn expected(&self, place: usize) -> Option<&Key> {
        self.keys.get(place)
    }

    /// The slot of the key at this place, which is remembered.
    pub(super) fn root(&mut self, roots: &Roots, place: usize, key: &str) -> Option<u32> {
        if let Some(known) = self.keys.get_mut(place) {
            if *known.text != *key {
                self.is_repeated = false;
                *known = Key::new(key, roots.place(key));
            }
            return known.root;
        }
        self.is_repeated = false;
        let root = roots.place(key);
        if place < MAX_KEYS && place == self.keys.len() {
            self.keys.push(Key::new(key, root));
        }
        root
    }

    /// Remembers how the key at this place was written.
    pub(super) fn note(&mut self, place: usize, written: &[u8]) {
        if let Some(known) = self.keys.get_mut(place) {
            let of = |byte: &dyn Fn(usize) -> u8| words(&std::array::from_fn(byte));
            known.head = of(&|at| written.get(at).copied().unwrap_or(0));
            known.mask = of(&|at| if at < written.len() { u8::MAX } else { 0 });
            known.written = written.into();
        }
    }
}
