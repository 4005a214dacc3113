//! The lines of a file, plain or gzip, in bounded memory.

use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The maximum length of a line, in bytes; the default of `ingest.line_limit_bytes`.
pub const LINE_LIMIT_BYTES: usize = 1 << 20;
/// The number of bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// The message for a file with other data after its gzip.
const GARBAGE: &str = "data after the last gzip member is not gzip";
/// The first bytes of every gzip member (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Counts the bytes read from a file.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The content of gzip members in sequence. Zeros after the last one are padding and are skipped.
enum Members<R: BufRead> {
    Inside(Box<GzDecoder<R>>),
    Between(R),
    Over,
}

impl<R: BufRead> Members<R> {
    /// The next member's decoder, if there is one.
    fn next_of(mut from: R) -> std::io::Result<Self> {
        loop {
            let rest = from.fill_buf()?;
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            match rest.get(zeros) {
                None if rest.is_empty() => return Ok(Self::Over),
                None => from.consume(zeros),
                Some(byte) if *byte == GZIP_MAGIC[0] => {
                    from.consume(zeros);
                    return Ok(Self::Inside(Box::new(GzDecoder::new(from))));
                }
                Some(_) => {
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, GARBAGE));
                }
            }
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Over) {
                Self::Over => return Ok(0),
                Self::Between(from) => *self = Self::next_of(from)?,
                Self::Inside(mut decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        *self = Self::Inside(decoder);
                        return Ok(read);
                    }
                    *self = Self::Between(decoder.into_inner());
                }
            }
        }
    }
}

/// A line with its number from 1; without the line if it is too long.
pub type Numbered<'a> = (u64, Option<&'a [u8]>);

/// The lines of a file, plain or gzip, in bounded memory.
pub struct Lines {
    from: Box<dyn Read + Send>,
    /// Whether the file is compressed.
    pub is_gzip: bool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_over: bool,
    /// The error that ended the reading.
    failed: Option<std::io::Error>,
    /// Whether the rest of a line that is too long is being skipped.
    skipping: bool,
    /// The number of the last line, from 1.
    pub number: u64,
    read: Arc<AtomicU64>,
}

impl Lines {
    /// The lines of a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or its start cannot be read.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            file: File::open(path)?,
            read: Arc::clone(&read),
        };
        Ok(Self {
            read,
            ..Self::new(Box::new(counted))?
        })
    }

    /// The number of bytes of the file read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The lines of a reader.
    ///
    /// # Errors
    ///
    /// If the start cannot be read.
    pub fn new(from: Box<dyn Read + Send>) -> std::io::Result<Self> {
        let mut from = from;
        let mut head = Vec::new();
        from.by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut head)?;
        let is_gzip = head == GZIP_MAGIC;
        let whole = std::io::Cursor::new(head).chain(from);
        let from: Box<dyn Read + Send> = if is_gzip {
            Box::new(Members::Between(BufReader::with_capacity(READ_BYTES, whole)))
        } else {
            // Read into the buffer of lines at once, without another in between.
            Box::new(whole)
        };
        Ok(Self {
            from,
            is_gzip,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            is_over: false,
            failed: None,
            skipping: false,
            number: 0,
            read: Arc::default(),
        })
    }

    /// The next line that is not blank, with its number from 1; without the line if it is too long.
    ///
    /// # Errors
    ///
    /// If the rest cannot be read or decompressed.
    pub fn next_line(&mut self) -> std::io::Result<Option<Numbered<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let (from, to) = (self.start, searched + found);
                self.start = to + 1;
                searched = self.start;
                self.number += 1;
                if std::mem::take(&mut self.skipping) || to - from > LINE_LIMIT_BYTES {
                    return Ok(Some((self.number, None)));
                }
                if !self.buffer[from..to].trim_ascii().is_empty() {
                    return Ok(Some((self.number, Some(self.buffer[from..to].trim_ascii()))));
                }
                continue;
            }
            if self.is_over {
                let (from, to) = (self.start, self.end);
                self.start = self.end;
                let was_skipping = std::mem::take(&mut self.skipping);
                if was_skipping || !self.buffer[from..to].trim_ascii().is_empty() {
                    self.number += 1;
                    let line = (!was_skipping && to - from <= LINE_LIMIT_BYTES)
                        .then(|| self.buffer[from..to].trim_ascii());
                    return Ok(Some((self.number, line)));
                }
                return self.failed.take().map_or(Ok(None), Err);
            }
            if self.end - self.start > LINE_LIMIT_BYTES {
                self.skipping = true;
                self.start = self.end;
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() - self.end < READ_BYTES / 4 {
                self.buffer.resize(self.buffer.len() + READ_BYTES, 0);
            }
            searched = self.end;
            let read = match self.from.read(&mut self.buffer[self.end..]) {
                Ok(read) => read,
                // What came before it is whole; it is told of at the end.
                Err(error) if error.to_string() == GARBAGE => {
                    self.failed = Some(error);
                    0
                }
                Err(error) => return Err(error),
            };
            self.end += read;
            self.is_over = read == 0;
        }
    }
}
