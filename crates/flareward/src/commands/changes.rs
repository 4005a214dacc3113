//! `flareward changes`: what was changed of access or refused, and taking it back.

use super::change::{self, Agreement};
use super::{address_of, connection};
use crate::output::Printer;
use crate::{Global, NotFound};
use serde_json::json;
use std::process::ExitCode;
use web::api::changes::{AccessChangeBody, AccessChangeDetailBody};

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
            let labels = hub::connection::labels(&app).await?;
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
                printer.body(&AccessChangeBody::new(row, &labels)?, &[])?;
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
            let labels = hub::connection::labels(&app).await?;
            let body = AccessChangeDetailBody::new(row, steps, &labels)?;
            let step = |step: &AccessChangeBody| json!({ "action": step.action, "object": step.object, "outcome": step.outcome, "reason": step.reason });
            let change = &body.change;
            let shown = json!({
                "id": change.id, "created_at": change.created_at, "finished_at": change.finished_at,
                "connection": change.connection, "action": change.action, "object": change.object,
                "email": change.email, "outcome": change.outcome, "reason": change.reason, "actor": change.actor,
                "note": change.note, "request": body.request, "plan": body.plan, "detail": change.detail,
                "undo": body.undo, "steps": body.steps.iter().map(step).collect::<Vec<_>>(),
            });
            crate::output::body(global.output, &body, &shown)?;
            Ok(ExitCode::SUCCESS)
        }
        ChangesAction::Undo { id, agreement } => change::undo(&app, &id, &agreement, global.output).await,
    }
}
