//! Where people sign in: the identity providers, and the names that rules use for what they say.

use crate::ids::uuid_of;

/// Where someone signs in.
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

/// The SAML attribute and the OpenID Connect claim that name a department.
pub(crate) const DEPARTMENT: &str = "department";

/// Whose members are in the group "Engineering" of their provider.
pub(crate) const ENGINEERING: &str = "Engineering";

/// The id of a group of Entra ID, which rules name in place of the group's name.
pub(crate) fn azure_group_id(name: &str) -> String {
    uuid_of(&format!("azure group: {name}"))
}

/// The id of the identity provider of a type.
pub(crate) fn identity_provider_id(kind: &str) -> String {
    uuid_of(&format!("identity provider: {kind}"))
}
