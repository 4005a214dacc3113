//! The condition of a rule: `selection and not 1 of filter_*`.
//!
//! Precedence from lowest to highest: `or`, `and`, `not`, `x of`, parentheses. Start reading at [`parse`].

use crate::detection::Refusal;

/// The maximum nesting depth of a condition. Chosen; public rules stay under 10.
const MAX_DEPTH: usize = 64;
/// The maximum length of a condition, in bytes. Chosen; public rules stay under 1 000.
const MAX_BYTES: usize = 16 * 1024;

/// A condition over selections, which are identified by their index in the detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The selection at this index matches.
    Selection(usize),
    /// All are true.
    And(Vec<Condition>),
    /// At least one is true.
    Or(Vec<Condition>),
    /// The inner condition is false.
    Not(Box<Condition>),
    /// At least this many of the selections match.
    AtLeast(usize, Vec<usize>),
}

impl Condition {
    pub(crate) fn any(mut conditions: Vec<Self>) -> Self {
        if conditions.len() == 1 {
            conditions.swap_remove(0)
        } else {
            Self::Or(conditions)
        }
    }

    /// The same condition with all selection indexes increased by `by`.
    pub(crate) fn shifted(&self, by: usize) -> Self {
        let all = |inner: &[Self]| inner.iter().map(|one| one.shifted(by)).collect();
        match self {
            Self::Selection(place) => Self::Selection(place + by),
            Self::And(inner) => Self::And(all(inner)),
            Self::Or(inner) => Self::Or(all(inner)),
            Self::Not(inner) => Self::Not(Box::new(inner.shifted(by))),
            Self::AtLeast(needed, places) => {
                Self::AtLeast(*needed, places.iter().map(|place| place + by).collect())
            }
        }
    }

    fn every(mut conditions: Vec<Self>) -> Self {
        if conditions.len() == 1 {
            conditions.swap_remove(0)
        } else {
            Self::And(conditions)
        }
    }
}

/// Parses a condition over selections with these names.
pub(crate) fn parse(text: &str, names: &[&str]) -> Result<Condition, Refusal> {
    if text.len() > MAX_BYTES {
        return Err(Refusal::new(
            "the condition is too long",
            format!("keep it under {MAX_BYTES} bytes"),
        ));
    }
    if text.contains('|') {
        return Err(Refusal::new(
            "the condition has an aggregation (`|`), which Sigma 2 replaced",
            "write a correlation rule",
        ));
    }
    let tokens = tokens(text)?;
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        names,
    };
    let condition = reader.or(0)?;
    match reader.peek() {
        None => Ok(condition),
        Some(token) => Err(reader.unexpected(token)),
    }
}

fn tokens(text: &str) -> Result<Vec<&str>, Refusal> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '*' | '-' | '.');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' => 1,
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            other => {
                return Err(Refusal::new(
                    format!("the condition contains the invalid character `{other}`"),
                    "use names of selections, and, or, not, of, parentheses",
                ));
            }
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [&'a str],
    at: usize,
    names: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let taken = self.peek().is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(taken);
        taken
    }

    fn or(&mut self, depth: usize) -> Result<Condition, Refusal> {
        let mut sides = vec![self.and(depth)?];
        while self.take("or") {
            sides.push(self.and(depth)?);
        }
        Ok(Condition::any(sides))
    }

    fn and(&mut self, depth: usize) -> Result<Condition, Refusal> {
        let mut sides = vec![self.not(depth)?];
        while self.take("and") {
            sides.push(self.not(depth)?);
        }
        Ok(Condition::every(sides))
    }

    fn not(&mut self, depth: usize) -> Result<Condition, Refusal> {
        if depth > MAX_DEPTH {
            return Err(Refusal::new(
                "the condition is nested too deeply",
                "split it over several selections",
            ));
        }
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        self.one(depth)
    }

    fn one(&mut self, depth: usize) -> Result<Condition, Refusal> {
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            if !self.take(")") {
                return Err(Refusal::new("a parenthesis is not closed", "add `)`"));
            }
            return Ok(inner);
        }
        let Some(token) = self.peek() else {
            return Err(Refusal::new(
                "the condition ends too early",
                "end it with the name of a selection",
            ));
        };
        let counts = self
            .tokens
            .get(self.at + 1)
            .is_some_and(|next| next.eq_ignore_ascii_case("of"));
        if counts {
            return self.count(token);
        }
        if matches!(token, ")" | "(")
            || ["and", "or", "not", "of"]
                .iter()
                .any(|word| token.eq_ignore_ascii_case(word))
        {
            return Err(self.unexpected(token));
        }
        self.at += 1;
        self.names
            .iter()
            .position(|name| *name == token)
            .map(Condition::Selection)
            .ok_or_else(|| {
                Refusal::new(
                    format!("the condition refers to `{token}`, which is not a selection"),
                    format!(
                        "the selections are {}; write `1 of {token}` for a pattern",
                        self.names.join(", ")
                    ),
                )
            })
    }

    /// `1 of them`, `all of sel*`, `2 of sel*`.
    fn count(&mut self, quantity: &str) -> Result<Condition, Refusal> {
        self.at += 2;
        let Some(what) = self.peek() else {
            return Err(Refusal::new(
                "the condition ends after `of`",
                "write `of them` or a pattern of names",
            ));
        };
        self.at += 1;
        let fits: Vec<usize> = if what.eq_ignore_ascii_case("them") {
            (0..self.names.len())
                .filter(|place| !self.names[*place].starts_with('_'))
                .collect()
        } else {
            (0..self.names.len())
                .filter(|place| fits(what, self.names[*place]))
                .collect()
        };
        if fits.is_empty() {
            return Err(Refusal::new(
                format!("no selection matches `{what}`"),
                format!("the selections are {}", self.names.join(", ")),
            ));
        }
        let each = |places: Vec<usize>| places.into_iter().map(Condition::Selection).collect();
        if quantity.eq_ignore_ascii_case("all") {
            return Ok(Condition::every(each(fits)));
        }
        let needed = if quantity.eq_ignore_ascii_case("any") {
            Some(1)
        } else {
            quantity.parse::<usize>().ok()
        };
        match needed {
            Some(1) => Ok(Condition::any(each(fits))),
            Some(needed) if needed > 1 && needed <= fits.len() => Ok(Condition::AtLeast(needed, fits)),
            _ => Err(Refusal::new(
                format!(
                    "`{quantity} of {what}` is not possible: {} selections match",
                    fits.len()
                ),
                "use 1, all, or a number up to that",
            )),
        }
    }

    fn unexpected(&self, token: &str) -> Refusal {
        Refusal::new(
            format!("unexpected `{token}` in the condition"),
            "join the names of selections with and, or, not",
        )
    }
}

/// Whether a name matches a pattern with `*` anywhere.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut middle: Vec<&str> = rest.split('*').collect();
    let tail = middle.pop().unwrap_or_default();
    for part in middle {
        match name.find(part) {
            Some(place) => name = &name[place + part.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a", "b", "c", "sel_x", "_hidden"];

    /// A condition with all parentheses written.
    fn shown(condition: &Condition) -> String {
        let joined = |inner: &[Condition], word: &str| {
            format!("({})", inner.iter().map(shown).collect::<Vec<_>>().join(word))
        };
        match condition {
            Condition::Selection(place) => NAMES[*place].to_owned(),
            Condition::And(inner) => joined(inner, " & "),
            Condition::Or(inner) => joined(inner, " | "),
            Condition::Not(inner) => format!("!{}", shown(inner)),
            Condition::AtLeast(needed, of) => format!("{needed}{of:?}"),
        }
    }

    #[test]
    fn or_binds_weaker_than_and_weaker_than_not() {
        for (written, means) in [
            ("a", "a"),
            ("a or b and c", "(a | (b & c))"),
            ("(a or b) and c", "((a | b) & c)"),
            ("not a and b", "(!a & b)"),
            ("not (a and b)", "!(a & b)"),
            ("not not a", "!!a"),
            ("not 1 of sel*", "!sel_x"),
            ("1 of them", "(a | b | c | sel_x)"),
            ("all of them", "(a & b & c & sel_x)"),
            ("any of them", "(a | b | c | sel_x)"),
            ("1 of _hid*", "_hidden"),
            ("2 of them", "2[0, 1, 2, 3]"),
            ("1 of *_x", "sel_x"),
            ("all of s*l_*", "sel_x"),
            ("A_AND_B", "refused"),
            ("a AND NOT b", "(a & !b)"),
        ] {
            let read =
                parse(written, &NAMES).map_or_else(|_| "refused".to_owned(), |condition| shown(&condition));
            assert_eq!(read, means, "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for written in [
            "",
            "a b",
            "a and",
            "and a",
            "(a",
            "a)",
            "d",
            "sel*",
            "1 of d*",
            "0 of them",
            "5 of them",
            "of them",
            "1 of",
            "a | count() > 5",
            "a + b",
            "not",
            "()",
        ] {
            assert!(parse(written, &NAMES).is_err(), "{written}");
        }
        let deep = format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(parse(&deep, &NAMES).is_err());
        assert!(parse(&format!("{}a", "not ".repeat(3_000)), &NAMES).is_err());
    }
}
