//! `tokens`: the API tokens that the account itself owns (read only). Secrets are never listed.

use serde_json::Value;

use crate::call::Call;
use crate::envelope::{Answer, IAM_PAGES, listed};
use crate::permissions::TOKENS_READ;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/accounts/{account_id}/tokens", list)]
}

async fn list(call: Call) -> Answer {
    call.needs(TOKENS_READ)?;
    let asked = call.page(IAM_PAGES)?;
    let world = call.world();
    let mut shown: Vec<&Value> = world.account_tokens.iter().collect();
    if call.query("direction") == Some("desc") {
        shown.reverse();
    }
    listed(asked.cut(&shown, |token| *token))
}
