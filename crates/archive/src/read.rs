//! Reads parts: opens them with their footers cached, and reads only the row groups and pages that a question needs.
//!
//! Start reading at `Parts::rows`.

use crate::error::PartError;
use crate::record::{Record, RecordId};
use crate::schema::{AT, CONNECTION, ID, IDENTIFIER, Rows, SCHEMA_VERSION, VERSION_KEY};
use crate::write::PartInfo;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, RecordBatch, StringArray};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
    RowSelection, RowSelector,
};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that are decoded at once.
const STEP_ROWS: usize = 4 << 10;
/// Bytes that are read with the footer in the first request: footers of most parts are smaller.
const FOOTER_HINT_BYTES: usize = 64 << 10;

/// Which records to read. Without any field, all of them.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Only with one of these identifiers.
    pub identifiers: Option<BTreeSet<String>>,
    /// Only with one of these IDs.
    pub ids: Option<HashSet<RecordId>>,
    /// Only of this connection.
    pub connection: Option<String>,
    /// Only from this time on, in microseconds since 1970.
    pub since_us: i64,
    /// Only before this time.
    pub until_us: i64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            identifiers: None,
            ids: None,
            connection: None,
            since_us: i64::MIN,
            until_us: i64::MAX,
        }
    }
}

impl Wanted {
    /// Whether a part may have such a record, by what is known without reading it.
    pub fn may_be_in(&self, part: &PartInfo) -> bool {
        if part.last_us < self.since_us || part.first_us >= self.until_us {
            return false;
        }
        let Some(identifiers) = &self.identifiers else {
            return true;
        };
        match (&part.first_identifier, &part.last_identifier) {
            (Some(first), Some(last)) => {
                first <= last && identifiers.range::<String, _>(first..=last).next().is_some()
            }
            _ => false,
        }
    }

    fn is_everything(&self) -> bool {
        self.identifiers.is_none()
            && self.ids.is_none()
            && self.connection.is_none()
            && self.since_us == i64::MIN
            && self.until_us == i64::MAX
    }
}

/// Footers of parts that were read lately.
#[derive(Default)]
struct Footers {
    bytes: usize,
    by_path: HashMap<String, (ArrowReaderMetadata, usize)>,
}

/// The parts of an object store.
pub struct Parts {
    objects: Arc<dyn ObjectStore>,
    /// Where an object is written before it is renamed.
    staging: Option<String>,
    footer_bytes_max: usize,
    footers: Mutex<Footers>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({})", self.objects)
    }
}

/// One object, as the reader of Parquet asks for its bytes.
struct Object {
    objects: Arc<dyn ObjectStore>,
    path: ObjectPath,
    bytes: u64,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.objects.get_range(&self.path, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            self.objects
                .get_ranges(&self.path, &ranges)
                .await
                .map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let bytes = self.bytes;
        let reader = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .with_prefetch_hint(Some(FOOTER_HINT_BYTES));
        async move { Ok(Arc::new(reader.load_and_finish(self, bytes).await?)) }.boxed()
    }
}

type Builder = ParquetRecordBatchStreamBuilder<Object>;

impl Parts {
    /// Parts in `objects`. Footers are cached in at most `footer_bytes_max` bytes.
    pub fn new(objects: Arc<dyn ObjectStore>, footer_bytes_max: usize) -> Self {
        Self {
            objects,
            staging: None,
            footer_bytes_max,
            footers: Mutex::default(),
        }
    }

    /// Writes each object in `folder` first and renames it then: in a file system, what a killed process has left
    /// half-written lies there alone.
    #[must_use]
    pub fn staged_in(self, folder: &str) -> Self {
        Self {
            staging: Some(folder.to_owned()),
            ..self
        }
    }

    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// What is known of the object at `path`, by reading it whole: for a part that is in no list.
    ///
    /// # Errors
    ///
    /// See [`PartError`]. An object that is no part is damaged.
    pub async fn describe(&self, dataset: &str, path: &str) -> Result<PartInfo, PartError> {
        let place = ObjectPath::from(path);
        let object = self.objects.get(&place).await.map_err(PartError::object(path))?;
        let content = object.bytes().await.map_err(PartError::object(path))?;
        let damaged = || PartError::content(path);
        let options = ArrowReaderOptions::new();
        let footer = ArrowReaderMetadata::load(&content, options).map_err(damaged())?;
        check_version(path, &footer)?;
        let mut info = PartInfo {
            path: path.to_owned(),
            dataset: dataset.to_owned(),
            records: 0,
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(&content)),
            first_us: i64::MAX,
            last_us: i64::MIN,
            first_identifier: None,
            last_identifier: None,
        };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(content, footer);
        for batch in reader.build().map_err(damaged())? {
            let batch = batch.map_err(|error| PartError::content(path)(error.into()))?;
            let columns = records_of(&batch, path)?;
            for row in 0..columns.len() {
                info.records += 1;
                info.first_us = info.first_us.min(columns.at_us(row));
                info.last_us = info.last_us.max(columns.at_us(row));
                let Some(identifier) = columns.identifier(row) else {
                    continue;
                };
                if info
                    .first_identifier
                    .as_deref()
                    .is_none_or(|first| identifier < first)
                {
                    info.first_identifier = Some(identifier.to_owned());
                }
                if info
                    .last_identifier
                    .as_deref()
                    .is_none_or(|last| identifier > last)
                {
                    info.last_identifier = Some(identifier.to_owned());
                }
            }
        }
        Ok(info)
    }

    /// Stores a part under its path. An object appears under its name only when it is whole.
    ///
    /// # Errors
    ///
    /// [`PartError::Object`].
    pub async fn put(&self, part: &PartInfo, content: Bytes) -> Result<(), PartError> {
        let refused = || PartError::object(&part.path);
        let path = ObjectPath::from(part.path.as_str());
        let staged = match &self.staging {
            Some(folder) => ObjectPath::from(format!("{folder}/{}", path.filename().unwrap_or_default())),
            None => path.clone(),
        };
        let put = self.objects.put(&staged, PutPayload::from(content)).await;
        put.map_err(refused())?;
        if staged != path {
            let renamed = self.objects.rename(&staged, &path).await;
            renamed.map_err(refused())?;
        }
        Ok(())
    }

    /// Removes a part. That it is already gone is not an error.
    ///
    /// # Errors
    ///
    /// [`PartError::Object`].
    pub async fn remove(&self, path: &str) -> Result<(), PartError> {
        self.forget(path);
        match self.objects.delete(&ObjectPath::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(PartError::object(path)(error)),
        }
    }

    fn forget(&self, path: &str) {
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = footers.by_path.remove(path) {
            footers.bytes -= bytes;
        }
    }

    /// Reads the rows of a part that are wanted, in the part's order: identifier, time, ID. Returns the number of rows
    /// that must be looked at, too.
    ///
    /// # Errors
    ///
    /// See [`PartError`]; so do the errors of the stream.
    pub(crate) async fn rows(
        &self,
        part: &PartInfo,
        wanted: &Wanted,
    ) -> Result<
        (
            u64,
            impl Stream<Item = Result<RecordBatch, PartError>> + Send + Unpin + use<>,
        ),
        PartError,
    > {
        let path = part.path.clone();
        let damaged = || PartError::content(&path);
        let mut builder = self.open(part).await?;
        let groups = self.groups(&mut builder, wanted).await.map_err(damaged())?;
        let selection = pages(&builder, &groups, wanted).map_err(damaged())?;
        let rows = match &selection {
            Some(selection) => selection.row_count() as u64,
            None => groups.iter().map(|group| rows_of(&builder, *group)).sum(),
        };
        builder = builder.with_row_groups(groups).with_batch_size(STEP_ROWS);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        if !wanted.is_everything() {
            let filter = filter(&builder, wanted);
            builder = builder.with_row_filter(filter);
        }
        let stream = builder.build().map_err(damaged())?;
        Ok((
            rows,
            stream.map(move |batch| batch.map_err(PartError::content(&path))),
        ))
    }

    /// Reads the records of a part that are wanted, in the part's order, some thousands at once.
    ///
    /// # Errors
    ///
    /// See [`PartError`]; so do the errors of the stream.
    pub async fn records(
        &self,
        part: &PartInfo,
        wanted: &Wanted,
    ) -> Result<impl Stream<Item = Result<Vec<Record>, PartError>> + Send + Unpin + use<>, PartError> {
        let path = part.path.clone();
        let (_, rows) = self.rows(part, wanted).await?;
        Ok(rows.map(move |batch| {
            let batch = batch?;
            let columns = records_of(&batch, &path)?;
            Ok((0..columns.len()).map(|row| columns.record(row)).collect())
        }))
    }

    async fn open(&self, part: &PartInfo) -> Result<Builder, PartError> {
        let path = part.path.as_str();
        let mut reader = Object {
            objects: Arc::clone(&self.objects),
            path: ObjectPath::from(path),
            bytes: part.bytes,
        };
        let known = {
            let footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
            footers.by_path.get(path).map(|(footer, _)| footer.clone())
        };
        let footer = match known {
            Some(footer) => footer,
            None => {
                let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
                let footer = ArrowReaderMetadata::load_async(&mut reader, options).await;
                let footer = footer.map_err(PartError::content(path))?;
                check_version(path, &footer)?;
                self.remember(path, &footer);
                footer
            }
        };
        let found = u64::try_from(footer.metadata().file_metadata().num_rows()).unwrap_or_default();
        if found != part.records {
            return Err(PartError::Records {
                path: path.to_owned(),
                found,
                expected: part.records,
            });
        }
        Ok(ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer))
    }

    fn remember(&self, path: &str, footer: &ArrowReaderMetadata) {
        let bytes = footer.metadata().memory_size();
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if footers.bytes + bytes > self.footer_bytes_max {
            *footers = Footers::default();
        }
        footers.bytes += bytes;
        if let Some((_, before)) = footers.by_path.insert(path.to_owned(), (footer.clone(), bytes)) {
            footers.bytes -= before;
        }
    }

    /// The row groups that may have wanted rows, by the bloom filter on the ID.
    async fn groups(&self, builder: &mut Builder, wanted: &Wanted) -> Result<Vec<usize>, ParquetError> {
        let all = builder.metadata().num_row_groups();
        let Some(ids) = &wanted.ids else {
            return Ok((0..all).collect());
        };
        let column = column(builder, ID)?;
        let mut groups = Vec::new();
        for group in 0..all {
            let may_have = match builder.get_row_group_column_bloom_filter(group, column).await? {
                Some(bloom) => ids.iter().any(|id| bloom.check(id.0.as_slice())),
                None => true,
            };
            if may_have {
                groups.push(group);
            }
        }
        Ok(groups)
    }
}

fn rows_of(builder: &Builder, group: usize) -> u64 {
    u64::try_from(builder.metadata().row_group(group).num_rows()).unwrap_or_default()
}

fn check_version(path: &str, footer: &ArrowReaderMetadata) -> Result<(), PartError> {
    let pairs = footer.metadata().file_metadata().key_value_metadata();
    let version = pairs
        .into_iter()
        .flatten()
        .find(|pair| pair.key == VERSION_KEY)
        .and_then(|pair| pair.value.as_deref())
        .unwrap_or_default();
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    Err(PartError::Version {
        path: path.to_owned(),
        version: version.to_owned(),
    })
}

fn column(builder: &Builder, name: &str) -> Result<usize, ParquetError> {
    let columns = builder.parquet_schema().columns();
    let place = columns.iter().position(|column| column.name() == name);
    place.ok_or_else(|| ParquetError::General(format!("there is no column \"{name}\"")))
}

/// Skips the pages whose identifiers lie outside the wanted ones.
fn pages(builder: &Builder, groups: &[usize], wanted: &Wanted) -> Result<Option<RowSelection>, ParquetError> {
    let Some(identifiers) = &wanted.identifiers else {
        return Ok(None);
    };
    let metadata = builder.metadata();
    let of = StatisticsConverter::try_new(IDENTIFIER, builder.schema(), builder.parquet_schema())?;
    let Some(index) = metadata.page_index().map(AsRef::as_ref) else {
        return Ok(None);
    };
    let lowest = of.data_page_mins(index, groups)?;
    let highest = of.data_page_maxes(index, groups)?;
    let nulls = of.data_page_null_counts(index, groups)?;
    let Some(rows) = of.data_page_row_counts(index, metadata.row_groups(), groups)? else {
        return Ok(None);
    };
    let (Some(lowest), Some(highest)) = (lowest.as_string_opt::<i32>(), highest.as_string_opt::<i32>())
    else {
        return Ok(None);
    };
    if [lowest.len(), highest.len(), nulls.len()] != [rows.len(); 3] {
        return Ok(None);
    }
    let selectors = (0..rows.len()).map(|page| {
        let count = usize::try_from(rows.value(page)).unwrap_or_default();
        let has_any = nulls.is_null(page) || nulls.value(page) < rows.value(page);
        if has_any && may_have(lowest, highest, page, identifiers) {
            RowSelector::select(count)
        } else {
            RowSelector::skip(count)
        }
    });
    Ok(Some(selectors.collect()))
}

/// Whether a page may have one of the identifiers. Without statistics it may.
fn may_have(lowest: &StringArray, highest: &StringArray, page: usize, wanted: &BTreeSet<String>) -> bool {
    if lowest.is_null(page) || highest.is_null(page) {
        return true;
    }
    let range = lowest.value(page).to_owned()..=highest.value(page).to_owned();
    lowest.value(page) > highest.value(page) || wanted.range(range).next().is_some()
}

/// Keeps exactly the wanted rows, by the columns that a question can name.
fn filter(builder: &Builder, wanted: &Wanted) -> RowFilter {
    let mask = ProjectionMask::columns(builder.parquet_schema(), [ID, AT, IDENTIFIER, CONNECTION]);
    let wanted = wanted.clone();
    let keep = move |batch: RecordBatch| {
        let missing = || arrow_schema::ArrowError::SchemaError("a column is missing".to_owned());
        let find = |name| batch.column_by_name(name).ok_or_else(missing);
        let id = find(ID)?.as_fixed_size_binary_opt().ok_or_else(missing)?;
        let at = find(AT)?.as_primitive_opt::<TimestampMicrosecondType>();
        let at = at.ok_or_else(missing)?;
        let identifier = find(IDENTIFIER)?.as_string_opt::<i32>().ok_or_else(missing)?;
        let connection = find(CONNECTION)?.as_string_opt::<i32>().ok_or_else(missing)?;
        let is_wanted = |row: usize| {
            let at_us = at.value(row);
            at_us >= wanted.since_us
                && at_us < wanted.until_us
                && wanted
                    .connection
                    .as_deref()
                    .is_none_or(|only| connection.value(row) == only)
                && wanted
                    .identifiers
                    .as_ref()
                    .is_none_or(|any| identifier.is_valid(row) && any.contains(identifier.value(row)))
                && wanted.ids.as_ref().is_none_or(|any| {
                    let id: Option<[u8; 16]> = id.value(row).try_into().ok();
                    id.is_some_and(|id| any.contains(&RecordId(id)))
                })
        };
        Ok(BooleanArray::from_iter(
            (0..batch.num_rows()).map(|row| Some(is_wanted(row))),
        ))
    };
    RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, keep))])
}

/// The records of a batch of rows.
pub(crate) fn records_of<'a>(batch: &'a RecordBatch, path: &str) -> Result<Rows<'a>, PartError> {
    Rows::new(batch, path)
}
