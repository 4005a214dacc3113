//! Records of Access logins, account changes, the device client and Email Security.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::ids::hex32_of;
use crate::story::script::{Actor, Script};
use crate::world::app::{APPS, app_id};
use crate::world::logs::{AccessLogin, AuditEntry};

/// A change in the dashboard or through the API.
#[derive(Debug, Clone)]
pub(crate) struct Change<'a> {
    pub(crate) action: &'a str,
    pub(crate) description: &'a str,
    pub(crate) method: &'a str,
    /// The path under the account.
    pub(crate) path: &'a str,
    pub(crate) product: &'a str,
    pub(crate) resource_type: &'a str,
    pub(crate) request: Value,
}

/// A message that Email Security checked.
#[derive(Debug, Clone)]
pub(crate) struct Mail<'a> {
    pub(crate) from: &'a str,
    pub(crate) from_name: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) disposition: &'a str,
    pub(crate) links: &'a [&'a str],
    pub(crate) threats: &'a [&'a str],
}

impl Script {
    /// A login to one of the applications, allowed or denied.
    pub(crate) fn login(&mut self, who: &Actor, at: DateTime<Utc>, allowed: bool, connection: &'static str) {
        let (name, domain, ..) = *self.ids.pick(APPS);
        let login = AccessLogin {
            at,
            allowed,
            app_domain: domain.to_owned(),
            app_id: app_id(name),
            connection,
            country: who.country.to_lowercase(),
            email: who.email.clone(),
            ip: who.ip.clone(),
            ray_id: self.ids.ray(),
            user_id: who.user_id.clone(),
        };
        self.event("access_requests", at, login.to_record());
        self.logins.push(login);
    }

    /// A change of the account in the dashboard.
    pub(crate) fn change(&mut self, who: &Actor, at: DateTime<Utc>, change: &Change<'_>) {
        let entry = AuditEntry {
            id: self.ids.hex32(),
            at,
            action: change.action.to_owned(),
            description: change.description.to_owned(),
            actor_email: who.email.clone(),
            actor_id: who.dashboard_id.clone(),
            actor_context: "dash",
            actor_ip: who.ip.clone(),
            method: change.method.to_owned(),
            uri: format!("/accounts/{}/{}", self.account_id, change.path),
            status: 200,
            ray_id: self.ids.ray(),
            product: change.product.to_owned(),
            resource_type: change.resource_type.to_owned(),
            resource_id: hex32_of(change.path),
            request: change.request.clone(),
            response: json!({}),
        };
        self.event(
            "audit_logs_v2",
            at,
            entry.to_record(&self.account_id, &self.account_name),
        );
        self.audit.push(entry);
    }

    /// The device client is switched off (`false`) or on.
    pub(crate) fn toggle(&mut self, who: &Actor, at: DateTime<Utc>, on: bool) {
        let record = json!({
            "AccountID": self.account_id, "AccountName": self.account_name, "DeviceID": who.device.id,
            "DeviceRegistrationID": who.device.registration_id, "Hostname": who.device.name,
            "SerialNumber": who.device.serial_number, "Timestamp": null, "Toggled": on, "UserEmail": who.email,
        });
        self.event("warp_toggle_changes", at, record);
    }

    /// A message for which Email Security reports a result.
    pub(crate) fn mail(&mut self, to: &Actor, at: DateTime<Utc>, mail: &Mail<'_>) {
        let bad = ["malicious", "suspicious", "spoof"].contains(&mail.disposition);
        let result = if bad { "fail" } else { "pass" };
        let server = mail.from.rsplit('@').next().unwrap_or_default();
        let record = json!({
            "AlertID": format!("{}-{}", self.ids.ray(), at.format("%Y-%m-%dT%H:%M:%S")),
            "AlertReasons": if bad { vec!["link to a look-alike login page"] } else { vec!["bulk sender"] },
            "Attachments": [], "BCC": [], "CC": [], "CCName": [], "DKIMResult": result,
            "DMARCPolicy": if bad { "none" } else { "quarantine" }, "DMARCResult": result,
            "FinalDisposition": mail.disposition, "From": mail.from, "FromName": mail.from_name, "Links": mail.links,
            "MessageDeliveryMode": "direct", "MessageID": format!("<{}@{server}>", self.ids.ray()),
            "Origin": "external", "OriginalSender": mail.from, "ReplyTo": mail.from, "ReplyToName": mail.from_name,
            "SMTPEnvelopeFrom": mail.from, "SMTPEnvelopeTo": [to.email], "SMTPHeloServerIP": "203.0.113.25",
            "SMTPHeloServerIPAsName": "EXAMPLE-NETWORK", "SMTPHeloServerIPAsNumber": "64500",
            "SMTPHeloServerIPGeo": "MD/CU/Chisinau", "SMTPHeloServerName": format!("mx.{server}"),
            "SPFResult": if bad { "softfail" } else { "pass" }, "Subject": mail.subject,
            "ThreatCategories": mail.threats, "Timestamp": null, "To": [to.email], "ToName": [to.name],
        });
        self.event("email_security_alerts", at, record);
    }
}
