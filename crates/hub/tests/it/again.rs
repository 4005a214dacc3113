//! Records that the rules see again: for a replay, and for identifiers that became known, killed on the way.

use crate::kit::{Hub, each, story};
use hub::detection::replay::{self, ReplayRequest};
use hub::fault::killed_at;
use hub::{Actor, driver};
use sandbox::Sandbox;
use serde_json::{Value, json};
use store::DetectionFilter;

const NOT_YET: &str = "new.colleague@tidewater.example";

fn lookup(email: &str, id: u32) -> Value {
    json!({ "Datetime": format!("2026-11-20T{id:02}:00:00Z"), "Email": email, "QueryID": id.to_string(),
        "QueryName": "bad.example", "QueryCategoryIDs": [131] })
}

/// The detections, and whose they are.
async fn detections(hub: &Hub) -> Vec<(String, bool)> {
    let filter = DetectionFilter {
        limit: 100,
        ..DetectionFilter::default()
    };
    let rows = hub.app.store.detection_list(&filter).await.unwrap();
    rows.into_iter()
        .map(|row| (row.id.0, row.person_id.is_some()))
        .collect()
}

#[tokio::test]
async fn a_replay_that_is_killed_is_carried_out_by_the_next_process_and_changes_nothing() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        let records: Vec<Value> = (1..9)
            .map(|id| lookup("omar.said@tidewater.example", id))
            .collect();
        hub.happen("gateway_dns", &records).await;
        let before = detections(&hub).await;
        assert_eq!(before.len(), 8);
        let request = ReplayRequest {
            since: "2026-11-20T02:00:00Z".parse().unwrap(),
            until: Some("2026-11-20T08:00:00Z".parse().unwrap()),
            dataset: Some("gateway_dns".to_owned()),
        };
        let asked = replay::ask(&hub.app, &request, &Actor::CommandLine)
            .await
            .unwrap();
        hub.clock.advance(chrono::TimeDelta::minutes(1));
        let run = Box::pin(async {
            // Killed as a process is: with everything that it has begun.
            replay::carry_out(&hub.app).await
        });
        assert!(killed_at("replay.looked", run).await.is_none());
        hub.app.store.leases_run_out().await.unwrap();
        let other = hub.again().await;
        let ended = driver::replay(&other, &asked.id, &|_, _| {}).await.unwrap();
        assert_eq!(ended.result.as_deref(), Some(r#"{"records":6,"unread":[]}"#));
        assert_eq!((ended.done, ended.total), (6, Some(6)), "a part an hour");
        assert_eq!(detections(&hub).await, before);
        assert!(!hub::detection::owes(&hub.app).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_adoption_that_is_killed_is_carried_out_by_the_next_process() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        hub.happen("gateway_dns", &[lookup(NOT_YET, 1), lookup(NOT_YET, 2)])
            .await;
        let before = detections(&hub).await;
        assert!(before.len() == 2 && before.iter().all(|(_, is_known)| !is_known));
        sandbox.world().access_user_add(NOT_YET, "New Colleague");
        hub.clock.advance(chrono::TimeDelta::minutes(1));
        let run = Box::pin(async {
            hub.sync().await;
            hub::detection::adopt::run(&hub.app).await
        });
        assert!(killed_at("adopt.looked", run).await.is_none());
        assert_eq!(hub.app.store.unmapped_list(None, 10).await.unwrap().len(), 1);
        hub.app.store.leases_run_out().await.unwrap();
        hub.pipeline().await;
        assert!(hub.app.store.unmapped_list(None, 10).await.unwrap().is_empty());
        let after = detections(&hub).await;
        assert!(
            after.len() == 2 && after.iter().all(|(_, is_known)| *is_known),
            "{after:?}"
        );
        let page = hub::event::find(
            &hub.app,
            &hub::event::EventFilter {
                limit: 10,
                ..hub::event::EventFilter::default()
            },
        )
        .await
        .unwrap();
        assert!(
            page.events.iter().all(|event| event.person_id.is_some()),
            "asked when it is read"
        );
    })
    .await;
}
