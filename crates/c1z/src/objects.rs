//! Creates messages as readers expect them: conventional ids, stubs instead of copies, old fields in addition to new
//! ones.

use crate::message::{
    AccountType, AppTrait, CreationSource, Email, Entitlement, Grant, GrantExpandable, GrantImmutable,
    GrantSource, GrantSources, GroupTrait, MfaStatus, Purpose, Resource, ResourceId, ResourceType, RoleTrait,
    SecretTrait, SsoStatus, Status, StatusKind, StructuredName, Trait, UserTrait, annotation,
};
use chrono::{DateTime, Utc};
use prost_types::{Struct, Timestamp, Value, value::Kind};

/// A value of a profile.
pub use prost_types::Value as ProfileValue;
use std::collections::BTreeMap;

/// A time in the format of messages.
pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: at.timestamp(),
        // A leap second would be 1.x seconds of nanoseconds, which the message forbids.
        nanos: at.timestamp_subsec_nanos().min(999_999_999) as i32,
    }
}

/// A text as a profile value.
pub fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

/// A boolean as a profile value.
pub fn yes_or_no(yes: bool) -> Value {
    Value {
        kind: Some(Kind::BoolValue(yes)),
    }
}

/// A number as a profile value.
pub fn number(number: f64) -> Value {
    Value {
        kind: Some(Kind::NumberValue(number)),
    }
}

/// A list as a profile value.
pub fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value {
        kind: Some(Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().collect(),
        })),
    }
}

/// A profile: further information about a resource, by name. Sorted, regardless of the given order.
pub fn profile<N: Into<String>>(fields: impl IntoIterator<Item = (N, Value)>) -> Struct {
    Struct {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
    }
}

impl ResourceId {
    /// The resource `id` of the type `resource_type`.
    pub fn new(resource_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            resource_type: resource_type.into(),
            resource: id.into(),
            baton_resource: false,
        }
    }
}

impl ResourceType {
    /// A type with traits and no other information.
    pub fn new(id: impl Into<String>, display_name: impl Into<String>, traits: &[Trait]) -> Self {
        Self {
            id: id.into(),
            display_name: display_name.into(),
            traits: traits.iter().map(|one| *one as i32).collect(),
            ..Self::default()
        }
    }

    /// Adds an annotation, such as [`crate::message::SkipGrants`].
    #[must_use]
    pub fn annotated(mut self, with: &impl prost::Name) -> Self {
        self.annotations.push(annotation(with));
        self
    }
}

impl Status {
    /// A status without details.
    pub fn new(status: StatusKind) -> Self {
        Self {
            status: status as i32,
            details: String::new(),
        }
    }
}

/// A person, or an account that acts like one.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Mail addresses, primary first.
    pub emails: Vec<String>,
    /// The login name of the account.
    pub login: String,
    /// Whether the account is in use.
    pub status: Status,
    /// Further information.
    pub profile: Struct,
    /// The kind of account; by default a person's.
    pub account_type: Option<AccountType>,
    /// First name; also a column of `baton export csv`, like the two after it.
    pub given_name: String,
    /// Last name.
    pub family_name: String,
    /// Employee ids of the account's owner.
    pub employee_ids: Vec<String>,
    /// When the account was created.
    pub created_at: Option<DateTime<Utc>>,
    /// When the account was last used to sign in.
    pub last_login: Option<DateTime<Utc>>,
    /// Whether a second factor is enabled, if known.
    pub mfa_enabled: Option<bool>,
    /// Whether single sign-on is used, if known.
    pub sso_enabled: Option<bool>,
}

impl User {
    /// The resource. It contains status, profile and creation time twice, for new and old readers.
    ///
    /// Adds `user_id`, `first_name` and `last_name` to the profile unless present, because table exports read them
    /// there.
    pub fn resource(self, id: ResourceId, display_name: impl Into<String>) -> Resource {
        let mut profile = self.profile;
        for (name, value) in [
            ("user_id", &id.resource),
            ("first_name", &self.given_name),
            ("last_name", &self.family_name),
        ] {
            let given = profile.fields.entry(name.to_owned());
            given.or_insert_with(|| text(value));
        }
        let is_named = !(self.given_name.is_empty() && self.family_name.is_empty());
        let about = UserTrait {
            emails: self
                .emails
                .into_iter()
                .enumerate()
                .map(|(place, address)| Email {
                    address,
                    is_primary: place == 0,
                })
                .collect(),
            status: Some(self.status.clone()),
            profile: Some(profile.clone()),
            account_type: self.account_type.unwrap_or(AccountType::Human) as i32,
            login: self.login,
            created_at: self.created_at.map(timestamp),
            last_login: self.last_login.map(timestamp),
            mfa_status: self.mfa_enabled.map(|mfa_enabled| MfaStatus { mfa_enabled }),
            sso_status: self.sso_enabled.map(|sso_enabled| SsoStatus { sso_enabled }),
            structured_name: is_named.then_some(StructuredName {
                given_name: self.given_name,
                family_name: self.family_name,
                ..StructuredName::default()
            }),
            employee_ids: self.employee_ids,
            ..UserTrait::default()
        };
        Resource {
            profile: Some(profile),
            status: Some(self.status),
            created_at: about.created_at,
            ..Resource::with_trait(id, display_name, &about)
        }
    }
}

impl Resource {
    /// A resource with one trait, which defines its kind.
    pub fn with_trait(id: ResourceId, display_name: impl Into<String>, what: &impl prost::Name) -> Self {
        Self {
            id: Some(id),
            display_name: display_name.into(),
            annotations: vec![annotation(what)],
            creation_source: CreationSource::ConnectorListResources as i32,
            ..Self::default()
        }
    }

    /// A group. Contains its profile twice, for new and old readers; the same applies to the functions below.
    pub fn group(id: ResourceId, display_name: impl Into<String>, profile: Struct) -> Self {
        let what = GroupTrait {
            profile: Some(profile.clone()),
            ..GroupTrait::default()
        };
        Self {
            profile: Some(profile),
            ..Self::with_trait(id, display_name, &what)
        }
    }

    /// A role.
    pub fn role(id: ResourceId, display_name: impl Into<String>, profile: Struct) -> Self {
        let what = RoleTrait {
            profile: Some(profile.clone()),
        };
        Self {
            profile: Some(profile),
            ..Self::with_trait(id, display_name, &what)
        }
    }

    /// An app.
    pub fn app(id: ResourceId, display_name: impl Into<String>, profile: Struct, what: AppTrait) -> Self {
        let what = AppTrait {
            profile: Some(profile.clone()),
            ..what
        };
        Self {
            profile: Some(profile),
            ..Self::with_trait(id, display_name, &what)
        }
    }

    /// A secret, such as a service token.
    pub fn secret(
        id: ResourceId,
        display_name: impl Into<String>,
        profile: Struct,
        what: SecretTrait,
    ) -> Self {
        let what = SecretTrait {
            profile: Some(profile.clone()),
            ..what
        };
        Self {
            profile: Some(profile),
            created_at: what.created_at,
            ..Self::with_trait(id, display_name, &what)
        }
    }

    /// Only the id. Readers join by it, and a grant with copies would be five times as large.
    pub fn stub(id: ResourceId) -> Self {
        Self {
            id: Some(id),
            ..Self::default()
        }
    }
}

impl Entitlement {
    /// The id of an entitlement: `{type}:{resource}:{slug}`.
    pub fn id_of(resource: &ResourceId, slug: &str) -> String {
        format!("{}:{}:{slug}", resource.resource_type, resource.resource)
    }

    /// An entitlement of `resource` that the types `grantable_to` can hold. The slug determines its id.
    pub fn new(
        resource: ResourceId,
        slug: &str,
        display_name: impl Into<String>,
        purpose: Purpose,
        grantable_to: &[&str],
    ) -> Self {
        let stub = |id: &&str| ResourceType {
            id: (*id).to_owned(),
            ..ResourceType::default()
        };
        Self {
            id: Self::id_of(&resource, slug),
            resource: Some(Resource::stub(resource)),
            display_name: display_name.into(),
            grantable_to: grantable_to.iter().map(stub).collect(),
            purpose: purpose as i32,
            slug: slug.to_owned(),
            ..Self::default()
        }
    }
}

impl Grant {
    /// The id of a grant: `{entitlement}:{principal's type}:{principal}`.
    pub fn id_of(entitlement_id: &str, principal: &ResourceId) -> String {
        format!(
            "{entitlement_id}:{}:{}",
            principal.resource_type, principal.resource
        )
    }

    /// A grant of the entitlement `slug` of `resource` to `principal`.
    pub fn new(resource: ResourceId, slug: &str, principal: ResourceId) -> Self {
        let entitlement_id = Entitlement::id_of(&resource, slug);
        Self {
            id: Self::id_of(&entitlement_id, &principal),
            entitlement: Some(Entitlement {
                id: entitlement_id,
                resource: Some(Resource::stub(resource)),
                ..Entitlement::default()
            }),
            principal: Some(Resource::stub(principal)),
            ..Self::default()
        }
    }

    /// Marks that everyone who holds one of the principal's `entitlement_ids` also holds this grant. `shallow`: only
    /// those who hold it directly. `resource_type_ids`: only principals of these types.
    #[must_use]
    pub fn expandable(
        mut self,
        entitlement_ids: Vec<String>,
        shallow: bool,
        resource_type_ids: Vec<String>,
    ) -> Self {
        self.annotations.push(annotation(&GrantExpandable {
            entitlement_ids,
            shallow,
            resource_type_ids,
        }));
        self
    }

    /// Marks that the grant follows from other entitlements; each comes with whether the principal holds it directly.
    /// The grant cannot be revoked here, only at its source.
    #[must_use]
    pub fn derived(mut self, sources: impl IntoIterator<Item = (String, bool)>) -> Self {
        let sources: BTreeMap<_, _> = sources
            .into_iter()
            .map(|(entitlement_id, is_direct)| (entitlement_id, GrantSource { is_direct }))
            .collect();
        let source_id = sources.keys().next().cloned().unwrap_or_default();
        self.annotations.push(annotation(&GrantImmutable {
            source_id,
            metadata: None,
        }));
        self.sources = Some(GrantSources { sources });
        self
    }
}
