//! Batches, events, detections, risk and signals.

use crate::access::{connection, noon, person};
use crate::journal::entries;
use chrono::{DateTime, TimeDelta, Utc};
use model::{BatchState, ConnectionId, DetectionId, EventId, IntegrationId, PersonId, RiskLevel, SignalId};
use store::{
    DetectionChanges, DetectionRow, EventFilter, EventRow, IntegrationRow, NewBatch, NewRiskChange,
    NewSignal, RejectRow, RejectSample, Store, TimeCursor, scratch,
};

fn event(connection: &ConnectionId, id: &str, person: Option<&PersonId>, at: DateTime<Utc>) -> EventRow {
    EventRow {
        id: EventId(id.to_owned()),
        connection_id: connection.clone(),
        dataset: "gateway_dns".to_owned(),
        at,
        person_id: person.map(|person| person.0.clone()),
        identifier: Some("ana@x.example".to_owned()),
        action: Some("allowed".to_owned()),
        target: Some("nul\0byte.example".to_owned()),
        source_ip: None,
        country: None,
        batch_id: "b1".to_owned(),
        raw: "{\"n\":1}".to_owned(),
    }
}

fn batch(connection: &ConnectionId) -> NewBatch {
    NewBatch {
        id: "b1".to_owned(),
        connection_id: connection.clone(),
        dataset: "gateway_dns".to_owned(),
        source: "logpush",
        path: "dataset=gateway_dns/x.gz".to_owned(),
        bytes: 10,
        received_at: noon(),
    }
}

#[tokio::test]
async fn a_batch_delivered_and_processed_twice_counts_once() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        assert!(store.batch_archive(&batch(&corp), &[]).await.unwrap());
        assert!(
            !store.batch_archive(&batch(&corp), &[]).await.unwrap(),
            "the same content again"
        );
        let events = [
            event(&corp, "e1", None, noon()),
            event(&corp, "e1", None, noon()),
            event(&corp, "e2", None, noon() + TimeDelta::seconds(1)),
        ];
        let reject = RejectRow {
            batch_id: "b1".to_owned(),
            reason: "not JSON".to_owned(),
            connection_id: corp.clone(),
            dataset: "gateway_dns".to_owned(),
            count: 2,
            first_line: 4,
            rejected_at: noon(),
            samples: vec![RejectSample {
                line: 4,
                detail: "EOF at column 5".to_owned(),
                excerpt: "{oops\0".to_owned(),
            }],
        };
        for expected_new in [2, 0] {
            let stored = store.event_store(events.to_vec()).await.unwrap();
            let ids: Vec<&str> = stored.of_batch.iter().map(|event| event.id.as_str()).collect();
            assert_eq!((stored.new, ids), (expected_new, vec!["e1", "e2"]));
        }
        let mut again = event(&corp, "e2", None, noon());
        again.batch_id = "b2".to_owned();
        let stored = store.event_store(vec![again]).await.unwrap();
        assert_eq!(
            (stored.new, stored.of_batch.len()),
            (0, 0),
            "another batch had it first"
        );
        for rejects in [std::slice::from_ref(&reject), &[]] {
            store.batch_stored("b1", 5, 0, rejects).await.unwrap();
        }
        let counts = store.batch_counts(Some(&corp)).await.unwrap();
        assert_eq!((counts.deliveries, counts.records, counts.pending), (2, 5, 1));
        assert_eq!((counts.accepted, counts.duplicates, counts.rejected), (2, 1, 2));
        assert_eq!(store.unmapped_list(None, 10).await.unwrap()[0].events, 2);
        let length = TimeDelta::seconds(6);
        let claim = async |who: &str| {
            let claimed = store.batch_claim(BatchState::Stored, who, length).await.unwrap();
            claimed.map(|batch| batch.id)
        };
        assert_eq!(claim("one").await.as_deref(), Some("b1"));
        assert_eq!(claim("two").await, None, "somebody works on it");
        store.batch_claim_release("b1", "two").await.unwrap();
        assert_eq!(claim("two").await, None, "only who claims it gives it back");
        store.batch_claim_release("b1", "one").await.unwrap();
        assert_eq!(claim("two").await.as_deref(), Some("b1"));
    }
}

#[tokio::test]
async fn events_are_read_page_by_page_without_gap() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let ana = person(store, "ana@x.example").await;
        // Two share one time: the id decides.
        let events: Vec<EventRow> = (0..5_i64)
            .map(|n| {
                event(
                    &corp,
                    &format!("e{n}"),
                    Some(&ana),
                    noon() + TimeDelta::milliseconds(n / 2),
                )
            })
            .collect();
        store.event_store(events).await.unwrap();
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let filter = EventFilter {
                person_id: Some(ana.clone()),
                before,
                limit: 2,
                ..EventFilter::default()
            };
            let page = store.event_list(&filter).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(TimeCursor {
                at: last.at,
                id: last.id.0.clone(),
            });
            seen.extend(page.into_iter().map(|row| row.id.0));
        }
        assert_eq!(seen, ["e4", "e3", "e2", "e1", "e0"]);
    }
}

#[tokio::test]
async fn a_rule_and_an_event_make_one_detection() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let found = DetectionRow {
            id: DetectionId("d1".to_owned()),
            rule_id: "r".to_owned(),
            rule_name: "dns-phishing".to_owned(),
            title: "Lookup of a phishing domain".to_owned(),
            level: "high".to_owned(),
            behaviour: None,
            topic: None,
            event_id: EventId("e1".to_owned()),
            connection_id: corp,
            dataset: "gateway_dns".to_owned(),
            person_id: None,
            identifier: None,
            at: noon(),
            detected_at: noon(),
            detail: None,
            watch: Some("w".to_owned()),
            group_key: Some("[\"ana\"]".to_owned()),
            matches: 1,
            last_at: noon(),
            evidence: "[\"e1\"]".to_owned(),
        };
        let changed = async |changes: DetectionChanges| {
            store
                .detection_change(&changes, &[], &|found| found.title.clone(), noon())
                .await
                .unwrap()
                .unwrap()
        };
        let new = |new: &[&DetectionRow]| DetectionChanges {
            new: new.iter().copied().cloned().collect(),
            ..DetectionChanges::default()
        };
        assert_eq!(changed(new(&[&found, &found])).await, 1);
        assert_eq!(changed(new(&[&found])).await, 0);
        assert_eq!(entries(store, 0, "detection.created", 1).await.len(), 1);
        assert_eq!(store.detection_counts().await.unwrap()[0].detections, 1);
        let later = DetectionRow {
            matches: 3,
            event_id: EventId("e0".to_owned()),
            ..found.clone()
        };
        changed(DetectionChanges {
            revised: vec![later],
            ..DetectionChanges::default()
        })
        .await;
        let group = ["[\"ana\"]"];
        let rows = store.detection_groups("w", &group, noon()).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].matches, rows[0].event_id.0.as_str()), (3, "e0"));
        assert_eq!(entries(store, 0, "detection.created", 1).await.len(), 1);
        changed(DetectionChanges {
            withdrawn: rows,
            ..DetectionChanges::default()
        })
        .await;
        assert!(
            store
                .detection_groups("w", &group, noon())
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(entries(store, 0, "detection.withdrawn", 1).await.len(), 1);
    }
}

async fn okta(store: &Store, connection: &ConnectionId) -> IntegrationId {
    let id = IntegrationId("integration".to_owned());
    let integration = IntegrationRow {
        id: id.clone(),
        connection_id: connection.clone(),
        account_id: "account-corp".to_owned(),
        integration_type: "Okta".to_owned(),
        tenant_url: "https://tenant.okta.com".to_owned(),
        reference_id: None,
        active: true,
        suspended_reason: None,
        created_at: noon(),
        deleted_at: None,
    };
    store.integration_insert(&integration).await.unwrap();
    id
}

fn change(person: &PersonId, n: i64, previous: RiskLevel, current: RiskLevel) -> NewRiskChange {
    NewRiskChange {
        id: format!("change-{n}"),
        person_id: person.clone(),
        email: "ana@x.example".to_owned(),
        previous,
        current,
        initiator: "policy",
        reason: "Lookup of a phishing domain".to_owned(),
        behaviour: None,
        detection_id: None,
        at: noon() + TimeDelta::seconds(n),
        happened_at: noon(),
        summary: "The level changed".to_owned(),
    }
}

fn signal(change: &NewRiskChange, integration: &IntegrationId) -> NewSignal {
    NewSignal {
        id: SignalId(format!("jti-{}", change.id)),
        integration_id: integration.clone(),
        person_id: change.person_id.clone(),
        risk_change_id: change.id.clone(),
        subject: change.email.clone(),
        previous: change.previous,
        current: change.current,
        claims: "{}".to_owned(),
        created_at: change.at,
    }
}

#[tokio::test]
async fn a_level_moves_with_its_journal_entry_or_not_at_all() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let ana = person(store, "ana@x.example").await;
        let up = change(&ana, 1, RiskLevel::Unscored, RiskLevel::Medium);
        assert!(store.risk_change(&up).await.unwrap());
        let stale = change(&ana, 2, RiskLevel::Unscored, RiskLevel::High);
        assert!(!store.risk_change(&stale).await.unwrap(), "ana has moved on");
        let told = entries(store, 0, "risk.changed", 1).await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].subject_id.as_deref(), Some("change-1"));

        let reset = change(&ana, 3, RiskLevel::Medium, RiskLevel::Unscored);
        assert!(store.risk_change(&reset).await.unwrap());
        let person = store.person_get(&ana).await.unwrap().unwrap();
        assert_eq!(
            (person.risk_level, person.risk_reset_at),
            (RiskLevel::Unscored, Some(reset.at))
        );
    }
}

#[tokio::test]
async fn signals_about_one_person_go_out_in_order() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        let ana = person(store, "ana@x.example").await;
        let okta = okta(store, &corp).await;
        let first = change(&ana, 1, RiskLevel::Unscored, RiskLevel::Medium);
        let second = change(&ana, 2, RiskLevel::Medium, RiskLevel::High);
        let signals = [signal(&first, &okta), signal(&second, &okta)];
        store.signal_decide("signals", 2, &signals).await.unwrap();
        // Decided again after a kill: the same signals, once.
        store.signal_decide("signals", 2, &signals).await.unwrap();
        assert_eq!(store.consumer_position("signals").await.unwrap(), 2);
        assert_eq!(store.signal_list(None, None, None, 10).await.unwrap().len(), 2);
        let now = noon() + TimeDelta::minutes(1);
        let due = store.signal_due(now, 10).await.unwrap();
        assert_eq!(
            due.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            ["jti-change-1"]
        );
        store
            .signal_retry(&due[0].id, Some(503), "busy", now + TimeDelta::minutes(5))
            .await
            .unwrap();
        assert!(
            store.signal_due(now, 10).await.unwrap().is_empty(),
            "the second waits for the first"
        );
        store
            .signal_delivered(&due[0], 202, "accepted", now)
            .await
            .unwrap();
        assert_eq!(
            store.signal_due(now, 10).await.unwrap()[0].id.as_str(),
            "jti-change-2"
        );
        store
            .integration_suspend(&okta, Some("invalid_audience"))
            .await
            .unwrap();
        assert!(store.signal_due(now, 10).await.unwrap().is_empty());
        assert_eq!(store.signal_waiting().await.unwrap(), 0);
    }
}
