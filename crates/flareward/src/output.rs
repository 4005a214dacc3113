//! What commands print: tables for people, JSON, NDJSON or CSV for programs. Sheets are [`crate::sheet`]'s.

use crate::sheet::Sheet;
use clap::ValueEnum;
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;
use std::io::{self, Write};

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table, for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values with a header line.
    Csv,
    /// What was counted, as one JSON document; of `rules run` alone.
    #[value(hide = true)]
    Counts,
}

/// Reads a [`Format`], and says where to get a spreadsheet, which is nothing to print.
#[derive(Clone)]
pub(crate) struct FormatParser;

impl TypedValueParser for FormatParser {
    type Value = Format;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Format, clap::Error> {
        if value == "xlsx" {
            let advice = "a spreadsheet cannot be printed: flareward export xlsx --file FILE\n";
            return Err(clap::Error::raw(ErrorKind::InvalidValue, advice).with_cmd(command));
        }
        EnumValueParser::<Format>::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values: Vec<_> = Format::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .collect();
        Some(Box::new(values.into_iter()))
    }
}

/// Takes rows as they come. Rows are JSON objects; a table, CSV and a sheet show the columns that were asked for.
pub(crate) enum Printer {
    /// To text.
    Text(Box<Text>),
    /// To a sheet, for [`crate::sheet::Book::add`].
    Sheet(Sheet),
}

impl Printer {
    /// A printer to standard output.
    pub(crate) fn new(format: Format, columns: &'static [&'static str]) -> Self {
        Self::to(Box::new(io::BufWriter::new(io::stdout())), format, columns)
    }

    /// A printer to `out`.
    pub(crate) fn to(out: Box<dyn Write + Send>, format: Format, columns: &'static [&'static str]) -> Self {
        Self::Text(Box::new(Text::to(out, format, columns)))
    }

    /// Prints one row.
    pub(crate) fn row(&mut self, row: &Value) -> io::Result<()> {
        match self {
            Self::Text(text) => text.row(row),
            Self::Sheet(sheet) => sheet.row(row),
        }
    }

    /// Ends text; `nothing` is what a person reads when there was no row. Returns the number of rows.
    pub(crate) fn finish(self, nothing: &str) -> io::Result<usize> {
        match self {
            Self::Text(text) => text.finish(nothing),
            Self::Sheet(sheet) => Ok(sheet.rows()),
        }
    }
}

/// Rows as text.
pub(crate) struct Text {
    format: Format,
    columns: &'static [&'static str],
    out: Box<dyn Write + Send>,
    table: Table,
    rows: usize,
}

impl Text {
    fn to(out: Box<dyn Write + Send>, format: Format, columns: &'static [&'static str]) -> Self {
        let mut table = Table::new();
        table
            .load_preset(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(columns.iter().map(|name| name.replace('_', " ")));
        Self {
            format,
            columns,
            out,
            table,
            rows: 0,
        }
    }

    fn row(&mut self, row: &Value) -> io::Result<()> {
        match self.format {
            Format::Table => {
                self.table
                    .add_row(self.columns.iter().map(|name| cell(&row[*name])));
            }
            Format::Ndjson => writeln!(self.out, "{row}")?,
            Format::Json | Format::Counts => {
                write!(self.out, "{}\n  {row}", if self.rows == 0 { "[" } else { "," })?;
            }
            Format::Csv => {
                if self.rows == 0 {
                    self.csv_line(self.columns.iter().map(|name| (*name).to_owned()).collect())?;
                }
                self.csv_line(
                    self.columns
                        .iter()
                        .map(|name| harmless(cell(&row[*name])))
                        .collect(),
                )?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self, nothing: &str) -> io::Result<usize> {
        match self.format {
            Format::Table if self.rows == 0 => writeln!(self.out, "{nothing}")?,
            Format::Table => writeln!(self.out, "{}", self.table)?,
            Format::Json | Format::Counts => {
                writeln!(self.out, "{}", if self.rows == 0 { "[]" } else { "\n]" })?;
            }
            Format::Csv if self.rows == 0 => {
                self.csv_line(self.columns.iter().map(|name| (*name).to_owned()).collect())?;
            }
            Format::Csv | Format::Ndjson => {}
        }
        self.out.flush()?;
        Ok(self.rows)
    }

    fn csv_line(&mut self, cells: Vec<String>) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new().from_writer(&mut self.out);
        writer.write_record(&cells).map_err(io::Error::other)?;
        writer.flush()
    }
}

/// Prints one object: as JSON for programs, as lines of name and value for people.
pub(crate) fn object(format: Format, value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json | Format::Counts => writeln!(out, "{value:#}"),
        Format::Ndjson => writeln!(out, "{value}"),
        Format::Table | Format::Csv => {
            let mut table = Table::new();
            table
                .load_preset(UTF8_FULL_CONDENSED)
                .set_content_arrangement(ContentArrangement::Dynamic);
            for (name, value) in value.as_object().into_iter().flatten() {
                table.add_row([name.replace('_', " "), lines(value)]);
            }
            writeln!(out, "{table}")
        }
    }
}

/// A value on one line, for a column.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(members) if members.iter().all(Value::is_string) => members
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("; "),
        other => other.to_string(),
    }
}

/// A value for reading: a line for each thing of a list and for each member of an object.
fn lines(value: &Value) -> String {
    match value {
        Value::Array(things) if things.iter().any(Value::is_object) => {
            things.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| format!("{}: {}", name.replace('_', " "), line(value));
            members.iter().map(member).collect::<Vec<_>>().join("\n")
        }
        other => cell(other),
    }
}

/// A value on one line.
fn line(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let filled = members.iter().filter(|(_, value)| !value.is_null());
            filled
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), line(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Value::Array(things) => things.iter().map(line).collect::<Vec<_>>().join("; "),
        other => cell(other),
    }
}

/// Text that no spreadsheet takes for a formula.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(part)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(format: Format, rows: &[Value]) -> String {
        let kept = Kept::default();
        let mut printer = Printer::to(Box::new(kept.clone()), format, &["name", "on"]);
        for row in rows {
            printer.row(row).unwrap();
        }
        printer.finish("nothing").unwrap();
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_formula_is_neutralised_in_csv() {
        let rows = [
            json!({ "name": "=cmd()", "on": null }),
            json!({ "name": "a,\"b\"", "on": false }),
        ];
        assert_eq!(
            printed(Format::Csv, &rows),
            "name,on\n'=cmd(),\n\"a,\"\"b\"\"\",no\n"
        );
        assert_eq!(printed(Format::Csv, &[]), "name,on\n");
    }

    #[test]
    fn json_is_one_document_however_many_rows() {
        for rows in [
            vec![],
            vec![json!({ "name": 1 })],
            vec![json!({ "name": 1 }), json!({ "name": 2 })],
        ] {
            let read: Vec<Value> = serde_json::from_str(&printed(Format::Json, &rows)).unwrap();
            assert_eq!(read, rows);
        }
        assert_eq!(printed(Format::Table, &[]), "nothing\n");
    }
}
