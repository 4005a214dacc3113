//! What a sync changed of the grants: who got, lost, or holds something with another certainty.
//!
//! Grants are not stored. The lists as they were are put together from what the runs kept of them, and both states
//! are evaluated, for the people and groups that anything of it can concern. Start reading at [`Run::grants`].

use super::{Count, Run, SyncError};
use crate::access::account::Account;
use crate::access::dashboard::Dashboard;
use crate::access::subject::{Membership, Subject, User};
use crate::access::view::{add_list, nested_in};
use crate::access::{AccessView, GrantFilter};
use model::{Certainty, ConnectionId, GrantKind, ListKind, PersonId};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use store::{GrantChangeRow, LIST_LIMIT_MAX, StoreError, SyncChangeRow};

/// Changes of grants that are kept one by one with a run; beyond these there are only counts. Chosen: more than
/// anyone reads.
const KEPT_MAX: usize = 10_000;

impl Run<'_> {
    /// Counts the grants that follow from the lists, and keeps what changed.
    pub(super) async fn grants(&self) -> Result<BTreeMap<String, Count>, SyncError> {
        let changes = self.open_changes().await?;
        let view = AccessView::of_connection(self.app, self.connection).await?;
        let place = view
            .place(self.connection)
            .ok_or(StoreError::Gone("the connection"))?;
        let before = if changes.is_empty() {
            None
        } else {
            Some(Before::load(self, &changes).await?)
        };
        let run_id = self.run_id.clone();
        // Minutes of work in a very large account: other tasks, and the lease, go on meanwhile.
        let compared = tokio::task::spawn_blocking(move || {
            let counts = view.grant_counts(place);
            let differences = before.map_or_else(Differences::default, |before| {
                before.compare(&view, place, &run_id)
            });
            (counts, differences)
        });
        let (counts, differences) = compared.await.map_err(|_| StoreError::Gone("the comparison"))?;
        self.app
            .store
            .grant_change_keep(self.connection, &differences.kept)
            .await?;
        let mut report = BTreeMap::new();
        for kind in [
            GrantKind::AccessGroup,
            GrantKind::PermissionGroup,
            GrantKind::Role,
            GrantKind::UserGroup,
        ] {
            let (added, changed, gone) = differences.counts.get(&kind).copied().unwrap_or_default();
            report.insert(
                format!("{kind}_grants").replace('-', "_"),
                Count {
                    seen: counts.get(&kind).copied().unwrap_or_default(),
                    gone,
                    added,
                    changed,
                },
            );
        }
        Ok(report)
    }

    /// What runs found whose grants were not compared yet: this one's, and those of runs that were killed.
    async fn open_changes(&self) -> Result<Vec<SyncChangeRow>, StoreError> {
        let mut changes: Vec<SyncChangeRow> = Vec::new();
        loop {
            let after = changes
                .last()
                .map(|row| (row.run_id.clone(), row.kind, row.object_id.clone()));
            let after = after
                .as_ref()
                .map(|(run, kind, id)| (run.as_str(), kind.as_str(), id.as_str()));
            let page = self
                .app
                .store
                .sync_change_open(self.connection, after, LIST_LIMIT_MAX)
                .await?;
            if page.is_empty() {
                return Ok(changes);
            }
            changes.extend(page.into_iter().map(|mut row| {
                // What is now is read from the lists.
                row.after = None;
                row
            }));
        }
    }
}

/// The lists as they were.
struct Before {
    account: Account,
    /// Groups whose answers may differ, by id in lower case.
    groups: HashSet<String>,
    /// Addresses of those whose memberships or Access users changed, with what they had: `None` when they had it
    /// not.
    members: HashMap<String, Vec<Change>>,
    users: HashMap<String, Vec<Change>>,
    connection: ConnectionId,
}

/// A membership or Access user that is different now.
struct Change {
    id: String,
    before: Option<Value>,
}

#[derive(Default)]
struct Differences {
    kept: Vec<GrantChangeRow>,
    /// Added, changed, removed.
    counts: BTreeMap<GrantKind, (usize, usize, usize)>,
}

impl Before {
    async fn load(run: &Run<'_>, changes: &[SyncChangeRow]) -> Result<Before, StoreError> {
        let read = |row: &SyncChangeRow| row.before_json();
        // Of several runs the first says how it was.
        let mut first: HashMap<(ListKind, &str), &SyncChangeRow> = HashMap::new();
        let mut ordered: Vec<&SyncChangeRow> = changes.iter().collect();
        ordered.sort_by(|a, b| (a.at, &a.run_id).cmp(&(b.at, &b.run_id)));
        for row in ordered {
            first.entry((row.kind, &row.object_id)).or_insert(row);
        }
        let account_id = run.account.as_ref().map_or("", |id| id.as_str());
        let mut account = Account::new(
            0,
            account_id,
            HashMap::from([(account_id.to_lowercase().into(), 0)]),
        );
        let mut nests: HashMap<String, Vec<String>> = HashMap::new();
        let mut touched: HashSet<String> = HashSet::new();
        let lists_changed = changes.iter().any(|row| row.kind == ListKind::ListItems);
        for id in current_lists(run, &mut account).await? {
            if let Some(row) = first.get(&(ListKind::ListItems, id.as_str())) {
                add_list(&mut account, &id, &read(row)?.unwrap_or_default());
            }
        }
        let mut names_list: HashSet<String> = HashSet::new();
        let mut add = |account: &mut Account, raw: &Value, text: &str| {
            let id = raw["id"].as_str().unwrap_or_default().to_lowercase();
            let entry = nests.entry(id.clone()).or_default();
            entry.extend(nested_in(raw).into_iter().map(|nested| nested.to_lowercase()));
            if lists_changed && text.contains("email_list") {
                names_list.insert(id);
            }
            account.add_group(raw);
        };
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let rows = run
                .app
                .store
                .access_group_list(Some(run.connection), place, 200)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.connection_id.0.clone(), last.id.clone()));
            for row in rows {
                match first.get(&(ListKind::AccessGroups, row.id.as_str())) {
                    Some(change) => {
                        if let Some(raw) = read(change)? {
                            add(&mut account, &raw, &row.raw);
                        }
                    }
                    None => {
                        add(&mut account, &row.raw_json()?, &row.raw);
                    }
                }
            }
        }
        let (mut members, mut users) = (HashMap::new(), HashMap::new());
        for ((kind, id), row) in &first {
            let people: &mut HashMap<String, Vec<Change>> = match kind {
                ListKind::AccessGroups => {
                    touched.insert(id.to_lowercase());
                    if row.change == model::ObjectChange::Removed
                        && let Some(raw) = read(row)?
                    {
                        add(&mut account, &raw, row.before.as_deref().unwrap_or_default());
                    }
                    continue;
                }
                ListKind::Members => &mut members,
                ListKind::AccessUsers => &mut users,
                _ => continue,
            };
            if let Some(email) = model::address::canonical(&row.name) {
                people.entry(email).or_default().push(Change {
                    id: (*id).to_owned(),
                    before: read(row)?,
                });
            }
        }
        account.close();
        touched.extend(names_list);
        // Whoever is asked about a group around a changed one may get another answer too.
        loop {
            let around: Vec<String> = nests
                .iter()
                .filter(|(id, nested)| {
                    !touched.contains(*id) && nested.iter().any(|nested| touched.contains(nested))
                })
                .map(|(id, _)| id.clone())
                .collect();
            if around.is_empty() {
                break;
            }
            touched.extend(around);
        }
        Ok(Before {
            account,
            groups: touched,
            members,
            users,
            connection: run.connection.clone(),
        })
    }

    fn compare(self, now: &AccessView, place: usize, run_id: &str) -> Differences {
        let mut before = AccessView::default();
        let mut connection = crate::access::view::ConnectionView {
            id: self.connection.clone(),
            label: String::new(),
            account: self.account,
            dashboard: now
                .connections
                .get(place)
                .map(|connection| connection.dashboard.clone())
                .unwrap_or_default(),
            gaps: BTreeMap::new(),
            as_of: None,
        };
        connection.account.connection = place;
        connection
            .account
            .known_accounts
            .values_mut()
            .for_each(|known| *known = place);
        // The same places as now: memberships name their connection by place.
        before.connections = (0..place)
            .map(|_| crate::access::view::ConnectionView {
                id: self.connection.clone(),
                label: String::new(),
                account: Account::default(),
                dashboard: Dashboard::default(),
                gaps: BTreeMap::new(),
                as_of: None,
            })
            .collect();
        before.connections.push(connection);

        let mut result = Differences::default();
        let all = GrantFilter::default();
        let groups_alone = GrantFilter {
            kind: Some(GrantKind::AccessGroup),
            ..GrantFilter::default()
        };
        let mut seen: HashSet<&str> = HashSet::new();
        for subject in &now.people {
            seen.extend(subject.addresses());
            let changed = subject
                .addresses()
                .any(|address| self.members.contains_key(address) || self.users.contains_key(address));
            if !changed && self.groups.is_empty() {
                continue;
            }
            let filter = if changed { &all } else { &groups_alone };
            let earlier = if changed {
                earlier(subject, place, &self.members, &self.users)
            } else {
                Some(subject.clone())
            };
            let held = earlier.map_or_else(BTreeMap::new, |earlier| {
                before.certainties(&earlier, place, filter)
            });
            let holds = now.certainties(subject, place, filter);
            let concerns = |kind: GrantKind, id: &str| {
                changed || (kind == GrantKind::AccessGroup && self.groups.contains(&id.to_lowercase()))
            };
            result.note(run_id, &subject.email, &held, &holds, concerns);
        }
        // Those who are in no list any more.
        let gone: HashSet<&String> = self.members.keys().chain(self.users.keys()).collect();
        for email in gone {
            if seen.contains(email.as_str()) {
                continue;
            }
            let nobody = Subject {
                person_id: PersonId(String::new()),
                email: email.as_str().into(),
                further: Vec::new(),
                members: Vec::new(),
                users: Vec::new(),
            };
            if let Some(earlier) = earlier(&nobody, place, &self.members, &self.users) {
                let held = before.certainties(&earlier, place, &all);
                result.note(run_id, email, &held, &BTreeMap::new(), |_, _| true);
            }
        }
        result
    }
}

type Held = BTreeMap<(GrantKind, Box<str>), (Box<str>, Certainty)>;

impl Differences {
    fn note(
        &mut self,
        run_id: &str,
        email: &str,
        held: &Held,
        holds: &Held,
        concerns: impl Fn(GrantKind, &str) -> bool,
    ) {
        let keys: HashSet<&(GrantKind, Box<str>)> = held.keys().chain(holds.keys()).collect();
        for key @ (kind, id) in keys {
            // What user groups give is not compared: only who is in them is kept of the past.
            let is_compared = matches!(kind, GrantKind::AccessGroup | GrantKind::Role);
            if !is_compared || !concerns(*kind, id) {
                continue;
            }
            let (old, new) = (held.get(key), holds.get(key));
            let certainty = |side: Option<&(Box<str>, Certainty)>| side.map(|(_, certainty)| *certainty);
            if certainty(old) == certainty(new) {
                continue;
            }
            let counts = self.counts.entry(*kind).or_default();
            match (old, new) {
                (None, _) => counts.0 += 1,
                (Some(_), Some(_)) => counts.1 += 1,
                (Some(_), None) => counts.2 += 1,
            }
            if self.kept.len() < KEPT_MAX {
                let name = new.or(old).map(|(name, _)| name.to_string()).unwrap_or_default();
                let word = |side| certainty(side).map(|certainty| certainty.as_str().to_owned());
                self.kept.push(GrantChangeRow {
                    run_id: run_id.to_owned(),
                    kind: *kind,
                    entitlement_id: id.to_string(),
                    entitlement_name: name,
                    email: email.to_owned(),
                    before: word(old),
                    after: word(new),
                });
            }
        }
    }
}

/// A person as they were: `None` when they were in no list.
fn earlier(
    now: &Subject,
    place: usize,
    members: &HashMap<String, Vec<Change>>,
    users: &HashMap<String, Vec<Change>>,
) -> Option<Subject> {
    let mut subject = now.clone();
    let of = |changes: &HashMap<String, Vec<Change>>, each: &mut dyn FnMut(&Change)| {
        for address in now.addresses() {
            changes.get(address).into_iter().flatten().for_each(&mut *each);
        }
    };
    of(members, &mut |change| {
        subject
            .members
            .retain(|member| member.connection != place || *member.id != *change.id);
        if let Some(raw) = &change.before {
            subject.members.push(membership(raw, place));
        }
    });
    let (mut removed, mut added) = (0, 0);
    of(users, &mut |change| match &change.before {
        None => added += 1,
        Some(_) => removed += 1,
    });
    // Access users are told apart by address alone here; one that is new was not there, one that went was.
    if added > 0 {
        subject.users.retain(|user| user.connection != place);
    }
    if removed > 0 && !subject.users.iter().any(|user| user.connection == place) {
        subject.users.push(User {
            connection: place,
            email: now.email.clone(),
            identity: None,
            problem: None,
        });
    }
    (!subject.members.is_empty() || !subject.users.is_empty()).then_some(subject)
}

fn membership(raw: &Value, place: usize) -> Membership {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let roles = raw["roles"].as_array().into_iter().flatten();
    let email = raw
        .pointer("/user/email")
        .filter(|email| email.is_string())
        .unwrap_or(&raw["email"]);
    Membership {
        connection: place,
        id: text(&raw["id"]).into(),
        email: text(email).into(),
        is_accepted: raw["status"] == "accepted",
        roles: roles
            .map(|role| (text(&role["id"]).into(), text(&role["name"]).into()))
            .collect(),
        policies: raw["policies"].as_array().cloned().unwrap_or_default(),
    }
}

/// Adds the Zero Trust lists as they are now; answers their ids.
async fn current_lists(run: &Run<'_>, account: &mut Account) -> Result<Vec<String>, StoreError> {
    let rows = run
        .app
        .store
        .account_object_list("list_items", Some(run.connection), None, LIST_LIMIT_MAX)
        .await?;
    for row in &rows {
        add_list(account, &row.id, &row.raw_json()?);
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
}
