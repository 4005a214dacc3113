//! Control characters of names and records, made visible on their way to a terminal or a sheet.
//!
//! What would move a cursor, change a colour, turn the direction of text or show nothing at all is written as JSON
//! writes it (`\u001b`): a person sees it, and a JSON document that has it in a text stays the same document. Applied
//! where everything that is printed passes ([`crate::stream`]) and to the cells of tables and sheets.

use std::borrow::Cow;
use std::io::{self, Write};

/// Line breaks and tabs are kept: the caller handles them.
fn is_odd(sign: char) -> bool {
    !matches!(sign, '\n' | '\t') && model::printable::is_unprintable(sign)
}

/// The text with every such character written as `\u` and four hex digits.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        if is_odd(sign) {
            for unit in sign.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(sign);
        }
    }
    Cow::Owned(shown)
}

/// The same for a log line, with its colours kept. Tracing has already escaped every ESC in the logged values.
pub(crate) fn visible_but_colours(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        shown.push_str(&visible(&rest[..at]));
        let length = colour(&rest[at..]).max(1);
        let part = &rest[at..at + length];
        shown.push_str(&if length > 1 {
            Cow::Borrowed(part)
        } else {
            visible(part)
        });
        rest = &rest[at + length..];
    }
    shown.push_str(&visible(rest));
    shown
}

/// The length of the colour sequence at the start of the text; 0 if there is none.
fn colour(text: &str) -> usize {
    let Some(inner) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let end = inner.find(|sign: char| !sign.is_ascii_digit() && sign != ';');
    match end {
        Some(end) if inner[end..].starts_with('m') => end + 3,
        _ => 0,
    }
}

/// Makes bytes visible piece by piece. A character can be split between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    rest: Vec<u8>,
}

impl Pieces {
    pub(crate) const fn new() -> Self {
        Self { rest: Vec::new() }
    }

    /// Writes the next piece. Invalid UTF-8 is replaced with U+FFFD.
    pub(crate) fn write(&mut self, piece: &[u8], out: &mut impl Write) -> io::Result<()> {
        let joined = match self.rest.is_empty() {
            true => Cow::Borrowed(piece),
            false => Cow::Owned([&std::mem::take(&mut self.rest), piece].concat()),
        };
        let mut left: &[u8] = &joined;
        loop {
            match std::str::from_utf8(left) {
                Ok(text) => return out.write_all(visible(text).as_bytes()),
                Err(error) => {
                    let (good, bad) = left.split_at(error.valid_up_to());
                    out.write_all(visible(&String::from_utf8_lossy(good)).as_bytes())?;
                    let Some(length) = error.error_len() else {
                        self.rest = bad.to_vec();
                        return Ok(());
                    };
                    out.write_all("\u{fffd}".as_bytes())?;
                    left = &bad[length..];
                }
            }
        }
    }
}

/// A writer that makes control characters visible before it writes to another writer.
#[derive(Debug)]
pub(crate) struct Visible<W> {
    out: W,
    pieces: Pieces,
}

impl<W: Write> Visible<W> {
    pub(crate) fn over(out: W) -> Self {
        Self {
            out,
            pieces: Pieces::new(),
        }
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pieces.write(bytes, &mut self.out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_is_shown_and_what_is_seen_stays() {
        for (text, shown) in [
            ("red\u{1b}[31m\u{7}", "red\\u001b[31m\\u0007"),
            ("a\u{9b}2Jb\u{7f}\r", "a\\u009b2Jb\\u007f\\u000d"),
            (
                "\u{202e}gpj.exe\u{202c} \u{2066}x\u{2069}",
                "\\u202egpj.exe\\u202c \\u2066x\\u2069",
            ),
            ("ad\u{200b}min\u{feff}\u{200d}", "ad\\u200bmin\\ufeff\\u200d"),
            ("\u{e0041}", "\\udb40\\udc41"),
            ("Zoë 日本 \u{1f980}\tline\n", "Zoë 日本 \u{1f980}\tline\n"),
        ] {
            assert_eq!(visible(text), shown);
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(
                serde_json::from_str::<String>(&visible(&json)).unwrap(),
                text,
                "JSON stays itself"
            );
        }
    }

    #[test]
    fn a_character_that_is_cut_in_two_is_shown_all_the_same() {
        let text = "x\u{202e}y\u{9b}z\u{e0041}".as_bytes();
        for cut in 0..text.len() {
            let mut out = Visible::over(Vec::new());
            out.write_all(&text[..cut]).unwrap();
            out.write_all(&text[cut..]).unwrap();
            assert_eq!(
                String::from_utf8(out.out).unwrap(),
                "x\\u202ey\\u009bz\\udb40\\udc41",
                "{cut}"
            );
        }
        let mut out = Visible::over(Vec::new());
        out.write_all(b"a\x9bb").unwrap();
        assert_eq!(out.out, "a\u{fffd}b".as_bytes());
    }

    #[test]
    fn the_log_keeps_its_colours_and_nothing_else() {
        assert_eq!(
            visible_but_colours("\u{1b}[2m12:00\u{1b}[0m WARN \u{202e}x\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}"),
            "\u{1b}[2m12:00\u{1b}[0m WARN \\u202ex\\u001b]0;title\\u0007\\u001b[2J\\u001b"
        );
    }
}
