//! Reads one line of NDJSON into the values of the fields that rules use, and skips everything else.
//!
//! [`super::quick`] reads most lines; this file reads the others.

use std::collections::HashMap;

use serde_json::Value;

use super::quotes::Quotes;
use super::shape::Shape;

use crate::event::{Event, Scalar};

/// The maximum nesting depth of a record; the same as in `serde_json`.
const MAX_DEPTH: usize = 127;

/// A scalar of a record. Texts are ranges of the line or of [`Values::unescaped`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above the range of `Int`.
    Natural(u64),
    Float(f64),
    Text(u32, u32),
    OwnText(u32, u32),
}

impl Found {
    /// The text between two positions of the line.
    pub(super) fn text(start: usize, end: usize) -> Option<Self> {
        Some(Self::Text(u32::try_from(start).ok()?, u32::try_from(end).ok()?))
    }
}

/// The value of a record under one key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Absent,
    One(Found),
    /// A range of the record's list members.
    List(u32, u32),
    /// An object without tests on its inside.
    Object,
    /// An object or list with tests on its inside, by index.
    Tree(u32),
}

/// The values of one line. It borrows nothing, so that its memory can be reused for the next line.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) slots: Vec<Slot>,
    pub(super) members: Vec<Found>,
    /// Texts that are escaped in the line.
    pub(super) unescaped: String,
    trees: Vec<Value>,
}

impl Values {
    fn clear(&mut self, count: usize) {
        self.slots.clear();
        self.slots.resize(count, Slot::Absent);
        self.members.clear();
        self.unescaped.clear();
        self.trees.clear();
    }

    /// The text that was added to the unescaped ones from that position.
    pub(super) fn own_text(&self, start: usize) -> Option<Found> {
        let end = u32::try_from(self.unescaped.len()).ok()?;
        Some(Found::OwnText(u32::try_from(start).ok()?, end))
    }

    /// The members that were added from that position.
    pub(super) fn list(&self, start: usize) -> Option<Slot> {
        let end = u32::try_from(self.members.len()).ok()?;
        Some(Slot::List(u32::try_from(start).ok()?, end))
    }

    /// A value with tests on its inside, or a scalar.
    pub(super) fn tree(&mut self, value: Value) -> Option<Slot> {
        if !matches!(value, Value::Array(_) | Value::Object(_)) {
            return self.found(value).map(Slot::One);
        }
        self.trees.push(value);
        u32::try_from(self.trees.len() - 1).ok().map(Slot::Tree)
    }

    fn found(&mut self, scalar: Value) -> Option<Found> {
        Some(match scalar {
            Value::Null => Found::Null,
            Value::Bool(truth) => Found::Bool(truth),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Found::Int(number),
                (None, Some(number)) => Found::Natural(number),
                (None, None) => Found::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => {
                let start = self.unescaped.len();
                self.unescaped.push_str(&text);
                self.own_text(start)?
            }
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// Adds the scalars of a list's member. Members of a nested list are added too; objects add none.
    fn add_members(&mut self, member: Value) {
        match member {
            Value::Object(_) => {}
            Value::Array(list) => list.into_iter().for_each(|member| self.add_members(member)),
            scalar => {
                let found = self.found(scalar);
                self.members.extend(found);
            }
        }
    }

    #[inline]
    fn scalar<'v>(&'v self, found: Found, line: &'v str) -> Scalar<'v> {
        let part = |text: &'v str, start: u32, end: u32| {
            Scalar::Text(text.get(start as usize..end as usize).unwrap_or_default())
        };
        match found {
            Found::Null => Scalar::Null,
            Found::Bool(truth) => Scalar::Bool(truth),
            Found::Int(number) => Scalar::Int(number.into()),
            Found::Natural(number) => Scalar::Int(number.into()),
            Found::Float(number) => Scalar::Float(number),
            Found::Text(start, end) => part(line, start, end),
            Found::OwnText(start, end) => part(&self.unescaped, start, end),
        }
    }

    /// Calls `visit` with each scalar in a slot until it returns `true`. Returns whether the key exists.
    #[inline]
    pub(super) fn each(
        &self,
        slot: u32,
        line: &str,
        visit: &mut (impl FnMut(Scalar<'_>) -> bool + ?Sized),
    ) -> bool {
        match self.slots[slot as usize] {
            Slot::Absent => return false,
            Slot::One(found) => {
                visit(self.scalar(found, line));
            }
            Slot::List(start, end) => {
                let _ = self.members[start as usize..end as usize]
                    .iter()
                    .any(|found| visit(self.scalar(*found, line)));
            }
            Slot::Object => {}
            Slot::Tree(tree) => {
                crate::event::members(&self.trees[tree as usize], &mut |scalar| visit(scalar));
            }
        }
        true
    }

    /// The same for a path inside the value.
    pub(super) fn each_inside(
        &self,
        slot: u32,
        path: &str,
        visit: &mut dyn FnMut(Scalar<'_>) -> bool,
    ) -> bool {
        match self.slots[slot as usize] {
            Slot::Tree(tree) => self.trees[tree as usize].field(path, visit),
            _ => false,
        }
    }
}

/// The keys of records that are kept.
#[derive(Debug, Default)]
pub(super) struct Roots {
    by_key: HashMap<String, u32>,
    /// Whether the inside of an object is tested.
    deep: Vec<bool>,
}

impl Roots {
    /// The index of a key's slot.
    pub(super) fn add(&mut self, key: &str, deep: bool) -> u32 {
        let next = u32::try_from(self.deep.len()).unwrap_or(u32::MAX);
        let place = *self.by_key.entry(key.to_owned()).or_insert(next);
        if place == next {
            self.deep.push(false);
        }
        self.deep[place as usize] |= deep;
        place
    }

    /// The index of a key's slot, if the key is kept.
    pub(super) fn place(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Whether the inside of the value under the key is tested.
    pub(super) fn is_deep(&self, place: u32) -> bool {
        self.deep[place as usize]
    }
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotARecord {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// It is JSON, but not an object.
    #[error("not a JSON object")]
    Object,
    /// Lists and objects are nested too deeply.
    #[error("nested more than {MAX_DEPTH} levels deep")]
    Deep,
    /// It is larger than 4 GB.
    #[error("too long to read")]
    Long,
}

/// The state of a reader, kept from line to line of one matcher.
#[derive(Debug, Default)]
pub(super) struct Readings {
    shape: Shape,
    quotes: Quotes,
    pub(super) values: Values,
}

impl Readings {
    /// Reads `line`; `text` is the same line if it is UTF-8.
    pub(super) fn read(&mut self, line: &[u8], text: Option<&str>, roots: &Roots) -> Result<(), NotARecord> {
        let Self {
            shape,
            quotes,
            values,
        } = self;
        values.clear(roots.deep.len());
        shape.begin();
        let quick = text.and_then(|text| super::quick::read(text, roots, shape, quotes, values));
        if quick.is_none() {
            values.clear(roots.deep.len());
            shape.begin();
            read_with_care(line, roots, shape, values)?;
        }
        Ok(())
    }
}

/// Reads any line, or returns the error.
fn read_with_care(
    line: &[u8],
    roots: &Roots,
    shape: &mut Shape,
    values: &mut Values,
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
    for (key, value) in record {
        let Some(root) = shape.learn(roots, &key) else {
            continue;
        };
        let slot = match value {
            Value::Object(_) if !roots.is_deep(root) => Some(Slot::Object),
            Value::Array(list) if !roots.is_deep(root) => {
                let start = values.members.len();
                list.into_iter().for_each(|member| values.add_members(member));
                values.list(start)
            }
            value => values.tree(value),
        };
        values.slots[root as usize] = slot.ok_or(NotARecord::Long)?;
    }
    Ok(())
}
