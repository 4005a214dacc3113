//! The quick way through a line, for what nearly every record looks like.
//!
//! One pass over what [`Quotes`] found: keys are expected where they stood last time, values that nobody asks for are
//! passed over. It takes only what is surely a record and answers nothing for whatever is unusual (control
//! characters, escaped pairs, powers of ten, very long numbers, deep nesting, any mistake); [`super::record`] then
//! reads the line with care, and decides. Start reading at [`read`].

use serde_json::Value;

use super::quotes::Quotes;
use super::record::{Found, Roots, Slot, Values};
use super::shape::Shape;

/// Deeper records are left to the careful reader.
const MAX_DEPTH: usize = 32;
/// Longer numbers are left to the careful reader. Nanoseconds since 1970 have so many digits.
const MAX_DIGITS: usize = 19;

/// Reads `line` into `values`, which are empty. Nothing, when the line is unusual; what was written then means nothing.
pub(super) fn read(
    line: &str,
    roots: &Roots,
    shape: &mut Shape,
    quotes: &mut Quotes,
    values: &mut Values,
) -> Option<()> {
    shape.begin();
    quotes.find(line.as_bytes())?;
    let mut reader = Reader {
        text: line,
        line: line.as_bytes(),
        at: 0,
        quotes,
    };
    reader.space();
    let mut place = 0;
    loop {
        let known = shape.expected(place);
        let root = match known.and_then(|key| Some((key.root, key.begins(reader.rest())?))) {
            Some((root, length)) => {
                reader.at += length;
                root
            }
            None => match reader.key(place, roots, shape)? {
                Key::Of(root) => root,
                Key::None => break,
            },
        };
        match root {
            None => reader.skip(0)?,
            Some(root) => {
                let slot = reader.slot(roots.is_deep(root), values)?;
                values.slots[root as usize] = slot;
            }
        }
        place += 1;
    }
    reader.space();
    shape.end(place);
    (reader.at == line.len()).then_some(())
}

/// What stands where a key may.
enum Key {
    /// A key with this slot.
    Of(Option<u32>),
    /// The record's end.
    None,
}

struct Reader<'de> {
    text: &'de str,
    line: &'de [u8],
    at: usize,
    quotes: &'de Quotes,
}

impl Reader<'_> {
    #[inline]
    fn rest(&self) -> &[u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    /// Of the white space that JSON allows, only this is no control character.
    fn space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn word(&mut self, wanted: &[u8]) -> Option<()> {
        self.rest().starts_with(wanted).then(|| self.at += wanted.len())
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.take(b':')?;
        self.space();
        Some(())
    }

    /// Whether a comma follows; else the given end.
    #[inline]
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        self.space();
        let next = self.peek()?;
        self.at += 1;
        match next {
            b',' => Some(true),
            next if next == end => Some(false),
            _ => None,
        }
    }

    /// What divides a key from what stands before it, the key and the colon; or the record's end.
    #[cold]
    fn key(&mut self, place: usize, roots: &Roots, shape: &mut Shape) -> Option<Key> {
        let from = self.at;
        if place == 0 {
            self.take(b'{')?;
            self.space();
            if self.peek()? == b'}' {
                self.at += 1;
                return Some(Key::None);
            }
        } else {
            if !self.goes_on(b'}')? {
                return Some(Key::None);
            }
            self.space();
        }
        let (start, end) = self.string()?;
        let key = self.text.get(start..end).filter(|key| !key.contains('\\'))?;
        let root = shape.root(roots, place, key);
        self.colon()?;
        shape.note(place, &self.line[from..self.at]);
        Some(Key::Of(root))
    }

    /// Goes behind the text that begins here. Where its inside begins and ends.
    #[inline]
    fn string(&mut self) -> Option<(usize, usize)> {
        self.take(b'"')?;
        let (start, end) = (self.at, self.quotes.next(self.at)?);
        self.at = end + 1;
        if self.quotes.has_escapes {
            self.check_escapes(start, end)?;
        }
        Some((start, end))
    }

    #[cold]
    fn check_escapes(&self, mut start: usize, end: usize) -> Option<()> {
        while let Some(found) = memchr::memchr(b'\\', &self.line[start..end]) {
            start += found + 1;
            start += escape(&self.line[start..end])?.1;
        }
        Some(())
    }

    fn text(&mut self, values: &mut Values) -> Option<Found> {
        let (start, end) = self.string()?;
        if !self.quotes.has_escapes {
            return Found::text(start, end);
        }
        let mut rest = self.text.get(start..end)?;
        if !rest.contains('\\') {
            return Found::text(start, end);
        }
        let from = values.unescaped.len();
        while let Some((before, after)) = rest.split_once('\\') {
            values.unescaped.push_str(before);
            let (stands_for, length) = escape(after.as_bytes())?;
            values.unescaped.push(stands_for);
            rest = &after[length..];
        }
        values.unescaped.push_str(rest);
        values.own_text(from)
    }

    /// Goes behind digits, of which there is at least one.
    #[inline]
    fn digits(&mut self) -> Option<usize> {
        let from = self.at;
        if let Some(eight) = self.rest().first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            const EACH: u64 = 0x0101_0101_0101_0101;
            // A byte's high bit is set when it is no digit; a byte below may be the cause of those above it alone.
            let others = (word.wrapping_add(EACH * (0x7f - 0x39)) | word.wrapping_sub(EACH * 0x30) | word)
                & (EACH * 0x80);
            self.at += others.trailing_zeros() as usize / 8;
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (1..=MAX_DIGITS).contains(&(self.at - from)).then_some(from)
    }

    /// Where a number begins, and whether it is whole.
    #[inline]
    fn number(&mut self) -> Option<(usize, bool)> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.digits()?;
        if self.line[first] == b'0' && (self.at - first > 1 || first > start) {
            // A leading zero is a mistake; minus zero is not whole for everyone.
            return None;
        }
        match self.peek() {
            Some(b'.') => {
                self.at += 1;
                self.digits()?;
                // Powers of ten are left to the careful reader.
                (!matches!(self.peek(), Some(b'e' | b'E'))).then_some((start, false))
            }
            Some(b'e' | b'E') => None,
            _ => Some((start, true)),
        }
    }

    fn scalar(&mut self, values: &mut Values) -> Option<Found> {
        Some(match self.peek()? {
            b'"' => self.text(values)?,
            b't' => {
                self.word(b"true")?;
                Found::Bool(true)
            }
            b'f' => {
                self.word(b"false")?;
                Found::Bool(false)
            }
            b'n' => {
                self.word(b"null")?;
                Found::Null
            }
            _ => {
                let (start, is_whole) = self.number()?;
                let text = self.text.get(start..self.at)?;
                if is_whole {
                    match text.parse() {
                        Ok(number) => Found::Int(number),
                        Err(_) => Found::Natural(text.parse().ok()?),
                    }
                } else {
                    // By the same reading as everywhere else, to the last bit.
                    Found::Float(serde_json::from_str(text).ok()?)
                }
            }
        })
    }

    fn slot(&mut self, is_deep: bool, values: &mut Values) -> Option<Slot> {
        let opens = self.peek()?;
        if !matches!(opens, b'[' | b'{') {
            return self.scalar(values).map(Slot::One);
        }
        if is_deep {
            let start = self.at;
            self.skip(0)?;
            let value: Value = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
            return values.tree(value);
        }
        if opens == b'{' {
            self.skip(0)?;
            return Some(Slot::Object);
        }
        let start = values.members.len();
        self.members(values, 0)?;
        values.list(start)
    }

    /// Adds the scalars of a list, those of lists inside it too.
    fn members(&mut self, values: &mut Values, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            match self.peek()? {
                b'[' => self.members(values, depth + 1)?,
                b'{' => self.skip(depth + 1)?,
                _ => {
                    let found = self.scalar(values)?;
                    values.members.push(found);
                }
            }
            if !self.goes_on(b']')? {
                return Some(());
            }
            self.space();
        }
    }

    /// Passes over a value.
    #[inline]
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'[' | b'{' => self.skip_inside(depth),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(drop),
        }
    }

    fn skip_inside(&mut self, depth: usize) -> Option<()> {
        let opens = self.peek()?;
        if depth > MAX_DEPTH {
            return None;
        }
        let end = opens + 2;
        self.at += 1;
        self.space();
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            if opens == b'{' {
                self.string()?;
                self.colon()?;
            }
            self.skip(depth + 1)?;
            if !self.goes_on(end)? {
                return Some(());
            }
            self.space();
        }
    }
}

/// What a backslash and these stand for, and how many they are. Nothing for half of a pair (`\ud83d`) and mistakes.
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
