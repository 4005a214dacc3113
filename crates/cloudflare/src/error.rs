//! Errors, with messages that a person can act on.
//!
//! Cloudflare's own message is kept and shown. The kind of a refusal ([`Cause`]) depends on status, code and message
//! together, because the same code means different things in different services. Start reading at [`CloudflareError`]
//! and [`Refusal::cause`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The maximum number of characters shown from a body that is not from the API.
const SHOWN_MAX: usize = 200;

/// One element of `errors` or `messages`.
///
/// Some services send a message without a code (audit log version 2), so the code is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiMessage {
    /// Cloudflare's number. The same number means different things in different services.
    #[serde(default)]
    pub code: Option<i64>,
    /// Cloudflare's message.
    #[serde(default)]
    pub message: String,
}

impl ApiMessage {
    /// Reads the reasons in an error body in all known formats: `errors` as objects, as texts or as one of either; a
    /// null `message` next to other texts; a single `error`, `message` or `detail`.
    pub fn read_all(body: &Value) -> Vec<ApiMessage> {
        let mut found = Vec::new();
        for member in [
            "errors",
            "error",
            "message",
            "detail",
            "error_description",
            "title",
        ] {
            match &body[member] {
                Value::Array(list) => found.extend(list.iter().filter_map(Self::read)),
                one => found.extend(Self::read(one)),
            }
            if !found.is_empty() {
                break;
            }
        }
        found
    }

    fn read(one: &Value) -> Option<ApiMessage> {
        if let Some(text) = one.as_str().map(str::trim).filter(|text| !text.is_empty()) {
            return Some(ApiMessage {
                code: None,
                message: text.to_owned(),
            });
        }
        let object = one.as_object()?;
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::trim);
        let words = [
            "message",
            "error",
            "detail",
            "description",
            "error_description",
            "title",
            "reason",
        ]
        .into_iter()
        .find_map(|name| text(name).filter(|text| !text.is_empty()));
        let code = match object.get("code") {
            Some(Value::String(text)) => text.trim().parse().ok(),
            other => other.and_then(Value::as_i64),
        };
        // The reasons behind a reason say more than the words on top.
        let chain = object.get("error_chain").and_then(Value::as_array);
        let behind: Vec<String> = chain
            .into_iter()
            .flatten()
            .filter_map(Self::read)
            .map(|reason| reason.message)
            .filter(|message| !message.is_empty())
            .collect();
        if words.is_none() && code.is_none() && behind.is_empty() {
            return None;
        }
        let mut message = words.unwrap_or_default().to_owned();
        for reason in behind {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&reason);
        }
        Some(ApiMessage { code, message })
    }
}

/// The kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The token does not allow the source address of the call.
    WrongAddress,
    /// The token is invalid: revoked, expired, disabled, mistyped.
    BadCredential,
    /// The call does not accept this kind of credential: an account token where a user token is needed, or the other
    /// way round.
    WrongKind,
    /// The account's plan does not include the product.
    NotOnPlan,
    /// The credential lacks a permission.
    NotPermitted,
    /// Something in front of the API responded: a proxy, a firewall, a login page.
    NotTheApi,
    /// Anything else.
    Other,
}

impl Cause {
    /// What it means and what to do, in one clause; `None` if there is only Cloudflare's own message.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Cause::WrongAddress => Some(
                "the token is not allowed from this server's IP address: change the token's client IP address filter",
            ),
            Cause::BadCredential => {
                Some("the credential is invalid: create a new one and replace it with `flareward connect`")
            }
            Cause::WrongKind => Some("this call does not support this type of token"),
            Cause::NotOnPlan => Some("the account's plan does not include this product"),
            Cause::NotTheApi => Some(
                "the response is not from Cloudflare's API: check for a proxy, a firewall or a wrong \
                     base URL",
            ),
            Cause::NotPermitted | Cause::Other => None,
        }
    }
}

/// Cloudflare's code for risk scoring without the entitlement. Source: a third party's test of the API, 2026.
const NOT_ENTITLED: i64 = 3_314;

/// A response that refuses the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Method and path of the call.
    pub call: String,
    /// The HTTP status. It can be 200: a response with `success: false` is also a refusal.
    pub status: u16,
    /// Cloudflare's reasons.
    pub errors: Vec<ApiMessage>,
    /// The start of the body, if it is not from the API.
    pub body: Option<String>,
    /// Cloudflare's id for the request, for its support.
    pub ray_id: Option<String>,
}

impl Refusal {
    /// Whether any reason has this code.
    pub fn has_code(&self, code: i64) -> bool {
        self.errors.iter().any(|error| error.code == Some(code))
    }

    /// Whether the credential lacks a permission, according to the response.
    pub fn is_not_allowed(&self) -> bool {
        self.cause() == Cause::NotPermitted
    }

    /// The kind of refusal.
    ///
    /// Source: the codes and messages in public issues about Cloudflare's API, and its documentation of tokens. 10000
    /// ("Authentication error") is the response to both an invalid token and a missing permission: with status 401 it
    /// counts as the first, otherwise as the second.
    pub fn cause(&self) -> Cause {
        if self.body.is_some() {
            return Cause::NotTheApi;
        }
        let words: String = self
            .errors
            .iter()
            .map(|error| error.message.to_lowercase())
            .collect::<Vec<_>>()
            .join("; ");
        let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
        if says(&[
            "from location",
            "client ip",
            "ip address is not allowed",
            "not allowed from this ip",
        ]) {
            return Cause::WrongAddress;
        }
        if says(&[
            "account owned token",
            "account-owned token",
            "account api token",
            "user owned token",
            "user-owned token",
            "api tokens are not supported",
            "requires a user token",
            "global api key",
        ]) {
            return Cause::WrongKind;
        }
        let is_plan = [
            "plan",
            "plans",
            "entitled",
            "entitlement",
            "entitlements",
            "subscription",
            "upgrade",
        ]
        .iter()
        .any(|word| {
            words
                .split(|c: char| !c.is_alphanumeric())
                .any(|other| other == *word)
        });
        let is_off = says(&[
            "not enabled",
            "not_enabled",
            "contact sales",
            "not purchased",
            "must purchase",
        ]);
        if self.has_code(NOT_ENTITLED) || (self.status < 500 && (is_plan || is_off)) {
            return Cause::NotOnPlan;
        }
        let is_token = says(&[
            "invalid api token",
            "invalid access token",
            "invalid token",
            "invalid request headers",
            "malformed",
            "expired",
            "revoked",
            "token is disabled",
            "token has been disabled",
            "unknown x-auth-key",
            "unable to authenticate",
        ]);
        let is_header = [6_003, 6_103, 6_111, 9_103, 9_106, 9_107]
            .iter()
            .any(|code| self.has_code(*code));
        if (self.status < 500 && is_token) || is_header || self.status == 401 {
            return Cause::BadCredential;
        }
        let lacks = says(&[
            "permission",
            "not authorized",
            "unauthorized",
            "not allowed",
            "forbidden",
            "key_not_in_claims",
        ]);
        if self.status == 403 || self.has_code(10_000) || (self.status < 500 && lacks) {
            return Cause::NotPermitted;
        }
        Cause::Other
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} returned {}", self.call, self.status)?;
        for error in &self.errors {
            if !error.message.is_empty() {
                write!(f, ": {}", error.message)?;
            }
            if let Some(code) = error.code {
                write!(f, " (code {code})")?;
            }
        }
        match &self.body {
            Some(body) if body.is_empty() => f.write_str(" with an empty body")?,
            Some(body) => write!(f, " with \"{body}\"")?,
            None => {}
        }
        if let Some(ray_id) = &self.ray_id {
            write!(f, " [ray {ray_id}]")?;
        }
        if let Some(advice) = self.cause().advice() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// The start of a body for display: without markup, on one line, without control characters.
pub(crate) fn shown(body: &[u8]) -> String {
    // Markup can be long before the first word comes.
    let text = String::from_utf8_lossy(&body[..body.len().min(16 << 10)]);
    let mut words = String::new();
    let mut in_tag = false;
    for letter in text.chars() {
        match letter {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                words.push(' ');
            }
            _ if in_tag => {}
            letter if letter.is_control() => words.push(' '),
            letter => words.push(letter),
        }
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut line = words.join(" ");
    if line.chars().count() > SHOWN_MAX {
        line = line.chars().take(SHOWN_MAX).collect();
        line.push('…');
    }
    line
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CloudflareError {
    /// Cloudflare refused the call.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The budget is used up and was not renewed while we waited.
    #[error("{call} was rate limited; try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// The call.
        call: String,
        /// How long Cloudflare asks us to wait.
        retry_after: Duration,
    },
    /// No response.
    #[error("{call} could not be sent, or its response could not be read")]
    Unreachable {
        /// The call.
        call: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// A response that does not come from Cloudflare's API: a proxy's page, a truncated body.
    #[error(
        "{call} returned {status} with a body that is not the API's JSON (\"{shown}\"): check for a \
             proxy or a wrong base URL"
    )]
    NotJson {
        /// The call.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        shown: String,
    },
    /// JSON from the API in an unknown format.
    #[error("{call} returned an unexpected format: {place}")]
    Shape {
        /// The call.
        call: String,
        /// The field, and the problem with it.
        place: String,
    },
    /// The response is larger than any valid response to the call.
    #[error("{call} returned more than {limit_bytes} bytes")]
    TooLarge {
        /// The call.
        call: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// A list has fewer items than it announces.
    #[error("{call} returned {listed} of {total} items: the list changed meanwhile, or is incomplete")]
    Incomplete {
        /// The call.
        call: String,
        /// The number of received items.
        listed: u64,
        /// The announced number of items.
        total: u64,
    },
    /// A list ended at a length at which responses are often truncated, and the next page is the same again.
    #[error("{call} returned {listed} items, and the next page repeats them: the list may be incomplete")]
    Capped {
        /// The call.
        call: String,
        /// The number of received items.
        listed: u64,
    },
    /// The credential or the URL cannot be used at all.
    #[error("{0}")]
    Unusable(String),
}

impl CloudflareError {
    /// The refusal, if this is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether a list is partial: the received items are correct, but there may be more.
    pub fn is_partial(&self) -> bool {
        matches!(
            self,
            Self::Incomplete { .. } | Self::Capped { .. } | Self::Shape { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(status: u16, code: Option<i64>, message: &str) -> Refusal {
        Refusal {
            call: "GET /x".to_owned(),
            status,
            errors: vec![ApiMessage {
                code,
                message: message.to_owned(),
            }],
            body: None,
            ray_id: None,
        }
    }

    #[test]
    fn six_kinds_of_refusal_are_told_apart() {
        for (status, code, message, cause) in [
            (
                403,
                Some(9_109),
                "Cannot use the access token from location: 203.0.113.7",
                Cause::WrongAddress,
            ),
            (401, Some(1_000), "Invalid API Token", Cause::BadCredential),
            (403, Some(9_109), "Invalid access token", Cause::BadCredential),
            (400, Some(6_003), "Invalid request headers", Cause::BadCredential),
            (
                403,
                Some(1_000),
                "This API Token has expired",
                Cause::BadCredential,
            ),
            (401, Some(10_000), "Authentication error", Cause::BadCredential),
            (
                400,
                Some(1_001),
                "List accounts endpoint does not support account owned tokens.",
                Cause::WrongKind,
            ),
            (403, Some(3_314), "Forbidden", Cause::NotOnPlan),
            (
                403,
                Some(1_003),
                "Not available on your current plan",
                Cause::NotOnPlan,
            ),
            (403, None, "access.api.error.not_enabled", Cause::NotOnPlan),
            (403, Some(10_000), "Authentication error", Cause::NotPermitted),
            (400, Some(10_000), "Authentication error", Cause::NotPermitted),
            (
                403,
                Some(9_109),
                "Unauthorized to access requested resource",
                Cause::NotPermitted,
            ),
            (403, Some(1_007), "auth.key_not_in_claims", Cause::NotPermitted),
            (
                400,
                Some(1_004),
                "reading job for product 'gateway' is not allowed",
                Cause::NotPermitted,
            ),
            (
                404,
                Some(7_003),
                "Could not route to /x, perhaps your object identifier is invalid?",
                Cause::Other,
            ),
            (
                400,
                Some(12_130),
                "access.api.error.invalid_request: explanation follows",
                Cause::Other,
            ),
            (500, None, "unexpected failure of the planner", Cause::Other),
        ] {
            assert_eq!(
                refusal(status, code, message).cause(),
                cause,
                "{status} {code:?} {message}"
            );
        }
        let page = Refusal {
            body: Some("Sorry, you have been blocked".to_owned()),
            errors: Vec::new(),
            ..refusal(403, None, "")
        };
        assert_eq!(page.cause(), Cause::NotTheApi);
        assert!(
            page.to_string().contains("Sorry, you have been blocked"),
            "{page}"
        );
    }

    #[test]
    fn odd_error_bodies_still_give_their_words() {
        for (body, expected) in [
            (
                json!({ "errors": ["first", "second"] }),
                vec![(None, "first"), (None, "second")],
            ),
            (json!({ "errors": "only" }), vec![(None, "only")]),
            (
                json!({ "errors": { "code": "7", "message": "object" } }),
                vec![(Some(7), "object")],
            ),
            (
                json!({ "errors": [{ "code": 7, "message": null, "error": "behind null" }] }),
                vec![(Some(7), "behind null")],
            ),
            (
                json!({ "errors": [{ "code": 7, "message": null }] }),
                vec![(Some(7), "")],
            ),
            (
                json!({ "errors": [], "message": "beside" }),
                vec![(None, "beside")],
            ),
            (json!({ "error": "alone" }), vec![(None, "alone")]),
            (
                json!({ "errors": [{ "code": 6003, "message": "Invalid request headers",
                    "error_chain": [{ "code": 6111, "message": "Invalid format for Authorization header" }] }] }),
                vec![(
                    Some(6_003),
                    "Invalid request headers: Invalid format for Authorization header",
                )],
            ),
            (json!({ "errors": null }), vec![]),
        ] {
            let found: Vec<_> = ApiMessage::read_all(&body);
            let found: Vec<_> = found.iter().map(|one| (one.code, one.message.as_str())).collect();
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn a_page_is_shown_in_short() {
        let page =
            b"<html><head><title>403 Forbidden</title></head>\r\n<body>\x1b[31m<h1>nginx</h1></body></html>";
        assert_eq!(shown(page), "403 Forbidden [31m nginx");
        assert!(shown(&[b'x'; 5_000]).chars().count() <= SHOWN_MAX + 1);
        assert_eq!(shown(b""), "");
    }
}
