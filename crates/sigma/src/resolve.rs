//! The test of an item after its modifiers are applied in the order written.
//!
//! Both evaluators start from this and share nothing after it. Start reading at [`resolve`].

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use regex::RegexBuilder;
use serde_json::Value;

use crate::criterion::{Number, Order, Place, Resolved, Test};
use crate::detection::{Item, Refusal};
use crate::encoding::{base64, base64_at, utf16};
use crate::modifier::{Modifier, TimePart};
use crate::pattern::{Part, Pattern};
use crate::pcre;
use crate::yaml::is_plain_number;

/// The maximum length of a regular expression, in bytes. Chosen; public rules stay under 2 000.
const MAX_REGEX_BYTES: usize = 16 * 1024;
/// The maximum size of a compiled regular expression, in bytes: the library's own limit.
const MAX_REGEX_COMPILED_BYTES: usize = 10 * 1024 * 1024;
/// The maximum number of values that the placeholders of one item may expand to.
const MAX_EXPANDED: usize = 20_000;

/// The values that stand for `%name%` in items with the modifier `expand`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeholders(Arc<BTreeMap<String, Vec<String>>>);

impl Placeholders {
    /// No placeholders: a rule that uses one is refused.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets the values of a placeholder (its name without percent signs). They may contain wildcards; an empty list
    /// matches nothing.
    pub fn set(&mut self, name: impl Into<String>, values: impl IntoIterator<Item = impl Into<String>>) {
        Arc::make_mut(&mut self.0).insert(name.into(), values.into_iter().map(Into::into).collect());
    }
}

#[derive(Debug, Clone)]
enum Operand {
    Null,
    Bool(bool, String),
    /// With the text as written.
    Number(serde_json::Number, String),
    Text(Pattern),
    Bytes(Vec<u8>),
}

enum Kind {
    Equal,
    Regex {
        ignore_case: bool,
        multi_line: bool,
        dot_all: bool,
    },
    Network,
    Order(Order),
}

/// Applies the modifiers of an item.
pub(crate) fn resolve(item: &Item, placeholders: &Placeholders) -> Result<Resolved, Refusal> {
    let has = |modifier| item.modifiers.contains(&modifier);
    if has(Modifier::All) && item.values.len() < 2 {
        return Err(refused(
            item,
            "`all` has only one value",
            "use two or more values, or remove `all`",
        ));
    }
    if has(Modifier::All) && has(Modifier::Neq) {
        return Err(refused(
            item,
            "`all` and `neq` together are ambiguous",
            "negate the selection in the condition",
        ));
    }
    let groups = if has(Modifier::Exists) {
        exists(item)?
    } else if has(Modifier::FieldRef) {
        field_reference(item)?
    } else {
        values(item, placeholders)?
    };
    Ok(Resolved {
        field: item.field.clone(),
        groups,
        all: has(Modifier::All),
        negated: has(Modifier::Neq),
    })
}

fn refused(item: &Item, reason: &str, advice: &str) -> Refusal {
    Refusal::new(format!("`{}`: {reason}", item.written), advice).near(item.written.as_str())
}

fn exists(item: &Item) -> Result<Vec<Vec<Test>>, Refusal> {
    // YAML 1.1, which many rule authors' tools still write, has more words for truth values.
    let present = match item.values.as_slice() {
        [only] => match only.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    };
    match (&item.field, item.modifiers.as_slice(), present) {
        (Some(_), [Modifier::Exists], Some(present)) => Ok(vec![vec![Test::Exists(present)]]),
        _ => Err(refused(
            item,
            "`exists` must be the only modifier of a field, with the value true or false",
            "write `Field|exists: true`",
        )),
    }
}

fn field_reference(item: &Item) -> Result<Vec<Vec<Test>>, Refusal> {
    let mut place = Place::Whole;
    for modifier in &item.modifiers {
        place = match (place, modifier) {
            (place, Modifier::FieldRef | Modifier::Neq | Modifier::Cased | Modifier::All) => place,
            (Place::Whole, Modifier::Contains) => Place::Anywhere,
            (Place::Whole, Modifier::StartsWith) => Place::Start,
            (Place::Whole, Modifier::EndsWith) => Place::End,
            _ => {
                return Err(refused(
                    item,
                    "`fieldref` cannot be combined with these modifiers",
                    "use neq, cased, all, and one of contains, startswith, endswith",
                ));
            }
        };
    }
    if item.field.is_none() {
        return Err(refused(
            item,
            "`fieldref` needs a field",
            "write the field before the first `|`",
        ));
    }
    let cased = item.modifiers.contains(&Modifier::Cased);
    item.values
        .iter()
        .map(|value| match value.as_str().filter(|name| !name.is_empty()) {
            Some(name) => Ok(vec![Test::Field {
                name: name.to_owned(),
                place,
                cased,
            }]),
            None => Err(refused(
                item,
                "`fieldref` needs the name of a field as its value",
                "write the name as a string",
            )),
        })
        .collect()
}

fn values(item: &Item, placeholders: &Placeholders) -> Result<Vec<Vec<Test>>, Refusal> {
    let raw = item.modifiers.contains(&Modifier::Regex);
    let expands = item.modifiers.contains(&Modifier::Expand);
    let mut operands: Vec<Vec<Operand>> = item
        .values
        .iter()
        .map(|literal| {
            vec![match &literal.value {
                Value::Null => Operand::Null,
                Value::Bool(truth) => Operand::Bool(*truth, literal.text.clone()),
                Value::Number(number) => Operand::Number(number.clone(), literal.text.clone()),
                Value::String(_) if raw => Operand::Text(Pattern::literal(&literal.text)),
                Value::String(_) => Operand::Text(Pattern::parse(&literal.text, expands)),
                // A list or mapping was refused when the document was read.
                Value::Array(_) | Value::Object(_) => Operand::Null,
            }]
        })
        .collect();
    let (mut kind, mut cased, mut placed, mut time) = (Kind::Equal, false, false, None);
    for modifier in &item.modifiers {
        match (modifier, &mut kind) {
            (Modifier::All | Modifier::Neq, _) => {}
            (Modifier::Cased, Kind::Equal) => cased = true,
            (Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith, Kind::Equal) => {
                placed = true;
                let before = *modifier != Modifier::StartsWith;
                let after = *modifier != Modifier::EndsWith;
                each(&mut operands, |operand| {
                    Ok(vec![Operand::Text(text(item, operand)?.open(before, after))])
                })?;
            }
            (Modifier::Windash, Kind::Equal) => {
                each(&mut operands, |operand| {
                    Ok(vec![Operand::Text(text(item, operand)?.windash())])
                })?;
            }
            (Modifier::Expand, Kind::Equal) => {
                each(&mut operands, |operand| match operand {
                    Operand::Text(pattern) => expand(item, pattern, placeholders),
                    _ => Err(refused(
                        item,
                        "`expand` needs strings",
                        "write the placeholder as '%name%'",
                    )),
                })?;
            }
            (Modifier::Utf16Le | Modifier::Utf16Be | Modifier::Utf16, Kind::Equal) => {
                each(&mut operands, |operand| {
                    Ok(vec![Operand::Bytes(utf16(&literal(item, operand)?, *modifier))])
                })?;
            }
            (Modifier::Base64, Kind::Equal) => {
                each(&mut operands, |operand| {
                    Ok(vec![Operand::Text(Pattern::literal(&base64(&bytes(
                        item, operand,
                    )?)))])
                })?;
            }
            (Modifier::Base64Offset, Kind::Equal) => {
                each(&mut operands, |operand| {
                    let bytes = bytes(item, operand)?;
                    Ok((0..3)
                        .map(|shift| Operand::Text(Pattern::literal(&base64_at(&bytes, shift))))
                        .collect())
                })?;
            }
            (Modifier::Regex, Kind::Equal) if !placed && !cased => {
                kind = Kind::Regex {
                    ignore_case: false,
                    multi_line: false,
                    dot_all: false,
                };
            }
            (Modifier::RegexIgnoreCase, Kind::Regex { ignore_case, .. }) => *ignore_case = true,
            (Modifier::RegexMultiLine, Kind::Regex { multi_line, .. }) => *multi_line = true,
            (Modifier::RegexDotAll, Kind::Regex { dot_all, .. }) => *dot_all = true,
            (Modifier::Cidr, Kind::Equal) if !placed && !cased && time.is_none() => kind = Kind::Network,
            (Modifier::Lt, Kind::Equal) if !placed && !cased => kind = Kind::Order(Order::Less),
            (Modifier::Lte, Kind::Equal) if !placed && !cased => kind = Kind::Order(Order::LessOrEqual),
            (Modifier::Gt, Kind::Equal) if !placed && !cased => kind = Kind::Order(Order::Greater),
            (Modifier::Gte, Kind::Equal) if !placed && !cased => kind = Kind::Order(Order::GreaterOrEqual),
            (Modifier::Time(part), Kind::Equal) if !placed && !cased && time.is_none() => time = Some(*part),
            _ => {
                return Err(refused(
                    item,
                    "these modifiers cannot be combined in this order",
                    "see the Sigma modifiers appendix 2.1.0; i, m and s follow `re`, and `base64` comes before `contains`",
                ));
            }
        }
    }
    if time.is_some() && cased | placed {
        return Err(refused(
            item,
            "a part of a time is a number, not a string",
            "remove the string modifiers",
        ));
    }
    let anywhere = item.field.is_none() && !placed;
    operands
        .into_iter()
        .map(|group| {
            let mut tests = Vec::with_capacity(group.len());
            for operand in group {
                if let (Operand::Number(number, text), Kind::Equal, None, false, false) =
                    (&operand, &kind, time, anywhere, cased)
                    && let Some(number) = number_beside(number, text)
                {
                    tests.push(Test::NumberAlone(number));
                    let pattern = Pattern::literal(text);
                    tests.push(Test::Text { pattern, cased });
                    continue;
                }
                tests.push(test(item, operand, &kind, time, cased, anywhere)?);
            }
            Ok(tests)
        })
        .collect()
}

/// The number of a scalar, in addition to its text. A number that is not an integer in plain decimals is compared with
/// texts as written.
fn number_beside(number: &serde_json::Number, text: &str) -> Option<Number> {
    let is_whole = is_plain_number(text) && !text.contains('.');
    if is_whole {
        None
    } else {
        Number::from_value(number)
    }
}

fn each(
    operands: &mut [Vec<Operand>],
    change: impl Fn(Operand) -> Result<Vec<Operand>, Refusal>,
) -> Result<(), Refusal> {
    for group in operands {
        let mut changed = Vec::new();
        for operand in std::mem::take(group) {
            changed.extend(change(operand)?);
        }
        *group = changed;
    }
    Ok(())
}

fn test(
    item: &Item,
    operand: Operand,
    kind: &Kind,
    time: Option<TimePart>,
    cased: bool,
    anywhere: bool,
) -> Result<Test, Refusal> {
    let number = |operand: Operand| match &operand {
        Operand::Number(number, _) => Number::from_value(number),
        Operand::Text(pattern) => pattern.as_literal().and_then(Number::from_text),
        _ => None,
    };
    let not_a_number = || refused(item, "the value must be a number", "write it without quotes");
    if let Some(part) = time {
        let order = match kind {
            Kind::Order(order) => *order,
            _ => Order::Equal,
        };
        return Ok(Test::Time(part, order, number(operand).ok_or_else(not_a_number)?));
    }
    Ok(match kind {
        Kind::Order(_) if item.field.is_none() => {
            return Err(refused(
                item,
                "a numeric comparison needs a field",
                "write the field before the first `|`",
            ));
        }
        Kind::Order(order) => Test::Order(*order, number(operand).ok_or_else(not_a_number)?),
        Kind::Network => {
            let network = literal(item, operand)?;
            let parsed: Option<IpNet> = network
                .parse()
                .ok()
                .or_else(|| network.parse::<std::net::IpAddr>().ok().map(IpNet::from));
            Test::Network(parsed.ok_or_else(|| {
                refused(
                    item,
                    &format!("`{network}` is not a network"),
                    "write it as 10.0.0.0/8 or 2001:db8::/32",
                )
            })?)
        }
        Kind::Regex {
            ignore_case,
            multi_line,
            dot_all,
        } => {
            let source = literal(item, operand)?;
            if source.len() > MAX_REGEX_BYTES {
                return Err(refused(
                    item,
                    "the regular expression is too long",
                    "split it over several values",
                ));
            }
            // The translation has the flags in it, so that equal texts are equal expressions.
            let flags = pcre::Flags {
                ignore_case: *ignore_case,
                multi_line: *multi_line,
                dot_all: *dot_all,
            };
            let translated = pcre::translate(&source, flags)
                .map_err(|pcre::Refused { reason, advice }| refused(item, &reason, advice))?;
            Test::Regex(
                RegexBuilder::new(&translated)
                    .size_limit(MAX_REGEX_COMPILED_BYTES)
                    .dfa_size_limit(MAX_REGEX_COMPILED_BYTES)
                    .build()
                    .map_err(|error| bad_regex(item, &error))?,
            )
        }
        Kind::Equal => match operand {
            Operand::Null | Operand::Bool(..) if item.field.is_none() => {
                return Err(refused(
                    item,
                    "a keyword must be a string or a number",
                    "write the field before the first `|`",
                ));
            }
            Operand::Null => Test::Null,
            Operand::Bool(truth, _) if !cased => Test::Bool(truth),
            Operand::Number(number, _) if !anywhere && !cased => match Number::from_value(&number) {
                Some(number) => Test::Number(number),
                None => return Err(not_a_number()),
            },
            other => {
                let pattern = text(item, other)?;
                let pattern = if anywhere {
                    pattern.open(true, true)
                } else {
                    pattern
                };
                Test::Text { pattern, cased }
            }
        },
    })
}

/// If the library rejects a translated expression, its syntax is valid, but it is too large or nested too deeply.
fn bad_regex(item: &Item, error: &regex::Error) -> Refusal {
    let reason = match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the regular expression needs more than {limit} bytes")
        }
        _ => "the groups of the regular expression are nested too deeply".to_owned(),
    };
    refused(
        item,
        &reason,
        "lower its counts `{n,m}`, or split it over several values",
    )
}

fn text(item: &Item, operand: Operand) -> Result<Pattern, Refusal> {
    match operand {
        Operand::Text(pattern) => Ok(pattern),
        Operand::Number(_, text) | Operand::Bool(_, text) => Ok(Pattern::literal(&text)),
        Operand::Bytes(bytes) => String::from_utf8(bytes)
            .map(|text| Pattern::literal(&text))
            .map_err(|_| {
                refused(
                    item,
                    "the encoded value is not valid UTF-8",
                    "follow the encoding with base64 or base64offset",
                )
            }),
        Operand::Null => Err(refused(
            item,
            "null cannot be combined with a string modifier",
            "write `Field: null`, or quote `~` and `null` to match them as strings",
        )),
    }
}

fn literal(item: &Item, operand: Operand) -> Result<String, Refusal> {
    let pattern = text(item, operand)?;
    pattern.as_literal().map(ToOwned::to_owned).ok_or_else(|| {
        refused(
            item,
            "this value must not contain wildcards here",
            "encode before `contains`, or escape them with a backslash",
        )
    })
}

fn bytes(item: &Item, operand: Operand) -> Result<Vec<u8>, Refusal> {
    match operand {
        Operand::Bytes(bytes) => Ok(bytes),
        other => literal(item, other).map(String::into_bytes),
    }
}

fn expand(item: &Item, pattern: Pattern, placeholders: &Placeholders) -> Result<Vec<Operand>, Refusal> {
    let mut done = Vec::new();
    let mut open = vec![pattern];
    while let Some(pattern) = open.pop() {
        let Some(name) = pattern.placeholder() else {
            done.push(Operand::Text(pattern));
            continue;
        };
        let values = placeholders.0.get(name).ok_or_else(|| {
            refused(
                item,
                &format!("the placeholder %{name}% has no value"),
                "set its values before using the rule",
            )
        })?;
        if done.len() + open.len() + values.len() > MAX_EXPANDED {
            return Err(refused(
                item,
                "the placeholders expand to too many values",
                "use fewer placeholders in one value",
            ));
        }
        open.extend(values.iter().rev().map(|value| pattern.with_placeholder(value)));
    }
    debug_assert!(done.iter().all(|operand| {
        !matches!(operand, Operand::Text(pattern) if pattern.parts.iter().any(|part| matches!(part, Part::Placeholder(_))))
    }));
    Ok(done)
}
