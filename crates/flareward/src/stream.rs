//! Where everything that a command says goes: standard output and standard error, which may be closed.
//!
//! A reader that goes away (`| head`) is no failure: what is left to say is dropped, and the command ends with the
//! code that it has. `println!` of the standard library panics there, so its four macros are replaced for the whole
//! crate by those below. [`is_gone`] tells a long list that nobody reads it any more.

use crate::progress;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static IS_GONE: AtomicBool = AtomicBool::new(false);

/// Standard output; writing to it never fails because its reader went away.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Out;

/// Standard error; writing to it never fails.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Complaint;

/// Whether the reader of standard output went away.
pub(crate) fn is_gone() -> bool {
    IS_GONE.load(Ordering::Relaxed)
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_gone() {
            return Ok(bytes.len());
        }
        progress::hide();
        match io::stdout().write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                IS_GONE.store(true, Ordering::Relaxed);
                Ok(bytes.len())
            }
            result => result,
        }
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
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// Writes a whole text at once, so that lines of several threads stay whole.
pub(crate) fn out(text: &str) {
    // A full disk behind `>` is told once, by the exit code of the next flush that fails.
    if let Err(error) = Out.write_all(text.as_bytes()).and_then(|()| Out.flush()) {
        err(&format!(
            "flareward: standard output cannot be written: {error}\n"
        ));
    }
}

/// The same to standard error.
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
