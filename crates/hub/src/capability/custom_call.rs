//! `makeCustomApiCall`: any call to Cloudflare that reads.
//!
//! The call goes to the connection's own API base and nowhere else, signed by the connection's credential and
//! nothing else. Only GET is supported.

use super::Context;
use super::answer::{Failure, Upstream};
use crate::permission::Actor;
use cloudflare::RawCall;
use model::AuditOutcome;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

pub(super) const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "PATCH"];
/// Headers that decide where a call goes, who makes it, or what it does in truth.
const FORBIDDEN_HEADERS: &[&str] = &[
    "authorization",
    "host",
    "content-length",
    "cookie",
    "transfer-encoding",
    "connection",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];
/// Chosen: more is a mistake.
const PAIRS_MAX: usize = 100;

pub(super) async fn call(context: &Context<'_>, actor: &Actor) -> Result<Value, Failure> {
    let (path, mut query) = endpoint(context)?;
    let method = context.text("method")?;
    if !METHODS.contains(&method) {
        return Err(Failure::input(
            "/properties/method",
            &format!("must be one of {}", METHODS.join(", ")),
        ));
    }
    query.extend(pairs(
        context.properties.get("queryParameters"),
        "queryParameters",
    )?);
    let headers = headers(pairs(context.properties.get("headers"), "headers")?)?;
    let from = context.properties.get("fromId").cloned().unwrap_or(Value::Null);
    let detail = json!({ "method": method, "path": path, "from_id": from });
    if method != "GET" {
        context
            .record(actor, &path, AuditOutcome::Refused, detail)
            .await?;
        return Err(Failure::forbidden(format!(
            "{method} is not allowed: custom calls can only read (GET)"
        )));
    }
    context.record(actor, &path, AuditOutcome::Begun, detail).await?;
    let call = RawCall {
        method: Method::GET,
        path,
        query,
        headers,
        body: None,
    };
    let upstream = Upstream::checked(context.client.raw(call).await)?;
    Ok(Value::Object(upstream.output()))
}

/// The path below the API base, and the query that was written behind it.
fn endpoint(context: &Context<'_>) -> Result<(String, Vec<(String, String)>), Failure> {
    const POINTER: &str = "/properties/endpoint";
    let given = context.text("endpoint")?;
    let base = context.connection.base_url.trim_end_matches('/');
    let given = given.strip_prefix(base).unwrap_or(given);
    let refuse = |problem: &str| Err(Failure::input(POINTER, problem));
    if given.contains("://") {
        return refuse(&format!(
            "points outside {base}; use a path such as /accounts/{{accountId}}/intel/domain"
        ));
    }
    if !given.starts_with('/') {
        return refuse("must begin with /");
    }
    let given = given
        .replace("{accountId}", context.account.as_str())
        .replace("{account_id}", context.account.as_str());
    let (path, query) = given.split_once('?').unwrap_or((&given, ""));
    let lower = path.to_ascii_lowercase();
    // An encoded dot or slash could be decoded by something in between, and then mean another place.
    let is_tricky = path.contains("//")
        || path.contains('\\')
        || path.split('/').any(|part| part == "..")
        || ["%2e", "%2f", "%5c", "%00"]
            .iter()
            .any(|code| lower.contains(code))
        || given.contains('#')
        || given
            .chars()
            .any(|letter| letter.is_control() || letter.is_whitespace())
        || path.contains(['{', '}']);
    if is_tricky {
        return refuse(
            "must be a plain path without //, \\, .., encoded dots or slashes, #, white space, or \
                 placeholders other than {accountId}",
        );
    }
    let query = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    Ok((path.to_owned(), query))
}

/// `[{"key","value"}]` as exported flows have it, or an object. Order and repetition are kept.
fn pairs(given: Option<&Value>, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let pointer = format!("/properties/{name}");
    let text = |value: &Value, at: &str| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(Failure::input(at, "must be a string")),
    };
    let pairs: Vec<(String, String)> = match given {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(object)) => object
            .iter()
            .map(|(key, value)| Ok((key.clone(), text(value, &format!("{pointer}/{key}"))?)))
            .collect::<Result<_, Failure>>()?,
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(index, pair)| {
                let at = format!("{pointer}/{index}");
                let key = pair["key"].as_str().filter(|key| !key.is_empty());
                let key = key.ok_or_else(|| Failure::input(&at, "must be {\"key\", \"value\"}"))?;
                Ok((key.to_owned(), text(&pair["value"], &format!("{at}/value"))?))
            })
            .collect::<Result<_, Failure>>()?,
        Some(_) => {
            return Err(Failure::input(
                &pointer,
                "must be a list of {\"key\", \"value\"} or an object",
            ));
        }
    };
    if pairs.len() > PAIRS_MAX {
        return Err(Failure::input(
            &pointer,
            &format!("has more than {PAIRS_MAX} entries"),
        ));
    }
    Ok(pairs)
}

fn headers(pairs: Vec<(String, String)>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let lower = name.to_ascii_lowercase();
        if FORBIDDEN_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-auth-") {
            return Err(Failure::input(
                "/properties/headers",
                &format!("the header {name} is reserved for Flareward"),
            ));
        }
        let bad = || Failure::input("/properties/headers", &format!("the header {name} is invalid"));
        let header = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| bad())?;
        headers.append(header, HeaderValue::from_str(&value).map_err(|_| bad())?);
    }
    Ok(headers)
}
