//! Log export: jobs, the upload to their destinations, and the counting of what arrived.

pub(crate) mod jobs;
