//! What can be asked to be changed. A request is data: it is shown, stored, and taken back by another one.

use model::ConnectionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change of one person's access to one thing in one account. Addresses are in lower case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action")]
#[expect(missing_docs, reason = "the fields are the same in all: where, what, who")]
pub enum Request {
    /// Adds an address to what an Access group includes.
    #[serde(rename = "group.grant")]
    GroupGrant {
        connection: ConnectionId,
        group: String,
        email: String,
    },
    /// Takes an address out of what an Access group includes; or, if asked, excludes it.
    #[serde(rename = "group.revoke")]
    GroupRevoke {
        connection: ConnectionId,
        group: String,
        email: String,
        #[serde(default)]
        by_exclusion: bool,
        /// With an exclusion: the rules that include the address stay.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_rules: bool,
    },
    /// Takes an address out of what an Access group excludes.
    #[serde(rename = "group.unexclude")]
    GroupUnexclude {
        connection: ConnectionId,
        group: String,
        email: String,
    },
    /// Gives a member a role.
    #[serde(rename = "role.grant")]
    RoleGrant {
        connection: ConnectionId,
        role: String,
        email: String,
    },
    /// Takes a role from a member.
    #[serde(rename = "role.revoke")]
    RoleRevoke {
        connection: ConnectionId,
        role: String,
        email: String,
    },
    /// Invites someone into an account, with roles or with policies.
    #[serde(rename = "member.invite")]
    MemberInvite {
        connection: ConnectionId,
        email: String,
        #[serde(default)]
        roles: Vec<String>,
        #[serde(default)]
        policies: Vec<Value>,
    },
    /// Takes an invitation back.
    #[serde(rename = "member.cancel_invitation")]
    InvitationCancel { connection: ConnectionId, email: String },
    /// Gives a member exactly these roles.
    #[serde(rename = "member.set_roles")]
    MemberRolesSet {
        connection: ConnectionId,
        email: String,
        roles: Vec<String>,
    },
    /// Gives a member exactly these policies.
    #[serde(rename = "member.set_policies")]
    MemberPoliciesSet {
        connection: ConnectionId,
        email: String,
        policies: Vec<Value>,
    },
    /// Removes a member from an account.
    #[serde(rename = "member.remove")]
    MemberRemove { connection: ConnectionId, email: String },
    /// Makes an Access user.
    #[serde(rename = "access_user.create")]
    AccessUserCreate {
        connection: ConnectionId,
        email: String,
        #[serde(default)]
        name: Option<String>,
    },
    /// Removes an Access user, who comes back with their next sign-in.
    #[serde(rename = "access_user.remove")]
    AccessUserRemove { connection: ConnectionId, email: String },
    /// Frees the seats of an Access user, who takes them again with their next sign-in.
    #[serde(rename = "access_user.free_seats")]
    SeatsFree { connection: ConnectionId, email: String },
    /// Ends every session of an Access user, with those of their devices if asked.
    #[serde(rename = "access_user.revoke_sessions")]
    SessionsRevoke {
        connection: ConnectionId,
        email: String,
        #[serde(default)]
        devices: bool,
    },
}

impl Request {
    /// In which account.
    pub fn connection(&self) -> &ConnectionId {
        match self {
            Request::GroupGrant { connection, .. }
            | Request::GroupRevoke { connection, .. }
            | Request::GroupUnexclude { connection, .. }
            | Request::RoleGrant { connection, .. }
            | Request::RoleRevoke { connection, .. }
            | Request::MemberInvite { connection, .. }
            | Request::InvitationCancel { connection, .. }
            | Request::MemberRolesSet { connection, .. }
            | Request::MemberPoliciesSet { connection, .. }
            | Request::MemberRemove { connection, .. }
            | Request::AccessUserCreate { connection, .. }
            | Request::AccessUserRemove { connection, .. }
            | Request::SeatsFree { connection, .. }
            | Request::SessionsRevoke { connection, .. } => connection,
        }
    }

    /// Whose access, by address in lower case.
    pub fn email(&self) -> &str {
        match self {
            Request::GroupGrant { email, .. }
            | Request::GroupRevoke { email, .. }
            | Request::GroupUnexclude { email, .. }
            | Request::RoleGrant { email, .. }
            | Request::RoleRevoke { email, .. }
            | Request::MemberInvite { email, .. }
            | Request::InvitationCancel { email, .. }
            | Request::MemberRolesSet { email, .. }
            | Request::MemberPoliciesSet { email, .. }
            | Request::MemberRemove { email, .. }
            | Request::AccessUserCreate { email, .. }
            | Request::AccessUserRemove { email, .. }
            | Request::SeatsFree { email, .. }
            | Request::SessionsRevoke { email, .. } => email,
        }
    }

    /// The word that names it, as it is stored.
    pub fn action(&self) -> &'static str {
        match self {
            Request::GroupGrant { .. } => "group.grant",
            Request::GroupRevoke { .. } => "group.revoke",
            Request::GroupUnexclude { .. } => "group.unexclude",
            Request::RoleGrant { .. } => "role.grant",
            Request::RoleRevoke { .. } => "role.revoke",
            Request::MemberInvite { .. } => "member.invite",
            Request::InvitationCancel { .. } => "member.cancel_invitation",
            Request::MemberRolesSet { .. } => "member.set_roles",
            Request::MemberPoliciesSet { .. } => "member.set_policies",
            Request::MemberRemove { .. } => "member.remove",
            Request::AccessUserCreate { .. } => "access_user.create",
            Request::AccessUserRemove { .. } => "access_user.remove",
            Request::SeatsFree { .. } => "access_user.free_seats",
            Request::SessionsRevoke { .. } => "access_user.revoke_sessions",
        }
    }

    /// What must not be changed by two at once. Members share one, since the guard on super administrators looks
    /// at all of them.
    pub(super) fn lock(&self) -> String {
        let connection = self.connection();
        match self {
            Request::GroupGrant { group, .. }
            | Request::GroupRevoke { group, .. }
            | Request::GroupUnexclude { group, .. } => {
                format!("change/{connection}/group/{}", group.to_lowercase())
            }
            Request::AccessUserCreate { email, .. }
            | Request::AccessUserRemove { email, .. }
            | Request::SeatsFree { email, .. }
            | Request::SessionsRevoke { email, .. } => format!("change/{connection}/access-user/{email}"),
            _ => format!("change/{connection}/members"),
        }
    }

    /// The lists that must be whole and fresh for the guards to judge by.
    pub(super) fn lists(&self) -> &'static [&'static str] {
        match self {
            Request::GroupGrant { .. } | Request::GroupRevoke { .. } | Request::GroupUnexclude { .. } => {
                &["access_groups", "access_users", "members"]
            }
            Request::AccessUserCreate { .. }
            | Request::AccessUserRemove { .. }
            | Request::SeatsFree { .. }
            | Request::SessionsRevoke { .. } => &["access_users"],
            _ => &["members", "roles"],
        }
    }
}
