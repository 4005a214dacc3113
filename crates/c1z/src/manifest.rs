//! The capabilities of a connector, in the format of `baton_capabilities.json`. Only the format: the caller provides
//! the content.
//!
//! The JSON is the protobuf form of `c1.connector.v2.ConnectorCapabilities`. Empty lists are omitted, as in protobuf;
//! `permissions` and `credentialDetails` are always written, because the files of existing connectors have them.

use crate::message;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "@type",
    rename = "type.googleapis.com/c1.connector.v2.ConnectorCapabilities",
    rename_all = "camelCase"
)]
pub struct Manifest {
    /// The capabilities for each resource type, by the type's id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_type_capabilities: Vec<ResourceTypeCapability>,
    /// The capabilities of the whole connector: at least those of its types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connector_capabilities: Vec<Capability>,
    /// How new accounts get their credentials.
    #[serde(default)]
    pub credential_details: CredentialDetails,
}

impl Manifest {
    /// A manifest of these types, in the order of their ids. The connector has the capabilities of its types, and
    /// `more`.
    pub fn new(mut types: Vec<ResourceTypeCapability>, more: &[Capability]) -> Self {
        types.sort_by(|one, other| one.resource_type.id.cmp(&other.resource_type.id));
        let of_types = types.iter().flat_map(|one| one.capabilities.iter());
        let mut all: Vec<Capability> = of_types.chain(more).copied().collect();
        all.sort_unstable();
        all.dedup();
        Self {
            resource_type_capabilities: types,
            connector_capabilities: all,
            credential_details: CredentialDetails::default(),
        }
    }
}

/// The capabilities for a resource type, and the permissions that the credential needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceTypeCapability {
    /// The type.
    pub resource_type: ResourceType,
    /// The capabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// Permissions of the credential, with the names that the external system uses.
    #[serde(default)]
    pub permissions: Permissions,
    /// Whether the type is synced only on request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opt_in_required: bool,
    /// Whether sudden changes of its count should not be treated as anomalies of a sync.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_sync_anomaly_detection: bool,
}

impl ResourceTypeCapability {
    /// The type as it is synced, with its capabilities. The permissions come from its annotation.
    pub fn new(kind: &message::ResourceType, capabilities: &[Capability]) -> Self {
        let permissions: Option<message::CapabilityPermissions> = message::find(&kind.annotations);
        let permissions = Permissions {
            permissions: permissions
                .unwrap_or_default()
                .permissions
                .into_iter()
                .map(Into::into)
                .collect(),
        };
        let mut annotations = Vec::new();
        let has = |url: String| kind.annotations.iter().any(|one| one.type_url == url);
        if has(<message::SkipEntitlementsAndGrants as prost::Name>::type_url()) {
            annotations.push(Annotation::SkipEntitlementsAndGrants {});
        }
        if has(<message::SkipEntitlements as prost::Name>::type_url()) {
            annotations.push(Annotation::SkipEntitlements {});
        }
        if has(<message::SkipGrants as prost::Name>::type_url()) {
            annotations.push(Annotation::SkipGrants {});
        }
        if !permissions.permissions.is_empty() {
            annotations.push(Annotation::CapabilityPermissions(permissions.clone()));
        }
        Self {
            resource_type: ResourceType {
                id: kind.id.clone(),
                display_name: kind.display_name.clone(),
                traits: kind.traits().filter_map(Trait::of).collect(),
                annotations,
                description: kind.description.clone(),
            },
            capabilities: capabilities.to_vec(),
            permissions,
            opt_in_required: false,
            skip_sync_anomaly_detection: false,
        }
    }
}

/// A resource type in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceType {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// The traits of its resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<Trait>,
    /// Further information.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// Its purpose.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// An annotation of a resource type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "@type")]
pub enum Annotation {
    /// No entitlements and no grants.
    #[serde(rename = "type.googleapis.com/c1.connector.v2.SkipEntitlementsAndGrants")]
    SkipEntitlementsAndGrants {},
    /// No entitlements.
    #[serde(rename = "type.googleapis.com/c1.connector.v2.SkipEntitlements")]
    SkipEntitlements {},
    /// No grants.
    #[serde(rename = "type.googleapis.com/c1.connector.v2.SkipGrants")]
    SkipGrants {},
    /// The permissions that the credential needs.
    #[serde(rename = "type.googleapis.com/c1.connector.v2.CapabilityPermissions")]
    CapabilityPermissions(Permissions),
}

/// A list of permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// The permissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Its name in the external system.
    pub permission: String,
}

impl From<message::CapabilityPermission> for Permission {
    fn from(one: message::CapabilityPermission) -> Self {
        Self {
            permission: one.permission,
        }
    }
}

/// How new accounts get their credentials, and how credentials are rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialDetails {
    /// For new accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability_account_provisioning: Option<CredentialOptions>,
    /// For rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability_credential_rotation: Option<CredentialOptions>,
}

/// The supported options, and the preferred one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialOptions {
    /// All supported options.
    pub supported_credential_options: Vec<CredentialOption>,
    /// The preferred option.
    pub preferred_credential_option: CredentialOption,
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $word)] $variant,)*
        }
    };
}

words! {
    /// Capabilities, in the order of Baton's numbers.
    Capability {
        /// Grant and revoke.
        Provision = "CAPABILITY_PROVISION",
        /// List everything.
        Sync = "CAPABILITY_SYNC",
        /// Provide a feed of events.
        EventFeed = "CAPABILITY_EVENT_FEED",
        /// Open tickets.
        Ticketing = "CAPABILITY_TICKETING",
        /// Create accounts.
        AccountProvisioning = "CAPABILITY_ACCOUNT_PROVISIONING",
        /// Rotate credentials.
        CredentialRotation = "CAPABILITY_CREDENTIAL_ROTATION",
        /// Create resources.
        ResourceCreate = "CAPABILITY_RESOURCE_CREATE",
        /// Delete resources.
        ResourceDelete = "CAPABILITY_RESOURCE_DELETE",
        /// List secrets, never their content.
        SyncSecrets = "CAPABILITY_SYNC_SECRETS",
        /// Run the actions in a list.
        Actions = "CAPABILITY_ACTIONS",
        /// Read one resource.
        TargetedSync = "CAPABILITY_TARGETED_SYNC",
        /// Provide several feeds of events.
        EventFeedV2 = "CAPABILITY_EVENT_FEED_V2",
        /// Read one resource when the service requests it.
        ServiceModeTargetedSync = "CAPABILITY_SERVICE_MODE_TARGETED_SYNC",
        /// Issue credentials.
        CredentialIssue = "CAPABILITY_CREDENTIAL_ISSUE",
    }
}

words! {
    /// The kind of a resource.
    Trait {
        /// A person or an account.
        User = "TRAIT_USER",
        /// A group.
        Group = "TRAIT_GROUP",
        /// A role.
        Role = "TRAIT_ROLE",
        /// An app.
        App = "TRAIT_APP",
        /// A secret.
        Secret = "TRAIT_SECRET",
        /// A security finding.
        SecurityInsight = "TRAIT_SECURITY_INSIGHT",
        /// A role for a part of the system.
        ScopeBinding = "TRAIT_SCOPE_BINDING",
        /// A vendor.
        Vendor = "TRAIT_VENDOR",
        /// An agreement with a vendor.
        VendorAgreement = "TRAIT_VENDOR_AGREEMENT",
        /// A type of licence.
        LicenseProfile = "TRAIT_LICENSE_PROFILE",
        /// An autonomous program.
        Agent = "TRAIT_AGENT",
        /// A managed device.
        ManagedDevice = "TRAIT_MANAGED_DEVICE",
    }
}

impl Trait {
    fn of(number: message::Trait) -> Option<Self> {
        Some(match number {
            message::Trait::Unspecified => return None,
            message::Trait::User => Self::User,
            message::Trait::Group => Self::Group,
            message::Trait::Role => Self::Role,
            message::Trait::App => Self::App,
            message::Trait::Secret => Self::Secret,
            message::Trait::SecurityInsight => Self::SecurityInsight,
            message::Trait::ScopeBinding => Self::ScopeBinding,
            message::Trait::Vendor => Self::Vendor,
            message::Trait::VendorAgreement => Self::VendorAgreement,
            message::Trait::LicenseProfile => Self::LicenseProfile,
            message::Trait::Agent => Self::Agent,
            message::Trait::ManagedDevice => Self::ManagedDevice,
        })
    }
}

words! {
    /// How a new account gets its credential.
    CredentialOption {
        /// It has none.
        NoPassword = "CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD",
        /// A random one is generated.
        RandomPassword = "CAPABILITY_DETAIL_CREDENTIAL_OPTION_RANDOM_PASSWORD",
        /// Single sign-on.
        Sso = "CAPABILITY_DETAIL_CREDENTIAL_OPTION_SSO",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{CapabilityPermission, CapabilityPermissions, SkipEntitlementsAndGrants};
    use serde_json::json;

    #[test]
    fn a_manifest_has_the_shape_of_a_connectors() {
        let user = message::ResourceType::new("user", "User", &[message::Trait::User])
            .annotated(&SkipEntitlementsAndGrants {})
            .annotated(&CapabilityPermissions {
                permissions: vec![CapabilityPermission {
                    permission: "Memberships Read".into(),
                }],
            });
        let group = message::ResourceType::new("group", "Group", &[message::Trait::Group]);
        let manifest = Manifest::new(
            vec![
                ResourceTypeCapability::new(&user, &[Capability::Sync]),
                ResourceTypeCapability::new(&group, &[Capability::Sync, Capability::Provision]),
            ],
            &[Capability::EventFeedV2],
        );
        let expected = json!({
            "@type": "type.googleapis.com/c1.connector.v2.ConnectorCapabilities",
            "resourceTypeCapabilities": [
                {
                    "resourceType": { "id": "group", "displayName": "Group", "traits": ["TRAIT_GROUP"] },
                    "capabilities": ["CAPABILITY_SYNC", "CAPABILITY_PROVISION"],
                    "permissions": {},
                },
                {
                    "resourceType": {
                        "id": "user", "displayName": "User", "traits": ["TRAIT_USER"],
                        "annotations": [
                            { "@type": "type.googleapis.com/c1.connector.v2.SkipEntitlementsAndGrants" },
                            {
                                "@type": "type.googleapis.com/c1.connector.v2.CapabilityPermissions",
                                "permissions": [{ "permission": "Memberships Read" }],
                            },
                        ],
                    },
                    "capabilities": ["CAPABILITY_SYNC"],
                    "permissions": { "permissions": [{ "permission": "Memberships Read" }] },
                },
            ],
            "connectorCapabilities":
                ["CAPABILITY_PROVISION", "CAPABILITY_SYNC", "CAPABILITY_EVENT_FEED_V2"],
            "credentialDetails": {},
        });
        assert_eq!(serde_json::to_value(&manifest).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Manifest>(expected).unwrap(), manifest);
    }
}
