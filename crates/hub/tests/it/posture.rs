//! Posture: from a simulated account to findings, over several runs, on both engines.

use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use hub::Actor;
use hub::posture::{self, MuteError, Report};
use sandbox::{FailingPage, Faults, Sandbox};
use store::scratch::Scratch;
use store::{CheckResultRow, FindingFilter, FindingRow, LIST_LIMIT_MAX};

async fn connected(scratch: Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

async fn check(hub: &Hub) -> Report {
    hub.clock.advance(TimeDelta::seconds(1));
    posture::run(&hub.app, &hub.connection().await).await.unwrap()
}

async fn finding(hub: &Hub, check: &str, subject: &str) -> Option<FindingRow> {
    let filter = FindingFilter {
        check_id: Some(check.to_owned()),
        limit: LIST_LIMIT_MAX,
        ..FindingFilter::default()
    };
    let found = hub.app.store.finding_list(&filter).await.unwrap();
    found
        .into_iter()
        .find(|row| row.subject_name.to_lowercase() == subject)
}

async fn state(hub: &Hub, check: &str, subject: &str) -> String {
    finding(hub, check, subject)
        .await
        .map(|row| row.state.to_string())
        .unwrap_or_default()
}

async fn result(hub: &Hub, check: &str) -> CheckResultRow {
    let results = posture::results(&hub.app, None).await.unwrap();
    results.into_iter().find(|row| row.check_id == check).unwrap()
}

/// How often the journal says that a finding about this opened.
async fn opened(hub: &Hub, subject: &str) -> usize {
    let journal = hub.app.store.journal_latest(None, None, 1_000).await.unwrap();
    journal
        .iter()
        .filter(|entry| {
            entry.kind.as_str() == "finding.opened" && entry.summary.to_lowercase().contains(subject)
        })
        .count()
}

const FACTOR: &str = "member_2fa_off";
const BEN: &str = "ben.carter@tidewater.example";

#[tokio::test]
async fn a_finding_opens_is_muted_comes_back_and_is_resolved() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch).await;
        hub.sync().await;
        let first = check(&hub).await;
        assert!(first.opened > 3 && first.resolved == 0, "{first:?}");
        let found = finding(&hub, FACTOR, BEN).await.unwrap();
        assert_eq!((found.state.as_str(), found.severity.as_str()), ("open", "high"));
        assert_eq!(opened(&hub, BEN).await, 1);
        assert_eq!(result(&hub, FACTOR).await.verdict.as_str(), "fail");

        // The same again: nothing opens twice, and it keeps its id and its first time.
        let second = check(&hub).await;
        assert_eq!((second.opened, second.resolved), (0, 0));
        let again = finding(&hub, FACTOR, BEN).await.unwrap();
        assert_eq!((&again.id, again.first_seen_at), (&found.id, found.first_seen_at));
        assert!(again.last_seen_at > found.last_seen_at);
        assert_eq!(opened(&hub, BEN).await, 1);

        // Muted it stays muted, until its mute has run out.
        let until = hub.app.clock.now() + TimeDelta::days(1);
        let actor = Actor::CommandLine;
        posture::mute(&hub.app, &found.id, "a new key is ordered", Some(until), &actor)
            .await
            .unwrap();
        check(&hub).await;
        let muted = finding(&hub, FACTOR, BEN).await.unwrap();
        assert_eq!(muted.state.as_str(), "muted");
        assert_eq!(muted.muted_by.as_deref(), Some("command line"));
        hub.clock.advance(TimeDelta::days(2));
        check(&hub).await;
        assert_eq!(state(&hub, FACTOR, BEN).await, "open");
        assert_eq!(opened(&hub, BEN).await, 2);

        // Put right at Cloudflare, it is resolved after the next sync, and comes back as new.
        assert!(sandbox.world().member_second_factor_set(BEN, true));
        hub.sync().await;
        assert!(check(&hub).await.resolved > 0);
        let gone = finding(&hub, FACTOR, BEN).await.unwrap();
        assert_eq!(gone.state.as_str(), "resolved");
        assert!(gone.resolved_at.is_some());
        let refused = posture::mute(&hub.app, &gone.id, "late", None, &actor).await;
        assert!(matches!(refused, Err(MuteError::Resolved(_))), "{refused:?}");
        sandbox.world().member_second_factor_set(BEN, false);
        hub.sync().await;
        check(&hub).await;
        let back = finding(&hub, FACTOR, BEN).await.unwrap();
        assert_eq!((back.state.as_str(), &back.id), ("open", &found.id));
        assert!(back.first_seen_at > found.first_seen_at);
        assert_eq!(opened(&hub, BEN).await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_list_that_fails_makes_its_checks_unknown_and_keeps_their_findings() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch).await;
        // Before any sync nothing is known, and nothing passes.
        check(&hub).await;
        for row in posture::results(&hub.app, None).await.unwrap() {
            let needs = posture::check(&row.check_id).unwrap().lists;
            assert!(needs.is_empty() || row.verdict.as_str() == "unknown", "{row:?}");
        }
        hub.sync().await;
        check(&hub).await;
        assert_eq!(state(&hub, FACTOR, BEN).await, "open");

        sandbox.world().member_second_factor_set(BEN, true);
        sandbox.world().faults_set(Faults {
            failing_pages: vec![FailingPage {
                path: "/members".to_owned(),
                page: 1,
            }],
            ..Faults::default()
        });
        assert_eq!(hub.sync().await.outcome.as_str(), "partial");
        check(&hub).await;
        let unknown = result(&hub, FACTOR).await;
        assert_eq!(unknown.verdict.as_str(), "unknown", "{unknown:?}");
        assert!(unknown.unknown_reason.unwrap().contains("members"));
        assert_eq!(state(&hub, FACTOR, BEN).await, "open");
        // Other lists were read: their checks go on.
        assert_eq!(
            result(&hub, "service_token_duration_forever")
                .await
                .verdict
                .as_str(),
            "fail"
        );
    })
    .await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch).await;
        sandbox.world().faults_set(Faults {
            removed_permissions: vec![
                "Account API Tokens Read".to_owned(),
                "Account API Tokens Write".to_owned(),
            ],
            ..Faults::default()
        });
        hub.sync().await;
        check(&hub).await;
        for check in ["token_no_expiry_write", "token_unused_90d", "token_expiring_14d"] {
            let row = result(&hub, check).await;
            assert_eq!(row.verdict.as_str(), "unknown", "{row:?}");
            let reason = row.unknown_reason.unwrap();
            assert!(reason.contains("\"Account API Tokens Read\""), "{reason}");
        }
    })
    .await;
}

#[tokio::test]
async fn checks_run_once_after_each_sync() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch).await;
        assert!(!posture::run_due(&hub.app).await.unwrap());
        hub.sync().await;
        hub.clock.advance(TimeDelta::seconds(1));
        assert!(posture::run_due(&hub.app).await.unwrap());
        assert!(!posture::run_due(&hub.app).await.unwrap());
        hub.sync().await;
        hub.clock.advance(TimeDelta::seconds(1));
        assert!(posture::run_due(&hub.app).await.unwrap());
        // Time alone brings findings too: a token comes to its end.
        hub.clock.advance(TimeDelta::hours(7));
        assert!(posture::run_due(&hub.app).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_mute_needs_a_reason_and_an_end_that_is_to_come_and_is_audited() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch).await;
        hub.sync().await;
        check(&hub).await;
        let id = finding(&hub, FACTOR, BEN).await.unwrap().id;
        let actor = Actor::Token("auditor".to_owned());
        let past = Some(hub.app.clock.now());
        for (id, reason, until) in [("none", "why", None), (&id, "  ", None), (&id, "why", past)] {
            let refused = posture::mute(&hub.app, id, reason, until, &actor).await;
            assert!(refused.is_err(), "{refused:?}");
        }
        posture::mute(&hub.app, &id, "why", None, &actor).await.unwrap();
        let (opened, changed) = posture::unmute(&hub.app, &id, &actor).await.unwrap();
        assert_eq!(
            (opened.state.as_str(), changed, opened.mute_reason),
            ("open", true, None)
        );
        assert!(!posture::unmute(&hub.app, &id, &actor).await.unwrap().1);
        let audit = hub.app.store.audit_list(None, 100).await.unwrap();
        let actions: Vec<&str> = audit
            .iter()
            .filter(|row| row.actor == "token auditor")
            .map(|row| row.action.as_str())
            .collect();
        assert_eq!(actions, ["finding.unmute", "finding.mute"]);
    })
    .await;
}

#[tokio::test]
async fn a_person_who_left_zero_trust_is_found_as_a_member() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch).await;
        hub.sync().await;
        check(&hub).await;
        let world = sandbox.world();
        let users = world.access_user_emails();
        let both = world
            .member_emails()
            .into_iter()
            .find(|email| users.iter().any(|user| user.eq_ignore_ascii_case(email)))
            .unwrap()
            .to_lowercase();
        let check_id = "offboarded_identity_still_member";
        assert_eq!(state(&hub, check_id, &both).await, "");
        let user = users
            .into_iter()
            .find(|user| user.eq_ignore_ascii_case(&both))
            .unwrap();
        assert!(world.access_user_remove(&user));
        hub.sync().await;
        check(&hub).await;
        assert_eq!(state(&hub, check_id, &both).await, "open");
        world.access_user_add(&user, "Back again");
        hub.sync().await;
        check(&hub).await;
        assert_eq!(state(&hub, check_id, &both).await, "resolved");
    })
    .await;
}
