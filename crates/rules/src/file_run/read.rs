//! Reads the lines of a file that may be records, in bounded memory.
//!
//! Start reading at [`read`].

use crate::form::Former;
use crate::lines::{LINE_LIMIT_BYTES, Lines};
use std::io::Result;

/// The number of lines between two calls about the progress.
const PROGRESS_LINES: u64 = 4096;

/// A line that may be a record, or the reason why it is none.
pub(super) struct Line<'a> {
    /// Its number, from 1; in a JSON document, the number of the record.
    pub(super) number: u64,
    pub(super) text: std::result::Result<&'a [u8], String>,
    pub(super) is_repaired: bool,
}

/// Calls `seen` with each line until it returns `false`, and `progress` with numbers of bytes. Returns the problem if
/// the file could not be read completely.
///
/// # Errors
///
/// Those of `seen`.
pub(super) fn read(
    mut lines: Lines,
    progress: &dyn Fn(u64),
    mut seen: impl FnMut(Line<'_>) -> Result<bool>,
) -> Result<Option<String>> {
    let mut reported = 0;
    let mut former = Former::default();
    let mut formed = Vec::new();
    let mut problem = None;
    let mut is_over = false;
    while !is_over {
        match lines.next_line() {
            Ok(Some((number, Some(line)))) if former.is_lines() => {
                let line = Line {
                    number,
                    text: Ok(line),
                    is_repaired: false,
                };
                is_over = !seen(line)?;
            }
            Ok(Some((number, Some(line)))) => former.take(number, line, &mut formed),
            Ok(Some((number, None))) => {
                let line = Line {
                    number,
                    text: Err(format!("longer than {LINE_LIMIT_BYTES} bytes")),
                    is_repaired: false,
                };
                is_over = !seen(line)?;
            }
            Ok(None) => {
                former.end(&mut formed);
                is_over = true;
            }
            Err(error) => {
                let what = if lines.is_gzip { "damaged gzip: " } else { "" };
                problem = Some(format!("{what}{error}, after {} lines", lines.number));
                former.end(&mut formed);
                is_over = true;
            }
        }
        for one in formed.drain(..) {
            let line = Line {
                number: one.number,
                text: one.line.as_deref().map_err(ToString::to_string),
                is_repaired: one.is_repaired,
            };
            if !seen(line)? {
                is_over = true;
                break;
            }
        }
        if lines.number.is_multiple_of(PROGRESS_LINES) {
            let read = lines.bytes_read();
            progress(read - reported);
            reported = read;
        }
    }
    progress(lines.bytes_read() - reported);
    Ok(problem)
}
