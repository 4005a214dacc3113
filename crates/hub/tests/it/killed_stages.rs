//! Stages that are killed at every point, and what comes out in the end: everything, once.

use crate::flow::{calls_home, campaign, integrate, register};
use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use hub::driver;
use hub::event::EventFilter;
use hub::fault::killed_at;
use model::{BatchState, MessageState};
use sandbox::{Sandbox, Sink};
use std::collections::BTreeSet;
use store::DetectionFilter;

/// Where the way of one record may be killed, in their order.
const POINTS: [&str; 15] = [
    "ingest.begun",
    "ingest.parts_written",
    "ingest.stored",
    "detection.derived",
    "detection.settled",
    "ingest.detected",
    "ingest.object_removed",
    "risk.applied",
    "coaching.decided",
    "coaching.kept",
    "signal.decided",
    "signal.kept",
    "signal.sent",
    "message.claimed",
    "message.sent",
];

fn address(point: &str) -> String {
    format!("at-{}@tidewater.example", point.replace(['.', '_'], "-"))
}

/// What came of one person's record.
#[derive(Debug, PartialEq)]
struct Came {
    events: usize,
    detections: Vec<(String, i64)>,
    level: String,
    messages: usize,
    signals: usize,
}

async fn came(hub: &Hub, email: &str) -> Came {
    let store = &hub.app.store;
    let person = store.person_by_email(email).await.unwrap().unwrap();
    let of_person = EventFilter {
        person_id: Some(person.id.clone()),
        limit: 10,
        ..EventFilter::default()
    };
    let detections = DetectionFilter {
        person_id: Some(person.id.clone()),
        limit: 10,
        ..DetectionFilter::default()
    };
    let detections = store.detection_list(&detections).await.unwrap();
    let mut detections: Vec<_> = detections
        .into_iter()
        .map(|row| (row.rule_name, row.matches))
        .collect();
    detections.sort();
    let delivered = Some(MessageState::Delivered);
    Came {
        events: hub::event::find(&hub.app, &of_person).await.unwrap().events.len(),
        detections,
        level: person.risk_level.to_string(),
        messages: store
            .message_list(None, Some(&person.id), delivered, 10)
            .await
            .unwrap()
            .len(),
        signals: store
            .signal_list(None, Some(&person.id), None, 10)
            .await
            .unwrap()
            .len(),
    }
}

#[tokio::test]
async fn what_is_killed_anywhere_on_the_way_comes_out_once() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let all: Vec<&str> = ["control", "receive.archived"]
            .into_iter()
            .chain(POINTS)
            .collect();
        for point in &all {
            sandbox.world().access_user_add(&address(point), "One Of Many");
        }
        let hub = Hub::start(scratch).await;
        let connected = hub.connect(&sandbox).await;
        hub.sync().await;
        let info = sandbox.info();
        let row = integrate(&hub, &connected.connection.account_id, &info.okta_url).await;
        register(&hub, &sandbox, &row).await;
        campaign(&hub, "chat", Some(&info.slack_webhook_url)).await;

        let record = |point: &str| calls_home(&address(point), "2026-11-20T11:30:00Z").to_string();
        hub.receive("gateway_dns", record("control")).await.unwrap();
        hub.settle().await;
        let control = came(&hub, &address("control")).await;
        assert_eq!(
            (control.events, control.messages, control.signals),
            (1, 1, 1),
            "{control:?}"
        );
        assert!(!control.detections.is_empty());

        for point in &all[1..] {
            hub.clock.advance(TimeDelta::seconds(1));
            let taken = hub.receive("gateway_dns", record(point));
            let was_killed = if *point == "receive.archived" {
                let was_killed = killed_at(point, taken).await.is_none();
                // Nobody was answered: whoever sent it sends it again.
                hub.receive("gateway_dns", record(point)).await.unwrap();
                was_killed
            } else {
                taken.await.unwrap();
                killed_at(point, Box::pin(driver::pass(&hub.app))).await.is_none()
            };
            assert!(was_killed, "nothing came to {point}");
            hub.app.store.leases_run_out().await.unwrap();
            hub.clock.advance(TimeDelta::hours(1));
            hub.settle().await;
            assert_eq!(came(&hub, &address(point)).await, control, "killed at {point}");
        }

        let store = &hub.app.store;
        for point in &all {
            let person = store.person_by_email(&address(point)).await.unwrap().unwrap();
            let message = store
                .message_list(None, Some(&person.id), None, 10)
                .await
                .unwrap()
                .remove(0);
            let is_doubtful = message
                .reason
                .as_deref()
                .is_some_and(|reason| reason.contains("sent twice"));
            assert_eq!(
                is_doubtful,
                matches!(*point, "message.claimed" | "message.sent"),
                "{message:?}"
            );
            let heard = sandbox.world().received_messages();
            let heard = heard
                .iter()
                .filter(|one| one.sink == Sink::Slack && one.body.to_string().contains(&address(point)));
            let times = if *point == "message.sent" { 2 } else { 1 };
            assert_eq!(heard.count(), times, "killed at {point}");
        }
        let signals = sandbox.world().received_signals();
        let known: BTreeSet<&str> = signals.iter().map(|one| one.jti.as_str()).collect();
        assert_eq!(
            known.len(),
            all.len(),
            "a signal that is told twice is the same signal"
        );
        assert_eq!(store.group_debt_watches().await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_command_ends_with_its_own_batches_and_leaves_those_of_others_alone() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        let mut ids = Vec::new();
        for minute in 10..15 {
            let record = calls_home(
                "omar.said@tidewater.example",
                &format!("2026-11-20T11:{minute}:00Z"),
            );
            match hub.receive("gateway_dns", record.to_string()).await.unwrap() {
                hub::ingest::Received::Stored(id) => ids.push(id),
                other => panic!("{other:?}"),
            }
            hub.clock.advance(TimeDelta::seconds(1));
        }
        let store = &hub.app.store;
        // The server is at the first; the others wait behind it.
        let length = TimeDelta::seconds(30);
        let first = store.batch_claim("server", length).await.unwrap().unwrap();
        assert_eq!(first.id, ids[0]);
        let own = vec![ids[3].clone()];
        driver::finish(&hub.app, &own, &|_| {}).await.unwrap();
        let state = async |id: &str| store.batch_get(id).await.unwrap().unwrap().state;
        assert_eq!(state(&ids[3]).await, BatchState::Detected);
        for other in [0, 1, 2, 4] {
            assert_eq!(state(&ids[other]).await, BatchState::Archived);
        }
        let omar = "omar.said@tidewater.example";
        assert_eq!(
            hub.level(omar).await,
            "high",
            "what follows from it is done as well"
        );
        // One that another works on is waited for, and taken over when that one is killed, with what follows from it.
        assert!(
            store
                .lease_take("stage/pipeline", "server", length)
                .await
                .unwrap()
        );
        let app = hub.again().await;
        let theirs = vec![ids[0].clone()];
        let waiting = tokio::spawn(async move { driver::finish(&app, &theirs, &|_| {}).await });
        store.leases_run_out().await.unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(state(&ids[0]).await, BatchState::Detected);
        let read = store.consumer_position(hub::risk::CONSUMER).await.unwrap();
        assert!(!store.journal_has_after(read, "detection.%").await.unwrap());
    })
    .await;
}
