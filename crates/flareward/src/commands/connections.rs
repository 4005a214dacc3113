//! `flareward connections`: which accounts are connected, and words to group them by.

use super::connection;
use crate::Global;
use crate::output::{Printer, object};
use hub::Actor;
use serde_json::json;

/// Subcommands of `connections`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List connections
    List {
        /// Only connections with this tag
        #[arg(long)]
        tag: Option<String>,
    },
    /// Set the tags of a connection; without tags, remove all
    Tag {
        /// Connection
        label: String,
        /// Tags
        tags: Vec<String>,
    },
}

const COLUMNS: &[&str] = &[
    "label",
    "account_name",
    "+account_id",
    "state",
    "+state_reason",
    "synced_at",
    "tags",
    "+id",
];

pub(crate) async fn run(args: ConnectionsArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    match args.action {
        Action::List { tag } => {
            let mut printer = Printer::new(global.output, COLUMNS);
            for row in app.store.connection_list().await? {
                let tags = hub::connect::tags_of(&row)?;
                if tag.as_ref().is_some_and(|tag| !tags.contains(tag)) {
                    continue;
                }
                printer.row(&json!({
                    "id": row.id, "label": row.label, "account_id": row.account_id,
                    "account_name": row.account_name, "state": row.state, "state_reason": row.state_reason,
                    "synced_at": row.synced_at, "tags": tags, "created_at": row.created_at,
                    "credential_kind": row.credential_kind, "credential_fingerprint": row.credential_fingerprint,
                }))?;
            }
            printer.finish("No account connected: run `flareward connect`")?;
        }
        Action::Tag { label, tags } => {
            let row = connection(&app, Some(&label)).await?;
            hub::connect::tags_set(&app, &row, &tags, &Actor::CommandLine).await?;
            object(
                global.output,
                &json!({ "outcome": "changed", "label": row.label, "tags": tags }),
            )?;
        }
    }
    Ok(())
}
