//! How many there are of everything.

use crate::auth::CanRead;
use crate::error::{ApiError, Problems};
use crate::extract::Json;
use axum::extract::State;
use hub::App;
use serde::Serialize;
use store::{Overview, RiskCount};
use utoipa::ToSchema;

/// The counts that the console's first page shows.
#[derive(Debug, Serialize, ToSchema)]
pub struct OverviewBody {
    /// Connections to Cloudflare accounts.
    pub connections: i64,
    /// People over all connections.
    pub people: i64,
    /// Members of accounts.
    pub members: i64,
    /// Zero Trust users.
    pub access_users: i64,
    /// Access groups.
    pub access_groups: i64,
    /// Grants at the last count of each connection, also those that depend on something.
    pub grants: i64,
    /// Events.
    pub events: i64,
    /// Lines that could not become an event.
    pub rejects: i64,
    /// Detections.
    pub detections: i64,
    /// Coaching messages that a channel took.
    pub messages_delivered: i64,
    /// Signals that a receiver took.
    pub signals_delivered: i64,
    /// People whose level is not `unscored`.
    pub people_at_risk: i64,
    /// Identifiers in events that belong to nobody.
    pub unmapped_identifiers: i64,
    /// People at each level that anyone stands at.
    pub risk_levels: Vec<RiskCountBody>,
}

/// How many people stand at a level.
#[derive(Debug, Serialize, ToSchema)]
pub struct RiskCountBody {
    /// `unscored`, `low`, `medium` or `high`.
    pub risk_level: &'static str,
    /// How many people.
    pub people: i64,
}

impl RiskCountBody {
    pub(crate) fn new(row: RiskCount) -> Self {
        Self {
            risk_level: row.risk_level.as_str(),
            people: row.people,
        }
    }
}

/// Counts of everything.
#[utoipa::path(get, path = "/overview", tag = "overview", security(("token" = ["read"])),
    responses((status = 200, description = "The counts", body = OverviewBody), Problems))]
pub async fn overview(_caller: CanRead, State(app): State<App>) -> Result<Json<OverviewBody>, ApiError> {
    let Overview {
        connections,
        people,
        members,
        access_users,
        access_groups,
        events,
        rejects,
        detections,
        messages_delivered,
        signals_delivered,
        people_at_risk,
        unmapped_identifiers,
    } = app.store.overview().await?;
    let levels = app.store.risk_counts().await?;
    Ok(Json(OverviewBody {
        connections,
        people,
        members,
        access_users,
        access_groups,
        grants: hub::sync::grant_total(&app).await?,
        events,
        rejects,
        detections,
        messages_delivered,
        signals_delivered,
        people_at_risk,
        unmapped_identifiers,
        risk_levels: levels.into_iter().map(RiskCountBody::new).collect(),
    }))
}
