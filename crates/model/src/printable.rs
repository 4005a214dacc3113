//! Characters that are invisible or change how text is displayed.

/// Whether a character is invisible or has an effect other than its glyph: it moves the cursor, changes the text
/// direction, or shows nothing at all. This includes line ends and tabs.
pub fn is_unprintable(sign: char) -> bool {
    match sign {
        // Marks and overrides of direction, zero-width signs, and separators of lines that no terminal counts.
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        // Tags: text that is there and never shown.
        | '\u{e0000}'..='\u{e007f}' => true,
        sign => sign.is_control(),
    }
}
