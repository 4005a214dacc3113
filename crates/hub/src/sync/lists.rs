//! Reading each list to its end, page by page, and marking what is gone only then.

use super::{Count, Progress, Run, SyncError};
use cloudflare::paging::Pages;
use cloudflare::{AccessGroup, AccessUser, AccountId, CloudflareError, Member, SUPER_ADMINISTRATOR_ROLE_ID};
use futures::TryStreamExt;
use model::PersonId;
use serde::Serialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use store::{AccessGroupSeen, AccessUserSeen, MemberSeen, PersonSeen, RoleSeen, StoreError};

/// An address as people are joined by: lower case, without surrounding space.
pub(crate) fn canonical_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    (email.contains('@') && !email.contains(char::is_whitespace)).then_some(email)
}

impl Run<'_> {
    fn account(&self) -> Result<&AccountId, SyncError> {
        self.account.as_ref().ok_or(SyncError::List {
            what: "anything",
            source: CloudflareError::Unusable("the stored account id is not one".to_owned()),
        })
    }

    pub(super) async fn roles(&self) -> Result<Count, SyncError> {
        let account = self.account()?;
        let failed = |source| SyncError::List {
            what: "roles",
            source,
        };
        let mut roles = self.client.roles(account).await.map_err(failed)?;
        if !roles.iter().any(|role| role.id == SUPER_ADMINISTRATOR_ROLE_ID) {
            // The list leaves this one out; an account where it cannot be read has it all the same.
            match self.client.role(account, SUPER_ADMINISTRATOR_ROLE_ID).await {
                Ok(role) => roles.push(role),
                Err(CloudflareError::Refused(_)) => roles.push(cloudflare::Role {
                    id: SUPER_ADMINISTRATOR_ROLE_ID.to_owned(),
                    name: "Super Administrator - All Privileges".to_owned(),
                    description: None,
                    other: cloudflare::Others::new(),
                }),
                Err(error) => return Err(failed(error)),
            }
        }
        let seen: Vec<RoleSeen> = roles
            .iter()
            .map(|role| RoleSeen {
                id: role.id.clone(),
                name: role.name.clone(),
                description: role.description.clone(),
                raw: as_text(role),
            })
            .collect();
        let before = self.app.store.role_live(self.connection).await?;
        self.app
            .store
            .role_upsert(self.connection, &seen, self.started_at)
            .await?;
        self.refuse_half("roles", seen.len(), before)?;
        let gone = self
            .app
            .store
            .role_mark_gone(self.connection, self.started_at)
            .await?;
        Ok(Count {
            seen: seen.len(),
            gone: gone.len(),
        })
    }

    pub(super) async fn members(&self) -> Result<Count, SyncError> {
        let before = self.app.store.member_live(self.connection).await?;
        let mut reading = Reading::new("members", self.client.members(self.account()?));
        while let Some(members) = self
            .next(&mut reading, |member: &Member| member.id.clone())
            .await?
        {
            let addresses = members
                .iter()
                .filter_map(|member| Some((canonical_email(member.address()?)?, full_name(member))));
            let people = self.people(addresses).await?;
            let rows: Vec<MemberSeen> = members
                .iter()
                .map(|member| member_seen(member, &people))
                .collect();
            self.app
                .store
                .member_upsert(self.connection, &rows, self.started_at)
                .await?;
        }
        let seen = reading.ids.len();
        self.refuse_half("members", seen, before)?;
        let gone = self
            .app
            .store
            .member_mark_gone(self.connection, self.started_at)
            .await?;
        Ok(Count {
            seen,
            gone: gone.len(),
        })
    }

    pub(super) async fn access_users(&self) -> Result<Count, SyncError> {
        let before = self.app.store.access_user_live(self.connection).await?;
        let mut reading = Reading::new("Access users", self.client.access_users(self.account()?));
        while let Some(users) = self
            .next(&mut reading, |user: &AccessUser| user.id.clone())
            .await?
        {
            let addresses = users.iter().filter_map(|user| {
                let name = user.name.clone().filter(|name| !name.is_empty());
                Some((canonical_email(&user.email)?, name))
            });
            let people = self.people(addresses).await?;
            let rows: Vec<AccessUserSeen> =
                users.iter().map(|user| access_user_seen(user, &people)).collect();
            self.app
                .store
                .access_user_upsert(self.connection, &rows, self.started_at)
                .await?;
        }
        let seen = reading.ids.len();
        self.refuse_half("Access users", seen, before)?;
        let gone = self
            .app
            .store
            .access_user_mark_gone(self.connection, self.started_at)
            .await?;
        Ok(Count {
            seen,
            gone: gone.len(),
        })
    }

    pub(super) async fn access_groups(&self) -> Result<Count, SyncError> {
        let before = self.app.store.access_group_live(self.connection).await?;
        let mut reading = Reading::new("Access groups", self.client.access_groups(self.account()?));
        while let Some(groups) = self
            .next(&mut reading, |group: &AccessGroup| group.id.clone())
            .await?
        {
            let rows: Vec<AccessGroupSeen> = groups
                .iter()
                .map(|group| AccessGroupSeen {
                    id: group.id.clone(),
                    name: group.name.clone(),
                    raw: as_text(group),
                })
                .collect();
            self.app
                .store
                .access_group_upsert(self.connection, &rows, self.started_at)
                .await?;
        }
        let seen = reading.ids.len();
        self.refuse_half("Access groups", seen, before)?;
        let gone = self
            .app
            .store
            .access_group_mark_gone(self.connection, self.started_at)
            .await?;
        Ok(Count {
            seen,
            gone: gone.len(),
        })
    }

    /// The next page of a list; `None` once it was read to its end and nothing is missing.
    async fn next<T>(
        &self,
        reading: &mut Reading<T>,
        id: fn(&T) -> String,
    ) -> Result<Option<Vec<T>>, SyncError> {
        let what = reading.what;
        let page = reading
            .pages
            .try_next()
            .await
            .map_err(|source| SyncError::List { what, source })?;
        let Some(page) = page else {
            let listed = reading.ids.len() as u64;
            return match reading.total {
                // Something moved between two pages: what was not seen may still be there.
                Some(total) if listed < total => Err(SyncError::List {
                    what,
                    source: CloudflareError::Incomplete {
                        call: format!("the list of {what}"),
                        listed,
                        total,
                    },
                }),
                _ => Ok(None),
            };
        };
        reading.total = page.total.or(reading.total);
        reading.ids.extend(page.items.iter().map(id));
        (self.progress)(Progress {
            what,
            done: reading.ids.len() as u64,
            total: reading.total,
        });
        Ok(Some(page.items))
    }

    async fn people(
        &self,
        addresses: impl Iterator<Item = (String, Option<String>)>,
    ) -> Result<HashMap<String, PersonId>, StoreError> {
        let seen: Vec<PersonSeen> = addresses
            .map(|(email, name)| PersonSeen {
                new_id: PersonId(self.app.ids.new_id(self.started_at)),
                email,
                name,
            })
            .collect();
        self.app.store.person_ensure(&seen, self.started_at).await
    }

    /// A list that fell by half is more often a fault than the truth: a person must confirm it.
    fn refuse_half(&self, what: &'static str, seen: usize, before: i64) -> Result<(), SyncError> {
        /// Below this many, half is soon reached by honest changes.
        const SMALL: i64 = 10;
        if !self.confirm && before >= SMALL && (seen as i64) * 2 < before {
            return Err(SyncError::Halved { what, seen, before });
        }
        Ok(())
    }
}

/// A list on its way to its end.
struct Reading<T> {
    what: &'static str,
    pages: Pages<T>,
    /// The ids of the different things it had so far.
    ids: HashSet<String>,
    total: Option<u64>,
}

impl<T> Reading<T> {
    fn new(what: &'static str, pages: Pages<T>) -> Self {
        Self {
            what,
            pages,
            ids: HashSet::new(),
            total: None,
        }
    }
}

fn full_name(member: &Member) -> Option<String> {
    let parts = [
        member.user.first_name.as_deref(),
        member.user.last_name.as_deref(),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn member_seen(member: &Member, people: &HashMap<String, PersonId>) -> MemberSeen {
    let email = member.address().unwrap_or_default().to_owned();
    let roles: Vec<_> = member
        .roles
        .iter()
        .map(|role| json!({ "id": role.id, "name": role.name }))
        .collect();
    MemberSeen {
        id: member.id.clone(),
        person_id: canonical_email(&email).and_then(|email| people.get(&email).cloned()),
        email,
        name: full_name(member),
        status: member.status.clone(),
        // Someone who has never signed up has no second factor to speak of: that is not "off".
        two_factor: member
            .user
            .id
            .as_ref()
            .and(member.user.two_factor_authentication_enabled),
        roles: json!(roles).to_string(),
        raw: as_text(member),
    }
}

fn access_user_seen(user: &AccessUser, people: &HashMap<String, PersonId>) -> AccessUserSeen {
    AccessUserSeen {
        id: user.id.clone(),
        person_id: canonical_email(&user.email).and_then(|email| people.get(&email).cloned()),
        email: user.email.clone(),
        name: user.name.clone(),
        access_seat: user.access_seat,
        gateway_seat: user.gateway_seat,
        active_device_count: user.active_device_count.map(|count| count as i64),
        last_login_at: user.last_successful_login,
        raw: as_text(user),
    }
}

fn as_text(thing: &impl Serialize) -> String {
    serde_json::to_string(thing).unwrap_or_default()
}
