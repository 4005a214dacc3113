//! The Access groups of the account: the hand-written ones, and as many teams as are asked for.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::config::SandboxConfig;
use crate::ids::{Ids, uuid_of};
use crate::world::access_user::AccessUser;
use crate::world::gateway_list::{CONTRACTOR_LIST, list_id};
use crate::world::people::{DOMAIN, Part};
use crate::world::provider::identity_provider_id;
use crate::world::rules::{RuleSource, Rules};

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
