//! What left the house: signals to receivers, messages to people.

use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Query, State};
use hub::App;
use model::{MessageState, PersonId, SignalState};
use serde::Deserialize;
use std::collections::HashMap;
use store::{CampaignRow, IntegrationRow, MessageRow, SignalRow, StoreError};

/// Signals and messages shown.
const LATEST_ROWS: i64 = 100;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    integrations: Vec<IntegrationRow>,
    campaigns: Vec<CampaignRow>,
    signals: Vec<Signal>,
    messages: Vec<Message>,
    signals_in: String,
    messages_in: String,
    /// Base URL of the API, for the commands on the page.
    base: String,
    signal_states: &'static [SignalState],
    message_states: &'static [MessageState],
}

struct Signal {
    row: SignalRow,
    receiver: String,
}

struct Message {
    row: MessageRow,
    campaign: String,
    email: String,
}

/// Filters of the lists, by state.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    signals: String,
    messages: String,
}

/// The newest signals and messages.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let signal_state: Option<SignalState> = page::word(&asked.signals)?;
    let message_state: Option<MessageState> = page::word(&asked.messages)?;
    let integrations = app.store.integration_list(None).await?;
    let campaigns = app.store.campaign_list().await?;
    let mut signals = Vec::new();
    for row in app
        .store
        .signal_list(None, None, signal_state, LATEST_ROWS)
        .await?
    {
        let receiver = integrations
            .iter()
            .find(|integration| integration.id == row.integration_id);
        signals.push(Signal {
            receiver: receiver.map_or_else(|| "removed".to_owned(), |found| found.tenant_url.clone()),
            row,
        });
    }
    let rows = app
        .store
        .message_list(None, None, message_state, LATEST_ROWS)
        .await?;
    let emails = emails(&app, &rows).await?;
    let messages = rows
        .into_iter()
        .map(|row| Message {
            campaign: campaigns
                .iter()
                .find(|campaign| campaign.id == row.campaign_id)
                .map(|campaign| campaign.name.clone())
                .unwrap_or_default(),
            email: emails.get(&row.person_id).cloned().unwrap_or_default(),
            row,
        })
        .collect();
    page::rendered(&DeliveriesPage {
        frame: visitor.frame("Signals and messages", Section::Deliveries),
        integrations,
        campaigns,
        signals,
        messages,
        signals_in: asked.signals,
        messages_in: asked.messages,
        base: app.public_url(),
        signal_states: SignalState::ALL,
        message_states: MessageState::ALL,
    })
}

async fn emails(app: &App, messages: &[MessageRow]) -> Result<HashMap<PersonId, String>, StoreError> {
    let mut emails = HashMap::new();
    for message in messages {
        if !emails.contains_key(&message.person_id)
            && let Some(person) = app.store.person_get(&message.person_id).await?
        {
            emails.insert(person.id, person.email);
        }
    }
    Ok(emails)
}
