//! Validates responses against the published description of the API (`openapi-facts.json`).
//!
//! The description is OpenAPI 3.0. JSON Schema does not have its `nullable`, so the description is converted first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::beyond;

static DESCRIPTION: OnceLock<Value> = OnceLock::new();
type Compiled = HashMap<(String, String, String), Arc<Validator>>;
static VALIDATORS: OnceLock<Mutex<Compiled>> = OnceLock::new();

fn description() -> &'static Value {
    DESCRIPTION.get_or_init(|| {
        let text = include_str!("openapi-facts.json");
        let mut description = with_nulls(serde_json::from_str(text).unwrap());
        accept_new_selectors(&mut description["components"]["schemas"]["access_rule"]);
        for (path, operations) in beyond::paths().as_object().unwrap() {
            let before = description["paths"]
                .as_object_mut()
                .unwrap()
                .insert(path.clone(), operations.clone());
            assert!(
                before.is_none(),
                "{path} is published: drop it from what is beyond"
            );
        }
        description
    })
}

/// `nullable: true` becomes "null, or what the rest says".
fn with_nulls(schema: Value) -> Value {
    match schema {
        Value::Object(mut object) => {
            let nullable = object.remove("nullable") == Some(Value::Bool(true));
            let rest: Map<String, Value> = object
                .into_iter()
                .map(|(key, value)| (key, with_nulls(value)))
                .collect();
            if nullable {
                json!({ "anyOf": [{ "type": "null" }, rest] })
            } else {
                Value::Object(rest)
            }
        }
        Value::Array(items) => items.into_iter().map(with_nulls).collect(),
        other => other,
    }
}

/// Selectors are added about twice a year, so one that the description does not know is no mistake.
fn accept_new_selectors(rule: &mut Value) {
    let schemas = rule["oneOf"].as_array().unwrap().clone();
    let text = include_str!("openapi-facts.json");
    let described: Value = serde_json::from_str(text).unwrap();
    let known: Vec<Value> = schemas
        .iter()
        .map(|branch| {
            let name = branch["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            json!({ "required": described["components"]["schemas"][name]["required"] })
        })
        .collect();
    let new = json!({ "type": "object", "minProperties": 1, "maxProperties": 1, "not": { "anyOf": known } });
    *rule = json!({ "anyOf": [{ "oneOf": schemas }, new] });
}

/// The path template that a path belongs to.
pub(crate) fn template(path: &str) -> Option<String> {
    let path: Vec<&str> = path
        .split('?')
        .next()
        .unwrap()
        .trim_matches('/')
        .split('/')
        .collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.trim_matches('/').split('/').collect();
        parts.len() == path.len()
            && parts
                .iter()
                .zip(&path)
                .all(|(part, is)| part.starts_with('{') || part == is)
    };
    let paths = description()["paths"].as_object().unwrap();
    // `/summary` also fits `/{user_id}`: the template with the fewest parameters is meant.
    paths
        .keys()
        .filter(|template| fits(template))
        .min_by_key(|template| template.matches('{').count())
        .cloned()
}

/// Whether the description has this operation at all.
pub(crate) fn describes(method: &str, template: &str) -> bool {
    !description()["paths"][template][method.to_lowercase()].is_null()
}

/// What is wrong with an answer; empty if it is as described, or of an operation that is not.
pub(crate) fn problems(method: &str, template: &str, status: u16, body: &Value) -> Vec<String> {
    let responses = &description()["paths"][template][method.to_lowercase()]["responses"];
    if responses.is_null() {
        return Vec::new();
    }
    let exact = status.to_string();
    let range = format!("{}XX", status / 100);
    let Some(name) = [exact, range]
        .into_iter()
        .find(|name| responses.get(name).is_some())
    else {
        return vec![format!("{method} {template} does not describe status {status}")];
    };
    let schema = &responses[&name]["content"]["application/json"]["schema"];
    let validators = VALIDATORS.get_or_init(Mutex::default);
    let key = (method.to_owned(), template.to_owned(), name);
    let mut validators = validators.lock().unwrap();
    let validator = validators.entry(key).or_insert_with(|| {
        let whole = json!({ "allOf": [schema], "components": description()["components"] });
        Arc::new(
            jsonschema::options()
                .should_validate_formats(true)
                .build(&whole)
                .unwrap(),
        )
    });
    validator
        .iter_errors(body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn null_is_accepted_only_where_it_is_described() {
    let schema = with_nulls(json!({ "properties": {
        "either": { "type": "string", "nullable": true }, "never": { "type": "string" },
    }}));
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&json!({ "either": null, "never": "" })));
    assert!(!validator.is_valid(&json!({ "never": null })));
}

#[test]
fn a_wrong_answer_is_noticed() {
    let template = template("/accounts/a/members?page=1").unwrap();
    let body = json!({ "success": true, "errors": [], "messages": [], "result": [{ "status": "rejected" }] });
    assert!(!problems("GET", &template, 200, &body).is_empty());
}
