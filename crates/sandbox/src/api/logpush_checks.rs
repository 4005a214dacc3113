//! The validation calls of Logpush: destinations, ownership, the old option string, and the metadata boundary.

use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::envelope::{Answer, Refusal, found};
use crate::ids::hex32_of;
use crate::logpush::destination::Destination;
use crate::permissions::{LOGS_READ, LOGS_WRITE};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    const BOUNDARY: &str = "/accounts/{account_id}/logs/control/cmb/config";
    vec![
        Route::post("/accounts/{account_id}/logpush/validate/destination", destination),
        Route::post(
            "/accounts/{account_id}/logpush/validate/destination/exists",
            destination_exists,
        ),
        Route::post("/accounts/{account_id}/logpush/validate/origin", origin),
        Route::post("/accounts/{account_id}/logpush/ownership", ownership),
        Route::post(
            "/accounts/{account_id}/logpush/ownership/validate",
            ownership_validate,
        ),
        Route::get(BOUNDARY, boundary),
        Route::post(BOUNDARY, boundary_set),
        Route::delete(BOUNDARY, boundary_remove),
    ]
}

fn given<'a>(body: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    body[key]
        .as_str()
        .ok_or_else(|| Refusal::bad_request(1400, format!("{key} is required")))
}

async fn destination(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let destination = Destination::parse(
        given(&body, "destination_conf")?,
        call.shared.config.allow_any_destination,
    );
    let message = match destination {
        Ok(destination) => destination.test(&call.shared).await.err(),
        Err(why) => Some(format!("error validating destination: {why}")),
    };
    found(json!({ "valid": message.is_none(), "message": message.unwrap_or_default() }))
}

async fn destination_exists(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let destination_conf = given(&body, "destination_conf")?;
    found(
        json!({ "exists": call.world().logpush_jobs.iter().any(|job| job.destination_conf == destination_conf) }),
    )
}

async fn origin(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    given(&body, "logpull_options")?;
    found(json!({ "valid": true, "message": "" }))
}

/// The content of the ownership challenge file at the destination.
fn challenge(destination_conf: &str) -> String {
    hex32_of(&format!("ownership of {destination_conf}"))
}

async fn ownership(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let destination_conf = given(&body, "destination_conf")?;
    let destination = Destination::parse(destination_conf, call.shared.config.allow_any_destination)
        .map_err(|why| Refusal::bad_request(1002, format!("error validating destination: {why}")))?;
    let uploaded = destination
        .upload(&call.shared, &challenge(destination_conf))
        .await;
    uploaded.map_err(|why| Refusal::bad_request(1002, format!("error validating destination: {why}")))?;
    found(json!({ "filename": "ownership-challenge.txt", "valid": true, "message": "" }))
}

async fn ownership_validate(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let expected = challenge(given(&body, "destination_conf")?);
    found(json!({ "valid": given(&body, "ownership_challenge")? == expected }))
}

async fn boundary(call: Call) -> Answer {
    call.needs(LOGS_READ)?;
    found(&call.world().metadata_boundary)
}

async fn boundary_set(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let boundary = json!({
        "regions": body["regions"].as_str().unwrap_or_default(),
        "allow_out_of_region_access": body["allow_out_of_region_access"].as_bool().unwrap_or(false),
    });
    call.world().metadata_boundary = Some(boundary.clone());
    found(boundary)
}

async fn boundary_remove(call: Call) -> Answer {
    call.needs(LOGS_WRITE)?;
    call.world().metadata_boundary = None;
    found(Value::Null)
}
