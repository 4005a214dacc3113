//! Test cases of the built-in rules, evaluated by the production code: single records and sequences.

use rules::book::RuleBook;
use rules::cases::{judge, read};

#[test]
fn each_built_in_rule_does_what_its_cases_say() {
    let book = RuleBook::load(None);
    assert_eq!(book.problems, Vec::<String>::new());
    let mut failures = Vec::new();
    let mut cases = 0;
    for rule in book.rules() {
        let text = book
            .system_cases(rule)
            .unwrap_or_else(|| panic!("{} has no cases", rule.name));
        let read = read(&text).unwrap_or_else(|problem| panic!("{}: {problem}", rule.name));
        let (count, failed) = judge(&book, rule, &read);
        assert!(count > 1, "{} has {count} cases", rule.name);
        cases += count;
        for failure in failed {
            failures.push(format!("{}: {}: {}", rule.name, failure.case, failure.reason));
        }
    }
    assert_eq!(failures, Vec::<String>::new(), "of {cases} cases");
}
