//! The URLs of a transmitter and its metadata document.
//!
//! Only creates text; makes no requests. Start reading at [`TransmitterMetadata::new`].

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Delivery by push (RFC 8935), as SSF 1.0 §7.1 names it.
pub const DELIVERY_PUSH: &str = "urn:ietf:rfc:8935";
/// Delivery by poll (RFC 8936), as SSF 1.0 §7.1 names it.
pub const DELIVERY_POLL: &str = "urn:ietf:rfc:8936";

/// Where Okta takes tokens, below the org URL (Okta management OpenAPI 2026.06.3).
const OKTA_PUSH_PATH: &str = "/security/api/v1/security-events";

/// Under which name a transmitter's metadata is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WellKnown {
    /// `ssf-configuration`, SSF 1.0.
    Ssf,
    /// `sse-configuration`, the first drafts; the name that Cloudflare's real integrations use.
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

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not parse.
    #[error("{address:?} is not an address: {reason}")]
    NotAUrl {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither `https`, nor `http` to this machine.
    #[error("{address:?} must begin with https (http is for loopback addresses only)")]
    NotHttps {
        /// What was given.
        address: String,
    },
    /// It has a query, a fragment or a user name.
    #[error("{address:?} must not have a query, a fragment or a user name")]
    NotPlain {
        /// What was given.
        address: String,
    },
}

/// A way to authorise management calls (SSF 1.0 §7.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationScheme {
    /// For instance `urn:ietf:rfc:6749` (OAuth 2.0) or `urn:ietf:rfc:6750` (bearer tokens).
    pub spec_urn: String,
}

/// The transmitter configuration metadata (SSF 1.0 §7.1).
///
/// Empty lists are left out when it is written, as §7.2.3 demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransmitterMetadata {
    /// `1_0` (CAEP Interop demands `1_0` or greater).
    pub spec_version: String,
    /// The `iss` of every token, byte for byte.
    pub issuer: String,
    /// Where the public keys are.
    pub jwks_uri: String,
    /// [`DELIVERY_PUSH`], [`DELIVERY_POLL`] or both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_methods_supported: Vec<String>,
    /// Where streams are made and changed.
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
    /// Where a verification event is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_endpoint: Option<String>,
    /// How management calls are authorised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_schemes: Vec<AuthorizationScheme>,
    /// Members of complex subjects that a receiver must understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical_subject_members: Vec<String>,
    /// `ALL` or `NONE`: whether a new stream has every subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_subjects: Option<String>,
}

impl TransmitterMetadata {
    /// The document of a transmitter that pushes and offers no stream management: what an Okta
    /// integration needs. Other members are set by the caller.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when the issuer is not a plain `https` address.
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

/// Where the metadata of `issuer` is found: the well-known path goes between host and path, after
/// a closing slash was taken off (SSF 1.0 §7.2).
///
/// # Errors
///
/// [`AddressError`] when the issuer is not a plain `https` address.
pub fn well_known_url(issuer: &str, name: WellKnown) -> Result<String, AddressError> {
    let url = plain_url(issuer)?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    Ok(format!(
        "{}/.well-known/{}{path}",
        url.origin().ascii_serialization(),
        name.name()
    ))
}

/// Where a token for the Okta org at `tenant_url` is posted.
///
/// # Errors
///
/// [`AddressError`] when it is not a plain `https` address. Whether the host may be reached, and
/// whether it is Okta's, is the sender's business.
pub fn okta_push_url(tenant_url: &str) -> Result<String, AddressError> {
    Ok(format!("{}{OKTA_PUSH_PATH}", okta_audience(tenant_url)?))
}

/// The `aud` that the Okta org at `tenant_url` accepts: its URL without a closing slash.
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
