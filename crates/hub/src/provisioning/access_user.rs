//! Access users: making and removing them, freeing seats, ending sessions.
//!
//! None of these keeps someone out: a removed Access user, a freed seat and an ended session all come back with
//! the next sign-in that the rules let pass. What keeps them out is changed elsewhere.

use super::ProvisionError;
use super::context::RequestContext;
use super::plan::{Guard, Plan};
use super::request::Request;
use cloudflare::{CloudflareError, Write};
use model::address;
use serde_json::{Value, json};

/// Plans a change of an Access user.
pub(super) async fn plan(context: &RequestContext<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let email = request.email();
    let mut plan = Plan::new(request, &context.connection.label, "access_user");
    email.clone_into(&mut plan.object_name);
    let found = find(context, email).await?;
    if let Some((id, raw)) = &found {
        plan.object_id.clone_from(id);
        plan.before = raw.clone();
    }
    match (request, found) {
        (Request::AccessUserCreate { .. }, Some(_)) => {
            Ok(plan.already(format!("{email} is already an Access user")))
        }
        (Request::AccessUserCreate { name, .. }, None) => {
            plan.summary = format!("create the Access user {email}");
            plan.calls = vec![Write::access_user_create(email, name.as_deref())];
            plan.after = json!({ "email": email, "name": name });
            plan.undo = Some(Request::AccessUserRemove {
                connection: request.connection().clone(),
                email: email.to_owned(),
            });
            Ok(plan)
        }
        (Request::AccessUserRemove { .. }, Some((id, raw))) => {
            plan.summary = format!("remove the Access user {email}, including seats and tokens");
            plan.calls = vec![Write::access_user_remove(&id).map_err(ProvisionError::Id)?];
            plan.undo = Some(Request::AccessUserCreate {
                connection: request.connection().clone(),
                email: email.to_owned(),
                name: raw["name"].as_str().map(str::to_owned),
            });
            plan.warnings.push(
                "their next sign-in creates the Access user again, unless the rules block it".to_owned(),
            );
            Ok(plan)
        }
        (Request::SeatsFree { .. }, Some((_, raw))) => {
            let takes = |name: &str| raw[name].as_bool().unwrap_or(false);
            let seat = raw["seat_uid"].as_str().unwrap_or_default();
            if seat.is_empty() || !(takes("access_seat") || takes("gateway_seat")) {
                return Ok(plan.already(format!("{email} has no seat")));
            }
            plan.summary = format!("free the seats of {email}");
            plan.calls = vec![Write::seats_free(seat)];
            let mut after = raw.clone();
            after["access_seat"] = json!(false);
            after["gateway_seat"] = json!(false);
            plan.after = after;
            plan.warnings
                .push("their next sign-in takes a seat again".to_owned());
            Ok(plan)
        }
        (Request::SessionsRevoke { devices, .. }, found) => {
            let mut sessions = None;
            if let Some((id, _)) = &found {
                let list = context
                    .client
                    .active_sessions(&context.account, id)
                    .await
                    .map_err(|source| context.failed(source))?;
                plan.before = json!({ "active_sessions": list.len() });
                sessions = Some(list.len());
            }
            plan.summary = format!(
                "revoke all sessions of {email}{}",
                if *devices {
                    ", including device sessions"
                } else {
                    ""
                }
            );
            if sessions == Some(0) && (!devices || context.has_written) {
                return Ok(plan.already(format!("{email} has no active sessions")));
            }
            if sessions.is_none() && context.has_written {
                return Ok(plan.already(format!(
                    "{email} is not an Access user, so active sessions cannot be listed"
                )));
            }
            plan.after = json!({ "active_sessions": 0 });
            plan.calls = vec![Write::sessions_revoke(email, *devices)];
            plan.warnings.push(
                "if their session at the identity provider is still active, they can sign in again \
                     wherever the rules admit them"
                    .to_owned(),
            );
            Ok(plan)
        }
        (Request::AccessUserRemove { .. } | Request::SeatsFree { .. }, None) => {
            Ok(plan.already(format!("{email} is not an Access user")))
        }
        _ => Ok(plan.refused(Guard::WrongState, "this change does not apply to Access users")),
    }
}

/// The Access user with an address, as Cloudflare has it now.
async fn find(context: &RequestContext<'_>, email: &str) -> Result<Option<(String, Value)>, ProvisionError> {
    if let Some(person) = context.app.store.person_by_email(email).await? {
        let mut rows = context.app.store.access_user_by_person(&person.id).await?;
        rows.retain(|row| row.connection_id == context.connection.id);
        rows.sort_by_key(|row| address::compared(&row.email) != email);
        for row in rows {
            match context.client.access_user(&context.account, &row.id).await {
                Ok(raw) => return Ok(Some((row.id, raw))),
                Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => {}
                Err(source) => return Err(context.failed(source)),
            }
        }
    }
    // Someone may have signed in since the last sync. Cloudflare's filter is not exact.
    let users = context
        .client
        .access_users_by_email(&context.account, email)
        .await
        .map_err(|source| context.failed(source))?;
    Ok(users
        .into_iter()
        .find(|user| address::compared(&user.email) == email)
        .map(|user| (user.id.clone(), serde_json::to_value(&user).unwrap_or_default())))
}
