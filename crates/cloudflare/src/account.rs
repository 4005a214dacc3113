//! Accounts, members, roles, and the check whether a credential is valid.

use crate::client::Client;
use crate::error::CloudflareError;
use crate::{Others, paging};
use futures::TryStreamExt;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The Super Administrator role, which the list of roles omits.
///
/// Source: Cloudflare's SCIM troubleshooting page and two independent connectors contain this id.
pub const SUPER_ADMINISTRATOR_ROLE_ID: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// An account's id, 32 hex digits. Paths are built from this type, so that they cannot contain anything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct AccountId(String);

impl AccountId {
    /// Parses an id; `None` if it is not 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path under this account.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/accounts/{}{rest}", self.0)
    }
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// 32 hex digits.
    pub id: String,
    /// The organisation's name.
    pub name: String,
    /// All other fields, such as `settings.enforce_twofactor`.
    #[serde(flatten)]
    pub other: Others,
}

/// The result of verifying a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenStatus {
    /// The token's id, not its value.
    pub id: String,
    /// `active`, `disabled` or `expired`.
    pub status: String,
    /// All other fields, such as `expires_on`.
    #[serde(flatten)]
    pub other: Others,
}

/// A Cloudflare user, as part of a member.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct User {
    /// Absent if the person was invited but never signed up.
    #[serde(default)]
    pub id: Option<String>,
    /// The address.
    #[serde(default)]
    pub email: Option<String>,
    /// Given name.
    #[serde(default)]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(default)]
    pub last_name: Option<String>,
    /// Whether the second factor of the Cloudflare login is enabled. Absent means unknown, not disabled.
    #[serde(default)]
    pub two_factor_authentication_enabled: Option<bool>,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// A role that a member has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleReference {
    /// The role's id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// All other fields.
    #[serde(flatten)]
    pub other: Others,
}

/// Someone who can log in to an account's dashboard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// The membership's id, not the user's.
    pub id: String,
    /// Present in some responses; see [`Member::address`].
    #[serde(default)]
    pub email: Option<String>,
    /// `accepted`, `pending`, or an unknown new status.
    #[serde(default)]
    pub status: String,
    /// The user.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: User,
    /// The roles, unless the member has policies instead.
    #[serde(default, deserialize_with = "null_is_default")]
    pub roles: Vec<RoleReference>,
    /// All other fields, such as `policies`.
    #[serde(flatten)]
    pub other: Others,
}

impl Member {
    /// The address, from whichever field the response has.
    pub fn address(&self) -> Option<&str> {
        self.user.email.as_deref().or(self.email.as_deref())
    }
}

/// A role of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    /// 32 hex digits.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// What it allows, as text.
    #[serde(default)]
    pub description: Option<String>,
    /// All other fields, such as `permissions`.
    #[serde(flatten)]
    pub other: Others,
}

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Client {
    /// Verifies a user's token. Says nothing about its permissions.
    ///
    /// # Errors
    ///
    /// Refused if the token is invalid or belongs to an account.
    pub async fn user_token_verify(&self) -> Result<TokenStatus, CloudflareError> {
        self.get("/user/tokens/verify", &[]).await
    }

    /// Verifies an account's token.
    ///
    /// # Errors
    ///
    /// Refused if the token is invalid or belongs to a user.
    pub async fn account_token_verify(&self, account: &AccountId) -> Result<TokenStatus, CloudflareError> {
        self.get(&account.path("/tokens/verify"), &[]).await
    }

    /// The user of this credential. For a global key, this call verifies the key.
    ///
    /// # Errors
    ///
    /// Refused for account tokens.
    pub async fn user(&self) -> Result<Value, CloudflareError> {
        self.get("/user", &[]).await
    }

    /// One account.
    ///
    /// # Errors
    ///
    /// Refused if the credential has no access to it.
    pub async fn account(&self, id: &AccountId) -> Result<Account, CloudflareError> {
        self.get(&id.path(""), &[]).await
    }

    /// Accounts whose name equals or contains `name`. Cloudflare filters; the caller must compare.
    ///
    /// # Errors
    ///
    /// Refused for tokens that belong to an account: these need the account's id.
    pub async fn accounts_named(&self, name: &str) -> Result<Vec<Account>, CloudflareError> {
        let query = vec![("name".to_owned(), name.to_owned())];
        self.list("/accounts".to_owned(), query, paging::IAM)
            .try_collect()
            .await
    }

    /// Every account that the credential can access.
    ///
    /// # Errors
    ///
    /// Refused for tokens that belong to an account.
    pub async fn accounts(&self) -> Result<Vec<Account>, CloudflareError> {
        self.list("/accounts".to_owned(), Vec::new(), paging::IAM)
            .try_collect()
            .await
    }

    /// Accepted and pending members with their total, starting at a page.
    pub fn members(&self, account: &AccountId, from_page: u64) -> paging::Pages<Member> {
        self.pages_from(account.path("/members"), Vec::new(), paging::IAM, from_page)
    }

    /// Roles, without the Super Administrator: see [`SUPER_ADMINISTRATOR_ROLE_ID`].
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn roles(&self, account: &AccountId) -> Result<Vec<Role>, CloudflareError> {
        self.list(account.path("/roles"), Vec::new(), paging::IAM)
            .try_collect()
            .await
    }

    /// One role, including the one that the list omits.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn role(&self, account: &AccountId, id: &str) -> Result<Role, CloudflareError> {
        self.get(&account.path(&format!("/roles/{id}")), &[]).await
    }

    /// One page of five members, to test whether they can be read.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn members_probe(&self, account: &AccountId) -> Result<Vec<Member>, CloudflareError> {
        self.get(&account.path("/members"), &[("per_page", "5")]).await
    }

    /// One page of five roles, to test whether they can be read.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn roles_probe(&self, account: &AccountId) -> Result<Vec<Role>, CloudflareError> {
        self.get(&account.path("/roles"), &[("per_page", "5")]).await
    }
}
