//! The URLs of a transmitter and its metadata document.
//!
//! Only creates text; makes no requests. Start reading at [`TransmitterMetadata::new`].

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Delivery by push (RFC 8935), as SSF 1.0 §7.1 names it.
pub const DELIVERY_PUSH: &str = "urn:ietf:rfc:8935";
/// Delivery by poll (RFC 8936), as SSF 1.0 §7.1 names it.
pub const DELIVERY_POLL: &str = "urn:ietf:rfc:8936";

/// Where Okta receives tokens, relative to the org URL (Okta management OpenAPI 2026.06.3).
const OKTA_PUSH_PATH: &str = "/security/api/v1/security-events";

/// The well-known name of a transmitter's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WellKnown {
    /// `ssf-configuration`, SSF 1.0.
    Ssf,
    /// `sse-configuration`, from the first drafts; Cloudflare's own integrations use it.
    Sse,
}

impl WellKnown {
    /// The last segment of the well-known path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssf => "ssf-configuration",
            Self::Sse => "sse-configuration",
        }
    }
}

/// Why a URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not a valid URL.
    #[error("{address:?} is not a valid URL: {reason}")]
    NotAUrl {
        /// The given text.
        address: String,
        /// The reason.
        reason: String,
    },
    /// Neither `https`, nor `http` to this machine.
    #[error("{address:?} must start with https (http is allowed only for loopback addresses)")]
    NotHttps {
        /// The given text.
        address: String,
    },
    /// It has a query, a fragment or a user name.
    #[error("{address:?} must not contain a query, a fragment or a user name")]
    NotPlain {
        /// The given text.
        address: String,
    },
}

/// A way to authorise management calls (SSF 1.0 §7.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationScheme {
    /// For example `urn:ietf:rfc:6749` (OAuth 2.0) or `urn:ietf:rfc:6750` (bearer tokens).
    pub spec_urn: String,
}

/// The transmitter configuration metadata (SSF 1.0 §7.1).
///
/// Empty lists are omitted in the document, as §7.2.3 requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransmitterMetadata {
    /// `1_0` (CAEP Interop requires `1_0` or later).
    pub spec_version: String,
    /// The `iss` of every token, byte for byte.
    pub issuer: String,
    /// The URL of the public keys.
    pub jwks_uri: String,
    /// [`DELIVERY_PUSH`], [`DELIVERY_POLL`] or both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_methods_supported: Vec<String>,
    /// Where streams are created and changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_endpoint: Option<String>,
    /// Where a stream's status is read and set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_endpoint: Option<String>,
    /// Where subjects are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_subject_endpoint: Option<String>,
    /// Where subjects are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_subject_endpoint: Option<String>,
    /// Where a verification event is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_endpoint: Option<String>,
    /// How management calls are authorised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_schemes: Vec<AuthorizationScheme>,
    /// Members of complex subjects that a receiver must understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical_subject_members: Vec<String>,
    /// `ALL` or `NONE`: whether a new stream includes every subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_subjects: Option<String>,
}

impl TransmitterMetadata {
    /// The document of a transmitter that pushes and has no stream management: what an Okta integration needs. The
    /// caller sets other members.
    ///
    /// # Errors
    ///
    /// [`AddressError`] if the issuer is not a plain `https` URL.
    pub fn new(issuer: &str, jwks_uri: &str) -> Result<Self, AddressError> {
        plain_url(issuer)?;
        plain_url(jwks_uri)?;
        Ok(Self {
            spec_version: "1_0".to_owned(),
            issuer: issuer.to_owned(),
            jwks_uri: jwks_uri.to_owned(),
            delivery_methods_supported: vec![DELIVERY_PUSH.to_owned()],
            configuration_endpoint: None,
            status_endpoint: None,
            add_subject_endpoint: None,
            remove_subject_endpoint: None,
            verification_endpoint: None,
            authorization_schemes: Vec::new(),
            critical_subject_members: Vec::new(),
            default_subjects: Some("ALL".to_owned()),
        })
    }
}

/// The URL of the metadata of `issuer`: the well-known path goes between host and path, after removing a trailing slash
/// (SSF 1.0 §7.2).
///
/// # Errors
///
/// [`AddressError`] if the issuer is not a plain `https` URL.
pub fn well_known_url(issuer: &str, name: WellKnown) -> Result<String, AddressError> {
    let url = plain_url(issuer)?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    Ok(format!(
        "{}/.well-known/{}{path}",
        url.origin().ascii_serialization(),
        name.name()
    ))
}

/// The URL to post a token for the Okta org at `tenant_url`.
///
/// # Errors
///
/// [`AddressError`] if it is not a plain `https` URL. The sender checks whether the host is allowed, and whether it is
/// Okta's.
pub fn okta_push_url(tenant_url: &str) -> Result<String, AddressError> {
    Ok(format!("{}{OKTA_PUSH_PATH}", okta_audience(tenant_url)?))
}

/// The `aud` that the Okta org at `tenant_url` accepts: its URL without a trailing slash.
///
/// # Errors
///
/// As [`okta_push_url`].
pub fn okta_audience(tenant_url: &str) -> Result<String, AddressError> {
    let url = plain_url(tenant_url)?;
    Ok(format!(
        "{}{}",
        url.origin().ascii_serialization(),
        url.path().trim_end_matches('/')
    ))
}

fn plain_url(address: &str) -> Result<Url, AddressError> {
    let address = address.trim();
    let url = Url::parse(address).map_err(|error| AddressError::NotAUrl {
        address: address.to_owned(),
        reason: error.to_string(),
    })?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => {
            return Err(AddressError::NotHttps {
                address: address.to_owned(),
            });
        }
    }
    let plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain {
        Ok(url)
    } else {
        Err(AddressError::NotPlain {
            address: address.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_goes_between_host_and_path() {
        for (issuer, name, found) in [
            (
                "https://h.example/a/b",
                WellKnown::Ssf,
                "https://h.example/.well-known/ssf-configuration/a/b",
            ),
            (
                "https://h.example/a/b/",
                WellKnown::Sse,
                "https://h.example/.well-known/sse-configuration/a/b",
            ),
            (
                "https://h.example",
                WellKnown::Ssf,
                "https://h.example/.well-known/ssf-configuration",
            ),
            (
                "https://h.example/",
                WellKnown::Ssf,
                "https://h.example/.well-known/ssf-configuration",
            ),
            (
                "https://h.example:8443/i",
                WellKnown::Ssf,
                "https://h.example:8443/.well-known/ssf-configuration/i",
            ),
            (
                "http://127.0.0.1:9/i",
                WellKnown::Ssf,
                "http://127.0.0.1:9/.well-known/ssf-configuration/i",
            ),
        ] {
            assert_eq!(well_known_url(issuer, name).as_deref(), Ok(found));
        }
    }

    #[test]
    fn an_issuer_is_a_plain_https_address() {
        for bad in [
            "h.example",
            "http://h.example",
            "https://h.example/?x=1",
            "https://h.example/#x",
            "https://u@h.example",
        ] {
            assert!(well_known_url(bad, WellKnown::Ssf).is_err(), "{bad}");
        }
    }

    #[test]
    fn okta_is_addressed_without_a_closing_slash() {
        for tenant in [
            "https://tenant.okta.com",
            "https://tenant.okta.com/",
            " https://Tenant.okta.com// ",
        ] {
            assert_eq!(okta_audience(tenant).as_deref(), Ok("https://tenant.okta.com"));
            assert_eq!(
                okta_push_url(tenant).as_deref(),
                Ok("https://tenant.okta.com/security/api/v1/security-events")
            );
        }
    }

    #[test]
    fn an_empty_list_is_left_out_of_the_document() {
        let mut metadata =
            TransmitterMetadata::new("https://h.example/i", "https://h.example/i/jwks.json").unwrap();
        let document = serde_json::to_value(&metadata).unwrap();
        assert_eq!(
            document["delivery_methods_supported"],
            serde_json::json!([DELIVERY_PUSH])
        );
        metadata.delivery_methods_supported.clear();
        let document = serde_json::to_value(&metadata).unwrap();
        for claim in [
            "delivery_methods_supported",
            "authorization_schemes",
            "critical_subject_members",
        ] {
            assert_eq!(document.get(claim), None, "{claim}");
        }
    }
}
