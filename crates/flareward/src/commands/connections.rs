//! `flareward connections`: which accounts are connected, and words to group them by.

use super::connection;
use crate::Global;
use crate::output::{Printer, object};
use hub::Actor;
use serde_json::json;
use web::api::connections::ConnectionBody;

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
                let body = ConnectionBody::new(row)?;
                if tag.as_ref().is_none_or(|tag| body.tags.contains(tag)) {
                    printer.body(&body, &[])?;
                }
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
