//! Finds the positions of the quotation marks in a line, sixty-four bytes at a time.
//!
//! With these positions, a reader steps from text to text without reading the content.

use std::ops::Range;

use wide::u8x16;

const BLOCK: usize = 64;
/// The positions in one line.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    /// A bit for each byte of the line; one block more than the line has.
    marks: Vec<u64>,
    /// From the first backslash to after the last one; empty if there is none.
    escapes: Range<usize>,
}

impl Quotes {
    /// Scans `line`. Returns `None` if it has control characters.
    pub(super) fn find(&mut self, line: &[u8]) -> Option<()> {
        self.marks.clear();
        self.marks.reserve(line.len() / BLOCK + 2);
        let mut least = u8x16::splat(u8::MAX);
        let mut backslashes = u8x16::splat(0);
        let mut take = |block: &[u8; BLOCK]| {
            let parts = parts(block);
            for part in parts {
                least = least.min(part);
                backslashes |= part.simd_eq(u8x16::splat(b'\\'));
            }
            where_is(b'"', parts)
        };
        let (blocks, rest) = line.as_chunks::<BLOCK>();
        let mut last = [b' '; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        self.marks.extend(blocks.iter().map(&mut take));
        self.marks.extend([take(&last), 0]);
        self.escapes = 0..0;
        if backslashes.to_bitmask() != 0 {
            let mut is_escaped = false;
            let marks = self.marks.iter_mut().zip(blocks.iter().chain([&last]));
            for (number, (marks, block)) in marks.enumerate() {
                let backslashes = where_is(b'\\', parts(block));
                *marks &= !escaped(backslashes, &mut is_escaped);
                if backslashes != 0 {
                    let start = number * BLOCK;
                    if self.escapes.is_empty() {
                        self.escapes.start = start + backslashes.trailing_zeros() as usize;
                    }
                    self.escapes.end = start + BLOCK - backslashes.leading_zeros() as usize;
                }
            }
        }
        least.to_array().iter().all(|byte| *byte >= b' ').then_some(())
    }

    /// Whether there may be a backslash between two positions; `false` means that there is none.
    #[inline(always)]
    pub(super) fn may_escape(&self, start: usize, end: usize) -> bool {
        start < self.escapes.end && self.escapes.start < end
    }

    /// The position of the first mark at or after `at`.
    #[inline(always)]
    pub(super) fn next(&self, at: usize) -> Option<usize> {
        let (block, bit) = (at / BLOCK, at % BLOCK);
        let [this, next] = self.marks.get(block..block + 2)?.try_into().ok()?;
        // The sixty-four bytes from `at` on, wherever a block ends.
        let near = (this >> bit) | (next << 1 << (BLOCK - 1 - bit));
        if near != 0 {
            return Some(at + near.trailing_zeros() as usize);
        }
        self.next_far(block + 1)
    }

    #[cold]
    #[inline(never)]
    fn next_far(&self, block: usize) -> Option<usize> {
        let (number, marks) = self
            .marks
            .iter()
            .enumerate()
            .skip(block)
            .find(|(_, marks)| **marks != 0)?;
        Some(number * BLOCK + marks.trailing_zeros() as usize)
    }
}

#[inline]
fn parts(block: &[u8; BLOCK]) -> [u8x16; 4] {
    let (parts, _) = block.as_chunks::<16>();
    std::array::from_fn(|place| u8x16::new(parts[place]))
}

#[inline]
fn where_is(byte: u8, parts: [u8x16; 4]) -> u64 {
    let [a, b, c, d] = parts.map(|part| u64::from(part.simd_eq(u8x16::splat(byte)).to_bitmask()));
    a | (b << 16) | (c << 32) | (d << 48)
}

/// Which bytes of a block follow a backslash that is not itself escaped; `carry` passes from block to block.
fn escaped(mut backslashes: u64, carry: &mut bool) -> u64 {
    let mut escaped = u64::from(*carry);
    backslashes &= !escaped;
    *carry = false;
    while backslashes != 0 {
        let place = backslashes.trailing_zeros();
        backslashes &= backslashes - 1;
        if place == 63 {
            *carry = true;
        } else {
            let next = 1 << (place + 1);
            escaped |= next;
            backslashes &= !next;
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A simple version, one byte at a time.
    fn plainly(line: &[u8]) -> Vec<usize> {
        let mut is_escaped = false;
        let mut places = Vec::new();
        for (place, byte) in line.iter().enumerate() {
            if *byte == b'"' && !is_escaped {
                places.push(place);
            }
            is_escaped = *byte == b'\\' && !is_escaped;
        }
        places
    }

    proptest::proptest! {
        #[test]
        fn marks_are_found_as_by_one_byte_after_the_other(text in r#"[a"\\ ]{0,300}"#) {
            let mut quotes = Quotes::default();
            proptest::prop_assert!(quotes.find(text.as_bytes()).is_some());
            let mut from = 0;
            let found: Vec<usize> = std::iter::from_fn(|| {
                let place = quotes.next(from)?;
                from = place + 1;
                Some(place)
            })
            .collect();
            proptest::prop_assert_eq!(found, plainly(text.as_bytes()));
            let (start, end) = (text.len() / 3, text.len() / 2);
            proptest::prop_assert!(quotes.may_escape(start, end) || !text[start..end].contains('\\'));
            proptest::prop_assert_eq!(quotes.may_escape(0, text.len()), text.contains('\\'));
        }

        #[test]
        fn a_control_character_is_noticed_anywhere(before in 0_usize..200, after in 0_usize..200, byte in 0_u8..32) {
            let mut line = vec![b'a'; before];
            line.push(byte);
            line.extend(vec![b'a'; after]);
            proptest::prop_assert!(Quotes::default().find(&line).is_none());
        }
    }
}
