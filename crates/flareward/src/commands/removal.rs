//! Removing what is ours: the plan with its counts is shown, a person or `--yes` agrees.
//!
//! What destroys goes through here, so that no such command can be asked for by mistake: `events purge`, `token
//! revoke`, `people alias remove`, `rules remove`, `logs disable --remove`, `logs objects --forget`. Changes of access
//! have plans of their own ([`super::change`]).

use crate::output::{Format, object};
use crate::{Usage, progress, stream};
use serde_json::{Map, Value, json};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

/// Options to preview or confirm a removal.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Confirm {
    /// Show what would be removed, with counts, without removing it
    #[arg(long, conflicts_with = "yes")]
    pub(crate) plan: bool,
    /// Remove without asking for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A removal that the command is about to make.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    /// One sentence that starts with a verb.
    pub(crate) summary: String,
    /// What would be removed, with counts: `records`, 12.
    pub(crate) counts: Vec<(&'static str, i64)>,
    /// What is kept, and whether the removal can be undone.
    pub(crate) notes: Vec<String>,
}

impl Removal {
    /// Asks for confirmation. Returns the exit code if the removal is not confirmed.
    ///
    /// # Errors
    ///
    /// [`Usage`] if confirmation is required and there is no terminal.
    pub(crate) fn agreed(&self, confirm: Confirm, format: Format) -> anyhow::Result<Result<(), ExitCode>> {
        if confirm.plan {
            match format {
                Format::Table => print!("{}", self.words()),
                _ => object(format, &self.value())?,
            }
            return Ok(Err(ExitCode::SUCCESS));
        }
        if confirm.yes {
            return Ok(Ok(()));
        }
        let words = self.words();
        if !std::io::stdin().is_terminal() {
            stream::err(&words);
            return Err(ask_first("removed").into());
        }
        Ok(if asked(&words, "Remove this?")? {
            Ok(())
        } else {
            Err(ExitCode::from(3))
        })
    }

    /// Prints what was removed.
    pub(crate) fn done(&self, format: Format) -> anyhow::Result<()> {
        let mut value = self.value();
        value["outcome"] = json!("changed");
        Ok(object(format, &value)?)
    }

    fn value(&self) -> Value {
        let counts: Map<String, Value> = self
            .counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), json!(count)))
            .collect();
        json!({ "outcome": "planned", "summary": self.summary, "counts": counts, "notes": self.notes })
    }

    fn words(&self) -> String {
        let mut text = format!("Plan: {}\n", self.summary);
        for (name, count) in &self.counts {
            text.push_str(&format!("  {}: {count}\n", name.replace('_', " ")));
        }
        for note in &self.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        text
    }
}

/// The error when confirmation is required and there is no terminal.
pub(crate) fn ask_first(what: &str) -> Usage {
    Usage(format!(
        "nothing was {what}: confirmation is required and there is no terminal. Use --yes to confirm, \
             or --plan to only show the plan"
    ))
}

/// Shows the plan on the terminal and asks for confirmation.
pub(crate) fn asked(words: &str, question: &str) -> std::io::Result<bool> {
    progress::pause(true);
    write!(stream::Complaint, "{words}{question} [y/N] ")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    progress::pause(false);
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}
