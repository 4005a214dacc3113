//! `getDomainOverview`: what Cloudflare's intelligence knows about a domain.

use super::Context;
use super::answer::Failure;
use serde_json::{Value, json};

pub(super) async fn call(context: &Context<'_>) -> Result<Value, Failure> {
    // The published example has the domain under `ip`: callers who copied it must be answered.
    let is_alias = !context.properties.contains_key("domain") && context.properties.contains_key("ip");
    let name = if is_alias { "ip" } else { "domain" };
    let domain = read(context.text(name)?, &format!("/properties/{name}"))?;
    let upstream = context.get("/intel/domain", &[("domain", &domain)]).await?;
    let result = match upstream.result() {
        Value::Null => json!({}),
        result => result.clone(),
    };
    let list = |member: &str| match result.get(member) {
        Some(Value::Array(members)) => json!(members),
        _ => json!([]),
    };
    let risk_types = list("risk_types");
    let mut output = upstream.output();
    output.insert("contentCategories".to_owned(), list("content_categories"));
    output.insert(
        "riskFound".to_owned(),
        json!(risk_types.as_array().is_some_and(|types| !types.is_empty())),
    );
    output.insert("riskTypes".to_owned(), risk_types);
    output.insert(
        "inheritedContentCategories".to_owned(),
        list("inherited_content_categories"),
    );
    output.insert("inheritedRiskTypes".to_owned(), list("inherited_risk_types"));
    output.insert("inheritedFrom".to_owned(), result["inherited_from"].clone());
    output.insert("riskScore".to_owned(), result["risk_score"].clone());
    output.insert("popularityRank".to_owned(), result["popularity_rank"].clone());
    if is_alias {
        output.insert(
            "messages".to_owned(),
            json!(["the domain was read from \"ip\"; use \"domain\""]),
        );
    }
    output.insert("result".to_owned(), result);
    Ok(Value::Object(output))
}

fn read(text: &str, pointer: &str) -> Result<String, Failure> {
    if let Ok(url) = url::Url::parse(text)
        && let Some(host) = url.host_str()
    {
        return Err(Failure::input(
            pointer,
            &format!("is a URL or email address; use only the domain: {host}"),
        ));
    }
    let text = text.to_lowercase();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let ascii = idna::domain_to_ascii(text).unwrap_or_default();
    let labels_fit = ascii.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if ascii.is_empty() || ascii.len() > 253 || !labels_fit {
        return Err(Failure::input(
            pointer,
            "is not a domain name such as example.com",
        ));
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_written_in_one_way() {
        for (given, expected) in [
            ("PingIdentity.com.", "pingidentity.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("_dmarc.example.com", "_dmarc.example.com"),
        ] {
            assert_eq!(read(given, "/properties/domain").unwrap(), expected);
        }
        for given in [
            "https://example.com/x",
            "a..b",
            "ex ample.com",
            "",
            ".",
            "example.com/path",
            "x@example.com",
        ] {
            assert!(read(given, "/properties/domain").is_err(), "{given}");
        }
    }
}
