//! Writes through to the stored lists what a change just read.
//!
//! Writes `access_group`, `member`, `access_user` and people whom no list had: the guards of the next change look at
//! them. Changes nothing at Cloudflare. Start reading at [`keep`].

use super::ProvisionError;
use super::context::RequestContext;
use super::plan::Plan;
use super::request::Request;
use crate::listed::{access_user_seen, as_text, fingerprint, member_seen};
use model::{PersonId, address};
use serde_json::Value;
use std::collections::HashMap;
use store::{AccessGroupSeen, PersonSeen};

/// Writes through to the stored lists what was just read.
pub(super) async fn keep(context: &RequestContext<'_>, planned: &Plan) -> Result<(), ProvisionError> {
    let (store, connection) = (&context.app.store, &context.connection.id);
    let now = context.app.clock.now();
    let raw = &planned.before;
    let is_gone = raw.is_null() || planned.object_id.is_empty();
    match planned.object_kind {
        "group" if !is_gone => {
            let seen = AccessGroupSeen {
                id: planned.object_id.clone(),
                name: planned.object_name.clone(),
                raw: as_text(raw),
                fingerprint: fingerprint(raw),
            };
            store.access_group_upsert(connection, &[seen], None, now).await?;
        }
        "member" if is_gone => {
            store
                .member_forget(connection, planned.request.email(), now)
                .await?;
        }
        "access_user" if is_gone => {
            store
                .access_user_forget(connection, planned.request.email(), now)
                .await?;
        }
        "member" => keep_member(context, raw).await?,
        "access_user" if raw.get("id").is_some() => {
            let user: cloudflare::AccessUser = match serde_json::from_value(raw.clone()) {
                Ok(user) => user,
                Err(_) => return Ok(()),
            };
            let people = ensure(context, &user.email, user.name.clone()).await?;
            let seen = access_user_seen(&user, &people);
            store.access_user_upsert(connection, &[seen], None, now).await?;
        }
        _ => return Ok(()),
    }
    store.access_revision_bump().await?;
    Ok(())
}

async fn keep_member(context: &RequestContext<'_>, raw: &Value) -> Result<(), ProvisionError> {
    let Ok(member) = serde_json::from_value::<cloudflare::Member>(raw.clone()) else {
        return Ok(());
    };
    let email = member.address().unwrap_or_default().to_owned();
    let people = ensure(context, &email, None).await?;
    let seen = member_seen(&member, &people);
    context
        .app
        .store
        .member_upsert(&context.connection.id, &[seen], None, context.app.clock.now())
        .await?;
    Ok(())
}

async fn ensure(
    context: &RequestContext<'_>,
    email: &str,
    name: Option<String>,
) -> Result<HashMap<String, PersonId>, ProvisionError> {
    let now = context.app.clock.now();
    let Some(email) = address::canonical(email) else {
        return Ok(HashMap::new());
    };
    let seen = PersonSeen {
        new_id: PersonId(context.app.ids.new_id(now)),
        email,
        name: name.filter(|name| !name.is_empty()),
    };
    Ok(crate::people::ensure(context.app, vec![seen], now).await?)
}

/// An invitation is answered with the membership's id, by which alone it can be read again; after a failure the
/// list of members has to be searched for it.
pub(super) async fn note_new_member(
    context: &RequestContext<'_>,
    request: &Request,
    answer: Option<&Value>,
) -> Result<(), ProvisionError> {
    use futures::TryStreamExt;
    let Request::MemberInvite { email, .. } = request else {
        return Ok(());
    };
    let id = answer.and_then(|answer| answer["id"].as_str());
    if let Some(id) = id {
        let raw = context
            .client
            .member(&context.account, id)
            .await
            .map_err(|source| context.failed(source));
        // Not to be read yet is not to be there: the next plan will say.
        if let Ok(raw) = raw {
            keep_member(context, &raw).await?;
        }
        return Ok(());
    }
    let mut pages = context.client.members(&context.account, 1);
    while let Ok(Some(page)) = pages.try_next().await {
        let found = page.items.into_iter().find(|member| {
            member
                .address()
                .is_some_and(|address| address::compared(address) == *email)
        });
        if let Some(member) = found {
            return keep_member(context, &serde_json::to_value(&member).unwrap_or_default()).await;
        }
    }
    Ok(())
}
