//! What a connection's credential can do, feature by feature.
//!
//! Asks Cloudflare once for each feature; writes `probe` and the connection's state. Never changes anything at
//! Cloudflare. To add a feature, add its call to [`FEATURES`]. Start reading at [`doctor`].

use super::ConnectError;
use crate::app::App;
use crate::audit;
use crate::journal_words;
use crate::permission::Actor;
use crate::probe::{NOT_ENTITLED, OFF_PLAN, is_blocked};
use chrono::TimeDelta;
use cloudflare::{AccountId, Client, CloudflareError};
use model::ConnectionState;
use serde_json::json;
use store::{ConnectionRow, ProbeRow};

struct Feature {
    name: &'static str,
    path: &'static str,
    query: &'static [(&'static str, &'static str)],
    permission: &'static str,
}

/// The calls that the features need, with the permission groups that allow them.
///
/// Source: Cloudflare's API description, `x-api-token-group` of each operation; Logpush on Zero Trust datasets
/// needs both of its groups since November 2025.
const FEATURES: &[Feature] = &[
    Feature {
        name: "members",
        path: "/members",
        query: &[("per_page", "5")],
        permission: "Account Settings Read",
    },
    Feature {
        name: "roles",
        path: "/roles",
        query: &[("per_page", "5")],
        permission: "Account Settings Read",
    },
    Feature {
        name: "Access users",
        path: "/access/users",
        query: &[("per_page", "5")],
        permission: "Access: Audit Logs Read",
    },
    Feature {
        name: "Access groups",
        path: "/access/groups",
        query: &[("per_page", "5")],
        permission: "Access: Organizations, Identity Providers, and Groups Read",
    },
    Feature {
        name: "identity providers",
        path: "/access/identity_providers",
        query: &[("per_page", "5")],
        permission: "Access: Organizations, Identity Providers, and Groups Read",
    },
    Feature {
        name: "applications",
        path: "/access/apps",
        query: &[("per_page", "5")],
        permission: "Access: Apps and Policies Read",
    },
    Feature {
        name: "logs by Logpush",
        path: "/logpush/jobs",
        query: &[],
        permission: "Logs Write and Zero Trust: PII Read",
    },
    Feature {
        name: "Access authentication log",
        path: "/access/logs/access_requests",
        query: &[("limit", "1")],
        permission: "Access: Audit Logs Read",
    },
    Feature {
        name: "audit log",
        path: "/logs/audit",
        query: &[("limit", "1")],
        permission: "Account Settings Read",
    },
    Feature {
        name: "Cloudflare risk scores",
        path: "/zt_risk_scoring/summary",
        query: &[],
        permission: "Zero Trust: PII Read",
    },
    Feature {
        name: "Cloudflare risk behaviours",
        path: "/zt_risk_scoring/behaviors",
        query: &[],
        permission: "Zero Trust Read",
    },
    // One look-up of the monthly quota: there is no other way to know.
    Feature {
        name: "intelligence on addresses and domains",
        path: "/intel/ip",
        query: &[("ipv4", "1.1.1.1")],
        permission: "Intel Read",
    },
];

/// Finds out again what a connection's credential can do, because `actor` asked.
///
/// # Errors
///
/// See [`doctor`].
pub async fn check(
    app: &App,
    connection: &ConnectionRow,
    actor: &Actor,
) -> Result<Vec<ProbeRow>, ConnectError> {
    audit::record(
        app,
        actor,
        model::AuditAction::ConnectionCheck,
        &connection.label,
        model::AuditOutcome::Asked,
        json!({}),
    )
    .await?;
    doctor(app, connection).await
}

/// Asks once for each feature and keeps what was found; sets the connection's state by it. A connection that is
/// paused stays so: only a confirmed sync lets it go on.
///
/// # Errors
///
/// When the connection has no client or the store refuses. A feature that does not work is no error.
pub async fn doctor(app: &App, connection: &ConnectionRow) -> Result<Vec<ProbeRow>, ConnectError> {
    let is_paused = connection.state == ConnectionState::Paused;
    let state = |state, reason: Option<String>| async move {
        if is_paused {
            return Ok(());
        }
        let summary = journal_words::connection_state(&connection.label, state, reason.as_deref());
        app.store
            .connection_state_set(
                &connection.id,
                state,
                reason.as_deref(),
                &summary,
                app.clock.now(),
            )
            .await
    };
    state(ConnectionState::Validating, None).await?;
    let client = match app.client(connection) {
        Ok(client) => client,
        Err(error) => {
            state(ConnectionState::Failed, Some(crate::causes(&error))).await?;
            return Err(error.into());
        }
    };
    let Some(account) = AccountId::parse(&connection.account_id) else {
        return Err(ConnectError::AccountUnknown(format!(
            "\"{}\"",
            connection.account_id
        )));
    };
    let mut probes = Vec::with_capacity(FEATURES.len());
    for feature in FEATURES {
        let answer = probe(&client, &account, feature, app).await;
        let row = finding(connection, feature, &answer, app);
        app.store.probe_set(&row).await?;
        probes.push(row);
    }
    let dark: Vec<&str> = probes
        .iter()
        .filter(|row| is_blocked(row))
        .map(|row| row.feature.as_str())
        .collect();
    if dark.is_empty() {
        state(ConnectionState::Connected, None).await?;
    } else if dark.len() == probes.len() {
        state(
            ConnectionState::Failed,
            Some(format!("no access to any feature: {}", probes[0].message)),
        )
        .await?;
    } else {
        state(
            ConnectionState::Degraded,
            Some(format!("no access to: {}", dark.join(", "))),
        )
        .await?;
    }
    Ok(probes)
}

async fn probe(
    client: &Client,
    account: &AccountId,
    feature: &Feature,
    app: &App,
) -> Result<(), CloudflareError> {
    // Version 2 of the audit log wants a span of time.
    let (since, before) = if feature.path == "/logs/audit" {
        let now = app.clock.now();
        ((now - TimeDelta::hours(1)).to_rfc3339(), now.to_rfc3339())
    } else {
        (String::new(), String::new())
    };
    let mut query = feature.query.to_vec();
    if !since.is_empty() {
        query.extend([("since", since.as_str()), ("before", before.as_str())]);
    }
    client.probe(account, feature.path, &query).await
}

fn finding(
    connection: &ConnectionRow,
    feature: &Feature,
    answer: &Result<(), CloudflareError>,
    app: &App,
) -> ProbeRow {
    let (works, missing, message) = match answer {
        Ok(()) => (true, None, "works".to_owned()),
        Err(error)
            if error
                .refusal()
                .is_some_and(|refusal| refusal.has_code(NOT_ENTITLED)) =>
        {
            (false, None, format!("{OFF_PLAN}: {}", crate::causes(error)))
        }
        Err(error) => {
            let refusal = error.refusal();
            // 1004 is Logpush's own way to say that a permission is missing.
            let missing = refusal.is_some_and(|refusal| refusal.is_not_allowed() || refusal.has_code(1_004));
            (
                false,
                missing.then(|| feature.permission.to_owned()),
                crate::causes(error),
            )
        }
    };
    ProbeRow {
        connection_id: connection.id.clone(),
        feature: feature.name.to_owned(),
        works,
        missing_permission: missing,
        message,
        checked_at: app.clock.now(),
    }
}
