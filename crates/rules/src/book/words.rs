//! Errors in the structure of a document, in terms that its author uses.

/// The message for an invalid value: the key, and the expected value.
pub(crate) fn plain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let key = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let known: Vec<&str> = rest.split('`').skip(3).step_by(2).collect();
        return match known.is_empty() {
            true => format!("unknown key `{}`", key(rest)),
            false => format!("unknown key `{}`; available: {}", key(rest), known.join(", ")),
        };
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("the key `{}` is missing", key(rest));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let known: Vec<&str> = rest.split('`').skip(3).step_by(2).collect();
        return format!("`{}` is not one of {}", key(rest), known.join(", "));
    }
    if message.starts_with("data did not match") {
        return "a value has an unsupported format".to_owned();
    }
    for start in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, wanted)) = message
            .strip_prefix(start)
            .and_then(|rest| rest.split_once(", expected "))
        {
            return format!("expected {1}, found {0}", kind(found), kind(wanted));
        }
    }
    "a value has an unsupported format".to_owned()
}

/// A kind of value, in YAML's terms.
fn kind(library: &str) -> String {
    match library.split(' ').next().unwrap_or_default() {
        "string" => library.replacen("string", "the string", 1),
        "integer" => library.replacen("integer", "the number", 1),
        "floating" => library.replacen("floating point", "the number", 1),
        "boolean" => library.replacen("boolean", "the boolean", 1),
        "sequence" => "a list".to_owned(),
        "map" | "struct" => "a mapping".to_owned(),
        "null" | "unit" => "nothing".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a" if library.starts_with("a sequence") => "a list".to_owned(),
        "a" if library.starts_with("a map") => "a mapping".to_owned(),
        "a" if library.starts_with("a string") => "a string".to_owned(),
        "a" if library.starts_with("a boolean") => "true or false".to_owned(),
        _ => library.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::book::parameter;
    use crate::cases;

    #[test]
    fn mistakes_are_told_in_plain_words() {
        for (text, words) in [
            (
                "x: {values: [a], colour: b}",
                "unknown key `colour`; available: description, values",
            ),
            ("x: {values: a}", "expected a list, found the string \"a\""),
            ("x: [a]", "x is not a mapping"),
            ("x: {values: [[a]]}", "expected a string, found a list"),
            (
                "x: {values: [a]}\nx: {values: [b]}",
                "the key `x` occurs twice in one mapping",
            ),
        ] {
            let problem = parameter::read(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
        let numbers = parameter::read("x: {values: [1.10, 0x1F, 404, on]}").unwrap();
        assert_eq!(numbers["x"].values, ["1.10", "0x1F", "404", "on"]);
        for (text, words) in [
            ("fires: []", "the key `silent` is missing"),
            (
                "fires: [{name: a, event: {}, x: 1}]\nsilent: []",
                "unsupported format",
            ),
        ] {
            let problem = cases::read(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }
}
