//! `flareward operations`: backtests, replays and exports that the server works on, and cancelling whatever takes long.

use crate::output::{self, Printer};
use crate::{Global, NotFound};
use hub::operation::{self, CancelError};
use hub::purge::{self, PurgeError};
use hub::sync::request;
use hub::{Actor, App};
use serde_json::Value;
use store::LIST_LIMIT_MAX;
use web::api::connections::SyncRunBody;
use web::api::operations::OperationBody;
use web::api::purges::PurgeBody;

/// Subcommands of `operations`.
#[derive(Debug, clap::Args)]
pub(crate) struct OperationsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List backtests, replays and exports, newest first
    List {
        /// Maximum number of results
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=LIST_LIMIT_MAX))]
        limit: i64,
    },
    /// Show one operation with its progress and result
    Show {
        /// Operation ID
        id: String,
    },
    /// Cancel a running backtest, replay, export, sync or purge
    Cancel {
        /// ID of the operation, sync or purge
        id: String,
    },
}

const COLUMNS: &[&str] = &[
    "asked_at", "kind", "target", "outcome", "done", "total", "+actor", "+problem", "id",
];

pub(crate) async fn run(args: OperationsArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    match args.action {
        Action::List { limit } => {
            let mut printer = Printer::new(global.output, COLUMNS);
            for row in app.store.operation_list(None, limit).await? {
                printer.body(&OperationBody::new(row)?, &[])?;
            }
            printer.finish("No backtests, replays or exports")?;
        }
        Action::Show { id } => {
            let row = app.store.operation_get(&id).await?;
            let row = row.ok_or_else(|| missing(&id))?;
            let body = serde_json::to_value(OperationBody::new(row)?)?;
            output::object(global.output, &body)?;
        }
        Action::Cancel { id } => output::object(global.output, &cancel(&app, &id).await?)?,
    }
    Ok(())
}

/// Cancels the operation, sync or purge with this ID.
async fn cancel(app: &App, id: &str) -> anyhow::Result<Value> {
    let actor = Actor::CommandLine;
    match operation::cancel(app, id, &actor).await {
        Ok(row) => return Ok(serde_json::to_value(OperationBody::new(row)?)?),
        Err(CancelError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match request::cancel(app, id, &actor).await {
        Ok(row) => {
            let labels = hub::connection::labels(app).await?;
            return Ok(serde_json::to_value(SyncRunBody::new(row, &labels)?)?);
        }
        Err(request::CancelError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match purge::cancel(app, id, &actor).await {
        Ok(row) => Ok(serde_json::to_value(PurgeBody::new(row))?),
        Err(PurgeError::NotFound(_)) => Err(missing(id).into()),
        Err(error) => Err(error.into()),
    }
}

fn missing(id: &str) -> NotFound {
    NotFound(format!(
        "no operation with ID \"{id}\": run `flareward operations list` or `flareward syncs list` to find it"
    ))
}
