//! Logs that are pulled: Access authentications and the account's audit log.

use crate::account::AccountId;
use crate::client::Client;
use crate::paging::{Pages, Style};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

/// All fields of an Access authentication, by their names in the response.
const ACCESS_FIELDS: &str =
    "action,allowed,app_domain,app_uid,connection,country,created_at,ip_address,ray_id,user_email,user_id";

/// The requested time range: from `since`, up to but excluding `before`.
#[derive(Debug, Clone, Copy)]
pub struct AuditWindow {
    /// The first instant.
    pub since: DateTime<Utc>,
    /// The first instant after the range.
    pub before: DateTime<Utc>,
}

impl Client {
    /// Access authentications, oldest first, including country and user, which Cloudflare omits by default. The
    /// response has no count: a short page is the last one.
    pub fn access_requests(&self, account: &AccountId, window: AuditWindow) -> Pages<Value> {
        let query = vec![
            ("since".to_owned(), text(window.since)),
            ("until".to_owned(), text(window.before)),
            ("direction".to_owned(), "asc".to_owned()),
            ("fields".to_owned(), ACCESS_FIELDS.to_owned()),
        ];
        self.pages(
            account.path("/access/logs/access_requests"),
            query,
            Style::Uncounted { per_page: 1_000 },
        )
    }

    /// The audit log, version 2, oldest first.
    pub fn audit_logs(&self, account: &AccountId, window: AuditWindow) -> Pages<Value> {
        let query = vec![
            ("since".to_owned(), text(window.since)),
            ("before".to_owned(), text(window.before)),
            ("direction".to_owned(), "asc".to_owned()),
        ];
        self.pages(account.path("/logs/audit"), query, Style::Cursor { limit: 1_000 })
    }

    /// The audit log, version 1, oldest first, in whole days, because it accepts only dates. The result includes
    /// entries of the first day before `since` and of the last day after `before`.
    pub fn audit_logs_v1(&self, account: &AccountId, window: AuditWindow) -> Pages<Value> {
        let query = vec![
            ("since".to_owned(), day(window.since)),
            // The whole day of the end, whether the bound itself belongs to it or not.
            ("before".to_owned(), day(window.before + TimeDelta::days(1))),
            ("direction".to_owned(), "asc".to_owned()),
        ];
        self.pages(
            account.path("/audit_logs"),
            query,
            Style::Uncounted { per_page: 1_000 },
        )
    }
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
