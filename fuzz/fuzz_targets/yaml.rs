//! No text makes the reader, the compiler or the engine panic or take long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sigma::{Collection, Matcher, Placeholders, Scratch, parse_documents};

const EVENT: &str = r#"{"a":"b","A":["x",1,null,{"b":true}],"b":{"c":"2026-01-05T10:00:00Z"},"CommandLine":"a -b /c","n":-3.5}"#;

fuzz_target!(|text: &str| {
    let Ok(documents) = parse_documents(text) else { return };
    let documents = documents.into_iter().map(|document| ("fuzz".to_owned(), document)).collect();
    let mut placeholders = Placeholders::none();
    placeholders.set("p", ["a*", "b"]);
    let collection = Collection::build(documents, &placeholders);
    let rules = collection.rules.iter().map(|rule| &rule.compiled).enumerate();
    let matcher = Matcher::new(rules, &["a"], &["person"]);
    let together = matcher
        .scan(EVENT.as_bytes(), &mut Scratch::default(), |_, matched| matched.to_vec())
        .expect("the event is a record");
    let event: Value = serde_json::from_str(EVENT).expect("the event is JSON");
    for (place, rule) in collection.rules.iter().enumerate() {
        // What is worked out of other fields only the engine for many rules has.
        if rule.compiled.rule().field_names().iter().any(|name| name.contains('.') || name == "person") {
            continue;
        }
        assert_eq!(together.contains(&place), rule.compiled.matches(&event), "{text}");
    }
});
