//! The lists that are kept as Cloudflare gives them: the account itself, its organisation, applications, policies,
//! identity providers, tokens, permission and user groups, and what those name.
//!
//! One pass over each list. What only a request for each thing gives is read for the few that need it: who is in
//! a user group, and what is on a Zero Trust list that some rule names.

use super::lists::{counted, listing_failed};
use super::{Count, Listed, Run, SyncError};
use crate::listed::{as_text, fingerprint};
use crate::progress::Progress;
use crate::redact::redacted;
use cloudflare::{AccountList, CloudflareError, LISTS};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{AccountObjectSeen, LIST_LIMIT_MAX, StoreError, Touched};

/// Lists that are read at once. Chosen: with the pages of the members list beside them, enough to hide latency.
const LISTS_AT_ONCE: usize = 3;
/// Zero Trust lists whose content is read. Chosen: a rule names few; each is a request of its own.
const NAMED_LISTS_MAX: usize = 100;
/// User groups whose members are read.
const USER_GROUPS_MAX: usize = 500;

impl Run<'_> {
    /// Reads every list of objects; what fails is in the answer.
    pub(super) async fn objects(&self) -> Vec<Listed> {
        let each: Vec<_> = LISTS.iter().map(|list| self.listed(list).boxed()).collect();
        let mut listed: Vec<Listed> = stream::iter(each).buffered(LISTS_AT_ONCE).collect().await;
        listed.push(("account", self.once("account", self.account_itself()).await));
        listed.push((
            "organization",
            self.once("organization", self.organization()).await,
        ));
        listed
    }

    async fn listed(&self, list: &'static AccountList) -> Listed {
        (list.kind, self.once(list.kind, self.object_list(list)).await)
    }

    /// Reads who is in each user group, and the Zero Trust lists that rules name.
    pub(super) async fn what_lists_name(&self) -> Result<Vec<Listed>, SyncError> {
        let groups = self.once("user_group_members", self.user_group_members()).await;
        let items = self.once("list_items", self.list_items()).await;
        Ok(vec![("user_group_members", groups), ("list_items", items)])
    }

    async fn object_list(&self, list: &'static AccountList) -> Result<Count, SyncError> {
        let store = &self.app.store;
        let before = store.account_object_live(self.connection, list.kind).await?;
        let mut pages = self.client.objects(self.account()?, list);
        let mut touched = Touched::default();
        let (mut seen, mut total, mut unreadable) = (BTreeSet::new(), None, 0_usize);
        while let Some(page) = pages
            .try_next()
            .await
            .map_err(|source| listing_failed(list.words, list.permission, source))?
        {
            total = page.total.or(total);
            let things: Vec<AccountObjectSeen> = page.items.iter().filter_map(object_seen).collect();
            unreadable += page.items.len() - things.len();
            seen.extend(things.iter().map(|thing| thing.id.clone()));
            let found = store
                .account_object_upsert(
                    self.connection,
                    list.kind,
                    &things,
                    self.recorded(list.kind),
                    self.started_at,
                )
                .await?;
            touched.added += found.added;
            touched.changed += found.changed;
            (self.progress)(Progress {
                what: list.words.to_owned(),
                done: seen.len() as u64,
                total,
            });
        }
        if unreadable > 0 {
            return Err(SyncError::Part {
                what: list.words,
                reason: format!("{unreadable} of {} have no ID", seen.len() + unreadable),
            });
        }
        self.refuse_incomplete(list.words, seen.len() as i64, total)?;
        self.refuse_half(list.words, seen.len(), before)?;
        let gone = self.mark_gone(list.kind).await?;
        Ok(counted(seen.len(), gone, touched))
    }

    async fn account_itself(&self) -> Result<Count, SyncError> {
        let account =
            self.client.account(self.account()?).await.map_err(|source| {
                listing_failed("the account's settings", "Account Settings Read", source)
            })?;
        self.single("account", &account.id, &account.name, &account).await
    }

    async fn organization(&self) -> Result<Count, SyncError> {
        const READ: &str = "Access: Organizations, Identity Providers, and Groups Read";
        let organization = self
            .client
            .organization(self.account()?)
            .await
            .map_err(|source| listing_failed("the Zero Trust organisation", READ, source))?;
        let name = organization.name.clone().unwrap_or_default();
        self.single("organization", "organization", &name, &organization)
            .await
    }

    /// Keeps an object of which there is one.
    async fn single(
        &self,
        kind: &'static str,
        id: &str,
        name: &str,
        thing: &impl serde::Serialize,
    ) -> Result<Count, SyncError> {
        let seen = AccountObjectSeen {
            id: id.to_owned(),
            name: name.to_owned(),
            raw: as_text(&redacted(serde_json::to_value(thing).unwrap_or_default())),
            fingerprint: fingerprint(thing),
        };
        let touched = self
            .app
            .store
            .account_object_upsert(
                self.connection,
                kind,
                &[seen],
                self.recorded(kind),
                self.started_at,
            )
            .await?;
        let gone = self.mark_gone(kind).await?;
        Ok(counted(1, gone, touched))
    }

    async fn mark_gone(&self, kind: &str) -> Result<usize, StoreError> {
        let gone = self
            .app
            .store
            .account_object_mark_gone(self.connection, kind, self.started_at, self.recorded(kind))
            .await?;
        Ok(gone.len())
    }

    async fn user_group_members(&self) -> Result<Count, SyncError> {
        let store = &self.app.store;
        let groups = store
            .account_object_list("user_groups", Some(self.connection), None, LIST_LIMIT_MAX)
            .await?;
        let ids = groups.into_iter().map(|row| row.id).collect();
        self.contents(Content::UserGroup, ids, USER_GROUPS_MAX).await
    }

    async fn list_items(&self) -> Result<Count, SyncError> {
        let ids = self.named_lists().await?.into_iter().collect();
        self.contents(Content::List, ids, NAMED_LISTS_MAX).await
    }

    /// The e-mail lists that groups and policies name.
    async fn named_lists(&self) -> Result<BTreeSet<String>, StoreError> {
        let store = &self.app.store;
        let mut named = BTreeSet::new();
        // Most objects name none, and need not be parsed to know that.
        let may_name = |text: &str| text.contains("email_list");
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let rows = store.access_group_list(Some(self.connection), place, 200).await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.connection_id.0.clone(), last.id.clone()));
            for row in rows.iter().filter(|row| may_name(&row.raw)) {
                named.extend(lists_in(&row.raw_json()?));
            }
        }
        for kind in ["policies", "apps"] {
            let mut after: Option<(String, String)> = None;
            loop {
                let place = after
                    .as_ref()
                    .map(|(connection, id)| (connection.as_str(), id.as_str()));
                let rows = store
                    .account_object_list(kind, Some(self.connection), place, 200)
                    .await?;
                let Some(last) = rows.last() else { break };
                after = Some((last.connection_id.0.clone(), last.id.clone()));
                for row in rows.iter().filter(|row| may_name(&row.raw)) {
                    named.extend(lists_in(&row.raw_json()?));
                }
            }
        }
        Ok(named)
    }

    /// Reads the content of each of the first `at_most` of these and keeps it under the same id. One that fails, or
    /// is given in part, stops no other: what could not be read is named.
    async fn contents(
        &self,
        what: Content,
        mut ids: Vec<String>,
        at_most: usize,
    ) -> Result<Count, SyncError> {
        let kind = what.kind();
        let mut gaps = Vec::new();
        if ids.len() > at_most {
            gaps.push(format!("only the first {at_most} of {} were read", ids.len()));
            ids.truncate(at_most);
        }
        let tried = ids.len();
        let read: Vec<(String, Result<Value, SyncError>)> = stream::iter(ids)
            .map(|id| self.content(what, id).boxed())
            .buffered(LISTS_AT_ONCE)
            .collect()
            .await;
        let (mut seen, mut failed) = (Vec::new(), Vec::new());
        for (id, content) in read {
            match content {
                Ok(Value::Null) => {}
                Ok(content) => {
                    if let Some(reason) = content["partial"].as_str() {
                        gaps.push(format!("{id}: {reason}"));
                    }
                    seen.push(AccountObjectSeen {
                        id,
                        name: String::new(),
                        raw: as_text(&content),
                        fingerprint: fingerprint(&content),
                    });
                }
                Err(error) => {
                    gaps.push(format!("{id}: {}", crate::causes(&error)));
                    failed.push(error);
                }
            }
        }
        let touched = self
            .app
            .store
            .account_object_upsert(self.connection, kind, &seen, self.recorded(kind), self.started_at)
            .await?;
        if touched.added + touched.changed > 0 {
            self.app.store.access_revision_bump().await?;
        }
        if failed.len() == tried
            && let Some(error) = failed.pop()
        {
            // All alike: the reason says it better than a list of ids.
            return Err(error);
        }
        if !gaps.is_empty() {
            return Err(SyncError::Part {
                what: what.words(),
                reason: gaps.join("; "),
            });
        }
        let gone = self.mark_gone(kind).await?;
        Ok(counted(seen.len(), gone, touched))
    }

    async fn content(&self, what: Content, id: String) -> (String, Result<Value, SyncError>) {
        let content = match what {
            Content::UserGroup => self.user_group_content(&id).await,
            Content::List => self.list_content(&id).await,
        };
        (id, content)
    }

    async fn user_group_content(&self, id: &str) -> Result<Value, SyncError> {
        let members = self.client.user_group_members(self.account()?, id).await;
        let members = members
            .map_err(|source| listing_failed("members of user groups", "Account Settings Read", source))?;
        let nameless = members
            .items
            .iter()
            .filter(|member| member["id"].as_str().or(member["email"].as_str()).is_none())
            .count();
        let partial = members
            .partial
            .or_else(|| (nameless > 0).then(|| format!("{nameless} members have neither ID nor address")));
        Ok(with_reason(json!({ "members": members.items }), partial))
    }

    async fn list_content(&self, id: &str) -> Result<Value, SyncError> {
        let listed = self
            .app
            .store
            .account_object_get(self.connection, "lists", id)
            .await?;
        let count = match listed {
            Some(row) => row.raw_json()?["count"].as_f64().map(|count| count as u64),
            None => None,
        };
        match self.client.list_items(self.account()?, id, count).await {
            Ok(items) => {
                let unreadable = items
                    .items
                    .iter()
                    .filter(|item| !item["value"].is_string())
                    .count();
                let partial = items
                    .partial
                    .or_else(|| (unreadable > 0).then(|| format!("{unreadable} entries have no value")));
                Ok(with_reason(json!({ "items": items.items }), partial))
            }
            // A rule may name a list that is gone: the rest can still be read.
            Err(CloudflareError::Refused(refusal)) if refusal.status == 404 => Ok(Value::Null),
            Err(source) => Err(listing_failed(
                "the content of Zero Trust lists",
                "Zero Trust Read",
                source,
            )),
        }
    }
}

/// The content with the reason why it is only a part, where it is.
fn with_reason(mut content: Value, partial: Option<String>) -> Value {
    if let Some(reason) = partial {
        content["partial"] = json!(reason);
    }
    content
}

/// What is read of one thing at its own address.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// The members of a user group.
    UserGroup,
    /// The values on a Zero Trust list.
    List,
}

impl Content {
    fn words(self) -> &'static str {
        match self {
            Content::UserGroup => "the members of user groups",
            Content::List => "the content of Zero Trust lists",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Content::UserGroup => "user_group_members",
            Content::List => "list_items",
        }
    }
}

fn object_seen(raw: &Value) -> Option<AccountObjectSeen> {
    let text = |name: &str| raw.get(name).and_then(Value::as_str);
    Some(AccountObjectSeen {
        id: text("id").or_else(|| text("uid"))?.to_owned(),
        name: text("name").unwrap_or_default().to_owned(),
        raw: as_text(&redacted(raw.clone())),
        fingerprint: fingerprint(raw),
    })
}

/// The e-mail lists that the rules anywhere in this object name.
fn lists_in(raw: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![raw];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(members) => {
                if let Some(id) = members.get("email_list").and_then(|inner| inner["id"].as_str()) {
                    found.push(id.to_owned());
                }
                waiting.extend(members.values());
            }
            Value::Array(values) => waiting.extend(values),
            _ => {}
        }
    }
    found
}
