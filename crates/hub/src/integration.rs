//! Risk score integrations, as Cloudflare's API has them, served by us.
//!
//! An integration made here is the receiver that [`crate::transmit`] sends to.

use crate::app::App;
use crate::audit;
use crate::egress::EgressError;
use crate::permission::Actor;
use crate::wake::Written;
use model::IntegrationId;
use serde_json::json;
use store::{IntegrationRow, StoreError};

/// What a new integration needs.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    /// `Okta` is the only type that Cloudflare has.
    pub integration_type: String,
    /// The receiver's base address.
    pub tenant_url: String,
    /// The caller's own reference, by custom the Access Okta identity provider's id.
    pub reference_id: Option<String>,
}

/// Why an integration cannot be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum IntegrationError {
    /// No connection has this account.
    #[error("no connected account with ID {0}")]
    NoAccount(String),
    /// No integration has this id.
    #[error("no such integration")]
    NotFound,
    /// Another type.
    #[error("integration_type must be \"Okta\", not \"{0}\"")]
    Type(String),
    /// The address may not be called.
    #[error("tenant_url: {0}")]
    TenantUrl(#[from] EgressError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an integration, or answers the one that is there with the same address and reference.
///
/// # Errors
///
/// See [`IntegrationError`].
pub async fn create(
    app: &App,
    account_id: &str,
    new: &NewIntegration,
    actor: &Actor,
) -> Result<IntegrationRow, IntegrationError> {
    if new.integration_type != "Okta" {
        return Err(IntegrationError::Type(new.integration_type.clone()));
    }
    let tenant_url = tenant(app, &new.tenant_url)?;
    let connection = app
        .store
        .connection_by_account(account_id)
        .await?
        .ok_or_else(|| IntegrationError::NoAccount(account_id.to_owned()))?;
    let same = app
        .store
        .integration_list(Some(account_id))
        .await?
        .into_iter()
        .find(|known| known.tenant_url == tenant_url && known.reference_id == new.reference_id);
    if let Some(known) = same {
        return Ok(known);
    }
    let now = app.clock.now();
    let row = IntegrationRow {
        id: IntegrationId(app.ids.new_id(now)),
        connection_id: connection.id,
        account_id: account_id.to_owned(),
        integration_type: new.integration_type.clone(),
        tenant_url,
        reference_id: new.reference_id.clone(),
        active: true,
        suspended_reason: None,
        created_at: now,
        deleted_at: None,
    };
    let detail = json!({ "tenant_url": row.tenant_url, "reference_id": row.reference_id });
    audit::record(
        app,
        actor,
        model::AuditAction::IntegrationCreate,
        row.id.as_str(),
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store.integration_insert(&row).await?;
    Ok(row)
}

/// The integration, if it belongs to the account.
///
/// # Errors
///
/// [`IntegrationError::NotFound`], or the store's.
pub async fn get(app: &App, account_id: &str, id: &str) -> Result<IntegrationRow, IntegrationError> {
    let row = app.store.integration_get(&IntegrationId(id.to_owned())).await?;
    row.filter(|row| row.account_id == account_id)
        .ok_or(IntegrationError::NotFound)
}

/// The integration with this reference.
///
/// # Errors
///
/// [`IntegrationError::NotFound`], or the store's.
pub async fn by_reference(
    app: &App,
    account_id: &str,
    reference_id: &str,
) -> Result<IntegrationRow, IntegrationError> {
    let all = app.store.integration_list(Some(account_id)).await?;
    all.into_iter()
        .find(|row| row.reference_id.as_deref() == Some(reference_id))
        .ok_or(IntegrationError::NotFound)
}

/// Overwrites address, reference and activity. Switching off gives up what was not sent yet; an update lifts
/// a suspension.
///
/// # Errors
///
/// See [`IntegrationError`].
pub async fn update(
    app: &App,
    account_id: &str,
    id: &str,
    tenant_url: &str,
    reference_id: Option<String>,
    active: bool,
    actor: &Actor,
) -> Result<IntegrationRow, IntegrationError> {
    let mut row = get(app, account_id, id).await?;
    row.tenant_url = tenant(app, tenant_url)?;
    row.reference_id = reference_id;
    row.active = active;
    row.suspended_reason = None;
    let detail = json!({ "tenant_url": row.tenant_url, "reference_id": row.reference_id, "active": active });
    audit::record(
        app,
        actor,
        model::AuditAction::IntegrationUpdate,
        id,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store.integration_update(&row).await?;
    if active {
        // What waits was signed for the receiver as it was before.
        app.store.signal_unsign(&row.id).await?;
    } else {
        app.store
            .signal_cancel(&row.id, "the integration was disabled")
            .await?;
    }
    app.wake.call(Written::Signals);
    Ok(row)
}

/// Removes an integration; what was not sent yet is given up.
///
/// # Errors
///
/// See [`IntegrationError`].
pub async fn delete(app: &App, account_id: &str, id: &str, actor: &Actor) -> Result<(), IntegrationError> {
    let row = get(app, account_id, id).await?;
    audit::record(
        app,
        actor,
        model::AuditAction::IntegrationDelete,
        id,
        model::AuditOutcome::Changed,
        json!({ "tenant_url": row.tenant_url }),
    )
    .await?;
    app.store.integration_delete(&row.id, app.clock.now()).await?;
    app.store
        .signal_cancel(&row.id, "the integration was deleted")
        .await?;
    Ok(())
}

/// The tenant's address as it is stored: checked, without a trailing slash.
fn tenant(app: &App, tenant_url: &str) -> Result<String, IntegrationError> {
    let url = app.egress.check_okta(tenant_url)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
