//! What only a request for each Access user gives: last seen identity, sessions, failed logins.
//!
//! Reads Cloudflare; writes `access_user_detail`. Three requests for each user, so never for everyone at once: for
//! one person when someone looks, and in the background for a few at a time where rules ask the identity provider.
//! Start reading at [`read`] and [`background`].

use crate::app::{App, ClientError};
use cloudflare::{AccountId, CloudflareError};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use model::{ConnectionState, PersonId};
use store::{AccessUserDetailRow, ConnectionRow, StoreError};

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum DetailError {
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Cloudflare.
    #[error("could not read more about an Access user of {label}")]
    Read {
        /// Which connection.
        label: String,
        /// Why.
        #[source]
        source: CloudflareError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads about the Access users of one person, now. Answers how many there are.
///
/// # Errors
///
/// See [`DetailError`].
pub async fn of_person(app: &App, person: &PersonId) -> Result<usize, DetailError> {
    let users = app.store.access_user_by_person(person).await?;
    for user in &users {
        if let Some(connection) = app.store.connection_get(&user.connection_id).await? {
            read(app, &connection, std::slice::from_ref(&user.id), false).await?;
        }
    }
    Ok(users.len())
}

/// Reads, in the background, about a few Access users of each connection where some rule asks what an identity
/// provider says. Answers how many were read.
///
/// # Errors
///
/// When the store refuses; what Cloudflare refuses is logged, and tried again later.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    let an_hour = i64::from(app.settings.sync.details_per_hour);
    if an_hour == 0 {
        return Ok(0);
    }
    let view = crate::access::AccessView::current(app).await?;
    let before = app.clock.now() - READ_AGAIN_AFTER;
    let mut read = 0;
    for connection in app.store.connection_list().await? {
        let asks = view
            .place(&connection.id)
            .is_some_and(|place| view.connections[place].account.asks_providers());
        if !asks {
            continue;
        }
        let at_once = (an_hour / RUNS_AN_HOUR).max(1);
        match background(app, &connection, before, at_once).await {
            Ok(count) => read += count,
            Err(DetailError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(connection = %connection.label, "{}", crate::causes(&error));
            }
        }
    }
    Ok(read)
}

/// What was read is good for this long. Chosen: groups at an identity provider change about once a day.
const READ_AGAIN_AFTER: chrono::TimeDelta = chrono::TimeDelta::hours(24);
/// How often [`run`] is called in an hour: each call reads an even part.
pub(crate) const RUNS_AN_HOUR: i64 = 30;

/// Reads about up to `limit` Access users of a connection about whom nothing was read since `before`. Answers how
/// many were read.
///
/// # Errors
///
/// See [`DetailError`].
pub async fn background(
    app: &App,
    connection: &ConnectionRow,
    before: chrono::DateTime<chrono::Utc>,
    limit: i64,
) -> Result<usize, DetailError> {
    if limit < 1
        || matches!(
            connection.state,
            ConnectionState::Paused | ConnectionState::Failed
        )
    {
        return Ok(0);
    }
    let due = app
        .store
        .access_user_detail_due(&connection.id, before, limit)
        .await?;
    read(app, connection, &due, true).await?;
    Ok(due.len())
}

async fn read(
    app: &App,
    connection: &ConnectionRow,
    ids: &[String],
    in_background: bool,
) -> Result<(), DetailError> {
    if ids.is_empty() {
        return Ok(());
    }
    let failed = |source| DetailError::Read {
        label: connection.label.clone(),
        source,
    };
    let account = AccountId::parse(&connection.account_id).ok_or_else(|| {
        failed(CloudflareError::Unusable(
            "the stored account id is not one".to_owned(),
        ))
    })?;
    let client = app.client(connection)?;
    let client = if in_background {
        client.in_background()
    } else {
        client
    };
    let rows: Vec<AccessUserDetailRow> = stream::iter(ids.to_vec())
        .map(|id| one(app, connection, client.clone(), account.clone(), id).boxed())
        .buffered(4)
        .try_collect()
        .await
        .map_err(failed)?;
    for row in &rows {
        app.store.access_user_detail_set(row).await?;
    }
    app.store.access_revision_bump().await?;
    Ok(())
}

async fn one(
    app: &App,
    connection: &ConnectionRow,
    client: cloudflare::Client,
    account: AccountId,
    id: String,
) -> Result<AccessUserDetailRow, CloudflareError> {
    let (identity, sessions, failed_logins) = tokio::join!(
        client.last_seen_identity(&account, &id),
        client.active_sessions(&account, &id),
        client.failed_logins(&account, &id),
    );
    let identity = match identity {
        Ok(identity) => Some(identity.to_string()),
        // Nobody has seen them yet.
        Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => None,
        Err(error) => return Err(error),
    };
    let list = |list: Result<Vec<serde_json::Value>, CloudflareError>| match list {
        Ok(list) => Ok(serde_json::json!(list).to_string()),
        Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => Ok("[]".to_owned()),
        Err(error) => Err(error),
    };
    Ok(AccessUserDetailRow {
        connection_id: connection.id.clone(),
        access_user_id: id,
        identity,
        sessions: list(sessions)?,
        failed_logins: list(failed_logins)?,
        read_at: app.clock.now(),
    })
}
