//! `getIPOverview`: what Cloudflare's intelligence knows about an address.

use super::Context;
use super::answer::Failure;
use serde_json::{Value, json};
use std::net::IpAddr;

pub(super) async fn call(context: &Context<'_>) -> Result<Value, Failure> {
    let ip = read(context.text("ip")?)?;
    let text = ip.to_string();
    // Cloudflare has two parameters and no common one.
    let parameter = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    let upstream = context.get("/intel/ip", &[(parameter, &text)]).await?;
    // The published result is a list; some services answer a single object.
    let entries: Vec<&Value> = match upstream.result() {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(_) => vec![upstream.result()],
        _ => Vec::new(),
    };
    let risk_types: Vec<&Value> = entries
        .iter()
        .filter_map(|entry| entry.get("risk_types")?.as_array())
        .flatten()
        .filter(|risk| !risk.is_null())
        .collect();
    let first = entries.first().copied().cloned().unwrap_or_else(|| json!({}));
    let network = &first["belongs_to_ref"];
    let mut output = upstream.output();
    output.insert("riskFound".to_owned(), json!(!risk_types.is_empty()));
    output.insert(
        "riskType".to_owned(),
        risk_types
            .first()
            .map_or_else(|| json!({}), |risk| (*risk).clone()),
    );
    output.insert("riskTypes".to_owned(), json!(risk_types));
    output.insert("asn".to_owned(), network["value"].clone());
    output.insert("country".to_owned(), network["country"].clone());
    output.insert("networkType".to_owned(), network["type"].clone());
    output.insert("scope".to_owned(), json!(scope(ip)));
    output.insert("observedAt".to_owned(), json!(context.app.clock.now()));
    output.insert("cached".to_owned(), json!(false));
    output.insert("result".to_owned(), first);
    Ok(Value::Object(output))
}

fn read(text: &str) -> Result<IpAddr, Failure> {
    let hint = if text.contains('/') {
        "is a network; use a single IP address"
    } else if text.contains('[') || text.parse::<std::net::SocketAddr>().is_ok() {
        "use the IP address without brackets and port"
    } else if text.contains('%') {
        "use the IP address without a zone"
    } else {
        "is not an IPv4 or IPv6 address"
    };
    let ip: IpAddr = text.parse().map_err(|_| Failure::input("/properties/ip", hint))?;
    Ok(ip.to_canonical())
}

/// What kind of address it is: Cloudflare is asked in any case.
fn scope(ip: IpAddr) -> &'static str {
    let is_private = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if ip.is_loopback() || ip.is_unspecified() {
        "local"
    } else if is_private {
        "private"
    } else {
        "public"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_in_one_way() {
        for (given, expected) in [
            ("50.64.49.74", "50.64.49.74"),
            ("::ffff:50.64.49.74", "50.64.49.74"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
        ] {
            assert_eq!(read(given).unwrap().to_string(), expected);
        }
        for given in [
            "10.0.0.0/8",
            "1.2.3.4:80",
            "[::1]",
            "[::1]:80",
            "fe80::1%eth0",
            "example.com",
            "1.2.3",
        ] {
            assert!(read(given).is_err(), "{given}");
        }
    }
}
