//! The datasets that a job can export, and which of them the sandbox fills.

use serde_json::{Map, Value, json};

/// Every dataset name that an account's job can have.
pub(crate) const ACCEPTED: &[&str] = &[
    "access_requests",
    "audit_logs",
    "audit_logs_v2",
    "biso_user_actions",
    "casb_findings",
    "device_posture_results",
    "dex_application_tests",
    "dex_device_state_events",
    "dlp_forensic_copies",
    "dns_firewall_logs",
    "email_security_alerts",
    "email_security_post_delivery_events",
    "firewall_events",
    "gateway_dns",
    "gateway_http",
    "gateway_network",
    "http_requests",
    "ipsec_logs",
    "magic_ids_detections",
    "mcp_portal_logs",
    "mnm_flow_logs",
    "network_analytics_logs",
    "sinkhole_http_logs",
    "ssh_logs",
    "turnstile_events",
    "warp_config_changes",
    "warp_toggle_changes",
    "websocket_analytics",
    "workers_trace_events",
    "zero_trust_network_sessions",
];

/// The datasets that the story has events for, each with its time field.
pub(crate) const FILLED: &[(&str, &str)] = &[
    ("access_requests", "CreatedAt"),
    ("audit_logs_v2", "ActionTimestamp"),
    ("email_security_alerts", "Timestamp"),
    ("gateway_dns", "Datetime"),
    ("gateway_http", "Datetime"),
    ("warp_toggle_changes", "Timestamp"),
];

/// Jobs of these datasets also need the permission to read personal data.
pub(crate) fn has_personal_data(dataset: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "access_",
        "gateway_",
        "dex_",
        "device_posture",
        "warp_",
        "zero_trust_",
    ];
    BEGINNINGS.iter().any(|beginning| dataset.starts_with(beginning))
}

/// The time field of a dataset.
pub(crate) fn time_field(dataset: &str) -> &'static str {
    FILLED
        .iter()
        .find(|(name, _)| *name == dataset)
        .map_or("Timestamp", |(_, field)| field)
}

/// Field names with a description of each, in the order of a record.
pub(crate) fn fields(dataset: &str, sample: Option<&Value>) -> Value {
    let described = |name: &String| (name.clone(), json!(format!("{name} of a record of {dataset}")));
    let fields: Map<String, Value> = match sample.and_then(Value::as_object) {
        Some(sample) => sample.keys().map(described).collect(),
        None => [time_field(dataset).to_owned(), "AccountID".to_owned()]
            .iter()
            .map(described)
            .collect(),
    };
    Value::Object(fields)
}
