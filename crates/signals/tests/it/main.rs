//! The crate as a transmitter uses it, judged by an independent JWT library.

mod tokens;
