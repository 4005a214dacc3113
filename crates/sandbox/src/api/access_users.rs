//! `access/users` and `access/seats`: the Zero Trust users, their seats, sessions and last seen identity.
//!
//! These are not the dashboard's members. The `email` filter matches part of the address, as at Cloudflare, so a caller
//! that looks for one person must compare the results.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, accepted, access_pages, created, found, listed};
use crate::ids::{hex32_of, is_uuid, unix};
use crate::permissions::{ACCESS_LOGS_READ, NONE_PUBLISHED, SEATS_WRITE};
use crate::route::Route;
use crate::world::World;
use crate::world::access_user::AccessUser;
use crate::world::app::app_id;

pub(crate) fn routes() -> Vec<Route> {
    const LIST: &str = "/accounts/{account_id}/access/users";
    const ONE: &str = "/accounts/{account_id}/access/users/{user_id}";
    const SESSIONS: &str = "/accounts/{account_id}/access/users/{user_id}/active_sessions";
    const SESSION: &str = "/accounts/{account_id}/access/users/{user_id}/active_sessions/{nonce}";
    const FAILED: &str = "/accounts/{account_id}/access/users/{user_id}/failed_logins";
    const IDENTITY: &str = "/accounts/{account_id}/access/users/{user_id}/last_seen_identity";
    const AUTHENTICATOR: &str =
        "/accounts/{account_id}/access/users/{user_id}/mfa_authenticators/{authenticator_id}";
    vec![
        Route::get(LIST, list),
        Route::post(LIST, create),
        Route::get(ONE, get),
        Route::put(ONE, rename),
        Route::delete(ONE, remove),
        Route::get(SESSIONS, sessions),
        Route::get(SESSION, session),
        Route::get(FAILED, failed_logins),
        Route::get(IDENTITY, last_seen_identity),
        Route::delete(AUTHENTICATOR, remove_authenticator),
        Route::patch("/accounts/{account_id}/access/seats", seats),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    let asked = call.page(access_pages(1000))?;
    let part = |name: &str| call.query(name).map(str::to_lowercase);
    let (email, name, search) = (part("email"), part("name"), part("search"));
    let has = |text: &str, part: &Option<String>| {
        part.as_ref()
            .is_none_or(|part| text.to_lowercase().contains(part))
    };
    let world = call.world();
    let shown: Vec<&AccessUser> = world
        .access_users
        .iter()
        .filter(|user| has(&user.email, &email) && has(&user.name, &name))
        .filter(|user| has(&user.email, &search) || has(&user.name, &search))
        .collect();
    listed(asked.cut(&shown, |user| user.to_json()))
}

async fn create(call: Call, Body(body): Body) -> Answer {
    call.needs(NONE_PUBLISHED)?;
    let email = body["email"].as_str().filter(|email| email.contains('@'));
    let email = email.ok_or_else(|| invalid("email is required"))?;
    let now = call.now();
    let mut world = call.world();
    if world
        .access_users
        .iter()
        .any(|user| user.email.eq_ignore_ascii_case(email))
    {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            12132,
            "access.api.error.user_already_exists",
        ));
    }
    let user = AccessUser::fresh(
        &mut world.ids,
        email,
        body["name"].as_str().unwrap_or_default(),
        now,
    );
    let answer = user.to_json();
    world.access_users.push(user);
    created(answer)
}

async fn get(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    found(asked_for(&call, &call.world())?.to_json())
}

async fn rename(call: Call, Body(body): Body) -> Answer {
    call.needs(SEATS_WRITE)?;
    let name = body["name"].as_str().ok_or_else(|| invalid("name is required"))?;
    let email = body["email"]
        .as_str()
        .ok_or_else(|| invalid("email is required"))?;
    let now = call.now();
    let mut world = call.world();
    let at = position(&call, &world)?;
    let user = &mut world.access_users[at];
    // The address only confirms who is meant: it cannot be changed.
    if !user.email.eq_ignore_ascii_case(email) {
        return Err(invalid("email does not match the user"));
    }
    name.clone_into(&mut user.name);
    user.updated_at = now;
    found(user.to_json())
}

async fn remove(call: Call) -> Answer {
    call.needs(NONE_PUBLISHED)?;
    let mut world = call.world();
    let at = position(&call, &world)?;
    let user = world.access_users.remove(at);
    world.risk.forget(&user.id);
    accepted(Value::Null)
}

async fn sessions(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    let world = call.world();
    let user = asked_for(&call, &world)?;
    let nonce = user.session_nonce();
    let held = user
        .last_login
        .filter(|_| !world.revoked_sessions.contains(&nonce));
    let sessions: Vec<Value> = held
        .map(|login| {
            let expires = login + TimeDelta::days(7);
            json!({
                "name": format!("{}_{nonce}", user.id), "expiration": unix(expires),
                "metadata": {
                    "apps": {
                        "wiki": { "hostname": "wiki.tidewater.example", "name": "Wiki", "type": "self_hosted",
                                  "uid": app_id("Wiki") },
                    },
                    "expires": unix(expires), "iat": unix(login), "nonce": nonce, "ttl": 604_800,
                },
            })
        })
        .into_iter()
        .collect();
    found(sessions)
}

async fn session(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    let world = call.world();
    let user = asked_for(&call, &world)?;
    let nonce = user.session_nonce();
    let identity = user
        .identity(&world.account_id)
        .filter(|_| nonce == call.path("nonce"));
    let mut identity =
        identity.ok_or_else(|| Refusal::not_found(12133, "access.api.error.session_not_found"))?;
    identity["isActive"] = json!(!world.revoked_sessions.contains(&nonce));
    found(identity)
}

async fn failed_logins(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    let world = call.world();
    let user = asked_for(&call, &world)?;
    let failed: Vec<Value> = world
        .access_logins
        .iter()
        .filter(|login| !login.allowed && login.email.eq_ignore_ascii_case(&user.email))
        .map(|login| {
            json!({
                "expiration": unix(login.at + TimeDelta::days(30)),
                "metadata": {
                    "app_name": login.app_domain, "aud": hex32_of(&login.app_id), "datetime": rfc3339(login.at),
                    "ray_id": login.ray_id, "user_email": user.email, "user_uuid": user.id,
                },
            })
        })
        .collect();
    found(failed)
}

async fn last_seen_identity(call: Call) -> Answer {
    call.needs(ACCESS_LOGS_READ)?;
    let world = call.world();
    let user = asked_for(&call, &world)?;
    let identity = user.identity(&world.account_id);
    found(identity.ok_or_else(|| Refusal::not_found(12134, "access.api.error.identity_not_found"))?)
}

async fn remove_authenticator(call: Call) -> Answer {
    call.needs(NONE_PUBLISHED)?;
    let mut world = call.world();
    let at = position(&call, &world)?;
    let user = &mut world.access_users[at];
    if user.authenticator_id.as_deref() != Some(call.path("authenticator_id")) {
        return Err(Refusal::not_found(
            12135,
            "access.api.error.authenticator_not_found",
        ));
    }
    user.authenticator_id = None;
    found(Value::Null)
}

async fn seats(call: Call, Body(body): Body) -> Answer {
    call.needs(SEATS_WRITE)?;
    let asked = body
        .as_array()
        .filter(|seats| !seats.is_empty())
        .ok_or_else(|| invalid("a list of seats is required"))?;
    let now = call.now();
    let mut world = call.world();
    let mut answer = Vec::new();
    let wanted: HashSet<&str> = asked
        .iter()
        .filter_map(|seat| seat["seat_uid"].as_str())
        .collect();
    // One pass, since everyone's seat may be in one call.
    let held: HashMap<String, usize> = world
        .access_users
        .iter()
        .enumerate()
        .filter(|(_, user)| wanted.contains(user.seat_uid.as_str()))
        .map(|(at, user)| (user.seat_uid.clone(), at))
        .collect();
    // All are checked before any is changed.
    let mut changes = Vec::new();
    for seat in asked {
        let uid = seat["seat_uid"]
            .as_str()
            .filter(|uid| !uid.is_empty())
            .ok_or_else(|| invalid("seat_uid is required"))?;
        let (Some(access), Some(gateway)) = (seat["access_seat"].as_bool(), seat["gateway_seat"].as_bool())
        else {
            return Err(invalid("access_seat and gateway_seat are required"));
        };
        let at = *held
            .get(uid)
            .ok_or_else(|| Refusal::not_found(12136, "access.api.error.seat_not_found"))?;
        changes.push((at, access, gateway));
    }
    for (at, access, gateway) in changes {
        let user = &mut world.access_users[at];
        user.access_seat = access;
        user.gateway_seat = gateway;
        user.updated_at = now;
        answer.push(json!({
            "seat_uid": user.seat_uid, "access_seat": access, "gateway_seat": gateway,
            "created_at": rfc3339(user.created_at), "updated_at": rfc3339(now),
        }));
    }
    found(answer)
}

fn position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id = call.path("user_id");
    if !is_uuid(id) {
        return Err(Refusal::bad_request(12131, "access.api.error.invalid_user_id"));
    }
    world
        .access_users
        .position(id)
        .ok_or_else(|| Refusal::not_found(12137, "access.api.error.user_not_found"))
}

fn asked_for<'a>(call: &Call, world: &'a World) -> Result<&'a AccessUser, Refusal> {
    position(call, world).map(|at| &world.access_users[at])
}

fn invalid(why: &str) -> Refusal {
    Refusal::bad_request(12130, format!("access.api.error.invalid_request: {why}"))
}
