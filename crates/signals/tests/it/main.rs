//! The crate as a transmitter uses it, checked with an independent JWT library.

mod tokens;
