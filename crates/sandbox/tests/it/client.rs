//! The client of all tests: it validates each API response against the description.

use reqwest::Method;
use reqwest::header::HeaderMap;
use sandbox::{Sandbox, SandboxConfig, SandboxInfo};
use serde_json::{Value, json};

use crate::description;

/// The instant that every test's sandbox believes it is.
pub(crate) fn now() -> chrono::DateTime<chrono::Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub(crate) fn config() -> SandboxConfig {
    SandboxConfig {
        now: Some(now()),
        ..SandboxConfig::default()
    }
}

pub(crate) async fn start() -> (Sandbox, Client) {
    start_with(config()).await
}

pub(crate) async fn start_with(config: SandboxConfig) -> (Sandbox, Client) {
    let sandbox = Sandbox::start(config).await.unwrap();
    let client = Client::new(sandbox.info());
    (sandbox, client)
}

/// A client without surprises: no redirects, no proxies.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) info: SandboxInfo,
    pub(crate) headers: Vec<(&'static str, String)>,
}

pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn result(&self) -> &Value {
        assert!(self.body["success"] == true, "{} {}", self.status, self.body);
        &self.body["result"]
    }

    pub(crate) fn code(&self) -> u64 {
        assert!(self.body["success"] == false, "{} {}", self.status, self.body);
        self.body["errors"][0]["code"].as_u64().unwrap_or(0)
    }

    pub(crate) fn refused(&self, status: u16, code: u64) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
    }
}

impl Client {
    pub(crate) fn new(info: &SandboxInfo) -> Self {
        let headers = vec![("authorization", format!("Bearer {}", info.token))];
        Self {
            http: http(),
            info: info.clone(),
            headers,
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            headers: vec![("authorization", format!("Bearer {token}"))],
            ..self.clone()
        }
    }

    pub(crate) fn with_headers(&self, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            headers,
            ..self.clone()
        }
    }

    /// A path below the account if it does not begin with a slash.
    fn path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        let account = format!("/accounts/{}", self.info.account_id);
        if path.is_empty() {
            account
        } else {
            format!("{account}/{path}")
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Got {
        let path = self.path(path);
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.info.base_url));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({ "text": text }));
        if let Some(template) = description::template(&path)
            && (status < 300 || (400..500).contains(&status))
            && body.get("text").is_none()
            && !(status == 200 && body["success"] == false)
        {
            let problems = description::problems(method.as_str(), &template, status, &body);
            assert!(
                problems.is_empty(),
                "{method} {path} {status}\n{}\n{body:#}",
                problems.join("\n")
            );
        }
        assert!(
            headers.contains_key("ratelimit") && headers.contains_key("ratelimit-policy"),
            "{method} {path}"
        );
        Got {
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Got {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Got {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        self.call(Method::DELETE, path, None).await
    }
}
