//! `flareward token`: tokens for the API.

use super::removal::{Confirm, Removal};
use crate::Global;
use crate::output::{self, Printer};
use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use hub::Actor;
use hub::permission::{Permission, TokenError, token_issue, token_revoke};
use secrecy::ExposeSecret;
use serde_json::json;
use std::process::ExitCode;
use store::AccessTokenRow;
use web::api::tokens::{MadeTokenBody, TokenBody};

/// Subcommands of `token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List tokens, without their values
    List,
    /// Create a token; its value is shown only once
    Create {
        /// Token name
        #[arg(long)]
        name: String,
        /// Permission; repeatable. Default: all permissions
        #[arg(long, value_parser = permission)]
        permission: Vec<Permission>,
        /// Expire after this time, for example 12h, 30d or 2w. Default: never
        #[arg(long, value_name = "SPAN", value_parser = hub::posture::until::span)]
        expires_in: Option<TimeDelta>,
    },
    /// Revoke a token; it stops working immediately
    Revoke {
        /// Token ID
        id: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

const COLUMNS: &[&str] = &[
    "name",
    "state",
    "+fingerprint",
    "+permissions",
    "+created_at",
    "+last_used_at",
    "expires_at",
    "+revoked_at",
    "id",
];

pub(crate) async fn run(args: TokenArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = match &args.action {
        Action::Create { .. } => crate::open_or_make(global).await?,
        _ => crate::open(global).await?,
    };
    match args.action {
        Action::List => {
            let mut printer = Printer::new(global.output, COLUMNS);
            for row in app.store.access_token_list().await? {
                let cells = [
                    ("state", json!(state(&row, app.clock.now()))),
                    ("fingerprint", json!(format!("…{}", row.fingerprint))),
                ];
                printer.body(&TokenBody::new(row)?, &cells)?;
            }
            printer.finish("No tokens")?;
        }
        Action::Create {
            name,
            permission,
            expires_in,
        } => {
            let permissions = if permission.is_empty() {
                Permission::ALL.to_vec()
            } else {
                permission
            };
            let (row, token) = token_issue(
                &app,
                &name,
                &permissions,
                expires_in,
                &Actor::CommandLine,
                &Permission::ALL,
            )
            .await?;
            let shown = json!({ "id": row.id, "name": row.name, "token": token.expose_secret(),
                "expires_at": row.expires_at });
            output::body(global.output, &MadeTokenBody::new(row, &token)?, &shown)?;
        }
        Action::Revoke { id, confirm } => {
            let row = app
                .store
                .access_token_get(&id)
                .await?
                .ok_or(TokenError::NotFound)?;
            let sessions = app.store.session_count(&id, app.clock.now()).await?;
            let used = match row.last_used_at {
                Some(at) => format!("last used {}", at.format("%Y-%m-%d %H:%M UTC")),
                None => "never used".to_owned(),
            };
            let removal = Removal {
                summary: format!("revoke token {} (…{})", row.name, row.fingerprint),
                counts: vec![("tokens_revoked", 1), ("console_sessions_ended", sessions)],
                notes: vec![format!(
                    "{used}; clients that use it are rejected immediately; this cannot be undone"
                )],
            };
            if let Err(code) = removal.agreed(confirm, global.output)? {
                return Ok(code);
            }
            token_revoke(&app, &id, &Actor::CommandLine).await?;
            removal.done(global.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a token works, and the reason if not.
fn state(row: &AccessTokenRow, now: DateTime<Utc>) -> &'static str {
    match (row.revoked_at, row.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        _ => "live",
    }
}

fn permission(word: &str) -> anyhow::Result<Permission> {
    let known = Permission::ALL.map(Permission::as_str).join(", ");
    serde_json::from_value(json!(word)).with_context(|| format!("must be one of {known}"))
}
