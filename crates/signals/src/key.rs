//! Signing keys (RSA, RS256) and the published form of their public half.
//!
//! The private key is parsed once and kept, because parsing costs more than signing. It leaves a [`SigningKey`] only
//! through [`SigningKey::to_pkcs8`], for encrypted storage.
//!
//! Every tested receiver accepts RS256, and CAEP Interop requires it with at least 2048 bits.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A private key that signs tokens. Its debug output contains only the `kid`.
pub struct SigningKey {
    pair: KeyPair,
    public: PublicJwk,
}

/// The public half of a signing key (RFC 7517, RFC 7518 §6.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    /// Always `RSA`.
    pub kty: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Always `RS256`.
    pub alg: String,
    /// The RFC 7638 thumbprint with SHA-256, base64url.
    pub kid: String,
    /// The modulus, base64url, big-endian without leading zeros.
    pub n: String,
    /// The public exponent, in the same encoding.
    pub e: String,
}

/// A JWK set document (RFC 7517 §5): the current key, and during a rotation also the next and the previous one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys; receivers choose by `kid`.
    pub keys: Vec<PublicJwk>,
}

/// The protected header of a JWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Header {
    alg: &'static str,
    kid: String,
    typ: String,
}

/// Why a key cannot be created or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The random generator or the key generation failed.
    #[error("could not generate an RSA key")]
    Generate,
    /// The bytes are not an RSA private key in PKCS#8.
    #[error("not an unencrypted PKCS#8 RSA private key of at least 2048 bits: {reason}")]
    Parse {
        /// The cryptographic library's error.
        reason: String,
    },
    /// The key could not be exported.
    #[error("could not write the key as PKCS#8")]
    Export,
    /// Signing failed.
    #[error("could not sign")]
    Sign,
}

impl SigningKey {
    /// A new RSA key with 2048 bits, from the system's secure random source.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generate`] if the system provides no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_pair(KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?)
    }

    /// A key from unencrypted PKCS#8 DER bytes. Keys with fewer than 2048 bits are refused.
    ///
    /// # Errors
    ///
    /// [`KeyError::Parse`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pair(KeyPair::from_pkcs8(der).map_err(|rejected| KeyError::Parse {
            reason: rejected.to_string(),
        })?)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, KeyError> {
        if pair.public_modulus_len() < 256 {
            return Err(KeyError::Parse {
                reason: "the modulus is too short".to_owned(),
            });
        }
        let public = PublicJwk::new(
            pair.public_key().modulus().big_endian_without_leading_zero(),
            pair.public_key().exponent().big_endian_without_leading_zero(),
        );
        Ok(Self { pair, public })
    }

    /// The private key as unencrypted PKCS#8 DER. Encrypt it before you store it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Export`].
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        Ok(self
            .pair
            .as_der()
            .map_err(|_| KeyError::Export)?
            .as_ref()
            .to_vec())
    }

    /// The key id: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// The public half, for publication.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Signs `claims` (RS256: RSASSA-PKCS1-v1_5 with SHA-256) and returns the compact JWS.
    ///
    /// The same header and claims give the same bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Sign`].
    pub fn sign(&self, header: &Header, claims: &Value) -> Result<String, KeyError> {
        let header = serde_json::to_vec(header).map_err(|_| KeyError::Sign)?;
        let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Sign)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &rand::SystemRandom::new(),
                token.as_bytes(),
                &mut signature,
            )
            .map_err(|_| KeyError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKey")
            .field("kid", &self.public.kid)
            .finish_non_exhaustive()
    }
}

impl PublicJwk {
    fn new(modulus: &[u8], exponent: &[u8]) -> Self {
        let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        // RFC 7638 §3.2: the required members in lexical order, without white space.
        let hashed = digest::digest(
            &digest::SHA256,
            format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes(),
        );
        Self {
            kty: "RSA".to_owned(),
            usage: "sig".to_owned(),
            alg: "RS256".to_owned(),
            kid: URL_SAFE_NO_PAD.encode(hashed),
            n,
            e,
        }
    }
}

impl Jwks {
    /// The document with these keys. A repeated key is listed once.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a PublicJwk>) -> Self {
        let mut listed: Vec<PublicJwk> = Vec::new();
        for key in keys {
            if listed.iter().all(|other| other.kid != key.kid) {
                listed.push(key.clone());
            }
        }
        Self { keys: listed }
    }
}

impl Header {
    /// The header of a Security Event Token: `typ` is `secevent+jwt` (SSF 1.0 §4.1.1).
    pub fn set(key: &SigningKey) -> Self {
        Self {
            alg: "RS256",
            kid: key.kid().to_owned(),
            typ: "secevent+jwt".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_example_in_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = PublicJwk::new(&URL_SAFE_NO_PAD.decode(n).unwrap(), &[1, 0, 1]);
        assert_eq!((jwk.n.as_str(), jwk.e.as_str()), (n, "AQAB"));
        assert_eq!(jwk.kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn junk_is_not_a_key() {
        assert!(matches!(
            SigningKey::from_pkcs8(b"junk"),
            Err(KeyError::Parse { .. })
        ));
    }
}
