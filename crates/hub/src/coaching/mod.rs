//! Writes to people about what was detected.
//!
//! [`campaign`] keeps who is coached for what, [`decide`] turns detections into messages or the reason for none,
//! [`deliver`] hands them to the channel.

pub mod campaign;
pub mod decide;
pub mod deliver;
