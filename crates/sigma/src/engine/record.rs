//! One line of NDJSON as the values of the fields that rules name; everything else is read past.
//!
//! Fields are found by their place first: the records of one source name their fields in one order, so the key
//! that stood here last time is tried before a lookup. Most lines are read by [`super::quick`], the others here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::event::{Event, Scalar};

/// How deep a record may be nested; the same as `serde_json` allows.
const MAX_DEPTH: usize = 127;

/// A scalar of a record; texts are borrowed from the line unless they have escapes.
#[derive(Debug, Clone)]
pub(super) enum Found<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
}

impl Found<'_> {
    pub(super) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(truth) => Scalar::Bool(*truth),
            Self::Int(number) => Scalar::Int(*number),
            Self::Float(number) => Scalar::Float(*number),
            Self::Text(text) => Scalar::Text(text),
        }
    }
}

/// What a record has under one key.
#[derive(Debug, Clone)]
pub(super) enum Slot<'a> {
    Absent,
    One(Found<'a>),
    /// A stretch of the record's members.
    List(u32, u32),
    /// An object, of whose inside nothing is asked.
    Object,
    /// An object or list, of whose inside something is asked.
    Tree(Box<Value>),
}

/// The keys of records that are kept.
#[derive(Debug, Default)]
pub(super) struct Roots {
    by_key: HashMap<String, u32>,
    /// Whether the inside of an object is asked for.
    deep: Vec<bool>,
}

impl Roots {
    /// The place of a key's slot.
    pub(super) fn add(&mut self, key: &str, deep: bool) -> u32 {
        let next = u32::try_from(self.deep.len()).unwrap_or(u32::MAX);
        let place = *self.by_key.entry(key.to_owned()).or_insert(next);
        if place == next {
            self.deep.push(false);
        }
        self.deep[place as usize] |= deep;
        place
    }

    pub(super) fn len(&self) -> usize {
        self.deep.len()
    }

    /// Whether the inside of what stands under the key is asked for.
    pub(super) fn is_deep(&self, place: u32) -> bool {
        self.deep[place as usize]
    }
}

/// Which keys came at which place of earlier records, and their slots.
#[derive(Debug, Default)]
pub(super) struct Shape {
    keys: Vec<Key>,
    /// How many keys the last record had.
    count: usize,
    /// Whether the last record had the keys of the one before it, in the same order.
    pub(super) is_repeated: bool,
}

/// A key that was seen, and its slot.
#[derive(Debug)]
struct Key {
    text: Box<str>,
    root: Option<u32>,
    /// Whether it is written in JSON as it is.
    is_plain: bool,
}

impl Key {
    fn new(text: &str, root: Option<u32>) -> Self {
        Self {
            is_plain: !text.contains(['"', '\\']),
            text: text.into(),
            root,
        }
    }
}

impl Shape {
    pub(super) fn begin(&mut self) {
        self.is_repeated = true;
    }

    pub(super) fn end(&mut self, count: usize) {
        self.is_repeated &= count == self.count;
        self.count = count;
    }

    /// The key that stood at this place last time, as it is written, and its slot.
    pub(super) fn expected(&self, place: usize) -> Option<(&[u8], Option<u32>)> {
        let known = self.keys.get(place).filter(|known| known.is_plain)?;
        Some((known.text.as_bytes(), known.root))
    }

    pub(super) fn root(&mut self, roots: &Roots, place: usize, key: &str) -> Option<u32> {
        match self.keys.get_mut(place) {
            Some(known) if *known.text == *key => known.root,
            Some(known) => {
                self.is_repeated = false;
                *known = Key::new(key, roots.by_key.get(key).copied());
                known.root
            }
            None => {
                self.is_repeated = false;
                let root = roots.by_key.get(key).copied();
                // A record of endless keys must not be remembered.
                if place < 1_000 && place == self.keys.len() {
                    self.keys.push(Key::new(key, root));
                }
                root
            }
        }
    }
}

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotARecord {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// It is JSON, and not an object.
    #[error("not a JSON object")]
    Object,
    /// Lists and objects lie too deep inside each other.
    #[error("nested more than {MAX_DEPTH} deep")]
    Deep,
}

/// Reads `line` into `slots` and `members`, which are emptied first.
pub(super) fn read<'de>(
    line: &'de [u8],
    roots: &Roots,
    shape: &mut Shape,
    slots: &mut Vec<Slot<'de>>,
    members: &mut Vec<Found<'de>>,
) -> Result<(), NotARecord> {
    let empty = |slots: &mut Vec<Slot<'de>>| {
        slots.clear();
        slots.resize(roots.len(), Slot::Absent);
    };
    empty(slots);
    members.clear();
    let count = shape.count;
    if super::quick::read(line, roots, shape, slots, members).is_some() {
        return Ok(());
    }
    empty(slots);
    members.clear();
    // The quick way may have noted other keys already.
    let was_repeated = shape.is_repeated;
    shape.count = count;
    let read = read_with_care(line, roots, shape, slots, members);
    shape.is_repeated &= was_repeated;
    if read.is_err() {
        // No record has so many keys: the next one is like none before it.
        shape.count = usize::MAX;
    }
    read
}

/// Reads any line, or says what is wrong with it.
fn read_with_care<'de>(
    line: &'de [u8],
    roots: &Roots,
    shape: &mut Shape,
    slots: &mut [Slot<'de>],
    members: &mut Vec<Found<'de>>,
) -> Result<(), NotARecord> {
    if may_be_deep(line) {
        check_depth(line)?;
    }
    let mut json = sonic_rs::Deserializer::from_slice(line);
    let seed = RecordSeed {
        roots,
        shape,
        slots,
        members,
    };
    let read = seed.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| {
        let first = line.trim_ascii_start().first();
        if first.is_some_and(|first| *first != b'{') && serde_json::from_slice::<IgnoredAny>(line).is_ok() {
            return NotARecord::Object;
        }
        // The parser's own message shows a piece of the line, which may be private, over several lines.
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        NotARecord::Json(message.trim().to_owned())
    })
}

/// Only a line with many brackets can be deep; most have few.
fn may_be_deep(line: &[u8]) -> bool {
    memchr::memchr2_iter(b'[', b'{', line).nth(MAX_DEPTH).is_some()
}

fn check_depth(line: &[u8]) -> Result<(), NotARecord> {
    match serde_json::from_slice::<IgnoredAny>(line) {
        Err(error) if error.to_string().contains("recursion") => Err(NotARecord::Deep),
        _ => Ok(()),
    }
}

struct RecordSeed<'s, 'de> {
    roots: &'s Roots,
    shape: &'s mut Shape,
    slots: &'s mut [Slot<'de>],
    members: &'s mut Vec<Found<'de>>,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut place = 0;
        self.shape.begin();
        while let Some(root) = map.next_key_seed(KeySeed {
            roots: self.roots,
            shape: self.shape,
            place,
        })? {
            place += 1;
            match root {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(root) => {
                    let deep = self.roots.is_deep(root);
                    self.slots[root as usize] = if deep {
                        tree(map.next_value::<Value>()?)
                    } else {
                        map.next_value_seed(SlotSeed(self.members))?
                    };
                }
            }
        }
        self.shape.end(place);
        Ok(())
    }
}

pub(super) fn tree<'a>(value: Value) -> Slot<'a> {
    Slot::One(match value {
        Value::Null => Found::Null,
        Value::Bool(truth) => Found::Bool(truth),
        Value::Number(number) => match number.as_i128() {
            Some(number) => Found::Int(number),
            None => Found::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Found::Text(text.into()),
        tree => return Slot::Tree(Box::new(tree)),
    })
}

struct KeySeed<'s> {
    roots: &'s Roots,
    shape: &'s mut Shape,
    place: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<u32>, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<u32>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<u32>, E> {
        Ok(self.shape.root(self.roots, self.place, key))
    }
}

macro_rules! scalars {
    ($found:ident => $give:expr) => {
        fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
            let $found = Found::Bool(truth);
            $give(self)
        }
        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            let $found = Found::Int(number.into());
            $give(self)
        }
        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            let $found = Found::Int(number.into());
            $give(self)
        }
        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            let $found = Found::Float(number);
            $give(self)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            let $found = Found::Null;
            $give(self)
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            let $found = Found::Text(text.into());
            $give(self)
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            let $found = Found::Text(text.to_owned().into());
            $give(self)
        }
    };
}

struct SlotSeed<'s, 'de>(&'s mut Vec<Found<'de>>);

impl<'de> DeserializeSeed<'de> for SlotSeed<'_, 'de> {
    type Value = Slot<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Slot<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SlotSeed<'_, 'de> {
    type Value = Slot<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    scalars!(found => |_: Self| Ok(Slot::One(found)));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Slot<'de>, A::Error> {
        let start = self.0.len();
        while list.next_element_seed(MemberSeed(&mut *self.0))?.is_some() {}
        let place = |number: usize| u32::try_from(number).map_err(|_| A::Error::custom("too many members"));
        Ok(Slot::List(place(start)?, place(self.0.len())?))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Slot<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Slot::Object)
    }
}

/// Adds the scalars of a list's member; a list inside a list has its members here too, an object none.
struct MemberSeed<'s, 'de>(&'s mut Vec<Found<'de>>);

impl<'de> DeserializeSeed<'de> for MemberSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemberSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    scalars!(found => |seed: Self| {
        seed.0.push(found);
        Ok(())
    });

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(MemberSeed(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl Slot<'_> {
    /// Shows `visit` the scalars until it says `true`. Answers whether the key is there at all.
    pub(super) fn each(&self, members: &[Found<'_>], visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        match self {
            Self::Absent => return false,
            Self::One(found) => {
                visit(found.scalar());
            }
            Self::List(start, end) => {
                let _ = members[*start as usize..*end as usize]
                    .iter()
                    .any(|found| visit(found.scalar()));
            }
            Self::Object => {}
            Self::Tree(tree) => {
                crate::event::members(tree, visit);
            }
        }
        true
    }

    /// The same for a path inside.
    pub(super) fn each_inside(&self, path: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        match self {
            Self::Tree(tree) => tree.field(path, visit),
            _ => false,
        }
    }
}
