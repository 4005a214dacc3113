//! Decides for each detection and campaign whether a message is written.
//!
//! Reads the journal's detections and the campaigns; writes `message` with the position, in one
//! transaction. One message at most for each campaign and detection. Start reading at [`run`].

use super::campaign::rules_of;
use crate::app::App;
use crate::consumer;
use crate::event::{self, Event};
use crate::fault;
use chrono::TimeDelta;
use minijinja::{Environment, context};
use model::{CampaignId, MessageId, MessageState, PersonId};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use store::{CampaignRow, DetectionRow, NewMessage, StoreError};

/// The consumer's name in the journal.
pub const CONSUMER: &str = "coaching";
/// What may be coached about: a detection was made, or its person became known.
pub(crate) const READS: &str = "detection.%";
/// How much work a template may make. Chosen: a thousand times what the built-in tips need.
const TEMPLATE_FUEL: u64 = 100_000;

/// Decides on every detection that is new. Answers how many messages are to be sent.
///
/// # Errors
///
/// When the store refuses; the next run goes on at the same place.
pub async fn run(app: &App) -> Result<usize, StoreError> {
    let mut to_send = 0;
    while let Some(part) = consumer::next(app, CONSUMER, READS).await? {
        let campaigns = app.store.campaign_list().await?;
        let mut messages = Vec::new();
        // What this run decided counts for the limit as what was decided before.
        let mut decided: HashMap<(CampaignId, PersonId), chrono::DateTime<chrono::Utc>> = HashMap::new();
        let ids = part.subjects();
        let detections = app.store.detection_get_many(&ids).await?;
        let mut meant: Vec<(&DetectionRow, &CampaignRow)> = Vec::new();
        for detection in ids.iter().filter_map(|id| detections.get(id)) {
            for campaign in &campaigns {
                if is_meant(campaign, detection)? {
                    meant.push((detection, campaign));
                }
            }
        }
        let events: Vec<String> = meant
            .iter()
            .map(|(detection, _)| detection.event_id.0.clone())
            .collect();
        let events: HashMap<String, Event> = event::evidence(app, &events)
            .await?
            .into_iter()
            .map(|event| (event.id.0.clone(), event))
            .collect();
        for (detection, campaign) in meant {
            let event = events.get(detection.event_id.as_str());
            let Some(message) = decide(app, campaign, detection, event, &mut decided).await? else {
                continue;
            };
            to_send += usize::from(message.state == MessageState::Pending);
            messages.push(message);
        }
        fault::point("coaching.decided");
        app.store.message_decide(CONSUMER, part.upto, &messages).await?;
        fault::point("coaching.kept");
    }
    Ok(to_send)
}

fn is_meant(campaign: &CampaignRow, detection: &DetectionRow) -> Result<bool, StoreError> {
    if !campaign.enabled || detection.detected_at < campaign.created_at {
        return Ok(false);
    }
    let rules = rules_of(campaign)?;
    Ok(rules
        .iter()
        .any(|name| name == "*" || *name == detection.rule_name))
}

async fn decide(
    app: &App,
    campaign: &CampaignRow,
    detection: &DetectionRow,
    event: Option<&Event>,
    decided: &mut HashMap<(CampaignId, PersonId), chrono::DateTime<chrono::Utc>>,
) -> Result<Option<NewMessage>, StoreError> {
    let (Some(person), Some(topic)) = (detection.person_id.clone().map(PersonId), detection.topic.clone())
    else {
        return Ok(None);
    };
    let rules = app.rules();
    let Some(tip) = rules.tips.get(&topic) else {
        return Ok(None);
    };
    let now = app.clock.now();
    let key = (campaign.id.clone(), person.clone());
    let last = match decided.get(&key) {
        Some(at) => Some(*at),
        None => app.store.message_last_at(&campaign.id, &person).await?,
    };
    let limit = TimeDelta::minutes(campaign.delivery_limit_minutes);
    let too_soon = last.is_some_and(|last| now - last < limit);
    let (state, reason) = if too_soon {
        let reason = format!(
            "the last message was sent less than {} minutes ago",
            campaign.delivery_limit_minutes
        );
        (MessageState::Suppressed, Some(reason))
    } else if campaign.test_mode {
        (
            MessageState::Test,
            Some("the campaign is in test mode".to_owned()),
        )
    } else {
        (MessageState::Pending, None)
    };
    if state != MessageState::Suppressed {
        decided.insert(key, now);
    }
    Ok(Some(NewMessage {
        id: message_id(campaign, detection),
        campaign_id: campaign.id.clone(),
        detection_id: detection.id.0.clone(),
        person_id: person,
        topic,
        title: tip.title.clone(),
        body: render(&tip.body, detection, event),
        state,
        reason,
        created_at: now,
    }))
}

fn message_id(campaign: &CampaignRow, detection: &DetectionRow) -> MessageId {
    let mut digest = Sha256::new();
    digest.update(campaign.id.0.as_bytes());
    digest.update([0]);
    digest.update(detection.id.0.as_bytes());
    MessageId(hex::encode(&digest.finalize()[..16]))
}

/// The tip with what was seen and when. A template that fails is sent as it stands rather than not at all.
fn render(template: &str, detection: &DetectionRow, event: Option<&Event>) -> String {
    let target = detection
        .detail
        .as_deref()
        .or_else(|| event.and_then(|event| event.target.as_deref()));
    let what = match target {
        // A host of a message must not become a link that someone clicks.
        Some(target) => format!("“{}” ({})", detection.title, defang(target)),
        None => format!("“{}”", detection.title),
    };
    let when = detection.at.format("%-d %B %Y at %H:%M UTC").to_string();
    let mut environment = Environment::new();
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment
        .render_str(template, context! { what, when })
        .unwrap_or_else(|error| {
            tracing::error!(
                topic = detection.topic,
                "cannot render the template of a tip: {error}"
            );
            template.to_owned()
        })
}

/// A name written so that no chat or mail program makes a link of it.
fn defang(target: &str) -> String {
    target.replace("://", "[:]//").replace('.', "[.]")
}

#[cfg(test)]
mod tests {
    use super::defang;

    #[test]
    fn a_dangerous_name_is_no_link() {
        assert_eq!(defang("http://bad.example/x"), "http[:]//bad[.]example/x");
    }
}
