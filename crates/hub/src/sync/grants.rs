//! Works out who holds what from the lists that are stored.

use super::{Count, Run, SyncError};
use crate::membership::{Group, Groups};
use model::{Certainty, GrantKind, PersonId};
use std::collections::BTreeMap;
use store::{AccessGroupRow, AccessUserRow, GrantSeen, LIST_LIMIT_MAX, MemberRow, StoreError};

/// Reads a list of the store to its end.
macro_rules! whole {
    ($run:expr, $list:ident, $row:ty) => {{
        let mut rows: Vec<$row> = Vec::new();
        loop {
            let after = rows
                .last()
                .map(|row| (row.connection_id.0.clone(), row.id.clone()));
            let after = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let part = $run
                .app
                .store
                .$list(Some($run.connection), after, LIST_LIMIT_MAX)
                .await?;
            if part.is_empty() {
                break rows;
            }
            rows.extend(part);
        }
    }};
}

impl Run<'_> {
    /// Replaces the grants of this connection by what the lists now say.
    pub(super) async fn grants(&self) -> Result<BTreeMap<String, Count>, SyncError> {
        let members = whole!(self, member_list, MemberRow);
        let users = whole!(self, access_user_list, AccessUserRow);
        let groups = whole!(self, access_group_list, AccessGroupRow);
        let of_roles = role_grants(&members);
        let of_groups = group_grants(&members, &users, &groups);
        let mut counts = BTreeMap::new();
        for (kind, grants) in [(GrantKind::Role, of_roles), (GrantKind::AccessGroup, of_groups)] {
            let (_, removed) = self.replace(kind, &grants).await?;
            counts.insert(
                format!("{kind}_grants").replace('-', "_"),
                Count {
                    seen: grants.len(),
                    gone: removed,
                },
            );
        }
        Ok(counts)
    }

    async fn replace(&self, kind: GrantKind, grants: &[GrantSeen]) -> Result<(usize, usize), StoreError> {
        self.app
            .store
            .grant_replace(self.connection, kind, grants, self.started_at)
            .await
    }
}

fn role_grants(members: &[MemberRow]) -> Vec<GrantSeen> {
    #[derive(serde::Deserialize)]
    struct Role {
        id: String,
        name: String,
    }
    let mut grants = BTreeMap::new();
    for member in members {
        let Some(person) = &member.person_id else { continue };
        let roles: Vec<Role> = serde_json::from_str(&member.roles).unwrap_or_default();
        for role in roles {
            // An invitation gives nothing until it is accepted.
            let certainty = if member.status == "accepted" {
                Certainty::Yes
            } else {
                Certainty::Conditional
            };
            let via = if certainty == Certainty::Yes {
                vec![format!("role {}", role.name), format!("member {}", member.email)]
            } else {
                vec![
                    format!("role {}", role.name),
                    format!("depends on the invitation of {} being accepted", member.email),
                ]
            };
            let key = (role.id.clone(), person.clone());
            let grant = GrantSeen {
                entitlement_id: role.id,
                entitlement_name: role.name,
                person_id: PersonId(person.clone()),
                certainty,
                via: serde_json::to_string(&via).unwrap_or_default(),
            };
            let kept = grants.entry(key).or_insert_with(|| grant.clone());
            if certainty == Certainty::Yes {
                *kept = grant;
            }
        }
    }
    grants.into_values().collect()
}

fn group_grants(members: &[MemberRow], users: &[AccessUserRow], groups: &[AccessGroupRow]) -> Vec<GrantSeen> {
    let groups: Groups = groups
        .iter()
        .filter_map(|row| Group::read(&serde_json::from_str(&row.raw).ok()?))
        .collect();
    // Both populations: someone may be let in by Access without ever being a dashboard member, and the other
    // way round.
    let people: BTreeMap<&str, String> = members
        .iter()
        .map(|member| (&member.person_id, &member.email))
        .chain(users.iter().map(|user| (&user.person_id, &user.email)))
        .filter_map(|(person, email)| Some((person.as_deref()?, super::lists::canonical_email(email)?)))
        .collect();
    let mut grants = Vec::new();
    for group in groups.iter() {
        for (person, email) in &people {
            let membership = groups.membership(group, email);
            if let Some(certainty) = membership.certainty {
                grants.push(GrantSeen {
                    entitlement_id: group.id.clone(),
                    entitlement_name: group.name.clone(),
                    person_id: PersonId((*person).to_owned()),
                    certainty,
                    via: serde_json::to_string(&membership.via).unwrap_or_default(),
                });
            }
        }
    }
    grants
}
