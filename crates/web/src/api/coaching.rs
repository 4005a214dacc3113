//! Campaigns and the messages they sent.

use super::people;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query};
use crate::paging::{self, Page};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hub::App;
use hub::coaching::campaign::{self, CampaignError, CampaignRequest};
use model::{CampaignId, MessageState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{CampaignRow, MessageRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A coaching campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignBody {
    /// Flareward's ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Names of rules; `*` for every rule with a topic.
    pub rules: Value,
    /// `webhook` or `email`.
    pub channel: String,
    /// Description of the destination. The URL itself is secret.
    pub destination_hint: String,
    /// Minimum number of minutes between two messages to the same person.
    pub delivery_limit_minutes: i64,
    /// Test mode: count messages without sending them.
    pub test_mode: bool,
    /// Whether the campaign is enabled.
    pub enabled: bool,
    /// When the campaign was created. Earlier detections send no messages.
    pub created_at: DateTime<Utc>,
    /// When the campaign was last changed.
    pub updated_at: DateTime<Utc>,
}

impl CampaignBody {
    pub(crate) fn new(row: CampaignRow) -> Result<Self, StoreError> {
        Ok(Self {
            rules: store::stored("campaign", &row.id, "rules", &row.rules)?,
            id: row.id.0,
            name: row.name,
            channel: row.channel,
            destination_hint: row.destination_hint,
            delivery_limit_minutes: row.delivery_limit_minutes,
            test_mode: row.test_mode,
            enabled: row.enabled,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The desired campaign.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignPutBody {
    /// Name; must be unique.
    name: String,
    /// Names of rules; `*` for every rule with a topic.
    #[schema(example = json!(["*"]))]
    rules: Vec<String>,
    /// `webhook` or `email`.
    channel: String,
    /// Webhook URL. If omitted, an existing webhook keeps its URL.
    webhook_url: Option<String>,
    /// Minimum number of minutes between two messages to the same person; 0 means no limit.
    #[serde(default)]
    delivery_limit_minutes: i64,
    /// Test mode: count messages without sending them.
    #[serde(default)]
    test_mode: bool,
    /// Whether the campaign is enabled.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl CampaignPutBody {
    fn request(self) -> CampaignRequest {
        CampaignRequest {
            name: self.name,
            rules: self.rules,
            channel: self.channel,
            webhook_url: self.webhook_url.map(Into::into),
            delivery_limit_minutes: self.delivery_limit_minutes,
            test_mode: self.test_mode,
            enabled: self.enabled,
        }
    }
}

/// A message to one person, or the reason why it was not sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageBody {
    /// Flareward's ID.
    pub id: String,
    /// ID of the campaign.
    pub campaign_id: String,
    /// ID of the detection.
    pub detection_id: String,
    /// ID of the person.
    pub person_id: String,
    /// Topic.
    pub topic: String,
    /// Heading.
    pub title: String,
    /// Text in Markdown.
    pub body: String,
    /// `pending`, `delivered`, `suppressed`, `test` or `failed`.
    pub state: &'static str,
    /// Why the message was held back, or the result of the last attempt.
    pub reason: Option<String>,
    /// Number of delivery attempts.
    pub attempts: i64,
    /// Earliest time of the next attempt.
    pub next_attempt_at: DateTime<Utc>,
    /// When the message was created.
    pub created_at: DateTime<Utc>,
    /// When the channel accepted the message.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl MessageBody {
    pub(crate) fn new(row: MessageRow) -> Self {
        Self {
            id: row.id.0,
            campaign_id: row.campaign_id.0,
            detection_id: row.detection_id,
            person_id: row.person_id.0,
            topic: row.topic,
            title: row.title,
            body: row.body,
            state: row.state.as_str(),
            reason: row.reason,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            created_at: row.created_at,
            delivered_at: row.delivered_at,
        }
    }
}

/// Filters for messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessagesQuery {
    /// Only for the campaign with this ID.
    campaign: Option<String>,
    /// Only to the person with this email address or ID.
    person: Option<String>,
    /// Only in this state: `pending`, `delivered`, `suppressed`, `test` or `failed`.
    #[param(value_type = Option<String>)]
    state: Option<MessageState>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
}

/// Lists all campaigns by name.
#[utoipa::path(get, path = "/campaigns", tag = "coaching", operation_id = "campaign_list",
    responses((status = 200, description = "The campaigns", body = Page<CampaignBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<CampaignBody>>, ApiError> {
    let rows = app.store.campaign_list().await?;
    Ok(Json(Page::read_whole(rows, CampaignBody::new)?))
}

/// Creates a campaign.
#[utoipa::path(post, path = "/campaigns", tag = "coaching", operation_id = "campaign_create",
    request_body = CampaignPutBody,
    responses((status = 201, description = "Created", body = CampaignBody), Problems))]
pub async fn create(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<CampaignPutBody>,
) -> Result<Response, ApiError> {
    let row = campaign::put(&app, None, &body.request(), &caller.actor)
        .await
        .map_err(refusal)?;
    let at = format!("{}/campaigns/{}", super::BASE, row.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, at)],
        Json(CampaignBody::new(row)?),
    )
        .into_response())
}

/// Returns one campaign.
#[utoipa::path(get, path = "/campaigns/{campaign}", tag = "coaching", operation_id = "campaign_get",
    params(("campaign" = String, Path, description = "ID")),
    responses((status = 200, description = "The campaign", body = CampaignBody), Problems))]
pub async fn get_one(State(app): State<App>, Path(id): Path<String>) -> Result<Json<CampaignBody>, ApiError> {
    let row = app.store.campaign_get(&CampaignId(id)).await?;
    let row = row.ok_or(ApiError::NotFound("campaign"))?;
    Ok(Json(CampaignBody::new(row)?))
}

/// Replaces a campaign. Omitted fields are reset to their defaults.
#[utoipa::path(put, path = "/campaigns/{campaign}", tag = "coaching", operation_id = "campaign_update",
    params(("campaign" = String, Path, description = "ID")),
    request_body = CampaignPutBody,
    responses((status = 200, description = "Changed", body = CampaignBody), Problems))]
pub async fn update(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<CampaignPutBody>,
) -> Result<Json<CampaignBody>, ApiError> {
    let id = CampaignId(id);
    if app.store.campaign_get(&id).await?.is_none() {
        return Err(ApiError::NotFound("campaign"));
    }
    let row = campaign::put(&app, Some(id), &body.request(), &caller.actor)
        .await
        .map_err(refusal)?;
    Ok(Json(CampaignBody::new(row)?))
}

/// Lists the newest messages.
#[utoipa::path(get, path = "/messages", tag = "coaching", operation_id = "message_list",
    params(MessagesQuery),
    responses((status = 200, description = "A list, newest first", body = Page<MessageBody>), Problems))]
pub async fn messages(
    State(app): State<App>,
    Query(query): Query<MessagesQuery>,
) -> Result<Json<Page<MessageBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let campaign = query.campaign.map(CampaignId);
    let person = people::id_in_query(&app, query.person.as_deref()).await?;
    let rows = app
        .store
        .message_list(campaign.as_ref(), person.as_ref(), query.state, limit)
        .await?;
    Ok(Json(Page::whole(rows, MessageBody::new)))
}

fn refusal(error: CampaignError) -> ApiError {
    let words = hub::causes(&error);
    match error {
        CampaignError::Field { field, problem } => ApiError::invalid(&format!("/{field}"), problem),
        CampaignError::Webhook(_) => ApiError::invalid("/webhook_url", words),
        CampaignError::Store(error) => error.into(),
        error @ CampaignError::Secret(_) => ApiError::internal(&error),
    }
}
