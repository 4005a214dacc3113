//! Where everything that a command says goes: standard output and standard error, which may be closed.
//!
//! A reader that goes away (`| head`) is no failure: what is left to say is dropped, and the command ends with the
//! code that it has. `println!` of the standard library panics there, so its four macros are replaced for the whole
//! crate by those below. Control characters are made visible here ([`crate::visible`]). [`is_gone`] tells a long list that nobody reads it any more.

use crate::progress;
use crate::visible::{Pieces, visible_but_colours};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static IS_GONE: AtomicBool = AtomicBool::new(false);
static OUT: Mutex<Pieces> = Mutex::new(Pieces::new());
static COMPLAINT: Mutex<Pieces> = Mutex::new(Pieces::new());

fn pieces(of: &'static Mutex<Pieces>) -> MutexGuard<'static, Pieces> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard output; writing does not fail if the reader has closed it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Out;

/// Standard error; writing to it never fails.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Complaint;

/// Standard error for log lines, which may contain colours; each line is written in one call.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::hide();
        let line = visible_but_colours(&String::from_utf8_lossy(bytes));
        let _ = io::stderr().write_all(line.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// Whether the reader has closed standard output.
pub(crate) fn is_gone() -> bool {
    IS_GONE.load(Ordering::Relaxed)
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_gone() {
            return Ok(bytes.len());
        }
        progress::hide();
        match pieces(&OUT).write(bytes, &mut io::stdout().lock()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => IS_GONE.store(true, Ordering::Relaxed),
            result => result?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match io::stdout().flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                IS_GONE.store(true, Ordering::Relaxed);
                Ok(())
            }
            result => result,
        }
    }
}

impl Write for Complaint {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::hide();
        // Where an error cannot be told, it cannot be told that it cannot.
        let _ = pieces(&COMPLAINT).write(bytes, &mut io::stderr().lock());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// Writes the whole text in one call, so that the lines of several threads do not mix.
pub(crate) fn out(text: &str) {
    // A full disk behind `>` is told once, by the exit code of the next flush that fails.
    if let Err(error) = Out.write_all(text.as_bytes()).and_then(|()| Out.flush()) {
        err(&format!("flareward: cannot write to standard output: {error}\n"));
    }
}

/// The same for standard error.
pub(crate) fn err(text: &str) {
    let _ = Complaint.write_all(text.as_bytes());
}

macro_rules! print {
    ($($part:tt)*) => { $crate::stream::out(&format!($($part)*)) };
}
macro_rules! println {
    () => { $crate::stream::out("\n") };
    ($($part:tt)*) => { $crate::stream::out(&(format!($($part)*) + "\n")) };
}
macro_rules! eprintln {
    () => { $crate::stream::err("\n") };
    ($($part:tt)*) => { $crate::stream::err(&(format!($($part)*) + "\n")) };
}
