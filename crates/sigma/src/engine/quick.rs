//! The quick way through a line, for what nearly every record looks like.
//!
//! One pass, no parser underneath: keys are expected where they stood last time, values that nobody asks for are
//! passed over. It takes only what is surely a record and answers nothing for whatever is unusual (control
//! characters, `\u` escapes, very long numbers, deep nesting, any mistake); [`super::record`] then reads the line with
//! care, and decides. Start reading at [`read`].

use std::borrow::Cow;

use serde_json::Value;

use super::record::{Found, Roots, Shape, Slot, tree};

/// Deeper records are left to the careful reader.
const MAX_DEPTH: usize = 32;
/// Longer whole numbers are left to the careful reader; so many digits always fit.
const MAX_DIGITS: usize = 18;

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
            && rest.starts_with(known)
        {
            self.at += known.len() + 1;
            return Some(root);
        }
        let start = self.at;
        let escape = self.string()?;
        let key = std::str::from_utf8(&self.line[start..self.at - 1]).ok()?;
        (!escape).then(|| shape.root(roots, place, key))
    }

    /// Goes behind the end of the text whose quotation mark was taken. Whether it has escapes.
    fn string(&mut self) -> Option<bool> {
        let mut has_escape = false;
        loop {
            let found = memchr::memchr2(b'"', b'\\', &self.line[self.at..])?;
            self.at += found + 1;
            if self.line[self.at - 1] == b'"' {
                return Some(has_escape);
            }
            unescaped(self.peek()?)?;
            self.at += 1;
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
            whole.push(char::from(unescaped(*after.as_bytes().first()?)?));
            rest = &after[1..];
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
                    Found::Int(i128::from(text.parse::<i64>().ok()?))
                } else {
                    Found::Float(text.parse().ok()?)
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
            return Some(tree(value));
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

/// What a backslash and this stand for; nothing for `\u`, which is unusual.
fn unescaped(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}
