//! `getUserRiskScore` and `resetUserRiskScore`: a person's score at Cloudflare, found by address.
//!
//! `riskLevel` is Cloudflare's; `hubRiskLevel`, beside it, is the level that Flareward keeps.

use super::Context;
use super::answer::{Failure, Upstream};
use crate::permission::Actor;
use model::AuditOutcome;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Access users on one page.
const PER_PAGE: u64 = 1_000;
/// Pages that are looked through for one address. Chosen: a hundred thousand users.
const PAGES_MAX: u64 = 100;

struct User {
    id: String,
    uid: Option<String>,
    email: Value,
    name: Value,
}

pub(super) async fn get(context: &Context<'_>) -> Result<Value, Failure> {
    let user = find(context).await?;
    let score = score(context, &user).await?;
    let result = score.result();
    let or_user = |member: &str, user: &Value| match &result[member] {
        Value::Null => user.clone(),
        value => value.clone(),
    };
    let events = result["events"].as_array().cloned().unwrap_or_default();
    let last = events
        .iter()
        .filter_map(|event| event["timestamp"].as_str())
        .max();
    let mut output = score.output();
    output.insert("email".to_owned(), or_user("email", &user.email));
    output.insert("name".to_owned(), or_user("name", &user.name));
    output.insert("riskLevel".to_owned(), result["risk_level"].clone());
    output.insert("lastResetTime".to_owned(), result["last_reset_time"].clone());
    output.insert("userId".to_owned(), json!(user.id));
    output.insert("riskScored".to_owned(), json!(!result["risk_level"].is_null()));
    output.insert("eventCount".to_owned(), json!(events.len()));
    output.insert("lastEventAt".to_owned(), json!(last));
    output.insert("riskEvents".to_owned(), json!(events));
    let email = user.email.as_str().unwrap_or_default();
    output.insert("hubRiskLevel".to_owned(), hub_level(context, email).await?);
    Ok(Value::Object(output))
}

pub(super) async fn reset(context: &Context<'_>, actor: &Actor) -> Result<Value, Failure> {
    let reason = context
        .properties
        .get("reason")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let user = find(context).await?;
    let previous = score(context, &user)
        .await
        .ok()
        .map(|score| score.result()["risk_level"].clone());
    let email = user.email.as_str().unwrap_or_default().to_owned();
    // Recorded before it is done: what cannot be recorded is not done.
    context
        .record(
            actor,
            &email,
            AuditOutcome::Begun,
            json!({ "user_id": user.id, "reason": reason }),
        )
        .await?;
    let path = format!("/accounts/{}/zt_risk_scoring/{}/reset", context.account, user.id);
    // Resetting twice is the same as once, so a passing fault may be tried again.
    let answer = match Upstream::fetch(&context.client, Method::POST, &path, &[]).await {
        Ok(answer) => answer,
        Err(failure) => {
            context
                .record(actor, &email, AuditOutcome::Failed, json!({ "user_id": user.id }))
                .await?;
            return Err(explain(failure));
        }
    };
    context
        .record(
            actor,
            &email,
            AuditOutcome::Changed,
            json!({ "user_id": user.id, "previous": previous }),
        )
        .await?;
    let success = answer.body["success"] == json!(true);
    let mut output = answer.output();
    output.insert("success".to_owned(), json!(success));
    output.insert("userId".to_owned(), json!(user.id));
    output.insert("previousRiskLevel".to_owned(), previous.unwrap_or(Value::Null));
    // Which of the two was reset, and how the other stands.
    output.insert("resetScore".to_owned(), json!("cloudflare"));
    output.insert("hubRiskLevel".to_owned(), hub_level(context, &email).await?);
    Ok(Value::Object(output))
}

/// Flareward's own level of the person, which Cloudflare's score neither sets nor resets; null when no list that
/// was synced has the person.
async fn hub_level(context: &Context<'_>, email: &str) -> Result<Value, Failure> {
    let person = crate::people::one(context.app, email)
        .await
        .map_err(|error| Failure::internal(&crate::causes(&error)))?;
    Ok(json!(person.map(|person| person.risk_level)))
}

async fn score(context: &Context<'_>, user: &User) -> Result<Upstream, Failure> {
    let first = context.get(&format!("/zt_risk_scoring/{}", user.id), &[]).await;
    match (&first, &user.uid) {
        // The published schema does not say which of the two ids is meant.
        (Err(failure), Some(uid)) if failure.upstream_status() == Some(404) && *uid != user.id => context
            .get(&format!("/zt_risk_scoring/{uid}"), &[])
            .await
            .map_err(explain),
        _ => first.map_err(explain),
    }
}

fn explain(failure: Failure) -> Failure {
    if failure.upstream_status() == Some(403) {
        failure.explained(
            "this requires the Enterprise plan (risk scoring) and a credential with the Zero Trust \
                 permissions",
        )
    } else {
        failure
    }
}

/// The Access user with exactly this address, whatever its case, over all pages: Cloudflare's filter also finds
/// addresses that only contain it.
async fn find(context: &Context<'_>) -> Result<User, Failure> {
    let email = context.text("email")?;
    let wanted = model::address::compared(email);
    if !wanted.contains('@') {
        return Err(Failure::input("/properties/email", "is not an email address"));
    }
    let per_page = PER_PAGE.to_string();
    let mut found: Vec<User> = Vec::new();
    let mut page = 1;
    let last = loop {
        let number = page.to_string();
        let query = [
            ("email", email),
            ("page", number.as_str()),
            ("per_page", per_page.as_str()),
        ];
        let answer = context.get("/access/users", &query).await?;
        let items = answer.result().as_array().cloned().unwrap_or_default();
        found.extend(
            items
                .iter()
                .filter(|item| {
                    item["email"]
                        .as_str()
                        .is_some_and(|email| model::address::compared(email) == wanted)
                })
                .filter_map(|item| {
                    Some(User {
                        id: item["id"].as_str()?.to_owned(),
                        uid: item["uid"].as_str().map(str::to_owned),
                        email: item["email"].clone(),
                        name: item["name"].clone(),
                    })
                }),
        );
        let total = answer
            .body
            .pointer("/result_info/total_count")
            .and_then(Value::as_u64);
        let size = answer
            .body
            .pointer("/result_info/per_page")
            .and_then(Value::as_u64)
            .unwrap_or(PER_PAGE)
            .max(1);
        let more = !items.is_empty() && total.is_some_and(|total| page * size < total);
        if !more || page >= PAGES_MAX {
            break answer;
        }
        page += 1;
    };
    let ids: BTreeSet<&str> = found.iter().map(|user| user.id.as_str()).collect();
    match ids.len() {
        0 => Err(Failure::user(
            404,
            "userNotFound",
            format!("no Access user has the address {email}"),
            last,
        )),
        1 => found
            .pop()
            .ok_or_else(|| Failure::internal("the user no longer exists")),
        count => Err(Failure::user(
            409,
            "ambiguousUser",
            format!("{count} Access users have the address {email}"),
            last,
        )),
    }
}
