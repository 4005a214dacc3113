//! `access/groups`: named sets of Access rules. Membership is never stored; it follows from the rules.
//!
//! PUT replaces the whole group: fields that are missing from the body are lost. Rules are stored as received, so
//! unknown selectors survive.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::access_rules::{RuleSource, Rules};
use crate::access_users::AccessUser;
use crate::call::{Body, Call};
use crate::clock::rfc3339;
use crate::config::SandboxConfig;
use crate::envelope::{Answer, Refusal, accepted, access_pages, created, found, listed};
use crate::gateway_lists::{CONTRACTOR_LIST, list_id};
use crate::ids::{Ids, uuid_of};
use crate::people::{DOMAIN, Part};
use crate::permissions::{GROUPS_READ, GROUPS_WRITE};
use crate::server::Route;
use crate::world::{World, identity_provider_id};

/// The hand-written groups first, then generated teams up to the requested number.
pub(crate) fn groups(
    config: &SandboxConfig,
    users: &[AccessUser],
    source: &RuleSource<'_>,
    now: DateTime<Utc>,
) -> Vec<Value> {
    let mut ids = Ids::new(config.seed, "groups");
    let okta = identity_provider_id("okta");
    let email = |part: Part| {
        let user = users.iter().find(|user| user.part == part).or(users.first());
        json!({ "email": { "email": user.map_or("", |user| user.email.as_str()) } })
    };
    let staff = json!({ "email_domain": { "domain": DOMAIN } });
    let engineering_id = ids.uuid();
    let mut groups = vec![
        (
            ids.uuid(),
            "All staff",
            vec![staff.clone()],
            vec![email(Part::LockedOut)],
            vec![],
        ),
        (
            ids.uuid(),
            "Finance",
            vec![
                email(Part::LinkClicker),
                email(Part::AiUploader),
                email(Part::PhishingMeeter),
            ],
            vec![],
            vec![],
        ),
        (
            engineering_id.clone(),
            "Engineering",
            vec![json!({ "okta": { "name": "Engineering", "identity_provider_id": okta } })],
            vec![],
            vec![],
        ),
        (
            ids.uuid(),
            "On call",
            vec![json!({ "group": { "id": engineering_id } }), email(Part::Owner)],
            vec![email(Part::Infected)],
            vec![json!({ "auth_method": { "auth_method": "mfa" } })],
        ),
        (
            ids.uuid(),
            "Anyone",
            vec![json!({ "everyone": {} })],
            vec![],
            vec![],
        ),
        (
            ids.uuid(),
            "Continental offices",
            vec![
                json!({ "geo": { "country_code": "FR" } }),
                json!({ "geo": { "country_code": "DE" } }),
            ],
            vec![],
            vec![staff.clone()],
        ),
        (
            ids.uuid(),
            "Managed laptops",
            vec![staff.clone()],
            vec![],
            vec![json!({ "device_posture": { "integration_uid": uuid_of("posture: disk encryption") } })],
        ),
        (
            ids.uuid(),
            "Head office network",
            vec![json!({ "ip": { "ip": "198.18.0.0/24" } })],
            vec![],
            vec![],
        ),
        (
            ids.uuid(),
            "Administrators",
            vec![email(Part::Owner), email(Part::LogpushRemover)],
            vec![json!({ "user_risk_score": { "user_risk_score": ["high"] } })],
            vec![json!({ "login_method": { "id": okta } })],
        ),
        (
            ids.uuid(),
            "Contractors",
            vec![
                json!({ "email_list": { "id": list_id(CONTRACTOR_LIST) } }),
                json!({ "certificate": {} }),
            ],
            vec![],
            vec![],
        ),
        (
            ids.uuid(),
            "Badge pilot",
            // A selector newer than any client: it has to survive a change of the group.
            vec![
                json!({ "office_badge": { "badge": "violet" } }),
                email(Part::Owner),
            ],
            vec![],
            vec![],
        ),
    ];
    groups.truncate(config.groups);
    let mut groups: Vec<Value> = groups
        .into_iter()
        .map(|(id, name, include, exclude, require)| {
            let created = now - TimeDelta::days(ids.between(30, 400));
            json!({
                "id": id, "uid": id, "name": name, "include": include, "exclude": exclude, "require": require,
                "created_at": rfc3339(created), "updated_at": rfc3339(created + TimeDelta::days(3)),
            })
        })
        .collect();
    for number in groups.len()..config.groups {
        let id = ids.uuid();
        let rules = match config.rules_per_group {
            Some(size) => {
                let mut ids = Ids::new(config.seed, &format!("team {number}"));
                source.team(&mut ids, number, size, &groups)
            }
            None => Rules {
                include: (0..=ids.below(8))
                    .filter(|_| !users.is_empty())
                    .map(|_| json!({ "email": { "email": ids.pick(users).email } }))
                    .collect(),
                exclude: Vec::new(),
                require: Vec::new(),
            },
        };
        let created = rfc3339(now - TimeDelta::days(ids.between(30, 400)));
        groups.push(json!({
            "id": id, "uid": id, "name": format!("Team {number}"), "include": rules.include, "exclude": rules.exclude,
            "require": rules.require, "created_at": created, "updated_at": created,
        }));
    }
    groups
}

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
