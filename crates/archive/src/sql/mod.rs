//! Prints the SQL with which other engines read the archive: views over the parts, with one column for each field.
//!
//! Reads and runs nothing: the result is text. Whoever knows the datasets passes their fields in ([`View`]).
//!
//! For each dataset there are two views. `gateway_dns_parts` has a row for each row of the parts. A record can be in two
//! parts until they are merged, so `gateway_dns` keeps one row for each ID.
//!
//! The fields come out of the record as text, in one pass over its JSON, and are then converted. A value that has another
//! type than its field is NULL, or stays text; no value makes a query fail. Start reading at [`script`].

mod clickhouse;
mod duckdb;
mod trino;

use crate::schema::SCHEMA;
use std::borrow::Cow;

/// An engine that reads Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// DuckDB 1.4 and later.
    DuckDb,
    /// ClickHouse.
    ClickHouse,
    /// Trino, with its Hive connector.
    Trino,
}

/// Where the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder: its absolute path.
    Folder(String),
    /// A bucket.
    Bucket {
        /// Its name.
        name: String,
        /// The path of the archive in it; may be empty.
        prefix: String,
        /// The service, if it is not Amazon S3: `https://host:port`.
        endpoint: Option<String>,
        /// The region, if it is known.
        region: Option<String>,
    },
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text; a value of any other type as its JSON.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number.
    Float,
    /// True or false.
    Boolean,
    /// A time: RFC 3339, or a number since 1970 in seconds, milliseconds, microseconds or nanoseconds.
    Time,
    /// A list of texts.
    Texts,
    /// A list of whole numbers.
    Integers,
    /// An object, or a list of objects: its JSON as text.
    Json,
}

/// A field of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the record.
    pub name: String,
    /// Its type.
    pub kind: Kind,
}

impl Field {
    /// The name of its column: that of the field, or `field_…` where it is the name of a column of the parts. Engines
    /// compare names without case.
    pub fn column(&self) -> Cow<'_, str> {
        let is_taken = SCHEMA
            .fields()
            .iter()
            .any(|column| column.name().eq_ignore_ascii_case(&self.name));
        if is_taken {
            Cow::Owned(format!("field_{}", self.name))
        } else {
            Cow::Borrowed(&self.name)
        }
    }
}

/// What a dataset needs for its views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The name of the dataset.
    pub dataset: String,
    /// Its fields, in the order of the columns.
    pub fields: Vec<Field>,
}

/// The views of all `views`, as a script for `engine`. Contains no credentials: comments say where they go.
pub fn script(engine: Engine, place: &Place, views: &[View]) -> String {
    match engine {
        Engine::DuckDb => duckdb::script(place, views),
        Engine::ClickHouse => clickhouse::script(place, views),
        Engine::Trino => trino::script(place, views),
    }
}

/// A comment of one line.
fn comment(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    format!("-- {text}\n")
}

/// A name, quoted.
fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The columns of the parts but the ID and the record, as a view passes them on.
fn passed_on() -> impl Iterator<Item = &'static str> {
    SCHEMA
        .fields()
        .iter()
        .map(|column| column.name().as_str())
        .filter(|column| ![crate::schema::ID, crate::schema::RAW].contains(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: [Engine; 3] = [Engine::DuckDb, Engine::ClickHouse, Engine::Trino];

    fn view(dataset: &str, fields: &[(&str, Kind)]) -> View {
        View {
            dataset: dataset.to_owned(),
            fields: fields
                .iter()
                .map(|(name, kind)| Field {
                    name: (*name).to_owned(),
                    kind: *kind,
                })
                .collect(),
        }
    }

    fn dns() -> View {
        view(
            "gateway_dns",
            &[
                ("Datetime", Kind::Time),
                ("QueryName", Kind::Text),
                ("SrcPort", Kind::Integer),
                ("Score", Kind::Float),
                ("IsResponseCached", Kind::Boolean),
                ("ResolvedIPs", Kind::Texts),
                ("QueryCategoryIDs", Kind::Integers),
                ("ResourceRecords", Kind::Json),
                ("Action", Kind::Text),
            ],
        )
    }

    fn bucket(endpoint: Option<&str>) -> Place {
        Place::Bucket {
            name: "logs".to_owned(),
            prefix: "zero/trust".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: None,
        }
    }

    /// Compares with the file in `golden`; `UPDATE_GOLDEN=1` writes it anew.
    fn check(file: &str, found: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/sql/golden")
            .join(file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        assert!(
            expected == found,
            "{file} differs: run the test with UPDATE_GOLDEN=1 and read the difference\n{found}"
        );
    }

    #[test]
    fn each_engine_has_its_script_for_a_folder_and_for_a_bucket() {
        let folder = Place::Folder("/srv/flareward-data/archive".to_owned());
        let r2 = bucket(Some("https://0a1b.r2.cloudflarestorage.com"));
        for (engine, name) in ENGINES.into_iter().zip(["duckdb", "clickhouse", "trino"]) {
            check(&format!("{name}-folder.sql"), &script(engine, &folder, &[dns()]));
            check(&format!("{name}-bucket.sql"), &script(engine, &r2, &[dns()]));
        }
    }

    #[test]
    fn a_field_with_the_name_of_a_column_of_the_parts_gets_another_one() {
        for (field, column) in [
            ("Action", "field_Action"),
            ("ID", "field_ID"),
            ("Raw", "field_Raw"),
            ("SourceIP", "SourceIP"),
            ("Email", "Email"),
        ] {
            let field = Field {
                name: field.to_owned(),
                kind: Kind::Text,
            };
            assert_eq!(field.column(), column);
        }
    }

    #[test]
    fn a_path_cannot_leave_its_quotes_or_its_comment() {
        let place = Place::Folder("/srv/a'b [x]*\nDROP TABLE t;".to_owned());
        for engine in ENGINES {
            let script = script(engine, &place, &[dns()]);
            for line in script.lines().filter(|line| !line.starts_with("--")) {
                assert!(!line.contains("a'b"), "{script}");
                assert!(
                    !line.starts_with("DROP") || line.starts_with("DROP TABLE t;/dataset="),
                    "{script}"
                );
            }
        }
        let script = script(Engine::DuckDb, &place, &[dns()]);
        assert!(
            script.contains("/srv/a''b [[]x][*]\nDROP TABLE t;/dataset="),
            "{script}"
        );
    }

    #[test]
    fn a_script_is_only_about_parts() {
        for engine in [Engine::DuckDb, Engine::ClickHouse] {
            let script = script(engine, &bucket(None), &[dns(), view("ssh_logs", &[])]);
            for dataset in ["gateway_dns", "ssh_logs"] {
                assert!(
                    script.contains(&format!("dataset={dataset}/date=*/hour=*/part-*.parquet")),
                    "{script}"
                );
            }
            assert!(!script.contains("ndjson"), "{script}");
        }
    }
}
