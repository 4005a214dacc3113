//! What can go wrong, in words that a person can act on.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One element of `errors` or `messages`.
///
/// Some services send a message without a code (audit log version 2), so the code is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiMessage {
    /// Cloudflare's number. The same number means different things in different services.
    #[serde(default)]
    pub code: Option<i64>,
    /// Cloudflare's words.
    #[serde(default)]
    pub message: String,
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked: method and path.
    pub call: String,
    /// The HTTP status. It may be 200: an answer with `success: false` is a refusal too.
    pub status: u16,
    /// What Cloudflare gave as reasons.
    pub errors: Vec<ApiMessage>,
    /// Cloudflare's name for the request, for its support.
    pub ray_id: Option<String>,
}

impl Refusal {
    /// Whether any reason has this code.
    pub fn has_code(&self, code: i64) -> bool {
        self.errors.iter().any(|error| error.code == Some(code))
    }

    /// Whether the credential is not accepted or lacks a permission: Cloudflare answers both alike.
    pub fn is_not_allowed(&self) -> bool {
        matches!(self.status, 401 | 403) || self.has_code(10_000) || self.has_code(9_109)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was answered {}", self.call, self.status)?;
        for error in &self.errors {
            write!(f, ": {}", error.message)?;
            if let Some(code) = error.code {
                write!(f, " (code {code})")?;
            }
        }
        if let Some(ray_id) = &self.ray_id {
            write!(f, " [ray {ray_id}]")?;
        }
        Ok(())
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CloudflareError {
    /// Cloudflare said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The budget is used up and did not come back while we waited.
    #[error("{call} was refused for asking too often; it may be asked again in {} s", retry_after.as_secs())]
    RateLimited {
        /// What was asked.
        call: String,
        /// How long Cloudflare wants us to wait.
        retry_after: Duration,
    },
    /// No answer came.
    #[error("{call} could not be sent or its answer not be read")]
    Unreachable {
        /// What was asked.
        call: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer came that Cloudflare's API does not give: a proxy's page, a truncated body.
    #[error(
        "{call} was answered {status} with something that is not the API's JSON ({problem}); is the base URL right?"
    )]
    NotJson {
        /// What was asked.
        call: String,
        /// The HTTP status.
        status: u16,
        /// What the parser says.
        problem: String,
    },
    /// The answer is larger than any that the call should have.
    #[error("{call} was answered with more than {limit_bytes} bytes")]
    TooLarge {
        /// What was asked.
        call: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// A list changed while it was read: fewer things came than it said it had.
    #[error("{call} listed {listed} of {total}: it changed while it was read, or a page was lost")]
    Incomplete {
        /// What was asked.
        call: String,
        /// How many came.
        listed: u64,
        /// How many there should be.
        total: u64,
    },
    /// The credential or the address cannot be used at all.
    #[error("{0}")]
    Unusable(String),
}

impl CloudflareError {
    /// The refusal, if that is what it is.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}
