//! The calls that change access. Each is sent once: after a failure with an unknown outcome, the caller reads again
//! before it writes again.

use crate::account::AccountId;
use crate::client::{Answer, Client};
use crate::error::CloudflareError;
use crate::objects::segment;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

/// A call that changes something, as data, so that it can be shown before it is sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Write {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// The path under the account.
    pub path: String,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

impl Write {
    fn new(method: &'static str, path: String, body: Option<Value>) -> Self {
        Self { method, path, body }
    }

    /// Replaces an Access group with `group`; missing fields are lost.
    ///
    /// # Errors
    ///
    /// If the id is invalid.
    pub fn access_group(id: &str, group: &Value) -> Result<Self, CloudflareError> {
        Ok(Self::new(
            "PUT",
            format!("/access/groups/{}", segment(id)?),
            Some(group.clone()),
        ))
    }

    /// Replaces the roles of a member.
    ///
    /// # Errors
    ///
    /// If the id is invalid.
    pub fn member_roles(id: &str, roles: &[String]) -> Result<Self, CloudflareError> {
        let roles: Vec<Value> = roles.iter().map(|role| json!({ "id": role })).collect();
        Ok(Self::new(
            "PUT",
            format!("/members/{}", segment(id)?),
            Some(json!({ "roles": roles })),
        ))
    }

    /// Replaces the policies of a member.
    ///
    /// # Errors
    ///
    /// If the id is invalid.
    pub fn member_policies(id: &str, policies: &[Value]) -> Result<Self, CloudflareError> {
        Ok(Self::new(
            "PUT",
            format!("/members/{}", segment(id)?),
            Some(json!({ "policies": policies })),
        ))
    }

    /// Invites someone with roles. Unlike in a replacement, the role ids are plain strings.
    pub fn member_invite(email: &str, roles: &[String]) -> Self {
        Self::new(
            "POST",
            "/members".to_owned(),
            Some(json!({ "email": email, "roles": roles })),
        )
    }

    /// Invites someone with policies.
    pub fn member_invite_with_policies(email: &str, policies: &[Value]) -> Self {
        Self::new(
            "POST",
            "/members".to_owned(),
            Some(json!({ "email": email, "policies": policies })),
        )
    }

    /// Removes a member, or cancels an invitation.
    ///
    /// # Errors
    ///
    /// If the id is invalid.
    pub fn member_remove(id: &str) -> Result<Self, CloudflareError> {
        Ok(Self::new("DELETE", format!("/members/{}", segment(id)?), None))
    }

    /// Creates an Access user.
    pub fn access_user_create(email: &str, name: Option<&str>) -> Self {
        let mut body = json!({ "email": email });
        if let Some(name) = name {
            body["name"] = json!(name);
        }
        Self::new("POST", "/access/users".to_owned(), Some(body))
    }

    /// Removes an Access user, with their seats and tokens. The user is created again at the next sign-in.
    ///
    /// # Errors
    ///
    /// If the id is invalid.
    pub fn access_user_remove(id: &str) -> Result<Self, CloudflareError> {
        Ok(Self::new(
            "DELETE",
            format!("/access/users/{}", segment(id)?),
            None,
        ))
    }

    /// Frees both seats of an Access user.
    pub fn seats_free(seat_uid: &str) -> Self {
        let seat = json!({ "seat_uid": seat_uid, "access_seat": false, "gateway_seat": false });
        Self::new("PATCH", "/access/seats".to_owned(), Some(json!([seat])))
    }

    /// Revokes every session of a user, and those of their devices if requested.
    pub fn sessions_revoke(email: &str, devices: bool) -> Self {
        Self::new(
            "POST",
            "/access/organizations/revoke_user".to_owned(),
            Some(json!({ "email": email, "devices": devices })),
        )
    }
}

impl Client {
    /// Makes a call that changes something, once.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn make(&self, account: &AccountId, write: &Write) -> Result<Option<Value>, CloudflareError> {
        let method = match write.method {
            "POST" => Method::POST,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => Method::PUT,
        };
        let answer: Answer<Value> = self
            .write(method, &account.path(&write.path), write.body.as_ref())
            .await?;
        Ok(answer.result)
    }
}
