//! `flareward risk`: whom Flareward gives which level, and resetting one person. Cloudflare's score is another.

use super::person;
use crate::Global;
use crate::commands::people::{self, PersonArgs};
use crate::output::{self, Printer};
use hub::Actor;
use model::RiskLevel;
use serde_json::json;
use web::api::risk::ResetDoneBody;

/// Subcommands of `risk`.
#[derive(Debug, clap::Args)]
pub(crate) struct RiskArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List people with a Flareward risk level, highest first; for Cloudflare's score, use `capability
    /// getUserRiskScore`
    List,
    /// Reset a person's Flareward risk level and notify the receivers; does not change Cloudflare's score
    Reset {
        /// Email address or ID
        #[arg(long)]
        person: String,
        /// Reason, recorded in the audit log
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(args: RiskArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    match args.action {
        Action::List => {
            let mut printer = Printer::new(global.output, people::COLUMNS);
            for level in [RiskLevel::High, RiskLevel::Medium, RiskLevel::Low] {
                people::write(
                    &app,
                    &PersonArgs {
                        risk: Some(level),
                        search: None,
                    },
                    &mut printer,
                )
                .await?;
            }
            printer.finish("No person has a Flareward risk level")?;
        }
        Action::Reset {
            person: wanted,
            reason,
        } => {
            let row = person(&app, &wanted).await?;
            let previous = hub::risk::reset(&app, &row.id, &reason, &Actor::CommandLine).await?;
            let body = ResetDoneBody::new(row.id.clone(), previous);
            output::body(
                global.output,
                &body,
                &json!({
                    "outcome": body.outcome, "reset": "hub_risk_level", "person": row.email, "previous": previous,
                    "note": "Cloudflare's score did not change: to reset it, run `flareward capability \
                         resetUserRiskScore`",
                }),
            )?;
        }
    }
    Ok(())
}
