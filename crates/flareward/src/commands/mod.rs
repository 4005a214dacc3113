//! One file for each command.

pub(crate) mod access;
pub(crate) mod archive;
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
pub(crate) mod operations;
pub(crate) mod people;
pub(crate) mod posture;
pub(crate) mod removal;
pub(crate) mod risk;
pub(crate) mod rules;
pub(crate) mod rules_run;
pub(crate) mod sandbox;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod sync;
pub(crate) mod syncs;
pub(crate) mod token;

use crate::progress::ProgressBar;
use crate::{Global, NotFound};
use anyhow::bail;
use hub::App;
use hub::connection::ChooseError;
use hub::settings::Settings;
use std::path::Path;
use store::{ConnectionRow, PersonRow};

/// The connection given by label, or the only one.
pub(crate) async fn connection(app: &App, wanted: Option<&str>) -> anyhow::Result<ConnectionRow> {
    match hub::connection::choose(app, wanted).await {
        Ok(row) => Ok(row),
        Err(error @ ChooseError::Unknown(_)) => {
            Err(NotFound(format!("{error}: run `flareward connections list` to see all")).into())
        }
        Err(ChooseError::Several(labels)) => bail!(
            "several accounts are connected; specify one with --connection: {}",
            labels.join(", ")
        ),
        Err(error) => Err(error.into()),
    }
}

/// Processes the batches that a command ingested or queued again.
pub(crate) async fn finish_batches(app: &App, batches: &[String]) -> anyhow::Result<()> {
    let bar = ProgressBar::new(u64::try_from(batches.len()).ok(), false);
    bar.set_message("processing batches");
    hub::driver::finish(app, batches, &|done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    Ok(())
}

/// The person with this address or id.
pub(crate) async fn person(app: &App, wanted: &str) -> anyhow::Result<PersonRow> {
    let found = hub::people::one(app, wanted).await?;
    let words = || {
        NotFound(format!(
            "no person with address or ID \"{wanted}\": run `flareward people list` to see all"
        ))
    };
    Ok(found.ok_or_else(words)?)
}

/// The address to look up changes by: of a person, or of someone who only appears in changes.
pub(crate) async fn address_of(app: &App, wanted: &str) -> anyhow::Result<String> {
    let found = hub::provisioning::whose(app, wanted).await?;
    let words = || {
        NotFound(format!(
            "no person with address or ID \"{wanted}\": run `flareward people list` to see all"
        ))
    };
    Ok(found.ok_or_else(words)?)
}

/// Fails if there is no data in the configured location; the error lists every location checked.
pub(crate) fn data_missing(global: &Global, settings: &Settings) -> Option<NotFound> {
    let folder = &settings.data.dir;
    let file = settings.store_file();
    let is_sqlite = file.is_some();
    let mut missing = Vec::new();
    match file {
        Some(file) if !file.is_file() => missing.push(format!("the database {}", absolute(&file))),
        Some(_) => {}
        // The rows are elsewhere; what is missing here is the key that opens secrets.
        None if !folder.is_dir() && std::env::var_os("FLAREWARD_SECRET_KEY").is_none() => {
            missing.push(format!(
                "the data folder {}, with the encryption key",
                absolute(folder)
            ));
        }
        None => {}
    }
    if missing.is_empty() {
        return None;
    }
    if !folder.is_dir() && is_sqlite {
        missing.push(format!("the data folder {}", absolute(folder)));
    }
    let given = if global.data_dir.is_some() {
        "set by --data-dir or FLAREWARD_DATA_DIR"
    } else if *folder == Settings::default().data.dir {
        "the default, relative to the current folder; change it with --data-dir or FLAREWARD_DATA_DIR"
    } else {
        "set in the settings"
    };
    Some(NotFound(format!(
        "no Flareward data found: looked for {} ({given}). Run `flareward connect` to create it",
        missing.join(" in ")
    )))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

/// Resolves when the process receives a signal to stop.
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
