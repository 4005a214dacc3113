//! Zero Trust: Access users, groups, identity providers, applications, policies, the organisation, intel.

use crate::account::{AccountId, null_is_default};
use crate::client::{Answer, Client};
use crate::error::CloudflareError;
use crate::{Others, paging};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use reqwest::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A Zero Trust user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessUser {
    /// A UUID: the id for requests about sessions, identities and risk scores.
    pub id: String,
    /// Another id, used in logs.
    #[serde(default)]
    pub uid: Option<String>,
    /// The id for changes of seats; may be empty.
    #[serde(default)]
    pub seat_uid: Option<String>,
    /// The address.
    #[serde(default, deserialize_with = "null_is_default")]
    pub email: String,
    /// A name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether the user has an Access seat.
    #[serde(default)]
    pub access_seat: Option<bool>,
    /// Whether the user has a Gateway seat.
    #[serde(default)]
    pub gateway_seat: Option<bool>,
    /// The number of active devices.
    #[serde(default)]
    pub active_device_count: Option<f64>,
    /// When the user last signed in; also `None` if Cloudflare's value is not a time.
    #[serde(default, deserialize_with = "time_or_nothing")]
    pub last_successful_login: Option<DateTime<Utc>>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// An Access group. Rules keep every key: there are 26 kinds of selector, and Cloudflare adds new ones about twice a
/// year.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessGroup {
    /// A UUID.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Any of these gives access.
    #[serde(default, deserialize_with = "null_is_default")]
    pub include: Vec<Value>,
    /// All of these must match.
    #[serde(default, deserialize_with = "null_is_default")]
    pub require: Vec<Value>,
    /// None of these may match.
    #[serde(default, deserialize_with = "null_is_default")]
    pub exclude: Vec<Value>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// An identity provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityProvider {
    /// A UUID; a risk score integration refers to an Okta provider by it.
    #[serde(default)]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `okta`, `azureAD`, `onetimepin`, …
    #[serde(default, rename = "type")]
    pub kind: String,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// An application behind Access.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct App {
    /// A UUID.
    #[serde(default)]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// A reusable Access policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Policy {
    /// A UUID.
    #[serde(default)]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// `allow`, `deny`, `non_identity` or `bypass`.
    #[serde(default)]
    pub decision: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// The Zero Trust organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Organization {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// The domain where its people sign in.
    #[serde(default)]
    pub auth_domain: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

fn time_or_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text
        .and_then(|text| DateTime::parse_from_rfc3339(&text).ok())
        .map(|time| time.to_utc()))
}

impl Client {
    /// Access users, page by page, starting at a page.
    pub fn access_users(&self, account: &AccountId, from_page: u64) -> paging::Pages<AccessUser> {
        self.pages_from(
            account.path("/access/users"),
            Vec::new(),
            paging::ACCESS,
            from_page,
        )
    }

    /// Access users that Cloudflare's filter finds for `email`. The filter is not exact: compare the results.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn access_users_by_email(
        &self,
        account: &AccountId,
        email: &str,
    ) -> Result<Vec<AccessUser>, CloudflareError> {
        let query = vec![("email".to_owned(), email.to_owned())];
        self.list(account.path("/access/users"), query, paging::ACCESS)
            .try_collect()
            .await
    }

    /// Access groups, page by page, starting at a page.
    pub fn access_groups(&self, account: &AccountId, from_page: u64) -> paging::Pages<AccessGroup> {
        self.pages_from(
            account.path("/access/groups"),
            Vec::new(),
            paging::ACCESS,
            from_page,
        )
    }

    /// Identity providers.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn identity_providers(
        &self,
        account: &AccountId,
    ) -> Result<Vec<IdentityProvider>, CloudflareError> {
        let style = paging::Style::Counted { per_page: 200 };
        self.list(account.path("/access/identity_providers"), Vec::new(), style)
            .try_collect()
            .await
    }

    /// Applications.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn apps(&self, account: &AccountId) -> Result<Vec<App>, CloudflareError> {
        self.list(account.path("/access/apps"), Vec::new(), paging::ACCESS)
            .try_collect()
            .await
    }

    /// Reusable policies.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn policies(&self, account: &AccountId) -> Result<Vec<Policy>, CloudflareError> {
        let style = paging::Style::Counted { per_page: 100 };
        self.list(account.path("/access/policies"), Vec::new(), style)
            .try_collect()
            .await
    }

    /// The Zero Trust organisation.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn organization(&self, account: &AccountId) -> Result<Organization, CloudflareError> {
        self.get(&account.path("/access/organizations"), &[]).await
    }

    /// Reads one item on one page, to test whether a feature works. The content is discarded.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn probe(
        &self,
        account: &AccountId,
        rest: &str,
        query: &[(&str, &str)],
    ) -> Result<(), CloudflareError> {
        let _: Answer<Value> = self.send(Method::GET, &account.path(rest), query, None).await?;
        Ok(())
    }
}
