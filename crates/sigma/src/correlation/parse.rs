//! The `correlation` section of a document.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Bound, Correlation, CorrelationCondition, CorrelationKind};
use crate::condition::{self, Condition};
use crate::detection::Refusal;
use crate::rule::{Header, canonical_name};

/// The maximum number of rules in one correlation. Chosen.
const MAX_RULES: usize = 1_000;
/// The maximum number of fields in `group-by`. Chosen.
const MAX_GROUP_BY: usize = 20;
/// The longest timespan: 90 days. Matches are stored for this time.
const MAX_TIMESPAN_NS: i64 = 90 * 86_400 * NS;
const NS: i64 = 1_000_000_000;

/// Reads the section.
pub(crate) fn parse(
    header: Header,
    section: &Map<String, Value>,
    written: &Value,
) -> Result<Correlation, Refusal> {
    const KNOWN: [&str; 7] = [
        "type",
        "rules",
        "group-by",
        "timespan",
        "condition",
        "aliases",
        "generate",
    ];
    if let Some(key) = section.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(Refusal::new(
            format!("`correlation` has the key `{key}`, which is not supported"),
            format!("use {}", KNOWN.join(", ")),
        )
        .near(format!("{key}:")));
    }
    let kind = section
        .get("type")
        .and_then(Value::as_str)
        .and_then(CorrelationKind::parse)
        .ok_or_else(|| {
            Refusal::new(
                "`correlation.type` is missing or unknown",
                "use event_count, value_count, temporal, temporal_ordered, value_sum, value_avg or value_percentile",
            )
            .near("type:")
        })?;
    let mut rules = names(texts(written, "rules")?);
    let expression = match section.get("condition") {
        Some(Value::String(text)) if kind.is_temporal() => Some(with_names(text)),
        Some(Value::String(_)) => {
            return Err(Refusal::new(
                "only temporal correlations accept a textual condition",
                "write a mapping, for example `gte: 5`",
            )
            .near("condition:"));
        }
        _ => None,
    };
    if let (true, Some(text)) = (rules.is_empty(), &expression) {
        rules = named_in(text);
    }
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(Refusal::new(
            format!("`correlation.rules` lists {} rules", rules.len()),
            format!("list 1 to {MAX_RULES} rules by id or name"),
        )
        .near("rules:"));
    }
    let mut unique = rules.clone();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() != rules.len() {
        return Err(Refusal::new("`correlation.rules` lists a rule twice", "list each once").near("rules:"));
    }
    let group_by = texts(written, "group-by")?;
    if group_by.len() > MAX_GROUP_BY {
        return Err(Refusal::new(
            "`group-by` has too many fields",
            format!("use at most {MAX_GROUP_BY}"),
        )
        .near("group-by:"));
    }
    let timespan_ns = section
        .get("timespan")
        .and_then(Value::as_str)
        .and_then(span)
        .filter(|ns| (NS..=MAX_TIMESPAN_NS).contains(ns))
        .ok_or_else(|| {
            Refusal::new(
                "`correlation.timespan` is missing or not between 1 second and 90 days",
                "write a number and s, m, h or d, for example `10m`",
            )
            .near("timespan:")
        })?;
    let (condition, fields, percentile) = match expression {
        Some(text) => (worded(kind, &text, &mut rules)?, Vec::new(), None),
        None => bounds(kind, section.get("condition"), &written["condition"], rules.len())?,
    };
    let suppress_ns = match header.custom.get("flareward").and_then(|own| own.get("suppress")) {
        None => None,
        Some(text) => Some(text.as_str().and_then(span).ok_or_else(|| {
            Refusal::new(
                "`flareward.suppress` is not a valid duration",
                "use a duration such as `1h`",
            )
            .near("suppress:")
        })?),
    };
    let aliases = aliases(written.get("aliases"), &rules)?;
    let generate = match section.get("generate").or(header.custom.get("generate")) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(truth)) => *truth,
        Some(_) => {
            return Err(
                Refusal::new("`generate` is not true or false", "write true or false").near("generate:"),
            );
        }
    };
    Ok(Correlation {
        header,
        kind,
        rules,
        group_by,
        timespan_ns,
        condition,
        fields,
        percentile,
        aliases,
        generate,
        suppress_ns,
    })
}

/// A timespan such as `90s`, `10m`, `2h`, `7d`, in nanoseconds.
pub(super) fn span(text: &str) -> Option<i64> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number
        .parse::<i64>()
        .ok()
        .filter(|number| plain && *number > 0)?
        .checked_mul(unit * NS)
}

/// Names of rules in their form for comparison.
fn names(written: Vec<String>) -> Vec<String> {
    written
        .iter()
        .map(|name| canonical_name(name).into_owned())
        .collect()
}

/// A textual condition with the names of rules in their form for comparison.
fn with_names(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '(' | ')');
    text.split_inclusive(is_end)
        .map(|part| match part.chars().next_back().filter(|c| is_end(*c)) {
            Some(end) => format!("{}{end}", canonical_name(&part[..part.len() - end.len_utf8()])),
            None => canonical_name(part).into_owned(),
        })
        .collect()
}

fn texts(section: &Value, key: &str) -> Result<Vec<String>, Refusal> {
    let listed = match section.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    listed
        .iter()
        .map(|value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned)
                .ok_or_else(|| {
                    Refusal::new(
                        format!("`{key}` has a member that is not a string"),
                        "use only strings",
                    )
                    .near(format!("{key}:"))
                })
        })
        .collect()
}

/// The names in a textual condition, in order.
fn named_in(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')')) {
        let is_name = !word.is_empty() && !["and", "or", "not"].contains(&word.to_ascii_lowercase().as_str());
        if is_name && !names.iter().any(|name| name == word) {
            names.push(word.to_owned());
        }
    }
    names
}

fn worded(
    kind: CorrelationKind,
    text: &str,
    rules: &mut Vec<String>,
) -> Result<CorrelationCondition, Refusal> {
    if kind == CorrelationKind::TemporalOrdered {
        // The order is that of the words, which only "and" gives.
        let mentioned = named_in(text);
        let plain = text
            .split_whitespace()
            .enumerate()
            .all(|(place, word)| (place % 2 == 1) == word.eq_ignore_ascii_case("and"));
        if !plain || mentioned.iter().any(|name| !rules.contains(name)) {
            return Err(Refusal::new(
                "an ordered correlation accepts only names joined with `and`",
                "write `first and second`, or split it into several rules",
            )
            .near("condition:"));
        }
        *rules = mentioned;
        return Ok(CorrelationCondition::Bounds(vec![(
            Bound::Gte,
            rules.len() as f64,
        )]));
    }
    let names: Vec<&str> = rules.iter().map(String::as_str).collect();
    let condition: Condition =
        condition::parse(text, &names).map_err(|refusal| refusal.near("condition:"))?;
    Ok(CorrelationCondition::Expression(condition))
}

type Bounds = (CorrelationCondition, Vec<String>, Option<f64>);

fn bounds(
    kind: CorrelationKind,
    condition: Option<&Value>,
    written: &Value,
    rules: usize,
) -> Result<Bounds, Refusal> {
    let refused = |reason: String, advice: &str| Refusal::new(reason, advice).near("condition:");
    let map = match condition {
        None | Some(Value::Null) if kind.is_temporal() => {
            let all = CorrelationCondition::Bounds(vec![(Bound::Gte, rules as f64)]);
            return Ok((all, Vec::new(), None));
        }
        Some(Value::Object(map)) => map,
        _ => {
            return Err(refused(
                "`correlation.condition` is missing".to_owned(),
                "write a mapping, for example `gte: 5`",
            ));
        }
    };
    let (mut bounds, mut fields, mut percentile) = (Vec::new(), Vec::new(), None);
    for (key, value) in map {
        let bound = match key.as_str() {
            "gt" => Bound::Gt,
            "gte" => Bound::Gte,
            "lt" => Bound::Lt,
            "lte" => Bound::Lte,
            "eq" => Bound::Eq,
            "neq" => Bound::Neq,
            "field" => {
                fields = texts(written, "field")?;
                continue;
            }
            "percentile" => {
                percentile = value.as_f64().filter(|percent| (0.0..=100.0).contains(percent));
                if percentile.is_none() {
                    return Err(refused(
                        "`percentile` is not between 0 and 100".to_owned(),
                        "use a number such as 95",
                    ));
                }
                continue;
            }
            other => {
                return Err(refused(
                    format!("the condition has the key `{other}`, which is not supported"),
                    "use gt, gte, lt, lte, eq, neq and field",
                ));
            }
        };
        let number = value
            .as_f64()
            .ok_or_else(|| refused(format!("`{key}` is not a number"), "write a number"))?;
        bounds.push((bound, number));
    }
    if bounds.is_empty() {
        return Err(refused(
            "the condition has no comparison".to_owned(),
            "add one, for example `gte: 5`",
        ));
    }
    if kind.has_value() && fields.is_empty() {
        return Err(refused(
            "the condition has no field".to_owned(),
            "add `field:` with the compared field",
        ));
    }
    if !kind.has_value() && !fields.is_empty() {
        return Err(refused(
            "this type of correlation does not use a field".to_owned(),
            "remove `field`, or use value_count",
        ));
    }
    if fields.len() > 1 && kind != CorrelationKind::ValueCount {
        return Err(refused(
            "the condition has several fields".to_owned(),
            "only value_count accepts a list",
        ));
    }
    if (kind == CorrelationKind::ValuePercentile) != percentile.is_some() {
        return Err(refused(
            "`percentile` and the type value_percentile must be used together".to_owned(),
            "add `percentile: 95`, or remove `percentile` from other types",
        ));
    }
    Ok((CorrelationCondition::Bounds(bounds), fields, percentile))
}

fn aliases(
    section: Option<&Value>,
    rules: &[String],
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Refusal> {
    let refused = |reason: String| {
        Refusal::new(
            reason,
            "write `alias: {rule: field}` for rules of this correlation",
        )
        .near("aliases:")
    };
    let Some(section) = section.filter(|section| !section.is_null()) else {
        return Ok(BTreeMap::new());
    };
    let map = section
        .as_object()
        .ok_or_else(|| refused("`aliases` is not a mapping".to_owned()))?;
    map.iter()
        .map(|(alias, meanings)| {
            let meanings = meanings
                .as_object()
                .ok_or_else(|| refused(format!("the alias `{alias}` is not a mapping")))?;
            let meanings = meanings
                .iter()
                .map(
                    |(rule, field)| match (canonical_name(rule).into_owned(), field.as_str()) {
                        (rule, Some(field)) if rules.contains(&rule) => Ok((rule, field.to_owned())),
                        (_, Some(_)) => Err(refused(format!(
                            "the alias `{alias}` refers to {rule}, which is not in `rules`"
                        ))),
                        (_, None) => Err(refused(format!("the alias `{alias}` has no field for {rule}"))),
                    },
                )
                .collect::<Result<_, _>>()?;
            Ok((alias.clone(), meanings))
        })
        .collect()
}
