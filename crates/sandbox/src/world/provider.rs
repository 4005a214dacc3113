//! Where people sign in: the identity providers, and the names that rules use for what they say.

use crate::ids::uuid_of;

/// An identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Okta,
    Azure,
    Saml,
    OpenIdConnect,
    OneTimePin,
    GitHub,
    GoogleWorkspace,
}

impl Provider {
    pub(crate) const ALL: [Self; 7] = [
        Self::Okta,
        Self::OneTimePin,
        Self::Azure,
        Self::Saml,
        Self::OpenIdConnect,
        Self::GitHub,
        Self::GoogleWorkspace,
    ];

    /// The `type` of the identity provider.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Okta => "okta",
            Self::Azure => "azureAD",
            Self::Saml => "saml",
            Self::OpenIdConnect => "oidc",
            Self::OneTimePin => "onetimepin",
            Self::GitHub => "github",
            Self::GoogleWorkspace => "google-apps",
        }
    }

    pub(crate) fn id(self) -> String {
        identity_provider_id(self.kind())
    }
}

/// The SAML attribute and the OpenID Connect claim for a department.
pub(crate) const DEPARTMENT: &str = "department";

/// The department whose people are in their provider's group "Engineering".
pub(crate) const ENGINEERING: &str = "Engineering";

/// The id of an Entra ID group, which rules use instead of the group's name.
pub(crate) fn azure_group_id(name: &str) -> String {
    uuid_of(&format!("azure group: {name}"))
}

/// The id of the identity provider of a type.
pub(crate) fn identity_provider_id(kind: &str) -> String {
    uuid_of(&format!("identity provider: {kind}"))
}
