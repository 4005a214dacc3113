//! Sheets of an XLSX file.
//!
//! Cells have types: text is text, so a value that begins with `=` is no formula; numbers and yes-or-no are
//! themselves; times stay the text that they are. Rows go to a temporary file as they come.

use crate::output;
use crate::visible::visible;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};
use serde_json::Value;
use std::io::{self, Seek, Write};

/// Maximum number of rows of a sheet, including the header; Excel's limit.
const ROWS_MAX: u32 = 1_048_576;
/// Maximum length of a cell, in UTF-16 units; Excel's limit.
const CELL_LENGTH_MAX: usize = 32_767;
/// The largest integer that a cell stores exactly.
const EXACT_MAX: u64 = 1 << 53;
/// In characters; chosen, nothing depends on it.
const COLUMN_WIDTH: f64 = 24.0;

/// A file of several sheets.
pub(crate) struct Book(Workbook);

/// One sheet of it.
pub(crate) struct Sheet {
    sheet: Box<Worksheet>,
    columns: &'static [&'static str],
    rows: u32,
}

impl Book {
    /// A file with the creation time `made_at`, in seconds since 1970.
    pub(crate) fn new(made_at: i64) -> io::Result<Self> {
        let mut book = Workbook::new();
        let made_at = ExcelDateTime::from_timestamp(made_at).map_err(io::Error::other)?;
        book.set_properties(&DocProperties::new().set_creation_datetime(&made_at));
        Ok(Self(book))
    }

    /// Starts a sheet. [`Self::add`] adds it to the file.
    pub(crate) fn sheet(&mut self, name: &str, columns: &'static [&'static str]) -> io::Result<Sheet> {
        let mut sheet = self
            .0
            .new_worksheet_with_constant_memory()
            .map_err(io::Error::other)?;
        begin(&mut sheet, name, columns).map_err(io::Error::other)?;
        Ok(Sheet {
            sheet: Box::new(sheet),
            columns,
            rows: 1,
        })
    }

    /// Adds a sheet that is complete.
    pub(crate) fn add(&mut self, sheet: Sheet) {
        self.0.push_worksheet(*sheet.sheet);
    }

    /// Writes the file.
    pub(crate) fn write(mut self, out: impl Write + Seek + Send) -> io::Result<()> {
        self.0.save_to_writer(out).map_err(io::Error::other)
    }
}

fn begin(sheet: &mut Worksheet, name: &str, columns: &[&'static str]) -> Result<(), XlsxError> {
    sheet.set_name(name)?.set_freeze_panes(1, 0)?;
    let header = Format::new().set_bold();
    for (place, column) in (0_u16..).zip(columns.iter().map(|name| output::column(name))) {
        sheet.set_column_width(place, COLUMN_WIDTH)?;
        sheet.write_string_with_format(0, place, column.replace('_', " "), &header)?;
    }
    Ok(())
}

impl Sheet {
    /// The number of rows, without the header.
    pub(crate) fn rows(&self) -> usize {
        self.rows as usize - 1
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: &Value) -> io::Result<()> {
        if self.rows == ROWS_MAX {
            return Err(io::Error::other(
                "too many rows for a spreadsheet (limit: 1,048,575): export as csv instead",
            ));
        }
        for (place, column) in (0_u16..).zip(self.columns.iter().map(|name| output::column(name))) {
            self.cell(place, &row[column]).map_err(io::Error::other)?;
        }
        self.rows += 1;
        Ok(())
    }

    fn cell(&mut self, place: u16, value: &Value) -> Result<(), XlsxError> {
        let row = self.rows;
        match value {
            Value::Null => {}
            Value::Bool(yes) => {
                self.sheet.write_boolean(row, place, *yes)?;
            }
            Value::Number(number) if number.is_f64() || is_exact(number) => {
                self.sheet
                    .write_number(row, place, number.as_f64().unwrap_or_default())?;
            }
            other => {
                self.sheet
                    .write_string(row, place, fitting(visible(&output::cell(other)).into_owned()))?;
            }
        }
        Ok(())
    }
}

fn is_exact(number: &serde_json::Number) -> bool {
    number
        .as_i64()
        .is_some_and(|number| number.unsigned_abs() <= EXACT_MAX)
}

/// Text shortened to the maximum length of a cell, with an ellipsis at the end.
fn fitting(mut text: String) -> String {
    // No text has more UTF-16 units than bytes.
    if text.len() > CELL_LENGTH_MAX && text.encode_utf16().count() > CELL_LENGTH_MAX {
        let mut length = 0;
        let end = text.char_indices().find_map(|(at, character)| {
            length += character.len_utf16();
            (length > CELL_LENGTH_MAX - 1).then_some(at)
        });
        text.truncate(end.unwrap_or(text.len()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use calamine::{Data, Reader, Xlsx};
    use serde_json::json;
    use std::io::Cursor;

    fn written(rows: &[Value]) -> Vec<u8> {
        let mut book = Book::new(1_767_600_000).unwrap();
        for name in ["first", "second"] {
            let mut sheet = book.sheet(name, &["name", "seen_at", "count"]).unwrap();
            for row in rows {
                sheet.row(row).unwrap();
            }
            book.add(sheet);
        }
        let mut file = Cursor::new(Vec::new());
        book.write(&mut file).unwrap();
        file.into_inner()
    }

    #[test]
    fn cells_have_types_and_text_is_never_a_formula() {
        let long = "🦀".repeat(20_000);
        let rows = [
            json!({ "name": "=HYPERLINK(\"http://x.example\")", "seen_at": "2026-01-05T10:00:00Z", "count": 3 }),
            json!({ "name": "+1", "count": true }),
            json!({ "name": ["a", "b"], "seen_at": { "x": 1 }, "count": 0.5 }),
            json!({ "name": "tab\tand <&> \u{1}", "seen_at": "12", "count": u64::MAX }),
            json!({ "name": "_x0041_", "seen_at": long }),
        ];
        let mut book = Xlsx::new(Cursor::new(written(&rows))).unwrap();
        assert_eq!(book.sheet_names(), ["first", "second"]);
        for name in ["first", "second"] {
            assert!(book.worksheet_formula(name).unwrap().is_empty());
            let sheet = book.worksheet_range(name).unwrap();
            let text = |text: &str| Data::String(text.to_owned());
            let read: Vec<Vec<Data>> = sheet.rows().map(<[Data]>::to_vec).collect();
            assert_eq!(read[0], [text("name"), text("seen at"), text("count")]);
            assert_eq!(
                read[1],
                [
                    text("=HYPERLINK(\"http://x.example\")"),
                    text("2026-01-05T10:00:00Z"),
                    Data::Float(3.0)
                ]
            );
            assert_eq!(read[2], [text("+1"), Data::Empty, Data::Bool(true)]);
            assert_eq!(read[3], [text("a; b"), text("{\"x\":1}"), Data::Float(0.5)]);
            assert_eq!(
                read[4],
                [
                    text("tab\tand <&> \\u0001"),
                    text("12"),
                    text("18446744073709551615")
                ]
            );
            assert_eq!(
                read[5],
                [
                    text("_x0041_"),
                    text(&format!("{}…", "🦀".repeat(16_383))),
                    Data::Empty
                ]
            );
        }
    }

    #[test]
    fn equal_rows_give_an_equal_file() {
        let rows = [json!({ "name": "Ana", "count": 1 })];
        assert!(written(&rows) == written(&rows));
    }
}
