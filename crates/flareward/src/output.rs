//! What commands print: tables for people, JSON, NDJSON or CSV for programs. Sheets are [`crate::sheet`]'s.

use crate::sheet::Sheet;
use crate::stream;
use crate::visible::visible;
use clap::ValueEnum;
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table
    Table,
    /// One JSON document
    Json,
    /// One JSON object per line
    Ndjson,
    /// Comma-separated values with a header line
    Csv,
    /// Counts as one JSON document; only for `rules run`
    #[value(hide = true)]
    Counts,
}

impl Format {
    /// Whether the output is a whole API body rather than columns of it.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Format::Json | Format::Ndjson)
    }
}

/// Parses a [`Format`]. For xlsx, which cannot be printed, the error names `flareward export`.
#[derive(Clone)]
pub(crate) struct FormatParser;

impl TypedValueParser for FormatParser {
    type Value = Asked;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Asked, clap::Error> {
        if value == "wide" {
            return Ok(Asked {
                format: Format::Table,
                is_wide: true,
            });
        }
        if value == "xlsx" {
            let advice = "cannot print a spreadsheet: use `flareward export xlsx --file FILE`\n";
            return Err(clap::Error::raw(ErrorKind::InvalidValue, advice).with_cmd(command));
        }
        let format = EnumValueParser::<Format>::new().parse_ref(command, arg, value)?;
        Ok(Asked {
            format,
            is_wide: false,
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let mut values: Vec<_> = Format::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .collect();
        values.insert(1, PossibleValue::new("wide").help("A table with all columns"));
        Some(Box::new(values.into_iter()))
    }
}

/// The value of `-o`: the format, and whether a table shows all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) format: Format,
    pub(crate) is_wide: bool,
}

/// The width and style of tables: determined once, when the program starts.
#[derive(Debug, Clone, Copy)]
struct Shape {
    is_wide: bool,
    /// `None`: no limit.
    width: Option<u16>,
    has_boxes: bool,
}

/// Width of a table, in columns, if the width of the terminal is unknown.
const WIDTH: u16 = 80;
/// A cell without spaces up to this length is not wrapped if the table fits.
const WHOLE: usize = 40;

/// Upper limit for the minimum width of a text column, which is the length of its longest word.
const WORD: usize = 14;
/// Spaces around the content of a cell, both sides together.
const PADDING: usize = 2;

static SHAPE: OnceLock<Shape> = OnceLock::new();

/// Determines the style of tables: with borders on a terminal, otherwise without.
pub(crate) fn draw(is_wide: bool) {
    let has_boxes = io::stdout().is_terminal();
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let screen = if has_boxes { Table::new().width() } else { None };
    let width = screen.or(told).unwrap_or(WIDTH).max(40);
    let _ = SHAPE.set(Shape {
        is_wide,
        width: (!is_wide).then_some(width),
        has_boxes,
    });
}

fn shape() -> Shape {
    SHAPE.get().copied().unwrap_or(Shape {
        is_wide: false,
        width: Some(WIDTH),
        has_boxes: false,
    })
}

/// The name of a column. A table shows a column marked with `+` only with `-o wide`.
pub(crate) fn column(column: &'static str) -> &'static str {
    column.trim_start_matches('+')
}

/// Prints rows one by one. Rows are JSON objects. CSV and sheets contain the requested columns; a table without
/// `-o wide` omits those that are marked with `+`.
pub(crate) enum Printer {
    /// To text.
    Text(Box<Text>),
    /// To a sheet, for [`crate::sheet::Book::add`].
    Sheet(Sheet),
}

impl Printer {
    /// A printer to standard output.
    pub(crate) fn new(format: Format, columns: &'static [&'static str]) -> Self {
        let out = Box::new(io::BufWriter::new(stream::Out));
        let mut text = Text::to(out, format, columns, shape());
        text.to_reader = true;
        Self::Text(Box::new(text))
    }

    /// A printer to `out`.
    pub(crate) fn to(out: Box<dyn Write + Send>, format: Format, columns: &'static [&'static str]) -> Self {
        Self::Text(Box::new(Text::to(out, format, columns, shape())))
    }

    /// Whether the reader of the output has closed it, so that a long list can stop.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_unread())
    }

    /// Prints one row.
    pub(crate) fn row(&mut self, row: &Value) -> io::Result<()> {
        match self {
            Self::Text(text) => text.row(row),
            Self::Sheet(sheet) => sheet.row(row),
        }
    }

    /// Prints an API body: whole as JSON, otherwise in columns, where `cells` add to or replace its fields.
    pub(crate) fn body(&mut self, body: &impl Serialize, cells: &[(&str, Value)]) -> io::Result<()> {
        let mut row = serde_json::to_value(body)?;
        let is_whole = matches!(self, Self::Text(text) if text.format.is_json());
        for (name, cell) in cells.iter().filter(|_| !is_whole) {
            row[*name] = cell.clone();
        }
        self.row(&row)
    }

    /// Finishes the output; prints `nothing` if a table has no rows. Returns the number of rows.
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
    columns: Vec<&'static str>,
    out: Box<dyn Write + Send>,
    table: Vec<Vec<String>>,
    shape: Shape,
    rows: usize,
    /// Whether this is standard output, which the reader can close.
    to_reader: bool,
}

impl Text {
    fn to(out: Box<dyn Write + Send>, format: Format, columns: &[&'static str], shape: Shape) -> Self {
        let is_shown =
            |name: &&&'static str| format != Format::Table || shape.is_wide || !name.starts_with('+');
        Self {
            format,
            columns: columns.iter().filter(is_shown).map(|name| column(name)).collect(),
            out,
            table: Vec::new(),
            shape,
            rows: 0,
            to_reader: false,
        }
    }

    fn is_unread(&self) -> bool {
        self.to_reader && stream::is_gone()
    }

    fn row(&mut self, row: &Value) -> io::Result<()> {
        if self.is_unread() {
            return Ok(());
        }
        match self.format {
            Format::Table => {
                let cells = self.columns.iter().map(|name| readable(&row[*name]));
                self.table.push(cells.collect());
            }
            Format::Ndjson => writeln!(self.out, "{row}")?,
            Format::Json | Format::Counts => {
                write!(self.out, "{}\n  {row}", if self.rows == 0 { "[" } else { "," })?;
            }
            Format::Csv => {
                if self.rows == 0 {
                    self.csv_header()?;
                }
                let cells = self.columns.iter().map(|name| harmless(cell(&row[*name])));
                let cells = cells.collect();
                self.csv_line(cells)?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self, nothing: &str) -> io::Result<usize> {
        match self.format {
            Format::Table if self.rows == 0 => writeln!(self.out, "{nothing}")?,
            Format::Table => {
                let header = self.columns.iter().map(|name| name.replace('_', " ")).collect();
                writeln!(self.out, "{}", drawn(self.shape, Some(header), self.table))?;
            }
            Format::Json | Format::Counts => {
                writeln!(self.out, "{}", if self.rows == 0 { "[]" } else { "\n]" })?;
            }
            Format::Csv if self.rows == 0 => self.csv_header()?,
            Format::Csv | Format::Ndjson => {}
        }
        self.out.flush()?;
        Ok(self.rows)
    }

    fn csv_header(&mut self) -> io::Result<()> {
        let names = self.columns.iter().map(|name| (*name).to_owned()).collect();
        self.csv_line(names)
    }

    fn csv_line(&mut self, cells: Vec<String>) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new().from_writer(&mut self.out);
        writer.write_record(&cells).map_err(io::Error::other)?;
        writer.flush()
    }
}

/// Draws a table that fits the width: long cells are wrapped between words.
fn drawn(shape: Shape, header: Option<Vec<String>>, rows: Vec<Vec<String>>) -> String {
    let columns = header.as_ref().map_or(2, Vec::len);
    let mut table = Table::new();
    table.load_preset(if shape.has_boxes {
        UTF8_FULL_CONDENSED
    } else {
        NOTHING
    });
    // The lines are broken here, at better places.
    table.set_content_arrangement(ContentArrangement::Disabled);
    let widths = shape.width.map(|width| {
        let frame = columns * (PADDING + usize::from(shape.has_boxes)) + usize::from(shape.has_boxes);
        let all: Vec<&Vec<String>> = header.iter().chain(&rows).collect();
        shares(usize::from(width).saturating_sub(frame), columns, &all)
    });
    let broken = |row: Vec<String>| -> Vec<String> {
        match &widths {
            None => row.into_iter().map(|text| text.replace('\n', "; ")).collect(),
            Some(widths) => row
                .iter()
                .zip(widths)
                .map(|(text, width)| wrapped(text, *width))
                .collect(),
        }
    };
    if let Some(header) = header {
        table.set_header(broken(header));
    }
    for row in rows {
        table.add_row(broken(row));
    }
    if !shape.has_boxes {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// The width of each column: its longest line if there is room; otherwise the long columns share the rest. IDs and
/// addresses have priority over text, which can be wrapped.
fn shares(room: usize, columns: usize, rows: &[&Vec<String>]) -> Vec<usize> {
    let mut longest = vec![1_usize; columns];
    let mut word = vec![1_usize; columns];
    let mut is_whole = vec![true; columns];
    for (place, row) in rows.iter().enumerate() {
        for (at, text) in row.iter().enumerate() {
            let words = text.split_whitespace().map(|word| word.chars().count());
            word[at] = word[at].max(words.max().unwrap_or(0));
            let lines = text.lines().map(|line| line.chars().count());
            longest[at] = longest[at].max(lines.max().unwrap_or(0));
            // The first may be the header.
            is_whole[at] &= place == 0 || !text.contains(' ') || is_time(text);
        }
    }
    let mut order: Vec<usize> = (0..columns).collect();
    order.sort_by_key(|at| (!(is_whole[*at] && longest[*at] <= WHOLE), longest[*at]));
    let (mut left, mut widths) = (room, vec![0; columns]);
    for (place, at) in order.iter().enumerate() {
        let others = &order[place + 1..];
        let least: usize = others.iter().map(|at| word[*at].min(WORD)).sum();
        let spare = left.saturating_sub(least);
        let keeps = if is_whole[*at] && longest[*at] <= WHOLE {
            spare
        } else {
            (left / (others.len() + 1)).max(word[*at].min(WORD)).min(spare)
        };
        widths[*at] = longest[*at].min(keeps.max(1));
        left = left.saturating_sub(widths[*at]);
    }
    widths
}

/// Wraps text into lines of at most `width`: at spaces, in a long word after punctuation, otherwise anywhere.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut now = String::new();
        for word in line.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            let length = now.chars().count();
            if length > 0 && length + 1 + word.len() <= width {
                now.push(' ');
            } else if length > 0 {
                lines.push(std::mem::take(&mut now));
            }
            while word.len() > width {
                let joint = word[..width]
                    .iter()
                    .rposition(|sign| "@.-/_:,=".contains(*sign))
                    .filter(|at| *at > 0);
                let rest = word.split_off(joint.map_or(width, |at| at + 1));
                lines.push(word.into_iter().collect());
                word = rest;
            }
            now.extend(word);
        }
        lines.push(now);
    }
    lines.join("\n")
}

fn is_time(text: &str) -> bool {
    text.len() == 16 && text.as_bytes()[4] == b'-' && text.as_bytes()[13] == b':'
}

/// Prints one object: as JSON, as CSV with one row, or as a table with one name and value per line.
pub(crate) fn object(format: Format, value: &Value) -> io::Result<()> {
    let mut out = stream::Out;
    match format {
        Format::Json | Format::Counts => writeln!(out, "{value:#}"),
        Format::Ndjson => writeln!(out, "{value}"),
        Format::Csv => {
            let members: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
            let mut writer = csv::WriterBuilder::new().from_writer(out);
            let names = members.iter().map(|(name, _)| name.as_str());
            writer.write_record(names).map_err(io::Error::other)?;
            let cells = members.iter().map(|(_, value)| harmless(cell(value)));
            writer.write_record(cells).map_err(io::Error::other)?;
            writer.flush()
        }
        Format::Table => {
            let rows = value.as_object().into_iter().flatten();
            let rows = rows.map(|(name, value)| vec![name.replace('_', " "), lines(value)]);
            writeln!(out, "{}", drawn(shape(), None, rows.collect()))
        }
    }
}

/// Prints one API body: whole as JSON, otherwise as `shown`.
pub(crate) fn body(format: Format, body: &impl Serialize, shown: &Value) -> io::Result<()> {
    if format.is_json() {
        object(format, &serde_json::to_value(body)?)
    } else {
        object(format, shown)
    }
}

/// Prints a JSON document with a format that other programs depend on. Fails for CSV.
pub(crate) fn document(format: Format, value: &Value) -> anyhow::Result<()> {
    match format {
        Format::Table | Format::Json | Format::Counts => println!("{value:#}"),
        Format::Ndjson => println!("{value}"),
        Format::Csv => {
            let words = "the output is a JSON document: use -o json or -o ndjson";
            return Err(crate::Usage(words.to_owned()).into());
        }
    }
    Ok(())
}

/// Rejects every format except text, for commands that print text.
pub(crate) fn text_only(format: Format, what: &str) -> anyhow::Result<()> {
    if format == Format::Table {
        return Ok(());
    }
    Err(crate::Usage(format!("{what} is always text: remove -o")).into())
}

/// A value in a table: as [`cell`], with times to the minute.
fn readable(value: &Value) -> String {
    if let Value::String(text) = value
        && text.len() >= 20
        && text.as_bytes()[10] == b'T'
        && let Ok(at) = chrono::DateTime::parse_from_rfc3339(text)
    {
        return at.to_utc().format("%Y-%m-%d %H:%M").to_string();
    }
    let text = cell(value);
    // An address is read with its domain in Unicode.
    let is_address = text.contains("xn--") && text.contains('@') && !text.contains(char::is_whitespace);
    let text = if is_address {
        model::address::shown(&text)
    } else {
        text
    };
    visible(&text).replace('\t', " ")
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

/// A value as text: one line for each list item and each field of an object.
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
        other => readable(other),
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
        other => readable(other),
    }
}

/// Text that a spreadsheet does not interpret as a formula, with control characters made visible.
fn harmless(text: String) -> String {
    let text = visible(&text).into_owned();
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
        for beginning in ["+", "-", "@", "\t"] {
            let name = format!("{beginning}SUM(A1)");
            let row = json!({ "name": name, "on": "\u{1b}]0;x\u{202e}\r" });
            assert_eq!(
                printed(Format::Csv, &[row]),
                format!("name,on\n'{name},\\u001b]0;x\\u202e\\u000d\n")
            );
        }
        let row = json!({ "name": "\r=1\u{202e}", "on": null });
        assert_eq!(
            printed(Format::Csv, std::slice::from_ref(&row)),
            "name,on\n\\u000d=1\\u202e,\n"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&printed(Format::Ndjson, std::slice::from_ref(&row))).unwrap(),
            row
        );
    }

    fn table(shape: Shape, columns: &'static [&'static str], rows: &[Value]) -> String {
        let kept = Kept::default();
        let mut text = Text::to(Box::new(kept.clone()), Format::Table, columns, shape);
        for row in rows {
            text.row(row).unwrap();
        }
        text.finish("nothing").unwrap();
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_table_fits_keeps_ids_whole_and_breaks_between_words() {
        let rows = [json!({
            "at": "2026-11-20T09:14:05Z", "who": "someone.with.a.long.name@department.corp.example",
            "why": "the membership was found through a group that is nested in another group of the account",
            "id": "01980f3a-7c1e-7b52-9d7e-0123456789ab", "raw": "never",
        })];
        let columns = &["why", "who", "+raw", "id"];
        for has_boxes in [false, true] {
            let shape = Shape {
                is_wide: false,
                width: Some(80),
                has_boxes,
            };
            let text = table(shape, columns, &rows);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert!(text.contains("01980f3a-7c1e-7b52-9d7e-0123456789ab"), "{text}");
            assert_eq!(text.contains('│'), has_boxes, "{text}");
            assert!(!text.contains("never"), "{text}");
            for word in text.split(|sign: char| sign.is_whitespace() || sign == '│' || sign == '┆') {
                let known = rows[0]["why"].as_str().unwrap().split(' ');
                let is_of_why = known.clone().any(|one| one.starts_with(word));
                assert!(
                    !is_of_why || known.clone().any(|one| one == word) || word.len() < 3,
                    "{word}: {text}"
                );
            }
        }
        let wide = Shape {
            is_wide: true,
            width: None,
            has_boxes: false,
        };
        let text = table(wide, columns, &rows);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("never"));
        let text = table(shape(), &["at", "why"], &rows);
        assert!(text.contains("2026-11-20 09:14"), "{text}");
    }

    #[test]
    fn a_long_word_is_broken_where_it_is_joined() {
        assert_eq!(
            wrapped("to some.one@department.example now", 12),
            "to\nsome.one@\ndepartment.\nexample now"
        );
        assert_eq!(wrapped("abcdefgh", 3), "abc\ndef\ngh");
        assert_eq!(wrapped("", 3), "");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let rows = [json!({ "name": "red\u{1b}[31m\tand\u{7}bell" })];
        let text = table(shape(), &["name"], &rows);
        assert!(text.contains("red\\u001b[31m and\\u0007bell"), "{text:?}");
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
