//! `flareward events`: log records, and removing those of one person.

use super::lists::{self, EventArgs, ListAction, ListArgs};
use super::person;
use crate::Global;
use crate::output::{Format, object};
use hub::Actor;
use hub::source::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// What to do with events.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List them
    List(EventArgs),
    /// Remove all records of one person from the archive and the events; asked again, it goes on where it was cut off
    Purge {
        /// Whose: address or id
        #[arg(long, value_name = "ADDRESS")]
        person: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(args: EventsArgs, global: &Global) -> anyhow::Result<()> {
    match args.action {
        Action::List(filters) => {
            let args = ListArgs {
                action: ListAction::List(filters),
            };
            lists::events(args, global).await
        }
        Action::Purge {
            person: wanted,
            reason,
        } => {
            let app = crate::open(global).await?;
            let row = person(&app, &wanted).await?;
            let bar = bar(global.output);
            let show = |progress: Progress| {
                bar.set_message(progress.what.clone());
                bar.set_length(progress.total.unwrap_or_default());
                bar.set_position(progress.done);
            };
            let done = hub::purge::person(&app, &row, &reason, &Actor::CommandLine, &show).await;
            bar.finish_and_clear();
            let done = done?;
            object(
                global.output,
                &json!({
                    "person": done.person_id, "batches": done.batches, "objects": done.objects,
                    "records": done.records, "events": done.events, "started_at": done.started_at,
                    "finished_at": done.finished_at,
                }),
            )?;
            Ok(())
        }
    }
}

fn bar(format: Format) -> ProgressBar {
    if format != Format::Table {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:30} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
