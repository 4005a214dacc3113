//! Access groups: who is named by a group's rules.
//!
//! A PUT replaces the whole group, so what is sent is what Cloudflare gave, with every key that it gave, and one
//! rule more or less. Plans are made from the group as it is at that moment, never from the stored copy.

use super::ProvisionError;
use super::context::RequestContext;
use super::plan::{Effect, Guard, Plan};
use super::request::Request;
use crate::access::Verdict;
use crate::access::account::Account;
use crate::access::rule::{Selector, in_words};
use crate::access::subject::Subject;
use crate::access::view;
use cloudflare::{CloudflareError, Write};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What Cloudflare adds to a group itself and takes from nobody.
const SERVER_KEYS: [&str; 4] = ["id", "uid", "created_at", "updated_at"];

/// Plans a change of an Access group.
pub(super) async fn plan(context: &RequestContext<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let (Request::GroupGrant { group, email, .. }
    | Request::GroupRevoke { group, email, .. }
    | Request::GroupUnexclude { group, email, .. }) = request
    else {
        return Err(ProvisionError::NotHere);
    };
    let mut plan = Plan::new(request, &context.connection.label, "group");
    plan.object_id.clone_from(group);
    let raw = match context.client.access_group(&context.account, group).await {
        Ok(raw) => raw,
        Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => {
            return Ok(plan.refused(
                Guard::WrongState,
                "the group no longer exists: run `flareward sync`",
            ));
        }
        Err(source) => return Err(context.failed(source)),
    };
    plan.object_name = raw["name"].as_str().unwrap_or_default().to_owned();
    plan.before = raw.clone();
    let subject = context.subject(email).await?;
    let before = Judged::load(context, group, &raw).await?;
    match request {
        Request::GroupGrant { .. } => {
            if !subject.is_known && !context.options.unknown_person {
                return Ok(plan.refused(
                    Guard::UnknownPerson,
                    format!(
                        "no known person has the address {email}: check the spelling, or allow new \
                             people (`--new-person`; in the API, `unknown_person`)"
                    ),
                ));
            }
            grant(context, plan, &before, &raw, &subject.subject, email).await
        }
        Request::GroupUnexclude { .. } => {
            let after = without(&raw, "exclude", &subject.subject);
            if after == raw {
                return Ok(plan.already(format!("{email} is not excluded by address")));
            }
            plan.undo = Some(Request::GroupRevoke {
                connection: request.connection().clone(),
                group: group.clone(),
                email: email.clone(),
                by_exclusion: true,
                keeps_rules: true,
            });
            plan.summary = format!("remove the exclusion of {email} from {}", plan.object_name);
            write(plan, group, after)
        }
        Request::GroupRevoke {
            by_exclusion,
            keeps_rules,
            ..
        } => {
            let way = match (by_exclusion, keeps_rules) {
                (false, _) => Way::Rule,
                (true, false) => Way::Exclusion,
                (true, true) => Way::ExclusionAlone,
            };
            revoke(context, plan, &before, &raw, &subject.subject, email, way).await
        }
        _ => Err(ProvisionError::NotHere),
    }
}

async fn grant(
    context: &RequestContext<'_>,
    mut plan: Plan,
    before: &Judged,
    raw: &Value,
    subject: &Subject,
    email: &str,
) -> Result<Plan, ProvisionError> {
    plan.summary = format!("add {email} to the Access group {}", plan.object_name);
    let (verdict, via) = before.group(subject);
    if verdict == Verdict::Yes {
        return Ok(plan.already(format!("{email} is already a member: {}", via.join(", "))));
    }
    let is_named = names_someone(raw, "include", subject);
    if is_named && verdict != Verdict::No {
        plan.remains = via.into_iter().skip(1).collect();
        return Ok(plan.already(format!(
            "a rule already names {email}; whether it admits them is not certain"
        )));
    }
    let mut after = raw.clone();
    if !is_named {
        rules_mut(&mut after, "include").push(json!({ "email": { "email": email } }));
    }
    let judged = Judged::load(context, &plan.object_id, &after).await?;
    let (verdict, via) = judged.group_of(subject, email);
    if verdict == Verdict::No {
        let why = voided(raw, &judged, subject, email);
        return Ok(plan.refused(
            Guard::Void,
            format!("this would have no effect: {why}, so adding {email} would not admit them"),
        ));
    }
    plan.passes(Guard::Void, "no requirement or exclusion blocks this person");
    if verdict != Verdict::Yes {
        plan.remains = via.into_iter().skip(1).collect();
        plan.warnings
            .push("access will also depend on other conditions".to_owned());
    }
    plan.effects = effects(before, &judged, subject, &plan.object_id);
    let lost = plan.effects.iter().filter(|effect| effect.after < effect.before);
    let lost: Vec<String> = lost
        .map(|effect| format!("{email} loses access to {}", effect.what))
        .collect();
    plan.warnings.extend(lost);
    plan.passes(Guard::Widens, format!("only {email} gains access"));
    plan.undo = Some(Request::GroupRevoke {
        connection: plan.request.connection().clone(),
        group: plan.object_id.clone(),
        email: email.to_owned(),
        by_exclusion: false,
        keeps_rules: false,
    });
    let id = plan.object_id.clone();
    write(plan, &id, after)
}

/// How someone is taken out of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The rule that names them goes.
    Rule,
    /// It goes, and they are excluded.
    Exclusion,
    /// They are excluded, and the rule stays.
    ExclusionAlone,
}

async fn revoke(
    context: &RequestContext<'_>,
    mut plan: Plan,
    before: &Judged,
    raw: &Value,
    subject: &Subject,
    email: &str,
    way: Way,
) -> Result<Plan, ProvisionError> {
    let by_exclusion = way != Way::Rule;
    let (id, name) = (plan.object_id.clone(), plan.object_name.clone());
    let (verdict, via) = before.group(subject);
    let is_named = names_someone(raw, "include", subject);
    plan.summary = format!("remove {email} from the Access group {name}");
    if verdict == Verdict::No && (!is_named || by_exclusion) {
        return Ok(plan.already(format!("{email} is not in {name}")));
    }
    let mut after = match way {
        Way::ExclusionAlone => raw.clone(),
        Way::Rule | Way::Exclusion => without(raw, "include", subject),
    };
    if by_exclusion {
        plan.summary = format!("exclude {email} from the Access group {name}");
        if rules(&after, "include").is_empty() {
            // The exclusion alone keeps them out; a group must include someone.
            after = raw.clone();
        }
        let mut addresses: Vec<&str> = subject.addresses().collect();
        addresses.sort_unstable();
        for address in addresses {
            if before.group_of(subject, address).0 != Verdict::No && !names(raw, "exclude", address) {
                rules_mut(&mut after, "exclude").push(json!({ "email": { "email": address } }));
            }
        }
        plan.undo = Some(if is_named && way == Way::Exclusion {
            Request::GroupGrant {
                connection: plan.request.connection().clone(),
                group: id.clone(),
                email: email.to_owned(),
            }
        } else {
            Request::GroupUnexclude {
                connection: plan.request.connection().clone(),
                group: id.clone(),
                email: email.to_owned(),
            }
        });
    } else {
        if !is_named && (context.has_written || context.options.is_expiry) {
            // Their rule is gone; what else may let them in was said before.
            plan.remains = via.into_iter().skip(1).collect();
            return Ok(plan.already(format!("no rule of {name} names {email} any longer")));
        }
        if !is_named {
            return Ok(plan.refused(
                Guard::NotDirect,
                format!(
                    "no rule of {name} names {email}; they are admitted by {}: change that rule, or add \
                         an exclusion",
                    via.join(", ")
                ),
            ));
        }
        if rules(&after, "include").is_empty() {
            return Ok(plan.refused(
                Guard::EmptiesInclude,
                format!(
                    "{name} would have no include rules, which Cloudflare does not allow: add an \
                     exclusion, or delete the group"
                ),
            ));
        }
        plan.passes(Guard::EmptiesInclude, "other include rules remain");
        plan.undo = Some(Request::GroupGrant {
            connection: plan.request.connection().clone(),
            group: id.clone(),
            email: email.to_owned(),
        });
    }
    let judged = Judged::load(context, &id, &after).await?;
    let (verdict, via) = judged.group(subject);
    match verdict {
        Verdict::No => plan.passes(Guard::StillAdmitted, "no other rule admits this person"),
        Verdict::Yes if context.options.is_expiry => {
            plan.remains = via;
            plan.warnings.push(format!(
                "{email} is still admitted by {}: this access is not part of the expired grant and remains",
                plan.remains.join(", ")
            ));
        }
        Verdict::Yes => {
            return Ok(plan.refused(
                Guard::StillAdmitted,
                format!(
                    "{email} would still be admitted by {}: change that rule, or add an exclusion",
                    via.join(", ")
                ),
            ));
        }
        _ => {
            plan.remains = via.into_iter().skip(1).collect();
            plan.warnings.push(format!(
                "other rules may still admit {email}: {}",
                plan.remains.join(", ")
            ));
        }
    }
    plan.effects = effects(before, &judged, subject, &id);
    let gained = plan.effects.iter().find(|effect| effect.after > effect.before);
    if let Some(gained) = gained {
        let reason = format!(
            "this would widen access: for {2}, {email} would go from {0} to {1}",
            gained.before, gained.after, gained.what
        );
        return Ok(plan.refused(Guard::Widens, reason));
    }
    plan.passes(Guard::Widens, "no one gains access");
    write(plan, &id, after)
}

/// What is to be sent: everything that Cloudflare gave, but for what it sets itself.
fn write(mut plan: Plan, id: &str, after: Value) -> Result<Plan, ProvisionError> {
    let mut body = after.clone();
    if let Some(members) = body.as_object_mut() {
        members.retain(|name, _| !SERVER_KEYS.contains(&name.as_str()));
    }
    plan.calls = vec![Write::access_group(id, &body).map_err(ProvisionError::Id)?];
    plan.after = after;
    Ok(plan)
}

fn rules<'a>(group: &'a Value, list: &str) -> &'a [Value] {
    group[list].as_array().map_or(&[], Vec::as_slice)
}

fn rules_mut<'a>(group: &'a mut Value, list: &str) -> &'a mut Vec<Value> {
    if !group[list].is_array() {
        group[list] = json!([]);
    }
    group[list].as_array_mut().expect("it was just made an array")
}

/// Whether a rule of the list names the address.
fn names(group: &Value, list: &str, address: &str) -> bool {
    rules(group, list)
        .iter()
        .any(|rule| matches!(Selector::read(rule), Selector::Email(named) if *named == *address))
}

/// Whether a rule of the list names any address of the person.
fn names_someone(group: &Value, list: &str, subject: &Subject) -> bool {
    subject.addresses().any(|address| names(group, list, address))
}

/// The group without the rules of a list that name the person.
fn without(group: &Value, list: &str, subject: &Subject) -> Value {
    let mut after = group.clone();
    if let Some(rules) = after[list].as_array_mut() {
        rules.retain(
            |rule| !matches!(Selector::read(rule), Selector::Email(named) if subject.has_address(&named)),
        );
    }
    after
}

/// What keeps someone out of a group that names them.
fn voided(raw: &Value, judged: &Judged, subject: &Subject, email: &str) -> String {
    let visit = judged.account.visit(subject, email);
    let holds = |rule: &&Value| judged.account.verdict(&Selector::read(rule), None, &visit);
    if let Some(rule) = rules(raw, "require")
        .iter()
        .find(|rule| holds(rule) == Verdict::No)
    {
        return format!("the group requires {}, which is not met", in_words(rule));
    }
    if let Some(rule) = rules(raw, "exclude")
        .iter()
        .find(|rule| holds(rule) == Verdict::Yes)
    {
        return format!("the group excludes {}", in_words(rule));
    }
    "a requirement or exclusion of the group blocks this person".to_owned()
}

/// The account with one group as it is, or would be.
struct Judged {
    account: Account,
    group: String,
}

impl Judged {
    async fn load(context: &RequestContext<'_>, group: &str, raw: &Value) -> Result<Self, ProvisionError> {
        let overrides = HashMap::from([(group.to_lowercase(), raw.clone())]);
        let account = view::account_with(context.app, context.connection, &overrides).await?;
        Ok(Self {
            account,
            group: group.to_owned(),
        })
    }

    /// Whether the person is in the group under any address, and why.
    fn group(&self, subject: &Subject) -> (Verdict, Vec<String>) {
        subject
            .addresses()
            .map(|address| self.group_of(subject, address))
            .reduce(|best, other| if other.0 > best.0 { other } else { best })
            .unwrap_or((Verdict::No, Vec::new()))
    }

    fn group_of(&self, subject: &Subject, address: &str) -> (Verdict, Vec<String>) {
        let Some(at) = self.account.group_at(&self.group) else {
            return (Verdict::No, Vec::new());
        };
        let visit = self.account.visit(subject, address);
        (
            self.account.group_verdict(at, &visit),
            self.account.group_via(at, &visit),
        )
    }

    /// Everything that the person has by rules, with how sure it is.
    fn everything(&self, subject: &Subject) -> HashMap<(bool, usize), Verdict> {
        let mut best: HashMap<(bool, usize), Verdict> = HashMap::new();
        for address in subject.addresses() {
            let visit = self.account.visit(subject, address);
            for at in 0..self.account.groups().len() {
                let verdict = self.account.group_verdict(at, &visit);
                let known = best.entry((false, at)).or_insert(Verdict::No);
                *known = (*known).max(verdict);
            }
            for (at, app) in self.account.apps().iter().enumerate() {
                let verdict = self.account.app_verdict(app, &visit);
                let known = best.entry((true, at)).or_insert(Verdict::No);
                *known = (*known).max(verdict);
            }
        }
        best
    }
}

/// What else changes for the person: other groups, and applications.
fn effects(before: &Judged, after: &Judged, subject: &Subject, group: &str) -> Vec<Effect> {
    // Both have the same groups and applications in the same places.
    let (old, new) = (before.everything(subject), after.everything(subject));
    let mut found: Vec<Effect> = old
        .iter()
        .filter_map(|(key @ (is_app, at), old)| {
            let new = new.get(key)?;
            if old == new {
                return None;
            }
            let what = if *is_app {
                format!("application {}", before.account.apps()[*at].name)
            } else {
                let other = &before.account.groups()[*at];
                if other.id.eq_ignore_ascii_case(group) {
                    return None;
                }
                format!("group {}", other.name)
            };
            Some(Effect {
                what,
                before: *old,
                after: *new,
            })
        })
        .collect();
    found.sort_by(|a, b| a.what.cmp(&b.what));
    found
}
