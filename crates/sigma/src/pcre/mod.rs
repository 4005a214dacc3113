//! Translates regular expressions from Perl's syntax (PCRE2), which Sigma uses, to the syntax of the `regex` library.
//!
//! The two libraries interpret many expressions differently: `\<` is a literal character in PCRE2 and a word boundary
//! in `regex`, `\d` is ASCII in PCRE2 and Unicode in `regex`, and only PCRE2 matches `$` before a final newline. So the
//! expression is parsed as PCRE2 parses it ([`parse`]), and rewritten ([`write`]) without any syntax that the two
//! interpret differently. Syntax that `regex` does not support is refused by name, with what to write instead. No
//! accepted expression changes its meaning.
//!
//! The semantics are those of PCRE2 with its default options and Unicode texts: `\d`, `\w`, `\s`, `\b` and `[:alpha:]`
//! are ASCII, letter case is Unicode, and a line ends with `\n`. Only the existence of a match matters, so lazy
//! quantifiers and group numbers have no effect. `oracle` compares the result with PCRE2 itself.
//!
//! Start reading at [`translate`].

mod parse;
mod set;
mod write;

/// Options for the whole expression: the modifiers `i`, `m` and `s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) ignore_case: bool,
    pub(crate) multi_line: bool,
    pub(crate) dot_all: bool,
}

/// The part of an expression that is not supported, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) advice: &'static str,
}

impl Refused {
    fn new(reason: impl Into<String>, advice: &'static str) -> Self {
        Self {
            reason: reason.into(),
            advice,
        }
    }
}

/// The expression in the syntax of `regex`, which matches exactly the texts that the original matches in PCRE2.
pub(crate) fn translate(source: &str, flags: Flags) -> Result<String, Refused> {
    write::write(&parse::parse(source, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(source: &str, text: &str) -> bool {
        let translated =
            translate(source, Flags::default()).unwrap_or_else(|refused| panic!("{source}: {refused:?}"));
        regex::Regex::new(&translated)
            .unwrap_or_else(|error| panic!("{source} is {translated}: {error}"))
            .is_match(text)
    }

    #[test]
    fn signs_that_are_special_in_one_syntax_alone_are_plain() {
        for (source, text, expected) in [
            (r"\<script\>", "a <script> b", true),
            (r"\<script\>", "a script b", false),
            (r"[a[]x", "[x", true),
            ("[a&&b]", "&", true),
            ("[a&&b]x", "ax", true),
            ("[+--]", ",", true),
            ("[a-]-]", "--]", true),
            ("[!--]", "-", true),
            ("[a~~b]", "~", true),
            ("[]a]", "]", true),
            ("[^]a]", "]", false),
            (r"[\w-]x", "-x", true),
            ("a{,}", "a{,}", true),
            ("a{", "a{", true),
            ("a{x}", "a{x}", true),
            ("a{2}", "aa", true),
            ("}]", "}]", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b\E", "axb", false),
            (r"\Qa.b", "a.b", true),
            (r"[\Q^]\E]", "]", true),
            (r"\h\v", "\u{a0}\u{2028}", true),
            (r"\N", "\n", false),
            (r"\x41\x{1F600}\x9", "A\u{1f600}\t", true),
            (r"\e\a\cA\cz\0\012\o{101}", "\u{1b}\u{7}\u{1}\u{1a}\0\nA", true),
            (r"[\b]", "\u{8}", true),
            (r"\N{U+41}", "A", true),
            ("a b#c", "a b#c", true),
            ("(?x) a b # c \n d", "abd", true),
            (r"(?x) a\ b [ ] c", "a b c", true),
            ("(?xx)[a b]", " ", false),
            ("a(?#no ( here)b", "ab", true),
            ("(?|(a)|(b))(?<n>c)(?'m'd)(?P<o>e)", "bcde", true),
            ("[[:^digit:]]", "5", false),
            ("[[:upper:]]", "a", false),
            ("(?i)[[:upper:]]", "a", true),
        ] {
            assert_eq!(matches(source, text), expected, "{source} in {text:?}");
        }
    }

    #[test]
    fn classes_are_ascii_and_letter_case_is_unicodes() {
        for (source, text, expected) in [
            (r"^\d$", "\u{663}", false),
            (r"^\w$", "\u{e9}", false),
            (r"^\s$", "\u{a0}", false),
            (r"^\s$", "\u{b}", true),
            (r"^\W$", "\u{e9}", true),
            (r"\be", "\u{e9}e", true),
            ("(?i)k", "\u{212a}", true),
            (r"(?i)^\w$", "\u{212a}", false),
            (r"(?i)^[\wk]$", "\u{212a}", true),
            (r"(?i)^[^k]$", "\u{212a}", false),
            ("(?i)stra\u{df}e", "STRA\u{1e9e}E", true),
            ("a(?i)b|c", "C", true),
            ("(a(?i)b)c", "aBC", false),
            ("(?i:a)b", "AB", false),
            ("(?i)a(?-i)b", "AB", false),
            ("(?i)a(?^)b", "AB", false),
        ] {
            assert_eq!(matches(source, text), expected, "{source} in {text:?}");
        }
    }

    #[test]
    fn a_dollar_also_stands_before_the_last_line_end() {
        for (source, text, expected) in [
            ("a$", "a\n", true),
            ("a$", "a\nb", false),
            ("a$", "a\n\n", false),
            (r"a\z", "a\n", false),
            (r"a\Z", "a\n", true),
            ("(a$|b)c*", "a\n", true),
            ("a$.*", "a\n", true),
            ("^b", "a\nb", false),
            ("(?m)^b", "a\nb", true),
            ("(?m)a$", "a\nb", true),
            (r"a\b$", "a\n", true),
            (r"a(?:$|\s)b", "a\nb", true),
            (r"a(?:$|-)b", "a\nb", false),
        ] {
            assert_eq!(matches(source, text), expected, "{source} in {text:?}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (source, reason) in [
            ("a++", "possessive"),
            ("a*+b", "possessive"),
            ("a{2}+", "possessive"),
            ("(?>a)", "atomic"),
            ("(?=a)", "look-ahead"),
            ("(?!a)", "look-ahead"),
            ("(?<=a)", "look-behind"),
            ("(?<!a)", "look-behind"),
            ("(*pla:a)", "verb"),
            (r"(a)\1", "back-reference"),
            (r"(?<n>a)\k<n>", "back-reference"),
            (r"(a)\g{-1}", "back-reference"),
            ("(?<n>a)(?P=n)", "back-reference"),
            ("(?R)", "recursion"),
            ("(a)(?1)", "recursion"),
            ("(?&n)", "recursion"),
            ("(?P>n)", "recursion"),
            ("(?(1)a|b)", "conditional"),
            ("(?C1)", "callout"),
            ("(*COMMIT)a", "verb"),
            (r"\Ga", r"`\G`"),
            (r"a\Kb", r"`\K`"),
            (r"\R", r"`\R`"),
            (r"\X", r"`\X`"),
            (r"\C", r"`\C`"),
            (r"\b{2}a", "quantifier"),
            (r"\u0041", r"`\u`"),
            (r"\y", r"`\y`"),
            (r"\p{Greek}", r"`\p{Greek}`"),
            (r"\12", "octal"),
            ("a{,3}", "interpret differently"),
            ("a{2,1}", "out of order"),
            ("a{70000}", "65535"),
            ("*a", "nothing before it to repeat"),
            ("a**", "quantifier"),
            ("(a", "not closed"),
            ("a)", "unmatched `)`"),
            ("[a", "not closed"),
            (r"a\", "backslash"),
            ("[z-a]", "out of order"),
            (r"[\w-z]", "hyphen"),
            ("[[:foo:]]", "[:foo:]"),
            ("[[.a.]]", "[.a.]"),
            (r"\x{110000}", "invalid code point"),
            (r"\x{d800}", "invalid code point"),
            (r"\x", "invalid code point"),
            (r"[\W\p{L}]", "negated set"),
            ("(?z)", "option"),
            (r"a$\n", "`$`"),
            (r"a$\z", "`$`"),
            ("(?m)^\\s*", "`^`"),
            (&"(".repeat(500), "deep"),
        ] {
            let refused = translate(source, Flags::default()).unwrap_err();
            assert!(refused.reason.contains(reason), "{source}: {refused:?}");
            assert!(!refused.advice.is_empty());
        }
    }
}
