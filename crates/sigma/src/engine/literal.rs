//! Literal texts that every match of a regular expression or wildcard pattern must contain.
//!
//! One search finds the literals of all rules. The expression itself is evaluated only where its literal was found.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::matching::fold_char;
use crate::pattern::{Part, Pattern};

/// The maximum number of texts for one expression.
const MAX_TEXTS: usize = 64;
/// Shorter texts match too often to be useful.
const MIN_CHARS: usize = 2;

/// Folded texts of which every match contains at least one; `None` if there is no such list.
pub(super) fn of_regex(source: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::parse(source).ok()?;
    let texts = required(&hir)?;
    let good = texts.len() <= MAX_TEXTS && texts.iter().all(|text| text.chars().count() >= MIN_CHARS);
    good.then_some(texts)
}

/// The longest folded text that every match of the pattern contains.
pub(super) fn of_pattern(pattern: &Pattern) -> Option<String> {
    pattern
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Literal(text) => Some(text.chars().map(fold_char).collect::<String>()),
            _ => None,
        })
        .max_by_key(String::len)
}

fn shortest(texts: &[String]) -> usize {
    texts.iter().map(String::len).min().unwrap_or(0)
}

fn required(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![fold(std::str::from_utf8(&literal.0).ok()?)]),
        HirKind::Class(_) => one_char(hir).map(|c| vec![c.to_string()]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Alternation(branches) => {
            let mut texts = Vec::new();
            for branch in branches {
                texts.extend(required(branch)?);
                if texts.len() > MAX_TEXTS {
                    return None;
                }
            }
            Some(texts)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<String>> = None;
            let mut run = String::new();
            let mut offer = |texts: Vec<String>| {
                if best.as_ref().is_none_or(|best| shortest(&texts) > shortest(best)) {
                    best = Some(texts);
                }
            };
            for part in parts {
                if let HirKind::Literal(literal) = part.kind()
                    && let Ok(text) = std::str::from_utf8(&literal.0)
                {
                    run.push_str(&fold(text));
                } else if let Some(c) = one_char(part) {
                    run.push(c);
                } else {
                    if !run.is_empty() {
                        offer(vec![std::mem::take(&mut run)]);
                    }
                    if let Some(texts) = required(part) {
                        offer(texts);
                    }
                }
            }
            if !run.is_empty() {
                offer(vec![run]);
            }
            best
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// The character that all characters of a class fold to, as for `[aA]`.
fn one_char(hir: &Hir) -> Option<char> {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        return None;
    };
    let mut all = class
        .ranges()
        .iter()
        .flat_map(|range| range.start()..=range.end())
        .take(5)
        .map(fold_char);
    let first = all.next()?;
    let mut count = 1;
    for other in all {
        count += 1;
        if other != first || count > 4 {
            return None;
        }
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_match_contains_is_found() {
        for (source, expected) in [
            ("foo.*Barbaz", Some(vec!["barbaz"])),
            ("(?i)Hello", Some(vec!["hello"])),
            ("(?i)pass", Some(vec!["pa"])),
            ("^(abc|de)+x?", Some(vec!["abc", "de"])),
            (r"\w{8,}", None),
            (".+", None),
            ("a|bc", None),
            ("(ab)?cd", Some(vec!["cd"])),
            (r"[A-Za-z0-9+/]{50,}==", Some(vec!["=="])),
        ] {
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect());
            assert_eq!(of_regex(source), expected, "{source}");
        }
    }
}
