//! The database's own time, in milliseconds since 1970, on each engine.
//!
//! Everything that expires automatically (leases, claims) uses this clock. Processes on several machines have different
//! clocks, and a clock that is set back would extend every lease by the same time.

/// For SQLite: the machine's clock.
macro_rules! sqlite_now_ms {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}
pub(crate) use sqlite_now_ms;

/// For PostgreSQL: the server's clock, at the moment of the row and not at the start of the transaction.
macro_rules! postgres_now_ms {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}
pub(crate) use postgres_now_ms;

/// A claim that ends further ahead than its length, by more than this many milliseconds, was taken before the clock was
/// set back.
pub(crate) const AHEAD_MS: i64 = 1_000;
