//! Syncs: what is read, what is worked out from it, and what a bad day at Cloudflare may not break.

use crate::kit::{self, Hub, each, sized, story};
use chrono::TimeDelta;
use hub::Actor;
use hub::access::{AccessView, Grant, GrantFilter};
use hub::sync::{self, SyncError, SyncOptions};
use model::{Certainty, ConnectionState, GrantKind};
use sandbox::{FailingPage, Faults, Sandbox, SandboxConfig};
use store::ListingRow;
use store::scratch::Scratch;

async fn connected(scratch: Scratch, config: SandboxConfig) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(config).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

async fn grants(hub: &Hub) -> Vec<Grant> {
    let view = AccessView::current(&hub.app).await.unwrap();
    view.grant_page(&GrantFilter::default(), usize::MAX)
}

fn grant<'a>(grants: &'a [Grant], what: &str, who: &str) -> Option<&'a Grant> {
    let email = format!("{who}@tidewater.example");
    grants
        .iter()
        .find(|row| row.entitlement_name == what && row.email == email)
}

async fn listing(hub: &Hub, kind: &str) -> ListingRow {
    let listings = hub
        .app
        .store
        .listing_list(&hub.connection().await.id)
        .await
        .unwrap();
    listings
        .into_iter()
        .find(|row| row.kind.as_str() == kind)
        .unwrap()
}

#[tokio::test]
async fn everything_is_listed_in_as_few_requests_as_pages_need() {
    all_is_listed(story(), 5).await;
}

#[tokio::test]
async fn a_large_account_is_listed_to_its_last_page() {
    all_is_listed(sized(300, 700, 40), 10).await;
}

async fn all_is_listed(config: SandboxConfig, pages: u64) {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, config.clone()).await;
        let report = hub.sync().await;
        assert_eq!(report.outcome.as_str(), "complete", "{:?}", report.problems);
        let world = sandbox.world();
        let seen = |kind: &str| report.counts[kind].seen;
        assert_eq!(seen("members"), world.member_emails().len());
        assert_eq!(seen("access_users"), world.access_user_emails().len());
        assert_eq!(seen("access_groups"), config.groups);
        // The list leaves the Super Administrator out.
        assert_eq!(seen("roles"), config.roles + 1);
        // One for each other list, each user group and each Zero Trust list that a rule names.
        let others = 15;
        assert!(
            (pages..=pages + others).contains(&report.requests),
            "{} requests for {pages} pages",
            report.requests
        );

        let connection = hub.connection().await;
        assert_eq!(connection.state, ConnectionState::Connected);
        let store = &hub.app.store;
        let id = Some(&connection.id);
        let roles = store.role_list(id, None, 1_000).await.unwrap();
        assert!(
            roles
                .iter()
                .any(|role| role.id == cloudflare::SUPER_ADMINISTRATOR_ROLE_ID),
            "no Super Administrator"
        );
        let members = store.member_list(id, None, 1_000).await.unwrap();
        let mut listed: Vec<_> = members.iter().map(|row| row.email.clone()).collect();
        let mut there = world.member_emails();
        listed.sort();
        there.sort();
        assert_eq!(listed, there, "someone beyond the first page is missing");
        // Everyone of both lists is one person, however the address is written.
        let mut people: Vec<String> = there
            .iter()
            .chain(&world.access_user_emails())
            .map(|email| email.to_lowercase())
            .collect();
        people.sort();
        people.dedup();
        assert_eq!(store.person_count().await.unwrap(), people.len() as i64);
        assert!(
            people.len() < seen("members") + seen("access_users"),
            "the lists do not overlap"
        );
    })
    .await;
}

#[tokio::test]
async fn a_second_factor_of_someone_who_never_signed_up_is_unknown() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch, story()).await;
        hub.sync().await;
        let members = hub.app.store.member_list(None, None, 1_000).await.unwrap();
        let factor = |who: &str| {
            let row = members
                .iter()
                .find(|row| row.email.to_lowercase().starts_with(who))
                .unwrap();
            (row.status.as_str(), row.two_factor)
        };
        assert_eq!(factor("kato.mensah@"), ("pending", None));
        assert_eq!(factor("ben.carter@"), ("accepted", Some(false)));
        assert_eq!(factor("alex.reid@"), ("accepted", Some(true)));
    })
    .await;
}

#[tokio::test]
async fn one_person_in_both_lists_is_joined_whatever_the_capitals() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        let odd = sandbox
            .world()
            .member_emails()
            .into_iter()
            .find(|email| *email != email.to_lowercase())
            .unwrap();
        hub.sync().await;
        let store = &hub.app.store;
        let person = store.person_by_email(&odd.to_lowercase()).await.unwrap().unwrap();
        assert_eq!(store.member_by_person(&person.id).await.unwrap()[0].email, odd);
        assert_eq!(store.access_user_by_person(&person.id).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_grant_says_how_sure_it_is_and_through_which_rule() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch, story()).await;
        hub.sync().await;
        let grants = grants(&hub).await;
        let sure = |what: &str, who: &str| grant(&grants, what, who).map(|row| row.certainty);
        use Certainty::{Conditional, Unknown, Yes};
        for (what, who, expected) in [
            ("All staff", "omar.said", Some(Yes)),
            // Excluded by address.
            ("All staff", "elena.rossi", None),
            ("Finance", "tom.okafor", Some(Yes)),
            ("Finance", "omar.said", None),
            // A group at the identity provider cannot be seen from here, nor through a nested group.
            ("Engineering", "omar.said", Some(Unknown)),
            ("On call", "omar.said", Some(Unknown)),
            ("On call", "sam.harlow", None),
            // By address, but only with a second factor.
            ("On call", "alex.reid", Some(Conditional)),
            ("Anyone", "elena.rossi", Some(Yes)),
            ("Continental offices", "ines.moreau", Some(Conditional)),
            ("Managed laptops", "omar.said", Some(Conditional)),
            ("Head office network", "omar.said", Some(Conditional)),
            ("Administrators", "priya.nair", Some(Conditional)),
            ("Administrators", "omar.said", None),
            // A certificate is enough, whatever is on the list that cannot be read.
            ("Contractors", "omar.said", Some(Conditional)),
            // A kind of selector that is newer than this program.
            ("Badge pilot", "omar.said", Some(Unknown)),
            ("Badge pilot", "alex.reid", Some(Yes)),
        ] {
            assert_eq!(sure(what, who), expected, "{who} in {what}");
        }
        let via = |what: &str, who: &str| grant(&grants, what, who).unwrap().via.clone();
        assert_eq!(
            via("Finance", "tom.okafor"),
            ["group Finance", "address tom.okafor@tidewater.example"]
        );
        assert_eq!(
            via("Badge pilot", "omar.said"),
            [
                "group Badge pilot",
                "depends on an unsupported rule of type \"office_badge\""
            ]
        );
        let roles: Vec<_> = grants
            .iter()
            .filter(|row| row.kind == GrantKind::Role)
            .map(|row| (row.email.as_str(), row.certainty))
            .collect();
        assert!(
            roles.contains(&("ben.carter@tidewater.example", Yes)),
            "{roles:?}"
        );
        assert!(
            roles.contains(&("kato.mensah@tidewater.example", Conditional)),
            "{roles:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_second_sync_changes_nothing() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch, story()).await;
        hub.sync().await;
        let store = &hub.app.store;
        let before = (
            format!("{:?}", grants(&hub).await),
            format!("{:?}", store.person_list(&Default::default()).await.unwrap()),
            store.overview().await.unwrap().people,
        );
        let report = hub.sync().await;
        assert!(report.counts.values().all(|count| count.gone == 0), "{report:?}");
        let after = (
            format!("{:?}", grants(&hub).await),
            format!("{:?}", store.person_list(&Default::default()).await.unwrap()),
            store.overview().await.unwrap().people,
        );
        assert_eq!(before, after);
    })
    .await;
}

#[tokio::test]
async fn who_is_no_longer_listed_is_gone_with_their_grants_and_may_come_back() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        hub.sync().await;
        let held = |grants: &[Grant]| {
            grants
                .iter()
                .filter(|row| row.kind == GrantKind::Role && row.email.starts_with("ben.carter@"))
                .count()
        };
        assert_eq!(held(&grants(&hub).await), 1);
        assert!(sandbox.world().member_remove("ben.carter@tidewater.example"));
        let report = hub.sync().await;
        assert_eq!(report.counts["members"].gone, 1);
        assert_eq!(held(&grants(&hub).await), 0);
        // Still let in by Access, since that is another list.
        assert!(grant(&grants(&hub).await, "All staff", "ben.carter").is_some());
        sandbox
            .world()
            .member_add("ben.carter@tidewater.example", &["Administrator Read Only"], true);
        hub.sync().await;
        assert_eq!(held(&grants(&hub).await), 1);
    })
    .await;
}

#[tokio::test]
async fn a_page_that_fails_makes_nobody_gone() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, sized(120, 30, 3)).await;
        hub.sync().await;
        let world = sandbox.world();
        world.member_remove(&world.member_emails()[0]);
        world.faults_set(Faults {
            failing_pages: vec![FailingPage {
                path: "/members".to_owned(),
                page: 2,
            }],
            ..Faults::default()
        });
        let report = hub.sync().await;
        assert_eq!(report.outcome.as_str(), "partial");
        assert!(
            report.problems[0].contains("could not list members"),
            "{report:?}"
        );
        let connection = hub.connection().await;
        assert_eq!(connection.state, ConnectionState::Degraded);
        assert!(connection.state_reason.unwrap().contains("members"));
        let store = &hub.app.store;
        assert_eq!(store.member_live(&connection.id).await.unwrap(), 120);
        let stale = listing(&hub, "members").await;
        assert!(
            stale.stale_reason.is_some() && stale.complete_at.is_some(),
            "{stale:?}"
        );
        assert!(listing(&hub, "access_users").await.stale_reason.is_none());

        world.faults_clear();
        let report = hub.sync().await;
        assert_eq!(
            (report.outcome.as_str(), report.counts["members"].gone),
            ("complete", 1)
        );
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
        assert!(listing(&hub, "members").await.stale_reason.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_list_that_fell_by_half_waits_for_a_person() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, sized(30, 30, 3)).await;
        hub.sync().await;
        let world = sandbox.world();
        for email in &world.access_user_emails()[..16] {
            world.access_user_remove(email);
        }
        let report = hub.sync().await;
        assert_eq!(report.outcome.as_str(), "paused");
        let paused = hub.connection().await;
        assert_eq!(paused.state, ConnectionState::Paused);
        assert_eq!(
            paused.state_reason.as_deref(),
            Some("Cloudflare now lists only 14 of 30 Access users")
        );
        let live = async || hub.app.store.access_user_live(&paused.id).await.unwrap();
        assert_eq!(live().await, 30);

        // Neither another sync nor the doctor lets it go on.
        let refused =
            sync::connection(&hub.app, &hub.connection().await, SyncOptions::default(), &|_| {}).await;
        assert!(matches!(refused, Err(SyncError::Paused { .. })), "{refused:?}");
        assert!(sync::all(&hub.app).await.unwrap().is_empty());
        hub::connect::doctor(&hub.app, &hub.connection().await)
            .await
            .unwrap();
        hub.connect(&sandbox).await;
        assert_eq!(hub.connection().await.state, ConnectionState::Paused);
        assert_eq!(live().await, 30);

        hub.clock.advance(TimeDelta::seconds(1));
        let report = sync::connection(
            &hub.app,
            &hub.connection().await,
            SyncOptions {
                confirm: true,
                fresh: false,
            },
            &|_| {},
        )
        .await
        .unwrap();
        assert_eq!(
            (report.outcome.as_str(), report.counts["access_users"].gone),
            ("complete", 16)
        );
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
        assert_eq!(live().await, 14);
    })
    .await;
}

#[tokio::test]
async fn a_sync_gets_through_faults_that_pass() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, sized(300, 40, 3)).await;
        for (what, faults) in [
            (
                "every third call fails",
                Faults {
                    server_error_every: Some(3),
                    ..Faults::default()
                },
            ),
            (
                "every fourth answer is cut off",
                Faults {
                    truncate_every: Some(4),
                    ..Faults::default()
                },
            ),
            (
                "answers are slow",
                Faults {
                    latency_ms: 60,
                    ..Faults::default()
                },
            ),
            (
                "too many requests for a second",
                Faults {
                    rate_limited_for_seconds: Some(1),
                    ..Faults::default()
                },
            ),
        ] {
            sandbox.world().faults_set(faults);
            let report = hub.sync().await;
            assert_eq!(
                report.outcome.as_str(),
                "complete",
                "{what}: {:?}",
                report.problems
            );
            assert_eq!(report.counts["members"].seen, 300, "{what}");
            assert_eq!(report.counts["members"].gone, 0, "{what}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_sync_that_is_cancelled_ends_and_is_not_begun_again_by_itself() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        sandbox.world().faults_set(Faults {
            latency_ms: 60_000,
            ..Faults::default()
        });
        let (app, connection) = (hub.app.clone(), hub.connection().await);
        let options = SyncOptions::default();
        let running =
            tokio::spawn(async move { sync::connection(&app, &connection, options, &|_| {}).await });
        let newest = async || hub.app.store.sync_run_list(None, 1).await.unwrap().pop();
        while newest().await.is_none() {
            tokio::task::yield_now().await;
        }
        let id = newest().await.unwrap().id;
        // From another process.
        let other = hub.again().await;
        let asked = sync::request::cancel(&other, &id, &Actor::CommandLine)
            .await
            .unwrap();
        assert_eq!(asked.cancelled_by.as_deref(), Some("command line"));
        let ended = running.await.unwrap();
        assert!(matches!(ended, Err(SyncError::Cancelled { .. })), "{ended:?}");
        let run = newest().await.unwrap();
        assert_eq!(run.outcome.as_str(), "cancelled");
        assert!(run.finished_at.is_some());
        let connection = hub.connection().await;
        assert_eq!(connection.state, ConnectionState::Degraded);
        assert!(
            connection
                .state_reason
                .unwrap()
                .contains("cancelled by command line")
        );
        let again = sync::request::cancel(&hub.app, &id, &Actor::CommandLine).await;
        assert!(
            matches!(again, Err(sync::request::CancelError::NotRunning)),
            "{again:?}"
        );

        sandbox.world().faults_clear();
        assert_eq!(hub.sync().await.outcome.as_str(), "complete");
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
    })
    .await;
}

#[tokio::test]
async fn a_second_sync_of_one_connection_is_busy_and_a_killed_one_is_gone_on_with() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        sandbox.world().faults_set(Faults {
            latency_ms: 300,
            ..Faults::default()
        });
        let (app, connection) = (hub.app.clone(), hub.connection().await);
        let running = tokio::spawn(async move {
            let _ = sync::connection(&app, &connection, SyncOptions::default(), &|_| {}).await;
        });
        let runs = async || hub.app.store.sync_run_list(None, 10).await.unwrap();
        while runs().await.is_empty() {
            tokio::task::yield_now().await;
        }
        let second = hub.again().await;
        let refused =
            sync::connection(&second, &hub.connection().await, SyncOptions::default(), &|_| {}).await;
        assert!(matches!(refused, Err(SyncError::Busy(_))), "{refused:?}");

        running.abort();
        let _ = running.await;
        sandbox.world().faults_clear();
        assert_eq!(
            sync::end_cut_off(&hub.app).await.unwrap(),
            0,
            "it may still be at work"
        );
        hub.app.store.leases_run_out().await.unwrap();
        assert_eq!(sync::end_cut_off(&hub.app).await.unwrap(), 1);
        let connection = hub.connection().await;
        assert_eq!(connection.state, ConnectionState::Degraded);
        assert!(connection.state_reason.unwrap().contains("interrupted"));
        assert_eq!(runs().await[0].outcome.as_str(), "interrupted");
        let report = hub.sync().await;
        assert_eq!((report.outcome.as_str(), report.resumed), ("complete", true));
        let runs = runs().await;
        assert_eq!(
            (runs.len(), runs[0].outcome.as_str(), runs[0].attempts),
            (1, "complete", 2)
        );
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
    })
    .await;
}

#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_makes_nobody_gone() {
    use axum::extract::{Query, RawQuery};
    use axum::{Json, Router, routing::get};
    use serde_json::json;
    use std::collections::HashMap;
    each(async |scratch| {
        // The second page repeats someone of the first, as when a list moves by one between two pages.
        let members = async |Query(query): Query<HashMap<String, String>>, _: RawQuery| {
            let first = if query.get("page").is_some_and(|page| page == "2") { 49 } else { 0 };
            let shown: Vec<_> = (first..first + 50)
                .map(|n| json!({ "id": format!("m{n}"), "status": "accepted", "user": { "email": format!("m{n}@x.example") } }))
                .collect();
            Json(json!({ "success": true, "result": shown, "result_info": { "page": 1, "per_page": 50, "total_count": 100 } }))
        };
        let account = "a".repeat(32);
        let empty = async || Json(json!({ "success": true, "result": [] }));
        let status = async || Json(json!({ "success": true, "result": { "id": "t", "status": "active" } }));
        let one = async || Json(json!({ "success": true, "result": { "id": "a", "name": "A" } }));
        let base = format!("/accounts/{account}");
        let base_url = kit::stand_in(
            Router::new()
                .route("/user/tokens/verify", get(status))
                .route(&base, get(one))
                .route(&format!("{base}/members"), get(members))
                .fallback(get(empty)),
        )
        .await;
        let hub = Hub::start(scratch).await;
        let request = hub::connect::ConnectRequest {
            label: "tidewater".to_owned(),
            account: Some(account),
            credential: cloudflare::Credential::token("secret"),
            base_url: Some(base_url),
        };
        hub::connect::connect(&hub.app, &request, &hub::Actor::CommandLine)
            .await
            .unwrap();
        let report = hub.sync().await;
        assert!(
            report.problems.iter().any(|problem| problem.contains("returned 99 of 100")),
            "{report:?}"
        );
        assert!(listing(&hub, "members").await.complete_at.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_sync_that_was_cut_off_goes_on_with_the_page_where_it_stood() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, sized(400, 30, 3)).await;
        let world = sandbox.world();
        world.faults_set(Faults {
            failing_pages: vec![FailingPage {
                path: "/members".to_owned(),
                page: 6,
            }],
            ..Faults::default()
        });
        assert_eq!(hub.sync().await.outcome.as_str(), "partial");
        world.faults_clear();
        let before = world.requests();
        let pages = |requests: &std::collections::BTreeMap<String, u64>| -> u64 {
            let of_members = requests.iter().filter(|(call, _)| call.ends_with("/members"));
            of_members.map(|(_, count)| *count).sum()
        };
        let report = hub.sync().await;
        assert_eq!((report.outcome.as_str(), report.resumed), ("complete", true));
        // Pages 5 (once more, to see whether something moved) to 8.
        assert_eq!(
            pages(&world.requests()) - pages(&before),
            4,
            "{:?}",
            world.requests()
        );
        assert_eq!(report.counts["members"].seen, 400);
        assert_eq!(report.counts["members"].gone, 0);

        // What moved in the meantime is noticed: the list is read anew.
        world.faults_set(Faults {
            failing_pages: vec![FailingPage {
                path: "/members".to_owned(),
                page: 6,
            }],
            ..Faults::default()
        });
        hub.clock.advance(TimeDelta::minutes(20));
        assert_eq!(hub.sync().await.outcome.as_str(), "partial");
        world.faults_clear();
        for email in &world.member_emails()[..3] {
            world.member_remove(email);
        }
        let report = hub.sync().await;
        assert_eq!((report.outcome.as_str(), report.resumed), ("complete", true));
        let live = hub
            .app
            .store
            .member_live(&hub.connection().await.id)
            .await
            .unwrap();
        // The three were seen on the first page of this run: the next sync finds them gone.
        assert!((397..=400).contains(&live), "{live}");
        assert_eq!(hub.sync().await.outcome.as_str(), "complete");
        assert_eq!(
            hub.app
                .store
                .member_live(&hub.connection().await.id)
                .await
                .unwrap(),
            397
        );
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_read_is_dark_with_the_permission_and_the_rest_syncs() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        sandbox.world().faults_set(Faults {
            removed_permissions: vec![
                "Access: Service Tokens Read".to_owned(),
                "Access: Service Tokens Write".to_owned(),
            ],
            ..Faults::default()
        });
        let report = hub.sync().await;
        // A list that could not be read is never called complete.
        assert_eq!(report.outcome.as_str(), "partial", "{report:?}");
        assert!(
            report
                .dark
                .iter()
                .any(|dark| dark.contains("service tokens")
                    && dark.contains("\"Access: Service Tokens Read\"")),
            "{:?}",
            report.dark
        );
        let connection = hub.connection().await;
        assert_eq!(connection.state, ConnectionState::Degraded);
        assert!(
            connection
                .state_reason
                .unwrap()
                .contains("Access: Service Tokens Read")
        );
        assert!(report.counts["apps"].seen > 0);
    })
    .await;
}

#[tokio::test]
async fn a_run_keeps_what_changed_of_the_lists_and_of_the_grants() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        let first = hub.sync().await;
        let store = &hub.app.store;
        assert!(store.sync_change_list(&first.run_id, None, 10).await.unwrap().is_empty());
        let world = sandbox.world();
        let mut group = world.access_group("Finance").unwrap();
        let id = group["id"].as_str().unwrap().to_owned();
        group["include"] = serde_json::json!([
            { "email": { "email": "omar.said@tidewater.example" } }, { "email": { "email": "tom.okafor@tidewater.example" } },
        ]);
        world.access_group_set(&id, group);
        world.member_remove("ben.carter@tidewater.example");
        world.access_user_remove("noor.aziz@tidewater.example");
        let before = grants(&hub).await;
        let report = hub.sync().await;
        let after = grants(&hub).await;
        let changes = store.sync_change_list(&report.run_id, None, 100).await.unwrap();
        let short: Vec<_> = changes
            .iter()
            .map(|row| (row.kind.as_str(), row.name.as_str(), row.change.as_str()))
            .collect();
        assert!(short.contains(&("access_groups", "Finance", "changed")), "{short:?}");
        assert!(short.contains(&("members", "ben.carter@tidewater.example", "removed")), "{short:?}");
        assert!(short.contains(&("access_users", "noor.aziz@tidewater.example", "removed")), "{short:?}");
        // The kept changes of grants are exactly the difference between the two states.
        let key = |grant: &Grant| (grant.kind.to_string(), grant.entitlement_id.clone(), grant.email.clone());
        let compared = |grant: &&Grant| matches!(grant.kind, GrantKind::AccessGroup | GrantKind::Role);
        let old: std::collections::BTreeMap<_, _> =
            before.iter().filter(compared).map(|grant| (key(grant), grant.certainty.to_string())).collect();
        let new: std::collections::BTreeMap<_, _> =
            after.iter().filter(compared).map(|grant| (key(grant), grant.certainty.to_string())).collect();
        let mut expected = Vec::new();
        for key in old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>() {
            let (was, is) = (old.get(key).cloned(), new.get(key).cloned());
            if was != is {
                expected.push((key.clone(), was, is));
            }
        }
        let kept = store.grant_change_list(&report.run_id, None, 1_000).await.unwrap();
        let kept: Vec<_> = kept
            .into_iter()
            .map(|row| ((row.kind.to_string(), row.entitlement_id, row.email), row.before, row.after))
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(kept, expected);
    })
    .await;
}

#[tokio::test]
async fn more_is_read_about_a_few_at_a_time_and_only_where_a_rule_asks_for_it() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start_with(scratch, |settings| settings.sync.details_per_hour = 4).await;
        hub.connect(&sandbox).await;
        let read = async || sync::detail::scheduled(&hub.app).await.unwrap();
        assert_eq!(read().await, 0, "no list was read, so nobody asks");
        hub.sync().await;
        assert_eq!((read().await, read().await), (4, 0));
        hub.clock.advance(TimeDelta::minutes(59));
        assert_eq!(read().await, 0);
        hub.clock.advance(TimeDelta::minutes(2));
        assert_eq!(read().await, 4);
        let known = hub
            .app
            .store
            .access_user_detail_list(None, None, 100)
            .await
            .unwrap();
        assert_eq!(known.len(), 8, "those first about whom nothing is known");
    })
    .await;
}

#[tokio::test]
async fn an_email_list_that_was_given_in_part_makes_nobody_absent() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        let world = sandbox.world();
        let group = world.access_group("Contractors").unwrap();
        let rules = group["include"].as_array().unwrap();
        let rule = rules
            .iter()
            .find(|rule| rule.get("email_list").is_some())
            .unwrap();
        let (only, none) = (serde_json::json!([rule]), serde_json::json!([]));
        world.access_group_put("Listed", only, none.clone(), none);
        // One of the two contractors is given, and asking for more is no help.
        sandbox.world().faults_set(Faults {
            list_items_cap: Some(1),
            ..Faults::default()
        });
        let report = hub.sync().await;
        assert_eq!(
            report.outcome.as_str(),
            "complete",
            "the call gives more when it is given a limit: {report:?}"
        );
        sandbox.world().faults_set(Faults {
            list_items_cap: Some(1),
            list_items_limit_ignored: true,
            ..Faults::default()
        });
        let report = hub.sync().await;
        assert_eq!(report.outcome.as_str(), "partial", "{report:?}");
        assert!(
            report
                .dark
                .iter()
                .chain(&report.problems)
                .any(|why| why.contains("only 1 of 2 entries were returned")),
            "{report:?}"
        );
        let listing = listing(&hub, "list_items").await;
        assert!(
            listing.is_partial && listing.stale_reason.is_some(),
            "{listing:?}"
        );
        let verdicts: Vec<String> = grants(&hub)
            .await
            .iter()
            .filter(|grant| grant.entitlement_name == "Listed")
            .map(|grant| grant.certainty.to_string())
            .collect();
        assert!(
            verdicts.contains(&"yes".to_owned()) && verdicts.contains(&"unknown".to_owned()),
            "{verdicts:?}"
        );
        // Whole again, it is fresh again.
        sandbox.world().faults_clear();
        assert_eq!(hub.sync().await.outcome.as_str(), "complete");
        let again = self::listing(&hub, "list_items").await;
        assert!(!again.is_partial && again.stale_reason.is_none(), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn an_access_user_who_cannot_be_read_is_named_and_holds_up_nobody() {
    each(async |scratch| {
        let (sandbox, hub) = connected(scratch, story()).await;
        hub.sync().await;
        let world = sandbox.world();
        let bad = world.access_user_id("omar.said@tidewater.example").unwrap();
        world.faults_set(Faults {
            refusals: vec![sandbox::PathRefusal {
                path: format!("/access/users/{bad}/"),
                status: 500,
                code: 10_013,
                message: "Unknown error".to_owned(),
            }],
            ..Faults::default()
        });
        let connection = hub.connection().await;
        let read = hub::sync::detail::background(&hub.app, &connection, hub.app.clock.now(), 1_000).await;
        assert_eq!(read.unwrap(), world.access_user_emails().len());
        let rows = hub
            .app
            .store
            .access_user_detail_list(None, None, 1_000)
            .await
            .unwrap();
        assert_eq!(rows.len(), world.access_user_emails().len(), "everyone was tried");
        let failed: Vec<_> = rows.iter().filter(|row| row.problem.is_some()).collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].access_user_id, bad);
        assert!(failed[0].problem.as_ref().unwrap().contains("Unknown error"));
        // Asked for alone, the failure is an error.
        let store = &hub.app.store;
        let person = store
            .person_by_email("omar.said@tidewater.example")
            .await
            .unwrap()
            .unwrap();
        assert!(hub::sync::detail::of_person(&hub.app, &person.id).await.is_err());
        world.faults_clear();
        hub::sync::detail::of_person(&hub.app, &person.id).await.unwrap();
        let rows = store.access_user_detail_by_person(&person.id).await.unwrap();
        assert!(rows.iter().all(|row| row.problem.is_none()));
    })
    .await;
}

#[tokio::test]
async fn stored_json_that_is_damaged_is_an_error_that_names_the_row() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch, story()).await;
        hub.sync().await;
        let connection = hub.connection().await;
        let store = &hub.app.store;
        let group = store.access_group_list(None, None, 1).await.unwrap().remove(0);
        let seen = store::AccessGroupSeen {
            id: group.id.clone(),
            name: group.name,
            raw: group.raw[..group.raw.len() / 2].to_owned(),
            fingerprint: "damaged".to_owned(),
        };
        store
            .access_group_upsert(&connection.id, &[seen], None, hub.app.clock.now())
            .await
            .unwrap();
        store.access_revision_bump().await.unwrap();
        let error = hub::access::AccessView::current(&hub.app).await.unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("access_group") && words.contains(&group.id) && words.contains("column raw"),
            "{words}"
        );
    })
    .await;
}

#[tokio::test]
async fn people_kept_under_two_spellings_of_one_address_become_one() {
    each(async |scratch| {
        let (_sandbox, hub) = connected(scratch, story()).await;
        let store = &hub.app.store;
        let now = hub.app.clock.now();
        let seen = |id: &str, email: &str| store::PersonSeen {
            new_id: model::PersonId(id.to_owned()),
            email: email.to_owned(),
            name: Some("Eva".to_owned()),
        };
        // As a version kept them that compared letters alone.
        store
            .person_ensure(
                &[seen("p1", "eva@bücher.example"), seen("p2", "max@straße.example")],
                now,
            )
            .await
            .unwrap();
        store
            .person_ensure(&[seen("p3", "eva@xn--bcher-kva.example")], now)
            .await
            .unwrap();
        hub.sync().await;
        let find = async |email: &str| {
            store
                .person_by_email(email)
                .await
                .unwrap()
                .map(|person| person.id.0)
        };
        assert_eq!(find("eva@xn--bcher-kva.example").await.as_deref(), Some("p3"));
        assert_eq!(find("eva@bücher.example").await, None);
        assert!(find("max@xn--strae-oqa.example").await.is_some());
        assert_eq!(find("max@straße.example").await, None);
        // Asked for in either spelling, she is found.
        let eva = hub::people::one(&hub.app, "Eva@BÜCHER.example")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(eva.id.0, "p3");
    })
    .await;
}
