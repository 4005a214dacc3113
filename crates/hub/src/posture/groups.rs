//! Checks of Access groups.

use super::check::{Check, Finding, Judged, Unknown};
use super::facts::{Facts, Known, Object};
use crate::access::rule::Selector;
use crate::access::view::nested_in;
use model::Severity;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Addresses that evidence names. Chosen: enough to begin with.
const NAMED: usize = 20;
/// Groups nested deeper than this are not followed.
const DEPTH_MAX: usize = 16;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "group_empty",
        severity: Severity::Medium,
        question: "Can every Access group have members?",
        lists: &["access_groups", "list_items"],
        besides: "",
        unknown: "Unknown for a group if its Include rules reference lists or groups that were not read. \
             Reports only groups that cannot admit anyone, not groups that currently have no members.",
        remedy: "In Zero Trust > Access > Rule groups, add members to the group or delete it.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_group: include"),
        frameworks: &["ISO 27001 A.5.15", "ISO 27001 A.5.18"],
        ask: somebody_in_each,
    },
    Check {
        id: "group_unused",
        severity: Severity::Medium,
        question: "Is every Access group used by a policy, application or other group?",
        lists: &["access_groups", "apps", "policies"],
        besides: "",
        unknown: "The default group always counts as used. Gateway rules are not checked.",
        remedy: "Check that no Gateway rule uses the group, then delete it in Zero Trust > Access > \
             Rule groups.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_group"),
        frameworks: &["SOC 2 CC6.3", "ISO 27001 A.5.18"],
        ask: all_used,
    },
    Check {
        id: "group_email_not_in_directory",
        severity: Severity::Medium,
        question: "Does every email address in an Access group belong to a known person?",
        lists: &["access_groups", "access_users", "members"],
        besides: "aliases",
        unknown: "People who have never signed in are in no list of the account and are also reported.",
        remedy: "In Zero Trust > Access > Rule groups, remove the address if you cannot identify its owner.",
        command: Some("flareward grants list --kind access-group --entitlement SUBJECT --connection LABEL"),
        terraform: Some("cloudflare_zero_trust_access_group: include"),
        frameworks: &[
            "SOC 2 CC6.2",
            "SOC 2 CC6.3",
            "ISO 27001 A.5.16",
            "ISO 27001 A.5.18",
        ],
        ask: addresses_known,
    },
    Check {
        id: "duplicate_group_membership",
        severity: Severity::Low,
        question: "Is every email address listed only once per Access group, so that removing it \
             revokes access?",
        lists: &["access_groups"],
        besides: "",
        unknown: "Nested groups that are not listed are ignored.",
        remedy: "In Zero Trust > Access > Rule groups, keep only one of the rules that list the address.",
        command: None,
        terraform: Some("cloudflare_zero_trust_access_group: include"),
        frameworks: &["ISO 27001 A.5.18"],
        ask: named_once,
    },
];

fn rules<'a>(raw: &'a Value, name: &str) -> &'a [Value] {
    raw[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The addresses that `include` names, in lower case, as often as it does.
fn addresses(group: &Object) -> impl Iterator<Item = Box<str>> {
    rules(&group.raw, "include")
        .iter()
        .filter_map(|rule| match Selector::read(rule) {
            Selector::Email(address) => Some(address),
            _ => None,
        })
}

fn finding(severity: Severity, group: &Object, summary: impl Into<String>) -> Finding {
    Finding::new(severity, "access_group", &group.id, &group.name, summary)
}

/// Whether nobody can be in.
fn is_empty(facts: &Facts, raw: &Value, depth: usize) -> Known<bool> {
    if depth > DEPTH_MAX {
        return Err(Unknown("groups are nested too deeply to evaluate".to_owned()));
    }
    let mut unknown = None;
    for rule in rules(raw, "include") {
        let empty = match Selector::read(rule) {
            Selector::EmailList(id) => facts.list_items.as_ref().map_err(Clone::clone).and_then(|lists| {
                lists
                    .iter()
                    .find(|list| list.id.eq_ignore_ascii_case(&id))
                    .map(|list| rules(&list.raw, "items").is_empty())
                    .ok_or_else(|| Unknown(format!("the Zero Trust list {id} was not read")))
            }),
            Selector::Group(id) => facts
                .group(&id)
                .and_then(|group| is_empty(facts, &group.raw, depth + 1)),
            _ => Ok(false),
        };
        match empty {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(reason) => unknown = Some(reason),
        }
    }
    unknown.map_or(Ok(true), Err)
}

fn somebody_in_each(facts: &Facts) -> Result<Judged, Unknown> {
    let mut judged = Judged::default();
    for group in facts.groups()? {
        match is_empty(facts, &group.raw, 0) {
            Ok(true) => {
                let summary = "cannot have members: it includes nothing, or only empty lists and groups";
                judged.found.push(finding(Severity::Medium, group, summary));
            }
            Ok(false) => {}
            Err(Unknown(reason)) => judged.unsure("access_group", &group.id, reason),
        }
    }
    Ok(judged)
}

/// The groups that a group, a policy, or a policy of an application names, in lower case.
fn named(raw: &Value) -> impl Iterator<Item = String> {
    let mut all = nested_in(raw);
    all.extend(rules(raw, "policies").iter().flat_map(nested_in));
    all.into_iter().map(|id| id.to_lowercase())
}

fn all_used(facts: &Facts) -> Result<Judged, Unknown> {
    let groups = facts.groups()?;
    let used: HashSet<String> = facts
        .apps()?
        .iter()
        .chain(facts.policies()?)
        .flat_map(|object| named(&object.raw))
        .chain(groups.iter().flat_map(|group| {
            // A group that names itself is not used by that.
            let own = group.id.to_lowercase();
            named(&group.raw).filter(move |id| *id != own)
        }))
        .collect();
    let mut judged = Judged::default();
    for group in groups {
        if group.raw["is_default"] != true && !used.contains(&group.id.to_lowercase()) {
            let summary = "not used by any policy, application or other group";
            judged.found.push(finding(Severity::Medium, group, summary));
        }
    }
    Ok(judged)
}

fn addresses_known(facts: &Facts) -> Result<Judged, Unknown> {
    let lower = |address: &str| model::address::compared(address);
    let mut known: HashSet<String> = facts
        .access_users()?
        .iter()
        .map(|user| lower(&user.email))
        .collect();
    known.extend(facts.members()?.iter().map(|member| lower(&member.email)));
    let mut judged = Judged::default();
    for group in facts.groups()? {
        let strangers: BTreeSet<Box<str>> = addresses(group)
            .filter(|address| !known.contains(&**address) && !facts.aliases.contains(&**address))
            .collect();
        if !strangers.is_empty() {
            let shown: Vec<&str> = strangers.iter().take(NAMED).map(|address| &**address).collect();
            let summary = match strangers.len() {
                1 => format!("lists the unknown address {}", shown[0]),
                many => format!("lists {many} unknown addresses, including {}", shown[0]),
            };
            judged.found.push(
                finding(Severity::Medium, group, summary)
                    .with("count", strangers.len())
                    .with("addresses", shown),
            );
        }
    }
    Ok(judged)
}

fn named_once(facts: &Facts) -> Result<Judged, Unknown> {
    let groups = facts.groups()?;
    let by_id: HashMap<String, &Object> = groups
        .iter()
        .map(|group| (group.id.to_lowercase(), group))
        .collect();
    let mut judged = Judged::default();
    for group in groups {
        let mut seen = HashSet::new();
        let mut twice: BTreeSet<Box<str>> = addresses(group)
            .filter(|address| !seen.insert(address.clone()))
            .collect();
        // Those in a group that this one includes are in already.
        let mut waiting: Vec<Value> = rules(&group.raw, "include").to_vec();
        let mut visited = HashSet::from([group.id.to_lowercase()]);
        while let Some(rule) = waiting.pop() {
            let Selector::Group(id) = Selector::read(&rule) else {
                continue;
            };
            let id = id.to_lowercase();
            if let Some(nested) = by_id.get(&id).filter(|_| visited.insert(id.clone())) {
                // What a nested group asks beside may keep some of its addresses out.
                let is_plain =
                    rules(&nested.raw, "require").is_empty() && rules(&nested.raw, "exclude").is_empty();
                if is_plain {
                    twice.extend(addresses(nested).filter(|address| seen.contains(address)));
                    waiting.extend(rules(&nested.raw, "include").iter().cloned());
                }
            }
        }
        if !twice.is_empty() {
            let shown: Vec<&str> = twice.iter().take(NAMED).map(|address| &**address).collect();
            let summary = match twice.len() {
                1 => format!("lists {} twice, directly or through a nested group", shown[0]),
                many => format!("lists {many} addresses twice, directly or through a nested group"),
            };
            judged.found.push(
                finding(Severity::Low, group, summary)
                    .with("count", twice.len())
                    .with("addresses", shown),
            );
        }
    }
    Ok(judged)
}
