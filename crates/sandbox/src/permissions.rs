//! The permission groups that a token can have, and which of them each family of calls accepts.

/// A permission group: its name, and whether it belongs to a user instead of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PermissionGroup {
    pub(crate) name: &'static str,
    pub(crate) of_user: bool,
}

const fn account(name: &'static str) -> PermissionGroup {
    PermissionGroup { name, of_user: false }
}

const fn user(name: &'static str) -> PermissionGroup {
    PermissionGroup { name, of_user: true }
}

/// Every permission group of the sandbox. The dashboard says "Edit" where these say "Write".
pub(crate) const ALL: &[PermissionGroup] = &[
    account("Account Settings Read"),
    account("Account Settings Write"),
    account("SCIM Provisioning"),
    account("Account API Tokens Read"),
    account("Account API Tokens Write"),
    account("Access: Apps and Policies Read"),
    account("Access: Apps and Policies Write"),
    account("Access: Apps and Policies Revoke"),
    account("Access: Audit Logs Read"),
    account("Access: SCIM Logs Read"),
    account("Access: Service Tokens Read"),
    account("Access: Service Tokens Write"),
    account("Access: Organizations, Identity Providers, and Groups Read"),
    account("Access: Organizations, Identity Providers, and Groups Write"),
    account("Access: Organizations, Identity Providers, and Groups Revoke"),
    account("Intel Read"),
    account("Intel Write"),
    account("Logs Read"),
    account("Logs Write"),
    account("Zero Trust Read"),
    account("Zero Trust Write"),
    account("Zero Trust: PII Read"),
    account("Zero Trust: Seats Write"),
    user("Memberships Read"),
    user("Memberships Write"),
    user("User Details Read"),
    user("User Details Write"),
];

/// The groups of which one is enough for a call. Empty: any valid credential is enough.
pub(crate) type AnyOf = &'static [&'static str];

pub(crate) const NONE_PUBLISHED: AnyOf = &[];
pub(crate) const ACCOUNT_READ: AnyOf = &[
    "Account Settings Read",
    "Account Settings Write",
    "Access: Audit Logs Read",
    "Logs Read",
    "Logs Write",
    "Zero Trust Read",
    "Zero Trust Write",
    "Zero Trust: PII Read",
];
pub(crate) const MEMBERS_READ: AnyOf = &[
    "Account Settings Read",
    "Account Settings Write",
    "SCIM Provisioning",
];
pub(crate) const MEMBERS_WRITE: AnyOf = &["Account Settings Write", "SCIM Provisioning"];
pub(crate) const AUDIT_READ: AnyOf = &["Account Settings Read", "Account Settings Write"];
pub(crate) const TOKENS_READ: AnyOf = &["Account API Tokens Read", "Account API Tokens Write"];
pub(crate) const ACCESS_LOGS_READ: AnyOf = &["Access: Audit Logs Read"];
pub(crate) const SCIM_LOGS_READ: AnyOf = &["Access: SCIM Logs Read"];
pub(crate) const SERVICE_TOKENS_READ: AnyOf =
    &["Access: Service Tokens Read", "Access: Service Tokens Write"];
pub(crate) const SEATS_WRITE: AnyOf = &["Zero Trust: Seats Write"];
pub(crate) const GROUPS_READ: AnyOf = &[
    "Access: Organizations, Identity Providers, and Groups Read",
    "Access: Organizations, Identity Providers, and Groups Write",
];
pub(crate) const GROUPS_WRITE: AnyOf = &["Access: Organizations, Identity Providers, and Groups Write"];
pub(crate) const ORGANIZATION_READ: AnyOf = &[
    "Access: Organizations, Identity Providers, and Groups Read",
    "Access: Organizations, Identity Providers, and Groups Write",
    "Access: Organizations, Identity Providers, and Groups Revoke",
];
pub(crate) const SESSIONS_REVOKE: AnyOf = &[
    "Access: Organizations, Identity Providers, and Groups Write",
    "Access: Organizations, Identity Providers, and Groups Revoke",
];
pub(crate) const APPS_READ: AnyOf = &[
    "Access: Apps and Policies Read",
    "Access: Apps and Policies Write",
];
pub(crate) const APPS_WRITE: AnyOf = &["Access: Apps and Policies Write"];
pub(crate) const INTEL_READ: AnyOf = &["Intel Read", "Intel Write"];
pub(crate) const LOGS_WRITE: AnyOf = &["Logs Write"];
pub(crate) const LOGS_READ: AnyOf = &["Logs Read", "Logs Write"];
pub(crate) const PII_READ: AnyOf = &["Zero Trust: PII Read"];
pub(crate) const ZERO_TRUST_READ: AnyOf = &["Zero Trust Read", "Zero Trust Write"];
pub(crate) const ZERO_TRUST_WRITE: AnyOf = &["Zero Trust Write"];
pub(crate) const MEMBERSHIPS_READ: AnyOf = &["Memberships Read", "Memberships Write"];
pub(crate) const USER_READ: AnyOf = &["User Details Read", "User Details Write"];
