//! Everything that rules are evaluated over, read from the store: people with their addresses and memberships,
//! and each account's rules.
//!
//! Reads the lists; writes nothing. A server keeps one in memory until the lists change. Start reading at
//! [`AccessView::current`].

use super::account::Account;
use super::dashboard::{Dashboard, Role, UserGroup, user_group_members};
use super::subject::{Identity, Membership, Subject, User};
use crate::app::App;
use chrono::{DateTime, TimeDelta, Utc};
use model::{ConnectionId, PersonId, address};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use store::{
    AccessUserDetailRow, AccessUserRow, ConnectionRow, LIST_LIMIT_MAX, ListingRow, MemberRow, PersonRow,
    StoreError,
};

/// Rows of a list with large objects that are read at once.
const LARGE_ROWS: i64 = 200;

/// Reads a list of the store to its end, page by page.
macro_rules! each_row {
    ($rows:ident, $call:expr, |$after:ident| $next:expr, $row:ident => $body:block) => {{
        let mut place: Option<(String, String)> = None;
        loop {
            let $after = place
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let $rows = $call;
            let Some(last) = $rows.last() else { break };
            place = Some({
                let $row = last;
                $next
            });
            for $row in $rows $body
        }
    }};
}

/// What is in memory.
#[derive(Debug, Default)]
pub struct AccessView {
    /// Of which state of the lists this is.
    pub revision: i64,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// By id.
    pub connections: Vec<ConnectionView>,
    /// Everyone in some list of some connection, by main address.
    pub people: Vec<Subject>,
}

/// One connection.
#[derive(Debug)]
pub struct ConnectionView {
    /// Our id.
    pub id: ConnectionId,
    /// Its label.
    pub label: String,
    /// Its rules.
    pub account: Account,
    /// What its members are judged by.
    pub dashboard: Dashboard,
    /// Lists that are not whole, with the reason: what they lack may be there all the same.
    pub gaps: BTreeMap<String, String>,
    /// When its lists were last read to their end; the oldest of those that matter here.
    pub as_of: Option<DateTime<Utc>>,
}

impl ConnectionView {
    /// Why one of these lists is not whole.
    pub fn gap(&self, lists: &[&str]) -> Option<&str> {
        lists
            .iter()
            .find_map(|list| self.gaps.get(*list))
            .map(String::as_str)
    }
}

/// A view is made anew after this long even where no list changed: what identity providers said grows old.
const VIEW_MAX_AGE: TimeDelta = TimeDelta::hours(6);

/// Which groups and applications a view is to have.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All of every connection.
    Everything,
    /// All of one connection.
    Connection(ConnectionId),
    /// These groups of one connection, with those nested in them.
    Groups(ConnectionId, Vec<String>),
    /// One application of one connection, with the groups that its policies name.
    App(ConnectionId, String),
    /// None: roles and user groups alone.
    Roles(ConnectionId),
}

/// The view that is kept in memory until the lists change.
#[derive(Default)]
struct Kept(tokio::sync::Mutex<Option<Arc<AccessView>>>);

impl AccessView {
    /// The view of the lists as they are, kept in memory until they change.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn current(app: &App) -> Result<Arc<AccessView>, StoreError> {
        // One builds it, the others wait for that one.
        let slot = app.slots.of(Kept::default);
        let mut kept = slot.0.lock().await;
        let revision = app.store.access_revision().await?;
        let oldest = app.clock.now() - VIEW_MAX_AGE;
        let is_current = |view: &&Arc<AccessView>| view.revision == revision && view.made_at >= oldest;
        if let Some(view) = kept.as_ref().filter(is_current) {
            return Ok(Arc::clone(view));
        }
        // The old one goes first: two of a large account need twice the memory.
        *kept = None;
        let mut view = Self::load(app, &Scope::Everything).await?;
        view.people = people(app, &view.connections).await?;
        view.revision = revision;
        let view = Arc::new(view);
        *kept = Some(Arc::clone(&view));
        Ok(view)
    }

    /// The view that is in memory, if it is of the lists as they are.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn kept(app: &App) -> Result<Option<Arc<AccessView>>, StoreError> {
        let kept = app.slots.of(Kept::default).0.lock().await.clone();
        let revision = app.store.access_revision().await?;
        Ok(kept.filter(|view| view.revision == revision))
    }

    /// A view of one person.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn of_person(app: &App, person: &PersonRow, scope: &Scope) -> Result<AccessView, StoreError> {
        let mut view = Self::load(app, scope).await?;
        let places = places(&view.connections);
        let mut subject = subject(person.id.clone(), &person.email);
        for row in app.store.member_by_person(&person.id).await? {
            let mut names = HashMap::new();
            if let Some(at) = places.get(&row.connection_id) {
                subject.members.push(membership(*at, row, &mut names)?);
            }
        }
        let details = app.store.access_user_detail_by_person(&person.id).await?;
        let mut details: HashMap<(String, String), AccessUserDetailRow> = details
            .into_iter()
            .map(|row| ((row.connection_id.0.clone(), row.access_user_id.clone()), row))
            .collect();
        let oldest = identity_oldest(app);
        for row in app.store.access_user_by_person(&person.id).await? {
            if let Some(at) = places.get(&row.connection_id) {
                let detail = details.remove(&(row.connection_id.0.clone(), row.id.clone()));
                subject.users.push(user(*at, &row, detail, oldest)?);
            }
        }
        let aliases = app.store.person_alias_by_person(&person.id).await?;
        finish(&mut subject, aliases.into_iter().map(Into::into));
        view.people = vec![subject];
        Ok(view)
    }

    /// A view of everyone and the rules of one connection.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn of_connection(app: &App, connection: &ConnectionId) -> Result<AccessView, StoreError> {
        let mut view = Self::load(app, &Scope::Connection(connection.clone())).await?;
        view.people = people(app, &view.connections).await?;
        Ok(view)
    }

    /// Rules alone, without people.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn load(app: &App, scope: &Scope) -> Result<AccessView, StoreError> {
        let rows = app.store.connection_list().await?;
        let mut rows: Vec<ConnectionRow> = rows;
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        let known = known_accounts(&rows);
        let mut gaps = Vec::with_capacity(rows.len());
        let mut as_of = Vec::with_capacity(rows.len());
        for row in &rows {
            let listings = app.store.listing_list(&row.id).await?;
            gaps.push(gaps_of(&listings));
            as_of.push(oldest_of(&listings));
        }
        let mut connections = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let mut account = Account::new(at, &row.account_id, known.clone());
            note_partial_members(&mut account, &gaps);
            match scope {
                Scope::Connection(id) if *id != row.id => {}
                Scope::Everything | Scope::Connection(_) => {
                    fill_lists(app, &row.id, &mut account).await?;
                    fill_groups(app, &row.id, &mut account).await?;
                    fill_apps(app, &row.id, &mut account).await?;
                }
                Scope::Groups(id, wanted) if *id == row.id => {
                    let named = Named {
                        groups: wanted.clone(),
                        lists: HashSet::new(),
                    };
                    fill_named(app, &row.id, named, &mut account).await?;
                }
                Scope::App(id, wanted) if *id == row.id => {
                    let named = fill_app(app, &row.id, wanted, &mut account).await?;
                    fill_named(app, &row.id, named, &mut account).await?;
                }
                _ => {}
            }
            account.close();
            let wants_dashboard = match scope {
                Scope::Everything => true,
                Scope::Roles(id) | Scope::Connection(id) => *id == row.id,
                _ => false,
            };
            connections.push(ConnectionView {
                id: row.id.clone(),
                label: row.label.clone(),
                account,
                dashboard: if wants_dashboard {
                    dashboard(app, row, &gaps[at]).await?
                } else {
                    Dashboard::default()
                },
                gaps: gaps[at].clone(),
                as_of: as_of[at],
            });
        }
        Ok(AccessView {
            revision: 0,
            made_at: app.clock.now(),
            connections,
            people: Vec::new(),
        })
    }

    /// Where a connection stands in this view.
    pub fn place(&self, connection: &ConnectionId) -> Option<usize> {
        self.connections
            .binary_search_by(|view| view.id.cmp(connection))
            .ok()
    }

    /// Why there may be more grants than follow from this view: lists that are not whole, by connection.
    pub fn gaps(&self) -> Vec<String> {
        self.connections
            .iter()
            .flat_map(|connection| {
                let reasons = connection.gaps.values().cloned();
                let dashboard = connection.dashboard.user_group_gap();
                let mut reasons: Vec<String> = reasons.chain(dashboard).collect();
                reasons.sort();
                reasons.dedup();
                reasons
                    .into_iter()
                    .map(|reason| format!("{}: {reason}", connection.label))
            })
            .collect()
    }

    /// The person with this id.
    pub fn person(&self, id: &PersonId) -> Option<&Subject> {
        self.people.iter().find(|subject| subject.person_id == *id)
    }
}

/// The rules of one account, with some groups (by id in lower case) as they are given here.
///
/// # Errors
///
/// When the store refuses.
pub(crate) async fn account_with(
    app: &App,
    connection: &ConnectionRow,
    overrides: &HashMap<String, Value>,
) -> Result<Account, StoreError> {
    let mut rows = app.store.connection_list().await?;
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let known = known_accounts(&rows);
    let place = rows.iter().position(|row| row.id == connection.id).unwrap_or(0);
    let mut account = Account::new(place, &connection.account_id, known);
    let mut gaps = Vec::with_capacity(rows.len());
    for row in &rows {
        gaps.push(gaps_of(&app.store.listing_list(&row.id).await?));
    }
    note_partial_members(&mut account, &gaps);
    fill_lists(app, &connection.id, &mut account).await?;
    each_row!(rows,
    app.store.access_group_list(Some(&connection.id), after, LARGE_ROWS).await?,
    |after| (row.connection_id.0.clone(), row.id.clone()),
    row => {
        match overrides.get(&row.id.to_lowercase()) {
            Some(raw) => account.add_group(raw),
            None => account.add_group(&row.raw_json()?),
        }
    });
    for (id, raw) in overrides {
        if account.group_at(id).is_none() {
            account.add_group(raw);
        }
    }
    fill_apps(app, &connection.id, &mut account).await?;
    account.close();
    Ok(account)
}

fn known_accounts(rows: &[ConnectionRow]) -> HashMap<Box<str>, usize> {
    rows.iter()
        .enumerate()
        .map(|(at, row)| (row.account_id.to_lowercase().into(), at))
        .collect()
}

async fn fill_lists(app: &App, connection: &ConnectionId, account: &mut Account) -> Result<(), StoreError> {
    each_row!(rows,
    app.store.account_object_list("list_items", Some(connection), after, LARGE_ROWS).await?,
    |after| (row.connection_id.0.clone(), row.id.clone()),
    row => {
        add_list(account, &row.id, &row.raw_json()?);
    });
    Ok(())
}

/// Adds a Zero Trust list as it was kept: its items, and why there may be more.
pub(crate) fn add_list(account: &mut Account, id: &str, raw: &Value) {
    let items = raw["items"].as_array();
    let values = items.into_iter().flatten();
    let values = values.filter_map(|item| Some(item.get("value")?.as_str()?.to_owned()));
    let partial = match (items, raw["partial"].as_str()) {
        (_, Some(reason)) => Some(reason),
        (None, None) => Some("its content was not stored"),
        (Some(_), None) => None,
    };
    account.add_list(id, values, partial);
}

async fn fill_groups(app: &App, connection: &ConnectionId, account: &mut Account) -> Result<(), StoreError> {
    each_row!(rows,
        app.store.access_group_list(Some(connection), after, LARGE_ROWS).await?,
        |after| (row.connection_id.0.clone(), row.id.clone()),
        row => { account.add_group(&row.raw_json()?); });
    Ok(())
}

/// What rules name: groups, and Zero Trust lists.
#[derive(Debug, Default)]
struct Named {
    groups: Vec<String>,
    lists: HashSet<String>,
}

impl Named {
    fn look(&mut self, raw: &Value) {
        self.groups.extend(nested_in(raw));
        self.lists.extend(named_in(raw, "/email_list/id"));
    }
}

/// Adds these groups, whatever is nested in them, and the lists that any of it names.
async fn fill_named(
    app: &App,
    connection: &ConnectionId,
    mut named: Named,
    account: &mut Account,
) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    while let Some(id) = named.groups.pop() {
        if !seen.insert(id.to_lowercase()) {
            continue;
        }
        if let Some(row) = app.store.access_group_get(connection, &id).await? {
            let raw = row.raw_json()?;
            named.look(&raw);
            account.add_group(&raw);
        }
    }
    for id in named.lists {
        if let Some(row) = app
            .store
            .account_object_get(connection, "list_items", &id)
            .await?
        {
            add_list(account, &row.id, &row.raw_json()?);
        }
    }
    Ok(())
}

/// The ids of the groups that a group's or policy's rules name.
pub(crate) fn nested_in(raw: &Value) -> Vec<String> {
    named_in(raw, "/group/id").collect()
}

fn named_in(raw: &Value, place: &'static str) -> impl Iterator<Item = String> {
    ["include", "require", "exclude"]
        .into_iter()
        .filter_map(|list| raw.get(list)?.as_array())
        .flatten()
        .filter_map(move |rule| Some(rule.pointer(place)?.as_str()?.to_owned()))
}

/// The ids of the policies that an application names.
pub(crate) fn policies_of(raw: &Value) -> impl Iterator<Item = &str> {
    raw["policies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|given| given.as_str().or_else(|| given["id"].as_str()))
}

/// Adds every application.
async fn fill_apps(app: &App, connection: &ConnectionId, account: &mut Account) -> Result<(), StoreError> {
    let mut policies: HashMap<String, Value> = HashMap::new();
    each_row!(rows,
        app.store.account_object_list("policies", Some(connection), after, LARGE_ROWS).await?,
        |after| (row.connection_id.0.clone(), row.id.clone()),
        row => { policies.insert(row.id.clone(), row.raw_json()?); });
    each_row!(rows,
        app.store.account_object_list("apps", Some(connection), after, LARGE_ROWS).await?,
        |after| (row.connection_id.0.clone(), row.id.clone()),
        row => { account.add_app(&row.raw_json()?, &policies); });
    Ok(())
}

/// Adds one application with its policies; answers what the policies name.
async fn fill_app(
    app: &App,
    connection: &ConnectionId,
    wanted: &str,
    account: &mut Account,
) -> Result<Named, StoreError> {
    let mut named = Named::default();
    let Some(row) = app.store.account_object_get(connection, "apps", wanted).await? else {
        return Ok(named);
    };
    let raw = row.raw_json()?;
    let mut policies: HashMap<String, Value> = HashMap::new();
    for given in raw["policies"].as_array().into_iter().flatten() {
        named.look(given);
    }
    for id in policies_of(&raw) {
        if let Some(row) = app.store.account_object_get(connection, "policies", id).await? {
            let policy = row.raw_json()?;
            named.look(&policy);
            policies.insert(row.id, policy);
        }
    }
    account.add_app(&raw, &policies);
    Ok(named)
}

/// What the members of a connection are judged by, as it is stored.
pub(crate) async fn dashboard(
    app: &App,
    connection: &ConnectionRow,
    gaps: &BTreeMap<String, String>,
) -> Result<Dashboard, StoreError> {
    let id = &connection.id;
    let mut resource_groups = Vec::new();
    each_row!(rows,
        app.store.account_object_list("resource_groups", Some(id), after, LARGE_ROWS).await?,
        |after| (row.connection_id.0.clone(), row.id.clone()),
        row => { resource_groups.push((row.id.clone(), row.raw_json()?)); });
    let mut permission_groups = Vec::new();
    each_row!(rows,
        app.store.account_object_list("permission_groups", Some(id), after, LIST_LIMIT_MAX).await?,
        |after| (row.connection_id.0.clone(), row.id.clone()),
        row => { permission_groups.push((row.id, row.name)); });
    let mut groups = Vec::new();
    each_row!(rows,
    app.store.account_object_list("user_groups", Some(id), after, LARGE_ROWS).await?,
    |after| (row.connection_id.0.clone(), row.id.clone()),
    row => {
        let raw = row.raw_json()?;
        let kept = app.store.account_object_get(id, "user_group_members", &row.id).await?;
        let members = match kept.map(|row| row.raw_json()).transpose()? {
            Some(content) => match (content["members"].as_array(), content["partial"].as_str()) {
                (Some(members), None) => Ok(user_group_members(members.iter())),
                (_, Some(reason)) => Err(reason.to_owned()),
                (None, None) => Err("its members were not stored".to_owned()),
            },
            None => Err(gaps.get("user_group_members").cloned().unwrap_or_else(|| "its members were not read".to_owned())),
        };
        groups.push(UserGroup {
            id: row.id.clone().into(),
            name: row.name.clone().into(),
            policies: raw["policies"].as_array().cloned().unwrap_or_default(),
            members,
        });
    });
    let (resources, names) = (resource_groups.into_iter(), permission_groups.into_iter());
    let gap = gaps.get("user_groups").cloned();
    Ok(Dashboard::new(
        &connection.account_id,
        resources,
        names,
        groups,
        gap,
    ))
}

/// Lists that are not whole, with the reason. A list that was never asked for is one of them.
pub(crate) fn gaps_of(listings: &[ListingRow]) -> BTreeMap<String, String> {
    let mut gaps: BTreeMap<String, String> = JUDGED_BY
        .iter()
        .filter(|kind| !listings.iter().any(|row| row.kind.as_str() == **kind))
        .map(|kind| {
            let words = kind.replace('_', " ");
            (
                (*kind).to_owned(),
                format!("the list of {words} has never been read"),
            )
        })
        .collect();
    gaps.extend(
        listings
            .iter()
            .filter_map(|row| Some((row.kind.to_string(), gap_of(row)?))),
    );
    gaps
}

/// Why something that a list lacks may be there all the same; `None` where the list is whole, if perhaps old.
fn gap_of(listing: &ListingRow) -> Option<String> {
    let words = listing.kind.as_str().replace('_', " ");
    let reason = listing
        .stale_reason
        .as_deref()
        .unwrap_or("no sync has read it completely");
    if listing.is_partial {
        Some(format!("the list of {words} was only partly read: {reason}"))
    } else if listing.complete_at.is_none() {
        Some(format!("the list of {words} has never been fully read: {reason}"))
    } else {
        None
    }
}

/// Lists that verdicts follow from.
const JUDGED_BY: [&str; 8] = [
    "members",
    "roles",
    "access_users",
    "access_groups",
    "apps",
    "policies",
    "user_groups",
    "user_group_members",
];

fn note_partial_members(account: &mut Account, gaps: &[BTreeMap<String, String>]) {
    for (place, gaps) in gaps.iter().enumerate() {
        if let Some(reason) = gaps.get("members") {
            account.members_are_partial(place, reason);
        }
    }
}

/// The oldest time at which the lists that decide were read to their end.
fn oldest_of(listings: &[ListingRow]) -> Option<DateTime<Utc>> {
    const DECIDING: [&str; 4] = ["members", "roles", "access_users", "access_groups"];
    listings
        .iter()
        .filter(|row| DECIDING.contains(&row.kind.as_str()))
        .filter_map(|row| row.complete_at)
        .min()
}

/// What an identity provider said before this no longer shows that someone lacks something.
fn identity_oldest(app: &App) -> DateTime<Utc> {
    app.clock.now() - TimeDelta::days(i64::from(app.settings.sync.identity_max_age_days))
}

fn places(connections: &[ConnectionView]) -> HashMap<ConnectionId, usize> {
    connections
        .iter()
        .enumerate()
        .map(|(at, view)| (view.id.clone(), at))
        .collect()
}

/// Everyone, by main address.
async fn people(app: &App, connections: &[ConnectionView]) -> Result<Vec<Subject>, StoreError> {
    let places = places(connections);
    let mut people: Vec<Subject> = Vec::new();
    let mut after = String::new();
    loop {
        let page = app.store.person_brief(&after, LIST_LIMIT_MAX).await?;
        let Some((_, last)) = page.last() else { break };
        after.clone_from(last);
        people.extend(page.into_iter().map(|(id, email)| subject(id, &email)));
    }
    let by_id: HashMap<String, usize> = people
        .iter()
        .enumerate()
        .map(|(at, subject)| (subject.person_id.0.clone(), at))
        .collect();
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    each_row!(rows,
    app.store.member_brief(after, LIST_LIMIT_MAX).await?,
    |after| (row.connection_id.0.clone(), row.id.clone()),
    row => {
        let person = row.person_id.as_ref().and_then(|id| by_id.get(id)).copied();
        if let (Some(person), Some(at)) = (person, places.get(&row.connection_id)) {
            people[person].members.push(membership(*at, row, &mut names)?);
        }
    });
    let mut details: HashMap<(String, String), AccessUserDetailRow> = HashMap::new();
    each_row!(rows,
    app.store.access_user_detail_list(None, after, LARGE_ROWS).await?,
    |after| (row.connection_id.0.clone(), row.access_user_id.clone()),
    row => {
        details.insert((row.connection_id.0.clone(), row.access_user_id.clone()), row);
    });
    let oldest = identity_oldest(app);
    each_row!(rows,
    app.store.access_user_brief(after, LIST_LIMIT_MAX).await?,
    |after| (row.connection_id.0.clone(), row.id.clone()),
    row => {
        let person = row.person_id.as_ref().and_then(|id| by_id.get(id)).copied();
        if let (Some(person), Some(at)) = (person, places.get(&row.connection_id)) {
            let detail = details.remove(&(row.connection_id.0.clone(), row.id.clone()));
            people[person].users.push(user(*at, &row, detail, oldest)?);
        }
    });
    let mut aliases: HashMap<usize, Vec<Box<str>>> = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = app
            .store
            .person_alias_list(after.as_deref(), LIST_LIMIT_MAX)
            .await?;
        let Some(last) = page.last() else { break };
        after = Some(last.address.clone());
        for row in page {
            if let Some(person) = by_id.get(row.person_id.as_str()) {
                aliases.entry(*person).or_default().push(row.address.into());
            }
        }
    }
    for (at, subject) in people.iter_mut().enumerate() {
        finish(subject, aliases.remove(&at).into_iter().flatten());
    }
    // Whoever is in no list any more holds nothing.
    people.retain(|subject| !subject.members.is_empty() || !subject.users.is_empty());
    Ok(people)
}

fn subject(person_id: PersonId, email: &str) -> Subject {
    Subject {
        person_id,
        email: email.into(),
        further: Vec::new(),
        members: Vec::new(),
        users: Vec::new(),
    }
}

/// Collects every address that the person has anywhere.
fn finish(subject: &mut Subject, aliases: impl Iterator<Item = Box<str>>) {
    let mut addresses: Vec<Box<str>> = aliases.collect();
    addresses.extend(
        subject
            .members
            .iter()
            .map(|member| address::compared(&member.email).into()),
    );
    addresses.extend(subject.users.iter().map(|user| user.email.clone()));
    addresses.sort_unstable();
    addresses.dedup();
    addresses.retain(|address| *address != subject.email && address.contains('@'));
    addresses.shrink_to_fit();
    subject.further = addresses;
    subject.members.shrink_to_fit();
    subject.users.shrink_to_fit();
}

fn membership(
    connection: usize,
    row: MemberRow,
    names: &mut HashMap<String, Arc<str>>,
) -> Result<Membership, StoreError> {
    // The same few ids and names stand at thousands of members.
    let mut shared = |text: &Value| -> Arc<str> {
        let text = text.as_str().unwrap_or_default().to_owned();
        Arc::clone(names.entry(text).or_insert_with_key(|text| text.as_str().into()))
    };
    let roles: Vec<Role> = row
        .roles_json()?
        .iter()
        .map(|role| (shared(&role["id"]), shared(&role["name"])))
        .collect();
    let policies = if row.policies == "[]" {
        Vec::new()
    } else {
        row.policies_json()?
    };
    Ok(Membership {
        connection,
        id: row.id.into(),
        email: row.email.into(),
        is_accepted: row.status == "accepted",
        roles,
        policies,
    })
}

fn user(
    connection: usize,
    row: &AccessUserRow,
    detail: Option<AccessUserDetailRow>,
    oldest: DateTime<Utc>,
) -> Result<User, StoreError> {
    let identity = detail
        .as_ref()
        .map(AccessUserDetailRow::identity_json)
        .transpose()?;
    Ok(User {
        connection,
        email: address::compared(&row.email).into(),
        identity: identity
            .flatten()
            .map(|raw| Box::new(Identity::read(&raw, oldest))),
        problem: detail.and_then(|detail| detail.problem).map(Into::into),
    })
}
