//! Log export: jobs, the upload to their destinations, and the count of delivered events.
//!
//! As at Cloudflare, creating an enabled job first makes a test upload. Afterwards, batches are sent until the response
//! is 2xx: some of them twice, several at once, and not in order.

pub(crate) mod datasets;
pub(crate) mod delivery;
pub(crate) mod destination;
pub(crate) mod ledger;
pub(crate) mod record;
