//! Nothing starts with a key that is not the one of the database, or with a database that is not the one of the archive.

use crate::kit::{Hub, each, start, story};
use hub::App;
use hub::app::OpenError;
use hub::sealing_key::SealingKeyError;
use hub::settings::Settings;
use model::{SeededIds, StoppedClock};
use sandbox::Sandbox;
use std::path::PathBuf;
use std::sync::Arc;
use store::scratch::Scratch;

/// A hub that holds secrets and a batch; and where its key lies.
async fn ready(scratch: Scratch) -> (Sandbox, Hub, PathBuf) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    let record = serde_json::json!({ "Datetime": "2026-11-20T11:00:00Z", "QueryID": "1" });
    hub.happen("gateway_dns", &[record]).await;
    let key = hub.folder.path().join("secret.key");
    (sandbox, hub, key)
}

async fn open(settings: &Settings) -> Result<App, OpenError> {
    let clock = Arc::new(StoppedClock::at(start()));
    App::open_with(settings.clone(), clock, Arc::new(SeededIds::new(9))).await
}

/// Why it does not start.
async fn refusal(settings: &Settings) -> String {
    match open(settings).await {
        Err(OpenError::Key(error)) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it starts"),
    }
}

const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test]
async fn a_key_that_is_missing_or_another_is_told_and_none_is_made() {
    each(async |scratch| {
        let (_sandbox, hub, key) = ready(scratch).await;
        let settings = &hub.app.settings;
        let own = std::fs::read_to_string(&key).unwrap();
        // As it is now, and as a version of before left it.
        for is_of_before in [false, true] {
            if is_of_before {
                hub.scratch.sealing_key_forget().await.unwrap();
            }
            std::fs::remove_file(&key).unwrap();
            let words = refusal(settings).await;
            assert!(
                words.contains("is missing") && words.contains("restore the file from a backup"),
                "{words}"
            );
            assert!(words.contains(&key.display().to_string()), "{words}");
            assert!(!key.exists(), "no key is made");
            std::fs::write(&key, OTHER).unwrap();
            let words = refusal(settings).await;
            assert!(
                words.contains("is not the key that the secrets in the database are encrypted with"),
                "{words}"
            );
            assert!(!words.contains(OTHER), "{words}");
            std::fs::write(&key, &own).unwrap();
            open(settings).await.unwrap();
        }
        // What was found out is written down.
        let recorded = hub.app.store.sealing_key().await.unwrap().unwrap();
        assert_eq!(recorded, hub.app.sealer.fingerprint());
    })
    .await;
}

#[tokio::test]
async fn an_emptied_database_beside_an_archive_is_told_and_a_new_place_begins() {
    each(async |scratch| {
        let engine = scratch.store.engine_name();
        let (_sandbox, hub, key) = ready(scratch).await;
        let empty = store::scratch::stores().await.unwrap();
        let empty = empty
            .into_iter()
            .find(|one| one.store.engine_name() == engine)
            .unwrap();
        let mut settings = (*hub.app.settings).clone();
        settings.store.url.clone_from(&empty.address);
        let words = refusal(&settings).await;
        let archive = hub.folder.path().join("archive");
        assert!(
            words.contains(&format!(
                "the database is empty, but the archive {} contains",
                archive.display()
            )),
            "{words}"
        );
        assert!(words.contains("restore the matching database"), "{words}");
        std::fs::remove_file(&key).unwrap();
        assert_eq!(refusal(&settings).await, words, "without its key too");
        assert!(empty.store.sealing_key().await.unwrap().is_none() && !key.exists());
        std::fs::rename(&archive, hub.folder.path().join("archive-of-before")).unwrap();
        open(&settings).await.unwrap();
        assert!(key.exists());
    })
    .await;
}

#[test]
fn what_is_said_names_the_file_and_the_variable() {
    let error = SealingKeyError::Missing {
        file: "/data/secret.key".to_owned(),
    };
    assert_eq!(
        error.to_string(),
        "/data/secret.key is missing, and the database contains secrets encrypted with this key: restore the file from a backup of the data folder, or set FLAREWARD_SECRET_KEY to its content"
    );
}
