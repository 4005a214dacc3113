//! The states of objects, each with one spelling in Rust, SQL, JSON and the documentation.

/// A word from outside that names none of the known values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is not one of {known}")]
pub struct UnknownWord {
    /// What was given.
    pub word: String,
    /// What would have been understood, comma-separated.
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

            /// The one spelling.
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
    /// Where a connection stands. The reason stands beside it.
    ConnectionState {
        /// Made, not yet checked.
        New = "new",
        /// The credential is being checked.
        Validating = "validating",
        /// A sync is running.
        Syncing = "syncing",
        /// Everything that was asked for works.
        Connected = "connected",
        /// Some part is dark or stale; the rest works.
        Degraded = "degraded",
        /// Waits for a person to confirm.
        Paused = "paused",
        /// Nothing works, for example because the credential is refused.
        Failed = "failed",
    }
}

word_enum! {
    /// What kind of secret a connection signs its calls with.
    CredentialKind {
        /// An API token that belongs to a user.
        UserToken = "user_token",
        /// An API token that belongs to the account.
        AccountToken = "account_token",
        /// E-mail and global API key: every right of that user.
        GlobalKey = "global_key",
    }
}

word_enum! {
    /// What can be held.
    GrantKind {
        /// Membership of an Access group.
        AccessGroup = "access-group",
        /// Reaching an application behind Access.
        App = "app",
        /// A permission group over some resources, by a policy.
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
        /// The rules that can be evaluated say so.
        Yes = "yes",
        /// It depends on something known only at the moment of access, such as the country.
        Conditional = "conditional",
        /// A rule cannot be evaluated from what is known here.
        Unknown = "unknown",
    }
}

word_enum! {
    /// How far the processing of a log batch has come.
    BatchState {
        /// Durable in the archive.
        Archived = "archived",
        /// Its events and rejects are stored.
        Stored = "stored",
        /// The rules have seen its events.
        Detected = "detected",
        /// Its object cannot be read; the reason is kept with it.
        Failed = "failed",
    }
}

word_enum! {
    /// What became of a coaching message.
    MessageState {
        /// To be delivered.
        Pending = "pending",
        /// The channel took it.
        Delivered = "delivered",
        /// Held back: the reason says by which limit.
        Suppressed = "suppressed",
        /// The campaign is in test mode: counted, not sent.
        Test = "test",
        /// Given up after the last attempt.
        Failed = "failed",
    }
}

word_enum! {
    /// What became of a signal.
    SignalState {
        /// To be delivered.
        Pending = "pending",
        /// The receiver took it.
        Delivered = "delivered",
        /// The receiver refused it for good; kept for a person to look at.
        Dead = "dead",
        /// Its integration was switched off or removed before delivery.
        Cancelled = "cancelled",
    }
}

word_enum! {
    /// How a sync ended, or that it runs.
    SyncOutcome {
        /// It runs, or its process was killed.
        Running = "running",
        /// Everything was read.
        Complete = "complete",
        /// Some lists could not be read whole; the others are up to date.
        Partial = "partial",
        /// It ended early.
        Failed = "failed",
        /// So much is gone that a person has to confirm it.
        Paused = "paused",
        /// Its process was killed, and another sync has begun since.
        Interrupted = "interrupted",
    }
}

impl Default for SyncOutcome {
    /// What a sync begins with.
    fn default() -> Self {
        Self::Running
    }
}

word_enum! {
    /// What became of a change of access. The later of two is the worse.
    ChangeOutcome {
        /// It is being made, or its process was killed.
        Running = "running",
        /// It was so before.
        Already = "already",
        /// It is so now, and was read back.
        Changed = "changed",
        /// A guard, or Cloudflare, said no; nothing is different.
        Refused = "refused",
        /// It was sent and could not be read back.
        Unverified = "unverified",
    }
}

word_enum! {
    /// Where a grant that has an end stands.
    TimedGrantState {
        /// The change that makes it has not ended: whether it holds is not known yet.
        Pending = "pending",
        /// It holds, and its end is to come.
        Active = "active",
        /// Its end has passed and it could not be taken away.
        Overdue = "overdue",
        /// It was taken away at its end.
        Revoked = "revoked",
        /// It has no end any more.
        Permanent = "permanent",
        /// It was taken away by someone else before its end.
        Gone = "gone",
    }
}

word_enum! {
    /// Where a finding stands.
    FindingState {
        /// The check finds it.
        Open = "open",
        /// The check finds it, and someone has accepted it.
        Muted = "muted",
        /// The check does not find it any more.
        Resolved = "resolved",
    }
}

word_enum! {
    /// How a sync found an object, compared with the sync before.
    ObjectChange {
        /// It was not there before.
        Added = "added",
        /// It is different.
        Changed = "changed",
        /// It is not there any more.
        Removed = "removed",
    }
}

word_enum! {
    /// How bad it is when a posture check does not hold. The later of two is the worse.
    Severity {
        /// Untidy.
        Low = "low",
        /// Weakens something, or costs money.
        Medium = "medium",
        /// One mistake away from harm.
        High = "high",
        /// Open now.
        Critical = "critical",
    }
}

impl Severity {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Severity; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// This one and those that are worse, the worst first.
    pub fn and_worse(self) -> impl Iterator<Item = Severity> {
        Self::WORST_FIRST.into_iter().filter(move |other| *other >= self)
    }
}

word_enum! {
    /// What a posture check came to.
    CheckVerdict {
        /// It holds.
        Pass = "pass",
        /// It does not hold for something.
        Fail = "fail",
        /// What it reads could not be read.
        Unknown = "unknown",
    }
}

word_enum! {
    /// How a log source fares.
    SourceState {
        /// Never looked at.
        New = "new",
        /// Records come without our doing.
        Unmanaged = "unmanaged",
        /// Records come.
        Working = "working",
        /// Nothing has come yet, and nothing went wrong.
        Waiting = "waiting",
        /// The last attempt failed.
        Failing = "failing",
        /// Switched off at Cloudflare, though someone wants it here.
        Disabled = "disabled",
        /// Removed at Cloudflare.
        Missing = "missing",
        /// Cloudflare does not let us look.
        Unreadable = "unreadable",
        /// Switched off here.
        Off = "off",
    }
}

impl SourceState {
    /// Whether someone should look.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Failing | Self::Disabled | Self::Missing | Self::Unreadable
        )
    }
}

word_enum! {
    /// A list that a sync reads of an account, and the kind of the things on it.
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
        /// What a member's policy can cover.
        ResourceGroups = "resource_groups",
        /// User groups of the account.
        UserGroups = "user_groups",
        /// Who is in each user group.
        UserGroupMembers = "user_group_members",
        /// Zero Trust lists.
        Lists = "lists",
        /// What is on each Zero Trust list.
        ListItems = "list_items",
        /// The account itself and its settings.
        Account = "account",
        /// The Zero Trust organisation.
        Organization = "organization",
    }
}
