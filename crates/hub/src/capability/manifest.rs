//! What each capability takes and gives, in the vocabulary of the flow editors that call them.

use serde_json::{Value, json};

/// The manifest of a capability; `None` when there is none of this id.
pub fn manifest(id: &str) -> Option<Value> {
    let methods = super::custom_call::METHODS
        .iter()
        .map(|name| json!({ "name": name, "value": name }));
    let methods: Vec<Value> = methods.collect();
    let (name, info, properties, required, output) = match id {
        "getIPOverview" => (
            "Get IP Overview",
            "Cloudflare's threat intelligence for an IP address.",
            json!({ "ip": text_field("IP Address", "IPv4 or IPv6", true) }),
            json!(["ip"]),
            json!({
                "riskFound": { "type": "boolean" }, "riskType": { "type": "object" }, "result": { "type": "object" },
                "riskTypes": { "type": "array" }, "asn": {}, "country": {}, "networkType": {},
                "scope": { "type": "string" }, "observedAt": { "type": "string" }, "cached": { "type": "boolean" },
            }),
        ),
        "getDomainOverview" => (
            "Get Domain Overview",
            "Cloudflare's threat intelligence for a domain.",
            json!({ "domain": text_field("Domain", "A domain such as example.com", true) }),
            json!(["domain"]),
            json!({
                "contentCategories": { "type": "array" }, "result": { "type": "object" },
                "riskFound": { "type": "boolean" }, "riskTypes": { "type": "array" },
                "inheritedContentCategories": { "type": "array" }, "inheritedRiskTypes": { "type": "array" },
                "inheritedFrom": {}, "riskScore": {}, "popularityRank": {},
            }),
        ),
        "getUserRiskScore" => (
            "Get User Risk Score",
            "Cloudflare's risk score of a person. Requires the Enterprise plan.",
            json!({ "email": text_field("Email", "The person's email address", true) }),
            json!(["email"]),
            json!({
                "email": {}, "name": {}, "riskLevel": { "type": ["string", "null"] },
                "lastResetTime": { "type": ["string", "null"] }, "riskEvents": { "type": "array" },
                "userId": { "type": "string" }, "riskScored": { "type": "boolean" },
                "eventCount": { "type": "number" }, "lastEventAt": { "type": ["string", "null"] },
                "hubRiskLevel": hub_risk_level(),
            }),
        ),
        "resetUserRiskScore" => (
            "Reset User Risk Score",
            "Resets Cloudflare's risk score of a person. Does not change Flareward's risk level. \
                 Requires the Enterprise plan.",
            json!({
                "email": text_field("Email", "The person's email address", true),
                "reason": text_field("Reason", "Recorded in the audit log", false),
            }),
            json!(["email"]),
            json!({
                "success": { "type": "boolean" }, "userId": { "type": "string" },
                "previousRiskLevel": { "type": ["string", "null"] },
                "resetScore": { "type": "string", "description": "Which score was reset: cloudflare" },
                "hubRiskLevel": hub_risk_level(),
            }),
        ),
        "makeCustomApiCall" => (
            "Make Custom API Call",
            "Any read-only call to Cloudflare's API.",
            json!({
                "endpoint": text_field("Endpoint", "A path such as /accounts/{accountId}/intel/domain", true),
                "method": {
                    "displayName": "Method", "info": "Only GET is supported", "preferredControlType": "dropDown",
                    "required": true, "enableParameters": false,
                    "options": methods,
                },
                "queryParameters": list_field("Query Parameters"),
                "headers": list_field("Headers"),
                "body": {
                    "displayName": "Body", "info": "A JSON object; not sent with GET",
                    "preferredControlType": "codeEditor", "required": false, "enableParameters": true,
                },
            }),
            json!(["endpoint", "method"]),
            json!({}),
        ),
        _ => return None,
    };
    let mut output_properties = json!({
        "rawResponse": { "type": "object" }, "statusCode": { "type": "number" }, "headers": { "type": "object" },
    });
    if let (Some(all), Some(own)) = (output_properties.as_object_mut(), output.as_object()) {
        all.extend(own.clone());
    }
    let inputs: serde_json::Map<String, Value> = properties
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| (name.clone(), input_type(name)))
        .collect();
    Some(json!({
        "id": id,
        "displayName": name,
        "info": info,
        "properties": properties,
        "payloadInputSchema": { "default": {
            "type": "object",
            "required": ["properties"],
            "properties": { "properties": { "type": "object", "properties": inputs, "required": required } },
        } },
        "localOutputSchema": { "output": { "type": "object", "properties": output_properties } },
    }))
}

fn hub_risk_level() -> Value {
    json!({
        "type": ["string", "null"],
        "description": "Flareward's risk level of the person: unscored, low, medium or high. Not \
             Cloudflare's score.",
    })
}

fn input_type(name: &str) -> Value {
    match name {
        "queryParameters" | "headers" => json!({ "type": ["array", "object"] }),
        "body" => json!({ "type": ["object", "string"] }),
        _ => json!({ "type": "string" }),
    }
}

fn text_field(name: &str, info: &str, required: bool) -> Value {
    json!({
        "displayName": name, "info": info, "preferredControlType": "textField", "required": required,
        "enableParameters": true,
    })
}

fn list_field(name: &str) -> Value {
    json!({
        "displayName": name, "info": "Key-value pairs", "preferredControlType": "keyValueList",
        "required": false, "enableParameters": true,
    })
}
