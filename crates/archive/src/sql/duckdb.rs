//! The views for DuckDB 1.4 and later.
//!
//! Measured with DuckDB 2.0 on one thread, with records of `gateway_dns` of 2 kB, November 2026: to read all columns of
//! 200,000 records takes 3.5 s with all fields extracted as one list, and 38 s with an expression for each field, which
//! parses the record again. To keep one row for each ID adds 0.4 s to the count of a million records, and filters on
//! other columns still reach the Parquet reader.

use super::{Field, Kind, Place, View, comment, name, passed_on};
use std::fmt::Write;

/// Conversions of a field's text. Their names are those of Flareward, since a schema holds them beside the views.
const MACROS: &str = "
-- A whole number; NULL for any other text. A cast alone would round 1.5.
CREATE OR REPLACE MACRO flareward_integer(t) AS
    CASE WHEN regexp_full_match(t, '-?[0-9]+') THEN TRY_CAST(t AS BIGINT) END;

-- A time: RFC 3339, or a number since 1970 whose digits determine the unit.
CREATE OR REPLACE MACRO flareward_time(t) AS
    CASE
        WHEN t LIKE '%Z' THEN TRY_CAST(t AS TIMESTAMPTZ)
        WHEN flareward_integer(t) IS NULL THEN coalesce(TRY_CAST(t || 'Z' AS TIMESTAMPTZ), TRY_CAST(t AS TIMESTAMPTZ))
        WHEN flareward_integer(t) BETWEEN -99999999999 AND 99999999999
            THEN make_timestamptz(flareward_integer(t) * 1000000)
        WHEN flareward_integer(t) BETWEEN -99999999999999 AND 99999999999999
            THEN make_timestamptz(flareward_integer(t) * 1000)
        WHEN flareward_integer(t) BETWEEN -99999999999999999 AND 99999999999999999
            THEN make_timestamptz(flareward_integer(t))
        ELSE make_timestamptz(flareward_integer(t) // 1000)
    END;

-- Lists; NULL for a value that is none.
CREATE OR REPLACE MACRO flareward_texts(t) AS TRY_CAST(TRY_CAST(t AS JSON) AS VARCHAR[]);
CREATE OR REPLACE MACRO flareward_integers(t) AS [flareward_integer(x) FOR x IN flareward_texts(t)];
";

pub(super) fn script(place: &Place, views: &[View]) -> String {
    let mut script = String::new();
    script += &comment("Views over the archive of Flareward, for DuckDB 1.4 or later.");
    script += &comment("Times are shown in the time zone of the session: SET TimeZone = 'UTC';");
    if let Place::Bucket {
        name: bucket,
        prefix,
        endpoint,
        region,
    } = place
    {
        script += &comment(
            "DuckDB needs access to the bucket. Put your key in place of KEY_ID and SECRET_KEY, and run this first:",
        );
        script += &comment("  INSTALL httpfs; LOAD httpfs;");
        let mut secret = format!(
            "  CREATE SECRET (TYPE s3, KEY_ID 'KEY_ID', SECRET 'SECRET_KEY', SCOPE {}",
            text(&format!("s3://{}", path(bucket, prefix)))
        );
        if let Some(endpoint) = endpoint {
            let (is_encrypted, host) = match endpoint.split_once("://") {
                Some((scheme, host)) => (scheme != "http", host),
                None => (true, endpoint.as_str()),
            };
            let _ = write!(
                secret,
                ", ENDPOINT {}, URL_STYLE 'path', USE_SSL {is_encrypted}",
                text(host)
            );
        }
        if let Some(region) = region {
            let _ = write!(secret, ", REGION {}", text(region));
        }
        script += &comment(&format!("{secret});"));
    }
    script += MACROS;
    for view in views {
        add(&mut script, place, view);
    }
    script
}

fn add(script: &mut String, place: &Place, view: &View) {
    let parts = name(&format!("{}_parts", view.dataset));
    let _ = write!(
        script,
        "\nCREATE OR REPLACE VIEW {parts} AS\nSELECT\n    lower(hex(id)) AS id"
    );
    for column in passed_on() {
        let _ = write!(script, ",\n    {}", name(column));
    }
    for (place, field) in view.fields.iter().enumerate() {
        let _ = write!(
            script,
            ",\n    {} AS {}",
            converted(place + 1, field),
            name(&field.column())
        );
    }
    let paths: Vec<String> = view.fields.iter().map(|field| json_path(&field.name)).collect();
    // TRY: a record that is no JSON has no fields.
    let _ = write!(
        script,
        ",\n    raw\nFROM (\n    SELECT *, TRY(raw ->> [{}]) AS fields\n    FROM read_parquet({}, hive_partitioning = false)\n);\n",
        paths.join(", "),
        text(&files(place, &view.dataset)),
    );
    let _ = writeln!(
        script,
        "CREATE OR REPLACE VIEW {} AS SELECT DISTINCT ON (id) * FROM {parts};",
        name(&view.dataset)
    );
}

fn converted(number: usize, field: &Field) -> String {
    let value = format!("fields[{number}]");
    match field.kind {
        Kind::Text | Kind::Json => value,
        Kind::Integer => format!("flareward_integer({value})"),
        Kind::Float => format!("TRY_CAST({value} AS DOUBLE)"),
        Kind::Boolean => format!("TRY_CAST({value} AS BOOLEAN)"),
        Kind::Time => format!("flareward_time({value})"),
        Kind::Texts => format!("flareward_texts({value})"),
        Kind::Integers => format!("flareward_integers({value})"),
    }
}

fn json_path(field: &str) -> String {
    text(&format!("$.\"{}\"", field.replace('"', "\\\"")))
}

/// The parts of a dataset, as a pattern in which the location stands for itself.
fn files(place: &Place, dataset: &str) -> String {
    let folder = match place {
        Place::Folder(folder) => folder.trim_end_matches('/').to_owned(),
        Place::Bucket { name, prefix, .. } => format!("s3://{}", path(name, prefix)),
    };
    let mut pattern = String::new();
    for letter in folder.chars() {
        match letter {
            '[' | '*' | '?' => {
                let _ = write!(pattern, "[{letter}]");
            }
            _ => pattern.push(letter),
        }
    }
    format!("{pattern}/dataset={dataset}/date=*/hour=*/part-*.parquet")
}

fn path(bucket: &str, prefix: &str) -> String {
    format!("{bucket}/{prefix}").trim_end_matches('/').to_owned()
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
