//! The loops of a server: each stage wakes for what it reads, and one that fails stops no other.

use crate::flow::{calls_home, campaign, integrate, register};
use crate::kit::{Hub, each, story};
use hub::sync::request;
use hub::{Actor, driver};
use model::{AuditAction, ConnectionState};
use sandbox::Sandbox;
use serde_json::json;
use std::time::Duration;
use store::scratch::Scratch;
use tokio_util::sync::CancellationToken;

/// Longer than any loop needs, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    hub.sync().await;
    (sandbox, hub)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "never: {what}"
    );
}

/// A receiver of signals and a chat that trust the hub. The keys of signals are fetched from a server.
async fn with_receivers(scratch: Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let info = sandbox.info().clone();
    let hub = Hub::start(scratch).await;
    let connected = hub.connect(&sandbox).await;
    hub.sync().await;
    let row = integrate(&hub, &connected.connection.account_id, &info.okta_url).await;
    register(&hub, &sandbox, &row).await;
    campaign(&hub, "chat", Some(&info.slack_webhook_url)).await;
    (sandbox, hub)
}

fn record() -> String {
    calls_home("omar.said@tidewater.example", "2026-11-20T11:00:00Z").to_string()
}

#[tokio::test]
async fn a_record_becomes_a_level_a_message_and_a_signal_without_a_timer() {
    each(async |scratch| {
        let (sandbox, hub) = with_receivers(scratch).await;
        let stop = CancellationToken::new();
        let stages = tokio::spawn(driver::run(hub.app.clone(), stop.clone()));
        hub.receive("gateway_dns", record()).await.unwrap();
        until(
            "the receiver has the signal and the chat the message",
            async || {
                let world = sandbox.world();
                !world.received_signals().is_empty() && !world.received_messages().is_empty()
            },
        )
        .await;
        stop.cancel();
        stages.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stage_that_fails_stops_no_other() {
    each(async |scratch| {
        let (sandbox, hub) = with_receivers(scratch).await;
        // An entry that the signals cannot read, before the one that they should.
        hub.app
            .store
            .journal_append(&store::JournalEntry {
                at: hub.app.clock.now(),
                kind: model::JournalKind::RiskChanged,
                person_id: Some(model::PersonId("someone".to_owned())),
                connection_id: None,
                subject_id: Some("damaged".to_owned()),
                summary: String::new(),
                data: json!({ "unreadable": true }),
            })
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let stages = tokio::spawn(driver::run(hub.app.clone(), stop.clone()));
        hub.receive("gateway_dns", record()).await.unwrap();
        until("the message is sent", async || {
            !sandbox.world().received_messages().is_empty()
        })
        .await;
        // Failing is told once it has lasted for a while.
        until("the failing stage has failed", async || {
            let later = hub.app.clock.now() + chrono::TimeDelta::minutes(1);
            !hub.app.stage_health.problems(later).is_empty()
        })
        .await;
        let later = hub.app.clock.now() + chrono::TimeDelta::minutes(1);
        let problems = hub.app.stage_health.problems(later);
        assert!(
            problems.len() == 1 && problems[0].contains("the stage signal"),
            "{problems:?}"
        );
        assert!(sandbox.world().received_signals().is_empty());
        stop.cancel();
        stages.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_sync_that_is_asked_for_is_done_by_the_server_once() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let store = &hub.app.store;
        let row = hub.connection().await;
        let runs = store.sync_run_list(Some(&row.id), 10).await.unwrap().len();
        let actor = Actor::Token("it".to_owned());
        for _ in 0..2 {
            request::ask(&hub.app, &row, false, &actor).await.unwrap();
        }
        assert_eq!(store.sync_request_list().await.unwrap().len(), 1);
        let stop = CancellationToken::new();
        let stages = tokio::spawn(driver::run(hub.app.clone(), stop.clone()));
        until("the sync is done", async || {
            store.sync_request_list().await.unwrap().is_empty()
        })
        .await;
        stop.cancel();
        stages.await.unwrap();
        let after = store.sync_run_list(Some(&row.id), 10).await.unwrap().len();
        assert_eq!(after, runs + 1);
        let audit = store.audit_list(None, 20).await.unwrap();
        let asked = audit
            .iter()
            .filter(|row| row.action == AuditAction::ConnectionSync)
            .map(|row| row.actor.as_str());
        assert_eq!(asked.collect::<Vec<_>>(), ["token it", "token it"]);
    })
    .await;
}

#[tokio::test]
async fn a_paused_connection_is_synced_only_when_that_is_confirmed() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let store = &hub.app.store;
        let id = hub.connection().await.id;
        let now = hub.app.clock.now();
        store
            .connection_state_set(
                &id,
                ConnectionState::Paused,
                Some("members fell by half"),
                "The connection is paused",
                now,
            )
            .await
            .unwrap();
        let row = hub.connection().await;
        let refused = request::ask(&hub.app, &row, false, &Actor::CommandLine).await;
        assert!(
            refused.unwrap_err().to_string().contains("fell by half"),
            "the reason is told"
        );
        assert!(store.sync_request_list().await.unwrap().is_empty());
        request::ask(&hub.app, &row, true, &Actor::CommandLine)
            .await
            .unwrap();
        assert!(driver::asked_syncs(&hub.app).await.unwrap());
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
    })
    .await;
}

#[tokio::test]
async fn a_sync_that_ran_when_another_was_asked_for_is_the_one_that_was_asked_for() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let store = &hub.app.store;
        let row = hub.connection().await;
        request::ask(&hub.app, &row, false, &Actor::CommandLine)
            .await
            .unwrap();
        // It ended after it was asked for.
        hub.sync().await;
        let runs = store.sync_run_list(Some(&row.id), 10).await.unwrap().len();
        assert!(!driver::asked_syncs(&hub.app).await.unwrap());
        assert!(store.sync_request_list().await.unwrap().is_empty());
        assert_eq!(store.sync_run_list(Some(&row.id), 10).await.unwrap().len(), runs);
        // One that a killed process left is no sync: what is asked for then is done.
        let now = hub.app.clock.now();
        store
            .connection_state_set(
                &row.id,
                ConnectionState::Syncing,
                None,
                "The connection is syncing",
                now,
            )
            .await
            .unwrap();
        let row = hub.connection().await;
        request::ask(&hub.app, &row, false, &Actor::CommandLine)
            .await
            .unwrap();
        assert!(driver::asked_syncs(&hub.app).await.unwrap());
        assert_eq!(
            store.sync_run_list(Some(&row.id), 10).await.unwrap().len(),
            runs + 1
        );
    })
    .await;
}
