//! The kinds of journal entries.

use crate::state::word_enum;

word_enum! {
    /// The kind of a journal entry, `noun.verb`.
    JournalKind {
        /// A change of access was made, or refused.
        AccessChanged = "access.changed",
        /// A person's access was taken away everywhere.
        AccessOffboarded = "access.offboarded",
        /// A timed grant ends soon.
        AccessExpiresSoon = "access.expires_soon",
        /// A timed grant is over and could not be taken away.
        AccessExpiryFailed = "access.expiry_failed",
        /// A timed grant that could not be taken away is gone now.
        AccessExpiryEnded = "access.expiry_ended",
        /// How long the archive keeps objects was changed.
        ArchiveRetention = "archive.retention",
        /// Objects of the archive that the database did not know were adopted or removed.
        ArchiveSwept = "archive.swept",
        /// A connection came to another state.
        ConnectionState = "connection.state",
        /// A rule found something.
        DetectionCreated = "detection.created",
        /// The person behind a detection became known.
        DetectionMapped = "detection.mapped",
        /// A detection no longer holds.
        DetectionWithdrawn = "detection.withdrawn",
        /// A person's events were removed.
        EventsPurged = "events.purged",
        /// A posture check found something.
        FindingOpened = "finding.opened",
        /// A log source fails.
        LogSourceFailing = "log_source.failing",
        /// A log source works again.
        LogSourceRecovered = "log_source.recovered",
        /// An object of a bucket was set aside, as it cannot be read.
        LogSourceObjectSetAside = "log_source.object_set_aside",
        /// A coaching message was delivered.
        MessageDelivered = "message.delivered",
        /// A coaching message was given up.
        MessageFailed = "message.failed",
        /// A person's risk level changed.
        RiskChanged = "risk.changed",
        /// A person's risk was reset.
        RiskReset = "risk.reset",
        /// A receiver took a signal.
        SignalDelivered = "signal.delivered",
        /// A receiver refused a signal for good.
        SignalDead = "signal.dead",
        /// A sync ended.
        SyncFinished = "sync.finished",
    }
}
