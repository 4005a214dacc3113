//! Campaigns: which rules, which channel, how often, or only for a test.

use crate::app::App;
use crate::audit;
use crate::egress::EgressError;
use crate::permission::Actor;
use crate::secret::SecretError;
use model::CampaignId;
use secrecy::SecretString;
use serde_json::json;
use store::{CampaignRow, StoreError};

/// What someone asks for.
#[derive(Debug, Clone)]
pub struct CampaignRequest {
    /// What people call it.
    pub name: String,
    /// Names of rules; `*` for every rule that has a topic.
    pub rules: Vec<String>,
    /// `webhook` or `email`.
    pub channel: String,
    /// The webhook's address; not needed for e-mail.
    pub webhook_url: Option<SecretString>,
    /// At most one message to a person in this many minutes.
    pub delivery_limit_minutes: i64,
    /// Count, send nothing.
    pub test_mode: bool,
    /// Whether it runs.
    pub enabled: bool,
}

/// Why a campaign cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// A field is not what it should be.
    #[error("{field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What to do.
        problem: String,
    },
    /// The address may not be called.
    #[error("webhook_url: {0}")]
    Webhook(#[from] EgressError),
    /// The address could not be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a campaign, or changes the one with this id; without a new address a webhook keeps the one it has.
///
/// # Errors
///
/// See [`CampaignError`].
pub async fn put(
    app: &App,
    id: Option<CampaignId>,
    request: &CampaignRequest,
    actor: &Actor,
) -> Result<CampaignRow, CampaignError> {
    let field = |field, problem: &str| {
        Err(CampaignError::Field {
            field,
            problem: problem.to_owned(),
        })
    };
    if request.name.trim().is_empty() || request.name.chars().count() > 200 {
        return field("name", "the name must have 1 to 200 characters");
    }
    if request.rules.is_empty() || request.rules.len() > 1_000 {
        return field(
            "rules",
            "specify 1 to 1,000 rules, or \"*\" for every rule with a topic",
        );
    }
    for name in &request.rules {
        if name != "*" && app.rules().rule(name).is_none() {
            return field("rules", &format!("no rule named \"{name}\""));
        }
    }
    if !(0..=527_040).contains(&request.delivery_limit_minutes) {
        return field(
            "delivery_limit_minutes",
            "must be between 0 (no limit) and 527040 (one year)",
        );
    }
    let now = app.clock.now();
    let known = match &id {
        Some(id) => app.store.campaign_get(id).await?,
        None => None,
    };
    let id = id.unwrap_or_else(|| CampaignId(app.ids.new_id(now)));
    let (destination_sealed, destination_hint) =
        match (request.channel.as_str(), &request.webhook_url, &known) {
            ("email", ..) if app.settings.smtp.host.is_empty() => {
                return field(
                    "channel",
                    "email requires a mail server: set smtp.host and smtp.from",
                );
            }
            ("email", ..) => (
                app.sealer.seal(&place(&id), b"")?,
                format!("email through {}", app.settings.smtp.host),
            ),
            ("webhook", Some(address), _) => {
                let address = secrecy::ExposeSecret::expose_secret(address);
                let url = app.egress.check(address)?;
                let hint = format!("{}://{}/…", url.scheme(), url.host_str().unwrap_or_default());
                (app.sealer.seal(&place(&id), url.as_str().as_bytes())?, hint)
            }
            ("webhook", None, Some(known)) if known.channel == "webhook" => {
                (known.destination_sealed.clone(), known.destination_hint.clone())
            }
            ("webhook", None, _) => return field("webhook_url", "a webhook requires webhook_url"),
            _ => return field("channel", "must be \"webhook\" or \"email\""),
        };
    let row = CampaignRow {
        id,
        name: request.name.trim().to_owned(),
        rules: serde_json::to_string(&request.rules).unwrap_or_default(),
        channel: request.channel.clone(),
        destination_sealed,
        destination_hint,
        delivery_limit_minutes: request.delivery_limit_minutes,
        test_mode: request.test_mode,
        enabled: request.enabled,
        created_at: known.map_or(now, |known| known.created_at),
        updated_at: now,
    };
    let detail = json!({ "rules": request.rules, "channel": row.channel, "destination": row.destination_hint,
        "test_mode": row.test_mode, "enabled": row.enabled });
    audit::record(
        app,
        actor,
        model::AuditAction::CampaignPut,
        &row.name,
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store.campaign_put(&row).await?;
    Ok(row)
}

/// The rules of a campaign.
///
/// # Errors
///
/// When they are damaged.
pub fn rules_of(campaign: &CampaignRow) -> Result<Vec<String>, StoreError> {
    store::stored("campaign", &campaign.id, "rules", &campaign.rules)
}

/// Where a campaign's address is sealed for.
pub(crate) fn place(id: &CampaignId) -> String {
    format!("campaign/{id}/destination")
}
