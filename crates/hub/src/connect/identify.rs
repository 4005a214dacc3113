//! What kind of credential it is, and which accounts it reaches.
//!
//! Reads from Cloudflare. Writes nothing. Start reading at [`identify`].

use super::{ConnectError, ConnectRequest, Credential};
use crate::app::App;
use cloudflare::{AccountId, Cause, Client, CloudflareError};
use model::CredentialKind;

/// The accounts that a credential reaches, with id and name.
///
/// # Errors
///
/// See [`ConnectError`].
pub async fn reachable(
    app: &App,
    credential: &Credential,
    base_url: Option<&str>,
) -> Result<Vec<(String, String)>, ConnectError> {
    let base_url = base_url
        .unwrap_or(cloudflare::DEFAULT_BASE_URL)
        .trim_end_matches('/');
    let client = app.new_client("accounts", credential.clone(), base_url)?;
    let accounts = client.accounts().await.map_err(not_accepted)?;
    Ok(accounts
        .into_iter()
        .map(|account| (account.id, account.name))
        .collect())
}

/// Finds out what kind of credential it is and which account it is for.
pub(super) async fn identify(
    client: &Client,
    request: &ConnectRequest,
) -> Result<(CredentialKind, AccountId, String), ConnectError> {
    let named = request
        .account
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let as_id = named.and_then(AccountId::parse);
    let kind = match &request.credential {
        Credential::GlobalKey { .. } => {
            client.user().await.map_err(not_accepted)?;
            CredentialKind::GlobalKey
        }
        Credential::Token(_) => token_kind(client, as_id.as_ref()).await?,
    };
    let (id, name) = match (as_id, named) {
        (Some(id), _) => match client.account(&id).await {
            Ok(account) => (id, account.name),
            // No such account, or not one of this credential's. Any other refusal says what is the matter.
            Err(CloudflareError::Refused(refusal))
                if refusal.status < 500 && matches!(refusal.cause(), Cause::NotPermitted | Cause::Other) =>
            {
                return Err(ConnectError::AccountUnknown(format!("\"{id}\" ({refusal})")));
            }
            Err(error) => return Err(error.into()),
        },
        (None, _) if kind == CredentialKind::AccountToken => {
            return Err(ConnectError::AccountNeeded(
                "an account-owned token cannot look up the account by name; use its ID".to_owned(),
            ));
        }
        (None, Some(name)) => one_of(client.accounts_named(name).await?, name)?,
        (None, None) => {
            let accounts = client.accounts().await?;
            match accounts.as_slice() {
                [only] => parsed(&only.id, &only.name)?,
                [] => {
                    return Err(ConnectError::AccountNeeded(
                        "Cloudflare lists no accounts for this credential".to_owned(),
                    ));
                }
                several => {
                    return Err(ConnectError::AccountNeeded(format!(
                        "the credential can access {}",
                        listed(several)
                    )));
                }
            }
        }
    };
    Ok((kind, id, name))
}

/// User tokens and account tokens are verified by different calls; each refuses the other's.
async fn token_kind(client: &Client, account: Option<&AccountId>) -> Result<CredentialKind, ConnectError> {
    let as_user = client.user_token_verify().await;
    let refused = match as_user {
        Ok(status) => return active(&status.status).map(|()| CredentialKind::UserToken),
        Err(error @ CloudflareError::Refused(_)) => error,
        Err(error) => return Err(error.into()),
    };
    let Some(account) = account else {
        return Err(ConnectError::Credential(format!(
            "{}; if this is an account-owned token, specify the account by its ID",
            not_accepted_words(&refused)
        )));
    };
    match client.account_token_verify(account).await {
        Ok(status) => active(&status.status).map(|()| CredentialKind::AccountToken),
        // Each of the two calls refuses the other's tokens as invalid: whatever else is said is the reason.
        Err(error @ CloudflareError::Refused(_)) => {
            let says_more = |error: &CloudflareError| {
                error
                    .refusal()
                    .is_some_and(|one| one.cause() != Cause::BadCredential)
            };
            Err(not_accepted(if says_more(&refused) || !says_more(&error) {
                refused
            } else {
                error
            }))
        }
        Err(error) => Err(error.into()),
    }
}

fn active(status: &str) -> Result<(), ConnectError> {
    if status == "active" {
        Ok(())
    } else {
        Err(ConnectError::NotActive(status.to_owned()))
    }
}

fn not_accepted(error: CloudflareError) -> ConnectError {
    match &error {
        CloudflareError::Refused(_) => ConnectError::Credential(not_accepted_words(&error)),
        _ => error.into(),
    }
}

fn not_accepted_words(error: &CloudflareError) -> String {
    error
        .refusal()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn one_of(accounts: Vec<cloudflare::Account>, name: &str) -> Result<(AccountId, String), ConnectError> {
    let exact: Vec<_> = accounts
        .into_iter()
        .filter(|account| account.name.to_lowercase() == name.to_lowercase())
        .collect();
    match exact.as_slice() {
        [only] => parsed(&only.id, &only.name),
        [] => Err(ConnectError::AccountUnknown(format!("\"{name}\""))),
        several => Err(ConnectError::AccountAmbiguous {
            name: name.to_owned(),
            ids: listed(several),
        }),
    }
}

fn parsed(id: &str, name: &str) -> Result<(AccountId, String), ConnectError> {
    let id = AccountId::parse(id).ok_or_else(|| ConnectError::AccountUnknown(format!("\"{id}\"")))?;
    Ok((id, name.to_owned()))
}

fn listed(accounts: &[cloudflare::Account]) -> String {
    let shown: Vec<String> = accounts
        .iter()
        .take(20)
        .map(|account| format!("{} ({})", account.id, account.name))
        .collect();
    shown.join(", ")
}
