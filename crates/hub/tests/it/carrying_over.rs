//! A store of a version that kept records as rows: they are moved into the archive before anything else runs.

use crate::kit::{Hub, each, story};
use chrono::{DateTime, TimeDelta, Utc};
use hub::event::{self, EventFilter};
use hub::fault::killed_at;
use model::EventId;
use sandbox::Sandbox;
use std::collections::BTreeSet;
use store::EvidenceRow;

const COUNT: u32 = 45_000;

async fn found(hub: &hub::App) -> BTreeSet<String> {
    let mut filter = EventFilter {
        limit: event::EVENTS_MAX,
        ..EventFilter::default()
    };
    let mut ids = BTreeSet::new();
    loop {
        let page = event::find(hub, &filter).await.unwrap();
        assert!(page.unread.is_empty(), "{:?}", page.unread);
        for event in page.events {
            assert!(event.raw.contains(event.identifier.as_deref().unwrap()));
            assert!(ids.insert(event.id.0), "twice");
        }
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn stored_records_are_moved_into_the_archive_once_though_the_move_is_killed() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        let connection = hub.connect(&sandbox).await.connection.id;
        let start: DateTime<Utc> = "2026-01-05T00:00:00Z".parse().unwrap();
        let rows: Vec<EvidenceRow> = (0..COUNT)
            .map(|n| {
                let identifier = format!("person-{}@tidewater.example", n % 97);
                EvidenceRow {
                    id: EventId(format!("{n:032x}")),
                    connection_id: connection.clone(),
                    dataset: ["gateway_dns", "gateway_http"][n as usize % 2].to_owned(),
                    // Over some hundred hours: more than a batch has parts of their own for.
                    at: start + TimeDelta::seconds(i64::from(n) * 10),
                    raw: format!("{{\"Email\":\"{identifier}\",\"n\":{n}}}"),
                    identifier: Some(identifier),
                    is_person: true,
                    action: None,
                    target: None,
                    source_ip: None,
                    country: None,
                    batch_id: "b".to_owned(),
                }
            })
            .collect();
        hub.scratch.events_as_before(&rows).await.unwrap();
        for time in 0..2 {
            let opened = Box::pin(hub.again());
            assert!(killed_at("carry_over.written", opened).await.is_none(), "{time}");
            hub.app.store.leases_run_out().await.unwrap();
        }
        assert!(
            hub.app
                .store
                .earlier_events()
                .await
                .unwrap()
                .is_some_and(|left| left > 0)
        );
        let app = hub.again().await;
        assert_eq!(
            app.store.earlier_events().await.unwrap(),
            None,
            "the table is gone"
        );
        let expected: BTreeSet<String> = rows.iter().map(|row| row.id.0.clone()).collect();
        assert!(found(&app).await == expected);
        let totals = app.store.part_totals().await.unwrap();
        let records: i64 = totals.iter().map(|total| total.records).sum();
        assert_eq!(records, i64::from(COUNT), "each is in one part");
        let parts: i64 = totals.iter().map(|total| total.parts).sum();
        assert!(parts < 300, "{parts}");
    })
    .await;
}
