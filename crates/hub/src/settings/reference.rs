//! The reference page of all settings, made from the sentences on sections and fields.
//!
//! Writes no file: `flareward settings` prints the page, and `docs/settings.md` is a copy of it.

use super::Settings;

/// The reference page of all settings, in Markdown.
pub fn reference() -> String {
    let schema = schemars::schema_for!(Settings).to_value();
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut page = String::from(
        "# Settings\n\nFlareward reads each setting from its environment variable, else from the file given with \
         `--config`, else it uses\nthe default. `flareward settings` generates this page.\n",
    );
    let text = |value: &serde_json::Value| {
        value
            .get("description")
            .and_then(|text| text.as_str())
            .unwrap_or_default()
            .replace('\n', " ")
    };
    let empty = serde_json::Map::new();
    let sections = schema["properties"].as_object().unwrap_or(&empty);
    for (section, property) in sections {
        let name = property["$ref"]
            .as_str()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let definition = &schema["$defs"][name];
        page.push_str(&format!("\n## `[{section}]`\n\n{}\n\n", text(property)));
        page.push_str("| setting | environment variable | default | description |\n|---|---|---|---|\n");
        for (key, field) in definition["properties"].as_object().unwrap_or(&empty) {
            let variable = format!("FLAREWARD_{section}_{key}").to_uppercase();
            let default = &defaults[section][key];
            page.push_str(&format!(
                "| `{key}` | `{variable}` | `{default}` | {} |\n",
                text(field)
            ));
        }
    }
    page
}
