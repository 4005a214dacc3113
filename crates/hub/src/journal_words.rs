//! The sentences of the journal: what happened, for the people who read it.
//!
//! The store keeps them as it is given them, in the transaction of what they tell of. Pure. An entry that one operation
//! alone writes is worded there.

use model::{ConnectionState, RiskLevel};
use store::{DetectionRow, MessageRow, PurgeRow, SignalRow, SyncRunRow};

pub(crate) fn connection_state(label: &str, state: ConnectionState, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("Connection {label} is {state}: {reason}"),
        None => format!("Connection {label} is {state}"),
    }
}

pub(crate) fn sync_finished(label: &str, run: &SyncRunRow) -> String {
    match &run.problem {
        None => format!(
            "Sync of {label} is {} after {} requests",
            run.outcome, run.requests
        ),
        Some(problem) => format!("Sync of {label} is {}: {problem}", run.outcome),
    }
}

pub(crate) fn detection(found: &DetectionRow) -> String {
    let whose = found.identifier.as_deref().unwrap_or("unknown person");
    format!("{}: {whose}", found.title)
}

pub(crate) fn detection_mapped(title: &str, identifier: &str) -> String {
    format!("{title}: assigned to {identifier}, who is now a known person")
}

pub(crate) fn risk_changed(email: &str, previous: RiskLevel, current: RiskLevel, reason: &str) -> String {
    format!("Risk level of {email} changed from {previous} to {current}: {reason}")
}

pub(crate) fn signal_delivered(signal: &SignalRow) -> String {
    format!(
        "The receiver accepted the risk level change of {} to {}",
        signal.subject, signal.current
    )
}

pub(crate) fn signal_dead(signal: &SignalRow, problem: &str) -> String {
    format!(
        "The receiver rejected the risk level change of {} to {}: {problem}",
        signal.subject, signal.current
    )
}

pub(crate) fn message_delivered(message: &MessageRow) -> String {
    format!("Message delivered: {}", message.title)
}

pub(crate) fn message_failed(message: &MessageRow, reason: &str) -> String {
    format!("Message not delivered: {}: {reason}", message.title)
}

pub(crate) fn archive_removed(dataset: &str, batches: usize, records: i64, days: i64) -> String {
    format!(
        "{records} records and {batches} batches of {dataset} were older than {days} days and were removed"
    )
}

pub(crate) fn events_purged(purge: &PurgeRow) -> String {
    let ended = match &purge.cancelled_by {
        Some(by) => format!(" before {by} cancelled the purge"),
        None => String::new(),
    };
    format!(
        "{} events and {} archived records of one person were removed{ended}",
        purge.events, purge.records
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_with_its_reason() {
        let reason = Some("members are dark");
        assert_eq!(
            connection_state("corp", ConnectionState::Degraded, reason),
            "Connection corp is degraded: members are dark"
        );
        assert_eq!(
            connection_state("corp", ConnectionState::Connected, None),
            "Connection corp is connected"
        );
    }
}
