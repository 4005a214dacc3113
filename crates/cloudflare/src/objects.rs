//! The lists of an account that are stored as Cloudflare returns them, and details that only the URL of a single object
//! returns.

use crate::account::AccountId;
use crate::client::Client;
use crate::error::CloudflareError;
use crate::paging::{self, Listed, Style};
use futures::TryStreamExt;
use serde_json::Value;

/// A list of an account: its name, path, pagination style, and the permission to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountList {
    /// The name.
    pub kind: &'static str,
    /// The name in prose.
    pub words: &'static str,
    /// The path under the account.
    pub path: &'static str,
    /// The pagination style.
    pub style: Style,
    /// Cloudflare's name of the permission group that allows reading it.
    pub permission: &'static str,
}

/// All such lists.
///
/// Source: Cloudflare's API description; for service tokens, account tokens and Zero Trust lists, its documentation of
/// those products.
pub const LISTS: &[AccountList] = &[
    AccountList {
        kind: "identity_providers",
        words: "identity providers",
        path: "/access/identity_providers",
        style: Style::Counted { per_page: 200 },
        permission: "Access: Organizations, Identity Providers, and Groups Read",
    },
    AccountList {
        kind: "policies",
        words: "Access policies",
        path: "/access/policies",
        style: Style::Counted { per_page: 1_000 },
        permission: "Access: Apps and Policies Read",
    },
    AccountList {
        kind: "apps",
        words: "applications",
        path: "/access/apps",
        style: paging::ACCESS,
        permission: "Access: Apps and Policies Read",
    },
    AccountList {
        kind: "service_tokens",
        words: "service tokens",
        path: "/access/service_tokens",
        style: paging::ACCESS,
        permission: "Access: Service Tokens Read",
    },
    AccountList {
        kind: "account_tokens",
        words: "account API tokens",
        path: "/tokens",
        style: paging::IAM,
        permission: "Account API Tokens Read",
    },
    AccountList {
        kind: "permission_groups",
        words: "permission groups",
        path: "/iam/permission_groups",
        style: paging::IAM,
        permission: "Account Settings Read",
    },
    AccountList {
        kind: "resource_groups",
        words: "resource groups",
        path: "/iam/resource_groups",
        style: Style::Single,
        permission: "Account Settings Read",
    },
    AccountList {
        kind: "user_groups",
        words: "account user groups",
        path: "/iam/user_groups",
        style: Style::Counted { per_page: 500 },
        permission: "Account Settings Read",
    },
    AccountList {
        kind: "lists",
        words: "Zero Trust lists",
        path: "/gateway/lists",
        style: Style::Single,
        permission: "Zero Trust Read",
    },
];

/// A path segment that contains exactly one id.
pub(crate) fn segment(id: &str) -> Result<&str, CloudflareError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !id.is_empty() && id.bytes().all(good) {
        Ok(id)
    } else {
        Err(CloudflareError::Unusable(format!(
            "\"{id}\" is not a Cloudflare ID"
        )))
    }
}

impl Client {
    /// The objects of a list, page by page, as received.
    pub fn objects(&self, account: &AccountId, list: &AccountList) -> paging::Pages<Value> {
        self.pages(account.path(list.path), Vec::new(), list.style)
    }

    /// The members of an account user group.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn user_group_members(
        &self,
        account: &AccountId,
        group: &str,
    ) -> Result<Listed<Value>, CloudflareError> {
        let path = account.path(&format!("/iam/user_groups/{}/members", segment(group)?));
        let style = Style::Counted { per_page: 500 };
        self.listed(path, Vec::new(), style).await
    }

    /// The items of a Zero Trust list that announces `count` items.
    ///
    /// The call may return only the first fifty, without an indication and regardless of the requested page. With
    /// `limit`, which is not in its description, it returns more. Source: cloudflare/terraform-provider-cloudflare
    /// issue 1422.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn list_items(
        &self,
        account: &AccountId,
        list: &str,
        count: Option<u64>,
    ) -> Result<Listed<Value>, CloudflareError> {
        let path = account.path(&format!("/gateway/lists/{}/items", segment(list)?));
        let style = Style::Counted { per_page: 1_000 };
        let mut found: Listed<Value> = self.listed(path.clone(), Vec::new(), style).await?;
        let is_short = |found: &Listed<Value>| count.is_some_and(|count| (found.items.len() as u64) < count);
        if found.partial.is_some() || is_short(&found) {
            let limit = vec![("limit".to_owned(), count.unwrap_or(1_000).max(1_000).to_string())];
            let again: Result<Listed<Value>, _> = self.listed(path, limit, Style::Single).await;
            // Where it is refused, what came before is what there is.
            if let Ok(again) = again
                && again.items.len() > found.items.len()
            {
                found = Listed {
                    partial: match count {
                        Some(_) => again.partial,
                        // Without a count, nothing says that this is all.
                        None => again.partial.or(found.partial),
                    },
                    items: again.items,
                };
            }
        }
        if let Some(count) = count.filter(|_| is_short(&found)) {
            found.partial = Some(format!(
                "only {} of {count} entries were returned",
                found.items.len()
            ));
        } else if count.is_some_and(|count| count == found.items.len() as u64) {
            // As many as the list says it has.
            found.partial = None;
        }
        Ok(found)
    }

    /// An Access user's identity when last seen: provider, groups there, device. Refused with 404 for a user who never
    /// signed in.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn last_seen_identity(
        &self,
        account: &AccountId,
        user: &str,
    ) -> Result<Value, CloudflareError> {
        let path = account.path(&format!("/access/users/{}/last_seen_identity", segment(user)?));
        self.get(&path, &[]).await
    }

    /// The active sessions of an Access user.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn active_sessions(
        &self,
        account: &AccountId,
        user: &str,
    ) -> Result<Vec<Value>, CloudflareError> {
        let path = account.path(&format!("/access/users/{}/active_sessions", segment(user)?));
        self.list(path, Vec::new(), Style::Single).try_collect().await
    }

    /// The failed logins of an Access user.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn failed_logins(
        &self,
        account: &AccountId,
        user: &str,
    ) -> Result<Vec<Value>, CloudflareError> {
        let path = account.path(&format!("/access/users/{}/failed_logins", segment(user)?));
        self.list(path, Vec::new(), Style::Single).try_collect().await
    }

    /// The current state of one member.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn member(&self, account: &AccountId, id: &str) -> Result<Value, CloudflareError> {
        self.get(&account.path(&format!("/members/{}", segment(id)?)), &[])
            .await
    }

    /// The current state of one Access group.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn access_group(&self, account: &AccountId, id: &str) -> Result<Value, CloudflareError> {
        self.get(&account.path(&format!("/access/groups/{}", segment(id)?)), &[])
            .await
    }

    /// The current state of one Access user.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn access_user(&self, account: &AccountId, id: &str) -> Result<Value, CloudflareError> {
        self.get(&account.path(&format!("/access/users/{}", segment(id)?)), &[])
            .await
    }
}
