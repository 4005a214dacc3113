//! Sigma detection rules: parse, compile, match. No I/O and no clock.
