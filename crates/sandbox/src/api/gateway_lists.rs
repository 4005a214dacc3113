//! `gateway/lists`: named lists of addresses, domains and networks that Access rules and Gateway rules refer to.
//!
//! Read only. The response about a list contains only the number of its items; a separate call returns the items.

use serde_json::Value;

use crate::call::Call;
use crate::envelope::{Answer, Refusal, access_pages, found, listed};
use crate::ids::is_uuid;
use crate::permissions::ZERO_TRUST_READ;
use crate::route::Route;
use crate::world::World;
use crate::world::gateway_list::GatewayList;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/accounts/{account_id}/gateway/lists", list),
        Route::get("/accounts/{account_id}/gateway/lists/{list_id}", get),
        Route::get("/accounts/{account_id}/gateway/lists/{list_id}/items", items),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(ZERO_TRUST_READ)?;
    let asked = call.page(access_pages(1000))?;
    let world = call.world();
    let shown: Vec<&GatewayList> = world
        .gateway_lists
        .iter()
        .filter(|held| call.query("type").is_none_or(|kind| held.list["type"] == kind))
        .collect();
    listed(asked.cut(&shown, |held| &held.list))
}

async fn get(call: Call) -> Answer {
    call.needs(ZERO_TRUST_READ)?;
    found(&asked_for(&call, &call.world())?.list)
}

async fn items(call: Call) -> Answer {
    call.needs(ZERO_TRUST_READ)?;
    let asked = call.page(access_pages(1000))?;
    let world = call.world();
    let items = &asked_for(&call, &world)?.items;
    let faults = call.shared.faults.settings();
    if let Some(cap) = faults.list_items_cap {
        let limit = call.query("limit").filter(|_| !faults.list_items_limit_ignored);
        let limit = limit.and_then(|limit| limit.parse().ok());
        let given: Vec<&Value> = items.iter().take(limit.unwrap_or(cap)).collect();
        return found(given);
    }
    listed(asked.cut(items, |item| item))
}

fn asked_for<'a>(call: &Call, world: &'a World) -> Result<&'a GatewayList, Refusal> {
    let id = call.path("list_id");
    if !is_uuid(id) {
        return Err(Refusal::bad_request(2004, "list_id must be a UUID"));
    }
    world
        .gateway_lists
        .iter()
        .find(|held| held.list["id"] == id)
        .ok_or_else(|| Refusal::not_found(2005, "list not found"))
}
