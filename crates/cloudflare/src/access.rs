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
    /// A UUID: what sessions, identities and risk scores are asked by.
    pub id: String,
    /// Another id, which logs carry.
    #[serde(default)]
    pub uid: Option<String>,
    /// What seats are changed by; may be empty.
    #[serde(default)]
    pub seat_uid: Option<String>,
    /// The address.
    #[serde(default, deserialize_with = "null_is_default")]
    pub email: String,
    /// A name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether the user takes an Access seat.
    #[serde(default)]
    pub access_seat: Option<bool>,
    /// Whether the user takes a Gateway seat.
    #[serde(default)]
    pub gateway_seat: Option<bool>,
    /// Devices in use.
    #[serde(default)]
    pub active_device_count: Option<f64>,
    /// When the user last signed in; `None` also when Cloudflare writes it in a way that is no time.
    #[serde(default, deserialize_with = "time_or_nothing")]
    pub last_successful_login: Option<DateTime<Utc>>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Others,
}

/// An Access group. Rules keep every key: there are 26 kinds of selector and new ones twice a year.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessGroup {
    /// A UUID.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Any of these lets in.
    #[serde(default, deserialize_with = "null_is_default")]
    pub include: Vec<Value>,
    /// All of these must hold.
    #[serde(default, deserialize_with = "null_is_default")]
    pub require: Vec<Value>,
    /// None of these may hold.
    #[serde(default, deserialize_with = "null_is_default")]
    pub exclude: Vec<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Others,
}

/// An identity provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityProvider {
    /// A UUID; an Okta provider's is the reference of a risk score integration.
    #[serde(default)]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `okta`, `azureAD`, `onetimepin`, …
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Everything else.
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
    /// Everything else.
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
    /// Everything else.
    #[serde(flatten)]
    pub other: Others,
}

/// The Zero Trust organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Organization {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Where its people sign in.
    #[serde(default)]
    pub auth_domain: Option<String>,
    /// Everything else.
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
    /// Access users, page by page, from a page on.
    pub fn access_users(&self, account: &AccountId, from_page: u64) -> paging::Pages<AccessUser> {
        self.pages_from(
            account.path("/access/users"),
            Vec::new(),
            paging::ACCESS,
            from_page,
        )
    }

    /// Access users whose address Cloudflare's filter finds for `email`. The filter is not exact: compare.
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

    /// Access groups, page by page, from a page on.
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

    /// A read of one thing on one page, for asking whether a feature works: the answer's content is dropped.
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
