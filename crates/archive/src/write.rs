//! Encodes records as a part.
//!
//! The result is bytes: whoever has them puts them into the object store under a name, and then lists the part. The same
//! records give the same bytes, so that a step that is repeated after a kill makes the same part. Start reading at
//! [`part`].

use crate::error::PartError;
use crate::record::Record;
use crate::schema::{AT, ID, IDENTIFIER, RAW, SCHEMA, SCHEMA_VERSION, VERSION_KEY, to_columns};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Rows of a row group. Chosen: the raw column of one group is some 40 MB before compression.
const GROUP_ROWS: usize = 64 << 10;
/// Rows of a page: what is read at the least for one person.
const PAGE_ROWS: usize = 1_024;
/// Rows that become columns at once.
const STEP_ROWS: usize = 8 << 10;

/// What is known of a part without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// The path of the object.
    pub path: String,
    /// The dataset of its records.
    pub dataset: String,
    /// The number of records.
    pub records: u64,
    /// The size of the object in bytes.
    pub bytes: u64,
    /// The SHA-256 of the object, in hex.
    pub sha256: String,
    /// The time of the earliest record, in microseconds since 1970.
    pub first_us: i64,
    /// The time of the latest record, in microseconds since 1970.
    pub last_us: i64,
    /// The first identifier in the order of bytes, if a record has one.
    pub first_identifier: Option<String>,
    /// The last identifier in the order of bytes, if a record has one.
    pub last_identifier: Option<String>,
}

static PROPERTIES: LazyLock<WriterProperties> = LazyLock::new(|| {
    let column = ColumnPath::from;
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("flareward".to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            VERSION_KEY.to_owned(),
            SCHEMA_VERSION.to_owned(),
        )]))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_index_truncate_length(Some(64))
        .set_column_statistics_enabled(column(RAW), EnabledStatistics::None)
        .set_column_dictionary_enabled(column(RAW), false)
        .set_column_dictionary_enabled(column(ID), false)
        .set_column_dictionary_enabled(column(AT), false)
        .set_column_encoding(column(AT), Encoding::DELTA_BINARY_PACKED)
        .set_column_statistics_enabled(column(ID), EnabledStatistics::None)
        .set_column_bloom_filter_enabled(column(ID), true)
        .set_column_bloom_filter_enabled(column(IDENTIFIER), true)
        .set_sorting_columns(Some(
            [IDENTIFIER, AT, ID]
                .into_iter()
                .filter_map(|name| SCHEMA.index_of(name).ok())
                .filter_map(|place| i32::try_from(place).ok())
                .map(|column_idx| SortingColumn {
                    column_idx,
                    descending: false,
                    nulls_first: true,
                })
                .collect(),
        ))
        .build()
});

/// Encodes `records` of a dataset as the part at `path`. Sorts them, and leaves out repeats of a record (same identifier, time and
/// ID). `None` without records.
///
/// # Errors
///
/// [`PartError::Encode`].
pub fn part(
    dataset: &str,
    path: &str,
    mut records: Vec<Record>,
) -> Result<Option<(PartInfo, Bytes)>, PartError> {
    records.sort_unstable_by(Record::order);
    records.dedup_by(|later, first| later.order(first).is_eq());
    let mut encoder = Encoder::new().map_err(PartError::Encode)?;
    for step in records.chunks(STEP_ROWS) {
        encoder.add(step).map_err(PartError::Encode)?;
    }
    encoder.finish(dataset, path).map_err(PartError::Encode)
}

/// Encodes a part from sorted records that come step by step.
pub(crate) struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    records: u64,
    first_us: i64,
    last_us: i64,
    first_identifier: Option<String>,
    last_identifier: Option<String>,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self, ParquetError> {
        let options = ArrowWriterOptions::new()
            .with_properties(PROPERTIES.clone())
            .with_skip_arrow_metadata(true);
        Ok(Self {
            writer: ArrowWriter::try_new_with_options(Vec::new(), SCHEMA.clone(), options)?,
            records: 0,
            first_us: i64::MAX,
            last_us: i64::MIN,
            first_identifier: None,
            last_identifier: None,
        })
    }

    pub(crate) fn add(&mut self, records: &[Record]) -> Result<(), ParquetError> {
        self.writer.write(&to_columns(records)?)?;
        self.records += records.len() as u64;
        for record in records {
            self.first_us = self.first_us.min(record.at_us);
            self.last_us = self.last_us.max(record.at_us);
        }
        let mut named = records.iter().filter_map(|record| record.identifier.as_ref());
        if self.first_identifier.is_none() {
            self.first_identifier = named.clone().next().cloned();
        }
        if let Some(last) = named.next_back() {
            self.last_identifier = Some(last.clone());
        }
        Ok(())
    }

    /// Bytes that the part has so far.
    pub(crate) fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    pub(crate) fn finish(self, dataset: &str, path: &str) -> Result<Option<(PartInfo, Bytes)>, ParquetError> {
        if self.records == 0 {
            return Ok(None);
        }
        let content = Bytes::from(self.writer.into_inner()?);
        let info = PartInfo {
            path: path.to_owned(),
            dataset: dataset.to_owned(),
            records: self.records,
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(&content)),
            first_us: self.first_us,
            last_us: self.last_us,
            first_identifier: self.first_identifier,
            last_identifier: self.last_identifier,
        };
        Ok(Some((info, content)))
    }
}

/// The folder of an hour of a dataset, which the time of a record belongs to.
pub fn folder(dataset: &str, at_us: i64) -> String {
    let at = chrono::DateTime::from_timestamp_micros(at_us).unwrap_or_default();
    format!(
        "dataset={dataset}/date={}/hour={}",
        at.format("%Y-%m-%d"),
        at.format("%H")
    )
}
