//! Listings and grants.

use chrono::{DateTime, TimeDelta, Utc};
use model::{Certainty, ConnectionId, CredentialKind, GrantKind, PersonId};
use store::{
    AccessUserSeen, GrantFilter, GrantSeen, NewConnection, PersonFilter, PersonSeen, Store, StoreError,
    scratch,
};

pub(crate) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

pub(crate) async fn connection(store: &Store, label: &str) -> ConnectionId {
    let id = ConnectionId(format!("connection-{label}"));
    store
        .connection_insert(&new_connection(&id, label))
        .await
        .unwrap();
    id
}

fn new_connection(id: &ConnectionId, label: &str) -> NewConnection {
    NewConnection {
        id: id.clone(),
        label: label.to_owned(),
        account_id: format!("account-{label}"),
        account_name: "Tidewater".to_owned(),
        base_url: "http://127.0.0.1:1/client/v4".to_owned(),
        credential_kind: CredentialKind::UserToken,
        credential_email: None,
        credential_sealed: vec![1],
        credential_fingerprint: "ab".to_owned(),
        ingest_secret_sealed: vec![2],
        ingest_secret_hash: "cd".to_owned(),
        created_at: noon(),
    }
}

pub(crate) async fn person(store: &Store, email: &str) -> PersonId {
    let seen = PersonSeen {
        new_id: PersonId(format!("new-{email}")),
        email: email.to_owned(),
        name: None,
    };
    store
        .person_ensure(&[seen], noon())
        .await
        .unwrap()
        .remove(email)
        .unwrap()
}

fn access_user(id: &str) -> AccessUserSeen {
    AccessUserSeen {
        id: id.to_owned(),
        person_id: None,
        email: format!("{id}@tidewater.example"),
        name: None,
        access_seat: Some(true),
        gateway_seat: None,
        active_device_count: Some(2),
        last_login_at: None,
        raw: "{}".to_owned(),
    }
}

#[tokio::test]
async fn a_label_is_given_once() {
    for scratch in scratch::stores().await.unwrap() {
        connection(&scratch.store, "corp").await;
        let again = new_connection(&ConnectionId("other".to_owned()), "corp");
        let refused = scratch.store.connection_insert(&again).await;
        assert!(matches!(refused, Err(StoreError::Exists(what)) if what.contains("corp")));
    }
}

#[tokio::test]
async fn what_a_listing_no_longer_has_is_gone_and_comes_back() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let (first, second) = (noon(), noon() + TimeDelta::hours(1));
        store
            .access_user_upsert(&corp, &[access_user("ana"), access_user("ben")], first)
            .await
            .unwrap();
        store
            .access_user_upsert(&corp, &[access_user("ana")], second)
            .await
            .unwrap();
        assert_eq!(store.access_user_mark_gone(&corp, second).await.unwrap(), ["ben"]);
        assert_eq!(store.access_user_live(&corp).await.unwrap(), 1);

        store
            .access_user_upsert(&corp, &[access_user("ben")], second + TimeDelta::hours(1))
            .await
            .unwrap();
        assert_eq!(store.access_user_live(&corp).await.unwrap(), 2);
        let rest = store
            .access_user_list(Some(&corp), Some((corp.as_str(), "ana")), 10)
            .await
            .unwrap();
        assert_eq!(
            rest.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            ["ben"]
        );
    }
}

#[tokio::test]
async fn an_address_has_one_person_whoever_asks_first() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let seen = |id: &str| PersonSeen {
            new_id: PersonId(id.to_owned()),
            email: "ana@tidewater.example".to_owned(),
            name: (id == "two").then(|| "Ana".to_owned()),
        };
        let first = store
            .person_ensure(&[seen("one"), seen("one")], noon())
            .await
            .unwrap();
        let second = store.person_ensure(&[seen("two")], noon()).await.unwrap();
        assert_eq!(first, second);
        let people = store
            .person_list(&PersonFilter {
                limit: 10,
                ..PersonFilter::default()
            })
            .await
            .unwrap();
        assert_eq!(people.len(), 1);
        assert_eq!(
            people[0].name.as_deref(),
            Some("Ana"),
            "a name that came later is kept"
        );
        let none = PersonFilter {
            search: Some("a_a".to_owned()),
            limit: 10,
            ..PersonFilter::default()
        };
        assert!(
            store.person_list(&none).await.unwrap().is_empty(),
            "_ is a letter, not a wildcard"
        );
    }
}

#[tokio::test]
async fn replacing_grants_writes_the_difference_alone() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let (ana, ben) = (
            person(store, "ana@x.example").await,
            person(store, "ben@x.example").await,
        );
        let grant = |person: &PersonId, certainty| GrantSeen {
            entitlement_id: "g1".to_owned(),
            entitlement_name: "Staff".to_owned(),
            person_id: person.clone(),
            certainty,
            via: "[\"everyone\"]".to_owned(),
        };
        let kind = GrantKind::AccessGroup;
        let both = [grant(&ana, Certainty::Yes), grant(&ben, Certainty::Yes)];
        assert_eq!(
            store.grant_replace(&corp, kind, &both, noon()).await.unwrap(),
            (2, 0)
        );
        assert_eq!(
            store.grant_replace(&corp, kind, &both, noon()).await.unwrap(),
            (0, 0)
        );
        let less = [grant(&ana, Certainty::Conditional)];
        assert_eq!(
            store.grant_replace(&corp, kind, &less, noon()).await.unwrap(),
            (1, 1)
        );
        let filter = GrantFilter {
            limit: 10,
            ..GrantFilter::default()
        };
        let left = store.grant_list(&filter).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(
            (left[0].email.as_str(), left[0].certainty),
            ("ana@x.example", Certainty::Conditional)
        );
    }
}
