//! The datasets that a rule applies to, and the names of its fields there.
//!
//! A rule that names a dataset as its service or category runs on that dataset. Rules for any proxy or resolver
//! (`category: proxy`, `dns`, `dns_query` of the Sigma taxonomy) run on Gateway's logs, with their fields mapped to
//! Cloudflare's names. `docs/rules.md` has the table.

use crate::{DATASETS, Dataset, has_field};
use sigma::{PERSON, Rule};
use std::collections::BTreeMap;

const PROXY: &[(&str, &str)] = &[
    ("c-ip", "SourceIP"),
    ("c-uri", "URL"),
    ("c-uri-extension", "URL.extension"),
    ("c-uri-path", "URL.path"),
    ("c-uri-query", "URL.query"),
    ("c-uri-stem", "URL.path"),
    ("c-useragent", "UserAgent"),
    ("cs-host", "HTTPHost"),
    ("cs-method", "HTTPMethod"),
    ("cs-referer", "Referer"),
    ("cs-referrer", "Referer"),
    ("cs-uri", "URL"),
    ("cs-uri-extension", "URL.extension"),
    ("cs-uri-query", "URL.query"),
    ("cs-uri-stem", "URL.path"),
    ("cs-user-agent", "UserAgent"),
    ("dst_ip", "DestinationIP"),
    ("dst_port", "DestinationPort"),
    ("r-dns", "HTTPHost"),
    ("sc-status", "HTTPStatusCode"),
    ("src_ip", "SourceIP"),
    ("src_port", "SourcePort"),
];
const DNS: &[(&str, &str)] = &[
    ("QueryName", "QueryName"),
    ("answer", "ResourceRecordsJSON"),
    ("dns.question.name", "QueryName"),
    ("parent_domain", "QueryName.etld1"),
    ("query", "QueryName"),
    ("query_etld_plus_one", "QueryName.etld1"),
    ("query_length", "QueryName.length"),
    ("record_type", "QueryTypeName"),
    ("src_ip", "SrcIP"),
];
/// The product of rules for all datasets that name no service or category.
const PRODUCT: &str = "cloudflare";

/// A dataset that a rule runs on.
#[derive(Debug, Clone)]
pub struct RunsOn {
    /// The dataset.
    pub dataset: &'static Dataset,
    /// The names of the rule's fields in the dataset, if different.
    pub renamed: BTreeMap<String, String>,
}

/// Whether a rule is specific to Cloudflare's logs: it names the product, or one of its datasets.
pub fn is_of_cloudflare(rule: &Rule) -> bool {
    let source = &rule.logsource;
    let is = |part: &Option<String>, test: &dyn Fn(&str) -> bool| {
        part.as_ref().is_some_and(|word| test(&word.to_ascii_lowercase()))
    };
    is(&source.product, &|word| word == PRODUCT)
        || is(&source.service, &|word| Dataset::named(word).is_some())
        || is(&source.category, &|word| Dataset::named(word).is_some())
}

/// The datasets that a rule runs on; empty if it is for other logs.
pub fn runs_on(rule: &Rule) -> Vec<RunsOn> {
    let word = |part: &Option<String>| part.as_ref().map(|word| word.to_ascii_lowercase());
    let (category, product, service) = (
        word(&rule.logsource.category),
        word(&rule.logsource.product),
        word(&rule.logsource.service),
    );
    for name in [&service, &category].into_iter().flatten() {
        if let Some(dataset) = Dataset::named(name) {
            return vec![RunsOn {
                dataset,
                renamed: BTreeMap::new(),
            }];
        }
    }
    let (dataset, names) = match (category.as_deref(), service.as_deref()) {
        (Some("proxy"), None) => ("gateway_http", PROXY),
        (Some("dns" | "dns_query"), None) => ("gateway_dns", DNS),
        (None, None) if product.as_deref() == Some(PRODUCT) => {
            return DATASETS
                .iter()
                .map(|dataset| RunsOn {
                    dataset,
                    renamed: BTreeMap::new(),
                })
                .collect();
        }
        _ => return Vec::new(),
    };
    let renamed: BTreeMap<String, String> = names
        .iter()
        .filter(|(theirs, ours)| theirs != ours)
        .map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned()))
        .collect();
    // A field that these logs do not have would make a condition that is never asked, or an exception that
    // never holds: such a rule is not for them.
    let is_known = |field: &String| {
        let field = renamed.get(field).unwrap_or(field);
        let base = field.split('.').next().unwrap_or_default();
        field == PERSON || has_field(dataset, field) || has_field(dataset, base)
    };
    if !rule.field_names().iter().all(is_known) {
        return Vec::new();
    }
    Dataset::named(dataset)
        .map(|dataset| RunsOn { dataset, renamed })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, field: &str) -> Vec<&'static str> {
        let text =
            format!("title: t\nlogsource: {{{source}}}\ndetection: {{a: {{{field}: x}}, condition: a}}");
        let rules = sigma::parse_rules(&text).unwrap();
        runs_on(&rules[0]).into_iter().map(|on| on.dataset.name).collect()
    }

    #[test]
    fn a_rule_runs_where_its_log_source_and_its_fields_are() {
        for (source, field, expected) in [
            ("service: gateway_dns", "Anything", vec!["gateway_dns"]),
            (
                "category: gateway_http, product: cloudflare",
                "URL",
                vec!["gateway_http"],
            ),
            ("category: proxy", "c-uri-query|contains", vec!["gateway_http"]),
            ("category: proxy", "cs-cookie", vec![]),
            ("category: dns", "query_etld_plus_one", vec!["gateway_dns"]),
            (
                "category: dns_query, product: windows",
                "QueryName",
                vec!["gateway_dns"],
            ),
            ("category: dns_query, product: windows", "Image", vec![]),
            ("category: process_creation, product: windows", "Image", vec![]),
        ] {
            assert_eq!(found(source, field), expected, "{source} {field}");
        }
        assert_eq!(found("product: cloudflare", "Email").len(), DATASETS.len());
    }
}
