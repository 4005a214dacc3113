//! Everything that is known of one person, put together from the lists: what pages, the API and the command line
//! show.
//!
//! Reads the store; writes nothing. Unknown is never "no". Start reading at [`of`].

use crate::access::{AccessView, Grant, GrantFilter, Scope, SignIns};
use crate::app::App;
use chrono::{DateTime, Utc};
use model::{ConnectionId, GrantKind};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use store::{AccessUserDetailRow, AccessUserRow, LIST_LIMIT_MAX, MemberRow, PersonRow, StoreError};

/// What is known.
#[derive(Debug)]
pub struct PersonDetail {
    /// Memberships of accounts.
    pub members: Vec<MemberFacts>,
    /// Zero Trust users.
    pub users: Vec<AccessUserRow>,
    /// What was read about those, where it was.
    pub seen: Vec<Seen>,
    /// Groups, roles and permissions that they hold, and why.
    pub grants: Vec<Grant>,
    /// Applications that they reach, and why.
    pub apps: Vec<Grant>,
    /// Why they may hold more than is told here: lists that are not whole.
    pub gaps: Vec<String>,
    /// Further addresses.
    pub aliases: Vec<String>,
    /// Their newest login or event.
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// A membership with what follows from it.
#[derive(Debug)]
pub struct MemberFacts {
    /// As it was listed.
    pub row: MemberRow,
    /// `sso`, `password` or `unknown`.
    pub sign_in: &'static str,
    /// Names of its roles.
    pub roles: Vec<String>,
    /// Names of the permission groups in its policies.
    pub policies: Vec<String>,
    /// Names of the user groups that it is in.
    pub user_groups: Vec<String>,
}

/// What was read about an Access user.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// In which account.
    pub connection_id: ConnectionId,
    /// Cloudflare's id of the Access user.
    pub access_user_id: String,
    /// When it was read, or last tried.
    pub read_at: DateTime<Utc>,
    /// Why it could not be read the last time; what is here is then from before.
    pub problem: Option<String>,
    /// When they last proved who they are.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// With which kind of identity provider.
    pub provider: Option<String>,
    /// How, in the provider's words: `pwd`, `mfa`.
    pub methods: Vec<String>,
    /// From which country.
    pub country: Option<String>,
    /// The devices that they were seen with.
    pub devices: Vec<Device>,
    /// Sessions that have not ended.
    pub sessions: Vec<Session>,
    /// Logins that failed, as Cloudflare gives them.
    pub failed_logins: Vec<Value>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Cloudflare's id.
    pub id: String,
    /// When they last authenticated with it.
    pub last_authenticated_at: Option<DateTime<Utc>>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// When it began.
    pub began_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Host names of the applications that it is for.
    pub apps: Vec<String>,
}

/// Puts together what is known of a person.
///
/// # Errors
///
/// When the store refuses.
pub async fn of(app: &App, person: &PersonRow) -> Result<PersonDetail, StoreError> {
    let store = &app.store;
    let users = store.access_user_by_person(&person.id).await?;
    let view = match AccessView::kept(app).await? {
        Some(view) => view,
        None => Arc::new(AccessView::of_person(app, person, &Scope::Everything).await?),
    };
    let held = |kind| {
        let filter = GrantFilter {
            person_id: Some(person.id.clone()),
            kind,
            ..GrantFilter::default()
        };
        view.grant_page(&filter, LIST_LIMIT_MAX as usize)
    };
    let grants = held(None);
    let mut sign_ins: HashMap<ConnectionId, SignIns> = HashMap::new();
    let mut members = Vec::new();
    for row in store.member_by_person(&person.id).await? {
        if !sign_ins.contains_key(&row.connection_id) {
            let found = SignIns::of_connection(app, &row.connection_id).await?;
            sign_ins.insert(row.connection_id.clone(), found);
        }
        let sign_in = sign_ins[&row.connection_id].of(&row.email);
        members.push(member(row, sign_in, &grants)?);
    }
    let newest = crate::people::last_seen(app, std::slice::from_ref(&person.id)).await?;
    let seen: Vec<Seen> = store
        .access_user_detail_by_person(&person.id)
        .await?
        .into_iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    let last_seen_at = users
        .iter()
        .filter_map(|user| user.last_login_at)
        .chain(newest.get(&person.id).copied())
        .chain(seen.iter().filter_map(|seen| seen.last_seen_at))
        .max();
    Ok(PersonDetail {
        members,
        users,
        seen,
        apps: held(Some(GrantKind::App)),
        gaps: view.gaps(),
        grants,
        aliases: store.person_alias_by_person(&person.id).await?,
        last_seen_at,
    })
}

fn member(row: MemberRow, sign_in: &'static str, grants: &[Grant]) -> Result<MemberFacts, StoreError> {
    Ok(MemberFacts {
        sign_in,
        roles: row
            .roles_json()?
            .iter()
            .filter_map(|role| Some(role["name"].as_str()?.to_owned()))
            .collect(),
        policies: crate::objects::policy_names(&Value::Array(row.policies_json()?)),
        user_groups: grants
            .iter()
            .filter(|grant| grant.kind == GrantKind::UserGroup && grant.connection_id == row.connection_id)
            .map(|grant| grant.entitlement_name.clone())
            .collect(),
        row,
    })
}

/// Reads what Cloudflare gave about an Access user.
fn read(row: AccessUserDetailRow) -> Result<Seen, StoreError> {
    let identity = row.identity_json()?.unwrap_or_default();
    let (sessions, failed_logins) = (row.sessions_json()?, row.failed_logins_json()?);
    let text = |value: Option<&Value>| Some(value?.as_str()?.to_owned()).filter(|text| !text.is_empty());
    let seconds = |value: Option<&Value>| DateTime::from_timestamp(value?.as_i64()?, 0);
    let own = text(identity.get("device_id"));
    let mut devices: Vec<Device> = identity["device_sessions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, session)| Device {
            id: id.clone(),
            last_authenticated_at: seconds(session.get("last_authenticated")),
        })
        .collect();
    if let Some(own) = own.filter(|own| !devices.iter().any(|device| device.id == *own)) {
        devices.push(Device {
            id: own,
            last_authenticated_at: seconds(identity.get("iat")),
        });
    }
    let methods = identity["amr"].as_array().into_iter().flatten();
    let sessions = sessions.iter().map(|session| {
        let about = &session["metadata"];
        let apps = about["apps"].as_object().into_iter().flatten();
        Session {
            began_at: seconds(about.get("iat")),
            expires_at: seconds(about.get("expires").or(session.get("expiration"))),
            apps: apps
                .filter_map(|(_, one)| text(one.get("hostname").or(one.get("name"))))
                .collect(),
        }
    });
    Ok(Seen {
        read_at: row.read_at,
        last_seen_at: seconds(identity.get("iat")),
        provider: text(identity.pointer("/idp/type")),
        methods: methods
            .filter_map(|method| Some(method.as_str()?.to_owned()))
            .collect(),
        country: text(identity.pointer("/geo/country")),
        devices,
        sessions: sessions.collect(),
        failed_logins,
        connection_id: row.connection_id,
        access_user_id: row.access_user_id,
        problem: row.problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cloudflare_gives_is_read_and_what_it_leaves_out_is_unknown() {
        let at = DateTime::from_timestamp(1_795_225_954, 0).unwrap();
        let row = AccessUserDetailRow {
            connection_id: ConnectionId("c".into()),
            access_user_id: "u".into(),
            identity: Some(
                json!({ "iat": 1_795_225_954, "idp": { "type": "okta" }, "amr": ["pwd"], "geo": { "country": "GB" },
                    "device_id": "d2", "device_sessions": { "d1": { "last_authenticated": 1_795_225_954 } } })
                .to_string(),
            ),
            sessions: json!([{ "expiration": 1_795_225_954,
                "metadata": { "apps": { "wiki": { "hostname": "wiki.x.example" } } } }])
            .to_string(),
            failed_logins: "[]".into(),
            read_at: at,
            problem: None,
        };
        let seen = read(row.clone()).unwrap();
        assert_eq!(
            (seen.last_seen_at, seen.provider.as_deref()),
            (Some(at), Some("okta"))
        );
        assert_eq!(seen.devices.len(), 2);
        let session = Session {
            began_at: None,
            expires_at: Some(at),
            apps: vec!["wiki.x.example".into()],
        };
        assert_eq!(seen.sessions, [session]);
        let never = read(AccessUserDetailRow {
            identity: None,
            ..row
        })
        .unwrap();
        assert_eq!((never.last_seen_at, never.devices.len()), (None, 0));
    }
}
