//! Checks that a part is the object that was written.

use crate::error::PartError;
use crate::read::Parts;
use crate::write::PartInfo;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use sha2::{Digest, Sha256};

/// Reads the whole object and compares its SHA-256.
///
/// # Errors
///
/// [`PartError::Checksum`] if it was changed or truncated; [`PartError::Object`] if it cannot be read.
pub async fn part(parts: &Parts, part: &PartInfo) -> Result<(), PartError> {
    let refused = || PartError::object(&part.path);
    let object = parts.objects().get(&ObjectPath::from(part.path.as_str())).await;
    let mut pieces = object.map_err(refused())?.into_stream();
    let mut digest = Sha256::new();
    while let Some(piece) = pieces.try_next().await.map_err(refused())? {
        digest.update(&piece);
    }
    let found = hex::encode(digest.finalize());
    if found == part.sha256 {
        return Ok(());
    }
    Err(PartError::Checksum {
        path: part.path.clone(),
        found,
        expected: part.sha256.clone(),
    })
}
