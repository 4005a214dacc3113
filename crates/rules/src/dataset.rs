//! The datasets of log records, and the meaning of their fields.
//!
//! Source: Cloudflare's Logpush field reference for account-scoped datasets, September 2026. One dataset is Flareward's
//! own: [`RISK_SCORE_EVENTS`].

/// Cloudflare's own risk events. Cloudflare does not push them and has no name for them: Flareward pulls them from the
/// API.
pub const RISK_SCORE_EVENTS: &str = "risk_score_events";

/// A dataset, and the fields that are used to normalise its records. A dot leads into an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dataset {
    /// Cloudflare's name, or Flareward's own.
    pub name: &'static str,
    /// The field with the time.
    pub time: &'static str,
    /// The fields with the identifier: the first one that is not empty is used.
    pub identifier: &'static [&'static str],
    /// The fields that form the record key; if empty, the whole line is the key.
    pub key: &'static [&'static str],
    /// The fields with the action or decision.
    pub action: &'static [&'static str],
    /// The fields with the target.
    pub target: &'static [&'static str],
    /// The fields with the source IP address.
    pub source_ip: &'static [&'static str],
    /// The fields with the country.
    pub country: &'static [&'static str],
}

macro_rules! datasets {
    ($($name:literal: $time:literal, who $who:expr, key $key:expr, action $action:expr, target $target:expr,
        ip $ip:expr, country $country:expr;)+) => {
        /// All account-scoped datasets, by name.
        pub const DATASETS: &[Dataset] = &[$(Dataset {
            name: $name, time: $time, identifier: &$who, key: &$key, action: &$action, target: &$target,
            source_ip: &$ip, country: &$country,
        }),+];
    };
}

datasets! {
    "access_requests": "CreatedAt", who ["Email"], key ["RayID", "CreatedAt", "Email", "AppUUID", "Action"],
        action ["Action"], target ["AppDomain", "AppUUID"], ip ["IPAddress"], country ["Country"];
    "audit_logs": "When", who ["ActorEmail"], key ["ID"],
        action ["ActionType"], target ["ResourceType"], ip ["ActorIP"], country [];
    "audit_logs_v2": "ActionTimestamp", who ["ActorEmail"], key ["AuditLogID"],
        action ["ActionType"], target ["ActionDescription", "ResourceType"], ip ["ActorIPAddress"], country [];
    "biso_user_actions": "Timestamp", who ["UserEmail"], key [],
        action ["Type"], target ["DomainName", "URL"], ip [], country [];
    "casb_findings": "DetectedTimestamp", who ["AssetMetadata.Email", "AssetMetadata.owner"],
        key ["FindingTypeID", "AssetExternalID", "InstanceID", "DetectedTimestamp"],
        action ["FindingTypeName"], target ["AssetDisplayName"], ip [], country [];
    "device_posture_results": "Timestamp", who ["Email"], key ["DeviceID", "PolicyID", "Timestamp"],
        action ["PostureCheckType"], target ["PostureCheckName"], ip [], country [];
    "dex_application_tests": "Timestamp", who ["UserEmail"], key [],
        action ["TestKind"], target ["TestName"], ip [], country [];
    "dex_device_state_events": "Timestamp", who [], key [], action [], target ["DeviceID"], ip [], country [];
    "dlp_forensic_copies": "Datetime", who [], key [], action [], target ["GatewayRequestID"], ip [], country [];
    "email_security_alerts": "Timestamp", who ["To"], key ["AlertID"],
        action ["FinalDisposition"], target ["Subject"], ip ["SMTPHeloServerIP"], country [];
    "email_security_post_delivery_events": "CompletedAt", who ["Recipient"], key [],
        action ["Operation"], target ["Subject"], ip [], country [];
    "gateway_dns": "Datetime", who ["Email"], key ["QueryID"],
        action ["ResolverDecision"], target ["QueryName"], ip ["SrcIP"], country ["SrcIPCountryCode"];
    "gateway_http": "Datetime", who ["Email"], key ["RequestID", "Datetime", "SessionID"],
        action ["Action"], target ["HTTPHost"], ip ["SourceIP"], country ["SourceIPCountryCode"];
    "gateway_network": "Datetime", who ["Email"], key [],
        action ["Action"], target ["SNI", "DestinationIP"], ip ["SourceIP"], country ["SourceIPCountryCode"];
    "mcp_portal_logs": "Datetime", who ["UserEmail"], key [],
        action ["Method"], target ["ServerURL", "ServerID"], ip [], country [];
    "risk_score_events": "Timestamp", who ["Email"], key ["EventID", "UserID"],
        action ["Name"], target ["RiskLevel"], ip [], country [];
    "sinkhole_http_logs": "Timestamp", who [], key [],
        action ["R2Path"], target ["Host"], ip ["SrcAddr"], country [];
    "ssh_logs": "Datetime", who ["UserEmail"], key [],
        action ["ProgramType"], target ["TargetID"], ip ["ClientAddress"], country [];
    "warp_config_changes": "Timestamp", who ["UserEmail"], key [],
        action [], target ["DeviceID"], ip [], country [];
    "warp_toggle_changes": "Timestamp", who ["UserEmail"], key [],
        action ["Toggled", "Toggle"], target ["DeviceID"], ip [], country [];
    "zero_trust_network_sessions": "SessionStartTime", who ["Email"], key ["SessionID"],
        action ["ConnectionCloseReason"], target ["SNI", "OriginIP"], ip ["SourceIP"], country ["SourceIPCountryCode"];
}

impl Dataset {
    /// The dataset with this name.
    pub fn named(name: &str) -> Option<&'static Dataset> {
        DATASETS.iter().find(|dataset| dataset.name == name)
    }

    /// Whether a Logpush job can push it.
    pub fn is_pushed(&self) -> bool {
        self.name != RISK_SCORE_EVENTS
    }

    /// All names, for messages.
    pub fn names() -> String {
        DATASETS
            .iter()
            .map(|dataset| dataset.name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
