//! One file for each command.

pub(crate) mod access;
pub(crate) mod capability;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod connect;
pub(crate) mod connections;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod ingest;
pub(crate) mod lists;
pub(crate) mod logs;
pub(crate) mod members;
pub(crate) mod people;
pub(crate) mod posture;
pub(crate) mod risk;
pub(crate) mod rules;
pub(crate) mod rules_run;
pub(crate) mod sandbox;
pub(crate) mod serve;
pub(crate) mod sync;
pub(crate) mod syncs;
pub(crate) mod token;

use anyhow::{Context, bail};
use hub::App;
use store::{ConnectionRow, PersonRow};

/// The connection that was named, or the only one.
pub(crate) async fn connection(app: &App, wanted: Option<&str>) -> anyhow::Result<ConnectionRow> {
    let mut all = app.store.connection_list().await?;
    match wanted {
        Some(wanted) => all
            .into_iter()
            .find(|row| row.label == wanted || row.id.as_str() == wanted)
            .with_context(|| format!("there is no connection \"{wanted}\"")),
        None if all.len() == 1 => all.pop().context("there is one"),
        None if all.is_empty() => bail!("no account is connected: use `flareward connect`"),
        None => {
            let labels: Vec<&str> = all.iter().map(|row| row.label.as_str()).collect();
            bail!(
                "several accounts are connected; name one with --connection: {}",
                labels.join(", ")
            )
        }
    }
}

/// The person with this address or id.
pub(crate) async fn person(app: &App, wanted: &str) -> anyhow::Result<PersonRow> {
    let found = hub::people::one(app, wanted).await?;
    found.with_context(|| format!("nobody has the address or id \"{wanted}\""))
}

/// Resolves when the process is asked to end.
pub(crate) async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Without a handler the system ends the process itself.
    let _ = interrupted.await;
}
