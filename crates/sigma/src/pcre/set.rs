//! The character sets of PCRE2's escapes and POSIX names without its option UCP: ASCII only.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// A set from ranges of characters, both ends inclusive.
pub(super) fn of(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(from, to)| ClassUnicodeRange::new(*from, *to)))
}

/// All other characters.
pub(super) fn negated(mut set: ClassUnicode) -> ClassUnicode {
    set.negate();
    set
}

/// The set, extended by the other letter case of each of its characters.
pub(super) fn folded(mut set: ClassUnicode) -> ClassUnicode {
    // It fails only where the library was built without its tables of letter case.
    set.case_fold_simple();
    set
}

/// `\d`, `\w`, `\s`, `\h`, `\v` and, in capitals, their negations.
pub(super) fn of_escape(letter: char) -> Option<ClassUnicode> {
    let set = match letter.to_ascii_lowercase() {
        'd' => of(&[('0', '9')]),
        'w' => of(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        's' => of(&[('\t', '\r'), (' ', ' ')]),
        // Horizontal and vertical white space are the same lists with and without UCP.
        'h' => of(&[
            ('\t', '\t'),
            (' ', ' '),
            ('\u{a0}', '\u{a0}'),
            ('\u{1680}', '\u{1680}'),
            ('\u{180e}', '\u{180e}'),
            ('\u{2000}', '\u{200a}'),
            ('\u{202f}', '\u{202f}'),
            ('\u{205f}', '\u{205f}'),
            ('\u{3000}', '\u{3000}'),
        ]),
        'v' => of(&[('\n', '\r'), ('\u{85}', '\u{85}'), ('\u{2028}', '\u{2029}')]),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() {
        negated(set)
    } else {
        set
    })
}

/// A POSIX name, as in `[[:alpha:]]`. If comparison ignores case, `upper` and `lower` are `alpha`.
pub(super) fn of_posix(name: &str, ignore_case: bool) -> Option<ClassUnicode> {
    let name = match name {
        "upper" | "lower" if ignore_case => "alpha",
        name => name,
    };
    Some(match name {
        "alpha" => of(&[('A', 'Z'), ('a', 'z')]),
        "lower" => of(&[('a', 'z')]),
        "upper" => of(&[('A', 'Z')]),
        "alnum" => of(&[('0', '9'), ('A', 'Z'), ('a', 'z')]),
        "ascii" => of(&[('\0', '\u{7f}')]),
        "blank" => of(&[('\t', '\t'), (' ', ' ')]),
        "cntrl" => of(&[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')]),
        "digit" => of(&[('0', '9')]),
        "graph" => of(&[('!', '~')]),
        "print" => of(&[(' ', '~')]),
        "punct" => of(&[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
        "space" => of(&[('\t', '\r'), (' ', ' ')]),
        "word" => of(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        "xdigit" => of(&[('0', '9'), ('A', 'F'), ('a', 'f')]),
        _ => return None,
    })
}

/// General categories of Unicode, which have the same names in both libraries. Script names are not supported, because
/// PCRE2 includes the extensions of a script. Surrogates are not characters of a text.
pub(super) fn of_property(name: &str) -> Option<ClassUnicode> {
    const KNOWN: [&str; 34] = [
        "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd",
        "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Cc", "Cf", "Co",
    ];
    let source = match name {
        "Any" => return Some(of(&[('\0', char::MAX)])),
        "L&" => r"[\p{Lu}\p{Ll}\p{Lt}]".to_owned(),
        name if KNOWN.contains(&name) => format!(r"\p{{{name}}}"),
        _ => return None,
    };
    match regex_syntax::parse(&source).ok()?.into_kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(set)) => Some(set),
        _ => None,
    }
}
