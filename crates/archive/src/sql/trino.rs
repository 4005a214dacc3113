//! The views for Trino, over an external table of its Hive connector for each dataset.

use super::{Field, Kind, Place, View, comment, name, passed_on};
use crate::schema::SCHEMA;
use arrow_schema::DataType;
use std::fmt::Write;

const SCHEMA_NAME: &str = "hive.flareward";

pub(super) fn script(place: &Place, views: &[View]) -> String {
    let mut script = String::new();
    for line in [
        "Views over the archive of Flareward, for Trino with a catalog \"hive\" of the Hive connector.",
        "The catalog's properties must have:",
        "  hive.recursive-directories=true",
        "  hive.timestamp-precision=MICROSECONDS",
        "and the access to the bucket or folder. A query fails while a folder of the dataset holds an object that is no",
        "part, such as a batch that is not processed yet: point external_location at a copy of the parts then.",
    ] {
        script += &comment(line);
    }
    let _ = write!(script, "\nCREATE SCHEMA IF NOT EXISTS {SCHEMA_NAME};\n");
    for view in views {
        add(&mut script, place, view);
    }
    script
}

fn add(script: &mut String, place: &Place, view: &View) {
    let table = format!("{SCHEMA_NAME}.{}", name(&format!("{}_files", view.dataset)));
    let parts = format!("{SCHEMA_NAME}.{}", name(&format!("{}_parts", view.dataset)));
    let _ = write!(script, "\nCREATE TABLE IF NOT EXISTS {table} (");
    for (number, column) in SCHEMA.fields().iter().enumerate() {
        let kind = match column.data_type() {
            DataType::FixedSizeBinary(_) => "varbinary",
            DataType::Timestamp(..) => "timestamp(6)",
            DataType::Boolean => "boolean",
            DataType::UInt64 => "bigint",
            _ => "varchar",
        };
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(script, "{comma}\n    {} {kind}", name(column.name()));
    }
    let _ = write!(
        script,
        "\n) WITH (external_location = {}, format = 'PARQUET');\n",
        text(&location(place, &view.dataset))
    );
    let _ = write!(
        script,
        "CREATE OR REPLACE VIEW {parts} AS\nSELECT\n    lower(to_hex(id)) AS id"
    );
    for column in passed_on() {
        let column = name(column);
        if column == "\"at\"" {
            let _ = write!(script, ",\n    with_timezone({column}, 'UTC') AS {column}");
        } else {
            let _ = write!(script, ",\n    {column}");
        }
    }
    for field in &view.fields {
        let _ = write!(script, ",\n    {} AS {}", converted(field), name(&field.column()));
    }
    let _ = write!(script, ",\n    raw\nFROM {table};\n");
    let columns: Vec<String> = ["id"]
        .into_iter()
        .chain(passed_on())
        .map(name)
        .chain(view.fields.iter().map(|field| name(&field.column())))
        .chain([name("raw")])
        .collect();
    let _ = write!(
        script,
        "CREATE OR REPLACE VIEW {SCHEMA_NAME}.{} AS\nSELECT {}\nFROM (SELECT *, row_number() OVER (PARTITION BY id) AS \
         repeat_number FROM {parts})\nWHERE repeat_number = 1;\n",
        name(&view.dataset),
        columns.join(", "),
    );
}

fn converted(field: &Field) -> String {
    let path = text(&format!("$[\"{}\"]", field.name.replace('"', "\\\"")));
    let scalar = format!("json_extract_scalar(raw, {path})");
    let whole = format!("json_extract(raw, {path})");
    match field.kind {
        // A scalar is NULL for lists and objects.
        // The JSON of null is the text null.
        Kind::Text => format!("coalesce({scalar}, nullif(json_format({whole}), 'null'))"),
        Kind::Json => format!("nullif(json_format({whole}), 'null')"),
        Kind::Integer => format!("TRY_CAST({scalar} AS bigint)"),
        Kind::Float => format!("TRY_CAST({scalar} AS double)"),
        Kind::Boolean => format!("TRY_CAST({scalar} AS boolean)"),
        // As it came: the format of the time depends on the Logpush job, and `at` is the time of the record.
        Kind::Time => scalar,
        Kind::Texts => format!("TRY_CAST({whole} AS array(varchar))"),
        Kind::Integers => format!("TRY_CAST({whole} AS array(bigint))"),
    }
}

fn location(place: &Place, dataset: &str) -> String {
    match place {
        Place::Folder(folder) => format!("file://{}/dataset={dataset}/", folder.trim_end_matches('/')),
        Place::Bucket { name, prefix, .. } => {
            let base = format!("s3://{name}/{prefix}");
            format!("{}/dataset={dataset}/", base.trim_end_matches('/'))
        }
    }
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
