//! A label made from an account's name.

/// A label made from an account's name that is none of `taken`: `Tidewater GmbH` becomes `tidewater-gmbh`.
pub fn label_of(name: &str, taken: &[String]) -> String {
    let mut label = String::new();
    for letter in name.to_lowercase().chars() {
        if letter.is_alphanumeric() {
            label.push(letter);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    let label: String = label.trim_matches('-').chars().take(56).collect();
    let label = if label.is_empty() {
        "account".to_owned()
    } else {
        label
    };
    let is_free = |label: &String| !taken.contains(label);
    let numbered = (2..).map(|number| format!("{label}-{number}"));
    std::iter::once(label.clone())
        .chain(numbered)
        .find(is_free)
        .unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::label_of;

    #[test]
    fn a_label_follows_from_the_name_and_is_not_taken() {
        assert_eq!(label_of("Tidewater GmbH & Co.", &[]), "tidewater-gmbh-co");
        assert_eq!(label_of("***", &[]), "account");
        let taken = ["a-b".to_owned(), "a-b-2".to_owned()];
        assert_eq!(label_of("A/B", &taken), "a-b-3");
    }
}
