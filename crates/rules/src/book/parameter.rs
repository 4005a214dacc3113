//! Lists that a company fills in, which rules refer to as `%approved_domains%`.

use super::words;
use serde::{Deserialize, Serialize};
use sigma::Placeholders;
use std::collections::BTreeMap;

/// The maximum number of values in one list. Chosen.
const VALUES_MAX: usize = 10_000;

/// One list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its purpose.
    #[serde(default)]
    pub description: String,
    /// Its values, which may contain wildcards. An empty list matches nothing.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Lists by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// Reads a file of lists.
///
/// # Errors
///
/// The problem, for people.
pub fn read(text: &str) -> Result<Parameters, String> {
    let yaml = sigma::parse_yaml(text).map_err(|error| error.to_string())?;
    // Values are texts, however YAML would read them.
    let parameters: Parameters = match yaml {
        None => Parameters::new(),
        Some(yaml) => {
            let lists = yaml.texts.as_object().into_iter().flatten();
            if let Some((name, _)) = lists.into_iter().find(|(_, list)| !list.is_object()) {
                return Err(format!(
                    "{name} is not a mapping; write `{name}: {{values: [...]}}`"
                ));
            }
            serde_json::from_value(yaml.texts).map_err(|error| words::plain(&error))?
        }
    };
    for (name, parameter) in &parameters {
        let is_plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !is_plain || name.is_empty() {
            return Err(format!(
                "invalid name \"{name}\": use letters, digits, _, - and ."
            ));
        }
        if parameter.values.len() > VALUES_MAX {
            return Err(format!("{name} has more than {VALUES_MAX} values"));
        }
    }
    Ok(parameters)
}

/// Replaces the values of lists with those of the later lists with the same name.
pub fn overlay(base: &mut Parameters, over: Parameters) {
    for (name, parameter) in over {
        match base.get_mut(&name) {
            Some(known) => {
                known.values = parameter.values;
                if !parameter.description.is_empty() {
                    known.description = parameter.description;
                }
            }
            None => {
                base.insert(name, parameter);
            }
        }
    }
}

/// The lists, in the form that rules use.
pub fn placeholders(parameters: &Parameters) -> Placeholders {
    let mut placeholders = Placeholders::none();
    for (name, parameter) in parameters {
        placeholders.set(name.as_str(), parameter.values.iter().cloned());
    }
    placeholders
}
