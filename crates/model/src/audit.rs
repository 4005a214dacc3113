//! The actions and outcomes of the audit log.

use crate::state::word_enum;

word_enum! {
    /// Something that an actor did or tried, as `noun.verb`.
    AuditAction {
        /// Granted or revoked access.
        AccessChange = "access.change",
        /// Adopted or removed archive objects that were unknown to the database.
        ArchiveSweep = "archive.sweep",
        /// Created or changed a campaign.
        CampaignPut = "campaign.put",
        /// Called a capability.
        CapabilityCall = "capability.call",
        /// Checked a connection's credential.
        ConnectionCheck = "connection.check",
        /// Created a connection.
        ConnectionConnect = "connection.connect",
        /// Requested an export.
        ConnectionExport = "connection.export",
        /// Requested a sync.
        ConnectionSync = "connection.sync",
        /// Tagged a connection.
        ConnectionTag = "connection.tag",
        /// Removed a person's events.
        EventsPurge = "events.purge",
        /// Ran the rules again over received records.
        EventsReplay = "events.replay",
        /// Cancelled a backtest, a replay, a sync or a purge.
        OperationCancel = "operation.cancel",
        /// Muted a finding.
        FindingMute = "finding.mute",
        /// Unmuted a finding.
        FindingUnmute = "finding.unmute",
        /// Created an integration.
        IntegrationCreate = "integration.create",
        /// Changed an integration.
        IntegrationUpdate = "integration.update",
        /// Deleted an integration.
        IntegrationDelete = "integration.delete",
        /// Disabled log sources.
        LogsDisable = "logs.disable",
        /// Enabled log sources.
        LogsEnable = "logs.enable",
        /// Configured a bucket to read logs from.
        LogsObjects = "logs.objects",
        /// Stopped reading a bucket.
        LogsObjectsForget = "logs.objects_forget",
        /// Requested an immediate read of a bucket.
        LogsObjectsRead = "logs.objects_read",
        /// Requested an immediate pull of logs.
        LogsPull = "logs.pull",
        /// Added an address to a person.
        PersonAliasAdd = "person.alias.add",
        /// Removed an address from a person.
        PersonAliasRemove = "person.alias.remove",
        /// Merged two people.
        PersonMerge = "person.merge",
        /// Reset a person's risk.
        RiskReset = "risk.reset",
        /// Created, changed or removed a rule.
        RuleDocument = "rule.document",
        /// Changed a rule's mode.
        RuleMode = "rule.mode",
        /// Changed a rule's parameters.
        RuleParameter = "rule.parameter",
        /// Logged in to the console.
        SessionOpen = "session.open",
        /// Created an API token.
        TokenCreate = "token.create",
        /// Revoked an API token.
        TokenRevoke = "token.revoke",
    }
}

word_enum! {
    /// The outcome of an action.
    AuditOutcome {
        /// Recorded before the action: it may have failed afterwards.
        Asked = "asked",
        /// In progress; another entry records the outcome.
        Begun = "begun",
        /// Only planned: nothing was written.
        Planned = "planned",
        /// Already in the desired state.
        Already = "already",
        /// Changed.
        Changed = "changed",
        /// Not allowed; nothing changed.
        Refused = "refused",
        /// It went wrong.
        Failed = "failed",
        /// Sent, but could not be verified.
        Unverified = "unverified",
    }
}
