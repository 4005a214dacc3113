//! Permission groups and resource groups, and the policies made of both.

use serde_json::{Value, json};

use crate::ids::hex32_of;
use crate::permissions::{self, PermissionGroup};
use crate::world::role::Role;

/// The id of a permission group, the same in every account.
pub(crate) fn permission_group_id(name: &str) -> String {
    hex32_of(&format!("permission group: {name}"))
}

pub(crate) fn permission_group(group: &PermissionGroup) -> Value {
    let scope = if group.of_user {
        "com.cloudflare.api.user"
    } else {
        "com.cloudflare.api.account"
    };
    json!({
        "id": permission_group_id(group.name), "name": group.name,
        "meta": { "label": group.name.to_lowercase().replace([' ', ':', ','], "_"), "scopes": scope },
    })
}

/// The resource group for the whole account.
pub(crate) fn whole_account(account_id: &str) -> Value {
    json!({
        "id": hex32_of("resource group: whole account"), "name": "com.cloudflare.api.account",
        "meta": { "editable": "false" },
        "scope": [{ "key": format!("com.cloudflare.api.account.{account_id}"), "objects": [{ "key": "*" }] }],
    })
}

/// The policy that Cloudflare shows for a role: a permission group with the same name and another id.
pub(crate) fn mirror_of(role: &Role, account_id: &str) -> Value {
    over_account(&role.name, account_id)
}

/// A policy with a permission group of this name for the whole account.
pub(crate) fn over_account(name: &str, account_id: &str) -> Value {
    json!({
        "id": hex32_of(&format!("policy of {name}")), "access": "allow",
        "permission_groups": [{ "id": hex32_of(&format!("permission group of {name}")), "name": name,
            "meta": { "editable": "false", "scopes": "com.cloudflare.api.account" } }],
        "resource_groups": [whole_account(account_id)],
    })
}

/// A policy that lets `holder` read the account's settings.
pub(crate) fn policy(holder: &str, account_id: &str) -> Value {
    json!({
        "id": hex32_of(&format!("policy of {holder}")), "access": "allow",
        "permission_groups": [permission_group(&permissions::ALL[0])],
        "resource_groups": [whole_account(account_id)],
    })
}
