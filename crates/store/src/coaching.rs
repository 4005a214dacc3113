//! Campaigns and the messages that they send.

use crate::engine::{Store, StoreError, bounded, in_transaction, on_engine, on_reader, storable};
use crate::journal::{JournalEntry, POSITION_SET, journal_write};
use chrono::{DateTime, Utc};
use model::{CampaignId, MessageId, MessageState, PersonId};

/// A campaign: who is coached for what, and how.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CampaignRow {
    /// Flareward's id.
    #[sqlx(try_from = "String")]
    pub id: CampaignId,
    /// Its unique name.
    pub name: String,
    /// A JSON array of rule names; `["*"]` for every rule that has a topic.
    pub rules: String,
    /// `webhook` or `email`.
    pub channel: String,
    /// The encrypted webhook URL, or for e-mail the encrypted sender address.
    pub destination_sealed: Vec<u8>,
    /// The part of it that may be shown.
    pub destination_hint: String,
    /// The minimum number of minutes between two messages to a person.
    pub delivery_limit_minutes: i64,
    /// Counts what would be sent, but sends nothing.
    pub test_mode: bool,
    /// Whether it is enabled.
    pub enabled: bool,
    /// When it was created: earlier detections are not coached.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A message that a campaign decided on.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of MessageRow")]
pub struct NewMessage {
    pub id: MessageId,
    pub campaign_id: CampaignId,
    pub detection_id: String,
    pub person_id: PersonId,
    pub topic: String,
    pub title: String,
    pub body: String,
    pub state: MessageState,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// One delivery to one person, or the reason why there was none.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MessageRow {
    /// Digest of campaign and detection.
    #[sqlx(try_from = "String")]
    pub id: MessageId,
    /// The campaign.
    #[sqlx(try_from = "String")]
    pub campaign_id: CampaignId,
    /// The detection.
    pub detection_id: String,
    /// The recipient.
    #[sqlx(try_from = "String")]
    pub person_id: PersonId,
    /// The topic.
    pub topic: String,
    /// The tip's title.
    pub title: String,
    /// The text, in Markdown.
    pub body: String,
    /// Its state.
    #[sqlx(try_from = "String")]
    pub state: MessageState,
    /// Why it was suppressed, or the result of the last attempt.
    pub reason: Option<String>,
    /// The number of attempts.
    pub attempts: i64,
    /// The earliest time of the next attempt.
    pub next_attempt_at: DateTime<Utc>,
    /// When the campaign decided on it.
    pub created_at: DateTime<Utc>,
    /// When the channel accepted it.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When a process started to send it; still set if that process was killed.
    pub sending_since: Option<DateTime<Utc>>,
}

/// All statements of this file for either engine.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    CAMPAIGN_UPSERT,
    CAMPAIGN_LIST,
    CAMPAIGN_GET,
    MESSAGE_INSERT,
    MESSAGE_LAST,
    MESSAGE_DUE,
    MESSAGE_CLAIM,
    MESSAGE_DELIVERED,
    MESSAGE_RETRY,
    MESSAGE_FAILED,
    MESSAGE_LIST,
    MESSAGE_WAITING,
];

const CAMPAIGN_UPSERT: &str = "
    INSERT INTO campaign (id, name, rules, channel, destination_sealed, destination_hint,
        delivery_limit_minutes, test_mode, enabled, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, rules = excluded.rules, channel = excluded.channel,
        destination_sealed = excluded.destination_sealed, destination_hint = excluded.destination_hint,
        delivery_limit_minutes = excluded.delivery_limit_minutes, test_mode = excluded.test_mode,
        enabled = excluded.enabled, updated_at = excluded.updated_at";
const CAMPAIGN_LIST: &str = "SELECT * FROM campaign ORDER BY name LIMIT 1000";
const CAMPAIGN_GET: &str = "SELECT * FROM campaign WHERE id = $1";
const MESSAGE_INSERT: &str = "
    INSERT INTO message (id, campaign_id, detection_id, person_id, topic, title, body, state, reason, attempts,
        next_attempt_at, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $10) ON CONFLICT DO NOTHING";
const MESSAGE_LAST: &str = "
    SELECT MAX(created_at) FROM message
    WHERE campaign_id = $1 AND person_id = $2 AND state IN ('pending', 'delivered', 'test')";
const MESSAGE_DUE: &str = "
    SELECT * FROM message WHERE state = 'pending' AND next_attempt_at <= $1
    ORDER BY next_attempt_at, id LIMIT $2";
const MESSAGE_CLAIM: &str = "
    UPDATE message SET next_attempt_at = $3, sending_since = $4
    WHERE id = $1 AND state = 'pending' AND next_attempt_at = $2
    RETURNING id";
const MESSAGE_DELIVERED: &str = "
    UPDATE message SET state = 'delivered', attempts = attempts + 1, reason = $3, delivered_at = $2, sending_since = NULL
    WHERE id = $1 AND state = 'pending' RETURNING id";
const MESSAGE_RETRY: &str = "
    UPDATE message SET attempts = attempts + 1, reason = $2, next_attempt_at = $3, sending_since = NULL
    WHERE id = $1 AND state = 'pending'";
const MESSAGE_FAILED: &str = "
    UPDATE message SET state = 'failed', attempts = attempts + 1, reason = $2, sending_since = NULL
    WHERE id = $1 AND state = 'pending' RETURNING id";
const MESSAGE_LIST: &str = "
    SELECT * FROM message
    WHERE (CAST($1 AS TEXT) IS NULL OR campaign_id = $1) AND (CAST($2 AS TEXT) IS NULL OR person_id = $2)
      AND (CAST($3 AS TEXT) IS NULL OR state = $3)
    ORDER BY created_at DESC, id DESC LIMIT $4";
const MESSAGE_WAITING: &str = "SELECT COUNT(*) FROM message WHERE state = 'pending'";

impl Store {
    /// Creates or changes a campaign.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if another campaign has the name.
    pub async fn campaign_put(&self, campaign: &CampaignRow) -> Result<(), StoreError> {
        let done = on_engine!(self, pool => {
            sqlx::query(CAMPAIGN_UPSERT)
                .bind(&campaign.id.0).bind(&campaign.name).bind(&campaign.rules).bind(&campaign.channel)
                .bind(&campaign.destination_sealed).bind(&campaign.destination_hint)
                .bind(campaign.delivery_limit_minutes).bind(campaign.test_mode).bind(campaign.enabled)
                .bind(campaign.created_at).bind(campaign.updated_at).execute(pool).await.map(|_| ())
        });
        done.map_err(|error| match error {
            error if StoreError::is_unique_violation(&error) => {
                StoreError::Exists(format!("a campaign with the name \"{}\"", campaign.name))
            }
            error => error.into(),
        })
    }

    /// All campaigns, by name.
    pub async fn campaign_list(&self) -> Result<Vec<CampaignRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(CAMPAIGN_LIST).fetch_all(pool).await?))
    }

    /// One campaign.
    pub async fn campaign_get(&self, id: &CampaignId) -> Result<Option<CampaignRow>, StoreError> {
        Ok(on_reader!(self, pool => sqlx::query_as(CAMPAIGN_GET).bind(&id.0).fetch_optional(pool).await?))
    }

    /// Stores the decisions of the campaigns for the journal up to `position`, together with that position.
    pub async fn message_decide(
        &self,
        consumer: &str,
        position: i64,
        messages: &[NewMessage],
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            for message in messages {
                sqlx::query(MESSAGE_INSERT)
                    .bind(&message.id.0).bind(&message.campaign_id.0).bind(&message.detection_id)
                    .bind(&message.person_id.0).bind(&message.topic).bind(&message.title)
                    .bind(storable(&message.body).into_owned()).bind(message.state.as_str())
                    .bind(&message.reason).bind(message.created_at).execute(&mut *tx).await?;
            }
            sqlx::query(POSITION_SET).bind(consumer).bind(position).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// When a campaign last decided to write to a person.
    pub async fn message_last_at(
        &self,
        campaign: &CampaignId,
        person: &PersonId,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_scalar(MESSAGE_LAST).bind(&campaign.0).bind(&person.0).fetch_one(pool).await?
        }))
    }

    /// Messages that are due at `now`.
    pub async fn message_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<MessageRow>, StoreError> {
        Ok(on_engine!(self, pool => {
            sqlx::query_as(MESSAGE_DUE).bind(now).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// Reserves a due message until `until`; `false` if another process has reserved it.
    pub async fn message_claim(
        &self,
        message: &MessageRow,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let claimed: Option<String> = on_engine!(self, pool => {
            sqlx::query_scalar(MESSAGE_CLAIM).bind(&message.id.0).bind(message.next_attempt_at).bind(until).bind(now)
                .fetch_optional(pool).await?
        });
        Ok(claimed.is_some())
    }

    /// Marks a message as accepted by the channel. `reason` is a further remark.
    pub async fn message_delivered(
        &self,
        message: &MessageRow,
        reason: Option<&str>,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let ended: Option<String> = sqlx::query_scalar(MESSAGE_DELIVERED)
                .bind(&message.id.0).bind(now).bind(reason).fetch_optional(&mut *tx).await?;
            if ended.is_some() {
                let entry = outcome_entry(message, now, model::JournalKind::MessageDelivered, summary);
                journal_write!(tx, &entry);
            }
        });
        Ok(())
    }

    /// Schedules the next attempt at `next`.
    pub async fn message_retry(
        &self,
        id: &MessageId,
        reason: &str,
        next: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query(MESSAGE_RETRY).bind(&id.0).bind(storable(reason).into_owned()).bind(next)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Marks a message as failed permanently.
    pub async fn message_failed(
        &self,
        message: &MessageRow,
        reason: &str,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, tx => {
            let ended: Option<String> = sqlx::query_scalar(MESSAGE_FAILED)
                .bind(&message.id.0).bind(storable(reason).into_owned()).fetch_optional(&mut *tx).await?;
            if ended.is_some() {
                let entry = outcome_entry(message, now, model::JournalKind::MessageFailed, summary);
                journal_write!(tx, &entry);
            }
        });
        Ok(())
    }

    /// Messages, newest first.
    pub async fn message_list(
        &self,
        campaign: Option<&CampaignId>,
        person: Option<&PersonId>,
        state: Option<MessageState>,
        limit: i64,
    ) -> Result<Vec<MessageRow>, StoreError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_as(MESSAGE_LIST)
                .bind(campaign.map(CampaignId::as_str)).bind(person.map(PersonId::as_str))
                .bind(state.map(MessageState::as_str)).bind(bounded(limit)).fetch_all(pool).await?
        }))
    }

    /// The number of messages that wait for delivery.
    pub async fn message_waiting(&self) -> Result<i64, StoreError> {
        Ok(on_engine!(self, pool => sqlx::query_scalar(MESSAGE_WAITING).fetch_one(pool).await?))
    }
}

fn outcome_entry(
    message: &MessageRow,
    now: DateTime<Utc>,
    kind: model::JournalKind,
    summary: &str,
) -> JournalEntry {
    JournalEntry {
        at: now,
        kind,
        person_id: Some(message.person_id.clone()),
        connection_id: None,
        subject_id: Some(message.id.0.clone()),
        summary: summary.to_owned(),
        data: serde_json::json!({
            "campaign_id": message.campaign_id, "detection_id": message.detection_id, "topic": message.topic,
        }),
    }
}
