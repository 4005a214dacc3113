//! Sends one call.

use crate::budget::{Budget, CALLS_PER_WINDOW, Priority};
use crate::credential::Credential;
use crate::error::{self, ApiMessage, CloudflareError, Refusal};
use crate::retry::RetryPolicy;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use url::Url;

/// The maximum size of a response, in bytes. A page of 1,000 large objects is far below it.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;
/// The maximum size of the response to a raw call, in bytes.
const RAW_LIMIT_BYTES: usize = 5 << 20;

/// The minimum length of a secret to search for. Shorter texts would also occur in ordinary words.
const SECRET_MIN: usize = 8;

/// A client for one credential. Cloning shares the budget and the connections.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    priority: Priority,
    policy: RetryPolicy,
    timeout: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    base_url: Url,
    sign: HeaderMap,
    budget: Budget,
    requests: AtomicU64,
}

/// The configuration of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The credential that authenticates the calls.
    pub credential: Credential,
    /// The URL of the API: [`crate::DEFAULT_BASE_URL`] or a simulated one.
    pub base_url: String,
    /// The number of calls in five minutes; [`CALLS_PER_WINDOW`] is Cloudflare's limit.
    pub calls_per_window: u32,
}

impl ClientOptions {
    /// Options for Cloudflare itself.
    pub fn new(credential: Credential) -> Self {
        Self {
            credential,
            base_url: crate::DEFAULT_BASE_URL.to_owned(),
            calls_per_window: CALLS_PER_WINDOW,
        }
    }
}

/// The envelope of a response.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer<T> {
    /// The result.
    #[serde(default = "none")]
    pub result: Option<T>,
    /// The position of this response in a list.
    #[serde(default)]
    pub result_info: Option<Value>,
}

fn none<T>() -> Option<T> {
    None
}

/// A call as the user wrote it.
#[derive(Debug, Clone)]
pub struct RawCall {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The path under the base URL, starting with `/`.
    pub path: String,
    /// Query parameters in order, including repeated ones.
    pub query: Vec<(String, String)>,
    /// Additional headers. They cannot replace the headers that authenticate the call.
    pub headers: HeaderMap,
    /// A JSON body.
    pub body: Option<Value>,
}

/// The response to a raw call, whatever its status.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as received.
    pub body: Vec<u8>,
}

impl Client {
    /// A client that sends through `http`. The caller builds it: it decides which addresses are allowed, and must not
    /// follow redirects.
    ///
    /// # Errors
    ///
    /// [`CloudflareError::Unusable`] if the base URL is invalid or the secret cannot be sent in a header.
    pub fn new(options: &ClientOptions, http: reqwest::Client) -> Result<Self, CloudflareError> {
        let base_url = Url::parse(options.base_url.trim_end_matches('/'))
            .ok()
            .filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| CloudflareError::Unusable(format!("invalid base URL \"{}\"", options.base_url)))?;
        let sign = options.credential.headers().map_err(|_| {
            CloudflareError::Unusable(
                "the credential contains characters that are not allowed in a header".to_owned(),
            )
        })?;
        let shared = Shared {
            http,
            base_url,
            sign,
            budget: Budget::new(options.calls_per_window),
            requests: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
            priority: Priority::Interactive,
            policy: RetryPolicy::INTERACTIVE,
            timeout: None,
        })
    }

    /// The same client with a time limit for each response, in addition to the limit of the HTTP client.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// The same client for background work. It may wait longer and leaves a reserve.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            priority: Priority::Background,
            policy: RetryPolicy::BACKGROUND,
            ..self.clone()
        }
    }

    /// The same client with another retry policy.
    #[must_use]
    pub fn with_policy(&self, policy: RetryPolicy) -> Self {
        Self {
            policy,
            ..self.clone()
        }
    }

    /// The number of requests sent with this credential since the client was created.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The number of calls left in the budget, by our own count.
    pub fn budget_left(&self) -> u32 {
        self.shared.budget.left()
    }

    /// Sends a GET to `path` and returns the envelope's result.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`]; a response without a result is [`CloudflareError::Shape`].
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CloudflareError> {
        self.result(Method::GET, path, query, None).await
    }

    /// Makes a call and returns the envelope's result.
    pub(crate) async fn result<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, CloudflareError> {
        let call = format!("{method} {path}");
        let answer: Answer<T> = self.send(method, path, query, body).await?;
        answer.result.ok_or(CloudflareError::Shape {
            call,
            place: "the field \"result\" is missing or null".to_owned(),
        })
    }

    /// Makes a call within the budget, retries it if that is safe, and returns the envelope.
    ///
    /// GET, PUT and DELETE are retried after transport errors, statuses of 500 and above, truncated bodies and 429.
    /// Other methods are retried only after 429, because Cloudflare did not process those calls.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`]. A 200 with `success: false` is [`CloudflareError::Refused`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer<T>, CloudflareError> {
        let may_repeat = matches!(method, Method::GET | Method::PUT | Method::DELETE);
        self.send_and_repeat(method, path, query, body, may_repeat).await
    }

    /// Makes a call that writes, and retries it only after 429. For a write of a whole object that was read before:
    /// after a failure with an unknown outcome, read the object again first.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`].
    pub async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer<T>, CloudflareError> {
        self.send_and_repeat(method, path, &[], body, false).await
    }

    async fn send_and_repeat<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
        may_repeat: bool,
    ) -> Result<Answer<T>, CloudflareError> {
        let call = format!("{method} {path}");
        let mut attempt = 1;
        loop {
            self.wait_for_budget(&call).await?;
            let request = self.request(method.clone(), path)?.query(query);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let failure = match self.exchange(request, &call, ANSWER_LIMIT_BYTES).await {
                Ok((status, headers, body)) => match read_envelope(&call, status, &headers, &body) {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => self.without_secret(failure),
                },
                Err(failure) => failure,
            };
            let repeat = match &failure {
                CloudflareError::RateLimited { retry_after, .. } => {
                    self.shared.budget.block(*retry_after);
                    true
                }
                CloudflareError::Unreachable { .. } => may_repeat,
                CloudflareError::Refused(refusal) => may_repeat && refusal.status >= 500,
                CloudflareError::NotJson { status, .. } => may_repeat && (*status >= 500 || *status == 200),
                _ => false,
            };
            if !repeat || attempt >= self.policy.attempts {
                return Err(failure);
            }
            attempt += 1;
            let wait = self.policy.wait(attempt);
            tracing::debug!(
                call,
                attempt,
                wait_ms = wait.as_millis(),
                "retrying a call to Cloudflare"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// The same failure, with the credential removed in case the response contained it.
    fn without_secret(&self, failure: CloudflareError) -> CloudflareError {
        let hide = |text: String| {
            self.shared.sign.values().fold(text, |text, value| {
                let secret = value.to_str().unwrap_or_default();
                let secret = secret.strip_prefix("Bearer ").unwrap_or(secret);
                if secret.len() < SECRET_MIN {
                    return text;
                }
                text.replace(secret, "[hidden]")
            })
        };
        match failure {
            CloudflareError::NotJson { call, status, shown } => CloudflareError::NotJson {
                call,
                status,
                shown: hide(shown),
            },
            CloudflareError::Refused(mut refusal) => {
                refusal.body = refusal.body.map(hide);
                for error in &mut refusal.errors {
                    error.message = hide(std::mem::take(&mut error.message));
                }
                CloudflareError::Refused(refusal)
            }
            other => other,
        }
    }

    /// Makes a call once, as the user wrote it, and returns the response, whatever its status.
    ///
    /// # Errors
    ///
    /// [`CloudflareError::Unreachable`], [`CloudflareError::TooLarge`] above 5 MiB, or [`CloudflareError::RateLimited`]
    /// if the budget is used up by our own count.
    pub async fn raw(&self, call: RawCall) -> Result<RawAnswer, CloudflareError> {
        let name = format!("{} {}", call.method, call.path);
        self.wait_for_budget(&name).await?;
        let mut headers = call.headers;
        // The caller's headers go first, so that those that sign the call win.
        for (header, value) in &self.shared.sign {
            headers.insert(header, value.clone());
        }
        let url = self.url(&call.path)?;
        let request = self
            .shared
            .http
            .request(call.method, url)
            .query(&call.query)
            .headers(headers);
        let request = match &call.body {
            Some(body) => request.json(body),
            None => request,
        };
        let (status, headers, body) = self.exchange(request, &name, RAW_LIMIT_BYTES).await?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.shared.budget.block(retry_after(&headers));
        }
        Ok(RawAnswer {
            status: status.as_u16(),
            headers,
            body,
        })
    }

    fn url(&self, path: &str) -> Result<Url, CloudflareError> {
        let text = format!("{}{path}", self.shared.base_url.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|_| CloudflareError::Unusable(format!("invalid path \"{path}\"")))
    }

    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, CloudflareError> {
        Ok(self
            .shared
            .http
            .request(method, self.url(path)?)
            .headers(self.shared.sign.clone()))
    }

    async fn wait_for_budget(&self, call: &str) -> Result<(), CloudflareError> {
        let mut waited = Duration::ZERO;
        while let Err(wait) = self.shared.budget.try_take(self.priority) {
            waited += wait;
            if waited > self.policy.budget_wait {
                return Err(CloudflareError::RateLimited {
                    call: call.to_owned(),
                    retry_after: wait,
                });
            }
            tracing::info!(wait_s = wait.as_secs(), "waiting for Cloudflare's rate limit");
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        call: &str,
        limit_bytes: usize,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), CloudflareError> {
        // The address is in `call` already, without the query, which may name people.
        let unreachable = |source: reqwest::Error| CloudflareError::Unreachable {
            call: call.to_owned(),
            source: source.without_url(),
        };
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let request = match self.timeout {
            Some(timeout) => request.timeout(timeout),
            None => request,
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(header) = headers.get("ratelimit").and_then(|value| value.to_str().ok()) {
            self.shared.budget.heed(header);
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > limit_bytes {
                return Err(CloudflareError::TooLarge {
                    call: call.to_owned(),
                    limit_bytes,
                });
            }
            body.extend_from_slice(&part);
        }
        Ok((status, headers, body))
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    // Without the header, the whole window: Cloudflare blocks until it ends. It never blocks for longer, so a
    // larger number is a mistake of something in between.
    seconds
        .map_or(crate::budget::WINDOW, Duration::from_secs)
        .min(crate::budget::WINDOW)
}

fn read_envelope<T: DeserializeOwned>(
    call: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Answer<T>, CloudflareError> {
    #[derive(Deserialize)]
    struct Verdict {
        #[serde(default)]
        success: Option<bool>,
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(CloudflareError::RateLimited {
            call: call.to_owned(),
            retry_after: retry_after(headers),
        });
    }
    let not_json = || CloudflareError::NotJson {
        call: call.to_owned(),
        status: status.as_u16(),
        shown: error::shown(body),
    };
    let verdict = serde_json::from_slice::<Verdict>(body).ok();
    if status.is_success()
        && verdict
            .as_ref()
            .is_some_and(|verdict| verdict.success != Some(false))
    {
        let reader = &mut serde_json::Deserializer::from_slice(body);
        return serde_path_to_error::deserialize(reader).map_err(|problem| {
            match problem.inner().classify() {
                serde_json::error::Category::Data => CloudflareError::Shape {
                    call: call.to_owned(),
                    place: format!(
                        "the field {} is missing or has an unexpected format",
                        problem.path()
                    ),
                },
                _ => not_json(),
            }
        });
    }
    // A refusal by something in between still says what its status says.
    if verdict.is_none() && !status.is_client_error() {
        return Err(not_json());
    }
    let whole: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_envelope = ["success", "errors"]
        .iter()
        .any(|name| whole.get(*name).is_some());
    Err(CloudflareError::Refused(Box::new(Refusal {
        call: call.to_owned(),
        status: status.as_u16(),
        errors: ApiMessage::read_all(&whole),
        body: (!is_envelope).then(|| error::shown(body)),
        ray_id: headers
            .get("cf-ray")
            .and_then(|value| Some(value.to_str().ok()?.to_owned())),
    })))
}
