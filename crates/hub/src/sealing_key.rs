//! The key that seals secrets is the one that the database was begun with, or nothing starts.
//!
//! A key that is missing, another one, and a database that is empty beside an archive that is not: each would let the
//! program run with secrets that it cannot open, and give up what waits for them. Reads `sealing_key` and, of a database
//! of before there was one, a sealed value; writes `sealing_key`. Start reading at `open`.

use crate::app::credential_place;
use crate::archive::{Archive, ArchiveError};
use crate::coaching::campaign;
use crate::private::key_file;
use crate::secret::{ENVIRONMENT, Sealer, SecretError};
use crate::transmit::keys;
use chrono::{DateTime, Utc};
use std::path::Path;
use store::{Store, StoreError};

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    /// There is no key, and secrets that need it.
    #[error(
        "{file} is missing, and the database contains secrets encrypted with this key: restore the file \
             from a backup of the data folder, or set {ENVIRONMENT} to its content"
    )]
    Missing {
        /// Where the key should be.
        file: String,
    },
    /// The key is not the one that the secrets were sealed with.
    #[error(
        "the key in {source_name} (fingerprint {have}) is not the key that the secrets in the database are \
             encrypted with{wanted}: restore {file} from a backup of the data folder that belongs to \
             this database, or set {ENVIRONMENT} to its content"
    )]
    Other {
        /// Where the key was read.
        source_name: String,
        /// Its fingerprint.
        have: String,
        /// The fingerprint of the right one in parentheses, if it is known.
        wanted: String,
        /// Where the right one belongs.
        file: String,
    },
    /// The database is empty, and the archive is not.
    #[error(
        "the database is empty, but the archive {archive} contains batches: restore the matching database from a backup, or move the archive away to start over"
    )]
    Emptied {
        /// Where the archive is.
        archive: String,
    },
    /// The key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// The sealer with the key of this database. One is made where nothing was ever sealed.
///
/// # Errors
///
/// See [`SealingKeyError`]; nothing is written then.
pub(crate) async fn open(
    store: &Store,
    archive: &Archive,
    data: &Path,
    now: DateTime<Utc>,
) -> Result<Sealer, SealingKeyError> {
    let from_environment = std::env::var(ENVIRONMENT).ok();
    let file = key_file(data);
    let recorded = store.sealing_key().await?;
    let sealed = match &recorded {
        Some(_) => None,
        None => any_sealed(store).await?,
    };
    let found = Sealer::read(from_environment.as_deref(), &file)?;
    let is_new = recorded.is_none() && sealed.is_none();
    // A bucket is not asked by someone who begins.
    if is_new && (found.is_some() || archive.is_folder()) && archive.has_records().await? {
        return Err(SealingKeyError::Emptied {
            archive: archive.to_string(),
        });
    }
    let sealer = match found {
        Some(sealer) => sealer,
        None if is_new => Sealer::make(&file)?,
        None => {
            return Err(SealingKeyError::Missing {
                file: file.display().to_string(),
            });
        }
    };
    let other = |wanted: String| SealingKeyError::Other {
        source_name: match &from_environment {
            Some(_) => ENVIRONMENT.to_owned(),
            None => file.display().to_string(),
        },
        have: sealer.fingerprint().to_owned(),
        wanted,
        file: file.display().to_string(),
    };
    if let Some((place, value)) = &sealed
        && sealer.unseal(place, value).is_err()
    {
        return Err(other(String::new()));
    }
    let recorded = match recorded {
        Some(recorded) => recorded,
        None => store.sealing_key_first(sealer.fingerprint(), now).await?,
    };
    if recorded != sealer.fingerprint() {
        return Err(other(format!(" (fingerprint {recorded})")));
    }
    Ok(sealer)
}

/// A sealed value with its place, if there is any.
async fn any_sealed(store: &Store) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    if let Some(row) = store.connection_list().await?.into_iter().next() {
        return Ok(Some((credential_place(&row.id), row.credential_sealed)));
    }
    if let Some(row) = store.signing_key_list().await?.into_iter().next() {
        return Ok(Some((keys::place(&row.kid), row.key_sealed)));
    }
    let campaign = store.campaign_list().await?.into_iter().next();
    Ok(campaign.map(|row| (campaign::place(&row.id), row.destination_sealed)))
}
