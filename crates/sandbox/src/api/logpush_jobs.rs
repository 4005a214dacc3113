//! `logpush/jobs`: which dataset is exported where. GET returns destinations with their secrets, as Cloudflare does.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::credential::Credential;
use crate::envelope::{Answer, Refusal, found};
use crate::logpush::datasets::{self, has_personal_data};
use crate::logpush::destination::Destination;
use crate::permissions::{LOGS_READ, LOGS_WRITE, PII_READ};
use crate::route::Route;
use crate::story::sample::sample;
use crate::world::World;
use crate::world::logpush_job::Job;

/// Applies the fields of a body after validation; all other fields are unchanged.
fn apply(job: &mut Job, body: &Value, added: &[String]) -> Result<(), Refusal> {
    if let Some(destination_conf) = body.get("destination_conf") {
        let text = destination_conf
            .as_str()
            .ok_or_else(|| invalid("destination_conf must be a string"))?;
        text.clone_into(&mut job.destination_conf);
    }
    if let Some(enabled) = body.get("enabled") {
        job.enabled = enabled
            .as_bool()
            .ok_or_else(|| invalid("enabled must be true or false"))?;
    }
    if let Some(options) = body.get("output_options") {
        check_output_options(options, &job.dataset, added)?;
        job.output_options = options.clone();
    }
    // A job that asked for less than everything would be told everything here, so it is refused.
    if body["filter"]
        .as_str()
        .is_some_and(|filter| !filter.is_empty() && filter != "{\"where\":{}}")
    {
        return Err(invalid("filter is not supported by the sandbox"));
    }
    for (key, min, max) in [
        ("max_upload_bytes", 5_000_000, 1_000_000_000),
        ("max_upload_interval_seconds", 30, 300),
        ("max_upload_records", 1_000, 1_000_000),
    ] {
        match body.get(key) {
            None => {}
            Some(value)
                if value.is_null() || value.as_u64().is_some_and(|n| n == 0 || (min..=max).contains(&n)) =>
            {
                job.settings[key] = value.clone();
            }
            Some(_) => return Err(invalid(&format!("{key} must be 0 or between {min} and {max}"))),
        }
    }
    for key in ["name", "kind", "frequency", "logpull_options"] {
        if let Some(value) = body.get(key) {
            job.settings[key] = value.clone();
        }
    }
    Ok(())
}

/// `added` are fields of the dataset that its records do not contain.
fn check_output_options(options: &Value, dataset: &str, added: &[String]) -> Result<(), Refusal> {
    if options.is_null() {
        return Ok(());
    }
    let format = options["timestamp_format"].as_str().unwrap_or("unixnano");
    if !["unixnano", "unix", "rfc3339", "rfc3339ms", "rfc3339ns"].contains(&format) {
        return Err(invalid(&format!("unknown timestamp_format {format}")));
    }
    if options["output_type"]
        .as_str()
        .is_some_and(|kind| kind != "ndjson")
    {
        return Err(invalid("the sandbox writes ndjson only"));
    }
    if options["sample_rate"]
        .as_f64()
        .is_some_and(|rate| rate > 0.0 && rate < 1.0)
    {
        return Err(invalid("the sandbox does not sample"));
    }
    let known = sample(dataset);
    for name in options["field_names"].as_array().into_iter().flatten() {
        let name = name
            .as_str()
            .ok_or_else(|| invalid("field_names must be strings"))?;
        let is_added = added.iter().any(|field| field == name);
        if !is_added && known.as_ref().is_some_and(|record| record.get(name).is_none()) {
            return Err(invalid(&format!("field {name} is not a field of {dataset}")));
        }
    }
    Ok(())
}

pub(crate) fn routes() -> Vec<Route> {
    const LIST: &str = "/accounts/{account_id}/logpush/jobs";
    const ONE: &str = "/accounts/{account_id}/logpush/jobs/{job_id}";
    vec![
        Route::get(LIST, list),
        Route::post(LIST, create),
        Route::get(ONE, get),
        Route::put(ONE, change),
        Route::delete(ONE, remove),
        Route::get(
            "/accounts/{account_id}/logpush/datasets/{dataset_id}/jobs",
            of_dataset,
        ),
        Route::get(
            "/accounts/{account_id}/logpush/datasets/{dataset_id}/fields",
            fields,
        ),
    ]
}

/// Jobs of datasets about people require a second permission, and have their own error message.
fn allowed(call: &Call, doing: &str, dataset: &str) -> Result<(), Refusal> {
    if !has_personal_data(dataset) || call.credential == Credential::Key || call.has(PII_READ) {
        return Ok(());
    }
    let message = format!("{doing} job for product '{dataset}' is not allowed");
    Err(Refusal::new(StatusCode::FORBIDDEN, 1004, message))
}

async fn list(call: Call) -> Answer {
    call.needs(LOGS_WRITE)?;
    shown(&call, |_| true)
}

async fn of_dataset(call: Call) -> Answer {
    call.needs(LOGS_WRITE)?;
    dataset_known(call.path("dataset_id"))?;
    shown(&call, |job| job.dataset == call.path("dataset_id"))
}

fn shown(call: &Call, wanted: impl Fn(&Job) -> bool) -> Answer {
    let world = call.world();
    let jobs: Vec<&Job> = world.logpush_jobs.iter().filter(|job| wanted(job)).collect();
    for job in &jobs {
        allowed(call, "reading", &job.dataset)?;
    }
    found(jobs.iter().map(|job| job.to_json()).collect::<Vec<_>>())
}

async fn create(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let dataset = body["dataset"].as_str().unwrap_or("http_requests");
    offered(&call, dataset)?;
    allowed(&call, "creating", dataset)?;
    if !body["destination_conf"].is_string() {
        return Err(invalid("destination_conf is required"));
    }
    let mut job = Job {
        id: 0,
        dataset: dataset.to_owned(),
        enabled: false,
        destination_conf: String::new(),
        output_options: Value::Null,
        settings: json!({ "name": null, "kind": "", "frequency": "high", "logpull_options": null }),
        last_complete: None,
        last_error: None,
        error_message: None,
    };
    let added = added_fields(&call.world(), dataset);
    apply(&mut job, &body, &added)?;
    check_destination(&call, &job).await?;
    let mut world = call.world();
    world.last_job_id += 1;
    job.id = world.last_job_id;
    let answer = job.to_json();
    world.logpush_jobs.push(job);
    found(answer)
}

/// Before a job is enabled, tests that its destination accepts logs.
async fn check_destination(call: &Call, job: &Job) -> Result<(), Refusal> {
    if !job.enabled {
        return Ok(());
    }
    let refused = |why: String| Refusal::bad_request(1002, why);
    let destination = Destination::parse(&job.destination_conf, call.shared.config.allow_any_destination)
        .map_err(|why| refused(format!("error validating destination: {why}")))?;
    destination.test(&call.shared).await.map_err(refused)
}

async fn get(call: Call) -> Answer {
    call.needs(LOGS_WRITE)?;
    let world = call.world();
    let job = &world.logpush_jobs[position(&call, &world)?];
    allowed(&call, "reading", &job.dataset)?;
    found(job.to_json())
}

async fn change(call: Call, Body(body): Body) -> Answer {
    call.needs(LOGS_WRITE)?;
    let mut changed = {
        let world = call.world();
        world.logpush_jobs[position(&call, &world)?].clone()
    };
    allowed(&call, "updating", &changed.dataset)?;
    if body
        .get("dataset")
        .is_some_and(|dataset| *dataset != changed.dataset.as_str())
    {
        return Err(invalid("the dataset of a job cannot be changed"));
    }
    let before = (changed.enabled, changed.destination_conf.clone());
    let added = added_fields(&call.world(), &changed.dataset);
    apply(&mut changed, &body, &added)?;
    if before != (changed.enabled, changed.destination_conf.clone()) {
        check_destination(&call, &changed).await?;
    }
    let mut world = call.world();
    let at = position(&call, &world)?;
    // Deliveries went on while the destination was tried.
    let current = &world.logpush_jobs[at];
    changed.last_complete = current.last_complete;
    changed.last_error = current.last_error;
    changed.error_message.clone_from(&current.error_message);
    let answer = changed.to_json();
    world.logpush_jobs[at] = changed;
    found(answer)
}

async fn remove(call: Call) -> Answer {
    call.needs(LOGS_WRITE)?;
    let mut world = call.world();
    let at = position(&call, &world)?;
    allowed(&call, "deleting", &world.logpush_jobs[at].dataset)?;
    let job = world.logpush_jobs.remove(at);
    found(json!({ "id": job.id }))
}

async fn fields(call: Call) -> Answer {
    call.needs(LOGS_READ)?;
    let dataset = call.path("dataset_id");
    offered(&call, dataset)?;
    let mut fields = datasets::fields(dataset, sample(dataset).as_ref());
    for field in added_fields(&call.world(), dataset) {
        fields[&field] = json!(format!("{field} of a record of {dataset}"));
    }
    found(fields)
}

fn added_fields(world: &World, dataset: &str) -> Vec<String> {
    let added = world.logpush_added_fields.iter();
    added
        .filter(|(of, _)| of == dataset)
        .map(|(_, field)| field.clone())
        .collect()
}

/// A dataset that Cloudflare knows may still not be in the account's plan.
fn offered(call: &Call, dataset: &str) -> Result<(), Refusal> {
    dataset_known(dataset)?;
    if call
        .world()
        .logpush_withheld
        .iter()
        .any(|withheld| withheld == dataset)
    {
        return Err(invalid(&format!(
            "dataset {dataset} is not available to this account"
        )));
    }
    Ok(())
}

fn position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id: u64 = call
        .path("job_id")
        .parse()
        .map_err(|_| invalid("job_id must be a number"))?;
    let at = world.logpush_jobs.iter().position(|job| job.id == id);
    at.ok_or_else(|| Refusal::not_found(1003, "job not found"))
}

fn dataset_known(dataset: &str) -> Result<(), Refusal> {
    if datasets::ACCEPTED.contains(&dataset) {
        return Ok(());
    }
    Err(invalid(&format!("unsupported dataset: {dataset}")))
}

fn invalid(why: &str) -> Refusal {
    Refusal::bad_request(1400, why)
}
