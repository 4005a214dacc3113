//! Log export: jobs, the upload to their destinations, and the counting of what arrived.
//!
//! As with the real service, creating an enabled job first makes a test upload; afterwards batches go out until they
//! are answered 2xx, some of them twice, several at once and not in order.

pub(crate) mod datasets;
pub(crate) mod delivery;
pub(crate) mod destination;
pub(crate) mod ledger;
pub(crate) mod record;
