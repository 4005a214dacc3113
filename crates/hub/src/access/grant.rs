//! Who holds what: worked out from a view, person by person, in the order of addresses.
//!
//! Nothing of this is stored: an account with one group of everyone has a grant for each person. Start reading at
//! [`AccessView::grants`].

use super::dashboard::{Dashboard, Holdings, Permit, Reach, Seat, Through};
use super::subject::{Membership, Subject};
use super::verdict::Verdict;
use super::view::{AccessView, ConnectionView};
use chrono::{DateTime, Utc};
use model::{Certainty, ConnectionId, GrantKind, PersonId, address};
use serde::Serialize;
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
    /// Over what a permission group is held; `None` for everything else.
    pub scope: Option<GrantScope>,
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

/// The resource group over which a permission group is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantScope {
    /// Cloudflare's id of the resource group; empty where Cloudflare names none.
    pub id: String,
    /// In words: `the whole account`, or the resource group's name.
    pub name: String,
    /// Whether it is the whole account; `None` where that is not known.
    pub is_account: Option<bool>,
}

impl From<&Reach> for GrantScope {
    fn from(reach: &Reach) -> Self {
        Self {
            id: reach.id().to_owned(),
            name: reach.words(),
            is_account: match reach {
                Reach::Account(_) => Some(true),
                Reach::Part { .. } => Some(false),
                Reach::Unknown(_) => None,
            },
        }
    }
}

/// Where a list of grants stands: the last row of the page before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the fields are those of Grant, in the order of the list"
)]
pub struct GrantCursor {
    pub email: String,
    pub connection: String,
    pub kind: String,
    pub entitlement: String,
    pub scope: String,
}

impl Grant {
    /// The place of this row in a list.
    pub fn cursor(&self) -> GrantCursor {
        GrantCursor {
            email: self.email.clone(),
            connection: self.connection_id.0.clone(),
            kind: self.kind.as_str().to_owned(),
            entitlement: self.entitlement_id.clone(),
            scope: self
                .scope
                .as_ref()
                .map(|scope| scope.id.clone())
                .unwrap_or_default(),
        }
    }
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
    /// Only after this one.
    pub after: Option<GrantCursor>,
}

/// Something that someone holds, before its reasons are put into words.
#[derive(Debug)]
struct Holding {
    kind: GrantKind,
    id: Box<str>,
    name: Box<str>,
    scope: Option<GrantScope>,
    certainty: Certainty,
    source: Source,
}

impl Holding {
    /// What a list is ordered by, for one person and connection.
    fn place(&self) -> (&str, &str, &str) {
        let scope = self.scope.as_ref().map_or("", |scope| &scope.id);
        (self.kind.as_str(), &self.id, scope)
    }
}

/// Something that someone holds, for writing down who holds what.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) kind: GrantKind,
    pub(crate) id: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) scope: Option<GrantScope>,
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
            Some(after) => self
                .people
                .partition_point(|subject| *subject.email < *after.email),
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
                holdings.sort_by(|a, b| a.place().cmp(&b.place()));
                for holding in holdings {
                    let is_before = filter.after.as_ref().is_some_and(|after| {
                        let (kind, id, scope) = holding.place();
                        let place = (&*subject.email, connection.id.as_str(), kind, id, scope);
                        let last = (
                            after.email.as_str(),
                            after.connection.as_str(),
                            after.kind.as_str(),
                            after.entitlement.as_str(),
                            after.scope.as_str(),
                        );
                        place <= last
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
        holdings.sort_by(|a, b| a.place().cmp(&b.place()));
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
                name: holding.name,
                scope: holding.scope,
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
        let wants_dashboard = [GrantKind::Role, GrantKind::PermissionGroup, GrantKind::UserGroup];
        if wants_dashboard.into_iter().any(wants) {
            for member in members {
                of_member(&connection.dashboard, member, &wants, &is_wanted, &mut held);
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
                scope: None,
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
        scope: holding.scope,
        person_id: subject.person_id.clone(),
        email: subject.email.clone().into(),
        certainty: holding.certainty,
        via,
        as_of: connection.as_of,
    }
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
        via.push(format!("depends on {} accepting the invitation", member.email));
    }
    via
}

/// Adds what is held, unless it is held more surely already.
fn add(held: &mut Vec<Holding>, holding: Holding) {
    match held.iter_mut().find(|known| known.place() == holding.place()) {
        Some(known) if known.certainty != Certainty::Yes && holding.certainty == Certainty::Yes => {
            *known = holding;
        }
        Some(_) => {}
        None => held.push(holding),
    }
}

/// Adds what one membership gives: user groups, roles, and permission groups over what they are held.
fn of_member(
    dashboard: &Dashboard,
    member: &Membership,
    wants: &impl Fn(GrantKind) -> bool,
    is_wanted: &impl Fn(&str) -> bool,
    held: &mut Vec<Holding>,
) {
    let email = address::shown(&member.email);
    let by_member = format!("member {email}");
    let certainty = accepted(member);
    if wants(GrantKind::UserGroup) {
        let groups = dashboard.groups_of(&member.id, &member.email);
        for group in groups.filter(|group| is_wanted(&group.id)) {
            let via = vec![format!("user group {}", group.name), by_member.clone()];
            add(
                held,
                Holding {
                    kind: GrantKind::UserGroup,
                    id: group.id.clone(),
                    name: group.name.clone(),
                    scope: None,
                    certainty,
                    source: Source::Said(with_invitation(via, member)),
                },
            );
        }
    }
    if !wants(GrantKind::Role) && !wants(GrantKind::PermissionGroup) {
        return;
    }
    let holdings = dashboard.holdings(Seat {
        id: &member.id,
        email: &member.email,
        roles: &member.roles,
        policies: &member.policies,
    });
    if wants(GrantKind::Role) {
        for (id, name) in holdings.roles.iter().filter(|(id, _)| is_wanted(id)) {
            let mut via = vec![format!("role {name}")];
            via.extend(exception(&holdings, name));
            via.push(by_member.clone());
            add(
                held,
                Holding {
                    kind: GrantKind::Role,
                    id: (**id).into(),
                    name: (**name).into(),
                    scope: None,
                    certainty,
                    source: Source::Said(with_invitation(via, member)),
                },
            );
        }
    }
    if wants(GrantKind::PermissionGroup) {
        for (permit, through) in &holdings.permits {
            if is_wanted(&permit.group) {
                add(
                    held,
                    permit_holding(permit, through, &holdings, member, &by_member),
                );
            }
        }
    }
}

fn permit_holding(
    permit: &Permit,
    through: &Through,
    holdings: &Holdings,
    member: &Membership,
    by_member: &str,
) -> Holding {
    let mut via = vec![format!(
        "permission group {} on {}",
        permit.label(),
        permit.reach.words()
    )];
    if permit.reach.is_account() {
        via.extend(exception(holdings, permit.label()));
    }
    if let Through::UserGroup(name) = through {
        via.push(format!("user group {name}"));
    }
    via.push(by_member.to_owned());
    Holding {
        kind: GrantKind::PermissionGroup,
        id: permit.group.clone().into(),
        name: permit.label().into(),
        scope: Some((&permit.reach).into()),
        certainty: accepted(member),
        source: Source::Said(with_invitation(via, member)),
    }
}

/// Where a policy takes away a part of what is held over the whole account.
fn exception(holdings: &Holdings, name: &str) -> Option<String> {
    let parts = holdings.exceptions.get(&name.trim().to_lowercase())?;
    Some(format!("except on {}, which a policy denies", parts.join(", ")))
}
