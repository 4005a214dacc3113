//! The archive: where log batches lie as they came, before anything else is done with them.
//!
//! Batches are gzip NDJSON under `batches/dataset=…/date=…/hour=…/`, parts are Parquet under `dataset=…/date=…/hour=…/`, so
//! that other tools can query the parts as they lie. An object appears under its name only when it is whole and durable.

use crate::bucket::{self, BucketError, Caller};
use crate::{private, settings};
use archive::read::Parts;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use model::ConnectionId;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem,
    path::Path as ObjectPath, prefix::PrefixStore,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes collected before a part is written: object stores take parts of 5 MiB and more.
const PART_BYTES: usize = 8 << 20;

/// Memory for the footers of parts that were read lately. Chosen: those of some hundred parts.
const FOOTER_BYTES_MAX: usize = 32 << 20;

/// Where batches lie until their records are in parts, and longer if the settings say so.
const BATCHES: &str = "batches/";

/// Where objects lie until they are whole.
const INCOMING: &str = "incoming/";

/// Where batches lie.
#[derive(Debug, Clone)]
pub struct Archive {
    objects: Arc<dyn ObjectStore>,
    /// Of one in a folder: where. What is being written there is a file that no listing shows.
    folder: Option<PathBuf>,
    parts: Arc<Parts>,
}

/// An object or a file that lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lying {
    pub(crate) path: String,
    /// When it was written to the last time, by the clock of the archive.
    pub(crate) changed_at: DateTime<Utc>,
}

/// Why the archive could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The folder cannot be used.
    #[error("cannot use the archive folder")]
    Folder(#[source] std::io::Error),
    /// The bucket cannot be used.
    #[error("invalid archive location (setting archive.url)")]
    Place(#[from] BucketError),
    /// An object cannot be written or read.
    #[error("could not read or write the archive")]
    Object(#[from] object_store::Error),
    /// A part cannot be written or read.
    #[error(transparent)]
    Part(#[from] archive::PartError),
}

impl ArchiveError {
    /// Whether the object is not there, rather than not readable just now.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, ArchiveError::Object(object_store::Error::NotFound { .. }))
    }
}

impl std::fmt::Display for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.folder {
            Some(folder) => write!(f, "{}", folder.display()),
            None => write!(f, "{}", self.objects),
        }
    }
}

impl Archive {
    /// An archive in a local folder, which is made when it is missing. Objects are synced to the disk.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn local(folder: &Path) -> Result<Self, ArchiveError> {
        private::folder(folder).map_err(ArchiveError::Folder)?;
        let objects = LocalFileSystem::new_with_prefix(folder)?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        let objects: Arc<dyn ObjectStore> = Arc::new(objects);
        let parts = Parts::new(Arc::clone(&objects), FOOTER_BYTES_MAX);
        Ok(Self {
            objects,
            folder: Some(folder.to_owned()),
            parts: Arc::new(parts.staged_in(INCOMING.trim_end_matches('/'))),
        })
    }

    /// The archive that the settings name: a bucket, or a folder, by default one in the data folder.
    ///
    /// # Errors
    ///
    /// When the place cannot be used. A bucket is not called yet.
    pub fn open(settings: &settings::Archive, data: &Path, allow_http: bool) -> Result<Self, ArchiveError> {
        if settings.url.is_empty() {
            return Self::local(&data.join("archive"));
        }
        if let Some(folder) = settings.url.strip_prefix("file://") {
            return Self::local(Path::new(folder));
        }
        let endpoint = Some(settings.endpoint.as_str()).filter(|endpoint| !endpoint.is_empty());
        // The operator chose it: it may be inside, and the keys may come from the machine's own role.
        let caller = Caller {
            guard: None,
            allow_http,
            account_id: None,
        };
        let bucket = bucket::open(&settings.url, endpoint, None, caller)?;
        Ok(Self::over(Arc::new(PrefixStore::new(
            bucket.objects,
            bucket.prefix,
        ))))
    }

    /// An archive over any store of objects.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            parts: Arc::new(Parts::new(Arc::clone(&objects), FOOTER_BYTES_MAX)),
            objects,
            folder: None,
        }
    }

    /// Its parts.
    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Whether it lies in a folder, rather than in a bucket.
    pub(crate) fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The datasets that have parts, by the names of the objects.
    ///
    /// # Errors
    ///
    /// When the archive cannot be listed.
    pub async fn datasets(&self) -> Result<BTreeSet<String>, ArchiveError> {
        Ok(archive::listing::datasets(&*self.objects).await?)
    }

    /// Whether a batch or a part lies in it.
    pub(crate) async fn has_records(&self) -> Result<bool, ArchiveError> {
        let mut objects = self.objects.list(None);
        while let Some(found) = objects.try_next().await? {
            let place = Place::of(found.location.as_ref());
            if matches!(place, Place::Batch { .. } | Place::Part { .. }) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything that lies in the archive, in no order: objects, and in a folder what is being written or was left
    /// half-written. Reads on as it is asked. What was begun in a bucket is not listed: the bucket's own rule for
    /// incomplete uploads removes it.
    pub(crate) fn lying(&self) -> impl Stream<Item = Result<Lying, ArchiveError>> + Send {
        let objects = self.objects.list(None).map_err(ArchiveError::from);
        let objects = objects.map_ok(|found| Lying {
            path: found.location.to_string(),
            changed_at: found.last_modified,
        });
        let unfinished = self.folder.as_deref().map_or(Ok(Vec::new()), unfinished);
        let unfinished = match unfinished {
            Ok(files) => files.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(ArchiveError::Folder(error))],
        };
        // A listing of S3 panics when it is asked again after its end, as a reader of pages does.
        stream::iter(unfinished).chain(objects).fuse()
    }

    /// When the object was written to the last time; `None` when there is none.
    pub(crate) async fn changed_at(&self, path: &str) -> Result<Option<DateTime<Utc>>, ArchiveError> {
        if is_unfinished(path)
            && let Some(folder) = &self.folder
        {
            return changed_at(&folder.join(path)).map_err(ArchiveError::Folder);
        }
        match self.objects.head(&ObjectPath::from(path)).await {
            Ok(found) => Ok(Some(found.last_modified)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an object; that it is gone already is no problem.
    ///
    /// # Errors
    ///
    /// When the archive cannot be written.
    pub async fn remove(&self, path: &str) -> Result<(), ArchiveError> {
        if is_unfinished(path)
            && let Some(folder) = &self.folder
        {
            return match std::fs::remove_file(folder.join(path)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(ArchiveError::Folder(error))
                }
                _ => Ok(()),
            };
        }
        match self.objects.delete(&ObjectPath::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins an object whose name is not known yet. `name` must be unique.
    ///
    /// # Errors
    ///
    /// When the archive cannot be written.
    pub async fn begin(&self, name: &str) -> Result<ArchiveWriter, ArchiveError> {
        let place = ObjectPath::from(format!("{INCOMING}{name}"));
        let upload = self.objects.put_multipart(&place).await?;
        Ok(ArchiveWriter {
            objects: Arc::clone(&self.objects),
            place,
            upload,
            waiting: Vec::new(),
        })
    }

    /// Reads an object from its beginning, in pieces.
    ///
    /// # Errors
    ///
    /// When it is missing or cannot be read.
    pub async fn read(
        &self,
        path: &str,
    ) -> Result<futures::stream::BoxStream<'static, object_store::Result<Bytes>>, ArchiveError> {
        Ok(self.objects.get(&ObjectPath::from(path)).await?.into_stream())
    }
}

/// The beginning of a batch's id, which its content completes: the same bytes for another account or dataset are
/// another batch.
pub(crate) fn begin_id(connection: &ConnectionId, dataset: &str) -> Sha256 {
    let mut digest = Sha256::new();
    digest.update(format!("{connection}\n{dataset}\n"));
    digest
}

/// Where a batch belongs. What was not pushed says in its name where it came from.
pub fn batch_path(
    dataset: &str,
    received_at: DateTime<Utc>,
    connection: &ConnectionId,
    id: &str,
    source: &str,
) -> String {
    let mark = if source == PUSHED {
        String::new()
    } else {
        format!(".{source}")
    };
    format!(
        "{BATCHES}dataset={dataset}/date={}/hour={}/{connection}-{id}{mark}{BATCH_END}",
        received_at.format("%Y-%m-%d"),
        received_at.format("%H"),
    )
}

const BATCH_END: &str = ".ndjson.gz";
const PUSHED: &str = "logpush";
/// Where batches come from.
const SOURCES: [&str; 4] = [PUSHED, "pull", "object", "file"];
/// SHA-256 in hex.
const ID_CHARS: usize = 64;

/// What the place of an object says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On its way in, or cut off there.
    Incoming,
    /// A batch's own.
    Batch {
        dataset: String,
        connection: ConnectionId,
        id: String,
        source: &'static str,
    },
    /// Records of a dataset.
    Part { dataset: String },
    /// Not of ours.
    Other,
}

impl Place {
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with(INCOMING) {
            return Self::Incoming;
        }
        Self::batch(path)
            .or_else(|| Self::part(path))
            .unwrap_or(Self::Other)
    }

    fn part(path: &str) -> Option<Self> {
        let (folders, name) = path.rsplit_once('/')?;
        let (dataset, rest) = folders.strip_prefix("dataset=")?.split_once('/')?;
        let is_ours = rest.starts_with("date=") && name.starts_with("part-") && name.ends_with(".parquet");
        is_ours.then(|| Self::Part {
            dataset: dataset.to_owned(),
        })
    }

    fn batch(path: &str) -> Option<Self> {
        // Earlier versions had batches and parts in the same folders.
        let path = path.strip_prefix(BATCHES).unwrap_or(path);
        let (folders, name) = path.rsplit_once('/')?;
        let (dataset, rest) = folders.strip_prefix("dataset=")?.split_once('/')?;
        let (date, hour) = rest.split_once('/')?;
        let is_ours = date.starts_with("date=") && hour.starts_with("hour=") && !hour.contains('/');
        let name = name.strip_suffix(BATCH_END).filter(|_| is_ours)?;
        let (name, source) = match name.rsplit_once('.') {
            Some((name, mark)) => (name, SOURCES.into_iter().find(|source| *source == mark)?),
            None => (name, PUSHED),
        };
        let (connection, id) = name.rsplit_once('-')?;
        let is_id = id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self::Batch {
            dataset: dataset.to_owned(),
            connection: ConnectionId(connection.to_owned()),
            id: id.to_owned(),
            source,
        })
    }
}

/// Whether this is the name of a file that is being written: object_store appends `#` and a number.
fn is_unfinished(path: &str) -> bool {
    path.strip_prefix(INCOMING)
        .and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn unfinished(folder: &Path) -> std::io::Result<Vec<Lying>> {
    let entries = match std::fs::read_dir(folder.join(INCOMING)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = format!("{INCOMING}{}", entry.file_name().to_string_lossy());
        if is_unfinished(&path)
            && let Some(changed_at) = changed_at(&entry.path())?
        {
            found.push(Lying { path, changed_at });
        }
    }
    Ok(found)
}

fn changed_at(file: &Path) -> std::io::Result<Option<DateTime<Utc>>> {
    match std::fs::metadata(file).and_then(|about| about.modified()) {
        Ok(time) => Ok(Some(time.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// An object on its way into the archive. Dropped without [`ArchiveWriter::finish`], it never appears.
#[derive(Debug)]
pub struct ArchiveWriter {
    objects: Arc<dyn ObjectStore>,
    place: ObjectPath,
    upload: Box<dyn MultipartUpload>,
    waiting: Vec<u8>,
}

impl ArchiveWriter {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// When the archive cannot be written, for example because the disk is full.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PART_BYTES {
            let part = std::mem::take(&mut self.waiting);
            self.upload.put_part(PutPayload::from(part)).await?;
        }
        Ok(())
    }

    /// Makes the object durable under its name.
    ///
    /// # Errors
    ///
    /// When the archive cannot be written; nothing remains then.
    pub async fn finish(mut self, path: &str) -> Result<(), ArchiveError> {
        let rest = std::mem::take(&mut self.waiting);
        let written = match self.upload.put_part(PutPayload::from(rest)).await {
            Ok(()) => self.upload.complete().await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // What was written so far takes the room that there is none of.
            self.abort().await;
            return Err(error.into());
        }
        let renamed = self.objects.rename(&self.place, &ObjectPath::from(path)).await;
        if renamed.is_err()
            && let Err(error) = self.objects.delete(&self.place).await
        {
            tracing::warn!(%error, "could not remove an incomplete object from the archive");
        }
        Ok(renamed?)
    }

    /// Leaves nothing behind.
    pub async fn abort(mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(%error, "could not remove an incomplete object from the archive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn settings(url: &str, endpoint: &str) -> settings::Archive {
        settings::Archive {
            url: url.to_owned(),
            endpoint: endpoint.to_owned(),
            ..settings::Archive::default()
        }
    }

    async fn check(archive: &Archive) {
        let mut writer = archive.begin("one").await.unwrap();
        writer.write(&vec![1; PART_BYTES + 1]).await.unwrap();
        writer.write(b"end").await.unwrap();
        assert!(
            archive.read("dataset=x/one").await.is_err(),
            "it appears when it is whole"
        );
        writer.finish("dataset=x/one").await.unwrap();
        let read = archive.read("dataset=x/one").await.unwrap();
        let parts: Vec<Bytes> = read.try_collect().await.unwrap();
        assert_eq!(parts.iter().map(Bytes::len).sum::<usize>(), PART_BYTES + 4);
        let mut writer = archive.begin("two").await.unwrap();
        writer.write(b"nothing").await.unwrap();
        writer.abort().await;
        let left: Vec<_> = archive.objects.list(None).try_collect().await.unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        for _ in 0..2 {
            archive.remove("dataset=x/one").await.unwrap();
        }
        assert!(archive.read("dataset=x/one").await.err().unwrap().is_missing());
    }

    #[tokio::test]
    async fn every_place_keeps_whole_objects_alone() {
        let data = tempfile::tempdir().unwrap();
        check(&Archive::open(&settings("", ""), data.path(), false).unwrap()).await;
        assert!(data.path().join("archive").is_dir());
        let place = format!("file://{}", data.path().join("elsewhere").display());
        check(&Archive::open(&settings(&place, ""), data.path(), false).unwrap()).await;
        let memory = Arc::new(InMemory::new());
        check(&Archive::over(Arc::new(PrefixStore::new(memory, "logs/zt")))).await;
    }

    #[test]
    fn a_place_says_whose_it_is_and_what_is_not_ours_is_other() {
        let at = "2026-11-20T12:00:00Z".parse().unwrap();
        let id = "ab".repeat(32);
        for source in SOURCES {
            let connection = ConnectionId("0198-c0-ffee".to_owned());
            let path = batch_path("gateway_dns", at, &connection, &id, source);
            let expected = Place::Batch {
                dataset: "gateway_dns".to_owned(),
                connection,
                id: id.clone(),
                source,
            };
            assert_eq!(Place::of(&path), expected, "{path}");
        }
        for other in [
            "notes.txt".to_owned(),
            "dataset=gateway_dns/date=2026-11-20/hour=12/1.parquet".to_owned(),
            "dataset=gateway_dns/date=2026-11-20/hour=12/c-short.ndjson.gz".to_owned(),
            format!("dataset=gateway_dns/c-{id}.ndjson.gz"),
            format!("dataset=gateway_dns/date=2026-11-20/hour=12/c-{id}.unknown.ndjson.gz"),
        ] {
            assert_eq!(Place::of(&other), Place::Other, "{other}");
        }
        assert_eq!(Place::of("incoming/0198#1"), Place::Incoming);
        let part = Place::Part {
            dataset: "gateway_dns".to_owned(),
        };
        for path in [
            "date=2026-11-20/hour=12/part-1.parquet",
            "date=mixed/hour=mixed/part-1.parquet",
        ] {
            assert_eq!(Place::of(&format!("dataset=gateway_dns/{path}")), part, "{path}");
        }
    }

    #[test]
    fn a_bucket_is_opened_by_its_address_and_never_with_keys_in_it() {
        let data = Path::new("/nonexistent");
        Archive::open(&settings("s3://logs/zt", "https://storage.example"), data, false).unwrap();
        Archive::open(
            &settings("r2://logs", "https://x.r2.cloudflarestorage.com"),
            data,
            false,
        )
        .unwrap();
        for wrong in [
            "logs",
            "r2://logs",
            "s3://key:hidden@logs",
            "s3://logs?secret-access-key=hidden",
        ] {
            let error = Archive::open(&settings(wrong, ""), data, false).unwrap_err();
            assert!(!crate::causes(&error).contains("hidden"), "{error:?}");
        }
    }
}
