//! Listings, the changes of a run, and addresses of one person.

use chrono::{DateTime, TimeDelta, Utc};
use model::{ConnectionId, CredentialKind, PersonId};
use store::{AccessUserSeen, NewConnection, PersonFilter, PersonSeen, Store, StoreError, scratch};

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
        fingerprint: "-".to_owned(),
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
            .access_user_upsert(&corp, &[access_user("ana"), access_user("ben")], None, first)
            .await
            .unwrap();
        store
            .access_user_upsert(&corp, &[access_user("ana")], None, second)
            .await
            .unwrap();
        assert_eq!(
            store.access_user_mark_gone(&corp, second, None).await.unwrap(),
            ["ben"]
        );
        assert_eq!(store.access_user_live(&corp).await.unwrap(), 1);

        store
            .access_user_upsert(&corp, &[access_user("ben")], None, second + TimeDelta::hours(1))
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
async fn a_further_address_is_the_same_person_and_two_become_one() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let (ana, other) = (
            person(store, "ana@x.example").await,
            person(store, "a.lima@x.example").await,
        );
        let seen = AccessUserSeen {
            person_id: Some(other.clone()),
            ..access_user("ana")
        };
        store
            .access_user_upsert(&corp, &[seen], None, noon())
            .await
            .unwrap();
        store.person_merge(&other, &ana, noon()).await.unwrap();
        store
            .person_alias_set("a.lima@x.example", &ana, "csv", noon())
            .await
            .unwrap();
        assert!(store.person_get(&other).await.unwrap().is_none());
        assert_eq!(store.access_user_by_person(&ana).await.unwrap().len(), 1);
        assert_eq!(
            person(store, "a.lima@x.example").await,
            ana,
            "no second person is made"
        );
        let found = store.person_by_email("a.lima@x.example").await.unwrap().unwrap();
        assert_eq!(found.email, "ana@x.example");
    }
}

#[tokio::test]
async fn a_run_keeps_what_it_changed_and_what_was_before() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let (first, second) = (noon(), noon() + TimeDelta::hours(1));
        let with = |id: &str, fingerprint: &str| AccessUserSeen {
            raw: format!("{{\"of\":\"{fingerprint}\"}}"),
            fingerprint: fingerprint.to_owned(),
            ..access_user(id)
        };
        store.sync_run_start("r1", &corp, first).await.unwrap();
        let touched = store
            .access_user_upsert(&corp, &[with("ana", "1"), with("ben", "1")], None, first)
            .await
            .unwrap();
        assert_eq!((touched.added, touched.changed), (2, 0));
        store.sync_run_start("r2", &corp, second).await.unwrap();
        let touched = store
            .access_user_upsert(&corp, &[with("ana", "2"), with("cem", "1")], Some("r2"), second)
            .await
            .unwrap();
        assert_eq!((touched.added, touched.changed), (1, 1));
        store
            .access_user_mark_gone(&corp, second, Some("r2"))
            .await
            .unwrap();
        let changes = store.sync_change_list("r2", None, 10).await.unwrap();
        let short: Vec<_> = changes
            .iter()
            .map(|row| (row.object_id.as_str(), row.change.as_str(), row.before.is_some()))
            .collect();
        assert_eq!(
            short,
            [
                ("ana", "changed", true),
                ("ben", "removed", true),
                ("cem", "added", false)
            ]
        );
    }
}
