//! The lists that a rule refers to.
//!
//! Pure. Start reading at [`BookRule::lists`].

use super::{BookRule, Parameters};
use sigma::{Modifier, Selection};
use std::collections::BTreeSet;

impl BookRule {
    /// The names in `known` that the rule refers to as `%name%`, directly or through the rules that it correlates, in
    /// alphabetical order.
    pub fn lists<'k>(&self, known: &'k Parameters) -> Vec<&'k str> {
        let mut found = BTreeSet::new();
        for base in &self.bases {
            for named in &base.rule().detection.selections {
                referred(&named.selection, known, &mut found);
            }
        }
        found.into_iter().collect()
    }
}

fn referred<'k>(selection: &Selection, known: &'k Parameters, found: &mut BTreeSet<&'k str>) {
    match selection {
        Selection::AnyOf(inner) => inner.iter().for_each(|one| referred(one, known, found)),
        Selection::AllOf(items) => {
            let expanding = items
                .iter()
                .filter(|item| item.modifiers.contains(&Modifier::Expand));
            for text in expanding.flat_map(|item| item.values.iter().filter_map(|value| value.as_str())) {
                let named = known.keys().filter(|name| text.contains(&format!("%{name}%")));
                found.extend(named.map(String::as_str));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::book::RuleBook;

    #[test]
    fn a_rule_names_the_lists_that_it_expands_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("parameters.yml"),
            "ours: {values: [a.example]}\nother: {values: [b.example]}\n",
        )
        .unwrap();
        let rule = "title: Mine\nid: mine\nlogsource: {service: gateway_dns}\n\
                    detection: {a: {QueryName|expand: '%ours%', PolicyName: '%other%'}, condition: a}\n";
        std::fs::write(folder.path().join("mine.yml"), rule).unwrap();
        let book = RuleBook::load(Some(folder.path()));
        assert_eq!(book.problems, Vec::<String>::new());
        assert_eq!(book.rule("mine").unwrap().lists(&book.parameters), ["ours"]);
    }
}
