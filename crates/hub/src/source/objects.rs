//! Buckets that Logpush writes to, read object by object.
//!
//! Lists the folders of yesterday and today, reads what was not read yet, and hands each object to
//! [`crate::ingest::receive()`]. That an object was read is kept after its batch is durable: a run that was killed
//! reads it again, which gives the same batch. An object that is damaged is set aside and told of; the others go on.
//!
//! Never writes into a bucket. Start reading at [`read`]; the driver calls `run_due`.

use super::{SourceError, is_due, keep};
use crate::app::App;
use crate::audit;
use crate::bucket::{self, Bucket, BucketError, BucketKeys, Caller, DATE};
use crate::fault;
use crate::ingest::{IngestError, Received, receive};
use crate::permission::Actor;
use crate::progress::Progress;
use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::TryStreamExt;
use model::SourceState;
use object_store::{ObjectMeta, ObjectStoreExt, path::Path as ObjectPath};
use rules::Dataset;
use rules::form::is_other_object;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::{ConnectionRow, JournalEntry, LogSourceRow, ObjectReadRow, StoreError};

/// What batches of this source are marked with.
pub const SOURCE: &str = "object";

/// A bucket to read from.
#[derive(Debug, Clone)]
pub struct BucketRequest {
    /// `s3://bucket/path/{DATE}`, `r2://…` or `file:///folder/{DATE}`.
    pub place: String,
    /// Where the bucket's service is, when it is not the usual one.
    pub endpoint: Option<String>,
    /// Its keys; those of the environment when they are left out.
    pub keys: Option<BucketKeys>,
}

/// What a run read.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Objects that were listed.
    pub listed: usize,
    /// Objects that were new and became a batch, or had been one.
    pub read: usize,
    /// Objects that were set aside just now, with the reason.
    pub set_aside: Vec<(String, String)>,
    /// The batches that were made of them, by id.
    pub batches: Vec<String>,
}

/// Why a bucket could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// What every source has.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The place.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The list or an object cannot be read now.
    #[error("cannot read the bucket {place}")]
    Read {
        /// Which.
        place: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// An object was not taken now.
    #[error("could not ingest an object: {location}")]
    Ingest {
        /// Which.
        location: String,
        /// Why.
        #[source]
        source: IngestError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<crate::secret::SecretError> for ObjectsError {
    fn from(error: crate::secret::SecretError) -> Self {
        Self::Source(error.into())
    }
}

/// Remembers the bucket that a dataset of a connection is read from. Keys are kept sealed.
///
/// # Errors
///
/// When the place is none, or its service may not be called.
pub async fn configure(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    request: &BucketRequest,
    actor: &Actor,
) -> Result<(), ObjectsError> {
    let dataset = Dataset::named(dataset).ok_or_else(|| SourceError::Dataset(dataset.to_owned()))?;
    bucket::open(
        &request.place,
        request.endpoint.as_deref(),
        request.keys.as_ref(),
        caller(app, connection),
    )?;
    let known = app
        .store
        .log_source_get(&connection.id, dataset.name, SOURCE)
        .await?;
    let known = known.unwrap_or_else(|| LogSourceRow::new(connection.id.clone(), dataset.name, SOURCE));
    let keys_sealed = match &request.keys {
        Some(keys) => {
            let text = json!({ "id": keys.id, "secret": keys.secret.expose_secret() }).to_string();
            Some(
                app.sealer
                    .seal(&keys_place(connection, dataset.name), text.as_bytes())?,
            )
        }
        // The same bucket keeps the keys that it has.
        None if known.place.as_deref() == Some(request.place.as_str()) => known.keys_sealed.clone(),
        None => None,
    };
    let target = format!("{}/{}", connection.label, dataset.name);
    let detail = json!({ "place": request.place, "endpoint": request.endpoint,
        "access_key_id": request.keys.as_ref().map(|keys| &keys.id) });
    audit::record(
        app,
        actor,
        model::AuditAction::LogsObjects,
        &target,
        model::AuditOutcome::Asked,
        detail,
    )
    .await?;
    let row = LogSourceRow {
        wanted: true,
        state: SourceState::Waiting,
        problem: None,
        place: Some(request.place.clone()),
        endpoint: request.endpoint.clone(),
        keys_sealed,
        checked_at: None,
        ..known
    };
    app.store.log_source_put(&row, None).await?;
    Ok(())
}

/// Forgets the bucket of a dataset and which of its objects were read. Answers whether there was one.
///
/// # Errors
///
/// When the store refuses.
pub async fn forget(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    actor: &Actor,
) -> Result<bool, StoreError> {
    let known = app.store.log_source_get(&connection.id, dataset, SOURCE).await?;
    if known.is_none() {
        return Ok(false);
    }
    let target = format!("{}/{dataset}", connection.label);
    audit::record(
        app,
        actor,
        model::AuditAction::LogsObjectsForget,
        &target,
        model::AuditOutcome::Asked,
        json!({}),
    )
    .await?;
    app.store
        .log_source_delete(&connection.id, dataset, SOURCE)
        .await?;
    Ok(true)
}

/// Reads every bucket whose time has come.
///
/// # Errors
///
/// When the store refuses.
pub(super) async fn run_due(app: &App) -> Result<(), StoreError> {
    let minutes = app.settings.logs.objects_interval_minutes;
    for connection in app.store.connection_list().await? {
        let rows = app
            .store
            .log_source_list(Some(&connection.id), Some(SOURCE))
            .await?;
        for row in rows.into_iter().filter(|row| row.wanted) {
            if !is_due(row.checked_at, minutes, app.clock.now()) {
                continue;
            }
            match read(app, &connection, &row.dataset, None, &|_| {}).await {
                Ok(_) => {}
                Err(ObjectsError::Store(error) | ObjectsError::Source(SourceError::Store(error))) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(connection = %connection.label, dataset = row.dataset,
                    "cannot read objects: {}", crate::causes(&error)),
            }
        }
    }
    Ok(())
}

/// Reads the objects of a dataset's bucket that were not read yet: those of yesterday and today, of every day since
/// the last run that ended well, and from `since` on.
///
/// # Errors
///
/// When no bucket is configured, or it cannot be read now; what was read until then is kept.
pub async fn read(
    app: &App,
    connection: &ConnectionRow,
    dataset: &str,
    since: Option<NaiveDate>,
    show: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, ObjectsError> {
    let unknown = || SourceError::Unknown {
        label: connection.label.clone(),
        dataset: dataset.to_owned(),
    };
    let known = app.store.log_source_get(&connection.id, dataset, SOURCE).await?;
    let mut row = known.filter(|row| row.wanted).ok_or_else(unknown)?;
    let place = row.place.clone().ok_or_else(unknown)?;
    let keys = unseal_keys(app, connection, &row)?;
    let before = row.state;
    let now = app.clock.now();
    let mut report = Report::default();
    let result = match bucket::open(
        &place,
        row.endpoint.as_deref(),
        keys.as_ref(),
        caller(app, connection),
    ) {
        Ok(bucket) => {
            let run = Run {
                app,
                connection,
                dataset,
                bucket,
                show,
            };
            run.read_all(&days(row.last_complete_at, since, now), &mut report)
                .await
        }
        Err(error) => Err(error.into()),
    };
    row.checked_at = Some(now);
    let problems = app
        .store
        .object_read_problems(&connection.id, dataset, 100)
        .await?;
    let warnings: Vec<String> = problems
        .first()
        .map(|newest| {
            let problem = newest.problem.as_deref().unwrap_or_default();
            let count = problems.len();
            format!(
                "{count} objects could not be ingested and were skipped; the latest is {}: {problem}",
                newest.location
            )
        })
        .into_iter()
        .collect();
    row.warnings = json!(warnings).to_string();
    match &result {
        Ok(()) => {
            row.state = SourceState::Working;
            row.problem = None;
            row.last_complete_at = Some(now);
        }
        Err(error) => {
            let words = crate::causes(error);
            row.state = SourceState::Failing;
            row.problem = Some(words.clone());
            row.last_error_at = Some(now);
            row.error_message = Some(words);
        }
    }
    keep(app, connection, before, &row).await?;
    result.map(|()| report)
}

/// The days whose folders are looked at, oldest first.
fn days(last: Option<DateTime<Utc>>, since: Option<NaiveDate>, now: DateTime<Utc>) -> Vec<NaiveDate> {
    let today = now.date_naive();
    let day_before = |day: NaiveDate| day.checked_sub_days(Days::new(1)).unwrap_or(day);
    let mut day = day_before(last.map_or(today, |last| last.date_naive().min(today)));
    if let Some(since) = since {
        day = day.min(since);
    }
    let mut all = Vec::new();
    while day <= today {
        all.push(day);
        match day.checked_add_days(Days::new(1)) {
            Some(next) => day = next,
            None => break,
        }
    }
    all
}

struct Run<'a> {
    app: &'a App,
    connection: &'a ConnectionRow,
    dataset: &'a str,
    bucket: Bucket,
    show: &'a (dyn Fn(Progress) + Send + Sync),
}

impl Run<'_> {
    async fn read_all(&self, days: &[NaiveDate], report: &mut Report) -> Result<(), ObjectsError> {
        if !self.bucket.prefix.contains(DATE) {
            return self.read_folder(&self.bucket.prefix, report).await;
        }
        for day in days {
            let folder = self
                .bucket
                .prefix
                .replace(DATE, &day.format("%Y%m%d").to_string());
            self.read_folder(&folder, report).await?;
        }
        Ok(())
    }

    async fn read_folder(&self, folder: &str, report: &mut Report) -> Result<(), ObjectsError> {
        let cannot = |source| ObjectsError::Read {
            place: format!("{}/{folder}", self.bucket.base),
            source,
        };
        let prefix = ObjectPath::from(folder);
        let listed = self.bucket.objects.list(Some(&prefix));
        let mut metas: Vec<ObjectMeta> = match listed.try_collect().await {
            Ok(metas) => metas,
            // A folder of a day that nothing was written on.
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(cannot(error)),
        };
        metas.retain(|meta| !meta.location.filename().is_some_and(is_other_object));
        // Names begin with the time.
        metas.sort_by(|a, b| a.location.cmp(&b.location));
        report.listed += metas.len();
        let locations: Vec<String> = metas.iter().map(|meta| self.location(meta)).collect();
        let known = self
            .app
            .store
            .object_read_known(&self.connection.id, self.dataset, &locations)
            .await?;
        let is_known = |meta: &ObjectMeta| {
            let (location, etag, bytes) = (self.location(meta), etag(meta), bytes(meta));
            known
                .iter()
                .any(|row| row.location == location && row.etag == etag && row.bytes == bytes)
        };
        let new: Vec<&ObjectMeta> = metas.iter().filter(|meta| !is_known(meta)).collect();
        for (done, meta) in (0_u64..).zip(&new) {
            (self.show)(Progress {
                what: format!("{} {folder}", self.dataset),
                done,
                total: Some(new.len() as u64),
            });
            self.read_one(meta, report).await?;
        }
        Ok(())
    }

    async fn read_one(&self, meta: &ObjectMeta, report: &mut Report) -> Result<(), ObjectsError> {
        let location = self.location(meta);
        let got = match self.bucket.objects.get(&meta.location).await {
            Ok(got) => got,
            // Removed since it was listed.
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(source) => {
                return Err(ObjectsError::Read {
                    place: location,
                    source,
                });
            }
        };
        let body = got.into_stream().map_err(std::io::Error::other);
        let (batch_id, problem) = match receive(self.app, self.connection, self.dataset, SOURCE, body).await {
            Ok(Received::Stored(id) | Received::Duplicate(id)) => (Some(id), None),
            Ok(Received::Test | Received::Empty) => (None, None),
            Err(error @ (IngestError::Gzip(_) | IngestError::TooLarge { .. } | IngestError::Bomb { .. })) => {
                (None, Some(error.to_string()))
            }
            Err(source) => return Err(ObjectsError::Ingest { location, source }),
        };
        fault::point("objects.received");
        let now = self.app.clock.now();
        let entry = problem.as_ref().map(|problem| JournalEntry {
            at: now,
            kind: model::JournalKind::LogSourceObjectSetAside,
            person_id: None,
            connection_id: Some(self.connection.id.clone()),
            subject_id: Some(location.clone()),
            summary: format!(
                "Skipped an object of {} of {}: {problem}",
                self.dataset, self.connection.label
            ),
            data: json!({ "dataset": self.dataset, "location": location, "problem": problem }),
        });
        report.batches.extend(batch_id.clone());
        let row = ObjectReadRow {
            connection_id: self.connection.id.clone(),
            dataset: self.dataset.to_owned(),
            location: location.clone(),
            etag: etag(meta),
            bytes: bytes(meta),
            batch_id,
            problem: problem.clone(),
            attempts: 1,
            read_at: now,
        };
        self.app.store.object_read_put(&row, entry.as_ref()).await?;
        match problem {
            Some(problem) => report.set_aside.push((location, problem)),
            None => report.read += 1,
        }
        Ok(())
    }

    fn location(&self, meta: &ObjectMeta) -> String {
        format!("{}/{}", self.bucket.base, meta.location)
    }
}

fn etag(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_default()
}

fn bytes(meta: &ObjectMeta) -> i64 {
    i64::try_from(meta.size).unwrap_or(i64::MAX)
}

fn caller<'a>(app: &'a App, connection: &'a ConnectionRow) -> Caller<'a> {
    Caller {
        guard: Some(&app.egress),
        allow_http: app.settings.egress.allow_http,
        account_id: Some(&connection.account_id),
    }
}

/// Where the keys of a bucket are sealed for.
fn keys_place(connection: &ConnectionRow, dataset: &str) -> String {
    format!("connection/{}/bucket/{dataset}", connection.id)
}

fn unseal_keys(
    app: &App,
    connection: &ConnectionRow,
    row: &LogSourceRow,
) -> Result<Option<BucketKeys>, ObjectsError> {
    let Some(sealed) = &row.keys_sealed else {
        return Ok(None);
    };
    let text = app
        .sealer
        .unseal_text(&keys_place(connection, &row.dataset), sealed)?;
    let read: serde_json::Value = serde_json::from_str(text.expose_secret()).unwrap_or_default();
    let part = |name: &str| read[name].as_str().map(str::to_owned);
    Ok(part("id").zip(part("secret")).map(|(id, secret)| BucketKeys {
        id,
        secret: SecretString::from(secret),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_yesterday_and_of_days_that_were_missed_are_looked_at() {
        let now: DateTime<Utc> = "2026-11-20T00:10:00Z".parse().unwrap();
        let check = |last: Option<&str>, since: Option<&str>, first: &str, count: usize| {
            let last = last.map(|text| text.parse().unwrap());
            let all = days(last, since.map(|text| text.parse().unwrap()), now);
            assert_eq!((all[0].to_string().as_str(), all.len()), (first, count));
            assert_eq!(all.last().unwrap().to_string(), "2026-11-20");
        };
        check(None, None, "2026-11-19", 2);
        check(None, Some("2026-11-15"), "2026-11-15", 6);
        check(Some("2026-11-20T00:05:00Z"), None, "2026-11-19", 2);
        check(Some("2026-11-17T23:00:00Z"), None, "2026-11-16", 5);
        check(Some("2026-11-25T00:00:00Z"), None, "2026-11-19", 2);
    }
}
