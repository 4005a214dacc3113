//! The columns of a part, and records from and to them.

use crate::error::PartError;
use crate::record::{Record, RecordId};
use arrow_array::builder::{
    BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow_array::{TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::errors::ParquetError;
use std::sync::{Arc, LazyLock};

/// The version of the columns, in the key-value metadata of each part under `flareward.schema`.
pub const SCHEMA_VERSION: &str = "1";
pub(crate) const VERSION_KEY: &str = "flareward.schema";

pub(crate) const ID: &str = "id";
pub(crate) const AT: &str = "at";
pub(crate) const IDENTIFIER: &str = "identifier";
pub(crate) const CONNECTION: &str = "connection_id";
pub(crate) const RAW: &str = "raw";

pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name, is_nullable| Field::new(name, DataType::Utf8, is_nullable);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(ID, DataType::FixedSizeBinary(16), false),
        Field::new(AT, at, false),
        text(IDENTIFIER, true),
        Field::new("is_person", DataType::Boolean, false),
        text("action", true),
        text("target", true),
        text("source_ip", true),
        text("country", true),
        text(CONNECTION, false),
        text("batch_id", false),
        Field::new("line", DataType::UInt64, false),
        Field::new("is_repaired", DataType::Boolean, false),
        text(RAW, false),
    ]))
});

/// Records as columns.
pub(crate) fn to_columns(records: &[Record]) -> Result<RecordBatch, ParquetError> {
    let rows = records.len();
    let text = |of: &dyn Fn(&Record) -> Option<&str>| -> ArrayRef {
        let mut column = StringBuilder::new();
        for record in records {
            column.append_option(of(record));
        }
        Arc::new(column.finish())
    };
    let mut id = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    let mut at = TimestampMicrosecondBuilder::with_capacity(rows);
    let mut is_person = BooleanBuilder::with_capacity(rows);
    let mut line = UInt64Builder::with_capacity(rows);
    let mut is_repaired = BooleanBuilder::with_capacity(rows);
    for record in records {
        id.append_value(record.id.0)?;
        at.append_value(record.at_us);
        is_person.append_value(record.is_person);
        line.append_value(record.line);
        is_repaired.append_value(record.is_repaired);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(id.finish()),
        Arc::new(at.finish().with_timezone("UTC")),
        text(&|record| record.identifier.as_deref()),
        Arc::new(is_person.finish()),
        text(&|record| record.action.as_deref()),
        text(&|record| record.target.as_deref()),
        text(&|record| record.source_ip.as_deref()),
        text(&|record| record.country.as_deref()),
        text(&|record| Some(&record.connection)),
        text(&|record| Some(&record.batch)),
        Arc::new(line.finish()),
        Arc::new(is_repaired.finish()),
        text(&|record| Some(&record.raw)),
    ];
    Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?)
}

/// Rows of a part, read column by column.
pub(crate) struct Rows<'a> {
    id: &'a FixedSizeBinaryArray,
    at: &'a TimestampMicrosecondArray,
    identifier: &'a StringArray,
    is_person: &'a BooleanArray,
    action: &'a StringArray,
    target: &'a StringArray,
    source_ip: &'a StringArray,
    country: &'a StringArray,
    connection: &'a StringArray,
    batch: &'a StringArray,
    line: &'a UInt64Array,
    is_repaired: &'a BooleanArray,
    raw: &'a StringArray,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, path: &str) -> Result<Self, PartError> {
        let find = |column: &'static str| {
            let missing = || PartError::Column {
                path: path.to_owned(),
                column,
            };
            batch
                .column_by_name(column)
                .ok_or_else(missing)
                .map(|array| (array, missing()))
        };
        let text = |column| {
            let (array, missing) = find(column)?;
            array.as_string_opt::<i32>().ok_or(missing)
        };
        let flag = |column| {
            let (array, missing) = find(column)?;
            array.as_boolean_opt().ok_or(missing)
        };
        let (id, no_id) = find(ID)?;
        let (at, no_at) = find(AT)?;
        let (line, no_line) = find("line")?;
        let id = id.as_fixed_size_binary_opt().filter(|id| id.value_length() == 16);
        Ok(Self {
            id: id.ok_or(no_id)?,
            at: at.as_primitive_opt::<TimestampMicrosecondType>().ok_or(no_at)?,
            identifier: text(IDENTIFIER)?,
            is_person: flag("is_person")?,
            action: text("action")?,
            target: text("target")?,
            source_ip: text("source_ip")?,
            country: text("country")?,
            connection: text(CONNECTION)?,
            batch: text("batch_id")?,
            line: line.as_primitive_opt::<UInt64Type>().ok_or(no_line)?,
            is_repaired: flag("is_repaired")?,
            raw: text(RAW)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.id.len()
    }

    pub(crate) fn id(&self, row: usize) -> RecordId {
        let mut id = [0; 16];
        id.copy_from_slice(self.id.value(row));
        RecordId(id)
    }

    pub(crate) fn at_us(&self, row: usize) -> i64 {
        self.at.value(row)
    }

    pub(crate) fn is_person(&self, row: usize) -> bool {
        self.is_person.value(row)
    }

    pub(crate) fn identifier(&self, row: usize) -> Option<&'a str> {
        value(self.identifier, row)
    }

    pub(crate) fn connection(&self, row: usize) -> &'a str {
        self.connection.value(row)
    }

    pub(crate) fn raw(&self, row: usize) -> &'a str {
        self.raw.value(row)
    }

    pub(crate) fn record(&self, row: usize) -> Record {
        let owned = |column| value(column, row).map(str::to_owned);
        Record {
            id: self.id(row),
            at_us: self.at_us(row),
            identifier: owned(self.identifier),
            is_person: self.is_person(row),
            action: owned(self.action),
            target: owned(self.target),
            source_ip: owned(self.source_ip),
            country: owned(self.country),
            connection: self.connection(row).to_owned(),
            batch: self.batch.value(row).to_owned(),
            line: self.line.value(row),
            is_repaired: self.is_repaired.value(row),
            raw: self.raw(row).to_owned(),
        }
    }
}

fn value(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}
