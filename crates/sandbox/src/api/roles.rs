//! `roles`: the roles of a dashboard member. Role ids are the same in every account.
//!
//! The listing omits Super Administrator; a request by id returns it.

use crate::call::Call;
use crate::envelope::{Answer, IAM_PAGES, Refusal, found, listed};
use crate::permissions::MEMBERS_READ;
use crate::route::Route;
use crate::world::role::{Role, SUPER_ADMINISTRATOR};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts/{account_id}/roles", list),
        Route::get("/accounts/{account_id}/roles/{role_id}", get),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let asked = call.page(IAM_PAGES)?;
    let world = call.world();
    let shown: Vec<&Role> = world
        .roles
        .iter()
        .filter(|role| role.id != SUPER_ADMINISTRATOR)
        .collect();
    listed(asked.cut(&shown, |role| role.to_json()))
}

async fn get(call: Call) -> Answer {
    call.needs(MEMBERS_READ)?;
    let world = call.world();
    let role = world.roles.iter().find(|role| role.id == call.path("role_id"));
    found(
        role.ok_or_else(|| Refusal::not_found(1006, "Role not found"))?
            .to_json(),
    )
}
