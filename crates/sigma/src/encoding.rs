//! UTF-16 and base64 encodings of text, as malware and logs write them, for the modifiers of those names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::modifier::Modifier;

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The text in the encoding that the modifier names, with a byte order mark only for `utf16`.
pub(crate) fn utf16(text: &str, modifier: Modifier) -> Vec<u8> {
    let mark = if modifier == Modifier::Utf16 {
        Some(0xFEFF)
    } else {
        None
    };
    let units = mark.into_iter().chain(text.encode_utf16());
    if modifier == Modifier::Utf16Be {
        units.flat_map(u16::to_be_bytes).collect()
    } else {
        units.flat_map(u16::to_le_bytes).collect()
    }
}

/// The base64 characters of `bytes` that do not depend on adjacent bytes, when `shift` bytes precede it. Characters at
/// the edges that also depend on adjacent bytes are cut off.
pub(crate) fn base64_at(bytes: &[u8], shift: usize) -> String {
    let shifted: Vec<u8> = std::iter::repeat_n(0, shift)
        .chain(bytes.iter().copied())
        .collect();
    let encoded = STANDARD.encode(&shifted);
    let start = [0, 2, 3][shift];
    let end = shifted.len() * 8 / 6;
    encoded.get(start..end).unwrap_or_default().to_owned()
}
