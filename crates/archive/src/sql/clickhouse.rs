//! The views for ClickHouse.
//!
//! The structure of the parts is written out, so that a dataset without any part is an empty view.

use super::{Field, Kind, Place, View, comment, name, passed_on};
use crate::schema::SCHEMA;
use arrow_schema::DataType;
use std::fmt::Write;

/// Conversions of a field's text.
const FUNCTIONS: &str = "
-- A time: RFC 3339, or a number since 1970 whose digits determine the unit.
CREATE OR REPLACE FUNCTION flareward_time AS t -> multiIf(
    toInt64OrNull(t) IS NULL, if(match(t, '^[0-9]{4}-'), parseDateTime64BestEffortOrNull(t, 6, 'UTC'), NULL),
    toInt64OrZero(t) BETWEEN -99999999999 AND 99999999999, fromUnixTimestamp64Micro(toInt64OrZero(t) * 1000000, 'UTC'),
    toInt64OrZero(t) BETWEEN -99999999999999 AND 99999999999999, fromUnixTimestamp64Micro(toInt64OrZero(t) * 1000, 'UTC'),
    toInt64OrZero(t) BETWEEN -99999999999999999 AND 99999999999999999, fromUnixTimestamp64Micro(toInt64OrZero(t), 'UTC'),
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(t), 1000), 'UTC'));
";

pub(super) fn script(place: &Place, views: &[View]) -> String {
    let mut script = String::new();
    script += &comment("Views over the archive of Flareward, for ClickHouse.");
    match place {
        Place::Folder(folder) => {
            script += &comment(&format!(
                "The server reads only files below its user_files_path, which must be or contain {folder}"
            ));
        }
        Place::Bucket {
            name,
            prefix,
            endpoint,
            ..
        } => {
            let base = match endpoint {
                Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
                None => format!("https://{name}.s3.amazonaws.com"),
            };
            script += &comment(
                "ClickHouse needs access to the bucket. Put your key in place of KEY_ID and SECRET_KEY, and run this first:",
            );
            script += &comment(&format!(
                "  CREATE NAMED COLLECTION flareward AS url = {}, access_key_id = 'KEY_ID', secret_access_key = 'SECRET_KEY';",
                text(&format!("{}/", format!("{base}/{prefix}").trim_end_matches('/')))
            ));
        }
    }
    script += FUNCTIONS;
    for view in views {
        add(&mut script, place, view);
    }
    script
}

fn add(script: &mut String, place: &Place, view: &View) {
    let parts = name(&format!("{}_parts", view.dataset));
    let _ = write!(
        script,
        "\nCREATE OR REPLACE VIEW {parts} AS\nSELECT\n    lower(hex(part.id)) AS id"
    );
    for column in passed_on() {
        let _ = write!(script, ",\n    {}", name(column));
    }
    for field in &view.fields {
        let _ = write!(script, ",\n    {} AS {}", converted(field), name(&field.column()));
    }
    let fields: Vec<String> = view
        .fields
        .iter()
        .map(|field| format!("`{}` Nullable(String)", field.name))
        .collect();
    let of_record = if fields.is_empty() {
        String::new()
    } else {
        format!(
            ", JSONExtract(raw, {}) AS fields",
            text(&format!("Tuple({})", fields.join(", ")))
        )
    };
    let _ = write!(
        script,
        ",\n    raw\nFROM (\n    SELECT *{of_record}\n    FROM {}\n) AS part\nSETTINGS use_hive_partitioning = 0;\n",
        files(place, &view.dataset),
    );
    let _ = writeln!(
        script,
        "CREATE OR REPLACE VIEW {} AS SELECT * FROM {parts} LIMIT 1 BY id;",
        name(&view.dataset)
    );
}

fn converted(field: &Field) -> String {
    let value = format!("tupleElement(fields, {})", text(&field.name));
    match field.kind {
        Kind::Text | Kind::Json => value,
        Kind::Integer => format!("toInt64OrNull({value})"),
        Kind::Float => format!("toFloat64OrNull({value})"),
        Kind::Boolean => format!("multiIf({value} = 'true', true, {value} = 'false', false, NULL)"),
        Kind::Time => format!("flareward_time({value})"),
        Kind::Texts => texts(&value),
        Kind::Integers => format!("arrayMap(x -> toInt64OrNull(x), {})", texts(&value)),
    }
}

fn texts(value: &str) -> String {
    format!("JSONExtract(ifNull({value}, ''), 'Array(Nullable(String))')")
}

fn files(place: &Place, dataset: &str) -> String {
    let below = format!("dataset={dataset}/date=*/hour=*/part-*.parquet");
    match place {
        Place::Folder(folder) => {
            let path = format!("{}/{below}", folder.trim_end_matches('/'));
            format!("file({}, 'Parquet', {})", text(&path), text(&structure()))
        }
        Place::Bucket { .. } => format!(
            "s3(flareward, filename = {}, format = 'Parquet', structure = {})",
            text(&below),
            text(&structure())
        ),
    }
}

/// The columns of the parts, with types.
fn structure() -> String {
    let columns: Vec<String> = SCHEMA
        .fields()
        .iter()
        .map(|column| {
            let kind = match column.data_type() {
                DataType::FixedSizeBinary(16) => "FixedString(16)",
                DataType::Timestamp(..) => "DateTime64(6, 'UTC')",
                DataType::Boolean => "Bool",
                DataType::UInt64 => "UInt64",
                _ => "String",
            };
            if column.is_nullable() {
                format!("{} Nullable({kind})", column.name())
            } else {
                format!("{} {kind}", column.name())
            }
        })
        .collect();
    columns.join(", ")
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
