//! `flareward changes`: what was changed of access or refused, and taking it back.

use super::change::{Agreement, make};
use super::{address_of, connection};
use crate::output::Printer;
use crate::{Global, NotFound};
use hub::provisioning::undo::undo_of;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Subcommands of `changes`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangesArgs {
    #[command(subcommand)]
    action: ChangesAction,
}

#[derive(Debug, clap::Subcommand)]
enum ChangesAction {
    /// List access changes, newest first
    List {
        /// Only for this person (email address or ID)
        #[arg(long)]
        person: Option<String>,
        /// Only with this outcome: changed, already, refused, unverified or running
        #[arg(long)]
        outcome: Option<model::ChangeOutcome>,
        /// Only for this connection
        #[arg(long, value_name = "LABEL")]
        connection: Option<String>,
        /// Maximum number of results
        #[arg(long, default_value_t = 100)]
        limit: i64,
    },
    /// Show one change: request, plan, outcome and steps
    Show {
        /// Change ID
        id: String,
    },
    /// Undo a change
    Undo {
        /// Change ID
        id: String,
        #[command(flatten)]
        agreement: Agreement,
    },
}

pub(crate) async fn run(args: ChangesArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    match args.action {
        ChangesAction::List {
            person,
            outcome,
            connection: label,
            limit,
        } => {
            let connection_id = match label.as_deref() {
                Some(label) => Some(connection(&app, Some(label)).await?.id),
                None => None,
            };
            let email = match &person {
                Some(wanted) => Some(address_of(&app, wanted).await?),
                None => None,
            };
            let filter = store::AccessChangeFilter {
                connection_id,
                email,
                outcome,
                before: None,
                limit,
            };
            let labels = super::lists::labels(&app).await?;
            let columns = &[
                "created_at",
                "outcome",
                "+action",
                "object",
                "email",
                "+actor",
                "+reason",
                "+id",
            ];
            let mut printer = Printer::new(global.output, columns);
            for row in app.store.access_change_list(&filter).await? {
                printer.row(&json!({
                    "id": row.id, "created_at": row.created_at, "finished_at": row.finished_at,
                    "connection": labels.get(&row.connection_id), "action": row.action, "object": row.object,
                    "email": row.email, "outcome": row.outcome, "reason": row.reason, "actor": row.actor,
                    "note": row.note, "parent_id": row.parent_id, "can_be_undone": row.undo.is_some(),
                }))?;
            }
            printer.finish("No changes")?;
            Ok(ExitCode::SUCCESS)
        }
        ChangesAction::Show { id } => {
            let row = app.store.access_change_get(&id).await?.ok_or_else(|| {
                NotFound(format!(
                    "no change with ID \"{id}\": run `flareward changes list` to find it"
                ))
            })?;
            let steps = app.store.access_change_steps(&id).await?;
            let steps: Vec<Value> = steps
                .into_iter()
                .map(|step| json!({ "id": step.id, "action": step.action, "object": step.object, "outcome": step.outcome, "reason": step.reason }))
                .collect();
            let whole = json!({
                "id": row.id, "created_at": row.created_at, "finished_at": row.finished_at, "action": row.action,
                "object": row.object, "email": row.email, "outcome": row.outcome, "reason": row.reason,
                "actor": row.actor, "note": row.note, "request": row.request_json()?, "plan": row.plan_json()?,
                "detail": row.detail_json()?, "undo": row.undo_json::<Value>()?, "steps": steps,
            });
            crate::output::object(global.output, &whole)?;
            Ok(ExitCode::SUCCESS)
        }
        ChangesAction::Undo { id, agreement } => {
            let undo = undo_of(&app, &id, agreement.reason.clone()).await?;
            make(&app, &[undo.request], &undo.options, &agreement, global.output).await
        }
    }
}
