//! One line of NDJSON as the values of the fields that rules name; everything else is read past.
//!
//! Fields are found by their place first: the records of one source name their fields in one order, so the key
//! that stood here last time is tried before a lookup. Most lines are read by [`super::quick`], the others here.

use std::borrow::Cow;
use std::collections::HashMap;

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
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let message = error.to_string();
        if message.starts_with("recursion limit") {
            return NotARecord::Deep;
        }
        // The line is the caller's to name, and it is the only one here.
        let place = format!(" at line {} column ", error.line());
        NotARecord::Json(message.replace(&place, " at column "))
    })?;
    let Value::Object(record) = value else {
        return Err(NotARecord::Object);
    };
    shape.begin();
    let count = record.len();
    for (place, (key, value)) in record.into_iter().enumerate() {
        let Some(root) = shape.root(roots, place, &key) else {
            continue;
        };
        slots[root as usize] = match value {
            Value::Object(_) if !roots.is_deep(root) => Slot::Object,
            Value::Array(list) if !roots.is_deep(root) => {
                let start = members.len();
                list.into_iter().for_each(|member| add_members(member, members));
                let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                Slot::List(place(start), place(members.len()))
            }
            value => tree_slot(value),
        };
    }
    shape.end(count);
    Ok(())
}

/// Adds the scalars of a list's member; a list inside a list has its members here too, an object none.
fn add_members(member: Value, members: &mut Vec<Found<'_>>) {
    match member {
        Value::Object(_) => {}
        Value::Array(list) => list.into_iter().for_each(|member| add_members(member, members)),
        scalar => members.extend(found(scalar)),
    }
}

fn found<'a>(scalar: Value) -> Option<Found<'a>> {
    Some(match scalar {
        Value::Null => Found::Null,
        Value::Bool(truth) => Found::Bool(truth),
        Value::Number(number) => match number.as_i128() {
            Some(number) => Found::Int(number),
            None => Found::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Found::Text(text.into()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// A value of whose inside something is asked, or a scalar.
pub(super) fn tree_slot<'a>(value: Value) -> Slot<'a> {
    if matches!(value, Value::Array(_) | Value::Object(_)) {
        return Slot::Tree(Box::new(value));
    }
    found(value).map_or(Slot::Absent, Slot::One)
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
