//! Secrets at rest: sealed with a key that lies outside the database, shown only as fingerprints.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{io::Write, path::Path};

/// Length of the key: AES-256.
const KEY_BYTES: usize = 32;
/// Length of the nonce that stands before each sealed value.
const NONCE_BYTES: usize = 12;

/// The environment variable that holds the key in place of a file.
pub const ENVIRONMENT: &str = "FLAREWARD_SECRET_KEY";

/// Seals and opens secrets. Each is bound to the place where it is kept, so that a sealed value moved to
/// another row does not open.
pub struct Sealer {
    key: RandomizedNonceKey,
    fingerprint: String,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The key file cannot be read or made.
    #[error("could not read or create the key file {path}")]
    KeyFile {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key is not 32 bytes in base64.
    #[error("{0} must contain 32 bytes in base64: create a key with `openssl rand -base64 32`")]
    KeyShape(String),
    /// The value was sealed with another key, or changed since.
    #[error("cannot decrypt a stored secret: it was encrypted with another key")]
    WrongKey,
    /// The machine gives no randomness.
    #[error("the system's random number generator failed")]
    Random,
}

impl Sealer {
    /// The key from `FLAREWARD_SECRET_KEY` if it is set, else from the file; `None` where there is neither.
    ///
    /// # Errors
    ///
    /// When the key has another shape or the file cannot be read.
    pub fn read(from_environment: Option<&str>, file: &Path) -> Result<Option<Self>, SecretError> {
        if let Some(text) = from_environment {
            return Self::from_base64(text, ENVIRONMENT).map(Some);
        }
        match std::fs::read_to_string(file) {
            Ok(text) => Self::from_base64(&text, &file.display().to_string()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(key_file(file)(error)),
        }
    }

    /// A new key, which is written to the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written or the system's random number generator failed.
    pub fn make(file: &Path) -> Result<Self, SecretError> {
        let text = STANDARD.encode(random_bytes::<KEY_BYTES>()?);
        write_private(file, &text).map_err(key_file(file))?;
        // Another process may have been first: what lies there counts.
        let text = std::fs::read_to_string(file).map_err(key_file(file))?;
        Self::from_base64(&text, &file.display().to_string())
    }

    /// By which the key can be told from others without being shown: 16 hex digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn from_base64(text: &str, name: &str) -> Result<Self, SecretError> {
        let shape = || SecretError::KeyShape(name.to_owned());
        let bytes = STANDARD.decode(text.trim()).map_err(|_| shape())?;
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| shape())?;
        let digest = Sha256::new()
            .chain_update(b"flareward sealing key\n")
            .chain_update(&bytes);
        let fingerprint = hex::encode(&digest.finalize()[..8]);
        Ok(Self { key, fingerprint })
    }

    /// Seals `secret` for `place`, for example `connection/ID/credential`.
    ///
    /// # Errors
    ///
    /// When the system's random number generator failed.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, SecretError> {
        let mut text = secret.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| SecretError::Random)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend(text);
        Ok(sealed)
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    ///
    /// [`SecretError::WrongKey`] for another key, another place or changed bytes.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let (nonce, text) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(SecretError::WrongKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::WrongKey)?;
        let mut text = text.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| SecretError::WrongKey)?;
        Ok(opened.to_vec())
    }

    /// Opens what was sealed as text.
    ///
    /// # Errors
    ///
    /// As [`Sealer::unseal`].
    pub fn unseal_text(&self, place: &str, sealed: &[u8]) -> Result<SecretString, SecretError> {
        let text = String::from_utf8(self.unseal(place, sealed)?).map_err(|_| SecretError::WrongKey)?;
        Ok(SecretString::from(text))
    }
}

fn key_file(file: &Path) -> impl FnOnce(std::io::Error) -> SecretError {
    let path = file.display().to_string();
    move |source| SecretError::KeyFile { path, source }
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    match crate::private::new_file(file) {
        Ok(mut opened) => {
            opened.write_all(text.as_bytes())?;
            opened.sync_all()
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Randomness from the machine.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| SecretError::Random)?;
    Ok(bytes)
}

/// A new token that nobody can guess, behind a prefix that secret scanners can look for.
///
/// # Errors
///
/// When the system's random number generator failed.
pub fn new_token(prefix: &str) -> Result<SecretString, SecretError> {
    Ok(SecretString::from(format!(
        "{prefix}_{}",
        URL_SAFE_NO_PAD.encode(random_bytes::<32>()?)
    )))
}

/// SHA-256 in hex: what is stored of a token that is random in itself.
pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Whether `digest` is the digest of `text`. Takes the same time wherever the two differ.
pub fn is_digest_of(text: &str, digest: &str) -> bool {
    verify_slices_are_equal(self::digest(text).as_bytes(), digest.as_bytes()).is_ok()
}

/// Eight hex digits by which credentials can be told apart without showing any of them.
pub fn fingerprint(secret: &SecretString) -> String {
    digest(secret.expose_secret())[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_in_its_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.key");
        assert!(Sealer::read(None, &file).unwrap().is_none());
        let made = Sealer::make(&file).unwrap();
        let sealed = made.seal("a", b"s3cret").unwrap();
        let again = Sealer::read(None, &file).unwrap().unwrap();
        assert_eq!(again.fingerprint(), made.fingerprint());
        assert_eq!(
            Sealer::make(&file).unwrap().fingerprint(),
            made.fingerprint(),
            "the first one counts"
        );
        assert_eq!(again.unseal("a", &sealed).unwrap(), b"s3cret");
        assert!(matches!(again.unseal("b", &sealed), Err(SecretError::WrongKey)));
        let other = Sealer::read(Some(&STANDARD.encode([7; 32])), &file)
            .unwrap()
            .unwrap();
        assert_ne!(other.fingerprint(), made.fingerprint());
        assert!(matches!(other.unseal("a", &sealed), Err(SecretError::WrongKey)));
        assert!(matches!(
            Sealer::read(Some("short"), &file),
            Err(SecretError::KeyShape(_))
        ));
    }
}
