//! The detection of a rule: selections that consist of items, and the condition that combines them.
//!
//! Reads the `detection` mapping into types; it knows modifiers by name only. Start reading at [`Detection::parse`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::condition::{self, Condition};
use crate::modifier::Modifier;

/// The maximum number of selections in one rule. Chosen; the largest public rule has under 100.
const MAX_SELECTIONS: usize = 500;
/// The maximum number of values in one item. Chosen; the largest public list has under 2 000.
const MAX_VALUES: usize = 20_000;
/// The maximum nesting depth of lists and mappings in a selection. The specification uses two levels.
const MAX_DEPTH: usize = 8;
/// The maximum length of a field name, in bytes. Chosen, nothing depends on it.
const MAX_FIELD_BYTES: usize = 512;

/// The `detection` section of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// In the order of the document.
    pub selections: Vec<NamedSelection>,
    /// How the selections are combined; refers to them by index.
    pub condition: Condition,
    /// The condition as written; several conditions are joined with `or`.
    pub condition_text: String,
}

/// A search identifier and its selection.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedSelection {
    /// The identifier.
    pub name: String,
    /// The selection.
    pub selection: Selection,
}

/// The content of a search identifier.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// A mapping: every item must match.
    AllOf(Vec<Item>),
    /// A list: one of its members must match.
    AnyOf(Vec<Selection>),
}

impl Selection {
    pub(crate) fn rename_fields(&mut self, names: &BTreeMap<String, String>) {
        match self {
            Self::AllOf(items) => {
                for item in items {
                    let refers = item.modifiers.contains(&Modifier::FieldRef);
                    if let Some(other) = item.field.as_ref().and_then(|field| names.get(field)) {
                        item.field = Some(other.clone());
                    }
                    for value in item.values.iter_mut().filter(|_| refers) {
                        if let Some(other) = names.get(&value.text) {
                            *value = Literal::new(&Value::from(other.as_str()), None);
                        }
                    }
                }
            }
            Self::AnyOf(inner) => inner.iter_mut().for_each(|one| one.rename_fields(names)),
        }
    }

    pub(crate) fn field_names(&self, found: &mut BTreeSet<String>) {
        match self {
            Self::AllOf(items) => {
                for item in items {
                    found.extend(item.field.clone());
                    if item.modifiers.contains(&Modifier::FieldRef) {
                        found.extend(item.values.iter().map(|name| name.text.clone()));
                    }
                }
            }
            Self::AnyOf(inner) => inner.iter().for_each(|one| one.field_names(found)),
        }
    }
}

/// One line of a selection: a field, its modifiers and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The field; `None` means that the whole event is searched.
    pub field: Option<String>,
    /// In the order written.
    pub modifiers: Vec<Modifier>,
    /// At least one.
    pub values: Vec<Literal>,
    /// The key as written, for messages (`Field|contains`).
    pub written: String,
}

/// A scalar of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    /// The value with its YAML type; never a list or a mapping.
    pub value: Value,
    /// The text as written, without quotes.
    pub text: String,
}

impl Literal {
    fn new(value: &Value, text: Option<&Value>) -> Self {
        let text = match (text, value) {
            (Some(Value::String(text)), _) | (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        };
        Self {
            value: value.clone(),
            text,
        }
    }

    /// The text, if the value is a text.
    pub fn as_str(&self) -> Option<&str> {
        self.value.is_string().then_some(self.text.as_str())
    }
}

/// Why a part of a rule is not supported or invalid, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) advice: String,
    /// A text of the document near the cause.
    pub(crate) near: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            advice: advice.into(),
            near: None,
        }
    }

    pub(crate) fn near(mut self, text: impl Into<String>) -> Self {
        self.near.get_or_insert_with(|| text.into());
        self
    }
}

impl Detection {
    /// Parses the section. `texts` is the same section with scalars as written.
    pub(crate) fn parse(section: &Map<String, Value>, texts: &Value) -> Result<Self, Refusal> {
        if section.contains_key("timeframe") {
            return Err(Refusal::new(
                "`timeframe` belongs to the aggregations that Sigma 2 replaced, which are not supported",
                "write a correlation rule",
            )
            .near("timeframe"));
        }
        let selections = section
            .iter()
            .filter(|(name, _)| *name != "condition")
            .map(|(name, content)| {
                let selection = parse_selection(content, &texts[name], 0)
                    .map_err(|refusal| refusal.near(format!("{name}:")))?;
                Ok(NamedSelection {
                    name: name.clone(),
                    selection,
                })
            })
            .collect::<Result<Vec<_>, Refusal>>()?;
        if selections.is_empty() || selections.len() > MAX_SELECTIONS {
            return Err(Refusal::new(
                format!("`detection` has {} selections", selections.len()),
                format!("use 1 to {MAX_SELECTIONS} selections"),
            )
            .near("detection:"));
        }
        let written: Vec<&str> = match section.get("condition") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) if !several.is_empty() => several
                .iter()
                .map(|one| {
                    one.as_str()
                        .ok_or_else(|| no_condition("a condition in the list is not a string"))
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(no_condition("there is no condition")),
        };
        let names: Vec<&str> = selections.iter().map(|named| named.name.as_str()).collect();
        let conditions = written
            .iter()
            .map(|text| condition::parse(text, &names).map_err(|refusal| refusal.near("condition:")))
            .collect::<Result<Vec<_>, _>>()?;
        let condition_text = match written.as_slice() {
            [one] => (*one).to_owned(),
            several => several
                .iter()
                .map(|one| format!("({one})"))
                .collect::<Vec<_>>()
                .join(" or "),
        };
        Ok(Self {
            selections,
            condition: Condition::any(conditions),
            condition_text,
        })
    }
}

impl Detection {
    /// This detection, combined with `filter`: both must be true. `label` names the source of the added selections in
    /// explanations.
    pub(crate) fn and(&self, filter: &Self, label: &str) -> Self {
        let mut selections = self.selections.clone();
        let offset = selections.len();
        selections.extend(filter.selections.iter().map(|named| NamedSelection {
            name: format!("{label}: {}", named.name),
            selection: named.selection.clone(),
        }));
        Self {
            selections,
            condition: Condition::And(vec![self.condition.clone(), filter.condition.shifted(offset)]),
            condition_text: format!("({}) and ({})", self.condition_text, filter.condition_text),
        }
    }
}

fn no_condition(reason: &str) -> Refusal {
    Refusal::new(
        reason,
        "write `condition:` with a string, or with a list of strings of which one must be true",
    )
    .near("detection:")
}

fn parse_selection(content: &Value, texts: &Value, depth: usize) -> Result<Selection, Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::new("lists are nested too deeply", "flatten them"));
    }
    match content {
        Value::Object(map) if map.is_empty() => Err(Refusal::new("a selection is empty", "add a field")),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                parse_item(key, value, &texts[key]).map_err(|refusal| refusal.near(key.as_str()))
            })
            .collect::<Result<_, _>>()
            .map(Selection::AllOf),
        Value::Array(list) if list.is_empty() || list.len() > MAX_VALUES => Err(Refusal::new(
            format!("a list has {} members", list.len()),
            format!("use 1 to {MAX_VALUES} members"),
        )),
        Value::Array(list) if !list.iter().any(|member| member.is_object() || member.is_array()) => {
            Ok(Selection::AllOf(vec![keywords(literals(list, texts))?]))
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(place, member)| parse_selection(member, &texts[place], depth + 1))
            .collect::<Result<_, _>>()
            .map(Selection::AnyOf),
        scalar => Ok(Selection::AllOf(vec![keywords(vec![Literal::new(
            scalar,
            Some(texts),
        )])?])),
    }
}

fn literals(list: &[Value], texts: &Value) -> Vec<Literal> {
    list.iter()
        .enumerate()
        .map(|(place, value)| Literal::new(value, texts.get(place)))
        .collect()
}

fn keywords(values: Vec<Literal>) -> Result<Item, Refusal> {
    if values.iter().any(|literal| literal.value.is_null()) {
        return Err(Refusal::new(
            "null is not a keyword",
            "write the field that must be null, or quote `~` and `null` to match them as strings",
        ));
    }
    Ok(Item {
        field: None,
        modifiers: Vec::new(),
        values,
        written: "keywords".to_owned(),
    })
}

fn parse_item(key: &str, value: &Value, texts: &Value) -> Result<Item, Refusal> {
    let mut names = key.split('|');
    let field = names
        .next()
        .filter(|field| !field.is_empty())
        .map(ToOwned::to_owned);
    if field.as_ref().is_some_and(|field| field.len() > MAX_FIELD_BYTES) {
        return Err(Refusal::new(
            "a field name is too long",
            format!("keep it under {MAX_FIELD_BYTES} bytes"),
        ));
    }
    let modifiers = names
        .map(|name| {
            Modifier::parse(name).ok_or_else(|| {
                Refusal::new(
                    format!("unknown modifier `{name}`"),
                    "see the Sigma modifiers appendix 2.1.0",
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let values = match value {
        Value::Array(list) => literals(list, texts),
        one => vec![Literal::new(one, Some(texts))],
    };
    if values.is_empty() || values.len() > MAX_VALUES {
        return Err(Refusal::new(
            format!("`{key}` has {} values", values.len()),
            format!("use 1 to {MAX_VALUES} values, or null for an absent field"),
        ));
    }
    if values
        .iter()
        .any(|literal| literal.value.is_object() || literal.value.is_array())
    {
        return Err(Refusal::new(
            format!("`{key}` has a mapping or a list as a value"),
            "write inner fields with a dot, for example `Outer.Inner`",
        ));
    }
    if values.len() > 1 && values.iter().any(|literal| literal.value.is_null()) {
        return Err(Refusal::new(
            format!("`{key}` has null among several values"),
            "put null into a separate selection and join the two in the condition; quote `~` to match it as a string",
        ));
    }
    Ok(Item {
        field,
        modifiers,
        values,
        written: key.to_owned(),
    })
}
