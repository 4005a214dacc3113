//! Tokens and sessions.

use crate::access::noon;
use chrono::TimeDelta;
use store::{AccessTokenRow, SessionRow, StoreError, scratch};

fn token(id: &str, name: &str) -> AccessTokenRow {
    AccessTokenRow {
        id: id.to_owned(),
        name: name.to_owned(),
        token_hash: format!("hash of {id}"),
        fingerprint: "abcd".to_owned(),
        permissions: "[\"read\"]".to_owned(),
        created_at: noon(),
        last_used_at: None,
        revoked_at: None,
        expires_at: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_make_a_token_of_one_name_at_once_one_does() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let mut making = tokio::task::JoinSet::new();
        for number in 0..12 {
            let store = store.clone();
            making.spawn(async move {
                store
                    .access_token_insert(&token(&format!("t{number}"), "reader"))
                    .await
            });
        }
        let made = making.join_all().await;
        let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, 11));
        for refusal in refused {
            assert!(matches!(refusal, Err(StoreError::Exists(_))), "{refusal:?}");
        }
        // The name is free again when the token is taken back.
        let live = store.access_token_list().await.unwrap().remove(0);
        assert!(store.access_token_revoke(&live.id, noon()).await.unwrap());
        store
            .access_token_insert(&token("later", "reader"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_last_use_of_a_session_only_goes_on() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        store.access_token_insert(&token("t", "reader")).await.unwrap();
        let session = SessionRow {
            id_hash: "digest".to_owned(),
            actor: "token reader".to_owned(),
            access_token_id: Some("t".to_owned()),
            permissions: None,
            csrf: "value".to_owned(),
            created_at: noon(),
            expires_at: noon() + TimeDelta::hours(12),
            used_at: noon(),
        };
        store.session_insert(&session).await.unwrap();
        for (minutes, used) in [(5, 5), (3, 5), (7, 7)] {
            store
                .session_used("digest", noon() + TimeDelta::minutes(minutes))
                .await
                .unwrap();
            let row = store.session_get("digest", noon()).await.unwrap().unwrap();
            assert_eq!(row.used_at, noon() + TimeDelta::minutes(used));
        }
    }
}
