//! Logs that are pulled: Access authentications and the account's audit log.

use crate::account::AccountId;
use crate::client::Client;
use crate::paging::{Pages, Style};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

/// The span of time that is asked for: from `since`, up to `before`.
#[derive(Debug, Clone, Copy)]
pub struct AuditWindow {
    /// The first instant.
    pub since: DateTime<Utc>,
    /// The first instant that is too late.
    pub before: DateTime<Utc>,
}

impl Client {
    /// Access authentications, oldest first. The answer has no count: a short page is the last.
    pub fn access_requests(&self, account: &AccountId, window: AuditWindow) -> Pages<Value> {
        let query = vec![
            ("since".to_owned(), text(window.since)),
            ("until".to_owned(), text(window.before)),
            ("direction".to_owned(), "asc".to_owned()),
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
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
