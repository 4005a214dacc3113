//! The quick way through a line, for what nearly every record looks like.
//!
//! One pass, no parser underneath: keys are expected where they stood last time, values that nobody asks for are
//! passed over. It takes only what is surely a record and answers nothing for whatever is unusual (control
//! characters, escaped pairs, powers of ten, very long numbers, deep nesting, any mistake); [`super::record`] then reads the line with
//! care, and decides. Start reading at [`read`].

use std::borrow::Cow;

use serde_json::Value;

use super::record::{Found, Roots, Shape, Slot, tree_slot};

/// Deeper records are left to the careful reader.
const MAX_DEPTH: usize = 32;
/// Longer numbers are left to the careful reader. Nanoseconds since 1970 have so many digits.
const MAX_DIGITS: usize = 19;

/// Reads `line` into `slots` and `members`, which are empty. Nothing, when the line is unusual; what was written then
/// means nothing.
pub(super) fn read<'de>(
    line: &'de [u8],
    roots: &Roots,
    shape: &mut Shape,
    slots: &mut [Slot<'de>],
    members: &mut Vec<Found<'de>>,
) -> Option<()> {
    shape.begin();
    let (least, any) = line.iter().fold((0xff_u8, 0_u8), |(least, any), byte| {
        (least.min(*byte), any | *byte)
    });
    if least < b' ' || (any >= 0x80 && std::str::from_utf8(line).is_err()) {
        return None;
    }
    let mut reader = Reader { line, at: 0 };
    reader.space();
    reader.take(b'{')?;
    reader.space();
    let mut place = 0;
    if reader.peek()? == b'}' {
        reader.at += 1;
    } else {
        loop {
            reader.take(b'"')?;
            let root = reader.key(place, roots, shape)?;
            place += 1;
            reader.colon()?;
            match root {
                None => reader.skip(0)?,
                Some(root) => slots[root as usize] = reader.slot(roots.is_deep(root), members)?,
            }
            if !reader.goes_on(b'}')? {
                break;
            }
            reader.space();
        }
    }
    reader.space();
    shape.end(place);
    (reader.at == line.len()).then_some(())
}

struct Reader<'de> {
    line: &'de [u8],
    at: usize,
}

impl<'de> Reader<'de> {
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
        let is_there = self.line[self.at..].starts_with(wanted);
        is_there.then(|| self.at += wanted.len())
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.take(b':')?;
        self.space();
        Some(())
    }

    /// Whether a comma follows; else the given end.
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

    /// The slot of the key whose quotation mark was taken.
    fn key(&mut self, place: usize, roots: &Roots, shape: &mut Shape) -> Option<Option<u32>> {
        let rest = &self.line[self.at..];
        if let Some((known, root)) = shape.expected(place)
            && rest.get(known.len()) == Some(&b'"')
            && is_same(known, &rest[..known.len()])
        {
            self.at += known.len() + 1;
            return Some(root);
        }
        let start = self.at;
        let has_escape = self.string()?;
        let key = std::str::from_utf8(&self.line[start..self.at - 1]).ok()?;
        (!has_escape).then(|| shape.root(roots, place, key))
    }

    /// Goes behind the end of the text whose quotation mark was taken. Whether it has escapes.
    fn string(&mut self) -> Option<bool> {
        let mut has_escape = false;
        loop {
            let found = quote_or_escape(&self.line[self.at..])?;
            self.at += found + 1;
            if self.line[self.at - 1] == b'"' {
                return Some(has_escape);
            }
            self.at += escape(&self.line[self.at..])?.1;
            has_escape = true;
        }
    }

    fn text(&mut self) -> Option<Cow<'de, str>> {
        let start = self.at;
        let has_escape = self.string()?;
        let text = std::str::from_utf8(&self.line[start..self.at - 1]).ok()?;
        if !has_escape {
            return Some(text.into());
        }
        let mut whole = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\\') {
            whole.push_str(before);
            let (stands_for, length) = escape(after.as_bytes())?;
            whole.push(stands_for);
            rest = &after[length..];
        }
        whole.push_str(rest);
        Some(whole.into())
    }

    /// A number's text, and whether it is whole.
    fn number(&mut self) -> Option<(&'de [u8], bool)> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                reader.at += 1;
            }
            (1..=MAX_DIGITS).contains(&(reader.at - from)).then_some(from)
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = digits(self)?;
        if self.line[first] == b'0' && (self.at - first > 1 || first > start) {
            // A leading zero is a mistake; minus zero is not whole for everyone.
            return None;
        }
        match self.peek() {
            Some(b'.') => {
                self.at += 1;
                digits(self)?;
                // Powers of ten are left to the careful reader.
                (!matches!(self.peek(), Some(b'e' | b'E'))).then_some((&self.line[start..self.at], false))
            }
            Some(b'e' | b'E') => None,
            _ => Some((&self.line[start..self.at], true)),
        }
    }

    fn scalar(&mut self) -> Option<Found<'de>> {
        Some(match self.peek()? {
            b'"' => {
                self.at += 1;
                Found::Text(self.text()?)
            }
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
                let (text, is_whole) = self.number()?;
                let text = std::str::from_utf8(text).ok()?;
                if is_whole {
                    let number = text.parse().map(|number: i64| number.into());
                    Found::Int(
                        number
                            .or_else(|_| text.parse().map(|number: u64| number.into()))
                            .ok()?,
                    )
                } else {
                    // By the same reading as everywhere else, to the last bit.
                    Found::Float(serde_json::from_str(text).ok()?)
                }
            }
        })
    }

    fn slot(&mut self, is_deep: bool, members: &mut Vec<Found<'de>>) -> Option<Slot<'de>> {
        let opens = self.peek()?;
        if !matches!(opens, b'[' | b'{') {
            return self.scalar().map(Slot::One);
        }
        if is_deep {
            let start = self.at;
            self.skip(0)?;
            let value: Value = serde_json::from_slice(&self.line[start..self.at]).ok()?;
            return Some(tree_slot(value));
        }
        if opens == b'{' {
            self.skip(0)?;
            return Some(Slot::Object);
        }
        let start = members.len();
        self.members(members, 0)?;
        Some(Slot::List(
            u32::try_from(start).ok()?,
            u32::try_from(members.len()).ok()?,
        ))
    }

    /// Adds the scalars of a list, those of lists inside it too.
    fn members(&mut self, members: &mut Vec<Found<'de>>, depth: usize) -> Option<()> {
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
                b'[' => self.members(members, depth + 1)?,
                b'{' => self.skip(depth + 1)?,
                _ => members.push(self.scalar()?),
            }
            if !self.goes_on(b']')? {
                return Some(());
            }
            self.space();
        }
    }

    /// Passes over a value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(drop)
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            opens @ (b'[' | b'{') => {
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
                        self.take(b'"')?;
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
            _ => self.number().map(drop),
        }
    }
}

/// Where the first quotation mark or backslash stands. Most texts are short: those are not worth a call.
#[inline]
fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set belongs to the first byte that is zero; those above it may be wrong.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().take(3).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let passed = words.len().min(3) * 8;
    Some(passed + memchr::memchr2(b'"', b'\\', &bytes[passed..])?)
}

/// Whether two of one length are equal, eight bytes at a time: names are short.
#[inline]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    let (words, rest) = left.as_chunks::<8>();
    let (others, other_rest) = right.as_chunks::<8>();
    words
        .iter()
        .zip(others)
        .all(|(word, other)| u64::from_le_bytes(*word) == u64::from_le_bytes(*other))
        && rest.iter().zip(other_rest).all(|(byte, other)| byte == other)
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
