//! The subset of Baton's messages that this crate writes: package `c1.connector.v2`, proto3.
//!
//! Numbers, names and types of the fields are those of the published definitions (baton-sdk, 2026-08). Maps are sorted,
//! so equal messages have equal bytes: `baton diff` compares bytes. Decoding a message drops fields that are not listed
//! here. To create messages, start at [`super::objects`].
#![expect(missing_docs, reason = "the fields and variants carry Baton's own names")]

use prost::{Enumeration, Message, Name};
use prost_types::{Any, Struct, Timestamp};
use std::collections::BTreeMap;

/// Gives messages their full names, which annotations use as a type URL.
macro_rules! named {
    ($($message:ident),* $(,)?) => { $(
        impl Name for $message {
            const NAME: &'static str = stringify!($message);
            const PACKAGE: &'static str = "c1.connector.v2";
            fn type_url() -> String {
                format!("type.googleapis.com/{}", Self::full_name())
            }
        }
    )* };
}

named!(
    ResourceType,
    Resource,
    Entitlement,
    Grant,
    UserTrait,
    GroupTrait,
    RoleTrait,
    AppTrait,
    SecretTrait,
    SkipEntitlementsAndGrants,
    SkipEntitlements,
    SkipGrants,
    CapabilityPermissions,
    ChildResourceType,
    GrantExpandable,
    GrantImmutable,
    GrantMetadata,
    EntitlementImmutable,
    RawId,
    ExternalLink,
);

/// A message as an annotation.
pub fn annotation<M: Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// The first annotation of a kind; also `None` if it cannot be decoded.
pub fn find<M: Name + Default>(annotations: &[Any]) -> Option<M> {
    let url = M::type_url();
    let found = annotations.iter().find(|annotation| annotation.type_url == url)?;
    M::decode(found.value.as_slice()).ok()
}

/// The kind of the resources of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum Trait {
    Unspecified = 0,
    User = 1,
    Group = 2,
    Role = 3,
    App = 4,
    Secret = 5,
    SecurityInsight = 6,
    ScopeBinding = 7,
    Vendor = 8,
    VendorAgreement = 9,
    LicenseProfile = 10,
    Agent = 11,
    ManagedDevice = 12,
}

/// A kind of resource.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceType {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub display_name: String,
    #[prost(enumeration = "Trait", repeated, tag = "3")]
    pub traits: Vec<i32>,
    #[prost(message, repeated, tag = "4")]
    pub annotations: Vec<Any>,
    #[prost(string, tag = "5")]
    pub description: String,
    #[prost(bool, tag = "6")]
    pub sourced_externally: bool,
}

/// A resource's type and its id within the type.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ResourceId {
    #[prost(string, tag = "1")]
    pub resource_type: String,
    #[prost(string, tag = "2")]
    pub resource: String,
    #[prost(bool, tag = "3")]
    pub baton_resource: bool,
}

/// How a resource was created. Deprecated, but still written by every connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum CreationSource {
    Unspecified = 0,
    ConnectorListResources = 1,
    ConnectorListGrantsPrincipalJit = 2,
}

/// An image that is stored elsewhere in the file.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct AssetRef {
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Whether a resource, or a person's account, is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum StatusKind {
    Unspecified = 0,
    Enabled = 1,
    Disabled = 2,
    Deleted = 3,
}

/// A status with details. The same bytes in [`Resource`] and in [`UserTrait`].
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Status {
    #[prost(enumeration = "StatusKind", tag = "1")]
    pub status: i32,
    #[prost(string, tag = "2")]
    pub details: String,
}

/// A resource: a person, a group, a role, an app.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, optional, tag = "1")]
    pub id: Option<ResourceId>,
    #[prost(message, optional, tag = "2")]
    pub parent_resource_id: Option<ResourceId>,
    #[prost(string, tag = "3")]
    pub display_name: String,
    #[prost(message, repeated, tag = "4")]
    pub annotations: Vec<Any>,
    #[prost(string, tag = "5")]
    pub description: String,
    #[prost(bool, tag = "6")]
    pub baton_resource: bool,
    #[prost(enumeration = "CreationSource", tag = "8")]
    pub creation_source: i32,
    #[prost(message, optional, tag = "9")]
    pub profile: Option<Struct>,
    #[prost(message, optional, tag = "10")]
    pub icon: Option<AssetRef>,
    #[prost(message, optional, tag = "11")]
    pub status: Option<Status>,
    #[prost(message, optional, tag = "12")]
    pub created_at: Option<Timestamp>,
}

/// The meaning of an entitlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum Purpose {
    Unspecified = 0,
    Assignment = 1,
    Permission = 2,
    Ownership = 3,
}

/// Something that can be held on a resource: membership, a role.
#[derive(Clone, PartialEq, Message)]
pub struct Entitlement {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(string, tag = "3")]
    pub display_name: String,
    #[prost(string, tag = "4")]
    pub description: String,
    #[prost(message, repeated, tag = "5")]
    pub grantable_to: Vec<ResourceType>,
    #[prost(message, repeated, tag = "6")]
    pub annotations: Vec<Any>,
    #[prost(enumeration = "Purpose", tag = "7")]
    pub purpose: i32,
    #[prost(string, tag = "8")]
    pub slug: String,
}

/// The sources of a grant, by entitlement.
#[derive(Clone, PartialEq, Message)]
pub struct GrantSources {
    #[prost(btree_map = "string, message", tag = "1")]
    pub sources: BTreeMap<String, GrantSource>,
}

/// One source of a grant.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct GrantSource {
    #[prost(bool, tag = "1")]
    pub is_direct: bool,
}

/// A grant: who (the principal) holds what (the entitlement).
#[derive(Clone, PartialEq, Message)]
pub struct Grant {
    #[prost(message, optional, tag = "1")]
    pub entitlement: Option<Entitlement>,
    #[prost(message, optional, tag = "2")]
    pub principal: Option<Resource>,
    #[prost(string, tag = "3")]
    pub id: String,
    #[prost(message, repeated, tag = "4")]
    pub annotations: Vec<Any>,
    #[prost(message, optional, tag = "5")]
    pub sources: Option<GrantSources>,
}

/// A mail address of a person.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Email {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(bool, tag = "2")]
    pub is_primary: bool,
}

/// The kind of a person's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum AccountType {
    Unspecified = 0,
    Human = 1,
    Service = 2,
    System = 3,
}

/// Whether a second factor is enabled.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MfaStatus {
    #[prost(bool, tag = "1")]
    pub mfa_enabled: bool,
}

/// Whether single sign-on is used.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SsoStatus {
    #[prost(bool, tag = "1")]
    pub sso_enabled: bool,
}

/// A name, split into its parts.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct StructuredName {
    #[prost(string, tag = "1")]
    pub given_name: String,
    #[prost(string, tag = "2")]
    pub family_name: String,
    #[prost(string, repeated, tag = "3")]
    pub middle_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub prefix: String,
    #[prost(string, tag = "5")]
    pub suffix: String,
}

/// Information about a person. `status`, `profile`, `icon` and `created_at` are deprecated, but old readers need them.
#[derive(Clone, PartialEq, Message)]
pub struct UserTrait {
    #[prost(message, repeated, tag = "1")]
    pub emails: Vec<Email>,
    #[prost(message, optional, tag = "2")]
    pub status: Option<Status>,
    #[prost(message, optional, tag = "3")]
    pub profile: Option<Struct>,
    #[prost(message, optional, tag = "4")]
    pub icon: Option<AssetRef>,
    #[prost(enumeration = "AccountType", tag = "5")]
    pub account_type: i32,
    #[prost(string, tag = "6")]
    pub login: String,
    #[prost(string, repeated, tag = "7")]
    pub login_aliases: Vec<String>,
    #[prost(message, optional, tag = "8")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "9")]
    pub last_login: Option<Timestamp>,
    #[prost(message, optional, tag = "10")]
    pub mfa_status: Option<MfaStatus>,
    #[prost(message, optional, tag = "11")]
    pub sso_status: Option<SsoStatus>,
    #[prost(message, optional, tag = "12")]
    pub structured_name: Option<StructuredName>,
    #[prost(string, repeated, tag = "13")]
    pub employee_ids: Vec<String>,
}

/// Marks a resource as a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupTrait {
    #[prost(message, optional, tag = "1")]
    pub icon: Option<AssetRef>,
    #[prost(message, optional, tag = "2")]
    pub profile: Option<Struct>,
}

/// Marks a resource as a role.
#[derive(Clone, PartialEq, Message)]
pub struct RoleTrait {
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Struct>,
}

/// How an app is displayed, and how people sign in to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum AppFlag {
    Unspecified = 0,
    Hidden = 1,
    Inactive = 2,
    Saml = 3,
    Oidc = 4,
    Bookmark = 5,
}

/// Marks a resource as an app.
#[derive(Clone, PartialEq, Message)]
pub struct AppTrait {
    #[prost(string, tag = "1")]
    pub help_url: String,
    #[prost(message, optional, tag = "2")]
    pub icon: Option<AssetRef>,
    #[prost(message, optional, tag = "3")]
    pub logo: Option<AssetRef>,
    #[prost(message, optional, tag = "4")]
    pub profile: Option<Struct>,
    #[prost(enumeration = "AppFlag", repeated, tag = "5")]
    pub flags: Vec<i32>,
}

/// The kind of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum CredentialType {
    Unspecified = 0,
    StaticSecret = 1,
    AsymmetricKey = 2,
    Certificate = 3,
}

/// Marks a resource as a secret, such as a service token. Never contains the secret itself.
#[derive(Clone, PartialEq, Message)]
pub struct SecretTrait {
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Struct>,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub expires_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub last_used_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub created_by_id: Option<ResourceId>,
    #[prost(message, optional, tag = "6")]
    pub identity_id: Option<ResourceId>,
    #[prost(enumeration = "CredentialType", tag = "7")]
    pub credential_type: i32,
}

/// On a type: its resources have no entitlements and no grants.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SkipEntitlementsAndGrants {}

/// On a type: its resources have no entitlements.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SkipEntitlements {}

/// On a type: its resources have no grants.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SkipGrants {}

/// On a type: the permissions that the credential needs to read or write it.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct CapabilityPermissions {
    #[prost(message, repeated, tag = "1")]
    pub permissions: Vec<CapabilityPermission>,
}

/// One permission, with the name that the external system uses.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct CapabilityPermission {
    #[prost(string, tag = "1")]
    pub permission: String,
}

/// On a resource: a type of its child resources.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChildResourceType {
    #[prost(string, tag = "1")]
    pub resource_type_id: String,
}

/// On a grant to a group: everyone who holds one of these entitlements also holds what is granted.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct GrantExpandable {
    #[prost(string, repeated, tag = "1")]
    pub entitlement_ids: Vec<String>,
    #[prost(bool, tag = "2")]
    pub shallow: bool,
    #[prost(string, repeated, tag = "3")]
    pub resource_type_ids: Vec<String>,
}

/// On a grant: it cannot be revoked here, because it comes from elsewhere.
#[derive(Clone, PartialEq, Message)]
pub struct GrantImmutable {
    #[prost(string, tag = "1")]
    pub source_id: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Struct>,
}

/// On a grant: further information.
#[derive(Clone, PartialEq, Message)]
pub struct GrantMetadata {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Struct>,
}

/// On an entitlement: nothing can be granted or revoked.
#[derive(Clone, PartialEq, Message)]
pub struct EntitlementImmutable {
    #[prost(string, tag = "1")]
    pub source_id: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Struct>,
}

/// The id in the external system.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct RawId {
    #[prost(string, tag = "1")]
    pub id: String,
}

/// A link to the object.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ExternalLink {
    #[prost(string, tag = "1")]
    pub url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_has_the_bytes_that_its_definition_says() {
        let id = |kind: &str, id: &str| Resource {
            id: Some(ResourceId {
                resource_type: kind.into(),
                resource: id.into(),
                baton_resource: false,
            }),
            ..Resource::default()
        };
        let grant = Grant {
            entitlement: Some(Entitlement {
                resource: Some(id("g", "1")),
                id: "g:1:m".into(),
                ..Entitlement::default()
            }),
            principal: Some(id("u", "2")),
            id: "x".into(),
            annotations: vec![annotation(&SkipGrants {})],
            sources: Some(GrantSources {
                sources: BTreeMap::from([
                    ("b".into(), GrantSource { is_direct: true }),
                    ("a".into(), GrantSource { is_direct: false }),
                ]),
            }),
        };
        let expected: &[&[u8]] = &[
            b"\x0a\x11",                                                       // 1: entitlement, 17 bytes
            b"\x0a\x08\x0a\x06\x0a\x01g\x12\x011", // 1: resource, its 1: id, {1: type, 2: resource}
            b"\x12\x05g:1:m",                      // 2: id
            b"\x12\x08\x0a\x06\x0a\x01u\x12\x012", // 2: principal
            b"\x1a\x01x",                          // 3: id
            b"\x22\x30\x0a\x2etype.googleapis.com/c1.connector.v2.SkipGrants", // 4: annotation, empty value
            b"\x2a\x0e",                           // 5: sources
            // The smaller key first, though it was given last; a value that is all defaults may be left out.
            b"\x0a\x03\x0a\x01a",
            b"\x0a\x07\x0a\x01b\x12\x02\x08\x01",
        ];
        assert_eq!(grant.encode_to_vec(), expected.concat());
    }

    #[test]
    fn a_type_has_its_traits_packed() {
        let kind = ResourceType {
            id: "u".into(),
            traits: vec![Trait::User as i32, Trait::ManagedDevice as i32],
            ..ResourceType::default()
        };
        assert_eq!(kind.encode_to_vec(), b"\x0a\x01u\x1a\x02\x01\x0c");
    }

    #[test]
    fn an_annotation_is_found_by_its_kind() {
        let annotations = [annotation(&SkipGrants {}), annotation(&RawId { id: "7".into() })];
        assert_eq!(find::<RawId>(&annotations), Some(RawId { id: "7".into() }));
        assert_eq!(find::<GroupTrait>(&annotations), None);
    }
}
