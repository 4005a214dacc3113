//! The credential that authenticates the calls, and the environment variables that the official tools use for it.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// A secret that Cloudflare accepts. It is never printed.
#[derive(Debug, Clone)]
pub enum Credential {
    /// An API token, owned by a user or by an account.
    Token(SecretString),
    /// A user's address and global API key, with all permissions of that user.
    GlobalKey {
        /// The user's address.
        email: String,
        /// The key.
        key: SecretString,
    },
}

/// The official tools' environment variable for an API token.
pub const ENV_API_TOKEN: &str = "CLOUDFLARE_API_TOKEN";
/// The official tools' environment variable for the account.
pub const ENV_ACCOUNT_ID: &str = "CLOUDFLARE_ACCOUNT_ID";
/// The official tools' environment variable for the address of a global key.
pub const ENV_EMAIL: &str = "CLOUDFLARE_EMAIL";
/// The official tools' environment variable for a global key.
pub const ENV_API_KEY: &str = "CLOUDFLARE_API_KEY";
/// The official SDKs' environment variable for the API's URL.
pub const ENV_BASE_URL: &str = "CLOUDFLARE_BASE_URL";

impl Credential {
    /// An API token. Surrounding whitespace, such as the final newline of a file, is removed.
    pub fn token(token: &str) -> Self {
        Self::Token(SecretString::from(token.trim()))
    }

    /// A global key.
    pub fn global_key(email: &str, key: &str) -> Self {
        Self::GlobalKey {
            email: email.trim().to_owned(),
            key: SecretString::from(key.trim()),
        }
    }

    /// The secret part, for encryption. Never log it.
    pub fn secret(&self) -> &SecretString {
        match self {
            Self::Token(token) => token,
            Self::GlobalKey { key, .. } => key,
        }
    }

    /// The address of a global key.
    pub fn email(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::GlobalKey { email, .. } => Some(email),
        }
    }

    /// The headers that authenticate a call.
    ///
    /// # Errors
    ///
    /// If the secret has characters that are not allowed in a header.
    pub(crate) fn headers(&self) -> Result<HeaderMap, InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        match self {
            Self::Token(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Self::GlobalKey { email, key } => {
                headers.insert(
                    HeaderName::from_static("x-auth-email"),
                    HeaderValue::from_str(email)?,
                );
                let mut value = HeaderValue::from_str(key.expose_secret())?;
                value.set_sensitive(true);
                headers.insert(HeaderName::from_static("x-auth-key"), value);
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_print_its_secret() {
        let printed = format!(
            "{:?} {:?}",
            Credential::token("s3cret\n"),
            Credential::global_key("a@b", "s3cret")
        );
        assert!(!printed.contains("s3cret"), "{printed}");
        assert_eq!(Credential::token("s3cret\n").secret().expose_secret(), "s3cret");
    }
}
