//! Risk score integrations of all accounts, and the signals sent through them. They are made and changed by
//! Cloudflare's own API (`crate::risk_integrations`).

use super::people;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::{App, transmit};
use model::{IntegrationId, SignalState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{IntegrationRow, SignalRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A risk score integration.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntegrationBody {
    /// ID.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Cloudflare account ID.
    pub account_id: String,
    /// Type of the integration: `Okta`.
    pub integration_type: String,
    /// Base URL of the receiver.
    pub tenant_url: String,
    /// Reference chosen by the caller.
    pub reference_id: Option<String>,
    /// Configuration URL for the receiver.
    pub well_known_url: String,
    /// Whether the integration is active.
    pub active: bool,
    /// Why an active integration is suspended.
    pub suspended_reason: Option<String>,
    /// When the integration was created.
    pub created_at: DateTime<Utc>,
}

impl IntegrationBody {
    pub(crate) fn new(app: &App, row: IntegrationRow) -> Self {
        Self {
            well_known_url: transmit::well_known_url(app, row.id.as_str()),
            id: row.id.0,
            connection_id: row.connection_id.0,
            account_id: row.account_id,
            integration_type: row.integration_type,
            tenant_url: row.tenant_url,
            reference_id: row.reference_id,
            active: row.active,
            suspended_reason: row.suspended_reason,
            created_at: row.created_at,
        }
    }
}

/// A Security Event Token for one receiver.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignalBody {
    /// The token's `jti`.
    pub id: String,
    /// ID of the integration.
    pub integration_id: String,
    /// ID of the person.
    pub person_id: String,
    /// ID of the risk level change.
    pub risk_change_id: String,
    /// Email address of the subject, as sent to the receiver.
    pub subject: String,
    /// Previous level.
    pub previous: &'static str,
    /// New level.
    pub current: &'static str,
    /// Claims of the token.
    pub claims: Value,
    /// `pending`, `delivered`, `dead` or `cancelled`.
    pub state: &'static str,
    /// Number of delivery attempts.
    pub attempts: i64,
    /// Earliest time of the next attempt.
    pub next_attempt_at: DateTime<Utc>,
    /// The last HTTP status.
    pub last_status: Option<i64>,
    /// Result of the last attempt.
    pub problem: Option<String>,
    /// Time of the risk level change.
    pub created_at: DateTime<Utc>,
    /// When the receiver accepted the signal.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl SignalBody {
    pub(crate) fn new(row: SignalRow) -> Result<Self, StoreError> {
        Ok(Self {
            claims: store::stored("signal", &row.id, "claims", &row.claims)?,
            id: row.id.0,
            integration_id: row.integration_id.0,
            person_id: row.person_id.0,
            risk_change_id: row.risk_change_id,
            subject: row.subject,
            previous: row.previous.as_str(),
            current: row.current.as_str(),
            state: row.state.as_str(),
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_status: row.last_status,
            problem: row.problem,
            created_at: row.created_at,
            delivered_at: row.delivered_at,
        })
    }
}

/// Filters for signals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SignalsQuery {
    /// Only for the integration with this ID.
    integration: Option<String>,
    /// Only about the person with this email address or ID.
    person: Option<String>,
    /// Only in this state: `pending`, `delivered`, `dead` or `cancelled`.
    #[param(value_type = Option<String>)]
    state: Option<SignalState>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
}

/// Lists all risk score integrations, oldest first.
#[utoipa::path(get, path = "/integrations", tag = "signals", operation_id = "integration_list",
    responses((status = 200, description = "The integrations", body = Page<IntegrationBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<IntegrationBody>>, ApiError> {
    let rows = app.store.integration_list(None).await?;
    Ok(Json(Page::whole(rows, |row| IntegrationBody::new(&app, row))))
}

/// Lists the newest signals.
#[utoipa::path(get, path = "/signals", tag = "signals", operation_id = "signal_list",
    params(SignalsQuery),
    responses((status = 200, description = "A list, newest first", body = Page<SignalBody>), Problems))]
pub async fn signals(
    State(app): State<App>,
    Query(query): Query<SignalsQuery>,
) -> Result<Json<Page<SignalBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let integration = query.integration.map(IntegrationId);
    let person = people::id_in_query(&app, query.person.as_deref()).await?;
    let rows = app
        .store
        .signal_list(integration.as_ref(), person.as_ref(), query.state, limit)
        .await?;
    Ok(Json(Page::read_whole(rows, SignalBody::new)?))
}
