//! The kinds of journal entries.

use crate::state::word_enum;

word_enum! {
    /// The kind of a journal entry, `noun.verb`.
    JournalKind {
        /// A change of access was made or refused.
        AccessChanged = "access.changed",
        /// A person's access was revoked everywhere.
        AccessOffboarded = "access.offboarded",
        /// A timed grant ends soon.
        AccessExpiresSoon = "access.expires_soon",
        /// A timed grant has ended but could not be revoked.
        AccessExpiryFailed = "access.expiry_failed",
        /// A timed grant that could not be revoked is now gone.
        AccessExpiryEnded = "access.expiry_ended",
        /// A part of the archive cannot be read.
        ArchiveDamaged = "archive.damaged",
        /// Old records were removed from the archive.
        ArchiveRetention = "archive.retention",
        /// Archive objects that were unknown to the database were adopted or removed.
        ArchiveSwept = "archive.swept",
        /// The state of a connection changed.
        ConnectionState = "connection.state",
        /// A rule matched.
        DetectionCreated = "detection.created",
        /// The person behind a detection was identified.
        DetectionMapped = "detection.mapped",
        /// A detection is no longer valid.
        DetectionWithdrawn = "detection.withdrawn",
        /// A person's events were removed.
        EventsPurged = "events.purged",
        /// A posture check found something.
        FindingOpened = "finding.opened",
        /// A log source started to fail.
        LogSourceFailing = "log_source.failing",
        /// A log source works again.
        LogSourceRecovered = "log_source.recovered",
        /// A bucket object was set aside because it cannot be read.
        LogSourceObjectSetAside = "log_source.object_set_aside",
        /// A coaching message was delivered.
        MessageDelivered = "message.delivered",
        /// The delivery of a coaching message failed permanently.
        MessageFailed = "message.failed",
        /// A person's risk level changed.
        RiskChanged = "risk.changed",
        /// A person's risk was reset.
        RiskReset = "risk.reset",
        /// A receiver accepted a signal.
        SignalDelivered = "signal.delivered",
        /// A receiver refused a signal permanently.
        SignalDead = "signal.dead",
        /// A sync ended.
        SyncFinished = "sync.finished",
    }
}
