//! The actions and outcomes of the audit log.

use crate::state::word_enum;

word_enum! {
    /// What someone did or tried, `noun.verb`.
    AuditAction {
        /// Granted or revoked access.
        AccessChange = "access.change",
        /// Adopted or removed objects of the archive that the database did not know.
        ArchiveSweep = "archive.sweep",
        /// Wrote a campaign.
        CampaignPut = "campaign.put",
        /// Called a capability.
        CapabilityCall = "capability.call",
        /// Had a connection's credential checked.
        ConnectionCheck = "connection.check",
        /// Made a connection.
        ConnectionConnect = "connection.connect",
        /// Asked for a sync.
        ConnectionSync = "connection.sync",
        /// Tagged a connection.
        ConnectionTag = "connection.tag",
        /// Removed a person's events.
        EventsPurge = "events.purge",
        /// Had the rules run again over received records.
        EventsReplay = "events.replay",
        /// Muted a finding.
        FindingMute = "finding.mute",
        /// Ended the muting of a finding.
        FindingUnmute = "finding.unmute",
        /// Made an integration.
        IntegrationCreate = "integration.create",
        /// Changed an integration.
        IntegrationUpdate = "integration.update",
        /// Removed an integration.
        IntegrationDelete = "integration.delete",
        /// Switched log sources off.
        LogsDisable = "logs.disable",
        /// Switched log sources on.
        LogsEnable = "logs.enable",
        /// Named a bucket to read logs from.
        LogsObjects = "logs.objects",
        /// Ended the reading of a bucket.
        LogsObjectsForget = "logs.objects_forget",
        /// Had a bucket read at once.
        LogsObjectsRead = "logs.objects_read",
        /// Had logs pulled at once.
        LogsPull = "logs.pull",
        /// Gave a person another address.
        PersonAliasAdd = "person.alias.add",
        /// Took an address from a person.
        PersonAliasRemove = "person.alias.remove",
        /// Joined two people into one.
        PersonMerge = "person.merge",
        /// Reset a person's risk.
        RiskReset = "risk.reset",
        /// Wrote or removed a rule.
        RuleDocument = "rule.document",
        /// Changed a rule's mode.
        RuleMode = "rule.mode",
        /// Changed a rule's parameters.
        RuleParameter = "rule.parameter",
        /// Logged in to the console.
        SessionOpen = "session.open",
        /// Made an API token.
        TokenCreate = "token.create",
        /// Revoked an API token.
        TokenRevoke = "token.revoke",
    }
}

word_enum! {
    /// What came of what someone did.
    AuditOutcome {
        /// Recorded before it is done: it may have failed afterwards.
        Asked = "asked",
        /// It is being done; another entry says how it ended.
        Begun = "begun",
        /// Only looked at: nothing was written.
        Planned = "planned",
        /// It was so before.
        Already = "already",
        /// It is so now.
        Changed = "changed",
        /// Not allowed; nothing is different.
        Refused = "refused",
        /// It went wrong.
        Failed = "failed",
        /// It was sent and could not be read back.
        Unverified = "unverified",
    }
}
