//! `intel`: information about addresses, domains and networks.
//!
//! Sites of the simulated world are described with their categories; everything else is described as harmless. A
//! request for an address must have exactly one of `ipv4` and `ipv6`.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Json;
use axum::response::IntoResponse;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::catalog::{Category, Site, THREATS, site_at, site_of};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, found};
use crate::ids::uuid_of;
use crate::permissions::{INTEL_READ, NONE_PUBLISHED};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts/{account_id}/intel/ip", ip),
        Route::get("/accounts/{account_id}/intel/domain", domain),
        Route::get("/accounts/{account_id}/intel/domain/bulk", domain_bulk),
        Route::get("/accounts/{account_id}/intel/domain-history", domain_history),
        Route::get("/accounts/{account_id}/intel/asn/{asn}", asn),
        Route::get("/accounts/{account_id}/intel/whois", whois),
        Route::post(
            "/accounts/{account_id}/intel/miscategorization",
            miscategorization,
        ),
    ]
}

fn category(category: Category) -> Value {
    json!({ "id": category.id, "super_category_id": category.above, "name": category.name })
}

/// A risk type if the category is a threat, otherwise nothing.
fn risk_types(site: Option<&Site>) -> Vec<Value> {
    site.filter(|site| site.category.above == THREATS)
        .map(|site| category(site.category))
        .into_iter()
        .collect()
}

async fn ip(call: Call) -> Answer {
    call.needs(INTEL_READ)?;
    let v4 = call
        .query("ipv4")
        .map(|ip| ip.parse::<Ipv4Addr>().map(|ip| ip.to_string()));
    let v6 = call
        .query("ipv6")
        .map(|ip| ip.parse::<Ipv6Addr>().map(|ip| ip.to_string()));
    let ip = v4
        .or(v6)
        .ok_or_else(|| Refusal::bad_request(1400, "one of ipv4 and ipv6 is required"))?;
    let ip = ip.map_err(|_| Refusal::bad_request(1400, "Invalid IP address"))?;
    let site = site_at(&ip);
    let network = site.map_or(64_500, |site| {
        if site.category.above == THREATS {
            64_666
        } else {
            64_510
        }
    });
    let mut answer = json!({
        "ip": ip,
        "belongs_to_ref": {
            "id": format!("autonomous-system--{}", uuid_of(&format!("network {network}"))),
            "value": network.to_string(), "type": if site.is_some() { "hosting_provider" } else { "isp" },
            "country": site.map_or("GB", |site| site.country),
            "description": if network == 64_666 { "SHADYROCK-HOSTING" } else { "EXAMPLE-NETWORK" },
        },
        "ip_lists": null, "ptr_lookup": null, "iana_reservations": [],
    });
    let risks = risk_types(site);
    // Harmless addresses come without the key, as in the examples of the real service.
    if !risks.is_empty() {
        answer["risk_types"] = json!(risks);
    }
    with_info(json!([answer]), 1)
}

/// Several of these calls return page numbers although they have no pages.
fn with_info(result: Value, count: usize) -> Answer {
    let info = json!({ "count": count, "page": 1, "per_page": 20, "total_count": count });
    let body =
        json!({ "success": true, "errors": [], "messages": [], "result": result, "result_info": info });
    Ok(Json(body).into_response())
}

fn domain_given(name: &str) -> Result<String, Refusal> {
    let name = name.trim_end_matches('.').to_lowercase();
    let letters = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|letter| letter.is_alphanumeric() || letter == '-' || letter == '_')
    };
    if name.len() < 254 && name.contains('.') && name.split('.').all(letters) {
        Ok(name)
    } else {
        Err(Refusal::bad_request(1400, "Invalid domain"))
    }
}

fn domain_asked(call: &Call) -> Result<String, Refusal> {
    domain_given(
        call.query("domain")
            .ok_or_else(|| Refusal::bad_request(1400, "domain is required"))?,
    )
}

fn overview(name: &str) -> Value {
    let site = site_of(name);
    let risks = risk_types(site);
    let mut answer = json!({
        "domain": name, "application": {}, "additional_information": {},
        "content_categories": site
            .filter(|site| site.category.above != THREATS)
            .map(|site| vec![category(site.category)])
            .unwrap_or_default(),
        "inherited_content_categories": [], "inherited_risk_types": [], "inherited_from": "",
        "risk_score": if risks.is_empty() { 0.0 } else { 0.95 }, "risk_types": risks,
    });
    if let Some((id, name)) = site.and_then(|site| site.application) {
        answer["application"] = json!({ "id": id, "name": name });
    }
    if site.is_some_and(|site| site.category.above == THREATS) {
        answer["additional_information"] = json!({ "suspected_malware_family": "Undertow" });
    } else {
        answer["popularity_rank"] = json!(4_200);
    }
    answer
}

async fn domain(call: Call) -> Answer {
    call.needs(INTEL_READ)?;
    let name = domain_asked(&call)?;
    let mut answer = overview(&name);
    if call.query("skip_dns") != Some("true") {
        let ip = site_of(&name).map_or("203.0.113.200", |site| site.ip);
        answer["resolves_to_refs"] = json!([{ "id": format!("ipv4-addr--{}", uuid_of(ip)), "value": ip }]);
    }
    found(answer)
}

async fn domain_bulk(call: Call) -> Answer {
    call.needs(INTEL_READ)?;
    let names = call.query_all("domain");
    if names.is_empty() {
        return Err(Refusal::bad_request(1400, "domain is required"));
    }
    let names: Vec<String> = names.into_iter().map(domain_given).collect::<Result<_, _>>()?;
    with_info(names.iter().map(|name| overview(name)).collect(), names.len())
}

async fn domain_history(call: Call) -> Answer {
    call.needs(INTEL_READ)?;
    let name = domain_asked(&call)?;
    let day = |days: i64| {
        (call.now() - TimeDelta::days(days))
            .format("%Y-%m-%d")
            .to_string()
    };
    let now = site_of(&name).map_or(
        json!({ "id": 75, "name": "Business" }),
        |site| json!({ "id": site.category.id, "name": site.category.name }),
    );
    // The interval that still holds has no end.
    let history = json!([{
        "domain": name,
        "categorizations": [
            { "categories": [{ "id": 169, "name": "New Domains" }], "start": day(40), "end": day(12) },
            { "categories": [now], "start": day(12) },
        ],
    }]);
    with_info(history, 1)
}

async fn asn(call: Call) -> Answer {
    call.needs(INTEL_READ)?;
    let number: u32 = call
        .path("asn")
        .parse()
        .map_err(|_| Refusal::bad_request(1400, "Invalid ASN"))?;
    found(number)
}

async fn whois(call: Call) -> Answer {
    call.needs(INTEL_READ)?;
    let name = domain_asked(&call)?;
    let created = call.now() - TimeDelta::days(if site_of(&name).is_some() { 400 } else { 4_000 });
    let extension = name.rsplit('.').next().unwrap_or_default();
    found(json!({
        "domain": name, "extension": extension, "found": true, "punycode": name, "dnssec": false,
        "registrant": "Privacy Harbour", "registrant_country": "IS", "registrant_email": "privacy@harbour.example",
        "registrar": "Example Registrar", "nameservers": ["ns1.harbour.example", "ns2.harbour.example"],
        "status": ["clientTransferProhibited"], "created_date": rfc3339(created),
        "updated_date": rfc3339(created + TimeDelta::days(30)),
        "expiration_date": rfc3339(created + TimeDelta::days(7_300)),
    }))
}

async fn miscategorization(call: Call, Body(body): Body) -> Answer {
    call.needs(NONE_PUBLISHED)?;
    let kinds = ["domain", "ipv4", "ipv6", "url"];
    if body
        .get("indicator_type")
        .is_some_and(|kind| !kinds.iter().any(|known| kind == known))
    {
        return Err(Refusal::bad_request(1400, "Invalid indicator_type"));
    }
    found(json!(""))
}
