//! The states that things pass through, each with one spelling in Rust, SQL, JSON and the documentation.

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
