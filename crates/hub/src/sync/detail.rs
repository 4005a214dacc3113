//! What only a request for each Access user gives: last seen identity, sessions, failed logins.
//!
//! Reads Cloudflare; writes `access_user_detail`. Three requests for each user, so never for everyone at once: for
//! one person when someone looks, and in the background for a few at a time where rules ask the identity provider.
//! Start reading at [`of_person`] and [`scheduled`].

use crate::access::rule::Selector;
use crate::app::{App, ClientError};
use chrono::TimeDelta;
use cloudflare::{AccountId, Cause, CloudflareError};
use futures::{FutureExt, StreamExt, stream};
use model::{ConnectionState, PersonId};
use serde_json::Value;
use store::{AccessUserDetailRow, ConnectionRow, StoreError};

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum DetailError {
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Cloudflare.
    #[error("could not read details of an Access user of {label}")]
    Read {
        /// Which connection.
        label: String,
        /// Why.
        #[source]
        source: CloudflareError,
    },
    /// This Access user alone; why stands at the user.
    #[error(
        "could not read details of the Access user {access_user} of {label}; the person's page shows \
             the reason"
    )]
    Unread {
        /// Which connection.
        label: String,
        /// Cloudflare's id of the user.
        access_user: String,
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

/// How long what was read about someone counts. Chosen: groups at an identity provider change within days.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// The time that the number in the settings is for.
const HOUR: TimeDelta = TimeDelta::hours(1);

/// Reads about a few Access users of each connection where some rule asks the identity provider: of all
/// connections together no more in an hour than the settings allow, those first about whom least is known. What
/// fails is logged, and tried again later.
///
/// # Errors
///
/// When the store refuses.
pub async fn scheduled(app: &App) -> Result<usize, StoreError> {
    let per_hour = i64::from(app.settings.sync.details_per_hour);
    if per_hour == 0 {
        return Ok(0);
    }
    let now = app.clock.now();
    let mut left = per_hour - app.store.access_user_detail_since(now - HOUR).await?;
    let mut read = 0;
    for connection in app.store.connection_list().await? {
        if left < 1 {
            break;
        }
        if !asks_provider(app, &connection).await? {
            continue;
        }
        match background(app, &connection, now - KEPT, left.min(PART)).await {
            Ok(0) => {}
            Ok(count) => {
                left -= count as i64;
                read += count;
                tracing::info!(connection = %connection.label, access_users = count,
                    "read details of {count} Access users of {}", connection.label);
            }
            Err(error) => tracing::warn!(connection = %connection.label,
                "could not read details of Access users of {}: {}", connection.label, crate::causes(&error)),
        }
    }
    Ok(read)
}

/// Access users that are read about at once, before the driver looks whether it still holds its lease.
const PART: i64 = 20;

/// Whether some rule of a group or policy asks the identity provider.
async fn asks_provider(app: &App, connection: &ConnectionRow) -> Result<bool, StoreError> {
    // Looked for in the text first: most objects need not be parsed to know.
    const KINDS: [&str; 6] = [
        "\"okta\"",
        "\"azureAD\"",
        "\"gsuite\"",
        "\"github-organization\"",
        "\"saml\"",
        "\"oidc\"",
    ];
    let may_ask = |text: &str| KINDS.iter().any(|kind| text.contains(kind));
    let mut after: Option<(String, String)> = None;
    loop {
        let place = after
            .as_ref()
            .map(|(connection, id)| (connection.as_str(), id.as_str()));
        let store = &app.store;
        let rows = store.access_group_list(Some(&connection.id), place, 200).await?;
        let Some(last) = rows.last() else { break };
        after = Some((last.connection_id.0.clone(), last.id.clone()));
        for row in rows.iter().filter(|row| may_ask(&row.raw)) {
            if has_claim(&row.raw_json()?) {
                return Ok(true);
            }
        }
    }
    for kind in ["policies", "apps"] {
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let rows = app
                .store
                .account_object_list(kind, Some(&connection.id), place, 200)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.connection_id.0.clone(), last.id.clone()));
            for row in rows.iter().filter(|row| may_ask(&row.raw)) {
                if has_claim(&row.raw_json()?) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Whether a rule anywhere in the object asks the identity provider.
fn has_claim(raw: &Value) -> bool {
    let mut waiting = vec![raw];
    while let Some(object) = waiting.pop() {
        for list in ["include", "require", "exclude"] {
            let mut rules = object[list].as_array().into_iter().flatten();
            if rules.any(|rule| matches!(Selector::read(rule), Selector::AtProvider { .. })) {
                return true;
            }
        }
        waiting.extend(object["policies"].as_array().into_iter().flatten());
    }
    false
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
            "the stored account ID is invalid".to_owned(),
        ))
    })?;
    let client = app.client(connection)?;
    let client = if in_background {
        client.in_background()
    } else {
        client
    };
    let read: Vec<(String, Result<AccessUserDetailRow, CloudflareError>)> = stream::iter(ids.to_vec())
        .map(|id| {
            let (client, account) = (client.clone(), account.clone());
            async move { (id.clone(), one(app, connection, client, account, id).await) }.boxed()
        })
        .buffered(4)
        .collect()
        .await;
    let mut unread = Vec::new();
    for (id, row) in read {
        match row {
            Ok(row) => app.store.access_user_detail_set(&row).await?,
            // Nobody can be read now: that is no fault of these users, who come again.
            Err(error) if is_general(&error) => return Err(failed(error)),
            // One who always fails must not keep the others from being read.
            Err(error) => {
                let problem = crate::causes(&error);
                tracing::warn!(connection = %connection.label, access_user = %id,
                    "could not read details of the Access user {id} of {}: {problem}", connection.label);
                app.store
                    .access_user_detail_failed(&connection.id, &id, &problem, app.clock.now())
                    .await?;
                unread.push(id);
            }
        }
    }
    app.store.access_revision_bump().await?;
    if ids.len() == 1 && !unread.is_empty() {
        return Err(DetailError::Unread {
            label: connection.label.clone(),
            access_user: unread.remove(0),
        });
    }
    Ok(())
}

/// Whether a failure says nothing of the one user who was asked about.
fn is_general(error: &CloudflareError) -> bool {
    match error {
        CloudflareError::RateLimited { .. }
        | CloudflareError::Unreachable { .. }
        | CloudflareError::Unusable(_) => true,
        CloudflareError::Refused(refusal) => matches!(
            refusal.cause(),
            Cause::BadCredential | Cause::WrongAddress | Cause::WrongKind | Cause::NotPermitted
        ),
        _ => false,
    }
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
        problem: None,
    })
}
