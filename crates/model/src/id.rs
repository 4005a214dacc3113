//! Ids as separate types, so that a person's id cannot be passed as a detection's.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text, as stored and served.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A configured link to one Cloudflare account.
    ConnectionId
}
id! {
    /// One human or service across all connections.
    PersonId
}
id! {
    /// One log record: a digest of connection, dataset and the record's own key, so that a record that is delivered
    /// twice has one id.
    EventId
}
id! {
    /// A rule that matched an event: a digest of the two.
    DetectionId
}
id! {
    /// Defines who is coached for what.
    CampaignId
}
id! {
    /// One delivery to one person: a digest of campaign and detection.
    MessageId
}
id! {
    /// A risk score integration, as in Cloudflare's API: a UUID.
    IntegrationId
}
id! {
    /// The `jti` of one Security Event Token.
    SignalId
}
