//! Runs the stages: each in its own loop, woken by the stage before it or by a timer.
//!
//! A loop takes its stage's lease first, so that two processes on one store do not both run it. A lease outlives
//! a killed process by seconds only. `stage` lists the stages and what each does; `command` does the work of stages
//! for a command beside a running server. Start reading at [`run`].

mod command;
mod stage;

pub use command::{FinishError, asked_syncs, finish, is_quiet, pass, pipeline, purge, replay, until_quiet};
pub use stage::StageError;

use crate::app::App;
use crate::clock_watch;
use crate::lease::Lease;
use chrono::TimeDelta;
use stage::Stage;
use tokio_util::sync::CancellationToken;

/// How long a lease holds without a sign of life.
const LEASE: TimeDelta = TimeDelta::seconds(6);

/// Runs every stage until `stop` is cancelled. What fails is logged and tried again.
pub async fn run(app: App, stop: CancellationToken) {
    let mut loops: Vec<_> = Stage::ALL
        .into_iter()
        .map(|stage| tokio::spawn(repeat(app.clone(), stage, stop.clone())))
        .collect();
    loops.push(tokio::spawn(clock_watch::run(app, stop)));
    for ended in futures::future::join_all(loops).await {
        if let Err(error) = ended {
            tracing::error!("a stage failed: {error}");
        }
    }
}

async fn repeat(app: App, stage: Stage, stop: CancellationToken) {
    let name = stage.name();
    while !stop.is_cancelled() {
        // From here on no call is missed, also none that comes while the stage works.
        let calls = app.wake.listen(stage.reads());
        let result = tokio::select! {
            result = turn(&app, stage) => result,
            () = stop.cancelled() => break,
        };
        match result {
            Ok(more) => {
                app.stage_health.succeeded(name);
                if more {
                    continue;
                }
            }
            Err(error) => {
                let reason = crate::causes(&error);
                metrics::counter!("flareward_stage_failures_total", "stage" => name).increment(1);
                tracing::error!(stage = name, "a stage failed and will be tried again: {reason}");
                app.stage_health.failed(name, reason, app.clock.now());
            }
        }
        tokio::select! {
            () = calls.heard() => {}
            () = tokio::time::sleep(stage.look_again()) => {}
            () = stop.cancelled() => {}
        }
    }
    if stage.is_leased()
        && let Err(error) = app.store.lease_release(&stage.lease(), &app.holder).await
    {
        tracing::debug!(
            stage = name,
            "could not release the lease: {}",
            crate::causes(&error)
        );
    }
}

/// One turn of a stage, if no other process has its lease: that one then tells how the stage fares. Answers whether
/// there may be more to do.
async fn turn(app: &App, stage: Stage) -> Result<bool, StageError> {
    if !stage.is_leased() {
        return stage.work(app).await;
    }
    match Lease::take(app, &stage.lease(), &app.holder, LEASE).await? {
        Some(held) => held.keep(Box::pin(stage.work(app))).await.unwrap_or(Ok(false)),
        None => Ok(false),
    }
}
