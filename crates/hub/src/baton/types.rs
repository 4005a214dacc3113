//! The kinds of thing that other programs are told of: what can be read and changed, with which permissions.
//!
//! Pure. Ids of types, ids of things within them and slugs of entitlements never change: others keep them.
//! Start reading at [`TYPES`].

use c1z::manifest::{Capability, Manifest, ResourceTypeCapability};
use c1z::message::{
    CapabilityPermission, CapabilityPermissions, ResourceType, SkipEntitlementsAndGrants, Trait,
};

/// A kind of thing.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its id.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What Baton takes it for.
    pub traits: &'static [Trait],
    /// The entitlement that each thing of the kind has, and its name.
    pub entitlement: Option<(&'static str, &'static str)>,
    /// The kinds that can hold the entitlement.
    pub grantable_to: &'static [&'static str],
    /// What Flareward can do with it beside reading.
    pub changes: &'static [Capability],
    /// Cloudflare's permission groups that reading it takes.
    pub read: &'static [&'static str],
    /// Those that changing it takes beside.
    pub write: &'static [&'static str],
}

/// A person, over both lists.
pub const USER: &str = "user";
/// An Access group.
pub const GROUP: &str = "group";
/// A dashboard role.
pub const ROLE: &str = "role";
/// A permission group, for members with policies.
pub const PERMISSION_GROUP: &str = "permission_group";
/// A user group of the account.
pub const USER_GROUP: &str = "user_group";
/// An application behind Access.
pub const APP: &str = "app";
/// An invitation that was not accepted yet.
pub const INVITATION: &str = "invitation";
/// A service token of Access.
pub const SERVICE_TOKEN: &str = "service_token";
/// An account-owned API token.
pub const API_TOKEN: &str = "api_token";
/// The account.
pub const ACCOUNT: &str = "account";

const ACCOUNT_READ: &str = "Account Settings Read";
const ACCOUNT_WRITE: &str = "Account Settings Write";
const USERS_READ: &str = "Access: Audit Logs Read";
const USERS_WRITE: &str = GROUPS_WRITE;
const GROUPS_READ: &str = "Access: Organizations, Identity Providers, and Groups Read";
const GROUPS_WRITE: &str = "Access: Organizations, Identity Providers, and Groups Write";
const APPS_READ: &str = "Access: Apps and Policies Read";

/// Every kind.
///
/// Source of the permissions: Cloudflare's API description, `x-api-token-group` of each operation that
/// [`crate::sync`] and [`crate::provisioning`] call.
pub const TYPES: &[Kind] = &[
    Kind {
        id: ACCOUNT,
        name: "Account",
        about: "The Cloudflare account",
        traits: &[],
        entitlement: None,
        grantable_to: &[],
        changes: &[],
        read: &[ACCOUNT_READ],
        write: &[],
    },
    Kind {
        id: USER,
        name: "User",
        about: "A person: dashboard memberships and Zero Trust users with the same address",
        traits: &[Trait::User],
        entitlement: None,
        grantable_to: &[],
        changes: &[Capability::AccountProvisioning, Capability::ResourceDelete],
        read: &[ACCOUNT_READ, USERS_READ],
        write: &[ACCOUNT_WRITE, USERS_WRITE],
    },
    Kind {
        id: INVITATION,
        name: "Invitation",
        about: "A pending invitation to the account",
        traits: &[],
        entitlement: None,
        grantable_to: &[],
        changes: &[Capability::ResourceCreate, Capability::ResourceDelete],
        read: &[ACCOUNT_READ],
        write: &[ACCOUNT_WRITE],
    },
    Kind {
        id: GROUP,
        name: "Access group",
        about: "A Zero Trust Access group; its rules determine the members",
        traits: &[Trait::Group],
        entitlement: Some(("member", "Member")),
        grantable_to: &[USER, GROUP],
        changes: &[Capability::Provision],
        read: &[GROUPS_READ],
        write: &[GROUPS_WRITE],
    },
    Kind {
        id: ROLE,
        name: "Role",
        about: "A role for dashboard members",
        traits: &[Trait::Role],
        entitlement: Some(("assigned", "Assigned")),
        grantable_to: &[USER],
        changes: &[Capability::Provision],
        read: &[ACCOUNT_READ],
        write: &[ACCOUNT_WRITE],
    },
    Kind {
        id: PERMISSION_GROUP,
        name: "Permission group",
        about: "Permissions that a policy of a member or user group grants",
        traits: &[Trait::Role],
        entitlement: Some(("assigned", "Assigned")),
        grantable_to: &[USER],
        changes: &[],
        read: &[ACCOUNT_READ],
        write: &[],
    },
    Kind {
        id: USER_GROUP,
        name: "User group",
        about: "A group of dashboard members",
        traits: &[Trait::Group],
        entitlement: Some(("member", "Member")),
        grantable_to: &[USER],
        changes: &[],
        read: &[ACCOUNT_READ],
        write: &[],
    },
    Kind {
        id: APP,
        name: "Application",
        about: "An Access application; its policies determine who has access",
        traits: &[Trait::App],
        entitlement: Some(("access", "Access")),
        grantable_to: &[USER],
        changes: &[],
        read: &[APPS_READ],
        write: &[],
    },
    Kind {
        id: SERVICE_TOKEN,
        name: "Service token",
        about: "A token that programs use to pass Access",
        traits: &[Trait::Secret],
        entitlement: None,
        grantable_to: &[],
        changes: &[],
        read: &["Access: Service Tokens Read"],
        write: &[],
    },
    Kind {
        id: API_TOKEN,
        name: "API token",
        about: "An account-owned API token",
        traits: &[Trait::Secret],
        entitlement: None,
        grantable_to: &[],
        changes: &[],
        read: &["Account API Tokens Read"],
        write: &[],
    },
];

impl Kind {
    /// The kind with this id.
    pub fn of(id: &str) -> Option<&'static Kind> {
        TYPES.iter().find(|kind| kind.id == id)
    }

    /// As a file has it.
    pub fn resource_type(&self) -> ResourceType {
        let permissions = self.read.iter().chain(self.write);
        let mut kind = ResourceType::new(self.id, self.name, self.traits).annotated(&CapabilityPermissions {
            permissions: permissions
                .map(|name| CapabilityPermission {
                    permission: (*name).to_owned(),
                })
                .collect(),
        });
        self.about.clone_into(&mut kind.description);
        if self.entitlement.is_none() {
            kind = kind.annotated(&SkipEntitlementsAndGrants {});
        }
        kind
    }

    /// Everything that can be done with it.
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut all = vec![Capability::Sync];
        if self.traits.contains(&Trait::Secret) {
            all.push(Capability::SyncSecrets);
        }
        all.extend(self.changes);
        all.sort_unstable();
        all
    }
}

/// What Flareward can do, in the form of `baton_capabilities.json`.
pub fn manifest() -> Manifest {
    let types = TYPES
        .iter()
        .map(|kind| ResourceTypeCapability::new(&kind.resource_type(), &kind.capabilities()))
        .collect();
    Manifest::new(types, &[])
}

/// The table of the documentation.
pub fn table() -> String {
    let mut text = String::from(
        "| resource | ID | read | change | Cloudflare permissions to read | Cloudflare permissions to \
             change |\n|---|---|---|---|---|---|\n",
    );
    for kind in TYPES {
        let changes: Vec<&str> = kind
            .changes
            .iter()
            .map(|change| match change {
                Capability::Provision => "grant, revoke",
                Capability::AccountProvisioning => "invite",
                Capability::ResourceCreate => "create",
                Capability::ResourceDelete => "remove",
                _ => "",
            })
            .collect();
        let or_none = |list: &[&str]| {
            if list.is_empty() {
                "–".to_owned()
            } else {
                list.join("; ")
            }
        };
        text.push_str(&format!(
            "| {} | `{}` | yes | {} | {} | {} |\n",
            kind.name,
            kind.id,
            if changes.is_empty() {
                "–".to_owned()
            } else {
                changes.join(", ")
            },
            or_none(kind.read),
            or_none(kind.write),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_names_kinds_that_are_there_and_the_permissions_that_it_takes() {
        let manifest = manifest();
        assert_eq!(manifest.resource_type_capabilities.len(), TYPES.len());
        for kind in TYPES {
            assert!(kind.grantable_to.iter().all(|id| Kind::of(id).is_some()));
            assert_eq!(
                kind.entitlement.is_some(),
                !kind.grantable_to.is_empty(),
                "{}",
                kind.id
            );
            assert!(!kind.read.is_empty(), "{}", kind.id);
            assert_eq!(kind.changes.is_empty(), kind.write.is_empty(), "{}", kind.id);
        }
        let known: Vec<&str> = cloudflare::LISTS.iter().map(|list| list.permission).collect();
        for kind in [APP, SERVICE_TOKEN, API_TOKEN, USER_GROUP] {
            let kind = Kind::of(kind).unwrap();
            assert!(kind.read.iter().all(|name| known.contains(name)), "{}", kind.id);
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/resource-types.md");
        let page = format!(
            "# Resource types\n\nWhat `flareward export c1z` writes and what can be changed. This page is made from the \
             code;\n`flareward capabilities manifest` prints the same as `baton_capabilities.json`.\n\n{}",
            table()
        );
        if std::env::var_os("FLAREWARD_RENEW").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == page,
            "renew it: FLAREWARD_RENEW=1 cargo test -p flareward-hub the_documentation_has_this_table"
        );
    }
}
