//! Cloudflare's own risk scores, which require the Enterprise plan.

use crate::Others;
use crate::account::AccountId;
use crate::client::{Answer, Client};
use crate::error::CloudflareError;
use crate::paging::number;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A line of the summary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RiskSummaryUser {
    /// The Access user's id.
    pub user_id: String,
    /// The address.
    #[serde(default)]
    pub email: String,
    /// `low`, `medium`, `high`.
    #[serde(default)]
    pub max_risk_level: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// An event that raised a level.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RiskEvent {
    /// Its id.
    pub id: String,
    /// The behaviour's name.
    #[serde(default)]
    pub name: String,
    /// `low`, `medium`, `high`.
    #[serde(default)]
    pub risk_level: String,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// One user's score.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRisk {
    /// `low`, `medium`, `high`; absent if nothing was triggered since the last reset.
    #[serde(default)]
    pub risk_level: Option<String>,
    /// The events that raised it.
    #[serde(default)]
    pub events: Vec<RiskEvent>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// A behaviour's setting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RiskBehavior {
    /// Whether it is enabled.
    #[serde(default)]
    pub enabled: bool,
    /// Its level.
    #[serde(default)]
    pub risk_level: String,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

impl Client {
    /// All users with a score.
    ///
    /// # Errors
    ///
    /// Refused without the entitlement.
    pub async fn risk_summary(&self, account: &AccountId) -> Result<Vec<RiskSummaryUser>, CloudflareError> {
        #[derive(Deserialize)]
        struct Summary {
            users: Vec<RiskSummaryUser>,
        }
        let path = account.path("/zt_risk_scoring/summary");
        let answer: Answer<Summary> = self.send(Method::GET, &path, &[], None).await?;
        let users = answer.result.map(|summary| summary.users);
        let users = users.ok_or_else(|| CloudflareError::Shape {
            call: format!("GET {path}"),
            place: "the field \"result\" is missing or null".to_owned(),
        })?;
        let total = answer.result_info.and_then(|info| number(&info, "total_count"));
        match total {
            Some(total) if (users.len() as u64) < total => Err(CloudflareError::Incomplete {
                call: format!("GET {path}"),
                listed: users.len() as u64,
                total,
            }),
            _ => Ok(users),
        }
    }

    /// One user's score.
    ///
    /// # Errors
    ///
    /// Refused without the entitlement.
    pub async fn user_risk(&self, account: &AccountId, user_id: &str) -> Result<UserRisk, CloudflareError> {
        self.get(&account.path(&format!("/zt_risk_scoring/{user_id}")), &[])
            .await
    }

    /// Resets a user's score.
    ///
    /// # Errors
    ///
    /// Refused without the entitlement.
    pub async fn user_risk_reset(&self, account: &AccountId, user_id: &str) -> Result<(), CloudflareError> {
        let path = account.path(&format!("/zt_risk_scoring/{user_id}/reset"));
        let _: Answer<Value> = self.send(Method::POST, &path, &[], None).await?;
        Ok(())
    }

    /// The behaviours, by key. The set of keys is not fixed.
    ///
    /// # Errors
    ///
    /// Refused without the entitlement.
    pub async fn risk_behaviors(
        &self,
        account: &AccountId,
    ) -> Result<BTreeMap<String, RiskBehavior>, CloudflareError> {
        #[derive(Deserialize)]
        struct Behaviors {
            #[serde(default)]
            behaviors: BTreeMap<String, RiskBehavior>,
        }
        let answer: Behaviors = self.get(&account.path("/zt_risk_scoring/behaviors"), &[]).await?;
        Ok(answer.behaviors)
    }
}
