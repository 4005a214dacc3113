//! Batches, events, detections, risk and signals.

use crate::access::{connection, noon, person};
use crate::journal::entries;
use chrono::{DateTime, TimeDelta, Utc};
use model::{ConnectionId, DetectionId, EventId, IntegrationId, PersonId, RiskLevel, SignalId};
use std::collections::HashSet;
use store::{
    BatchMatches, BatchOutcome, DetectionChanges, DetectionRow, EvidenceRow, IdentifierSeenRow,
    IntegrationRow, MatchRow, MatchRun, NewBatch, NewRiskChange, NewSignal, PartFilter, PartRow, RejectRow,
    RejectSample, Store, UnmappedRow, scratch,
};

fn evidence(connection: &ConnectionId, id: &str, at: DateTime<Utc>) -> EvidenceRow {
    EvidenceRow {
        id: EventId(id.to_owned()),
        connection_id: connection.clone(),
        dataset: "gateway_dns".to_owned(),
        at,
        identifier: Some("ana@x.example".to_owned()),
        is_person: true,
        action: Some("allowed".to_owned()),
        target: Some("nul\0byte.example".to_owned()),
        source_ip: None,
        country: None,
        batch_id: "b1".to_owned(),
        raw: "{\"n\":1}".to_owned(),
    }
}

fn part(path: &str) -> PartRow {
    PartRow {
        path: path.to_owned(),
        dataset: "gateway_dns".to_owned(),
        records: 2,
        bytes: 900,
        sha256: "ab".repeat(32),
        first_us: noon().timestamp_micros(),
        last_us: noon().timestamp_micros() + 1_000_000,
        first_identifier: Some("ana@x.example".to_owned()),
        last_identifier: Some("nul\0".to_owned()),
        made_at: noon(),
        dropped_at: None,
        verified_at: noon(),
        problem: None,
    }
}

fn matched(id: &str, at: DateTime<Utc>) -> MatchRow {
    MatchRow {
        watch: "w".to_owned(),
        group_key: "[]".to_owned(),
        slot: id.to_owned(),
        part: 0,
        value: String::new(),
        at_us: at.timestamp_micros(),
        event_id: id.to_owned(),
        batch_id: "b1".to_owned(),
    }
}

fn outcome(connection: &ConnectionId, rejects: Vec<RejectRow>) -> BatchOutcome {
    let later = noon() + TimeDelta::seconds(1);
    BatchOutcome {
        records: 5,
        accepted: 2,
        duplicates: 1,
        repaired: 0,
        problem: None,
        parts: vec![part("dataset=gateway_dns/p1.parquet")],
        rejects,
        seen: vec![IdentifierSeenRow {
            identifier: "ana@x.example".to_owned(),
            dataset: "gateway_dns".to_owned(),
            connection_id: connection.clone(),
            first_at: noon(),
            last_at: later,
        }],
        unmapped: vec![UnmappedRow {
            connection_id: connection.clone(),
            identifier: "ana@x.example".to_owned(),
            dataset: "gateway_dns".to_owned(),
            events: 2,
            first_at: noon(),
            last_at: later,
        }],
        found: BatchMatches {
            matches: vec![matched("e1", noon()), matched("e2", later)],
            evidence: vec![
                evidence(connection, "e1", noon()),
                evidence(connection, "e2", later),
            ],
            tested: vec![("r".to_owned(), "e1".to_owned(), "ana".to_owned(), noon())],
            run: MatchRun {
                began_at: noon(),
                stamp: "s1".to_owned(),
            },
            newest: Some(later),
            late: 0,
        },
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
        let length = TimeDelta::seconds(6);
        let claim = async |who: &str| store.batch_claim(who, length).await.unwrap();
        let row = claim("one").await.unwrap();
        assert_eq!(row.id, "b1");
        assert!(claim("two").await.is_none(), "somebody works on it");
        store.batch_claim_release("b1", "two").await.unwrap();
        assert!(claim("two").await.is_none(), "only who claims it gives it back");
        let outcome = outcome(&corp, vec![reject]);
        assert!(
            !store.batch_done(&row, "two", &outcome).await.unwrap(),
            "only who claims it ends it"
        );
        assert_eq!(store.part_list(&PartFilter::default()).await.unwrap().len(), 0);
        assert!(store.batch_done(&row, "one", &outcome).await.unwrap());
        assert!(
            !store.batch_done(&row, "one", &outcome).await.unwrap(),
            "it is done"
        );
        let counts = store.batch_counts(Some(&corp)).await.unwrap();
        assert_eq!((counts.deliveries, counts.records, counts.pending), (2, 5, 0));
        assert_eq!((counts.accepted, counts.duplicates, counts.rejected), (2, 1, 2));
        assert_eq!(store.unmapped_list(None, 10).await.unwrap()[0].events, 2);
        let seen = store
            .identifier_seen(&["ana@x.example".to_owned()])
            .await
            .unwrap();
        assert_eq!(
            (seen[0].first_at, seen[0].last_at),
            (noon(), noon() + TimeDelta::seconds(1))
        );
        assert_eq!(store.group_debt_watches().await.unwrap(), ["w"]);
        let mut kept = store
            .evidence_get_many(&["e1".to_owned(), "e9".to_owned()])
            .await
            .unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept.remove(0).target.as_deref(), Some("nul\u{fffd}byte.example"));
        let at = store.watermark_get(&corp, "gateway_dns").await.unwrap();
        assert_eq!(at, Some(noon() + TimeDelta::seconds(1)));
    }
}

#[tokio::test]
async fn a_second_look_replaces_what_an_earlier_one_found_and_nothing_else() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        let corp = connection(store, "corp").await;
        store.batch_archive(&batch(&corp), &[]).await.unwrap();
        let row = store
            .batch_claim("one", TimeDelta::seconds(6))
            .await
            .unwrap()
            .unwrap();
        assert!(
            store
                .batch_done(&row, "one", &outcome(&corp, Vec::new()))
                .await
                .unwrap()
        );
        // What was derived from a match of the same record stays: it follows from that match.
        let derived = MatchRow {
            watch: "outer".to_owned(),
            batch_id: "w []".to_owned(),
            ..matched("e1", noon())
        };
        let run = |second: i64, stamp: &str| MatchRun {
            began_at: noon() + TimeDelta::seconds(second),
            stamp: stamp.to_owned(),
        };
        store.match_keep(&[derived], &[], &run(0, "s2")).await.unwrap();
        let again = matched("e2", noon() + TimeDelta::seconds(1));
        let looked_at = ["e1".to_owned(), "e2".to_owned()];
        store
            .match_keep_again(&looked_at, &[again], &[], &run(9, "s3"))
            .await
            .unwrap();
        let left = store.match_groups("w", &["[]"], i64::MIN).await.unwrap();
        assert_eq!(
            left.iter().map(|one| one.event_id.as_str()).collect::<Vec<_>>(),
            ["e2"]
        );
        assert_eq!(
            store
                .match_groups("outer", &["[]"], i64::MIN)
                .await
                .unwrap()
                .len(),
            1
        );
        let debts = store.group_debt_list("w", 10).await.unwrap();
        assert_eq!(
            (debts[0].from_us, debts[0].stamp.as_str()),
            (noon().timestamp_micros(), "s3"),
            "from the match that is gone"
        );
    }
}

#[tokio::test]
async fn a_part_is_replaced_once_and_its_object_may_go_later() {
    for scratch in scratch::stores().await.unwrap() {
        let store = &scratch.store;
        assert!(
            store
                .part_replace(&[], &[part("a"), part("b")], noon())
                .await
                .unwrap()
        );
        let paths = async |filter: &PartFilter| {
            let listed = store.part_list(filter).await.unwrap();
            listed.into_iter().map(|part| part.path).collect::<Vec<_>>()
        };
        assert!(
            store
                .part_replace(&["a", "b"], &[part("c")], noon())
                .await
                .unwrap()
        );
        assert!(
            !store.part_replace(&["b"], &[part("d")], noon()).await.unwrap(),
            "another process replaced it"
        );
        assert_eq!(paths(&PartFilter::default()).await, ["c"]);
        let other = PartFilter {
            dataset: Some("gateway_http".to_owned()),
            ..PartFilter::default()
        };
        assert!(paths(&other).await.is_empty());
        let before = PartFilter {
            until_us: Some(noon().timestamp_micros()),
            ..PartFilter::default()
        };
        assert!(paths(&before).await.is_empty());
        let dropped = store.part_dropped(noon()).await.unwrap();
        assert_eq!(dropped.len(), 2);
        store.part_forget("a").await.unwrap();
        store.part_forget("c").await.unwrap();
        let all = ["a", "b", "c", "d"].map(str::to_owned);
        let known = store.part_known(&all).await.unwrap();
        assert_eq!(known, HashSet::from(["b".to_owned(), "c".to_owned()]));
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
