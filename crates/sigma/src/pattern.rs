//! A text with wildcards, as a rule writes it, and its transformations by modifiers.
//!
//! `*` is any sequence of characters, `?` is exactly one. A backslash escapes `*`, `?` and itself, and is a literal
//! backslash elsewhere (Sigma specification 2.1.0, "Escaping"). Matching is in [`crate::matching`] and
//! [`crate::explain`].

/// The characters that can start an option: hyphen, slash, en dash, em dash, horizontal bar.
pub(crate) const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    /// `*`
    AnyRun,
    /// `?`
    AnyOne,
    /// One of [`DASHES`].
    Dash,
    /// `%name%`, until it is expanded.
    Placeholder(String),
}

/// The parts in order. Two literals are never adjacent, and neither are two [`Part::AnyRun`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) parts: Vec<Part>,
}

impl Pattern {
    /// Parses a value. `%name%` is a placeholder only if the item has the modifier `expand`.
    pub(crate) fn parse(text: &str, with_placeholders: bool) -> Self {
        let mut pattern = Self::default();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '*' => pattern.push(Part::AnyRun),
                '?' => pattern.push(Part::AnyOne),
                '\\' => {
                    let next = rest.clone().next();
                    match next {
                        Some(escaped @ ('*' | '?' | '\\')) => {
                            rest.next();
                            pattern.push_char(escaped);
                        }
                        Some('%') if with_placeholders => {
                            rest.next();
                            pattern.push_char('%');
                        }
                        _ => pattern.push_char('\\'),
                    }
                }
                '%' if with_placeholders => match placeholder_name(rest.as_str()) {
                    Some(name) => {
                        pattern.push(Part::Placeholder(name.to_owned()));
                        rest = rest.as_str()[name.len() + 1..].chars();
                    }
                    None => pattern.push_char('%'),
                },
                plain => pattern.push_char(plain),
            }
        }
        pattern
    }

    /// A text without wildcards.
    pub(crate) fn literal(text: &str) -> Self {
        let parts = if text.is_empty() {
            Vec::new()
        } else {
            vec![Part::Literal(text.to_owned())]
        };
        Self { parts }
    }

    /// The text, if it contains no wildcard.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    pub(crate) fn push(&mut self, part: Part) {
        match (self.parts.last_mut(), part) {
            (Some(Part::Literal(text)), Part::Literal(more)) => text.push_str(&more),
            (Some(Part::AnyRun), Part::AnyRun) => {}
            (_, part) => self.parts.push(part),
        }
    }

    fn push_char(&mut self, c: char) {
        if let Some(Part::Literal(text)) = self.parts.last_mut() {
            text.push(c);
        } else {
            self.parts.push(Part::Literal(c.to_string()));
        }
    }

    /// The pattern with `*` added before and after it, as requested.
    pub(crate) fn open(self, before: bool, after: bool) -> Self {
        let mut opened = Self::default();
        if before {
            opened.push(Part::AnyRun);
        }
        for part in self.parts {
            opened.push(part);
        }
        if after {
            opened.push(Part::AnyRun);
        }
        opened
    }

    /// The pattern in which each dash that starts an option stands for all five characters: a dash that does not follow
    /// a word character, and that is followed by a word character.
    ///
    /// One part that matches five characters is equivalent to a list of all combinations, which would grow as 5ⁿ.
    pub(crate) fn windash(self) -> Self {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut out = Self::default();
        for part in self.parts {
            let Part::Literal(text) = part else {
                out.push(part);
                continue;
            };
            let mut before: Option<char> = None;
            let mut characters = text.chars().peekable();
            while let Some(c) = characters.next() {
                let begins = DASHES.contains(&c)
                    && !before.is_some_and(is_word)
                    && characters.peek().copied().is_some_and(is_word);
                if begins {
                    out.push(Part::Dash);
                } else {
                    out.push_char(c);
                }
                before = Some(c);
            }
        }
        out
    }

    /// The first placeholder that is not expanded.
    pub(crate) fn placeholder(&self) -> Option<&str> {
        self.parts.iter().find_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The pattern with its first placeholder replaced by `value`, which may contain wildcards.
    pub(crate) fn with_placeholder(&self, value: &str) -> Self {
        let mut out = Self::default();
        let mut replaced = false;
        for part in &self.parts {
            match part {
                Part::Placeholder(_) if !replaced => {
                    replaced = true;
                    for inner in Self::parse(value, false).parts {
                        out.push(inner);
                    }
                }
                other => out.push(other.clone()),
            }
        }
        out
    }
}

fn placeholder_name(rest: &str) -> Option<&str> {
    let (name, _) = rest.split_once('%')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern in readable form: `[*]` and `[?]` are wildcards, `[-]` is any dash.
    fn shown(pattern: &Pattern) -> String {
        pattern
            .parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::AnyRun => "[*]".to_owned(),
                Part::AnyOne => "[?]".to_owned(),
                Part::Dash => "[-]".to_owned(),
                Part::Placeholder(name) => format!("[%{name}]"),
            })
            .collect()
    }

    #[test]
    fn a_backslash_escapes_wildcards_and_itself_only() {
        for (written, means) in [
            (r"a*b?c", "a[*]b[?]c"),
            (r"\*", "*"),
            (r"\?", "?"),
            (r"C:\Windows\x", r"C:\Windows\x"),
            (r"a\", r"a\"),
            (r"\\*", r"\[*]"),
            (r"\\\*", r"\*"),
            (r"\\\\", r"\\"),
            (r"\\", r"\"),
            (r"\\\", r"\\"),
            (r"**", "[*]"),
            (r"*?*", "[*][?][*]"),
            ("", ""),
        ] {
            assert_eq!(shown(&Pattern::parse(written, false)), means, "{written}");
        }
    }

    #[test]
    fn a_placeholder_is_one_only_where_expand_is() {
        assert_eq!(shown(&Pattern::parse("%a%", false)), "%a%");
        for (written, means) in [
            ("%a%", "[%a]"),
            (r"x%a.b%y%", "x[%a.b]y%"),
            (r"\%a%", "%a%"),
            ("100%", "100%"),
            ("% a%", "% a%"),
            ("%%", "%%"),
        ] {
            assert_eq!(shown(&Pattern::parse(written, true)), means, "{written}");
        }
    }

    #[test]
    fn only_a_dash_that_begins_an_option_is_permuted() {
        for (written, means) in [
            ("-f", "[-]f"),
            ("/f", "[-]f"),
            (" -a -b", " [-]a [-]b"),
            ("a-b", "a-b"),
            ("--long", "-[-]long"),
            ("- ", "- "),
            ("\u{2014}x", "[-]x"),
        ] {
            assert_eq!(shown(&Pattern::literal(written).windash()), means, "{written}");
        }
    }
}
