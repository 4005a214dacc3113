//! Parts that are merged, verified and deleted, while others read them or the disk is damaged.

use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use hub::compact;
use hub::event::{self, EventFilter};
use hub::fault::killed_at;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::path::PathBuf;
use store::{PartFilter, PartRow};

fn lookup(n: usize, hour: u32) -> Value {
    json!({ "Datetime": format!("2026-11-20T{hour:02}:00:00Z"), "QueryID": format!("q{n}"),
        "Email": format!("person-{}@tidewater.example", n % 3), "QueryName": "news.daily.example" })
}

async fn parts(hub: &Hub) -> Vec<PartRow> {
    hub.app.store.part_list(&PartFilter::default()).await.unwrap()
}

async fn found(hub: &Hub) -> (usize, Vec<String>) {
    let filter = EventFilter {
        limit: 1_000,
        ..EventFilter::default()
    };
    let page = event::find(&hub.app, &filter).await.unwrap();
    (page.events.len(), page.unread)
}

fn file(hub: &Hub, part: &PartRow) -> PathBuf {
    hub.folder.path().join("archive").join(&part.path)
}

async fn ready(scratch: store::scratch::Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, |settings| settings.logs.pull = false).await;
    hub.connect(&sandbox).await;
    hub.sync().await;
    (sandbox, hub)
}

#[tokio::test]
async fn an_hour_and_later_its_day_become_one_part_and_repeats_fall_away() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        for hour in [9, 10] {
            for n in 0..3 {
                hub.happen("gateway_dns", &[lookup(n, hour), lookup(n + 1, hour)])
                    .await;
            }
        }
        assert_eq!(parts(&hub).await.len(), 6);
        let before = found(&hub).await;
        assert_eq!(before, (8, Vec::new()), "four lookups an hour");
        assert!(
            !compact::run(&hub.app).await.unwrap(),
            "the hours are not quiet yet"
        );
        hub.clock.advance(TimeDelta::minutes(11));
        let replaced = parts(&hub).await;
        while compact::run(&hub.app).await.unwrap() {}
        let merged = parts(&hub).await;
        assert_eq!(merged.iter().map(|part| part.records).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(found(&hub).await, before);
        assert!(
            replaced.iter().all(|part| file(&hub, part).exists()),
            "somebody may still read them"
        );
        hub.clock.advance(TimeDelta::hours(25));
        while compact::run(&hub.app).await.unwrap() {}
        let day = parts(&hub).await;
        assert_eq!(day.len(), 1);
        assert!(
            day[0].path.contains("date=2026-11-20/hour=all/"),
            "{}",
            day[0].path
        );
        assert_eq!((day[0].records, found(&hub).await), (8, before));
        assert!(
            !replaced.iter().any(|part| file(&hub, part).exists()),
            "nobody reads them any more"
        );
    })
    .await;
}

#[tokio::test]
async fn a_merge_that_is_killed_loses_and_doubles_nothing() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        for n in 0..4 {
            hub.happen("gateway_dns", &[lookup(n, 9)]).await;
        }
        hub.clock.advance(TimeDelta::minutes(11));
        let run = Box::pin(compact::run(&hub.app));
        assert!(killed_at("rewrite.written", run).await.is_none());
        assert_eq!((parts(&hub).await.len(), found(&hub).await.0), (4, 4));
        while compact::run(&hub.app).await.unwrap() {}
        assert_eq!((parts(&hub).await.len(), found(&hub).await.0), (1, 4));
        hub.clock.advance(TimeDelta::minutes(16));
        let run = Box::pin(compact::run(&hub.app));
        assert!(killed_at("rewrite.deleted", run).await.is_none());
        compact::run(&hub.app).await.unwrap();
        assert!(
            hub.app
                .store
                .part_dropped(hub.app.clock.now())
                .await
                .unwrap()
                .is_empty()
        );
        // What the killed merge has written is in no list: the sweep lists it, and the next merge drops its repeats.
        let ahead = TimeDelta::hours(2);
        hub.clock
            .advance(model::Clock::now(&model::SystemClock) + ahead - hub.app.clock.now());
        hub::sweep::run(&hub.app, hub.app.clock.now()).await.unwrap();
        assert_eq!((parts(&hub).await.len(), found(&hub).await.0), (2, 4));
        hub.clock.advance(TimeDelta::hours(2));
        while compact::run(&hub.app).await.unwrap() {}
        let left = parts(&hub).await;
        assert_eq!((left.len(), left[0].records, found(&hub).await.0), (1, 4, 4));
    })
    .await;
}

#[tokio::test]
async fn a_part_that_is_damaged_is_named_once_and_the_others_go_on() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        for n in 0..4 {
            hub.happen("gateway_dns", &[lookup(n, 9)]).await;
        }
        let all = parts(&hub).await;
        let content = std::fs::read(file(&hub, &all[0])).unwrap();
        std::fs::write(file(&hub, &all[0]), &content[..content.len() / 2]).unwrap();
        std::fs::remove_file(file(&hub, &all[1])).unwrap();
        let (events, unread) = found(&hub).await;
        assert_eq!((events, unread.len()), (2, 2), "{unread:?}");
        assert!(
            all[..2]
                .iter()
                .all(|part| unread.iter().any(|problem| problem.contains(&part.path)))
        );
        hub.clock.advance(TimeDelta::minutes(11));
        for _ in 0..5 {
            // Each run names one, and the last ones merge what is left.
            let _ = compact::run(&hub.app).await;
        }
        let left = parts(&hub).await;
        let mut bad: Vec<&str> = left
            .iter()
            .filter(|part| part.problem.is_some())
            .map(|part| part.path.as_str())
            .collect();
        let mut expected: Vec<&str> = all[..2].iter().map(|part| part.path.as_str()).collect();
        bad.sort_unstable();
        expected.sort_unstable();
        assert_eq!((left.len(), bad), (3, expected));
        let journal = hub.app.store.journal_latest(None, None, 100).await.unwrap();
        let told = journal
            .iter()
            .filter(|entry| entry.kind.as_str() == "archive.damaged");
        assert_eq!(told.count(), 2);
        // What changes without a word is found by its checksum.
        hub.clock.advance(TimeDelta::days(31));
        let good = left.iter().find(|part| part.problem.is_none()).unwrap();
        let mut content = std::fs::read(file(&hub, good)).unwrap();
        content[20] ^= 1;
        std::fs::write(file(&hub, good), content).unwrap();
        compact::run(&hub.app).await.unwrap();
        let problem = parts(&hub)
            .await
            .into_iter()
            .find(|part| part.path == good.path)
            .unwrap()
            .problem;
        assert!(problem.is_some_and(|problem| problem.contains("SHA-256")));
    })
    .await;
}
