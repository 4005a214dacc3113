//! What a probe's answer means: whether a feature that should work does not.

use store::ProbeRow;

/// What the account's plan does not have is no fault of the connection. Such a probe's message begins with this.
pub(crate) const OFF_PLAN: &str = "not on this account's plan";
/// Cloudflare's code for risk scoring without the entitlement. Source: a third party's test of the API, 2026.
pub(crate) const NOT_ENTITLED: i64 = 3_314;

/// Whether a feature should work and does not.
pub fn is_blocked(probe: &ProbeRow) -> bool {
    !probe.works && !probe.message.starts_with(OFF_PLAN)
}
