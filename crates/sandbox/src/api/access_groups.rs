//! `access/groups`: named sets of Access rules. Membership is never stored; it follows from the rules.
//!
//! PUT replaces the whole group: fields that are missing from the body are lost. Rules are stored as received, so
//! unknown selectors survive.

use serde_json::{Value, json};

use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::envelope::{Answer, Refusal, accepted, access_pages, created, found, listed};
use crate::permissions::{GROUPS_READ, GROUPS_WRITE};
use crate::route::Route;
use crate::world::World;

pub(crate) fn routes() -> Vec<Route> {
    const LIST: &str = "/accounts/{account_id}/access/groups";
    const ONE: &str = "/accounts/{account_id}/access/groups/{group_id}";
    vec![
        Route::get(LIST, list),
        Route::post(LIST, create),
        Route::get(ONE, get),
        Route::put(ONE, replace),
        Route::delete(ONE, remove),
    ]
}

async fn list(call: Call) -> Answer {
    call.needs(GROUPS_READ)?;
    let asked = call.page(access_pages(1000))?;
    let search = call.query("search").map(str::to_lowercase);
    let world = call.world();
    let shown: Vec<&Value> = world
        .access_groups
        .iter()
        .filter(|group| call.query("name").is_none_or(|name| group["name"] == name))
        .filter(|group| {
            search.as_ref().is_none_or(|search| {
                let name = group["name"].as_str().unwrap_or_default();
                name.to_lowercase().contains(search)
            })
        })
        .collect();
    listed(asked.cut(&shown, |group| *group))
}

async fn create(call: Call, Body(body): Body) -> Answer {
    call.needs(GROUPS_WRITE)?;
    let mut group = group_given(&body)?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    let id = world.ids.uuid();
    group["id"] = json!(id);
    group["uid"] = json!(id);
    group["created_at"] = json!(now);
    group["updated_at"] = json!(now);
    world.access_groups.push(group.clone());
    created(group)
}

async fn get(call: Call) -> Answer {
    call.needs(GROUPS_READ)?;
    let mut world = call.world();
    let at = position(&call, &world)?;
    let answer = found(&world.access_groups[at]);
    if let Some(rule) = call.shared.faults.rule_added(call.path("group_id")) {
        let group = &mut world.access_groups[at];
        group["updated_at"] = json!(rfc3339(call.now()));
        if let Some(include) = group["include"].as_array_mut() {
            include.push(rule);
        }
    }
    answer
}

async fn replace(call: Call, Body(body): Body) -> Answer {
    call.needs(GROUPS_WRITE)?;
    let mut group = group_given(&body)?;
    let now = rfc3339(call.now());
    let mut world = call.world();
    let at = position(&call, &world)?;
    for kept in ["id", "uid", "created_at"] {
        group[kept] = world.access_groups[at][kept].clone();
    }
    group["updated_at"] = json!(now);
    let mut before = std::mem::replace(&mut world.access_groups[at], group.clone());
    if call.shared.faults.write_is_lost(call.path("group_id")) {
        before["updated_at"] = json!(now);
        world.access_groups[at] = before;
    }
    found(group)
}

async fn remove(call: Call) -> Answer {
    call.needs(GROUPS_WRITE)?;
    let mut world = call.world();
    let at = position(&call, &world)?;
    let id = world.access_groups[at]["id"].clone();
    let nested = json!({ "group": { "id": id } });
    let used = |object: &Value| {
        ["include", "exclude", "require"].iter().any(|rules| {
            object[*rules]
                .as_array()
                .is_some_and(|rules| rules.contains(&nested))
        })
    };
    let in_apps = world
        .access_apps
        .iter()
        .flat_map(|app| app["policies"].as_array().into_iter().flatten());
    let mut holders = world
        .access_groups
        .iter()
        .chain(&world.access_policies)
        .chain(in_apps);
    if holders.any(used) {
        return Err(Refusal::bad_request(12140, "access.api.error.group_in_use"));
    }
    world.access_groups.remove(at);
    accepted(json!({ "id": id }))
}

fn position(call: &Call, world: &World) -> Result<usize, Refusal> {
    let id = call.path("group_id");
    world
        .access_groups
        .iter()
        .position(|group| group["id"] == id)
        .ok_or_else(|| Refusal::not_found(12141, "access.api.error.failed_to_load_group"))
}

/// The group that a body defines: fields that it omits are empty.
fn group_given(body: &Value) -> Result<Value, Refusal> {
    let mut group = json!({});
    let name = body["name"].as_str().filter(|name| !name.is_empty());
    group["name"] = json!(name.ok_or_else(|| invalid("name is required"))?);
    for rules in ["include", "exclude", "require"] {
        group[rules] = rules_given(body, rules)?;
    }
    if let Some(is_default) = body.get("is_default") {
        group["is_default"] = is_default.clone();
    }
    Ok(group)
}

/// One of the three lists of rules; each rule is an object with one key. `include` must have at least one.
pub(crate) fn rules_given(body: &Value, name: &str) -> Result<Value, Refusal> {
    let rules = match body.get(name) {
        None | Some(Value::Null) if name != "include" => return Ok(json!([])),
        Some(Value::Array(rules)) => rules,
        _ => return Err(invalid(&format!("{name} must be a list of rules"))),
    };
    if name == "include" && rules.is_empty() {
        return Err(invalid("include must have at least one rule"));
    }
    for rule in rules {
        let one_key = rule
            .as_object()
            .is_some_and(|rule| rule.len() == 1 && rule.values().all(Value::is_object));
        if !one_key {
            return Err(invalid(&format!(
                "a rule of {name} must be an object with one selector"
            )));
        }
    }
    Ok(json!(rules))
}

fn invalid(why: &str) -> Refusal {
    Refusal::bad_request(12130, format!("access.api.error.invalid_request: {why}"))
}
