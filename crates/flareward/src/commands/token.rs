//! `flareward token`: tokens for the API.

use crate::Global;
use crate::output::{Printer, object};
use anyhow::Context;
use hub::Actor;
use hub::permission::{Permission, permissions_of, token_issue, token_revoke};
use secrecy::ExposeSecret;
use serde_json::json;

/// What to do with tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List tokens, without their values
    List,
    /// Make a token; its value is shown once
    Create {
        /// What to call it
        #[arg(long)]
        name: String,
        /// What it may do; repeat for several. Without: everything
        #[arg(long, value_parser = permission)]
        permission: Vec<Permission>,
    },
    /// Take a token back
    Revoke {
        /// The token's id
        id: String,
    },
}

const COLUMNS: &[&str] = &[
    "name",
    "fingerprint",
    "permissions",
    "created_at",
    "last_used_at",
    "revoked_at",
    "id",
];

pub(crate) async fn run(args: TokenArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    match args.action {
        Action::List => {
            let mut printer = Printer::new(global.output, COLUMNS);
            for row in app.store.access_token_list().await? {
                printer.row(&json!({
                    "id": row.id, "name": row.name, "fingerprint": format!("…{}", row.fingerprint),
                    "permissions": permissions_of(&row), "created_at": row.created_at,
                    "last_used_at": row.last_used_at, "revoked_at": row.revoked_at,
                }))?;
            }
            printer.finish("No tokens")?;
        }
        Action::Create { name, permission } => {
            let permissions = if permission.is_empty() {
                Permission::ALL.to_vec()
            } else {
                permission
            };
            let (row, token) = token_issue(&app, &name, &permissions, &Actor::CommandLine).await?;
            object(
                global.output,
                &json!({ "id": row.id, "name": row.name, "token": token.expose_secret() }),
            )?;
        }
        Action::Revoke { id } => token_revoke(&app, &id, &Actor::CommandLine).await?,
    }
    Ok(())
}

fn permission(word: &str) -> anyhow::Result<Permission> {
    let known = Permission::ALL.map(Permission::as_str).join(", ");
    serde_json::from_value(json!(word)).with_context(|| format!("must be one of {known}"))
}
