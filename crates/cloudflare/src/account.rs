//! Accounts, members, roles, and the check whether a credential is valid.

use crate::client::Client;
use crate::error::CloudflareError;
use crate::{Others, paging};
use futures::TryStreamExt;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The Super Administrator role, which the list of roles leaves out.
///
/// Source: Cloudflare's SCIM troubleshooting page and two independent connectors name this id.
pub const SUPER_ADMINISTRATOR_ROLE_ID: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// An account's id, 32 hex digits. Paths are built with it, so that nothing else can be put there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct AccountId(String);

impl AccountId {
    /// Reads an id; `None` when it is not 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path below this account.
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
    /// Everything else, such as `settings.enforce_twofactor`.
    #[serde(flatten)]
    pub other: Others,
}

/// What a token's verification says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenStatus {
    /// The token's id, which is not its value.
    pub id: String,
    /// `active`, `disabled` or `expired`.
    pub status: String,
    /// Everything else, such as `expires_on`.
    #[serde(flatten)]
    pub other: Others,
}

/// A Cloudflare user as members carry it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct User {
    /// Absent for someone who has been invited and never signed up.
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
    /// Whether the second factor of the Cloudflare login is on. Absent is unknown, not off.
    #[serde(default)]
    pub two_factor_authentication_enabled: Option<bool>,
    /// Everything else.
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
    /// Everything else.
    #[serde(flatten)]
    pub other: Others,
}

/// Someone who may log in to an account's dashboard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// The membership's id: not the user's.
    pub id: String,
    /// Present on some answers; see [`Member::address`].
    #[serde(default)]
    pub email: Option<String>,
    /// `accepted`, `pending`, or a word that is new.
    #[serde(default)]
    pub status: String,
    /// Who it is.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: User,
    /// The roles, unless the member has policies instead.
    #[serde(default, deserialize_with = "null_is_default")]
    pub roles: Vec<RoleReference>,
    /// Everything else, such as `policies`.
    #[serde(flatten)]
    pub other: Others,
}

impl Member {
    /// The address, wherever this answer has it.
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
    /// What it allows, in words.
    #[serde(default)]
    pub description: Option<String>,
    /// Everything else, such as `permissions`.
    #[serde(flatten)]
    pub other: Others,
}

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Client {
    /// Whether a user's token is good. Says nothing about its permissions.
    ///
    /// # Errors
    ///
    /// Refused when the token is wrong, or when it belongs to an account.
    pub async fn user_token_verify(&self) -> Result<TokenStatus, CloudflareError> {
        self.get("/user/tokens/verify", &[]).await
    }

    /// Whether an account's token is good.
    ///
    /// # Errors
    ///
    /// Refused when the token is wrong, or when it belongs to a user.
    pub async fn account_token_verify(&self, account: &AccountId) -> Result<TokenStatus, CloudflareError> {
        self.get(&account.path("/tokens/verify"), &[]).await
    }

    /// The user whose credential this is; for a global key, the call that verifies it.
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
    /// Refused when the credential does not reach it.
    pub async fn account(&self, id: &AccountId) -> Result<Account, CloudflareError> {
        self.get(&id.path(""), &[]).await
    }

    /// Accounts whose name is or contains `name`; Cloudflare filters, the caller compares.
    ///
    /// # Errors
    ///
    /// Refused for tokens that belong to an account: those must be given the account's id.
    pub async fn accounts_named(&self, name: &str) -> Result<Vec<Account>, CloudflareError> {
        let query = vec![("name".to_owned(), name.to_owned())];
        self.list("/accounts".to_owned(), query, paging::IAM)
            .try_collect()
            .await
    }

    /// Every account that the credential reaches.
    ///
    /// # Errors
    ///
    /// Refused for tokens that belong to an account.
    pub async fn accounts(&self) -> Result<Vec<Account>, CloudflareError> {
        self.list("/accounts".to_owned(), Vec::new(), paging::IAM)
            .try_collect()
            .await
    }

    /// Members, accepted and pending, with their total, from a page on.
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

    /// One role, also the one that the list leaves out.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn role(&self, account: &AccountId, id: &str) -> Result<Role, CloudflareError> {
        self.get(&account.path(&format!("/roles/{id}")), &[]).await
    }

    /// One page of members of five: enough to know whether they may be read.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn members_probe(&self, account: &AccountId) -> Result<Vec<Member>, CloudflareError> {
        self.get(&account.path("/members"), &[("per_page", "5")]).await
    }

    /// One page of roles of five.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn roles_probe(&self, account: &AccountId) -> Result<Vec<Role>, CloudflareError> {
        self.get(&account.path("/roles"), &[("per_page", "5")]).await
    }
}
