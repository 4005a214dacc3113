//! The states of objects, each with one spelling in Rust, SQL, JSON and the documentation.

/// An unknown value from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is not one of {known}")]
pub struct UnknownWord {
    /// The given value.
    pub word: String,
    /// The known values, comma-separated.
    pub known: String,
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The only spelling.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::state::UnknownWord;
            fn try_from(word: String) -> Result<Self, Self::Error> {
                word.parse()
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::state::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err($crate::state::UnknownWord {
                        word: word.to_owned(),
                        known: [$($word),+].join(", "),
                    }),
                }
            }
        }
    };
}
pub(crate) use word_enum;

word_enum! {
    /// The state of a connection. The reason is stored next to it.
    ConnectionState {
        /// Created, but not checked yet.
        New = "new",
        /// The credential is being checked.
        Validating = "validating",
        /// A sync is running.
        Syncing = "syncing",
        /// Everything that was requested works.
        Connected = "connected",
        /// A part is inaccessible or stale; the rest works.
        Degraded = "degraded",
        /// Waits for a person to confirm.
        Paused = "paused",
        /// Nothing works, for example because the credential is refused.
        Failed = "failed",
    }
}

word_enum! {
    /// The kind of credential of a connection.
    CredentialKind {
        /// An API token that belongs to a user.
        UserToken = "user_token",
        /// An API token that belongs to the account.
        AccountToken = "account_token",
        /// E-mail and global API key, with all permissions of that user.
        GlobalKey = "global_key",
    }
}

word_enum! {
    /// The kinds of grants.
    GrantKind {
        /// Membership of an Access group.
        AccessGroup = "access-group",
        /// Access to an application behind Access.
        App = "app",
        /// A permission group for some resources, through a policy.
        PermissionGroup = "permission-group",
        /// A dashboard role.
        Role = "role",
        /// Membership of a user group of an account.
        UserGroup = "user-group",
    }
}

word_enum! {
    /// Whether someone holds a grant.
    Certainty {
        /// The rules that can be evaluated confirm it.
        Yes = "yes",
        /// Depends on sign-in context, such as the country.
        Conditional = "conditional",
        /// A rule cannot be evaluated with the available data.
        Unknown = "unknown",
    }
}

word_enum! {
    /// The processing state of a log batch.
    BatchState {
        /// Durable in the archive.
        Archived = "archived",
        /// Its records are in the archive, and the rules have seen them.
        Detected = "detected",
        /// Its object cannot be read; the reason is stored with it.
        Failed = "failed",
    }
}

word_enum! {
    /// The state of a coaching message.
    MessageState {
        /// To be delivered.
        Pending = "pending",
        /// The channel accepted it.
        Delivered = "delivered",
        /// Not sent because of a limit, which the reason names.
        Suppressed = "suppressed",
        /// The campaign is in test mode: counted, not sent.
        Test = "test",
        /// Failed after the last attempt.
        Failed = "failed",
    }
}

word_enum! {
    /// The state of a signal.
    SignalState {
        /// To be delivered.
        Pending = "pending",
        /// The receiver accepted it.
        Delivered = "delivered",
        /// The receiver refused it permanently; kept for inspection.
        Dead = "dead",
        /// Its integration was disabled or removed before delivery.
        Cancelled = "cancelled",
    }
}

word_enum! {
    /// The outcome of a sync, or that it is running.
    SyncOutcome {
        /// In progress, or its process was killed.
        Running = "running",
        /// Everything was read.
        Complete = "complete",
        /// Some lists could not be read completely; the others are up to date.
        Partial = "partial",
        /// It ended early.
        Failed = "failed",
        /// So many items are gone that a person must confirm.
        Paused = "paused",
        /// Its process was killed, and another sync has started since.
        Interrupted = "interrupted",
        /// Someone cancelled it.
        Cancelled = "cancelled",
    }
}

impl Default for SyncOutcome {
    /// The initial state of a sync.
    fn default() -> Self {
        Self::Running
    }
}

word_enum! {
    /// An operation that a stage works on and that can be cancelled.
    OperationKind {
        /// A rule is tried over archived records.
        Backtest = "backtest",
        /// The rules run again over received records.
        Replay = "replay",
        /// The state of a connection is written to a file.
        Export = "export",
    }
}

word_enum! {
    /// How an operation ended.
    OperationOutcome {
        /// To its end.
        Done = "done",
        /// With a problem.
        Failed = "failed",
        /// Someone cancelled it.
        Cancelled = "cancelled",
    }
}

word_enum! {
    /// The outcome of a change of access, from best to worst.
    ChangeOutcome {
        /// In progress, or its process was killed.
        Running = "running",
        /// Already in the desired state.
        Already = "already",
        /// Changed and verified.
        Changed = "changed",
        /// Refused by a guard or by Cloudflare; nothing changed.
        Refused = "refused",
        /// Sent, but could not be verified.
        Unverified = "unverified",
    }
}

word_enum! {
    /// The state of a timed grant.
    TimedGrantState {
        /// The change that makes it is still running, so its outcome is not known yet.
        Pending = "pending",
        /// In force, with its end in the future.
        Active = "active",
        /// Its end has passed, but it could not be revoked.
        Overdue = "overdue",
        /// Revoked at its end.
        Revoked = "revoked",
        /// It has no end any more.
        Permanent = "permanent",
        /// Someone else revoked it before its end.
        Gone = "gone",
    }
}

word_enum! {
    /// The state of a finding.
    FindingState {
        /// The check fails for it.
        Open = "open",
        /// The check fails for it, and someone has accepted that.
        Muted = "muted",
        /// The check no longer fails for it.
        Resolved = "resolved",
    }
}

word_enum! {
    /// The change of an object since the previous sync.
    ObjectChange {
        /// New.
        Added = "added",
        /// Changed.
        Changed = "changed",
        /// No longer listed.
        Removed = "removed",
    }
}

word_enum! {
    /// The severity of a posture check, from low to critical.
    Severity {
        /// Minor.
        Low = "low",
        /// Weakens security, or costs money.
        Medium = "medium",
        /// One mistake away from harm.
        High = "high",
        /// An open exposure now.
        Critical = "critical",
    }
}

impl Severity {
    /// All severities, worst first.
    pub const WORST_FIRST: [Severity; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// This severity and the worse ones, worst first.
    pub fn and_worse(self) -> impl Iterator<Item = Severity> {
        Self::WORST_FIRST.into_iter().filter(move |other| *other >= self)
    }
}

word_enum! {
    /// The result of a posture check.
    CheckVerdict {
        /// Passed.
        Pass = "pass",
        /// Failed for at least one object.
        Fail = "fail",
        /// The data that it needs could not be read.
        Unknown = "unknown",
    }
}

word_enum! {
    /// The state of a log source.
    SourceState {
        /// Never checked.
        New = "new",
        /// Records arrive through a job that Flareward did not create.
        Unmanaged = "unmanaged",
        /// Records arrive.
        Working = "working",
        /// No records yet, and no errors.
        Waiting = "waiting",
        /// The last attempt failed.
        Failing = "failing",
        /// Disabled at Cloudflare, although it is enabled in Flareward.
        Disabled = "disabled",
        /// Removed at Cloudflare.
        Missing = "missing",
        /// Cloudflare does not allow reading it.
        Unreadable = "unreadable",
        /// Disabled in Flareward.
        Off = "off",
    }
}

impl SourceState {
    /// Whether someone should look at it.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Failing | Self::Disabled | Self::Missing | Self::Unreadable
        )
    }
}

word_enum! {
    /// A list that a sync reads from an account, and the kind of its items.
    ListKind {
        /// Members of the account.
        Members = "members",
        /// Dashboard roles.
        Roles = "roles",
        /// People known to Access.
        AccessUsers = "access_users",
        /// Access groups.
        AccessGroups = "access_groups",
        /// Login methods.
        IdentityProviders = "identity_providers",
        /// Reusable Access policies.
        Policies = "policies",
        /// Access applications.
        Apps = "apps",
        /// Service tokens of Access.
        ServiceTokens = "service_tokens",
        /// API tokens of the account.
        AccountTokens = "account_tokens",
        /// What a member's policy can permit.
        PermissionGroups = "permission_groups",
        /// What a member's policy can apply to.
        ResourceGroups = "resource_groups",
        /// User groups of the account.
        UserGroups = "user_groups",
        /// The members of each user group.
        UserGroupMembers = "user_group_members",
        /// Zero Trust lists.
        Lists = "lists",
        /// The items of each Zero Trust list.
        ListItems = "list_items",
        /// The account itself and its settings.
        Account = "account",
        /// The Zero Trust organisation.
        Organization = "organization",
    }
}
