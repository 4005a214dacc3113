//! What a capability answers: Cloudflare's own answer carried along, and every failure in one shape.

use crate::redact;
use cloudflare::retry::RetryPolicy;
use cloudflare::{Client, CloudflareError, RawAnswer, RawCall};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

/// A capability's answer, with the HTTP status that goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The HTTP status.
    pub http_status: u16,
    /// The body.
    pub body: Value,
    /// How long to wait before asking again, after a 429.
    pub retry_after_seconds: Option<u64>,
}

impl Outcome {
    pub(super) fn success(output: Value) -> Self {
        Self {
            http_status: 200,
            body: json!({ "eventName": "continue", "output": output }),
            retry_after_seconds: None,
        }
    }
}

/// An answer of Cloudflare, as capabilities carry it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) status: u16,
    pub(super) headers: Map<String, Value>,
    pub(super) body: Value,
}

impl Upstream {
    /// Makes an idempotent call, once more after a passing fault.
    pub(super) async fn fetch(
        client: &Client,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let query: Vec<(String, String)> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let call = RawCall {
            method,
            path: path.to_owned(),
            query,
            headers: HeaderMap::new(),
            body: None,
        };
        let mut attempt = 1;
        loop {
            let result = client.raw(call.clone()).await;
            let passing = match &result {
                Ok(answer) => answer.status >= 500,
                // Whoever waits has waited the whole time limit: a second one would be too long.
                Err(CloudflareError::Unreachable { source, .. }) => !source.is_timeout(),
                Err(_) => false,
            };
            if !passing || attempt >= RetryPolicy::INTERACTIVE.attempts {
                let upstream = Self::checked(result)?;
                // "Nothing found" must not be read out of what is no answer of the API, such as a web page.
                return if upstream.body.get("success") == Some(&Value::Bool(true)) {
                    Ok(upstream)
                } else {
                    Err(Failure::refused(upstream).explained("the response is not a Cloudflare API response"))
                };
            }
            attempt += 1;
            tokio::time::sleep(RetryPolicy::INTERACTIVE.wait(attempt)).await;
        }
    }

    /// The answer, if it says yes.
    pub(super) fn checked(result: Result<RawAnswer, CloudflareError>) -> Result<Self, Failure> {
        let upstream = match result {
            Ok(answer) => Self::read(&answer),
            Err(error) => return Err(Failure::unreachable(&error)),
        };
        let says_no = upstream.body.get("success").and_then(Value::as_bool) == Some(false);
        if (200..300).contains(&upstream.status) && !says_no {
            Ok(upstream)
        } else {
            Err(Failure::refused(upstream))
        }
    }

    fn read(answer: &RawAnswer) -> Self {
        let body = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| json!({ "body": String::from_utf8_lossy(&answer.body) }));
        let body = if body.is_object() || body.is_array() {
            body
        } else {
            json!({ "body": body })
        };
        let body = redact::answer(body);
        Self {
            status: answer.status,
            headers: headers(&answer.headers),
            body,
        }
    }

    /// `result` of the envelope.
    pub(super) fn result(&self) -> &Value {
        self.body.get("result").unwrap_or(&Value::Null)
    }

    /// The three members that every output begins with.
    pub(super) fn output(&self) -> Map<String, Value> {
        let mut output = Map::new();
        output.insert("rawResponse".to_owned(), self.body.clone());
        output.insert("statusCode".to_owned(), json!(self.status));
        output.insert("headers".to_owned(), Value::Object(self.headers.clone()));
        output
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        self.headers.get("retry-after")?.as_str()?.parse().ok()
    }
}

/// Names in lower case, repeated values joined; cookies are nobody's business.
fn headers(from: &HeaderMap) -> Map<String, Value> {
    let mut map = Map::new();
    for name in from.keys().filter(|name| *name != "set-cookie") {
        let values: Vec<_> = from
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        map.insert(name.as_str().to_owned(), json!(values.join(", ")));
    }
    map
}

/// Why a capability has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    http_status: u16,
    /// What follows the capability's id in the code; a code of its own when it begins in lower case.
    code: &'static str,
    message: String,
    pointer: Option<String>,
    upstream: Option<Box<Upstream>>,
    retry_after_seconds: Option<u64>,
}

impl Failure {
    fn new(http_status: u16, code: &'static str, message: String) -> Self {
        Self {
            http_status,
            code,
            message,
            pointer: None,
            upstream: None,
            retry_after_seconds: None,
        }
    }

    /// The input is not what it should be at `pointer`.
    pub(super) fn input(pointer: &str, problem: &str) -> Self {
        Self {
            pointer: Some(pointer.to_owned()),
            ..Self::new(422, "InvalidInput", format!("{pointer}: {problem}"))
        }
    }

    /// The hub's own rules forbid it.
    pub(super) fn forbidden(message: String) -> Self {
        Self::new(403, "Error", message)
    }

    /// The connection waits for a person.
    pub(super) fn paused(label: &str, reason: Option<&str>) -> Self {
        Self::new(
            503,
            "Error",
            format!(
                "the connection {label} is paused: {}",
                reason.unwrap_or("no reason given")
            ),
        )
    }

    /// Something of ours failed; what exactly is in the log.
    pub(super) fn internal(cause: &str) -> Self {
        tracing::error!("a capability failed: {cause}");
        Self::new(
            500,
            "Error",
            "Internal error. See the server log for the cause.".to_owned(),
        )
    }

    /// Nobody, or several, have the address. Carries the answer that says so.
    pub(super) fn user(http_status: u16, code: &'static str, message: String, upstream: Upstream) -> Self {
        Self {
            upstream: Some(Box::new(upstream)),
            ..Self::new(http_status, code, message)
        }
    }

    fn unreachable(error: &CloudflareError) -> Self {
        let is_timeout = matches!(error, CloudflareError::Unreachable { source, .. } if source.is_timeout());
        let (http_status, retry) = match error {
            CloudflareError::RateLimited { retry_after, .. } => (429, Some(retry_after.as_secs())),
            _ if is_timeout => (504, None),
            _ => (502, None),
        };
        let code = if http_status == 429 {
            "ResponseError"
        } else {
            "Error"
        };
        Self {
            retry_after_seconds: retry,
            ..Self::new(http_status, code, crate::causes(error))
        }
    }

    fn refused(upstream: Upstream) -> Self {
        let first = upstream.body.pointer("/errors/0/message").and_then(Value::as_str);
        let message = match first {
            Some(words) => format!("Cloudflare answered {}: {words}", upstream.status),
            None => format!("Cloudflare answered {}", upstream.status),
        };
        let http_status = if upstream.status == 429 { 429 } else { 502 };
        let retry_after_seconds = upstream.retry_after_seconds();
        Self {
            upstream: Some(Box::new(upstream)),
            retry_after_seconds,
            ..Self::new(http_status, "ResponseError", message)
        }
    }

    /// The status that Cloudflare gave.
    pub(super) fn upstream_status(&self) -> Option<u16> {
        self.upstream.as_ref().map(|upstream| upstream.status)
    }

    /// The same with more words.
    pub(super) fn explained(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    pub(super) fn into_outcome(self, capability: &str) -> Outcome {
        let own = self.code.starts_with(char::is_lowercase);
        let code = if own {
            self.code.to_owned()
        } else {
            format!("{capability}{}", self.code)
        };
        let carried = match &self.upstream {
            Some(upstream) => Value::Object(upstream.output()),
            None => json!({ "rawResponse": {}, "statusCode": null, "headers": null }),
        };
        let http_response_code = if own {
            Some(self.http_status)
        } else {
            self.upstream.as_ref().map(|up| up.status)
        };
        let mut error = json!({
            "code": code,
            "message": self.message,
            "httpResponseCode": http_response_code.unwrap_or(self.http_status),
            "details": carried,
        });
        if let Some(pointer) = &self.pointer {
            error["pointer"] = json!(pointer);
        }
        Outcome {
            http_status: self.http_status,
            body: json!({ "eventName": "error", "error": error, "output": carried }),
            retry_after_seconds: self.retry_after_seconds.filter(|_| self.http_status == 429),
        }
    }
}
