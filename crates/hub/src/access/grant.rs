//! Who holds what: worked out from a view, person by person, in the order of addresses.
//!
//! Nothing of this is stored: an account with one group of everyone has a grant for each person. Start reading at
//! [`AccessView::grants`].

use super::account::Verdict;
use super::subject::{Membership, Subject};
use super::view::{AccessView, ConnectionView};
use chrono::{DateTime, Utc};
use model::{Certainty, ConnectionId, GrantKind, PersonId};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// That a person holds something, and through which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// In which account.
    pub connection_id: ConnectionId,
    /// Its connection's label.
    pub connection: String,
    /// What is held.
    pub kind: GrantKind,
    /// The group's, role's or application's id.
    pub entitlement_id: String,
    /// Its name.
    pub entitlement_name: String,
    /// Who holds it.
    pub person_id: PersonId,
    /// Their main address.
    pub email: String,
    /// How sure it is.
    pub certainty: Certainty,
    /// From the entitlement down to the rule that decides.
    pub via: Vec<String>,
    /// When the lists that this follows from were last read to their end.
    pub as_of: Option<DateTime<Utc>>,
}

/// Which grants.
#[derive(Debug, Clone, Default)]
pub struct GrantFilter {
    /// Only this kind. Without it, applications are left out: who reaches them follows from the rest.
    pub kind: Option<GrantKind>,
    /// Only of this person.
    pub person_id: Option<PersonId>,
    /// Only of this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only this group, role or application, by id.
    pub entitlement_id: Option<String>,
    /// Only after this one: address, connection, kind, entitlement of the last row of the page before.
    pub after: Option<(String, String, String, String)>,
}

/// Something that someone holds, before its reasons are put into words.
#[derive(Debug)]
struct Holding {
    kind: GrantKind,
    id: Box<str>,
    name: Box<str>,
    certainty: Certainty,
    source: Source,
}

/// Something that someone holds, for writing down who holds what.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) kind: GrantKind,
    pub(crate) id: Box<str>,
    pub(crate) certainty: Certainty,
    /// Of a group that they are in for sure: the groups that it includes which let them in, with whether these do
    /// so by a rule of their own; `None` when a rule of the group itself lets them in.
    pub(crate) through: Option<Vec<(Box<str>, bool)>>,
}

#[derive(Debug)]
enum Source {
    /// A group or application, by its place, under an address.
    Group(usize, Box<str>),
    App(usize, Box<str>),
    /// In words.
    Said(Vec<String>),
}

impl AccessView {
    /// Calls `each` with every grant that the filter lets through, by address, connection, kind and entitlement,
    /// until it breaks.
    pub fn grants(&self, filter: &GrantFilter, mut each: impl FnMut(Grant) -> ControlFlow<()>) {
        let first = match &filter.after {
            Some((email, ..)) => self.people.partition_point(|subject| *subject.email < **email),
            None => 0,
        };
        for subject in &self.people[first..] {
            if filter
                .person_id
                .as_ref()
                .is_some_and(|id| *id != subject.person_id)
            {
                continue;
            }
            for (place, connection) in self.connections.iter().enumerate() {
                if filter
                    .connection_id
                    .as_ref()
                    .is_some_and(|id| *id != connection.id)
                {
                    continue;
                }
                let mut holdings = self.holdings(subject, place, filter);
                holdings.sort_by(|a, b| (a.kind.as_str(), &a.id).cmp(&(b.kind.as_str(), &b.id)));
                for holding in holdings {
                    let key = (
                        &*subject.email,
                        connection.id.as_str(),
                        holding.kind.as_str(),
                        &*holding.id,
                    );
                    let is_before = filter
                        .after
                        .as_ref()
                        .is_some_and(|(email, connection, kind, id)| {
                            key <= (email.as_str(), connection.as_str(), kind.as_str(), id.as_str())
                        });
                    if is_before {
                        continue;
                    }
                    if each(grant(subject, connection, holding)).is_break() {
                        return;
                    }
                }
            }
        }
    }

    /// At most `limit` grants.
    pub fn grant_page(&self, filter: &GrantFilter, limit: usize) -> Vec<Grant> {
        let mut page = Vec::new();
        if limit > 0 {
            self.grants(filter, |grant| {
                page.push(grant);
                if page.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        }
        page
    }

    /// How many grants of each kind a connection has, applications left out.
    pub fn grant_counts(&self, place: usize) -> BTreeMap<GrantKind, usize> {
        let filter = GrantFilter::default();
        let mut counts = BTreeMap::new();
        for subject in &self.people {
            for holding in self.holdings(subject, place, &filter) {
                *counts.entry(holding.kind).or_insert(0) += 1;
            }
        }
        counts
    }

    /// How sure each thing is that someone holds in a connection, by kind and id, for comparing.
    pub(crate) fn certainties(
        &self,
        subject: &Subject,
        place: usize,
        filter: &GrantFilter,
    ) -> BTreeMap<(GrantKind, Box<str>), (Box<str>, Certainty)> {
        self.holdings(subject, place, filter)
            .into_iter()
            .map(|holding| ((holding.kind, holding.id), (holding.name, holding.certainty)))
            .collect()
    }

    /// How many people each of these groups lets in for sure, conditionally, and not known.
    pub fn group_counts(
        &self,
        groups: &[(ConnectionId, String)],
    ) -> HashMap<(ConnectionId, String), [i64; 3]> {
        let mut places: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        for (wanted, (connection, id)) in groups.iter().enumerate() {
            let Some(place) = self.place(connection) else {
                continue;
            };
            if let Some(at) = self.connections[place].account.group_at(id) {
                places.entry(place).or_default().push((wanted, at));
            }
        }
        let mut counts = vec![[0_i64; 3]; groups.len()];
        for (place, wanted) in places {
            let account = &self.connections[place].account;
            for subject in &self.people {
                let visits: Vec<_> = subject
                    .addresses()
                    .map(|address| account.visit(subject, address))
                    .collect();
                for (row, at) in &wanted {
                    let best = visits.iter().map(|visit| account.group_verdict(*at, visit)).max();
                    match best {
                        Some(Verdict::Yes) => counts[*row][0] += 1,
                        Some(Verdict::Conditional) => counts[*row][1] += 1,
                        Some(Verdict::Unknown) => counts[*row][2] += 1,
                        Some(Verdict::No) | None => {}
                    }
                }
            }
        }
        groups.iter().cloned().zip(counts).collect()
    }

    /// Everything that someone holds in a connection, applications included, by kind and id.
    pub(crate) fn held(&self, subject: &Subject, place: usize) -> Vec<Held> {
        let account = &self.connections[place].account;
        let apps = GrantFilter {
            kind: Some(GrantKind::App),
            ..GrantFilter::default()
        };
        let mut holdings = self.holdings(subject, place, &GrantFilter::default());
        holdings.extend(self.holdings(subject, place, &apps));
        holdings.sort_by(|a, b| (a.kind.as_str(), &a.id).cmp(&(b.kind.as_str(), &b.id)));
        let through = |holding: &Holding| {
            let Source::Group(at, address) = &holding.source else {
                return None;
            };
            if holding.certainty != Certainty::Yes || account.included(*at).next().is_none() {
                return None;
            }
            let visit = account.visit(subject, address);
            if account.is_direct(*at, &visit) {
                return None;
            }
            let nested = account
                .included(*at)
                .filter(|nested| account.group_verdict(*nested, &visit) == Verdict::Yes);
            let nested = nested.map(|nested| {
                let id = account.groups()[nested].id.clone();
                (id, account.is_direct(nested, &visit))
            });
            Some(nested.collect())
        };
        holdings
            .into_iter()
            .map(|holding| Held {
                through: through(&holding),
                kind: holding.kind,
                id: holding.id,
                certainty: holding.certainty,
            })
            .collect()
    }

    fn holdings(&self, subject: &Subject, place: usize, filter: &GrantFilter) -> Vec<Holding> {
        let connection = &self.connections[place];
        let wants = |kind: GrantKind| match filter.kind {
            Some(wanted) => wanted == kind,
            None => kind != GrantKind::App,
        };
        let is_wanted = |id: &str| {
            filter
                .entitlement_id
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(id))
        };
        let mut held = Vec::new();
        if wants(GrantKind::AccessGroup) || wants(GrantKind::App) {
            self.by_rules(
                subject,
                connection,
                &wants,
                &is_wanted,
                filter.entitlement_id.as_deref(),
                &mut held,
            );
        }
        let members: Vec<&Membership> = subject
            .members
            .iter()
            .filter(|member| member.connection == place)
            .collect();
        if wants(GrantKind::Role) {
            roles(&members, &is_wanted, &mut held);
        }
        if wants(GrantKind::PermissionGroup) || wants(GrantKind::UserGroup) {
            for group in &connection.user_groups {
                let Some(member) = members.iter().find(|member| is_in(group, member)) else {
                    continue;
                };
                let via = vec![
                    format!("user group {}", group.name),
                    format!("member {}", member.email),
                ];
                if wants(GrantKind::PermissionGroup) {
                    policies(&group.policies, member, &via, &is_wanted, &mut held);
                }
                if wants(GrantKind::UserGroup) && is_wanted(&group.id) {
                    held.push(Holding {
                        kind: GrantKind::UserGroup,
                        id: group.id.clone(),
                        name: group.name.clone(),
                        certainty: accepted(member),
                        source: Source::Said(with_invitation(via, member)),
                    });
                }
            }
            if wants(GrantKind::PermissionGroup) {
                for member in &members {
                    let via = vec![format!("member {}", member.email)];
                    policies(&member.policies, member, &via, &is_wanted, &mut held);
                }
            }
        }
        held
    }

    fn by_rules(
        &self,
        subject: &Subject,
        connection: &ConnectionView,
        wants: &impl Fn(GrantKind) -> bool,
        is_wanted: &impl Fn(&str) -> bool,
        only: Option<&str>,
        held: &mut Vec<Holding>,
    ) {
        let account = &connection.account;
        // Someone with several addresses may sign in with any: the surest counts.
        let mut best: BTreeMap<(GrantKind, usize), (Verdict, &str)> = BTreeMap::new();
        let mut note = |key: (GrantKind, usize), verdict: Verdict, address| {
            if verdict != Verdict::No && best.get(&key).is_none_or(|(known, _)| verdict > *known) {
                best.insert(key, (verdict, address));
            }
        };
        for address in subject.addresses() {
            let visit = account.visit(subject, address);
            if wants(GrantKind::AccessGroup) {
                let places = match only {
                    Some(id) => account.group_at(id).into_iter().collect(),
                    None => account.candidates(&visit),
                };
                for at in places {
                    let verdict = account.group_verdict(at, &visit);
                    note((GrantKind::AccessGroup, at), verdict, address);
                }
            }
            if wants(GrantKind::App) {
                for (at, app) in account.apps().iter().enumerate() {
                    if is_wanted(&app.id) {
                        note((GrantKind::App, at), account.app_verdict(app, &visit), address);
                    }
                }
            }
        }
        for ((kind, at), (verdict, address)) in best {
            let Some(certainty) = verdict.certainty() else {
                continue;
            };
            let (id, name, source) = if kind == GrantKind::App {
                let app = &account.apps()[at];
                (&app.id, &app.name, Source::App(at, address.into()))
            } else {
                let group = &account.groups()[at];
                (&group.id, &group.name, Source::Group(at, address.into()))
            };
            held.push(Holding {
                kind,
                id: id.clone(),
                name: name.clone(),
                certainty,
                source,
            });
        }
    }
}

fn grant(subject: &Subject, connection: &ConnectionView, holding: Holding) -> Grant {
    let account = &connection.account;
    let via = match holding.source {
        Source::Group(at, address) => account.group_via(at, &account.visit(subject, &address)),
        Source::App(at, address) => account.app_via(&account.apps()[at], &account.visit(subject, &address)),
        Source::Said(via) => via,
    };
    Grant {
        connection_id: connection.id.clone(),
        connection: connection.label.clone(),
        kind: holding.kind,
        entitlement_id: holding.id.into(),
        entitlement_name: holding.name.into(),
        person_id: subject.person_id.clone(),
        email: subject.email.clone().into(),
        certainty: holding.certainty,
        via,
        as_of: connection.as_of,
    }
}

fn is_in(group: &super::view::UserGroup, member: &Membership) -> bool {
    group.members.contains(member.id.to_lowercase().as_str())
        || group.members.contains(member.email.to_lowercase().as_str())
}

/// An invitation gives nothing until it is accepted.
fn accepted(member: &Membership) -> Certainty {
    if member.is_accepted {
        Certainty::Yes
    } else {
        Certainty::Conditional
    }
}

fn with_invitation(mut via: Vec<String>, member: &Membership) -> Vec<String> {
    if !member.is_accepted {
        via.pop();
        via.push(format!(
            "depends on the invitation of {} being accepted",
            member.email
        ));
    }
    via
}

/// Adds what is held, unless it is held more surely already.
fn add(held: &mut Vec<Holding>, holding: Holding) {
    match held
        .iter_mut()
        .find(|known| known.kind == holding.kind && known.id == holding.id)
    {
        Some(known) if known.certainty != Certainty::Yes && holding.certainty == Certainty::Yes => {
            *known = holding;
        }
        Some(_) => {}
        None => held.push(holding),
    }
}

fn roles(members: &[&Membership], is_wanted: &impl Fn(&str) -> bool, held: &mut Vec<Holding>) {
    for member in members {
        for (id, name) in member.roles.iter().filter(|(id, _)| is_wanted(id)) {
            let via = vec![format!("role {name}"), format!("member {}", member.email)];
            add(
                held,
                Holding {
                    kind: GrantKind::Role,
                    id: (**id).into(),
                    name: (**name).into(),
                    certainty: accepted(member),
                    source: Source::Said(with_invitation(via, member)),
                },
            );
        }
    }
}

fn policies(
    policies: &[Value],
    member: &Membership,
    via: &[String],
    is_wanted: &impl Fn(&str) -> bool,
    held: &mut Vec<Holding>,
) {
    let named = |list: &Value| -> Vec<(String, String)> {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|group| {
                let id = group["id"].as_str()?;
                Some((id.to_owned(), group["name"].as_str().unwrap_or(id).to_owned()))
            })
            .collect()
    };
    for policy in policies.iter().filter(|policy| policy["access"] != "deny") {
        let over: Vec<String> = named(&policy["resource_groups"])
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        for (id, name) in named(&policy["permission_groups"]) {
            if !is_wanted(&id) {
                continue;
            }
            let mut steps = vec![format!("permission group {name} over {}", over.join(", "))];
            steps.extend(via.iter().cloned());
            add(
                held,
                Holding {
                    kind: GrantKind::PermissionGroup,
                    id: id.into(),
                    name: name.into(),
                    certainty: accepted(member),
                    source: Source::Said(with_invitation(steps, member)),
                },
            );
        }
    }
}
