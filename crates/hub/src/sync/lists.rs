//! Reading each list to its end, page by page, and marking what is gone only then.

use super::{Count, Run, SyncError};
use crate::listed::{access_user_seen, as_text, fingerprint, full_name, member_seen};
use crate::progress::Progress;
use cloudflare::paging::Pages;
use cloudflare::{AccessGroup, AccessUser, AccountId, CloudflareError, Member, SUPER_ADMINISTRATOR_ROLE_ID};
use futures::TryStreamExt;
use model::{PersonId, address};
use std::collections::HashMap;
use store::{AccessGroupSeen, AccessUserSeen, MemberSeen, PersonSeen, RoleSeen, StoreError, Touched};

impl Run<'_> {
    pub(super) fn account(&self) -> Result<&AccountId, SyncError> {
        self.account.as_ref().ok_or(SyncError::List {
            what: "anything",
            permission: None,
            source: CloudflareError::Unusable("the stored account ID is invalid".to_owned()),
        })
    }

    pub(super) async fn roles(&self) -> Result<Count, SyncError> {
        let account = self.account()?;
        let failed = |source| listing_failed("roles", ACCOUNT_SETTINGS_READ, source);
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
                fingerprint: fingerprint(role),
            })
            .collect();
        let before = self.app.store.role_live(self.connection).await?;
        let run = self.recorded("roles");
        let touched = self
            .app
            .store
            .role_upsert(self.connection, &seen, run, self.started_at)
            .await?;
        self.refuse_half("roles", seen.len(), before)?;
        let gone = self
            .app
            .store
            .role_mark_gone(self.connection, self.started_at, run)
            .await?;
        Ok(counted(seen.len(), gone.len(), touched))
    }

    pub(super) async fn members(&self) -> Result<Count, SyncError> {
        let (kind, store) = ("members", &self.app.store);
        let run = self.recorded(kind);
        let before = store.member_live(self.connection).await?;
        let mut from = self.first_page(kind).await?;
        let mut touched = Touched::default();
        let total = 'again: loop {
            let fresh = store.member_fresh(self.connection, self.started_at).await?;
            let mut reading = Reading::new(
                "members",
                ACCOUNT_SETTINGS_READ,
                from,
                fresh,
                self.client.members(self.account()?, from),
            );
            while let Some(members) = self.next(&mut reading).await? {
                let members: Vec<Member> = members;
                let addresses = members
                    .iter()
                    .filter_map(|member| Some((address::canonical(member.address()?)?, full_name(member))));
                let people = self.people(addresses).await?;
                let rows: Vec<MemberSeen> = members
                    .iter()
                    .map(|member| member_seen(member, &people))
                    .collect();
                let found = store
                    .member_upsert(self.connection, &rows, run, self.started_at)
                    .await?;
                touched.added += found.added;
                touched.changed += found.changed;
                let fresh = store.member_fresh(self.connection, self.started_at).await?;
                if reading.has_moved(fresh) {
                    // Something moved while the run was away: a page may have been missed.
                    from = 1;
                    continue 'again;
                }
                self.turn_page(kind, reading.page, reading.progress()).await?;
            }
            break reading.total;
        };
        let seen = store.member_fresh(self.connection, self.started_at).await?;
        self.refuse_incomplete("members", seen, total)?;
        self.refuse_half("members", seen as usize, before)?;
        let gone = store
            .member_mark_gone(self.connection, self.started_at, run)
            .await?;
        Ok(counted(seen as usize, gone.len(), touched))
    }

    pub(super) async fn access_users(&self) -> Result<Count, SyncError> {
        let (kind, store) = ("access_users", &self.app.store);
        let run = self.recorded(kind);
        let before = store.access_user_live(self.connection).await?;
        let mut from = self.first_page(kind).await?;
        let mut touched = Touched::default();
        let total = 'again: loop {
            let fresh = store.access_user_fresh(self.connection, self.started_at).await?;
            let mut reading = Reading::new(
                "Access users",
                ACCESS_LOGS_READ,
                from,
                fresh,
                self.client.access_users(self.account()?, from),
            );
            while let Some(users) = self.next(&mut reading).await? {
                let users: Vec<AccessUser> = users;
                let addresses = users.iter().filter_map(|user| {
                    let name = user.name.clone().filter(|name| !name.is_empty());
                    Some((address::canonical(&user.email)?, name))
                });
                let people = self.people(addresses).await?;
                let rows: Vec<AccessUserSeen> =
                    users.iter().map(|user| access_user_seen(user, &people)).collect();
                let found = store
                    .access_user_upsert(self.connection, &rows, run, self.started_at)
                    .await?;
                touched.added += found.added;
                touched.changed += found.changed;
                let fresh = store.access_user_fresh(self.connection, self.started_at).await?;
                if reading.has_moved(fresh) {
                    // Something moved while the run was away: a page may have been missed.
                    from = 1;
                    continue 'again;
                }
                self.turn_page(kind, reading.page, reading.progress()).await?;
            }
            break reading.total;
        };
        let seen = store.access_user_fresh(self.connection, self.started_at).await?;
        self.refuse_incomplete("Access users", seen, total)?;
        self.refuse_half("Access users", seen as usize, before)?;
        let gone = store
            .access_user_mark_gone(self.connection, self.started_at, run)
            .await?;
        Ok(counted(seen as usize, gone.len(), touched))
    }

    pub(super) async fn access_groups(&self) -> Result<Count, SyncError> {
        let (kind, store) = ("access_groups", &self.app.store);
        let run = self.recorded(kind);
        let before = store.access_group_live(self.connection).await?;
        let mut from = self.first_page(kind).await?;
        let mut touched = Touched::default();
        let total = 'again: loop {
            let fresh = store.access_group_fresh(self.connection, self.started_at).await?;
            let mut reading = Reading::new(
                "Access groups",
                ACCESS_GROUPS_READ,
                from,
                fresh,
                self.client.access_groups(self.account()?, from),
            );
            while let Some(groups) = self.next(&mut reading).await? {
                let groups: Vec<AccessGroup> = groups;
                let rows: Vec<AccessGroupSeen> = groups
                    .iter()
                    .map(|group| AccessGroupSeen {
                        id: group.id.clone(),
                        name: group.name.clone(),
                        raw: as_text(group),
                        fingerprint: fingerprint(group),
                    })
                    .collect();
                let found = store
                    .access_group_upsert(self.connection, &rows, run, self.started_at)
                    .await?;
                touched.added += found.added;
                touched.changed += found.changed;
                let fresh = store.access_group_fresh(self.connection, self.started_at).await?;
                if reading.has_moved(fresh) {
                    // Something moved while the run was away: a page may have been missed.
                    from = 1;
                    continue 'again;
                }
                self.turn_page(kind, reading.page, reading.progress()).await?;
            }
            break reading.total;
        };
        let seen = store.access_group_fresh(self.connection, self.started_at).await?;
        self.refuse_incomplete("Access groups", seen, total)?;
        self.refuse_half("Access groups", seen as usize, before)?;
        let gone = store
            .access_group_mark_gone(self.connection, self.started_at, run)
            .await?;
        Ok(counted(seen as usize, gone.len(), touched))
    }

    /// The page to begin a list with: the one before the page that a run that was cut off would have read next,
    /// so that what moved in the meantime is noticed.
    async fn first_page(&self, kind: &str) -> Result<u64, StoreError> {
        if !self.is_resumed {
            return Ok(1);
        }
        let store = &self.app.store;
        let next = store
            .listing_progress_get(self.connection, kind, &self.run_id)
            .await?;
        Ok(next.map_or(1, |page| page.saturating_sub(1).max(1)))
    }

    /// The next page of a list; `None` once it was read to its end.
    async fn next<T>(&self, reading: &mut Reading<T>) -> Result<Option<Vec<T>>, SyncError> {
        let page = reading
            .pages
            .try_next()
            .await
            .map_err(|source| listing_failed(reading.what, reading.permission, source))?;
        let Some(page) = page else { return Ok(None) };
        reading.total = page.total.or(reading.total);
        reading.page += 1;
        Ok(Some(page.items))
    }

    /// Remembers that a page is stored.
    async fn turn_page(&self, kind: &str, next_page: u64, progress: Progress) -> Result<(), StoreError> {
        (self.progress)(progress);
        self.app
            .store
            .listing_progress_set(self.connection, kind, &self.run_id, next_page)
            .await
    }

    /// Something moved between two pages: what was not seen may still be there.
    pub(super) fn refuse_incomplete(
        &self,
        what: &'static str,
        seen: i64,
        total: Option<u64>,
    ) -> Result<(), SyncError> {
        let listed = seen.unsigned_abs();
        match total {
            Some(total) if listed < total => Err(SyncError::List {
                what,
                permission: None,
                source: CloudflareError::Incomplete {
                    call: format!("the list of {what}"),
                    listed,
                    total,
                },
            }),
            _ => Ok(()),
        }
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
        crate::people::ensure(self.app, seen, self.started_at).await
    }

    /// A list that fell by half is more often a fault than the truth: a person must confirm it.
    pub(super) fn refuse_half(&self, what: &'static str, seen: usize, before: i64) -> Result<(), SyncError> {
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
    permission: &'static str,
    pages: Pages<T>,
    /// The page that comes next.
    page: u64,
    /// Whether the page on the way was stored before the run was cut off.
    is_overlap: bool,
    /// How many different things the run has seen.
    fresh: i64,
    total: Option<u64>,
}

impl<T> Reading<T> {
    fn new(what: &'static str, permission: &'static str, from: u64, fresh: i64, pages: Pages<T>) -> Self {
        Self {
            what,
            permission,
            pages,
            page: from,
            is_overlap: from > 1,
            fresh,
            total: None,
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            what: self.what.to_owned(),
            done: self.fresh.unsigned_abs(),
            total: self.total,
        }
    }

    /// Whether the page that was just stored, which a run that was cut off had stored before, has something new:
    /// then the pages before it have changed.
    fn has_moved(&mut self, fresh: i64) -> bool {
        let moved = self.is_overlap && fresh > self.fresh;
        self.is_overlap = false;
        self.fresh = fresh;
        moved
    }
}

/// The permission groups that the lists need.
///
/// Source: Cloudflare's API description, `x-api-token-group` of each operation.
const ACCOUNT_SETTINGS_READ: &str = "Account Settings Read";
const ACCESS_LOGS_READ: &str = "Access: Audit Logs Read";
const ACCESS_GROUPS_READ: &str = "Access: Organizations, Identity Providers, and Groups Read";

/// A list that could not be read; when Cloudflare does not allow it, with the permission that would.
pub(super) fn listing_failed(
    what: &'static str,
    permission: &'static str,
    source: CloudflareError,
) -> SyncError {
    let is_refused = source.refusal().is_some_and(cloudflare::Refusal::is_not_allowed);
    SyncError::List {
        what,
        permission: is_refused.then_some(permission),
        source,
    }
}

pub(super) fn counted(seen: usize, gone: usize, touched: Touched) -> Count {
    Count {
        seen,
        gone,
        added: touched.added,
        changed: touched.changed,
    }
}
