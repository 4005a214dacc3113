//! Accounts, the caller's own user and memberships, and the verification of tokens.
//!
//! A token that an account owns belongs to no user: it cannot list accounts, and its verification has a separate path.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::call::Call;
use crate::credential::Credential;
use crate::envelope::{Answer, IAM_PAGES, Refusal, found, listed};
use crate::permissions::{self, ACCOUNT_READ, MEMBERSHIPS_READ, NONE_PUBLISHED, TOKENS_READ, USER_READ};
use crate::route::Route;
use crate::world::World;
use crate::world::account_token::own_token_id;
use crate::world::iam::permission_group_id;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts", list),
        Route::get("/accounts/{account_id}", get),
        Route::get("/accounts/{account_id}/tokens/verify", verify_account_token),
        Route::get(
            "/accounts/{account_id}/tokens/permission_groups",
            token_permission_groups,
        ),
        Route::get("/memberships", memberships),
        Route::get("/memberships/{membership_id}", membership_get),
        Route::get("/user", user),
        Route::get("/user/tokens/verify", verify_user_token),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(NONE_PUBLISHED)?;
    if call.credential == Credential::AccountToken {
        return Err(Refusal::bad_request(
            1001,
            "List accounts endpoint does not support account owned tokens.",
        ));
    }
    let asked = call.page(IAM_PAGES)?;
    let world = call.world();
    let named = call
        .query("name")
        .is_none_or(|name| world.account_name.to_lowercase().contains(&name.to_lowercase()));
    let shown: Vec<&Value> = named.then_some(&world.account).into_iter().collect();
    listed(asked.cut(&shown, |account| *account))
}

async fn get(call: Call) -> Answer {
    call.needs(ACCOUNT_READ)?;
    found(&call.world().account)
}

async fn verify_user_token(call: Call) -> Answer {
    verify(&call, Credential::UserToken)
}

async fn verify_account_token(call: Call) -> Answer {
    verify(&call, Credential::AccountToken)
}

/// Confirms that the token is valid, only at the path of its own kind, and returns nothing about its permissions.
fn verify(call: &Call, kind: Credential) -> Answer {
    if call.credential != kind {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token"));
    }
    let id = own_token_id(kind, &call.world().account_id);
    Ok(Json(json!({
        "success": true, "errors": [],
        "messages": [{ "code": 10000, "message": "This API Token is valid and active", "type": null }],
        "result": { "id": id, "status": "active" },
    }))
    .into_response())
}

async fn token_permission_groups(call: Call) -> Answer {
    call.needs(TOKENS_READ)?;
    let shown: Vec<Value> = permissions::ALL
        .iter()
        .filter(|group| call.query("name").is_none_or(|name| group.name == name))
        .map(|group| {
            let scope = if group.of_user {
                "com.cloudflare.api.user"
            } else {
                "com.cloudflare.api.account"
            };
            json!({ "id": permission_group_id(group.name), "name": group.name, "scopes": [scope] })
        })
        .filter(|group| {
            call.query("scope")
                .is_none_or(|scope| group["scopes"][0] == scope)
        })
        .collect();
    found(shown)
}

/// The membership of the user who owns the token.
fn own_membership(world: &World) -> Option<Value> {
    let own = world
        .members
        .iter()
        .find(|member| member.user_id.as_ref() == Some(&world.owner_id))?;
    let roles: Vec<&str> = world
        .roles
        .iter()
        .filter(|role| own.role_ids.contains(&role.id))
        .map(|role| role.name.as_str())
        .collect();
    let grants = json!({ "read": true, "write": true });
    Some(json!({
        "id": own.id, "status": "accepted", "account": world.account, "api_access_enabled": true, "roles": roles,
        "permissions": { "organization": grants, "logs": grants, "zones": grants },
    }))
}

async fn memberships(call: Call) -> Answer {
    call.needs_user()?;
    call.needs(MEMBERSHIPS_READ)?;
    let asked = call.page(IAM_PAGES)?;
    let world = call.world();
    let name = call.query("account.name").or(call.query("name"));
    let status = call.query("status").is_none_or(|status| status == "accepted");
    let shown: Vec<Value> = own_membership(&world)
        .filter(|_| status && name.is_none_or(|name| world.account_name == name))
        .into_iter()
        .collect();
    listed(asked.cut(&shown, |membership| membership))
}

async fn membership_get(call: Call) -> Answer {
    call.needs_user()?;
    call.needs(MEMBERSHIPS_READ)?;
    let own = own_membership(&call.world()).filter(|own| own["id"] == call.path("membership_id"));
    found(own.ok_or_else(|| Refusal::not_found(1003, "Membership not found"))?)
}

async fn user(call: Call) -> Answer {
    call.needs_user()?;
    call.needs(USER_READ)?;
    let world = call.world();
    let own = world
        .members
        .iter()
        .find(|member| member.user_id.as_ref() == Some(&world.owner_id));
    let own = own.ok_or_else(Refusal::authentication)?;
    found(json!({
        "id": own.user_id, "email": own.email, "first_name": own.first_name, "last_name": own.last_name,
        "country": "GB", "suspended": false, "two_factor_authentication_enabled": own.second_factor,
        "two_factor_authentication_locked": false, "has_enterprise_zones": true, "has_business_zones": false,
        "has_pro_zones": false,
        "organizations": [{ "id": world.account_id, "name": world.account_name, "status": "member",
                            "permissions": [], "roles": [] }],
    }))
}
