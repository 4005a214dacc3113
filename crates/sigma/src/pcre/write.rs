//! Writes a parsed expression in the syntax of `regex`, without any syntax that depends on an option.
//!
//! Two anchors have no direct equivalent without look-ahead: `$` also matches before a final `\n`, and with `m`, `^`
//! does not match after one. What can follow the anchor determines whether an equivalent exists ([`After`]).

use regex_syntax::hir::ClassUnicode;

use super::Refused;
use super::parse::{Node, Place};

/// No character.
const NEVER: &str = r"[^\x{0}-\x{10FFFF}]";

/// What can follow a node until the end of the expression.
#[derive(Debug, Clone, Copy)]
struct After {
    /// The minimum number of characters that it matches.
    least: usize,
    /// Whether it can also match the empty text at any position.
    may_be_nothing: bool,
    /// Whether it can start with a newline.
    may_be_line_end: bool,
}

impl After {
    fn and_then(self, node: &Node) -> Self {
        Self {
            least: self.least.saturating_add(node.least()),
            may_be_nothing: self.may_be_nothing && node.may_be_nothing(),
            may_be_line_end: node.may_be_line_end() || (node.least() == 0 && self.may_be_line_end),
        }
    }

    /// The state after one iteration of a repetition: required further iterations belong to what follows.
    fn within(self, inner: &Node, min: u32, max: Option<u32>) -> Self {
        let more = (min as usize).saturating_sub(1);
        Self {
            least: self.least.saturating_add(inner.least().saturating_mul(more)),
            may_be_nothing: self.may_be_nothing && (more == 0 || inner.may_be_nothing()),
            may_be_line_end: self.may_be_line_end || (max != Some(1) && inner.may_be_line_end()),
        }
    }
}

pub(super) fn write(node: &Node) -> Result<String, Refused> {
    let mut out = String::new();
    let end = After {
        least: 0,
        may_be_nothing: true,
        may_be_line_end: false,
    };
    write_node(node, end, &mut out)?;
    Ok(out)
}

fn write_node(node: &Node, after: After, out: &mut String) -> Result<(), Refused> {
    match node {
        Node::Set(set) => write_set(set, out),
        Node::Place(place) => write_place(*place, after, out)?,
        Node::Concat(parts) => {
            let mut afters = vec![after; parts.len()];
            for place in (1..parts.len()).rev() {
                afters[place - 1] = afters[place].and_then(&parts[place]);
            }
            for (part, after) in parts.iter().zip(afters) {
                write_node(part, after, out)?;
            }
        }
        Node::Either(branches) => {
            out.push_str("(?:");
            for (place, branch) in branches.iter().enumerate() {
                if place > 0 {
                    out.push('|');
                }
                write_node(branch, after, out)?;
            }
            out.push(')');
        }
        Node::Repeat { inner, min, max } => {
            let after = after.within(inner, *min, *max);
            let is_one = matches!(inner.as_ref(), Node::Set(_));
            if !is_one {
                out.push_str("(?:");
            }
            write_node(inner, after, out)?;
            if !is_one {
                out.push(')');
            }
            match (min, max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, None) => out.push_str(&format!("{{{min},}}")),
                (min, Some(max)) if min == max => out.push_str(&format!("{{{min}}}")),
                (min, Some(max)) => out.push_str(&format!("{{{min},{max}}}")),
            }
        }
    }
    Ok(())
}

fn write_place(place: Place, after: After, out: &mut String) -> Result<(), Refused> {
    out.push_str(match place {
        Place::TextStart => r"\A",
        Place::TextEnd => r"\z",
        // Taking the line end along is the same as standing before it where nothing else need follow.
        Place::LastLineEnd if after.may_be_nothing => r"(?:\n?\z)",
        // What must follow begins with no line end, and behind the end there is nothing: it never holds.
        Place::LastLineEnd if after.least > 1 || (after.least == 1 && !after.may_be_line_end) => NEVER,
        Place::LastLineEnd => {
            return Err(Refused::new(
                "the regular expression has `$` or `\\Z` before a newline or another required position",
                "end the expression, or its alternative, with `$`; or remove `$`",
            ));
        }
        // Behind a last line end nothing follows, so there is no difference where something must.
        Place::LineStart if after.least > 0 => "(?m:^)",
        Place::LineStart => {
            return Err(Refused::new(
                "the regular expression has `^` with `m` before something that may be empty",
                "let at least one character follow, or remove `m`",
            ));
        }
        Place::LineEnd => "(?m:$)",
        Place::WordEdge => r"(?-u:\b)",
        Place::NoWordEdge => r"(?-u:\B)",
    });
    Ok(())
}

fn write_set(set: &ClassUnicode, out: &mut String) {
    if let [one] = set.ranges()
        && one.start() == one.end()
    {
        return write_char(one.start(), out);
    }
    if set.ranges().is_empty() {
        return out.push_str(NEVER);
    }
    // A set of nearly everything reads better by what it lacks.
    let is_negated = set.ranges().last().is_some_and(|last| last.end() == char::MAX);
    let mut shown = set.clone();
    if is_negated {
        shown.negate();
        if shown.ranges().is_empty() {
            return out.push_str("(?s:.)");
        }
    }
    out.push_str(if is_negated { "[^" } else { "[" });
    for range in shown.ranges() {
        write_char(range.start(), out);
        if range.start() != range.end() {
            out.push('-');
            write_char(range.end(), out);
        }
    }
    out.push(']');
}

/// Writes one character, literally or by its code point: punctuation and invisible characters are never read as syntax.
fn write_char(c: char, out: &mut String) {
    let is_plain = c.is_ascii_alphanumeric()
        || matches!(
            c,
            ' ' | '_' | '/' | '\'' | '"' | '=' | ',' | ';' | '%' | '@' | '!'
        );
    if is_plain {
        out.push(c);
    } else if c.is_ascii_punctuation() && regex_syntax::is_meta_character(c) {
        out.push('\\');
        out.push(c);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
    }
}
