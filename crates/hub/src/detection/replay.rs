//! Runs the rules again over archived records, for example after a rule changed.
//!
//! [`ask`] writes down that it is wanted; a stage carries it out ([`carry_out`]), part by part, on all cores. What a
//! record matches now replaces what it matched before (`again`). Killed anywhere, the next run begins anew and
//! changes nothing twice.

use super::{again, settle};
use crate::app::App;
use crate::audit;
use crate::fault;
use crate::operation;
use crate::permission::Actor;
use crate::record;
use archive::read::Wanted;
use archive::write::PartInfo;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use model::{AuditAction, AuditOutcome, OperationKind, OperationOutcome};
use rules::Dataset;
use rules::book::RuleBook;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread::available_parallelism;
use store::{OperationRow, PartFilter, PartRow, StoreError};
use tokio_util::task::AbortOnDropHandle;

/// Which records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// From this time on, by their own time.
    pub since: DateTime<Utc>,
    /// Before this time; now when it is left out.
    pub until: Option<DateTime<Utc>>,
    /// Only of this dataset.
    pub dataset: Option<String>,
}

/// Why the rules cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such dataset.
    #[error("no dataset named \"{name}\"; the datasets are {}", Dataset::names())]
    Dataset {
        /// What was asked for.
        name: String,
    },
    /// The time ends before it begins.
    #[error("\"since\" must be before \"until\"")]
    Time,
    /// Someone cancelled it.
    #[error("the replay was cancelled")]
    Cancelled,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a replay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Replayed {
    /// Records that the rules saw.
    pub records: u64,
    /// Parts that could not be read, with the reason. Detections from their records stay as they were.
    pub unread: Vec<String>,
}

/// Asks for a replay, which a stage carries out. Answers the one that waits or runs already, if it is the same.
///
/// # Errors
///
/// See [`ReplayError`].
pub async fn ask(app: &App, request: &ReplayRequest, actor: &Actor) -> Result<OperationRow, ReplayError> {
    let dataset = request.dataset.as_deref();
    if let Some(name) = dataset
        && Dataset::named(name).is_none()
    {
        return Err(ReplayError::Dataset {
            name: name.to_owned(),
        });
    }
    let until = request.until.unwrap_or_else(|| app.clock.now());
    if request.since >= until {
        return Err(ReplayError::Time);
    }
    let target = dataset.unwrap_or("all datasets");
    audit::record(
        app,
        actor,
        AuditAction::EventsReplay,
        target,
        AuditOutcome::Asked,
        json!({ "since": request.since, "until": until }),
    )
    .await?;
    let same = format!(
        "{target} from {} to {}",
        written(Some(request.since)),
        written(request.until)
    );
    let bounded = ReplayRequest {
        until: Some(until),
        ..request.clone()
    };
    Ok(operation::ask(app, OperationKind::Replay, same, &bounded, actor).await?)
}

fn written(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "now".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

/// Carries out the oldest replay that was asked for. Answers whether there was one.
///
/// # Errors
///
/// When the store refuses. What fails otherwise is kept with the operation.
pub async fn carry_out(app: &App) -> Result<bool, StoreError> {
    let open = app.store.operation_open(OperationKind::Replay).await?;
    let Some(row) = open.into_iter().next() else {
        return Ok(false);
    };
    let ended = match row.cancelled_by {
        Some(_) => Err(ReplayError::Cancelled),
        None => run(app, &row).await,
    };
    let (outcome, result, problem) = match ended {
        Ok(replayed) => (OperationOutcome::Done, Some(json!(replayed).to_string()), None),
        Err(ReplayError::Cancelled) => (OperationOutcome::Cancelled, None, None),
        Err(ReplayError::Store(error)) => return Err(error),
        Err(error) => (OperationOutcome::Failed, None, Some(crate::causes(&error))),
    };
    operation::finish(app, &row.id, outcome, result, problem).await?;
    Ok(true)
}

async fn run(app: &App, row: &OperationRow) -> Result<Replayed, ReplayError> {
    let request: ReplayRequest = store::stored("operation", &row.id, "request", &row.request)?;
    let wanted = Wanted {
        since_us: request.since.timestamp_micros(),
        until_us: request.until.unwrap_or(row.asked_at).timestamp_micros(),
        ..Wanted::default()
    };
    let filter = PartFilter {
        dataset: request.dataset,
        since_us: Some(wanted.since_us),
        until_us: Some(wanted.until_us),
    };
    let watch = operation::Watch::default();
    let work = async {
        let (book, began_at) = (app.rules(), app.clock.now());
        let round = Round {
            app,
            book: &book,
            wanted: &wanted,
            began_at,
            watch: &watch,
        };
        let (mut replayed, mut seen) = (Replayed::default(), HashSet::new());
        for _ in 0..record::TRIES {
            let mut parts = app.store.part_list(&filter).await?;
            parts.retain(|part| seen.insert(part.path.clone()));
            // What replaced a part meanwhile comes in the next round.
            if !round.look_at(parts, &mut replayed).await? {
                break;
            }
        }
        // Also for what was looked at before it was cancelled.
        settle::settle(app, &book).await?;
        if watch.is_cancelled() {
            return Err(ReplayError::Cancelled);
        }
        Ok(replayed)
    };
    watch.over(app, &row.id, work).await
}

/// One look at the parts of a list.
struct Round<'r> {
    app: &'r App,
    book: &'r Arc<RuleBook>,
    wanted: &'r Wanted,
    began_at: DateTime<Utc>,
    watch: &'r operation::Watch,
}

impl Round<'_> {
    /// Returns whether a part was replaced meanwhile, so that its records are in another one.
    async fn look_at(&self, parts: Vec<PartRow>, replayed: &mut Replayed) -> Result<bool, StoreError> {
        let all = parts.len();
        let at_once = available_parallelism().map_or(1, usize::from);
        let mut looks = stream::iter(parts)
            .map(|part| {
                let (app, book) = (self.app.clone(), Arc::clone(self.book));
                let (wanted, began_at) = (self.wanted.clone(), self.began_at);
                let part = record::part_info(part);
                let look = async move { look(&app, &book, &part, &wanted, began_at).await };
                AbortOnDropHandle::new(tokio::spawn(look))
            })
            .buffer_unordered(at_once);
        let (mut done, mut is_replaced) = (0, false);
        while let Some(ended) = looks.next().await {
            match ended {
                Ok(Ok(records)) => replayed.records += records,
                Ok(Err(LookError::Part(error))) if record::is_replaced(self.app, &error).await? => {
                    is_replaced = true;
                }
                Ok(Err(LookError::Part(error))) => replayed.unread.push(crate::causes(&error)),
                Ok(Err(LookError::Store(error))) => return Err(error),
                Err(_) => replayed
                    .unread
                    .push("reading a part ended unexpectedly".to_owned()),
            }
            fault::point("replay.looked");
            done += 1;
            self.watch.show(done, all);
            if self.watch.is_cancelled() {
                return Ok(false);
            }
        }
        Ok(is_replaced)
    }
}

enum LookError {
    Part(archive::PartError),
    Store(StoreError),
}

async fn look(
    app: &App,
    book: &RuleBook,
    part: &PartInfo,
    wanted: &Wanted,
    began_at: DateTime<Utc>,
) -> Result<u64, LookError> {
    let mut records = app
        .archive
        .parts()
        .records(part, wanted)
        .await
        .map_err(LookError::Part)?;
    let mut seen = 0;
    while let Some(some) = records.try_next().await.map_err(LookError::Part)? {
        again::look(app, book, &part.dataset, &some, began_at)
            .await
            .map_err(LookError::Store)?;
        seen += some.len() as u64;
    }
    Ok(seen)
}
