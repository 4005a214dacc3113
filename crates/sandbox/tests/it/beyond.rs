//! Operations of the sandbox that are not in the excerpt of the published description (`openapi-facts.json`).
//!
//! The excerpt contains the calls of the first release. Later calls, for machine credentials and for lists in Access
//! rules, are described here, based on the types of the official SDK.

use serde_json::{Value, json};

/// Every operation beyond the excerpt, and the page style of its answer.
pub(crate) fn paths() -> Value {
    let id = json!({ "type": "string", "minLength": 32, "maxLength": 36 });
    let at = json!({ "type": "string", "format": "date-time" });
    let at_or_null = json!({ "type": ["string", "null"], "format": "date-time" });
    let text = json!({ "type": "string", "minLength": 1 });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false });

    let service_token = object(
        &[
            "id",
            "name",
            "client_id",
            "duration",
            "expires_at",
            "last_seen_at",
            "created_at",
            "updated_at",
        ],
        json!({
            "id": id, "name": text, "client_id": { "type": "string", "pattern": "^[0-9a-f]{32}\\.access$" },
            "duration": { "type": "string", "pattern": "^([0-9]+h|forever)$" }, "expires_at": at_or_null,
            "last_seen_at": at_or_null, "created_at": at, "updated_at": at,
        }),
    );
    let permission_group = object(&["id", "name"], json!({ "id": id, "name": text }));
    let policy = object(
        &["id", "effect", "permission_groups", "resources"],
        json!({
            "id": id, "effect": { "enum": ["allow", "deny"] }, "resources": { "type": "object", "minProperties": 1 },
            "permission_groups": { "type": "array", "items": permission_group, "minItems": 1 },
        }),
    );
    let account_token = object(
        &["id", "name", "status", "issued_on", "modified_on", "policies"],
        json!({
            "id": id, "name": text, "status": { "enum": ["active", "disabled", "expired"] }, "issued_on": at,
            "modified_on": at, "expires_on": at, "not_before": at, "last_used_on": at,
            "policies": { "type": "array", "items": policy, "minItems": 1 }, "condition": { "type": "object" },
        }),
    );
    let list = object(
        &["id", "name", "type", "count", "created_at", "updated_at"],
        json!({
            "id": id, "name": text, "description": { "type": "string" }, "count": { "type": "integer" },
            "type": { "enum": ["EMAIL", "IP", "DOMAIN", "URL", "SERIAL"] }, "created_at": at, "updated_at": at,
        }),
    );
    let item = object(
        &["value", "created_at"],
        json!({ "value": text, "description": text, "created_at": at }),
    );

    json!({
        "/accounts/{account_id}/access/service_tokens": page_of(&service_token, true),
        "/accounts/{account_id}/tokens": page_of(&account_token, false),
        "/accounts/{account_id}/gateway/lists": page_of(&list, true),
        "/accounts/{account_id}/gateway/lists/{list_id}": operation(&list, &Value::Null),
        "/accounts/{account_id}/gateway/lists/{list_id}/items": page_of(&item, true),
    })
}

fn page_of(item: &Value, total_pages: bool) -> Value {
    let mut counts = vec!["count", "page", "per_page", "total_count"];
    counts.extend(total_pages.then_some("total_pages"));
    let properties: serde_json::Map<String, Value> = counts
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "type": "integer" })))
        .collect();
    let info = json!({
        "type": "object", "required": counts, "properties": properties, "additionalProperties": false,
    });
    operation(&json!({ "type": "array", "items": item }), &info)
}

fn operation(result: &Value, info: &Value) -> Value {
    let mut answer = json!({
        "type": "object", "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": { "enum": [true] }, "errors": { "maxItems": 0 }, "messages": { "type": "array" },
            "result": result,
        },
    });
    if !info.is_null() {
        answer["properties"]["result_info"] = info.clone();
        answer["required"] = json!(["success", "errors", "messages", "result", "result_info"]);
    }
    let refusal = json!({ "$ref": "#/components/schemas/access_api-response-common-failure" });
    let content = |schema: Value| json!({ "content": { "application/json": { "schema": schema } } });
    json!({ "get": { "responses": { "200": content(answer), "4XX": content(refusal) } } })
}
