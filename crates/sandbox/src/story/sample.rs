//! One record of each dataset with every field that it has.

use chrono::DateTime;
use serde_json::Value;

use crate::catalog::{AI_SITE, ORDINARY};
use crate::config::SandboxConfig;
use crate::ids::Ids;
use crate::logpush::record::Item;
use crate::story::script::Script;
use crate::story::{account, gateway, week};
use crate::world::{World, people};

/// A record of a dataset with all fields; `None` for datasets without events in the story.
pub(crate) fn sample(dataset: &str) -> Option<Value> {
    let config = SandboxConfig {
        members: 1,
        access_users: 1,
        groups: 0,
        ..SandboxConfig::default()
    };
    let at = DateTime::UNIX_EPOCH;
    let world = World::new(&config, at);
    let mut script = Script::new(Ids::new(0, "sample"), &world, &people::cast(0));
    let actor = script.actor(people::Part::Owner);
    script.dns(&actor, at, &ORDINARY[0], (1, "A"), week::ALLOWED);
    script.http(&actor, at, &AI_SITE, &gateway::Request::default());
    script.login(&actor, at, true, "okta");
    script.toggle(&actor, at, true);
    let mail = account::Mail {
        from: "",
        from_name: "",
        subject: "",
        disposition: "bulk",
        links: &[],
        threats: &[],
    };
    script.mail(&actor, at, &mail);
    let change = account::Change {
        action: "view",
        description: "",
        method: "GET",
        path: "",
        product: "",
        resource_type: "",
        request: Value::Null,
    };
    script.change(&actor, at, &change);
    script.items.into_iter().find_map(|item| match item {
        Item::Event(event) if event.dataset == dataset => Some(event.record),
        _ => None,
    })
}
