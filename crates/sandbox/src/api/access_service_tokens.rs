//! `access/service_tokens`: the credentials that machines present to Access (read only).
//!
//! A token is listed without its secret, which only the response to its creation contains. The duration `forever` means
//! no `expires_at`.

use serde_json::Value;

use crate::call::Call;
use crate::envelope::{Answer, access_pages, listed};
use crate::permissions::SERVICE_TOKENS_READ;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/accounts/{account_id}/access/service_tokens", list)]
}

async fn list(call: Call) -> Answer {
    call.needs(SERVICE_TOKENS_READ)?;
    let asked = call.page(access_pages(1000))?;
    let search = call.query("search").map(str::to_lowercase);
    let world = call.world();
    let shown: Vec<&Value> = world
        .service_tokens
        .iter()
        .filter(|token| call.query("name").is_none_or(|name| token["name"] == name))
        .filter(|token| {
            search.as_ref().is_none_or(|part| {
                let name = token["name"].as_str().unwrap_or_default();
                name.to_lowercase().contains(part)
            })
        })
        .collect();
    listed(asked.cut(&shown, |token| *token))
}
