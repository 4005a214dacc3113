//! Changes of access that are killed at every point, and what is there in the end: the same as without a kill.

use crate::kit::{each, story};
use crate::provisioning::{Case, synced};
use chrono::TimeDelta;
use hub::Actor;
use hub::fault::killed_at;
use hub::provisioning::offboard::{OffboardOptions, offboard};
use hub::provisioning::timed::{self, Lasts};
use hub::provisioning::undo::undo_of;
use hub::provisioning::{Options, Outcome, Request, change, cut_off};
use model::ChangeOutcome;
use sandbox::{Seats, WorldHandle};
use serde_json::{Value, json};
use store::AccessChangeFilter;

/// Where a change may be killed, in their order.
const POINTS: [&str; 6] = [
    "change.written_down",
    "change.end_begun",
    "change.sent",
    "change.end_settled",
    "change.told",
    "change.ended",
];

/// What people are before it, which differs by what is asked.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Member,
    Invited,
    Nobody,
}

struct Kind {
    name: &'static str,
    before: Before,
    lasts: Lasts,
    request: fn(&Case<'_>, &Roles, &str) -> Request,
}

struct Roles {
    billing: String,
    reader: String,
}

const TIMED: Lasts = Lasts::For(TimeDelta::hours(8));

const KINDS: &[Kind] = &[
    Kind {
        name: "grant",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, _, who| case.grant(who, "Finance"),
    },
    Kind {
        name: "timed-grant",
        before: Before::Member,
        lasts: TIMED,
        request: |case, _, who| case.grant(who, "Finance"),
    },
    Kind {
        name: "revoke",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, _, who| case.revoke(who, "Target"),
    },
    Kind {
        name: "exclude",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, _, who| Request::GroupRevoke {
            connection: case.connection.clone(),
            group: case.group("Target"),
            email: who.to_owned(),
            by_exclusion: true,
            keeps_rules: false,
        },
    },
    Kind {
        name: "role",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, roles, who| Request::RoleGrant {
            connection: case.connection.clone(),
            role: roles.billing.clone(),
            email: who.to_owned(),
        },
    },
    Kind {
        name: "timed-role",
        before: Before::Member,
        lasts: TIMED,
        request: |case, roles, who| Request::RoleGrant {
            connection: case.connection.clone(),
            role: roles.billing.clone(),
            email: who.to_owned(),
        },
    },
    Kind {
        name: "set-roles",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, roles, who| Request::MemberRolesSet {
            connection: case.connection.clone(),
            email: who.to_owned(),
            roles: vec![roles.billing.clone(), roles.reader.clone()],
        },
    },
    Kind {
        name: "invite",
        before: Before::Nobody,
        lasts: Lasts::AsBefore,
        request: |case, roles, who| Request::MemberInvite {
            connection: case.connection.clone(),
            email: who.to_owned(),
            roles: vec![roles.billing.clone()],
            policies: Vec::new(),
        },
    },
    Kind {
        name: "remove-member",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, _, who| Request::MemberRemove {
            connection: case.connection.clone(),
            email: who.to_owned(),
        },
    },
    Kind {
        name: "cancel-invitation",
        before: Before::Invited,
        lasts: Lasts::AsBefore,
        request: |case, _, who| Request::InvitationCancel {
            connection: case.connection.clone(),
            email: who.to_owned(),
        },
    },
    Kind {
        name: "free-seats",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, _, who| Request::SeatsFree {
            connection: case.connection.clone(),
            email: who.to_owned(),
        },
    },
    Kind {
        name: "remove-user",
        before: Before::Member,
        lasts: Lasts::AsBefore,
        request: |case, _, who| Request::AccessUserRemove {
            connection: case.connection.clone(),
            email: who.to_owned(),
        },
    },
];

fn address(what: &str, point: &str) -> String {
    format!("{what}-{}@tidewater.example", point.replace(['.', '_'], "-"))
}

/// Adds people, all of whom the group Target names.
fn people(world: &WorldHandle, all: &[(String, Before)]) {
    let mut include = vec![json!({ "email": { "email": "alex.reid@tidewater.example" } })];
    for (email, before) in all {
        if *before != Before::Nobody {
            world.member_add(email, &["Administrator Read Only"], *before == Before::Member);
        }
        if *before == Before::Member {
            world.access_user_add(email, "One Of Many");
            let seats = Seats {
                access: true,
                gateway: true,
            };
            world.access_user_seats_set(email, seats);
            include.push(json!({ "email": { "email": email } }));
        }
    }
    world.access_group_put("Target", json!(include), json!([]), json!([]));
}

/// Everything of a person that a change may touch, without their address.
async fn seen(case: &Case<'_>, email: &str) -> Value {
    let named = json!({ "email": { "email": email } });
    let in_list = |group: &str, list: &str| {
        let group = case.world.access_group(group).unwrap();
        group[list].as_array().is_some_and(|rules| rules.contains(&named))
    };
    let mut roles = case.world.member_roles(email);
    roles.sort();
    let store = &case.hub.app.store;
    let ends = store.timed_grant_list(Some(email), false, 10).await.unwrap();
    let ends: Vec<_> = ends
        .iter()
        .map(|row| (row.state, &row.entitlement_name))
        .collect();
    json!({
        "Finance": in_list("Finance", "include"),
        "Target": [in_list("Target", "include"), in_list("Target", "exclude")],
        "roles": roles,
        "accepted": case.world.member_accepted(email),
        "seats": format!("{:?}", case.world.access_user_seats(email)),
        "ends": ends,
    })
}

async fn newest(case: &Case<'_>, email: &str) -> store::AccessChangeRow {
    let filter = AccessChangeFilter {
        email: Some(email.to_owned()),
        limit: 1,
        ..AccessChangeFilter::default()
    };
    case.hub
        .app
        .store
        .access_change_list(&filter)
        .await
        .unwrap()
        .remove(0)
}

/// What comes after a kill: the leases run out, and what was cut off is ended.
async fn recover(case: &Case<'_>) {
    case.hub.app.store.leases_run_out().await.unwrap();
    cut_off::run(&case.hub.app).await.unwrap();
    let running = AccessChangeFilter {
        outcome: Some(ChangeOutcome::Running),
        limit: 1,
        ..AccessChangeFilter::default()
    };
    assert!(
        case.hub
            .app
            .store
            .access_change_list(&running)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_change_that_is_killed_anywhere_ends_as_one_that_is_not() {
    each(async |scratch| {
        let (sandbox, hub) = synced(scratch, story()).await;
        let case = Case::new(&hub, &sandbox).await;
        let mut all = Vec::new();
        for kind in KINDS {
            all.push((address(kind.name, "control"), kind.before));
            all.extend(POINTS.map(|point| (address(kind.name, point), kind.before)));
        }
        people(&case.world, &all);
        hub.sync().await;
        let roles = Roles {
            billing: case.role("Billing").await,
            reader: case.role("Administrator Read Only").await,
        };
        for kind in KINDS {
            let options = Options {
                lasts: kind.lasts,
                ..Options::default()
            };
            let control = address(kind.name, "control");
            let request = (kind.request)(&case, &roles, &control);
            let made = change(&hub.app, &request, &options, &Actor::CommandLine)
                .await
                .unwrap();
            assert_eq!(made.outcome, Outcome::Changed, "{}: {made:#?}", kind.name);
            let expected = seen(&case, &control).await;
            for (place, point) in POINTS.into_iter().enumerate() {
                let who = address(kind.name, point);
                let what = format!("{} killed at {point}", kind.name);
                hub.clock.advance(TimeDelta::milliseconds(1));
                let request = (kind.request)(&case, &roles, &who);
                let work = change(&hub.app, &request, &options, &Actor::CommandLine);
                assert!(
                    killed_at(point, work).await.is_none(),
                    "{what}: it never came there"
                );
                recover(&case).await;
                let row = newest(&case, &who).await;
                let is_sent = place >= 2;
                let wanted = if is_sent {
                    ChangeOutcome::Changed
                } else {
                    ChangeOutcome::Unverified
                };
                assert_eq!(row.outcome, wanted, "{what}: {row:#?}");
                if is_sent {
                    assert_eq!(seen(&case, &who).await, expected, "{what}");
                }
                // Whoever asked asks again, and it is as if nothing had happened.
                hub.clock.advance(TimeDelta::milliseconds(1));
                let again = change(&hub.app, &request, &options, &Actor::CommandLine)
                    .await
                    .unwrap();
                let fits = match kind.name {
                    // Who is no member any more, or has been invited, is not asked about again.
                    "remove-member" | "cancel-invitation" | "remove-user" if is_sent => true,
                    _ => again.outcome <= Outcome::Changed,
                };
                assert!(fits, "{what}: {again:#?}");
                assert_eq!(seen(&case, &who).await, expected, "{what}, and asked again");
            }
        }
        // Each grant that has an end loses what it gave, and nothing stays behind.
        hub.clock.advance(TimeDelta::hours(9));
        hub.sync().await;
        timed::run(&hub.app).await.unwrap();
        for kind in KINDS.iter().filter(|kind| kind.lasts == TIMED) {
            for point in POINTS {
                let left = seen(&case, &address(kind.name, point)).await;
                assert_eq!(left["Finance"], false, "{}: {left}", kind.name);
                assert_eq!(left["ends"], json!([]), "{}: {left}", kind.name);
                assert_eq!(left["roles"], json!(["Administrator Read Only"]), "{}", kind.name);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_expiry_an_undo_and_an_offboarding_that_are_killed_are_gone_on_with() {
    each(async |scratch| {
        let (sandbox, hub) = synced(scratch, story()).await;
        let case = Case::new(&hub, &sandbox).await;
        let whats = ["expiry", "undo", "offboard"];
        let all: Vec<(String, Before)> = whats
            .iter()
            .flat_map(|what| POINTS.map(|point| (address(what, point), Before::Member)))
            .chain(
                ["offboard.written_down", "offboard.step"]
                    .map(|point| (address("offboard", point), Before::Member)),
            )
            .collect();
        people(&case.world, &all);
        hub.sync().await;
        for point in POINTS {
            let who = address("undo", point);
            let made = case.made(&case.grant(&who, "Finance"), Outcome::Changed).await;
            let undo = undo_of(&hub.app, &made.change_id, None).await.unwrap();
            hub.clock.advance(TimeDelta::milliseconds(1));
            let work = change(&hub.app, &undo.request, &undo.options, &Actor::CommandLine);
            assert!(killed_at(point, work).await.is_none(), "undo at {point}");
            recover(&case).await;
            case.make(&undo.request).await;
            assert!(!case.has("Finance", &who), "undo killed at {point}");
        }
        for point in POINTS {
            let who = address("expiry", point);
            let timed = Options {
                lasts: Lasts::For(TimeDelta::minutes(5)),
                ..Options::default()
            };
            let grant = case.grant(&who, "Finance");
            let made = change(&hub.app, &grant, &timed, &Actor::CommandLine)
                .await
                .unwrap();
            assert_eq!(made.outcome, Outcome::Changed);
            hub.clock.advance(TimeDelta::minutes(6));
            assert!(
                killed_at(point, timed::run(&hub.app)).await.is_none(),
                "expiry at {point}"
            );
            recover(&case).await;
            timed::run(&hub.app).await.unwrap();
            assert!(!case.has("Finance", &who), "expiry killed at {point}");
            let rows = hub
                .app
                .store
                .timed_grant_list(Some(&who), true, 10)
                .await
                .unwrap();
            let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
            assert_eq!(states, ["revoked"], "expiry killed at {point}");
        }
        for point in POINTS
            .into_iter()
            .chain(["offboard.written_down", "offboard.step"])
        {
            let who = address("offboard", point);
            let person = hub.app.store.person_by_email(&who).await.unwrap().unwrap();
            let options = OffboardOptions::default();
            let work = offboard(&hub.app, &person, options, None, &Actor::CommandLine);
            assert!(killed_at(point, work).await.is_none(), "offboarding at {point}");
            recover(&case).await;
            let done = offboard(&hub.app, &person, options, None, &Actor::CommandLine)
                .await
                .unwrap();
            assert!(done.outcome <= Outcome::Changed, "killed at {point}: {done:#?}");
            assert!(case.world.member(&who).is_none(), "killed at {point}");
            assert!(!case.has("Target", &who), "killed at {point}");
            let seats = case.world.access_user_seats(&who).unwrap();
            assert!(!seats.access && !seats.gateway, "killed at {point}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_grant_for_a_time_that_was_never_made_takes_nothing_away() {
    each(async |scratch| {
        let (sandbox, hub) = synced(scratch, story()).await;
        let case = Case::new(&hub, &sandbox).await;
        let grant = case.grant("omar.said", "Finance");
        let timed = Options {
            lasts: TIMED,
            ..Options::default()
        };
        let work = change(&hub.app, &grant, &timed, &Actor::CommandLine);
        assert!(killed_at("change.end_begun", work).await.is_none());
        let pending = hub.app.store.timed_grant_list(None, false, 10).await.unwrap();
        assert_eq!(pending[0].state.as_str(), "pending");
        hub.app.store.leases_run_out().await.unwrap();
        // Someone grants it without an end before anybody looked at what was cut off.
        let made = case.made(&grant, Outcome::Changed).await;
        assert_eq!(made.plan.ends, None, "{made:#?}");
        hub.clock.advance(TimeDelta::hours(9));
        cut_off::run(&hub.app).await.unwrap();
        timed::run(&hub.app).await.unwrap();
        assert!(case.has("Finance", "omar.said"));
        let rows = hub.app.store.timed_grant_list(None, true, 10).await.unwrap();
        let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
        assert_eq!(states, ["gone"]);
    })
    .await;
}

#[tokio::test]
async fn an_end_takes_back_what_the_grant_gave_and_nothing_else() {
    each(async |scratch| {
        let (sandbox, hub) = synced(scratch, story()).await;
        let case = Case::new(&hub, &sandbox).await;
        let omar = json!({ "email": { "email": "omar.said@tidewater.example" } });
        let alex = json!({ "email": { "email": "alex.reid@tidewater.example" } });
        // Named and excluded: what is given for a time is that they are not excluded.
        let named = case
            .world
            .access_group_put("Named", json!([alex, omar]), json!([omar]), json!([]));
        // Let in by a wider rule from the middle of the grant on.
        let wider = case
            .world
            .access_group_put("Wider", json!([alex]), json!([]), json!([]));
        hub.sync().await;
        let timed = Options {
            lasts: TIMED,
            ..Options::default()
        };
        let unexclude = Request::GroupUnexclude {
            connection: case.connection.clone(),
            group: named.clone(),
            email: "omar.said@tidewater.example".to_owned(),
        };
        for request in [&unexclude, &case.grant("omar.said", "Wider")] {
            let made = change(&hub.app, request, &timed, &Actor::CommandLine)
                .await
                .unwrap();
            assert_eq!(made.outcome, Outcome::Changed, "{made:#?}");
        }
        let mut group = case.world.access_group("Wider").unwrap();
        let domain = json!({ "email_domain": { "domain": "tidewater.example" } });
        group["include"].as_array_mut().unwrap().push(domain.clone());
        case.world.access_group_set(&wider, group);
        hub.clock.advance(TimeDelta::hours(9));
        hub.sync().await;
        timed::run(&hub.app).await.unwrap();
        let after = case.world.access_group_by_id(&named).unwrap();
        assert_eq!(after["include"], json!([alex, omar]), "the rule was there before");
        assert_eq!(after["exclude"], json!([omar]));
        let after = case.world.access_group_by_id(&wider).unwrap();
        assert_eq!(after["include"], json!([alex, domain]));
        let rows = hub.app.store.timed_grant_list(None, true, 10).await.unwrap();
        let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
        assert_eq!(states, ["revoked", "revoked"], "none stays overdue");
    })
    .await;
}
