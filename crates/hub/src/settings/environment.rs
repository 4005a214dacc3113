//! Settings from environment variables.
//!
//! Puts values into the table that the settings are read from. Reads no variable itself: the caller passes them.

use super::SettingsError;

/// Lays one variable over the table. A name that is no setting changes nothing.
pub(super) fn overlay(
    table: &mut toml::Table,
    defaults: &toml::Table,
    name: &str,
    value: &str,
) -> Result<(), SettingsError> {
    let Some(rest) = name.strip_prefix("FLAREWARD_") else {
        return Ok(());
    };
    let rest = rest.to_ascii_lowercase();
    let Some((section, key)) = rest.split_once('_') else {
        return Ok(());
    };
    let Some(default) = defaults.get(section).and_then(|section| section.get(key)) else {
        return Ok(());
    };
    let not_understood =
        |kind: &str| SettingsError::Understand(format!("{name} must be {kind}, not \"{value}\""));
    let value = match default {
        toml::Value::Integer(_) => {
            toml::Value::Integer(value.parse().map_err(|_| not_understood("a whole number"))?)
        }
        toml::Value::Boolean(_) => {
            toml::Value::Boolean(value.parse().map_err(|_| not_understood("true or false"))?)
        }
        toml::Value::Array(_) => toml::Value::Array(
            value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(Into::into)
                .collect(),
        ),
        _ => toml::Value::String(value.to_owned()),
    };
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value);
    }
    Ok(())
}
