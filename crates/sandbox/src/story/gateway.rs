//! Records of `gateway_dns` and `gateway_http`, with every documented field.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::catalog::{Site, THREATS};
use crate::ids::{hex32_of, uuid_of};
use crate::story::script::{Actor, Script};

/// The specific fields of one web request.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) action: &'a str,
    pub(crate) referer: &'a str,
    /// The profiles and entries that matched the upload.
    pub(crate) upload_profiles: &'a [&'a str],
    pub(crate) uploaded_files: &'a [&'a str],
    /// Name, type and reason of a blocked file.
    pub(crate) blocked_file: Option<(&'a str, &'a str, &'a str)>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            method: "GET",
            path: "/",
            action: "allow",
            referer: "",
            upload_profiles: &[],
            uploaded_files: &[],
            blocked_file: None,
        }
    }
}

const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

fn reversed(name: &str) -> String {
    name.split('.').rev().collect::<Vec<_>>().join(".")
}

fn continent(country: &str) -> &'static str {
    match country {
        "US" => "NA",
        "SG" | "CN" => "AS",
        _ => "EU",
    }
}

impl Script {
    /// One DNS query with a type, given by number and name.
    pub(crate) fn dns(
        &mut self,
        who: &Actor,
        at: DateTime<Utc>,
        site: &Site,
        kind: (i64, &str),
        decision: &str,
    ) {
        let blocked = decision.starts_with("blocked");
        let categories = (json!([site.category.id]), json!([site.category.name]));
        let none = (json!([]), json!([]));
        let matched = if blocked { categories.clone() } else { none };
        let answers: Vec<&str> = if kind.1 == "A" && !blocked {
            vec![site.ip]
        } else {
            Vec::new()
        };
        let countries: Vec<&str> = answers.iter().map(|_| site.country).collect();
        let continents: Vec<&str> = answers.iter().map(|_| continent(site.country)).collect();
        let records: Vec<Value> = answers
            .iter()
            .map(|ip| json!({ "type": kind.0.to_string(), "data": ip }))
            .collect();
        let policy = if blocked {
            ("Block threats", uuid_of("gateway policy: threats"))
        } else {
            ("", String::new())
        };
        let applications = site
            .application
            .map(|(id, name)| (vec![id], vec![name]))
            .unwrap_or_default();
        let record = json!({
            "AccountID": self.account_id,
            "ApplicationID": site.application.map_or(0, |(id, _)| id),
            "ApplicationName": site.application.map_or("", |(_, name)| name),
            "AppliedMaxTTL": 0, "AuthoritativeNameServerIPs": [], "CNAMECategoryIDs": [], "CNAMECategoryNames": [],
            "CNAMEs": [], "CNAMEsReversed": [], "ColoCode": "LHR", "ColoID": 21, "CustomResolveDurationMs": 0,
            "CustomResolverAddress": "", "CustomResolverPolicyID": "", "CustomResolverPolicyName": "",
            "CustomResolverResponse": "", "Datetime": null, "DeviceID": who.device.id, "DeviceName": who.device.name,
            "DoHSubdomain": hex32_of("doh")[..10], "DoTSubdomain": "", "DstIP": "162.159.36.1", "DstPort": 443,
            "EDEErrors": [], "Email": who.email, "InitialCategoryIDs": categories.0,
            "InitialCategoryNames": categories.1, "InitialResolvedIPs": answers, "InternalDNSDurationMs": 0,
            "InternalDNSFallbackStrategy": "", "InternalDNSRCode": 0, "InternalDNSViewID": "",
            "InternalDNSZoneID": "", "IsResponseCached": self.ids.once_in(3), "Location": "Default",
            "LocationID": hex32_of("location"), "MatchedCategoryIDs": matched.0, "MatchedCategoryNames": matched.1,
            "MatchedIndicatorFeedIDs": [], "MatchedIndicatorFeedNames": [], "Policy": policy.0, "PolicyID": policy.1,
            "PolicyName": policy.0, "Protocol": "https", "QueryApplicationIDs": applications.0,
            "QueryApplicationNames": applications.1, "QueryCategoryIDs": categories.0,
            "QueryCategoryNames": categories.1, "QueryID": self.ids.uuid(), "QueryIndicatorFeedIDs": [],
            "QueryIndicatorFeedNames": [], "QueryName": site.host, "QueryNameReversed": reversed(site.host),
            "QuerySize": site.host.len() + 18, "QueryType": kind.0, "QueryTypeName": kind.1, "RCode": 0,
            "RData": records, "RedirectTargetURI": "", "RegistrationID": who.device.registration_id,
            "RequestContextCategoryIDs": [], "RequestContextCategoryNames": [], "ResolvedIPCategoryIDs": [],
            "ResolvedIPCategoryNames": [], "ResolvedIPContinentCodes": continents,
            "ResolvedIPCountryCodes": countries, "ResolvedIPs": answers, "ResolverDecision": decision,
            "ResolverPolicyID": "", "ResolverPolicyName": "", "ResourceRecords": records,
            "ResourceRecordsJSON": json!(records).to_string(), "ResponseTimeMs": self.ids.between(2, 40),
            "SrcIP": who.ip, "SrcIPContinentCode": continent(who.country), "SrcIPCountryCode": who.country,
            "SrcPort": self.ids.between(20_000, 60_000), "TenantID": "", "TimeZone": "",
            "TimeZoneInferredMethod": "", "UpstreamRecordTTLs": answers.iter().map(|_| 300).collect::<Vec<i64>>(),
            "UserID": who.user_id,
        });
        self.event("gateway_dns", at, record);
    }

    /// One web request.
    pub(crate) fn http(&mut self, who: &Actor, at: DateTime<Utc>, site: &Site, request: &Request<'_>) {
        let blocked = request.action == "block";
        let applications = site
            .application
            .map(|(id, name)| (vec![id], vec![name]))
            .unwrap_or_default();
        let status = match site.application {
            None => Vec::new(),
            Some(_) if site.category == crate::catalog::AI => vec!["unapproved"],
            Some(_) => vec!["approved"],
        };
        let policy = match (
            blocked,
            request.upload_profiles.is_empty(),
            request.blocked_file.is_some(),
        ) {
            (true, false, _) => ("Keep customer data in", uuid_of("gateway policy: customer data")),
            (true, _, true) => ("Scan files", uuid_of("gateway policy: scan files")),
            (true, ..) => ("Block threats", uuid_of("gateway policy: threats")),
            _ => ("", String::new()),
        };
        let (file, kind, reason) = request.blocked_file.unwrap_or_default();
        let files: Vec<&str> = request
            .uploaded_files
            .iter()
            .copied()
            .chain((!file.is_empty()).then_some(file))
            .collect();
        let entries: Vec<String> = request
            .upload_profiles
            .iter()
            .map(|profile| format!("{profile}: number"))
            .collect();
        let response = if blocked { 403 } else { 200 };
        let record = json!({
            "AccountID": self.account_id, "Action": request.action, "AddedHeaders": [], "AppControlInfo": {},
            "ApplicationIDs": applications.0, "ApplicationNames": applications.1, "ApplicationStatuses": status,
            "BlockedFileHash": if file.is_empty() { String::new() } else { hex32_of(file).repeat(2) },
            "BlockedFileName": file, "BlockedFileReason": reason,
            "BlockedFileSize": if file.is_empty() { 0 } else { 482_304 }, "BlockedFileType": kind,
            "CategoryIDs": [site.category.id], "CategoryNames": [site.category.name], "Datetime": null,
            "DeletedHeaders": [], "DestinationIP": site.ip, "DestinationIPContinentCode": continent(site.country),
            "DestinationIPCountryCode": site.country, "DestinationPort": 443, "DeviceID": who.device.id,
            "DeviceName": who.device.name, "DownloadMatchedDlpProfileEntries": [],
            "DownloadMatchedDlpProfiles": [],
            "DownloadedFileNames": if file.is_empty() { Vec::new() } else { vec![file] },
            "Email": who.email, "ExperimentalFeatures": [],
            "FileInfo": { "files": files.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() },
            "ForensicCopyStatus": "", "HTTPHost": site.host, "HTTPMethod": request.method,
            "HTTPStatusCode": response, "HTTPVersion": "HTTP/2", "IsIsolated": false, "PackageInfo": {},
            "PolicyID": policy.1, "PolicyName": policy.0, "PrivateAppAUD": "", "ProxyEndpoint": "",
            "Quarantined": request.blocked_file.is_some(), "RedirectTargetURI": "", "Referer": request.referer,
            "RegistrationID": who.device.registration_id, "RequestID": self.ids.ray(),
            "SessionID": self.ids.uuid(), "SetHeaders": [], "SourceIP": who.ip,
            "SourceIPContinentCode": continent(who.country), "SourceIPCountryCode": who.country,
            "SourceInternalIP": "", "SourcePort": self.ids.between(20_000, 60_000), "TenantID": "",
            "URL": format!("https://{}{}", site.host, request.path), "UntrustedCertificateAction": "none",
            "UploadMatchedDlpProfileEntries": entries, "UploadMatchedDlpProfiles": request.upload_profiles,
            "UploadedFileNames": request.uploaded_files, "UserAgent": USER_AGENT, "UserID": who.user_id,
            "VirtualNetworkID": uuid_of("virtual network"), "VirtualNetworkName": "default",
            "Warnings": if site.category.above == THREATS && !blocked { vec!["risky category"] } else { Vec::new() },
        });
        self.event("gateway_http", at, record);
    }
}
