//! How many there are of everything.

use crate::error::{ApiError, Problems};
use crate::extract::Json;
use axum::extract::State;
use hub::App;
use serde::Serialize;
use store::{Overview, RiskCount};
use utoipa::ToSchema;

/// Counts on the console's overview page.
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
    /// Grants at the last count of each connection, including conditional grants.
    pub grants: i64,
    /// Events.
    pub events: i64,
    /// Rejected lines.
    pub rejects: i64,
    /// Detections.
    pub detections: i64,
    /// Delivered coaching messages.
    pub messages_delivered: i64,
    /// Delivered signals.
    pub signals_delivered: i64,
    /// People with a risk level other than `unscored`.
    pub people_at_risk: i64,
    /// Unmapped identifiers in events.
    pub unmapped_identifiers: i64,
    /// Number of people at each risk level.
    pub risk_levels: Vec<RiskCountBody>,
}

/// Number of people at a risk level.
#[derive(Debug, Serialize, ToSchema)]
pub struct RiskCountBody {
    /// `unscored`, `low`, `medium` or `high`.
    pub risk_level: &'static str,
    /// Number of people.
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

/// Returns the counts of the overview page.
#[utoipa::path(get, path = "/overview", tag = "overview", 
    responses((status = 200, description = "The counts", body = OverviewBody), Problems))]
pub async fn overview(State(app): State<App>) -> Result<Json<OverviewBody>, ApiError> {
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
