//! The fast path for reading a line, for the format of nearly every record.
//!
//! One pass over the positions that [`Quotes`] found. It expects each key where it was in the previous record and skips
//! values that no rule uses. It reads only lines that are certainly valid, and returns nothing for any unusual line
//! (control characters, surrogate pairs, exponents, very long numbers, deep nesting, any error). [`super::record`] then
//! reads such a line carefully and decides. Start reading at [`read`].

use serde_json::Value;

use super::quotes::Quotes;
use super::record::{Found, Roots, Slot, Values};
use super::shape::Shape;

/// Deeper records are left to the careful reader.
const MAX_DEPTH: usize = 32;
/// Longer numbers are left to the careful reader. Nanoseconds since 1970 have this many digits.
const MAX_DIGITS: usize = 19;

/// Reads `line` into `values`, which must be empty. Returns `None` if the line is unusual; `values` is then
/// meaningless.
pub(super) fn read(
    line: &str,
    roots: &Roots,
    shape: &mut Shape,
    quotes: &mut Quotes,
    values: &mut Values,
) -> Option<()> {
    quotes.find(line.as_bytes())?;
    let reader = Reader {
        text: line,
        line: line.as_bytes(),
        quotes,
    };
    let mut at = reader.space(0);
    loop {
        let root = match shape.meet(reader.line.get(at..)?) {
            Some((length, root)) => {
                at += length;
                root
            }
            None => {
                let (key, behind) = reader.key(at, roots, shape)?;
                at = behind;
                match key {
                    Key::Of(root) => root,
                    Key::None => break,
                }
            }
        };
        at = match root {
            None => reader.skip(at, 0)?,
            Some(root) => {
                let (slot, behind) = reader.slot(at, roots.is_deep(root), values)?;
                values.slots[root as usize] = slot;
                behind
            }
        };
    }
    (reader.space(at) == line.len()).then_some(())
}

/// What is at the position of a key.
enum Key {
    /// A key with this slot.
    Of(Option<u32>),
    /// The end of the record.
    None,
}

/// Each function takes the position where an element starts, and returns the position after it.
struct Reader<'de> {
    text: &'de str,
    line: &'de [u8],
    quotes: &'de Quotes,
}

impl Reader<'_> {
    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.line.get(at).copied()
    }

    /// Of the whitespace that JSON allows, only the space is not a control character.
    #[inline]
    fn space(&self, mut at: usize) -> usize {
        while self.byte(at) == Some(b' ') {
            at += 1;
        }
        at
    }

    #[inline]
    fn word(&self, at: usize, wanted: &[u8]) -> Option<usize> {
        let end = at + wanted.len();
        (self.line.get(at..end)? == wanted).then_some(end)
    }

    fn colon(&self, at: usize) -> Option<usize> {
        let at = self.word(self.space(at), b":")?;
        Some(self.space(at))
    }

    /// Whether a comma follows, with the whitespace after it; otherwise the given end.
    #[inline]
    fn goes_on(&self, mut at: usize, end: u8) -> Option<(bool, usize)> {
        let mut next = self.byte(at)?;
        if next == b' ' {
            at = self.space(at);
            next = self.byte(at)?;
        }
        match next {
            b',' => Some((true, self.space(at + 1))),
            next if next == end => Some((false, at + 1)),
            _ => None,
        }
    }

    /// The separator, the key and the colon; or the end of the record.
    #[cold]
    fn key(&self, from: usize, roots: &Roots, shape: &mut Shape) -> Option<(Key, usize)> {
        let is_first = !shape.is_begun();
        let opens = if is_first {
            let at = self.space(self.word(from, b"{")?);
            if self.byte(at)? == b'}' {
                return Some((Key::None, at + 1));
            }
            at
        } else {
            match self.goes_on(from, b'}')? {
                (true, at) => at,
                (false, at) => return Some((Key::None, at)),
            }
        };
        let (start, end) = self.string(opens)?;
        let key = self.text.get(start..end).filter(|key| !key.contains('\\'))?;
        let at = self.colon(end + 1)?;
        let root = shape.learn(roots, key);
        shape.note(&self.line[from..at], is_first);
        Some((Key::Of(root), at))
    }

    /// The start and end of the inside of a text.
    #[inline(always)]
    fn string(&self, at: usize) -> Option<(usize, usize)> {
        if self.byte(at)? != b'"' {
            return None;
        }
        let (start, end) = (at + 1, self.quotes.next(at + 1)?);
        if self.quotes.may_escape(start, end) {
            self.check_escapes(start, end)?;
        }
        Some((start, end))
    }

    #[cold]
    #[inline(never)]
    fn check_escapes(&self, mut start: usize, end: usize) -> Option<()> {
        while let Some(found) = memchr::memchr(b'\\', &self.line[start..end]) {
            start += found + 1;
            start += escape(&self.line[start..end])?.1;
        }
        Some(())
    }

    fn text(&self, at: usize, values: &mut Values) -> Option<(Found, usize)> {
        let (start, end) = self.string(at)?;
        let behind = end + 1;
        if !self.quotes.may_escape(start, end) {
            return Some((Found::text(start, end)?, behind));
        }
        let mut rest = self.text.get(start..end)?;
        if !rest.contains('\\') {
            return Some((Found::text(start, end)?, behind));
        }
        let from = values.unescaped.len();
        while let Some((before, after)) = rest.split_once('\\') {
            values.unescaped.push_str(before);
            let (stands_for, length) = escape(after.as_bytes())?;
            values.unescaped.push(stands_for);
            rest = &after[length..];
        }
        values.unescaped.push_str(rest);
        Some((values.own_text(from)?, behind))
    }

    /// The position after one or more digits.
    #[inline(always)]
    fn digits(&self, from: usize) -> Option<usize> {
        const EACH: u64 = 0x0101_0101_0101_0101;
        let rest = self.line.get(from..)?;
        let mut at = from;
        if let Some(eight) = rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            // The lowest high bit that is set belongs to the first byte that is no digit; those above may be wrong.
            let others = (word.wrapping_add(EACH * (0x7f - 0x39)) | word.wrapping_sub(EACH * 0x30) | word)
                & (EACH * 0x80);
            at += others.trailing_zeros() as usize / 8;
            if others != 0 {
                return (at > from).then_some(at);
            }
        }
        while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
            at += 1;
        }
        (1..=MAX_DIGITS).contains(&(at - from)).then_some(at)
    }

    /// The position after a number, and whether it is an integer.
    #[inline(always)]
    fn number(&self, start: usize) -> Option<(bool, usize)> {
        let first = start + usize::from(self.byte(start)? == b'-');
        let end = self.digits(first)?;
        if self.byte(first)? == b'0' && (end - first > 1 || first > start) {
            // A leading zero is a mistake; minus zero is not whole for everyone.
            return None;
        }
        match self.byte(end) {
            Some(b'.') => {
                let end = self.digits(end + 1)?;
                // Powers of ten are left to the careful reader.
                (!matches!(self.byte(end), Some(b'e' | b'E'))).then_some((false, end))
            }
            Some(b'e' | b'E') => None,
            _ => Some((true, end)),
        }
    }

    fn scalar(&self, at: usize, values: &mut Values) -> Option<(Found, usize)> {
        Some(match self.byte(at)? {
            b'"' => self.text(at, values)?,
            b't' => (Found::Bool(true), self.word(at, b"true")?),
            b'f' => (Found::Bool(false), self.word(at, b"false")?),
            b'n' => (Found::Null, self.word(at, b"null")?),
            _ => {
                let (is_whole, end) = self.number(at)?;
                let text = self.text.get(at..end)?;
                let found = if is_whole {
                    match text.parse() {
                        Ok(number) => Found::Int(number),
                        Err(_) => Found::Natural(text.parse().ok()?),
                    }
                } else {
                    // By the same reading as everywhere else, to the last bit.
                    Found::Float(serde_json::from_str(text).ok()?)
                };
                (found, end)
            }
        })
    }

    fn slot(&self, at: usize, is_deep: bool, values: &mut Values) -> Option<(Slot, usize)> {
        let opens = self.byte(at)?;
        if !matches!(opens, b'[' | b'{') {
            let (found, behind) = self.scalar(at, values)?;
            return Some((Slot::One(found), behind));
        }
        if is_deep {
            let behind = self.skip(at, 0)?;
            let value: Value = serde_json::from_str(self.text.get(at..behind)?).ok()?;
            return Some((values.tree(value)?, behind));
        }
        if opens == b'{' {
            return Some((Slot::Object, self.skip(at, 0)?));
        }
        let start = values.members.len();
        let behind = self.members(at, values, 0)?;
        Some((values.list(start)?, behind))
    }

    /// Adds the scalars of a list, including those of nested lists.
    fn members(&self, opens: usize, values: &mut Values, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut at = self.space(opens + 1);
        if self.byte(at)? == b']' {
            return Some(at + 1);
        }
        loop {
            at = match self.byte(at)? {
                b'[' => self.members(at, values, depth + 1)?,
                b'{' => self.skip(at, depth + 1)?,
                _ => {
                    let (found, behind) = self.scalar(at, values)?;
                    values.members.push(found);
                    behind
                }
            };
            match self.goes_on(at, b']')? {
                (true, next) => at = next,
                (false, behind) => return Some(behind),
            }
        }
    }

    /// Skips a value.
    #[inline(always)]
    fn skip(&self, at: usize, depth: usize) -> Option<usize> {
        match self.byte(at)? {
            b'"' => Some(self.string(at)?.1 + 1),
            b'[' => self.skip_list(at, depth),
            b'{' => self.skip_object(at, depth),
            b't' => self.word(at, b"true"),
            b'f' => self.word(at, b"false"),
            b'n' => self.word(at, b"null"),
            _ => Some(self.number(at)?.1),
        }
    }

    fn skip_list(&self, opens: usize, depth: usize) -> Option<usize> {
        let mut at = self.space(opens + 1);
        if self.byte(at)? == b']' {
            return Some(at + 1);
        }
        if depth > MAX_DEPTH {
            return None;
        }
        loop {
            at = self.skip(at, depth + 1)?;
            match self.goes_on(at, b']')? {
                (true, next) => at = next,
                (false, behind) => return Some(behind),
            }
        }
    }

    fn skip_object(&self, opens: usize, depth: usize) -> Option<usize> {
        let mut at = self.space(opens + 1);
        if self.byte(at)? == b'}' {
            return Some(at + 1);
        }
        if depth > MAX_DEPTH {
            return None;
        }
        loop {
            at = self.colon(self.string(at)?.1 + 1)?;
            at = self.skip(at, depth + 1)?;
            match self.goes_on(at, b'}')? {
                (true, next) => at = next,
                (false, behind) => return Some(behind),
            }
        }
    }
}

/// The character for a backslash and the following bytes, and the number of these bytes. `None` for half a surrogate
/// pair (`\ud83d`) and errors.
fn escape(after: &[u8]) -> Option<(char, usize)> {
    let stands_for = match after.first()? {
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let digits = after.get(1..5)?;
            let number = digits
                .iter()
                .try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))?;
            return char::from_u32(number).map(|one| (one, 5));
        }
        _ => return None,
    };
    Some((stands_for, 1))
}
