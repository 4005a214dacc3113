//! Rules of fifteen kinds about DNS and ten about HTTP, any number of each, and records that match each.
//!
//! The 50 measured rules are two of each kind; records that match them are inserted into the stream. Start reading at
//! `write`.

use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

const DNS_KINDS: usize = 15;
const HTTP_KINDS: usize = 10;
/// The number of rules of each kind with matches in the stream.
const PLANTED_EACH: usize = 2;
pub(super) const PLANTED_DNS: usize = DNS_KINDS * PLANTED_EACH;
pub(super) const PLANTED_HTTP: usize = HTTP_KINDS * PLANTED_EACH;

/// Writes `each` rules of every kind into a folder as one file each, and the correlations if requested.
pub(super) fn write(folder: &Path, each: usize, with_correlations: bool) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for rule in 0..DNS_KINDS * each {
        std::fs::write(folder.join(format!("dns-{rule}.yml")), dns_rule(rule))?;
    }
    for rule in 0..HTTP_KINDS * each {
        std::fs::write(folder.join(format!("http-{rule}.yml")), http_rule(rule))?;
    }
    if with_correlations {
        std::fs::write(folder.join("correlations.yml"), CORRELATIONS)?;
    }
    Ok(())
}

/// One of each common type. With `generate`, the rules that they refer to are still reported.
const CORRELATIONS: &str = "
title: Many suspicious names
name: c-count
correlation: {type: event_count, rules: [dns-0, dns-1, dns-2, dns-3], group-by: [Email], timespan: 2h, condition: {gte: 3}, generate: true}
---
title: Many different names
name: c-values
correlation: {type: value_count, rules: [dns-5, dns-7, dns-8], group-by: [Email], timespan: 1d, condition: {field: QueryName, gte: 2}, generate: true}
---
title: A name, then an upload
name: c-both
correlation: {type: temporal, rules: [dns-4, http-8], group-by: [Email], timespan: 1d, generate: true}
---
title: Much in all
name: c-sum
correlation: {type: value_sum, rules: [http-8, http-18], group-by: [Email], timespan: 1d, condition: {field: BlockedFileSize, gte: 100000}, generate: true}
";

/// A unique word for each rule.
fn word(rule: usize) -> String {
    const FIRST: [&str; 10] = [
        "kav", "zor", "mip", "tul", "ren", "box", "fid", "gas", "hul", "jem",
    ];
    const SECOND: [&str; 10] = [
        "ora", "ulit", "esta", "ymo", "anu", "iffel", "okka", "ebre", "udis", "ary",
    ];
    format!("{}{}{rule}", FIRST[rule % 10], SECOND[rule / 10 % 10])
}

fn document(dataset: &str, name: &str, detection: &str) -> String {
    let mut text = format!(
        "title: {name}\nname: {name}\nlogsource: {{product: cloudflare, service: {dataset}}}\ndetection:\n"
    );
    for line in detection.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text + "level: medium\n"
}

fn dns_rule(rule: usize) -> String {
    let (own, number) = (word(rule), rule / DNS_KINDS);
    let detection = match rule % DNS_KINDS {
        0 => format!(
            "a: {{QueryName|endswith: ['.{own}.example', '.{own}.invalid', '.{own}-cdn.example']}}\ncondition: a"
        ),
        1 => format!("a: {{QueryName|contains: ['{own}', '{own}-login']}}\ncondition: a"),
        2 => format!("a: {{QueryName|startswith: '{own}-'}}\ncondition: a"),
        3 => format!(
            "a: {{QueryName: [{}]}}\ncondition: a",
            (0..20)
                .map(|n| format!("c{n}.{own}.example"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        4 => format!("a: {{QueryName|contains|all: ['{own}', 'signin']}}\ncondition: a"),
        5 => format!("a: {{QueryName|re: '^[a-z0-9]{{20,}}\\.{own}\\.'}}\ncondition: a"),
        6 => format!(
            "a: {{ResolvedIPs|cidr: 203.0.{}.0/24}}\ncondition: a",
            number % 250
        ),
        7 => format!(
            "a: {{QueryCategoryIDs: [{}, {}]}}\ncondition: a",
            9_000 + rule,
            19_000 + rule
        ),
        8 => format!(
            "a: {{QueryTypeName: TXT, QuerySize|gte: {}, QuerySize|lt: {}}}\ncondition: a",
            4_000 + 10 * number,
            4_010 + 10 * number
        ),
        9 => format!(
            "a: {{QueryName|endswith: '.{own}.zone'}}\nb: {{SrcIPCountryCode: [PT, ES]}}\ncondition: a and not b"
        ),
        10 => format!("a: {{CustomResolverAddress: null, Location: '{own}'}}\ncondition: a"),
        11 => format!(
            "a: {{InternalDNSViewID|exists: true, RCode: 3, DeviceName|startswith: '{own}'}}\ncondition: a"
        ),
        12 => format!(
            "s_one: {{Email|contains: '{own}'}}\ns_two: {{UserID|endswith: '{own}'}}\ncondition: 1 of s_*"
        ),
        13 => format!("a: {{QueryName: '{own}*.evil.example'}}\ncondition: a"),
        _ => format!(
            "a: {{PolicyName|endswith: '{own}', ResolverDecision: [blockedByCategory, blockedRule]}}\nb: {{RCode|gt: 5}}\ncondition: a and not b"
        ),
    };
    document("gateway_dns", &format!("dns-{rule}"), &detection)
}

/// Fields that make a rule match.
pub(super) fn dns_event(rule: usize) -> Vec<(&'static str, Value)> {
    let (own, number) = (word(rule), rule / DNS_KINDS);
    match rule % DNS_KINDS {
        0 => vec![("QueryName", json!(format!("A.{own}.example")))],
        1 => vec![("QueryName", json!(format!("www.my{own}.example")))],
        2 => vec![("QueryName", json!(format!("{own}-west.example")))],
        3 => vec![("QueryName", json!(format!("C7.{own}.example")))],
        4 => vec![("QueryName", json!(format!("signin.{own}.example")))],
        5 => vec![(
            "QueryName",
            json!(format!("a1b2c3d4e5f6a7b8c9d0e1.{own}.example")),
        )],
        6 => vec![(
            "ResolvedIPs",
            json!(["104.16.0.1", format!("203.0.{}.9", number % 250)]),
        )],
        7 => vec![("QueryCategoryIDs", json!([26, 9_000 + rule]))],
        8 => vec![
            ("QueryTypeName", json!("TXT")),
            ("QuerySize", json!(4_005 + 10 * number)),
        ],
        9 => vec![("QueryName", json!(format!("x.{own}.zone")))],
        10 => vec![("CustomResolverAddress", Value::Null), ("Location", json!(own))],
        11 => vec![
            ("InternalDNSViewID", json!("v")),
            ("RCode", json!(3)),
            ("DeviceName", json!(format!("{own}-mac"))),
        ],
        12 => vec![("Email", json!(format!("{own}@corp.example")))],
        13 => vec![("QueryName", json!(format!("{own}.x.evil.example")))],
        _ => vec![
            ("PolicyName", json!(format!("Block {own}"))),
            ("ResolverDecision", json!("blockedRule")),
            ("RCode", json!(0)),
        ],
    }
}

fn http_rule(rule: usize) -> String {
    let (own, number) = (word(rule), rule / HTTP_KINDS);
    let detection = match rule % HTTP_KINDS {
        0 => format!("a: {{URL|contains: '/{own}/'}}\ncondition: a"),
        1 => format!("a: {{URL|endswith: ['.{own}', '.{own}.zip', '.{own}.iso']}}\ncondition: a"),
        2 => format!("a: {{URL|startswith: 'https://{own}.'}}\ncondition: a"),
        3 => format!("a: {{UserAgent|contains|all: ['{own}', 'bot/']}}\ncondition: a"),
        4 => format!(
            "a: {{HTTPHost: [{}]}}\ncondition: a",
            (0..20)
                .map(|n| format!("h{n}.{own}.example"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        5 => format!("a: {{URL|re: '/[0-9a-f]{{16}}/{own}\\.(php|aspx)$'}}\ncondition: a"),
        6 => format!(
            "a: {{DestinationIP|cidr: 198.18.{}.0/24}}\ncondition: a",
            number % 250
        ),
        7 => {
            format!("a: {{HTTPStatusCode|gte: 400, Action: block, PolicyName: 'Block {own}'}}\ncondition: a")
        }
        8 => format!("a: {{UploadedFileNames|endswith: '.{own}', BlockedFileSize|gt: 1000}}\ncondition: a"),
        _ => format!(
            "a: {{Referer|contains: '{own}', ProxyEndpoint: null}}\nb: {{HTTPMethod: GET}}\ncondition: a and not b"
        ),
    };
    document("gateway_http", &format!("http-{rule}"), &detection)
}

/// Fields that make a rule match.
pub(super) fn http_event(rule: usize) -> Vec<(&'static str, Value)> {
    let (own, number) = (word(rule), rule / HTTP_KINDS);
    match rule % HTTP_KINDS {
        0 => vec![("URL", json!(format!("https://a.example/x/{own}/y")))],
        1 => vec![("URL", json!(format!("https://a.example/x.{own}.ZIP")))],
        2 => vec![("URL", json!(format!("https://{own}.example/")))],
        3 => vec![("UserAgent", json!(format!("Bot/1.0 {own}")))],
        4 => vec![("HTTPHost", json!(format!("h19.{own}.example")))],
        5 => vec![(
            "URL",
            json!(format!("https://a.example/0123456789abcdef/{own}.aspx")),
        )],
        6 => vec![("DestinationIP", json!(format!("198.18.{}.7", number % 250)))],
        7 => vec![
            ("HTTPStatusCode", json!(403)),
            ("Action", json!("block")),
            ("PolicyName", json!(format!("Block {own}"))),
        ],
        8 => vec![
            ("UploadedFileNames", json!(["a.txt", format!("b.{own}")])),
            ("BlockedFileSize", json!(70_000)),
        ],
        _ => vec![
            ("Referer", json!(format!("https://{own}.example"))),
            ("ProxyEndpoint", Value::Null),
            ("HTTPMethod", json!("POST")),
        ],
    }
}
