//! Taking a change back: which request does it, and which end the grant gets again.
//!
//! A grant for a time that was taken back comes back with the end that it had; one whose end has passed does not come
//! back without someone saying how long it is to last. [`undo_of`] reads `access_change` and `timed_grant` and writes
//! nothing; [`undo`] makes the change.

use super::timed::Lasts;
use super::{Changed, Options, ProvisionError, Request, change};
use crate::app::App;
use crate::permission::Actor;
use chrono::{DateTime, Utc};
use model::{ChangeOutcome, GrantKind, TimedGrantState};
use store::{AccessChangeRow, LIST_LIMIT_MAX, StoreError, TimedGrantRow};

/// What takes a change back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The request.
    pub request: Request,
    /// How it is to be made.
    pub options: Options,
}

/// Why a change cannot be taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is none.
    #[error("no change with ID \"{0}\"")]
    NotFound(String),
    /// It has no way back.
    #[error("change {id} cannot be undone (outcome: {outcome}): no undo is recorded for it")]
    NoWayBack {
        /// Which.
        id: String,
        /// What became of it.
        outcome: ChangeOutcome,
    },
    /// The grant that it took had an end, which has passed.
    #[error(
        "change {id} revoked a grant that would have expired at {}, which has passed: create a new \
             grant, with a new expiry or as permanent",
        expires_at.format("%Y-%m-%d %H:%M UTC")
    )]
    Over {
        /// Which.
        id: String,
        /// When the grant was to end.
        expires_at: DateTime<Utc>,
    },
    /// The change that undoes it failed.
    #[error(transparent)]
    Change(#[from] ProvisionError),
    /// What is stored cannot be read.
    #[error("the stored undo of change {id} is invalid (table access_change, column undo)")]
    Unreadable {
        /// Which.
        id: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The request that takes a change back, with the end that the grant had before.
///
/// # Errors
///
/// See [`UndoError`].
pub async fn undo_of(app: &App, id: &str, note: Option<String>) -> Result<Undo, UndoError> {
    let row = app
        .store
        .access_change_get(id)
        .await?
        .ok_or_else(|| UndoError::NotFound(id.to_owned()))?;
    let Some(undo) = &row.undo else {
        return Err(UndoError::NoWayBack {
            id: row.id,
            outcome: row.outcome,
        });
    };
    let request: Request = serde_json::from_str(undo).map_err(|source| UndoError::Unreadable {
        id: row.id.clone(),
        source,
    })?;
    let lasts = match ended_by(app, &row, &request).await? {
        None => Lasts::AsBefore,
        Some(timed) if timed.expires_at > app.clock.now() => Lasts::Until(timed.expires_at),
        Some(timed) => {
            return Err(UndoError::Over {
                id: row.id,
                expires_at: timed.expires_at,
            });
        }
    };
    Ok(Undo {
        request,
        options: Options {
            note: note.or(Some(format!("undoes change {id}"))),
            unknown_person: true,
            lasts,
            ..Options::default()
        },
    })
}

/// Undoes a change.
///
/// # Errors
///
/// See [`UndoError`].
pub async fn undo(app: &App, id: &str, note: Option<String>, actor: &Actor) -> Result<Changed, UndoError> {
    let undo = undo_of(app, id, note).await?;
    Ok(change(app, &undo.request, &undo.options, actor).await?)
}

/// The grant for a time that ended while this change was made.
async fn ended_by(
    app: &App,
    row: &AccessChangeRow,
    request: &Request,
) -> Result<Option<TimedGrantRow>, StoreError> {
    let (kind, entitlement) = match request {
        Request::GroupGrant { group, .. } | Request::GroupUnexclude { group, .. } => {
            (GrantKind::AccessGroup, group)
        }
        Request::RoleGrant { role, .. } => (GrantKind::Role, role),
        _ => return Ok(None),
    };
    let ends = app
        .store
        .timed_grant_list(Some(request.email()), true, LIST_LIMIT_MAX)
        .await?;
    Ok(ends.into_iter().find(|timed| {
        timed.connection_id == *request.connection()
            && timed.kind == kind
            && timed.entitlement_id == *entitlement
            && matches!(timed.state, TimedGrantState::Gone | TimedGrantState::Revoked)
            && timed.ended_at.is_some_and(|ended| {
                ended >= row.created_at && row.finished_at.is_none_or(|finished| ended <= finished)
            })
    }))
}
