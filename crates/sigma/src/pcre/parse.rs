//! Parses an expression as PCRE2 does (pcre2pattern(3), 10.4x), and refuses syntax that `regex` does not support.
//!
//! Start reading at [`parse`].

use regex_syntax::hir::ClassUnicode;

use super::{Flags, Refused, set};

/// The maximum nesting depth of groups. The matching library allows 100.
const MAX_DEPTH: usize = 90;
/// The largest count that PCRE2 accepts.
const MAX_COUNT: u32 = 65_535;

/// A part of an expression. Groups are not recorded, because captures are never used.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// One character of this set.
    Set(ClassUnicode),
    /// A zero-width assertion.
    Place(Place),
    Concat(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        inner: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
}

/// A condition on the position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    TextStart,
    TextEnd,
    /// The end of the text, or before a newline that is the last character.
    LastLineEnd,
    LineStart,
    LineEnd,
    WordEdge,
    NoWordEdge,
}

impl Node {
    /// The minimum number of characters that it matches.
    pub(super) fn least(&self) -> usize {
        match self {
            Self::Set(_) => 1,
            Self::Place(_) => 0,
            Self::Concat(parts) => parts
                .iter()
                .fold(0, |sum: usize, part| sum.saturating_add(part.least())),
            Self::Either(branches) => branches.iter().map(Self::least).min().unwrap_or(0),
            Self::Repeat { inner, min, .. } => inner.least().saturating_mul(*min as usize),
        }
    }

    /// Whether it can match the empty text at a position where [`Place::LastLineEnd`] is true.
    pub(super) fn may_be_nothing(&self) -> bool {
        match self {
            Self::Set(_) => false,
            Self::Place(place) => matches!(place, Place::LastLineEnd | Place::LineEnd),
            Self::Concat(parts) => parts.iter().all(Self::may_be_nothing),
            Self::Either(branches) => branches.iter().any(Self::may_be_nothing),
            Self::Repeat { inner, min, .. } => *min == 0 || inner.may_be_nothing(),
        }
    }

    /// Whether its first character can be a newline.
    pub(super) fn may_be_line_end(&self) -> bool {
        match self {
            Self::Set(set) => set
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&'\n')),
            Self::Place(_) => false,
            Self::Concat(parts) => {
                // Up to the first part that takes a character at least.
                let first = parts.iter().position(|part| part.least() > 0);
                let reached = first.map_or(parts.len(), |first| first + 1);
                parts[..reached].iter().any(Self::may_be_line_end)
            }
            Self::Either(branches) => branches.iter().any(Self::may_be_line_end),
            Self::Repeat { inner, max, .. } => *max != Some(0) && inner.may_be_line_end(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Options {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    /// `x`: whitespace and comments are ignored.
    extended: bool,
    /// `xx`: spaces and tabs in classes are ignored as well.
    extended_more: bool,
}

pub(super) fn parse(source: &str, flags: Flags) -> Result<Node, Refused> {
    let mut parser = Parser {
        source: source.chars().collect(),
        at: 0,
        is_quoted: false,
        options: Options {
            ignore_case: flags.ignore_case,
            multi_line: flags.multi_line,
            dot_all: flags.dot_all,
            extended: false,
            extended_more: false,
        },
        names: Vec::new(),
        may_repeat_names: false,
    };
    let node = parser.alternatives(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(Refused::new(
            "the regular expression has an unmatched `)`",
            "write `\\)` for the character itself",
        )),
    }
}

struct Parser {
    source: Vec<char>,
    at: usize,
    /// Between `\Q` and `\E`.
    is_quoted: bool,
    options: Options,
    names: Vec<String>,
    may_repeat_names: bool,
}

/// A member of a class.
enum Member {
    Char(char),
    /// More than one character, so it cannot be an end of a range.
    Set(ClassUnicode),
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.source.get(self.at).copied()
    }

    fn ahead(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(place, c)| self.source.get(self.at + place) == Some(&c))
    }

    fn take(&mut self, text: &str) -> bool {
        let is_there = self.ahead(text);
        if is_there {
            self.at += text.chars().count();
        }
        is_there
    }

    /// The text up to and including `end`; `None` if `end` is missing.
    fn until(&mut self, end: char) -> Option<String> {
        let rest = self.source.get(self.at..)?;
        let length = rest.iter().position(|c| *c == end)?;
        let text = rest[..length].iter().collect();
        self.at += length + 1;
        Some(text)
    }

    /// Skips `\Q`, `\E`, comments and, with `x`, whitespace.
    fn pass_over(&mut self) -> Result<(), Refused> {
        loop {
            if self.take("\\E") {
                self.is_quoted = false;
            } else if self.is_quoted {
                return Ok(());
            } else if self.take("\\Q") {
                self.is_quoted = true;
            } else if self.take("(?#") {
                if self.until(')').is_none() {
                    return Err(not_closed("comment"));
                }
            } else if self.options.extended && self.peek().is_some_and(is_pattern_space) {
                self.at += 1;
            } else if self.options.extended && self.peek() == Some('#') {
                if self.until('\n').is_none() {
                    self.at = self.source.len();
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Alternatives up to the end or a `)`, which is not consumed. Options that are set inside apply only until there.
    fn alternatives(&mut self, depth: usize) -> Result<Node, Refused> {
        if depth > MAX_DEPTH {
            return Err(Refused::new(
                "the groups of the regular expression are nested too deeply",
                "write fewer groups",
            ));
        }
        let mut branches = vec![self.sequence(depth)?];
        while self.take("|") {
            branches.push(self.sequence(depth)?);
        }
        Ok(match branches.len() {
            1 => branches.swap_remove(0),
            _ => Node::Either(branches),
        })
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, Refused> {
        let mut parts: Vec<Node> = Vec::new();
        loop {
            self.pass_over()?;
            let Some(c) = self.peek() else { break };
            if self.is_quoted {
                self.at += 1;
                let literal = Node::Set(self.literal(c));
                let repeated = self.repeated(literal)?;
                parts.push(repeated);
                continue;
            }
            if matches!(c, '|' | ')') {
                break;
            }
            if let Some(node) = self.item(c, depth)? {
                let repeated = self.repeated(node)?;
                parts.push(repeated);
            } else {
                self.pass_over()?;
                if !self.is_quoted && self.quantifier()?.is_some() {
                    return Err(nothing_to_repeat());
                }
            }
        }
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => Node::Concat(parts),
        })
    }

    /// One item; `None` for an option setting.
    fn item(&mut self, c: char, depth: usize) -> Result<Option<Node>, Refused> {
        if self.quantifier()?.is_some() {
            return Err(nothing_to_repeat());
        }
        self.at += 1;
        Ok(Some(match c {
            '.' if self.options.dot_all => Node::Set(set::of(&[('\0', char::MAX)])),
            '.' => not_line_end(),
            '^' if self.options.multi_line => Node::Place(Place::LineStart),
            '^' => Node::Place(Place::TextStart),
            '$' if self.options.multi_line => Node::Place(Place::LineEnd),
            '$' => Node::Place(Place::LastLineEnd),
            '(' => return self.group(depth),
            '[' => Node::Set(self.class()?),
            '\\' => self.escape()?,
            literal => Node::Set(self.literal(literal)),
        }))
    }

    fn literal(&self, c: char) -> ClassUnicode {
        let set = set::of(&[(c, c)]);
        if self.options.ignore_case {
            set::folded(set)
        } else {
            set
        }
    }

    /// The node with the quantifier that follows it.
    fn repeated(&mut self, node: Node) -> Result<Node, Refused> {
        self.pass_over()?;
        if self.is_quoted {
            return Ok(node);
        }
        let Some((min, max)) = self.quantifier()? else {
            return Ok(node);
        };
        if matches!(node, Node::Place(_)) {
            return Err(Refused::new(
                "the regular expression has a quantifier after an item that matches no character, such as `^` or `\\b`",
                "remove the quantifier",
            ));
        }
        let is_lazy = self.take("?");
        self.pass_over()?;
        if !self.is_quoted {
            if self.peek() == Some('+') && !is_lazy {
                return Err(Refused::new(
                    "the regular expression has a possessive quantifier such as `++`, which is not supported",
                    "use a plain quantifier, and a class without the next character, such as `[^\"]*\"`",
                ));
            }
            if self.quantifier()?.is_some() {
                return Err(Refused::new(
                    "the regular expression has a quantifier after a quantifier",
                    "put the repeated part into a group, as in `(?:a+)*`",
                ));
            }
        }
        Ok(Node::Repeat {
            inner: Box::new(node),
            min,
            max,
        })
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, Refused> {
        let counts = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counts(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(counts))
    }

    /// `{n}`, `{n,}` or `{n,m}`; any other text in braces is literal.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, Refused> {
        let rest = &self.source[self.at + 1..];
        let Some(length) = rest.iter().position(|c| *c == '}') else {
            return Ok(None);
        };
        let inside: String = rest[..length].iter().collect();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (least, most) = match inside.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (inside.as_str(), None),
        };
        if !(is_number(least) && most.is_none_or(|most| most.is_empty() || is_number(most))) {
            // Later versions of PCRE2 take these as counts, earlier ones as text.
            let (least, most) = (least.trim(), most.map(str::trim));
            let may_be_counts = (is_number(least) || (least.is_empty() && most.is_some_and(is_number)))
                && most.is_none_or(|most| most.is_empty() || is_number(most));
            if may_be_counts {
                return Err(Refused::new(
                    format!(
                        "the regular expression has `{{{inside}}}`, which versions of PCRE interpret differently"
                    ),
                    "write `{0,n}` for a count, without spaces, or `\\{` for the character itself",
                ));
            }
            return Ok(None);
        }
        let count = |text: &str| {
            text.parse()
                .ok()
                .filter(|count| *count <= MAX_COUNT)
                .ok_or_else(|| {
                    Refused::new(
                        format!("the regular expression has a count above {MAX_COUNT}"),
                        "write a lower count",
                    )
                })
        };
        let min = count(least)?;
        let max = match most {
            None => Some(min),
            Some("") => None,
            Some(most) => Some(count(most)?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(Refused::new(
                format!("the counts in `{{{inside}}}` are out of order"),
                "write the lower count first",
            ));
        }
        self.at += length + 2;
        Ok(Some((min, max)))
    }

    /// The content after a `(`.
    fn group(&mut self, depth: usize) -> Result<Option<Node>, Refused> {
        let outer = self.options;
        if self.peek() == Some('*') {
            return Err(Refused::new(
                "the regular expression has a verb such as `(*COMMIT)`, which is not supported",
                "remove it, or write `(?:\\*` for the characters themselves",
            ));
        }
        if self.take("?") {
            match self.peek() {
                Some(':' | '|') => self.at += 1,
                Some('<') if !self.ahead("<=") && !self.ahead("<!") && !self.ahead("<*") => {
                    self.at += 1;
                    self.name('>')?;
                }
                Some('\'') => {
                    self.at += 1;
                    self.name('\'')?;
                }
                Some('P') if self.ahead("P<") => {
                    self.at += 2;
                    self.name('>')?;
                }
                _ => {
                    refuse_group(&self.source[self.at..])?;
                    if !self.set_options()? {
                        return Ok(None);
                    }
                }
            }
        }
        let node = self.alternatives(depth + 1)?;
        if !self.take(")") {
            return Err(not_closed("group"));
        }
        self.options = outer;
        Ok(Some(match node {
            // A group is repeated as a whole.
            Node::Place(place) => Node::Concat(vec![Node::Place(place)]),
            node => node,
        }))
    }

    fn name(&mut self, end: char) -> Result<(), Refused> {
        let name = self.until(end).unwrap_or_default();
        let is_name = name.len() <= 32
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty();
        if !is_name {
            return Err(Refused::new(
                "the regular expression has a group with an invalid name",
                "use up to 32 letters, digits and `_`, or remove the name",
            ));
        }
        if self.names.contains(&name) && !self.may_repeat_names {
            return Err(Refused::new(
                format!("two groups of the regular expression have the name `{name}`"),
                "remove the names",
            ));
        }
        self.names.push(name);
        Ok(())
    }

    /// Options as in `(?i-s)`. Returns whether a group follows, as in `(?i:`.
    fn set_options(&mut self) -> Result<bool, Refused> {
        let mut options = self.options;
        let mut is_on = true;
        if self.take("^") {
            options = Options {
                ignore_case: false,
                multi_line: false,
                dot_all: false,
                extended: false,
                extended_more: false,
            };
        }
        loop {
            let Some(c) = self.peek() else {
                return Err(not_closed("group"));
            };
            self.at += 1;
            match c {
                '-' if is_on => is_on = false,
                'i' => options.ignore_case = is_on,
                'm' => options.multi_line = is_on,
                's' => options.dot_all = is_on,
                'x' => {
                    options.extended = is_on;
                    options.extended_more = is_on && self.take("x");
                }
                'J' => self.may_repeat_names = is_on,
                // Which groups have numbers, and whether the longest is tried first: neither changes what matches.
                'n' | 'U' => {}
                ')' | ':' => {
                    self.options = options;
                    return Ok(c == ':');
                }
                other => {
                    return Err(Refused::new(
                        format!("the regular expression sets the option `{other}`, which is not supported"),
                        "use i, m, s and x",
                    ));
                }
            }
        }
    }

    /// The content after a backslash outside a class.
    fn escape(&mut self) -> Result<Node, Refused> {
        let Some(c) = self.peek() else {
            return Err(ends_with_backslash());
        };
        let place = match c {
            'A' => Some(Place::TextStart),
            'z' => Some(Place::TextEnd),
            'Z' => Some(Place::LastLineEnd),
            'b' => Some(Place::WordEdge),
            'B' => Some(Place::NoWordEdge),
            _ => None,
        };
        if let Some(place) = place {
            self.at += 1;
            return Ok(Node::Place(place));
        }
        if c == 'N' && !self.ahead("N{U+") {
            self.at += 1;
            if self.peek() == Some('{') && self.counts_ahead()?.is_none() {
                return Err(not_supported(
                    "\\N{",
                    "write a character by its number, as `\\x{41}`",
                ));
            }
            return Ok(not_line_end());
        }
        if let Some(refused) = refuse_escape(c) {
            return Err(refused);
        }
        if matches!(c, '1'..='9') {
            return Err(
                if self.source.get(self.at + 1).is_some_and(char::is_ascii_digit) {
                    Refused::new(
                        format!("`\\{c}…` may be a back-reference or an octal number"),
                        "write a character by its number as `\\x{41}`; back-references are not supported",
                    )
                } else {
                    back_reference()
                },
            );
        }
        Ok(Node::Set(match self.escaped()? {
            Member::Char(c) => self.literal(c),
            Member::Set(set) => set,
        }))
    }

    /// [`Self::counts`], without consuming them.
    fn counts_ahead(&mut self) -> Result<Option<(u32, Option<u32>)>, Refused> {
        let at = self.at;
        let counts = self.counts();
        self.at = at;
        counts
    }

    /// An escape that stands for characters, inside or outside a class.
    fn escaped(&mut self) -> Result<Member, Refused> {
        let Some(c) = self.peek() else {
            return Err(ends_with_backslash());
        };
        self.at += 1;
        if let Some(set) = set::of_escape(c) {
            return Ok(Member::Set(set));
        }
        Ok(Member::Char(match c {
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'c' => {
                let control = self.peek().filter(|c| matches!(c, ' '..='~'));
                let control = control.ok_or_else(|| {
                    Refused::new(
                        "`\\c` in the regular expression is not followed by a printable ASCII character",
                        "write a character by its number, as `\\x{1B}`",
                    )
                })?;
                self.at += 1;
                // Both are below 128.
                char::from(control.to_ascii_uppercase() as u8 ^ 0x40)
            }
            'x' if self.take("{") => self.number(16)?,
            // Earlier versions of PCRE2 take it for the character 0 where no digit follows.
            'x' => match self.digits(16, 2).as_str() {
                "" => character(u32::MAX)?,
                digits => character(u32::from_str_radix(digits, 16).unwrap_or(u32::MAX))?,
            },
            'o' if self.take("{") => self.number(8)?,
            'N' if self.take("{U+") => self.number(16)?,
            '0'..='7' => {
                let digits = format!("{c}{}", self.digits(8, 2));
                character(u32::from_str_radix(&digits, 8).unwrap_or(0))?
            }
            'p' | 'P' => return self.property(c == 'P').map(Member::Set),
            c if c.is_ascii_alphanumeric() => {
                return Err(not_supported(
                    &format!("\\{c}"),
                    "write the character without a backslash, or by its number as `\\x{41}`",
                ));
            }
            plain => plain,
        }))
    }

    fn digits(&mut self, radix: u32, most: usize) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_digit(radix) && digits.len() < most) {
            digits.push(c);
            self.at += 1;
        }
        digits
    }

    /// A number that is followed by a brace.
    fn number(&mut self, radix: u32) -> Result<char, Refused> {
        let digits = self.until('}').unwrap_or_default();
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        match u32::from_str_radix(&digits, radix) {
            Ok(number) if is_number => character(number),
            _ => character(u32::MAX),
        }
    }

    /// `\p{…}` and `\pL`.
    fn property(&mut self, is_negated: bool) -> Result<ClassUnicode, Refused> {
        let letter = if is_negated { 'P' } else { 'p' };
        let written = if self.take("{") {
            self.until('}').unwrap_or_default()
        } else {
            let one = self.peek().map(String::from).unwrap_or_default();
            self.at += one.chars().count();
            one
        };
        let (name, is_negated) = match written.strip_prefix('^') {
            Some(name) => (name, !is_negated),
            None => (written.as_str(), is_negated),
        };
        let hangs_on_case = self.options.ignore_case && matches!(name, "Lu" | "Ll" | "Lt");
        let set = set::of_property(name).filter(|_| !hangs_on_case);
        let set = set.ok_or_else(|| {
            not_supported(
                &format!("\\{letter}{{{written}}}"),
                "use a general category such as \\p{L} in a case-sensitive part, or a class of ranges",
            )
        })?;
        Ok(if is_negated { set::negated(set) } else { set })
    }

    /// The content after a `[`.
    fn class(&mut self) -> Result<ClassUnicode, Refused> {
        if let Some(name) = self.posix_name() {
            return Err(not_supported(
                &format!("[{name}]"),
                "write the name inside a class, as `[[:alpha:]]`",
            ));
        }
        let mut set = set::of(&[]);
        let is_negated = self.take("^");
        let mut is_first = true;
        // The character that a range may begin with, and whether its hyphen has come.
        let mut begin: Option<char> = None;
        let mut is_open = false;
        // Sets of which PCRE2 keeps one note whether they take characters above 255.
        let (mut noted, mut has_negated, mut has_negated_name) = (0, false, false);
        loop {
            if self.take("\\E") {
                self.is_quoted = false;
                continue;
            }
            let Some(c) = self.peek() else {
                return Err(Refused::new(
                    "a class of the regular expression is not closed",
                    "add `]`, or write `\\[` for the character itself",
                ));
            };
            if !self.is_quoted {
                if self.take("\\Q") {
                    self.is_quoted = true;
                    continue;
                }
                if self.options.extended_more && matches!(c, ' ' | '\t') {
                    self.at += 1;
                    continue;
                }
                if c == ']' && !is_first {
                    self.at += 1;
                    break;
                }
                if c == '-' && begin.is_some() && !is_open {
                    self.at += 1;
                    is_open = true;
                    continue;
                }
            }
            is_first = false;
            let next = self.source.get(self.at + 1).copied();
            if !self.is_quoted && c == '\\' {
                has_negated |= matches!(next, Some('D' | 'W' | 'S'));
                noted += usize::from(matches!(next, Some('p' | 'P')));
            } else if !self.is_quoted && self.ahead("[:^") {
                has_negated_name = true;
            } else if !self.is_quoted && self.ahead("[:") {
                noted += 1;
            }
            let member = self.member(c)?;
            match member {
                Member::Char(last) if is_open => {
                    let first = begin.take().unwrap_or(last);
                    is_open = false;
                    if last < first {
                        return Err(Refused::new(
                            format!("the range {first}-{last} of the regular expression is out of order"),
                            "write the lower character first, or `\\-` for the character itself",
                        ));
                    }
                    self.add(&mut set, first, last);
                }
                Member::Char(c) => {
                    self.add(&mut set, c, c);
                    begin = Some(c);
                }
                Member::Set(members) => {
                    let is_hyphen_next = !self.is_quoted
                        && self.peek() == Some('-')
                        && self.source.get(self.at + 1).is_some_and(|next| *next != ']');
                    if is_open || is_hyphen_next {
                        return Err(Refused::new(
                            "a class of the regular expression has a hyphen next to `\\w` or another set",
                            "put the hyphen at the end of the class, or write `\\-`",
                        ));
                    }
                    set.union(&members);
                    begin = None;
                }
            }
        }
        if is_open {
            self.add(&mut set, '-', '-');
        }
        if (has_negated || has_negated_name) && noted + usize::from(has_negated && has_negated_name) > 0 {
            return Err(not_supported(
                "a negated set such as `\\W` beside a property or POSIX name in one class, which some versions of PCRE2 handle incorrectly",
                "write the two as alternatives, such as `(?:\\W|\\p{L})`",
            ));
        }
        Ok(if is_negated { set::negated(set) } else { set })
    }

    fn add(&self, set: &mut ClassUnicode, first: char, last: char) {
        let range = set::of(&[(first, last)]);
        set.union(&if self.options.ignore_case {
            set::folded(range)
        } else {
            range
        });
    }

    /// One member of a class, which starts with `c`.
    fn member(&mut self, c: char) -> Result<Member, Refused> {
        self.at += 1;
        if self.is_quoted || !matches!(c, '[' | '\\') {
            return Ok(Member::Char(c));
        }
        if c == '[' {
            let Some(written) = self.posix_name() else {
                return Ok(Member::Char('['));
            };
            self.at += written.chars().count() + 1;
            let name = written.strip_prefix(':').and_then(|name| name.strip_suffix(':'));
            let (name, is_negated) = match name.map(|name| (name, name.strip_prefix('^'))) {
                Some((_, Some(name))) => (Some(name), true),
                Some((name, None)) => (Some(name), false),
                None => (None, false),
            };
            let set = name.and_then(|name| set::of_posix(name, self.options.ignore_case));
            let set = set.ok_or_else(|| {
                not_supported(
                    &format!("[{written}]"),
                    "use alpha, digit, alnum, upper, lower, space, blank, punct, print, graph, cntrl, xdigit, word or ascii",
                )
            })?;
            return Ok(Member::Set(if is_negated { set::negated(set) } else { set }));
        }
        match self.peek() {
            Some('b') => {
                self.at += 1;
                Ok(Member::Char('\u{8}'))
            }
            Some(letter @ ('A' | 'B' | 'z' | 'Z')) => Err(not_supported(
                &format!("\\{letter}"),
                "write it outside the class",
            )),
            Some(digit @ ('8' | '9')) => Err(not_supported(
                &format!("\\{digit}"),
                "write the digit without a backslash",
            )),
            Some('N') if !self.ahead("N{U+") => Err(not_supported("\\N", "write `[^\\n]`")),
            Some(letter) => match refuse_escape(letter) {
                Some(refused) => Err(refused),
                None => self.escaped(),
            },
            None => Err(ends_with_backslash()),
        }
    }

    /// The text between `[` and `]` if it is a POSIX name, such as `:alpha:`. The `[` is already consumed.
    fn posix_name(&self) -> Option<String> {
        let mark = self.peek().filter(|c| matches!(c, ':' | '.' | '='))?;
        let mut at = self.at + 1;
        loop {
            let (c, next) = (*self.source.get(at)?, self.source.get(at + 1));
            if c == mark && next == Some(&']') {
                return Some(self.source[self.at..=at].iter().collect());
            }
            if c == ']' || (c == '[' && next == Some(&mark)) {
                return None;
            }
            at += if c == '\\' && matches!(next, Some(']' | '\\')) {
                2
            } else {
                1
            };
        }
    }
}

fn not_line_end() -> Node {
    Node::Set(set::negated(set::of(&[('\n', '\n')])))
}

/// Whitespace that `x` ignores.
fn is_pattern_space(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r' | ' ' | '\u{85}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
    )
}

fn character(number: u32) -> Result<char, Refused> {
    char::from_u32(number).ok_or_else(|| {
        Refused::new(
            "the regular expression has an invalid code point",
            "write a number from 0 to 10FFFF in the form `\\x{41}`",
        )
    })
}

/// Refuses groups that `regex` does not support; `rest` is the text after `(?`.
fn refuse_group(rest: &[char]) -> Result<(), Refused> {
    const LOOK: &str = "use two selections, and negate one of them in the condition if needed";
    let (first, second) = (rest.first().copied(), rest.get(1).copied());
    Err(match (first, second) {
        (Some('>'), _) => not_supported("an atomic group `(?>…)`", "write `(?:…)`"),
        (Some('=' | '!' | '*'), _) => not_supported("look-around (a look-ahead)", LOOK),
        (Some('<'), _) => not_supported("look-around (a look-behind)", LOOK),
        (Some('P'), Some('=')) => back_reference(),
        (Some('R' | '&' | '0'..='9' | '+' | 'P'), _) | (Some('-'), Some('0'..='9')) => {
            not_supported("recursion", "repeat the part in full")
        }
        (Some('('), _) => not_supported("a conditional group `(?(…)…)`", "write the cases as alternatives"),
        (Some('C'), _) => not_supported("a callout `(?C)`", "remove it"),
        (Some('['), _) => not_supported("an extended class `(?[…])`", "write a plain class"),
        _ => return Ok(()),
    })
}

/// Refuses escapes that `regex` does not support.
fn refuse_escape(c: char) -> Option<Refused> {
    Some(match c {
        'g' | 'k' => back_reference(),
        'G' => not_supported("\\G", "write `^`"),
        'K' => not_supported("\\K", "remove it: only the existence of a match counts"),
        'R' => not_supported("\\R", "write `(?:\\r\\n|\\n|\\r)`"),
        'X' => not_supported("\\X", "write `.`"),
        'C' => not_supported("\\C", "write `.`"),
        'l' | 'L' | 'u' | 'U' => {
            not_supported(&format!("\\{c}"), "write a character by its number, as `\\x{41}`")
        }
        _ => return None,
    })
}

fn not_supported(what: &str, advice: &'static str) -> Refused {
    let what = if what.contains(' ') || what.starts_with(char::is_alphabetic) {
        what.to_owned()
    } else {
        format!("`{what}`")
    };
    Refused::new(
        format!("the regular expression has {what}, which is not supported"),
        advice,
    )
}

fn back_reference() -> Refused {
    not_supported("a back-reference", "write each possible string as an alternative")
}

fn nothing_to_repeat() -> Refused {
    Refused::new(
        "the regular expression has a quantifier with nothing before it to repeat",
        "to match the character itself, write a backslash before it",
    )
}

fn ends_with_backslash() -> Refused {
    Refused::new(
        "the regular expression ends with a backslash",
        "write `\\\\` for the character itself",
    )
}

fn not_closed(what: &str) -> Refused {
    Refused::new(
        format!("a {what} of the regular expression is not closed"),
        "add `)`, or write `\\(` for the character itself",
    )
}
