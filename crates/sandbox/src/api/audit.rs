//! The logs that callers pull: both account audit logs, Access logins, and SCIM updates.
//!
//! Entries are stored once and written in the format of each call. Logpush delivers the same entries.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, access_pages, found, listed};
use crate::faults::Ignored;
use crate::permissions::{ACCESS_LOGS_READ, AUDIT_READ, SCIM_LOGS_READ};
use crate::route::Route;
use crate::shared::Shared;
use crate::world::logs::{AccessLogin, AuditEntry};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts/{account_id}/audit_logs", audit_v1),
        Route::get("/accounts/{account_id}/logs/audit", audit_v2),
        Route::get(
            "/accounts/{account_id}/access/logs/access_requests",
            access_requests,
        ),
        Route::get(
            "/accounts/{account_id}/access/logs/scim/updates",
            scim_update_list,
        ),
    ]
}

/// Records successful changes of the account in its audit log.
pub(crate) async fn layer(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let action = match *request.method() {
        Method::POST => "create",
        Method::PUT | Method::PATCH => "update",
        Method::DELETE => "delete",
        _ => return next.run(request).await,
    };
    if request.extensions().get::<Ignored>().is_some() {
        return next.run(request).await;
    }
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let (true, ["accounts", _, product, ..]) = (response.status().is_success(), parts.as_slice()) {
        let mut world = shared.world();
        let id = world.ids.hex32();
        let ray_id = world.ids.ray();
        let entry = AuditEntry {
            id,
            at: shared.clock.now(),
            action: action.to_owned(),
            description: format!("{action} {}", parts[2..].join(" ")),
            actor_email: world.owner_email.clone(),
            actor_id: world.owner_id.clone(),
            actor_context: "api_token",
            actor_ip: "127.0.0.1".to_owned(),
            method,
            uri: path.clone(),
            status: response.status().as_u16(),
            ray_id,
            product: (*product).to_owned(),
            resource_type: parts
                .get(3)
                .filter(|_| *product != "members")
                .unwrap_or(product)
                .to_string(),
            resource_id: parts.last().copied().unwrap_or_default().to_owned(),
            request: json!({}),
            response: json!({}),
        };
        world.audit.push(entry);
    }
    response
}

/// A date or an RFC 3339 time.
fn time_given(call: &Call, name: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(text) = call.query(name) else {
        return Ok(None);
    };
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
    let day = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
            .map(|day| day.and_utc())
    };
    match time.or_else(day) {
        Some(time) => Ok(Some(time)),
        None => Err(Refusal::bad_request(
            1400,
            format!("Invalid value for {name}: {text}"),
        )),
    }
}

/// An integer within bounds.
fn number_given(call: &Call, name: &str, default: usize, max: usize) -> Result<usize, Refusal> {
    match call.query(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| (1..=max).contains(number))
            .ok_or_else(|| Refusal::bad_request(1400, format!("Invalid value for {name}: {text}"))),
    }
}

/// Sorted by time, newest first unless `direction` says otherwise.
fn in_order<'a, T>(
    call: &Call,
    entries: impl Iterator<Item = &'a T>,
    at: impl Fn(&T) -> DateTime<Utc>,
) -> Vec<&'a T> {
    let mut entries: Vec<&T> = entries.collect();
    entries.sort_by_key(|entry| at(entry));
    if call.query("direction") != Some("asc") {
        entries.reverse();
    }
    entries
}

async fn audit_v1(call: Call) -> Answer {
    call.needs(AUDIT_READ)?;
    let (since, before) = (time_given(&call, "since")?, time_given(&call, "before")?);
    let per_page = number_given(&call, "per_page", 100, 1000)?;
    let page = number_given(&call, "page", 1, usize::MAX)?;
    let world = call.world();
    let wanted = world.audit.iter().filter(|entry| {
        since.is_none_or(|since| entry.at >= since)
            && before.is_none_or(|before| entry.at < before)
            && call.query("id").is_none_or(|id| entry.id == id)
            && call
                .query("actor.email")
                .is_none_or(|email| entry.actor_email.eq_ignore_ascii_case(email))
            && call.query("actor.ip").is_none_or(|ip| entry.actor_ip == ip)
            && call
                .query("action.type")
                .is_none_or(|action| entry.action == action)
    });
    let entries = in_order(&call, wanted, |entry| entry.at);
    let shown = entries
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page);
    if call.query("export") == Some("true") {
        let mut csv = "id,when,actor,action,resource\n".to_owned();
        for entry in shown {
            let (at, kind) = (rfc3339(entry.at), &entry.resource_type);
            csv.push_str(&format!(
                "{},{at},{},{},{kind}\n",
                entry.id, entry.actor_email, entry.action
            ));
        }
        return Ok(([(header::CONTENT_TYPE, "text/csv")], csv).into_response());
    }
    found(
        shown
            .map(|entry| entry.to_v1(&world.account_id))
            .collect::<Vec<_>>(),
    )
}

/// Its errors have messages without codes.
async fn audit_v2(call: Call) -> Answer {
    audit_v2_page(&call).map_err(|mut refusal| {
        refusal.without_codes = true;
        refusal
    })
}

fn audit_v2_page(call: &Call) -> Answer {
    /// Filters, and the path of each value in an entry. Each also exists with `.not`, and can be repeated.
    const FILTERS: &[(&str, &str)] = &[
        ("id", "/id"),
        ("audit_log_id", "/id"),
        ("action_type", "/action/type"),
        ("action_result", "/action/result"),
        ("actor_context", "/actor/context"),
        ("actor_email", "/actor/email"),
        ("actor_id", "/actor/id"),
        ("actor_ip_address", "/actor/ip_address"),
        ("actor_type", "/actor/type"),
        ("raw_cf_ray_id", "/raw/cf_ray_id"),
        ("raw_method", "/raw/method"),
        ("raw_uri", "/raw/uri"),
        ("resource_id", "/resource/id"),
        ("resource_product", "/resource/product"),
        ("resource_type", "/resource/type"),
    ];
    call.needs(AUDIT_READ)?;
    let missing = || Refusal::bad_request(1400, "since and before are required");
    let since = time_given(call, "since")?.ok_or_else(missing)?;
    let before = time_given(call, "before")?.ok_or_else(missing)?;
    let limit = number_given(call, "limit", 100, 1000)?;
    let from = match call.query("cursor") {
        None | Some("") => 0,
        Some(cursor) => hex::decode(cursor)
            .ok()
            .and_then(|bytes| {
                String::from_utf8(bytes)
                    .ok()?
                    .strip_prefix("at ")?
                    .parse::<usize>()
                    .ok()
            })
            .ok_or_else(|| Refusal::bad_request(1400, "Invalid cursor"))?,
    };
    let world = call.world();
    let wanted = world
        .audit
        .iter()
        .filter(|entry| entry.at >= since && entry.at < before);
    let entries: Vec<Value> = in_order(call, wanted, |entry| entry.at)
        .into_iter()
        .map(|entry| entry.to_v2(&world.account_id, &world.account_name))
        .filter(|entry| {
            FILTERS.iter().all(|(name, place)| {
                let value = entry.pointer(place).and_then(Value::as_str).unwrap_or_default();
                let one_of = call.query_all(name);
                let none_of = call.query_all(&format!("{name}.not"));
                (one_of.is_empty() || one_of.contains(&value)) && !none_of.contains(&value)
            })
        })
        .collect();
    let shown: Vec<&Value> = entries.iter().skip(from).take(limit).collect();
    let next = from + shown.len();
    let mut info = json!({ "count": shown.len().to_string() });
    if next < entries.len() {
        info["cursor"] = json!(hex::encode(format!("at {next}")));
    }
    Ok(Json(json!({ "success": true, "errors": [], "result": shown, "result_info": info })).into_response())
}

/// Access logins. `email` matches a part unless specified otherwise, `user_id` is accepted and ignored, and the
/// response has no total: the last page is the one that is not full.
async fn access_requests(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    let (since, until) = (time_given(&call, "since")?, time_given(&call, "until")?);
    let per_page = number_given(&call, "per_page", number_given(&call, "limit", 25, 1000)?, 1000)?;
    let page = number_given(&call, "page", 1, usize::MAX)?;
    let exact = call.query("email_exact") == Some("true") || call.query("emailOp") == Some("eq");
    let email = call.query("email").map(str::to_lowercase);
    let matches = |login: &AccessLogin| {
        let address = login.email.to_lowercase();
        email.as_ref().is_none_or(|email| {
            if exact {
                address == *email
            } else {
                address.contains(email)
            }
        })
    };
    let fields: Vec<&str> = call
        .query("fields")
        .map(|fields| fields.split(',').collect())
        .unwrap_or_default();
    let world = call.world();
    let wanted = world.access_logins.iter().filter(|login| {
        since.is_none_or(|since| login.at >= since)
            && until.is_none_or(|until| login.at <= until)
            && matches(login)
    });
    let logins = in_order(&call, wanted, |login| login.at);
    let shown = logins
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page);
    found(shown.map(|login| login.to_pull(&fields)).collect::<Vec<_>>())
}

async fn scim_update_list(call: Call) -> Answer {
    call.needs(SCIM_LOGS_READ)?;
    let providers = call.query_all("idp_id");
    if providers.is_empty() {
        return Err(Refusal::bad_request(
            12130,
            "access.api.error.invalid_request: idp_id is required",
        ));
    }
    let asked = call.page(access_pages(20))?;
    let (since, until) = (time_given(&call, "since")?, time_given(&call, "until")?);
    let world = call.world();
    let matches = |update: &Value, filter: &str, key: &str| {
        call.query(filter).is_none_or(|wanted| {
            update[key]
                .as_str()
                .is_some_and(|is| is.eq_ignore_ascii_case(wanted))
        })
    };
    let shown: Vec<&Value> = world
        .scim_updates
        .iter()
        .filter(|update| providers.iter().any(|provider| update["idp_id"] == *provider))
        .filter(|update| {
            [
                "status",
                "resource_type",
                "request_method",
                "resource_user_email",
                "cf_resource_id",
            ]
            .iter()
            .all(|key| matches(update, key, key))
        })
        .filter(|update| {
            let at = update["logged_at"].as_str().unwrap_or_default();
            since.is_none_or(|since| at >= rfc3339(since).as_str())
                && until.is_none_or(|until| at <= rfc3339(until).as_str())
        })
        .collect();
    listed(asked.cut(&shown, |update| *update))
}
