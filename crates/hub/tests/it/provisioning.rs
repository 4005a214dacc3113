//! Changing access: what is written, what is refused, and what a bad day may not break. The names of many tests are
//! those of mistakes that other programs made.

use crate::kit::{Hub, each, sized, story};
use chrono::{DateTime, TimeDelta, Utc};
use hub::Actor;
use hub::provisioning::offboard::{OffboardOptions, offboard};
use hub::provisioning::timed::{self, Lasts};
use hub::provisioning::undo::{UndoError, undo_of};
use hub::provisioning::{Changed, Ends, Guard, Options, Outcome, Request, Step, change, cut_off, preview};
use hub::settings::Settings;
use model::{ConnectionId, ConnectionState};
use sandbox::{Faults, Sandbox, SandboxConfig, WorldHandle};
use serde_json::{Value, json};
use store::AccessChangeFilter;
use store::scratch::Scratch;

fn quick(settings: &mut Settings) {
    settings.provisioning.second_look_ms = 0;
}

pub(crate) async fn synced(scratch: Scratch, config: SandboxConfig) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(config).await.unwrap();
    let hub = Hub::start_with(scratch, quick).await;
    hub.connect(&sandbox).await;
    hub.sync().await;
    (sandbox, hub)
}

/// What of the hub and its account a test asks for in few words.
pub(crate) struct Case<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) world: WorldHandle,
    pub(crate) connection: ConnectionId,
}

impl<'a> Case<'a> {
    pub(crate) async fn new(hub: &'a Hub, sandbox: &Sandbox) -> Self {
        Self {
            hub,
            world: sandbox.world(),
            connection: hub.connection().await.id,
        }
    }

    pub(crate) fn group(&self, name: &str) -> String {
        let group = self.world.access_group(name).unwrap();
        group["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn email(who: &str) -> String {
        if who.contains('@') {
            who.to_owned()
        } else {
            format!("{who}@tidewater.example")
        }
    }

    pub(crate) fn grant(&self, who: &str, group: &str) -> Request {
        Request::GroupGrant {
            connection: self.connection.clone(),
            group: self.group(group),
            email: Self::email(who),
        }
    }

    pub(crate) fn revoke(&self, who: &str, group: &str) -> Request {
        Request::GroupRevoke {
            connection: self.connection.clone(),
            group: self.group(group),
            email: Self::email(who),
            by_exclusion: false,
            keeps_rules: false,
        }
    }

    pub(crate) async fn role(&self, name: &str) -> String {
        let rows = self
            .hub
            .app
            .store
            .role_list(Some(&self.connection), None, 1_000)
            .await
            .unwrap();
        let role = rows.iter().find(|row| row.name.starts_with(name)).unwrap();
        role.id.clone()
    }

    pub(crate) async fn role_grant(&self, who: &str, role: &str) -> Changed {
        let request = Request::RoleGrant {
            connection: self.connection.clone(),
            role: self.role(role).await,
            email: Self::email(who),
        };
        self.make(&request).await
    }

    pub(crate) async fn role_revoke(&self, who: &str, role: &str) -> Changed {
        let request = Request::RoleRevoke {
            connection: self.connection.clone(),
            role: self.role(role).await,
            email: Self::email(who),
        };
        self.make(&request).await
    }

    pub(crate) async fn remove(&self, who: &str) -> Changed {
        self.make(&Request::MemberRemove {
            connection: self.connection.clone(),
            email: Self::email(who),
        })
        .await
    }

    pub(crate) async fn make(&self, request: &Request) -> Changed {
        self.hub.clock.advance(TimeDelta::milliseconds(1));
        change(&self.hub.app, request, &Options::default(), &Actor::CommandLine)
            .await
            .unwrap()
    }

    pub(crate) async fn made(&self, request: &Request, expected: Outcome) -> Changed {
        let changed = self.make(request).await;
        assert_eq!(changed.outcome, expected, "{changed:#?}");
        changed
    }

    pub(crate) async fn refused(&self, request: &Request, guard: Guard) -> String {
        let changed = self.made(request, Outcome::Refused).await;
        assert_eq!(changed.guard, Some(guard), "{changed:#?}");
        assert_eq!(changed.writes, 0);
        changed.reason.unwrap()
    }

    pub(crate) fn has(&self, group: &str, who: &str) -> bool {
        let rule = json!({ "email": { "email": Self::email(who) } });
        let group = self.world.access_group(group).unwrap();
        group["include"].as_array().unwrap().contains(&rule)
    }
}

macro_rules! case {
    ($config:expr, |$case:ident| $body:block) => {
        each(async |scratch| {
            let (sandbox, hub) = synced(scratch, $config).await;
            let $case = Case::new(&hub, &sandbox).await;
            $body
        })
        .await
    };
}

#[tokio::test]
async fn a_grant_keeps_name_require_exclude_is_default_and_keys_that_nobody_knows() {
    case!(story(), |case| {
        let id = case.group("Finance");
        let mut before = case.world.access_group("Finance").unwrap();
        before["require"] = json!([{ "auth_method": { "auth_method": "mfa" } }]);
        before["exclude"] = json!([{ "email": { "email": "tom.okafor@tidewater.example" } }, { "geo": { "country_code": "KP" } }]);
        before["is_default"] = json!(false);
        before["include"].as_array_mut().unwrap().extend([
            json!({ "office_badge": { "badge": "violet" } }),
            json!({ "okta": { "name": "Money", "identity_provider_id": "i", "new": [1] } }),
        ]);
        case.world.access_group_set(&id, before.clone());
        case.hub.sync().await;
        case.made(&case.grant("omar.said", "Finance"), Outcome::Changed)
            .await;
        let mut after = case.world.access_group("Finance").unwrap();
        let include = after["include"].as_array_mut().unwrap();
        assert_eq!(
            include.pop(),
            Some(json!({ "email": { "email": "omar.said@tidewater.example" } }))
        );
        after["updated_at"] = before["updated_at"].clone();
        assert_eq!(after, before);
    });
}

#[tokio::test]
async fn a_grant_twice_adds_no_second_rule_whatever_the_case() {
    case!(story(), |case| {
        case.made(&case.grant("omar.said", "Finance"), Outcome::Changed)
            .await;
        let rules = case.world.access_group("Finance").unwrap()["include"].clone();
        let again = case.grant("Omar.SAID@Tidewater.example", "Finance");
        case.made(&again, Outcome::Already).await;
        assert_eq!(case.world.access_group("Finance").unwrap()["include"], rules);
        // Also when the rule that is there is written with capitals.
        let mut group = case.world.access_group("Finance").unwrap();
        group["include"] = json!([{ "email": { "email": "Noor.AZIZ@tidewater.example" } }]);
        case.world.access_group_set(&case.group("Finance"), group);
        case.made(&case.grant("noor.aziz", "Finance"), Outcome::Already)
            .await;
    });
}

#[tokio::test]
async fn a_revoke_takes_one_address_out_of_mixed_rules_and_leaves_the_rest() {
    case!(story(), |case| {
        let mut group = case.world.access_group("Finance").unwrap();
        group["include"] = json!([
            { "geo": { "country_code": "PT" } }, { "email": { "email": "Omar.Said@tidewater.example" } },
            { "everyone_else": {} }, { "email": { "email": "tom.okafor@tidewater.example" } },
            { "email": { "email": "omar.said@tidewater.example" } }, { "ip": { "ip": "203.0.113.0/24" } },
        ]);
        case.world.access_group_set(&case.group("Finance"), group);
        let revoke = case.revoke("omar.said", "Finance");
        let changed = case.made(&revoke, Outcome::Changed).await;
        assert_eq!(
            case.world.access_group("Finance").unwrap()["include"],
            json!([
                { "geo": { "country_code": "PT" } }, { "everyone_else": {} },
                { "email": { "email": "tom.okafor@tidewater.example" } }, { "ip": { "ip": "203.0.113.0/24" } },
            ])
        );
        // What may still let them in is said, not hidden.
        assert!(
            changed.remains.iter().any(|what| what.contains("country PT")),
            "{:?}",
            changed.remains
        );
        // A second time there is no rule to take away, but other ways in may remain.
        let reason = case.refused(&revoke, Guard::NotDirect).await;
        assert!(reason.contains("country"), "{reason}");
    });
}

#[tokio::test]
async fn a_grant_that_a_requirement_or_exclusion_would_void_is_refused_with_it() {
    case!(story(), |case| {
        let id = case.world.access_group_put(
            "Partners",
            json!([{ "email": { "email": "x@partner.example" } }]),
            json!([]),
            json!([{ "email_domain": { "domain": "partner.example" } }]),
        );
        case.hub.sync().await;
        let grant = Request::GroupGrant {
            connection: case.connection.clone(),
            group: id,
            email: Case::email("omar.said"),
        };
        let reason = case.refused(&grant, Guard::Void).await;
        assert!(reason.contains("requires domain partner.example"), "{reason}");
        let reason = case
            .refused(&case.grant("elena.rossi", "All staff"), Guard::Void)
            .await;
        assert!(
            reason.contains("excludes address elena.rossi@tidewater.example"),
            "{reason}"
        );
        // What only the moment decides does not void: the grant is made, and says what it depends on.
        let changed = case
            .made(&case.grant("noor.aziz", "On call"), Outcome::Changed)
            .await;
        assert!(!changed.remains.is_empty(), "{changed:#?}");
    });
}

#[tokio::test]
async fn a_revoke_of_someone_whom_a_wider_rule_or_a_nested_group_lets_in_is_refused_with_it() {
    case!(story(), |case| {
        let inner = case.group("Finance");
        case.world.access_group_put(
            "Outer",
            json!([{ "group": { "id": inner } }, { "email": { "email": "noor.aziz@tidewater.example" } }]),
            json!([]),
            json!([]),
        );
        let mut staff = case.world.access_group("All staff").unwrap();
        staff["include"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "email": { "email": "omar.said@tidewater.example" } }));
        case.world.access_group_set(&case.group("All staff"), staff);
        case.hub.sync().await;
        let reason = case
            .refused(&case.revoke("omar.said", "All staff"), Guard::StillAdmitted)
            .await;
        assert!(reason.contains("domain tidewater.example"), "{reason}");
        let reason = case
            .refused(&case.revoke("tom.okafor", "Outer"), Guard::NotDirect)
            .await;
        assert!(reason.contains("group Finance"), "{reason}");
        // By exclusion it is possible, and stated as such; taking it back lifts the exclusion.
        let exclude = Request::GroupRevoke {
            connection: case.connection.clone(),
            group: case.group("Outer"),
            email: Case::email("tom.okafor"),
            by_exclusion: true,
            keeps_rules: false,
        };
        let changed = case.made(&exclude, Outcome::Changed).await;
        assert!(
            changed.plan.summary.contains("exclude"),
            "{}",
            changed.plan.summary
        );
        assert_eq!(
            case.world.access_group("Outer").unwrap()["exclude"],
            json!([{ "email": { "email": "tom.okafor@tidewater.example" } }])
        );
        case.made(&exclude, Outcome::Already).await;
        case.made(&changed.plan.undo.clone().unwrap(), Outcome::Changed)
            .await;
        assert_eq!(case.world.access_group("Outer").unwrap()["exclude"], json!([]));
    });
}

#[tokio::test]
async fn a_revoke_never_empties_a_group() {
    case!(story(), |case| {
        case.world.access_group_put(
            "Alone",
            json!([{ "email": { "email": "omar.said@tidewater.example" } }]),
            json!([]),
            json!([]),
        );
        case.hub.sync().await;
        case.refused(&case.revoke("omar.said", "Alone"), Guard::EmptiesInclude)
            .await;
        assert!(case.has("Alone", "omar.said"));
        // Someone who is not in it is out already.
        case.made(&case.revoke("noor.aziz", "Alone"), Outcome::Already)
            .await;
    });
}

#[tokio::test]
async fn a_revoke_that_would_open_another_door_is_refused() {
    case!(story(), |case| {
        case.world.access_group_put(
            "Suspended",
            json!([{ "email": { "email": "omar.said@tidewater.example" } }, { "email": { "email": "noor.aziz@tidewater.example" } }]),
            json!([]),
            json!([]),
        );
        let suspended = case.group("Suspended");
        case.world.access_group_put(
            "Vault",
            json!([{ "email_domain": { "domain": "tidewater.example" } }]),
            json!([{ "group": { "id": suspended } }]),
            json!([]),
        );
        case.hub.sync().await;
        let reason = case
            .refused(&case.revoke("omar.said", "Suspended"), Guard::Widens)
            .await;
        assert!(reason.contains("group Vault"), "{reason}");
        // The other way round it is a loss, which a grant may bring and must say.
        let plan = preview(
            &case.hub.app,
            &case.grant("tom.okafor", "Suspended"),
            &Options::default(),
        )
        .await
        .unwrap();
        assert_eq!(plan.step, Step::Write);
        assert!(
            plan.warnings
                .iter()
                .any(|note| note.contains("loses access to group Vault")),
            "{plan:#?}"
        );
    });
}

#[tokio::test]
async fn two_changes_of_one_group_from_two_processes_both_take_effect() {
    each(async |scratch| {
        let (sandbox, hub) = synced(scratch, story()).await;
        let second = hub.again().await;
        let case = Case::new(&hub, &sandbox).await;
        sandbox.world().faults_set(Faults {
            latency_ms: 100,
            ..Faults::default()
        });
        let options = Options::default();
        let (a, b) = (
            case.grant("omar.said", "Finance"),
            case.grant("noor.aziz", "Finance"),
        );
        let (a, b) = tokio::join!(
            change(&hub.app, &a, &options, &Actor::CommandLine),
            change(&second, &b, &options, &Actor::CommandLine),
        );
        assert_eq!(
            (a.unwrap().outcome, b.unwrap().outcome),
            (Outcome::Changed, Outcome::Changed)
        );
        assert!(case.has("Finance", "omar.said") && case.has("Finance", "noor.aziz"));
    })
    .await;
}

#[tokio::test]
async fn a_change_that_someone_else_overwrites_is_made_again_and_theirs_is_kept() {
    case!(story(), |case| {
        case.world.lose_next_write(&case.group("Finance"));
        let changed = case
            .made(&case.grant("omar.said", "Finance"), Outcome::Changed)
            .await;
        assert_eq!(changed.writes, 2, "{changed:#?}");
        assert!(case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn a_write_without_an_answer_is_looked_up_before_it_is_made_again() {
    case!(story(), |case| {
        case.world.writes_fail_after_applying(1);
        let changed = case
            .made(&case.grant("omar.said", "Finance"), Outcome::Changed)
            .await;
        assert_eq!(changed.writes, 1, "it had been taken");
        case.world.writes_fail_before_applying(1);
        let changed = case
            .made(&case.grant("noor.aziz", "Finance"), Outcome::Changed)
            .await;
        assert_eq!(changed.writes, 2);
        // An invitation that was taken is not sent a second time.
        case.world.writes_fail_after_applying(1);
        let invite = Request::MemberInvite {
            connection: case.connection.clone(),
            email: "new.hire@tidewater.example".to_owned(),
            roles: vec![case.role("Billing").await],
            policies: Vec::new(),
        };
        let changed = case.made(&invite, Outcome::Changed).await;
        assert_eq!(changed.writes, 1);
        let invited = case
            .world
            .member_emails()
            .into_iter()
            .filter(|email| email == "new.hire@tidewater.example");
        assert_eq!(invited.count(), 1);
    });
}

#[tokio::test]
async fn a_write_that_is_acknowledged_and_not_done_is_unverified() {
    case!(story(), |case| {
        case.world.writes_ignore(100);
        let changed = case
            .made(&case.grant("omar.said", "Finance"), Outcome::Unverified)
            .await;
        assert!(
            changed.reason.unwrap().contains("not found in Cloudflare after"),
            "no reason"
        );
        assert!(!case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn a_role_is_added_to_those_that_a_member_has_and_taken_alone() {
    case!(story(), |case| {
        let before = case.world.member_roles("ben.carter@tidewater.example");
        let changed = case.role_grant("ben.carter", "Billing").await;
        assert_eq!(changed.outcome, Outcome::Changed, "{changed:#?}");
        let mut both = before.clone();
        both.push("Billing".to_owned());
        both.sort();
        let mut now = case.world.member_roles("ben.carter@tidewater.example");
        now.sort();
        assert_eq!(now, both);
        assert_eq!(
            case.role_grant("ben.carter", "Billing").await.outcome,
            Outcome::Already
        );
        assert_eq!(
            case.role_revoke("ben.carter", "Billing").await.outcome,
            Outcome::Changed
        );
        assert_eq!(case.world.member_roles("ben.carter@tidewater.example"), before);
        assert_eq!(
            case.role_revoke("ben.carter", "Billing").await.outcome,
            Outcome::Already
        );
        // The last role is not taken: a member without any is no member.
        let last = case.role_revoke("ben.carter", &before[0]).await;
        assert_eq!(
            (last.outcome, last.guard),
            (Outcome::Refused, Some(Guard::NoRoleLeft))
        );
        let nobody = case.role_grant("omar.said", "Billing").await;
        assert_eq!(
            (nobody.outcome, nobody.guard),
            (Outcome::Refused, Some(Guard::NotAMember))
        );
    });
}

#[tokio::test]
async fn a_member_beyond_the_first_page_is_changed_in_few_requests() {
    case!(sized(130, 10, 3), |case| {
        let email = case.world.member_emails().pop().unwrap();
        let before = case.world.requests().values().sum::<u64>();
        let held = case.world.member_roles(&email);
        let name = if held.contains(&"Billing".to_owned()) {
            "Administrator Read Only"
        } else {
            "Billing"
        };
        assert_eq!(case.role_grant(&email, name).await.outcome, Outcome::Changed);
        let requests = case.world.requests().values().sum::<u64>() - before;
        assert!(requests <= 8, "{requests} requests for one change");
        assert!(case.world.member_roles(&email).contains(&name.to_owned()));
    });
}

#[tokio::test]
async fn a_member_with_policies_gets_and_loses_the_permission_group_of_that_name() {
    case!(story(), |case| {
        let email = "greta.olsen@tidewater.example";
        let before = case.world.member_policies(email);
        assert!(!before.is_empty());
        let groups = case
            .hub
            .app
            .store
            .account_object_list("permission_groups", None, None, 1_000)
            .await
            .unwrap();
        // A role of this name is needed to ask for it.
        let roles = case.hub.app.store.role_list(None, None, 1_000).await.unwrap();
        let Some(role) = roles
            .iter()
            .find(|role| groups.iter().any(|group| group.name == role.name))
        else {
            let changed = case.role_grant("greta.olsen", "Billing").await;
            assert_eq!(changed.guard, Some(Guard::WrongState), "{changed:#?}");
            assert_eq!(
                case.world.member_policies(email),
                before,
                "policies are not rewritten into roles"
            );
            return;
        };
        let changed = case.role_grant("greta.olsen", &role.name).await;
        assert_eq!(changed.outcome, Outcome::Changed, "{changed:#?}");
        assert_eq!(case.world.member_policies(email).len(), before.len() + 1);
        assert!(
            case.world.member_roles(email).is_empty(),
            "roles and policies are never mixed"
        );
        assert_eq!(
            case.role_revoke("greta.olsen", &role.name).await.outcome,
            Outcome::Changed
        );
        assert_eq!(case.world.member_policies(email).len(), before.len());
    });
}

#[tokio::test]
async fn the_last_super_administrators_and_the_own_credential_stay() {
    case!(story(), |case| {
        // Three there are: the owner of the credential, and two more.
        let own = case.remove("alex.reid").await;
        assert_eq!(own.guard, Some(Guard::OwnCredential), "{own:#?}");
        let own = case.role_revoke("alex.reid", "Super Administrator").await;
        assert_ne!(own.outcome, Outcome::Changed, "{own:#?}");
        assert_eq!(case.remove("priya.nair").await.outcome, Outcome::Changed);
        let last = case.remove("victor.lindqvist").await;
        assert_eq!(last.guard, Some(Guard::LastSuperAdministrators), "{last:#?}");
        case.role_grant("victor.lindqvist", "Billing").await;
        let last = case.role_revoke("victor.lindqvist", "Super Administrator").await;
        assert_eq!(last.guard, Some(Guard::LastSuperAdministrators), "{last:#?}");
    });
}

/// An account whose super administrators are as told: nobody holds the role but the owner of the credential.
async fn with_supers(case: &Case<'_>, by_policy: &[&str], by_group: &[&str]) {
    const SUPER: &str = "Super Administrator - All Privileges";
    for who in ["priya.nair", "victor.lindqvist"] {
        case.world.member_roles_set(&Case::email(who), &["Billing"]);
    }
    for who in by_policy {
        let policy = case.world.policy_over_account("allow", SUPER);
        assert!(case.world.member_policies_set(&Case::email(who), vec![policy]));
    }
    let emails: Vec<String> = by_group.iter().map(|who| Case::email(who)).collect();
    let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
    let policy = case.world.policy_over_account("allow", SUPER);
    case.world.user_group_put("Roots", vec![policy], &emails);
    case.hub.sync().await;
}

#[tokio::test]
async fn super_administrators_by_policy_and_by_user_group_are_guarded_and_counted() {
    case!(story(), |case| {
        // One by role, one by policy, one through a user group: each can go once, and then none.
        with_supers(&case, &["ben.carter"], &["priya.nair"]).await;
        for who in ["ben.carter", "priya.nair"] {
            let request = Request::MemberRemove {
                connection: case.connection.clone(),
                email: Case::email(who),
            };
            let plan = hub::provisioning::preview(&case.hub.app, &request, &Options::default()).await;
            assert_eq!(plan.unwrap().step, hub::provisioning::Step::Write, "{who}");
        }
        assert_eq!(case.remove("ben.carter").await.outcome, Outcome::Changed);
        let last = case.remove("priya.nair").await;
        assert_eq!(last.guard, Some(Guard::LastSuperAdministrators), "{last:#?}");
        assert!(last.reason.unwrap().contains("the user group Roots"));
        // Other roles of hers can still be changed: the user group keeps her.
        assert_eq!(
            case.role_grant("priya.nair", "DNS").await.outcome,
            Outcome::Changed
        );
        assert_eq!(
            case.role_revoke("priya.nair", "Billing").await.outcome,
            Outcome::Changed
        );
    });
}

#[tokio::test]
async fn every_change_that_could_take_a_super_administrator_is_guarded() {
    case!(story(), |case| {
        with_supers(&case, &["ben.carter"], &[]).await;
        let (connection, email) = (case.connection.clone(), Case::email("ben.carter"));
        let billing = case.role("Billing").await;
        let dns = case.world.policy_over_account("allow", "Account Settings Read");
        let denial = case
            .world
            .policy_over_account("deny", "Super Administrator - All Privileges");
        let mut with_denial = case.world.member_policies(&email);
        with_denial.push(denial);
        for request in [
            Request::MemberRemove {
                connection: connection.clone(),
                email: email.clone(),
            },
            Request::MemberRolesSet {
                connection: connection.clone(),
                email: email.clone(),
                roles: vec![billing],
            },
            Request::MemberPoliciesSet {
                connection: connection.clone(),
                email: email.clone(),
                policies: vec![dns],
            },
            Request::MemberPoliciesSet {
                connection: connection.clone(),
                email: email.clone(),
                policies: with_denial,
            },
            Request::RoleRevoke {
                connection: connection.clone(),
                role: case.role("Super Administrator").await,
                email: email.clone(),
            },
        ] {
            case.refused(&request, Guard::LastSuperAdministrators).await;
        }
        let person = case.hub.app.store.person_by_email(&email).await.unwrap().unwrap();
        let gone = hub::provisioning::offboard::offboard(
            &case.hub.app,
            &person,
            Default::default(),
            None,
            &Actor::CommandLine,
        )
        .await
        .unwrap();
        let guards: Vec<_> = gone.steps.iter().filter_map(|step| step.changed.guard).collect();
        assert_eq!(guards, [Guard::LastSuperAdministrators], "{gone:#?}");
        assert_eq!(case.world.member_accepted(&email), Some(true));
    });
}

#[tokio::test]
async fn who_may_be_a_super_administrator_is_not_removed_while_too_few_surely_are() {
    case!(story(), |case| {
        with_supers(&case, &[], &["priya.nair", "ben.carter"]).await;
        case.world.faults_set(Faults {
            refusals: vec![sandbox::PathRefusal {
                path: "/iam/user_groups".to_owned(),
                status: 500,
                code: 10_013,
                message: "Unknown error".to_owned(),
            }],
            ..Faults::default()
        });
        let asked = case.remove("greta.olsen").await;
        assert_eq!(asked.guard, Some(Guard::LastSuperAdministrators), "{asked:#?}");
        let reason = asked.reason.unwrap();
        assert!(
            reason.contains("is unknown") && reason.contains("Unknown error"),
            "{reason}"
        );
        case.world.faults_clear();
        assert_eq!(case.remove("greta.olsen").await.outcome, Outcome::Changed);
    });
}

#[tokio::test]
async fn roles_with_policies_that_mirror_them_are_one_holding_and_one_write() {
    case!(story(), |case| {
        case.world.faults_set(Faults {
            mirrored_policies: true,
            ..Faults::default()
        });
        case.hub.sync().await;
        let view = hub::access::AccessView::current(&case.hub.app).await.unwrap();
        let held = view.grant_page(&Default::default(), usize::MAX);
        let of = |who: &str| {
            let email = Case::email(who);
            let mut names: Vec<&str> = held
                .iter()
                .filter(|grant| grant.email == email && grant.kind != model::GrantKind::AccessGroup)
                .map(|grant| grant.entitlement_name.as_str())
                .collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{who} holds something twice: {held:#?}");
            names.len()
        };
        assert_eq!(
            of("ben.carter"),
            case.world.member_roles(&Case::email("ben.carter")).len()
        );
        of("priya.nair");
        let changed = case.role_grant("ben.carter", "DNS").await;
        assert_eq!(
            (changed.outcome, changed.writes),
            (Outcome::Changed, 1),
            "{changed:#?}"
        );
        // Nothing is taken from a super administrator who gets a role more.
        assert_eq!(case.remove("priya.nair").await.outcome, Outcome::Changed);
        let changed = case.role_grant("victor.lindqvist", "DNS").await;
        assert_eq!(
            (changed.outcome, changed.writes),
            (Outcome::Changed, 1),
            "{changed:#?}"
        );
        let changed = case
            .made(
                &Request::MemberRolesSet {
                    connection: case.connection.clone(),
                    email: Case::email("ben.carter"),
                    roles: vec![case.role("Billing").await],
                },
                Outcome::Changed,
            )
            .await;
        assert_eq!(changed.writes, 1, "{changed:#?}");
        // Also where permission groups cannot be read.
        case.world.faults_set(Faults {
            mirrored_policies: true,
            refusals: vec![sandbox::PathRefusal {
                path: "/iam/permission_groups".to_owned(),
                status: 403,
                code: 10_000,
                message: "Authentication error".to_owned(),
            }],
            ..Faults::default()
        });
        assert_eq!(
            case.role_grant("ben.carter", "DNS").await.outcome,
            Outcome::Changed
        );
        assert_eq!(
            case.role_revoke("ben.carter", "DNS").await.outcome,
            Outcome::Changed
        );
        assert_eq!(case.world.member_roles(&Case::email("ben.carter")), ["Billing"]);
    });
}

#[tokio::test]
async fn two_super_administrators_cannot_be_removed_at_the_same_time() {
    each(async |scratch| {
        let (sandbox, hub) = synced(scratch, story()).await;
        let second = hub.again().await;
        let case = Case::new(&hub, &sandbox).await;
        let remove = |who: &str| Request::MemberRemove {
            connection: case.connection.clone(),
            email: Case::email(who),
        };
        let options = Options::default();
        let (a, b) = (remove("priya.nair"), remove("victor.lindqvist"));
        let (a, b) = tokio::join!(
            change(&hub.app, &a, &options, &Actor::CommandLine),
            change(&second, &b, &options, &Actor::CommandLine),
        );
        let mut outcomes = [a.unwrap().outcome, b.unwrap().outcome];
        outcomes.sort();
        assert_eq!(outcomes, [Outcome::Changed, Outcome::Refused]);
    })
    .await;
}

#[tokio::test]
async fn an_invitation_is_made_cancelled_and_told_from_a_membership() {
    case!(story(), |case| {
        let email = "new.hire@tidewater.example";
        let invite = Request::MemberInvite {
            connection: case.connection.clone(),
            email: email.to_owned(),
            roles: vec![case.role("Billing").await],
            policies: Vec::new(),
        };
        case.made(&invite, Outcome::Changed).await;
        assert_eq!(case.world.member_accepted(email), Some(false));
        case.made(&invite, Outcome::Already).await;
        let cancel = |email: &str| Request::InvitationCancel {
            connection: case.connection.clone(),
            email: email.to_owned(),
        };
        case.refused(&cancel("ben.carter@tidewater.example"), Guard::WrongState)
            .await;
        let changed = case.made(&cancel(email), Outcome::Changed).await;
        assert_eq!(case.world.member_accepted(email), None);
        case.made(&cancel(email), Outcome::Already).await;
        // Taking it back invites with the same roles.
        case.made(&changed.plan.undo.clone().unwrap(), Outcome::Changed)
            .await;
        assert_eq!(case.world.member_roles(email), ["Billing"]);
    });
}

#[tokio::test]
async fn a_grant_to_an_access_user_who_is_no_member_is_seen_by_the_next_sync_and_can_be_revoked() {
    case!(story(), |case| {
        let email = "fresh.face@tidewater.example";
        let grant = case.grant(email, "Finance");
        case.refused(&grant, Guard::UnknownPerson).await;
        case.world.access_user_add(email, "Fresh Face");
        case.hub.sync().await;
        case.made(&grant, Outcome::Changed).await;
        case.hub.sync().await;
        let view = hub::access::AccessView::current(&case.hub.app).await.unwrap();
        let held = view.grant_page(&Default::default(), usize::MAX);
        assert!(
            held.iter()
                .any(|grant| grant.email == email && grant.entitlement_name == "Finance"),
            "not seen"
        );
        case.made(&case.revoke(email, "Finance"), Outcome::Changed).await;
        // Someone who has never signed in may be let in beforehand, if that is said.
        let options = Options {
            unknown_person: true,
            ..Options::default()
        };
        let early = case.grant("not.yet@tidewater.example", "Finance");
        let changed = change(&case.hub.app, &early, &options, &Actor::CommandLine)
            .await
            .unwrap();
        assert_eq!(changed.outcome, Outcome::Changed);
    });
}

#[tokio::test]
async fn nothing_is_changed_on_a_paused_connection_or_by_a_stale_list() {
    case!(story(), |case| {
        let store = &case.hub.app.store;
        store
            .listing_stale(&case.connection, "access_groups", "it was cut off", false)
            .await
            .unwrap();
        let reason = case
            .refused(&case.grant("omar.said", "Finance"), Guard::ListStale)
            .await;
        assert!(reason.contains("it was cut off"), "{reason}");
        case.hub.sync().await;
        case.hub.clock.advance(TimeDelta::hours(49));
        case.refused(&case.grant("omar.said", "Finance"), Guard::ListStale)
            .await;
        case.hub.sync().await;
        store
            .connection_state_set(
                &case.connection,
                ConnectionState::Paused,
                Some("half is gone"),
                "Connection corp is paused: half is gone",
                case.hub.app.clock.now(),
            )
            .await
            .unwrap();
        case.refused(&case.grant("omar.said", "Finance"), Guard::ConnectionPaused)
            .await;
        assert!(!case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn what_cloudflare_refuses_is_a_refusal_with_its_words() {
    case!(story(), |case| {
        case.world.faults_set(Faults {
            removed_permissions: vec![
                "Access: Organizations, Identity Providers, and Groups Write".to_owned(),
            ],
            ..Faults::default()
        });
        let reason = case
            .refused(&case.grant("omar.said", "Finance"), Guard::Cloudflare)
            .await;
        assert!(reason.contains("403"), "{reason}");
    });
}

#[tokio::test]
async fn seats_sessions_and_access_users_are_freed_ended_and_removed() {
    case!(story(), |case| {
        let email = Case::email("omar.said");
        let connection = case.connection.clone();
        let free = Request::SeatsFree {
            connection: connection.clone(),
            email: email.clone(),
        };
        case.made(&free, Outcome::Changed).await;
        let seats = case.world.access_user_seats(&email).unwrap();
        assert!(!seats.access && !seats.gateway);
        case.made(&free, Outcome::Already).await;
        let end = Request::SessionsRevoke {
            connection: connection.clone(),
            email: email.clone(),
            devices: true,
        };
        case.made(&end, Outcome::Changed).await;
        assert!(
            case.world
                .sessions_revoked()
                .iter()
                .any(|who| who.contains("omar.said"))
        );
        let remove = Request::AccessUserRemove {
            connection: connection.clone(),
            email: email.clone(),
        };
        let changed = case.made(&remove, Outcome::Changed).await;
        assert!(case.world.access_user(&email).is_none());
        case.made(&remove, Outcome::Already).await;
        case.made(&changed.plan.undo.clone().unwrap(), Outcome::Changed)
            .await;
        assert!(case.world.access_user(&email).is_some());
    });
}

#[tokio::test]
async fn every_change_is_written_down_with_plan_actor_reason_and_the_way_back() {
    case!(story(), |case| {
        let options = Options {
            note: Some("ticket 7".to_owned()),
            ..Options::default()
        };
        let grant = case.grant("omar.said", "Finance");
        let changed = change(&case.hub.app, &grant, &options, &Actor::CommandLine)
            .await
            .unwrap();
        let store = &case.hub.app.store;
        let row = store
            .access_change_get(&changed.change_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.outcome.as_str(), row.note.as_deref(), row.actor.as_str()),
            ("changed", Some("ticket 7"), "command line")
        );
        let plan: Value = serde_json::from_str(&row.plan).unwrap();
        assert_eq!(plan["calls"][0]["method"], "PUT");
        assert_ne!(plan["before"]["include"], plan["after"]["include"]);
        let undo: Request = serde_json::from_str(&row.undo.unwrap()).unwrap();
        case.made(&undo, Outcome::Changed).await;
        assert!(!case.has("Finance", "omar.said"));
        let audit = store.audit_list(None, 100).await.unwrap();
        let of_access: Vec<&str> = audit
            .iter()
            .filter(|entry| entry.action.as_str() == "access.change")
            .map(|entry| entry.outcome.as_str())
            .collect();
        assert_eq!(of_access, ["changed", "planned", "changed", "planned"]);
        // Refusals are written down too.
        case.refused(&case.grant("elena.rossi", "All staff"), Guard::Void)
            .await;
        let refused = AccessChangeFilter {
            outcome: Some(model::ChangeOutcome::Refused),
            limit: 10,
            ..Default::default()
        };
        assert_eq!(store.access_change_list(&refused).await.unwrap().len(), 1);
    });
}

#[tokio::test]
async fn a_change_whose_process_was_killed_is_found_done_or_not() {
    case!(story(), |case| {
        let grant = case.grant("omar.said", "Finance");
        case.world.faults_set(Faults {
            latency_ms: 150,
            ..Faults::default()
        });
        let app = case.hub.app.clone();
        let asked = grant.clone();
        let running = tokio::spawn(async move {
            let _ = change(&app, &asked, &Options::default(), &Actor::CommandLine).await;
        });
        while !case.has("Finance", "omar.said") {
            tokio::task::yield_now().await;
        }
        running.abort();
        let _ = running.await;
        case.world.faults_clear();
        let filter = AccessChangeFilter {
            limit: 10,
            ..Default::default()
        };
        let outcome = async || {
            let rows = case.hub.app.store.access_change_list(&filter).await.unwrap();
            rows[0].outcome
        };
        if outcome().await == model::ChangeOutcome::Running {
            let ended = cut_off::run(&case.hub.app).await.unwrap();
            assert_eq!(ended, 0, "it may still be at work");
            case.hub.app.store.leases_run_out().await.unwrap();
            assert_eq!(cut_off::run(&case.hub.app).await.unwrap(), 1);
        }
        assert_eq!(outcome().await, model::ChangeOutcome::Changed);
        case.made(&case.grant("noor.aziz", "Finance"), Outcome::Changed)
            .await;
    });
}

async fn lasting(case: &Case<'_>, request: &Request, lasts: Lasts) -> Changed {
    let options = Options {
        lasts,
        ..Options::default()
    };
    case.hub.clock.advance(TimeDelta::milliseconds(1));
    change(&case.hub.app, request, &options, &Actor::CommandLine)
        .await
        .unwrap()
}

async fn timed_grant(case: &Case<'_>, who: &str, hours: i64) -> Changed {
    let request = case.grant(who, "Finance");
    lasting(case, &request, Lasts::For(TimeDelta::hours(hours))).await
}

/// The end after a change.
fn end_of(changed: &Changed) -> Option<DateTime<Utc>> {
    changed.plan.ends.and_then(|ends| ends.after)
}

#[tokio::test]
async fn a_grant_for_a_time_is_announced_and_taken_back_after_a_restart() {
    case!(story(), |case| {
        let made = timed_grant(&case, "omar.said", 8).await;
        assert_eq!(made.outcome, Outcome::Changed);
        let store = &case.hub.app.store;
        case.hub.clock.advance(TimeDelta::hours(6));
        timed::run(&case.hub.app).await.unwrap();
        let live = async || store.timed_grant_list(None, true, 10).await.unwrap().remove(0);
        assert_eq!(
            (live().await.state.as_str(), live().await.noticed_at.is_some()),
            ("active", false)
        );
        case.hub.clock.advance(TimeDelta::minutes(70));
        timed::run(&case.hub.app).await.unwrap();
        assert!(
            live().await.noticed_at.is_some(),
            "an hour before the end it is announced"
        );
        assert!(case.has("Finance", "omar.said"));
        let again = case.hub.again().await;
        case.hub.clock.advance(TimeDelta::hours(48));
        // After two days of standing still, the lists are old: that is visible, and tried again.
        timed::run(&again).await.unwrap();
        assert_eq!(live().await.state.as_str(), "overdue");
        assert!(live().await.problem.unwrap().contains("hours ago"));
        case.hub.sync().await;
        case.hub.clock.advance(TimeDelta::minutes(16));
        timed::run(&again).await.unwrap();
        assert_eq!(live().await.state.as_str(), "revoked");
        assert!(!case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_make_a_grant_last_longer() {
    case!(story(), |case| {
        timed_grant(&case, "omar.said", 2).await;
        case.hub.clock.advance(TimeDelta::hours(1));
        timed::run(&case.hub.app).await.unwrap();
        case.hub.clock.advance(TimeDelta::days(-30));
        timed::run(&case.hub.app).await.unwrap();
        assert!(case.has("Finance", "omar.said"));
        case.hub
            .clock
            .advance(TimeDelta::days(30) + TimeDelta::minutes(61));
        timed::run(&case.hub.app).await.unwrap();
        assert!(!case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn a_grant_keeps_its_end_until_someone_asks_for_another_or_for_none() {
    case!(story(), |case| {
        let store = &case.hub.app.store;
        let rows = async || store.timed_grant_list(None, true, 10).await.unwrap();
        let first = end_of(&timed_grant(&case, "omar.said", 5).await).unwrap();
        // Asked for again without an end: the end stays, and plan and outcome say so.
        let grant = case.grant("omar.said", "Finance");
        let plan = preview(&case.hub.app, &grant, &Options::default()).await.unwrap();
        let same = Ends {
            before: Some(first),
            after: Some(first),
        };
        assert_eq!((plan.ends, plan.changes_anything()), (Some(same), false));
        assert!(plan.summary.contains("keeps its expiry"), "{}", plan.summary);
        let again = case.made(&grant, Outcome::Already).await;
        assert_eq!(again.plan.ends, Some(same));
        assert!(again.reason.unwrap().contains("keeps its expiry"));
        assert_eq!((rows().await[0].expires_at, rows().await.len()), (first, 1));
        // Another end, sooner or later, is a change of the end alone.
        let sooner = timed_grant(&case, "omar.said", 1).await;
        assert_eq!((sooner.outcome, sooner.writes), (Outcome::Changed, 0));
        assert_eq!(sooner.plan.ends.unwrap().before, Some(first));
        let second = end_of(&sooner).unwrap();
        assert!(second < first);
        assert_eq!(rows().await[0].expires_at, second);
        // None: planned, made, written down and audited with both ends.
        let permanent = Options {
            lasts: Lasts::Permanent,
            ..Options::default()
        };
        let removed = Ends {
            before: Some(second),
            after: None,
        };
        let plan = preview(&case.hub.app, &grant, &permanent).await.unwrap();
        assert_eq!((plan.ends, plan.changes_anything()), (Some(removed), true));
        assert_eq!(rows().await[0].state.as_str(), "active", "a plan changes nothing");
        let made = lasting(&case, &grant, Lasts::Permanent).await;
        assert_eq!(
            (made.outcome, made.writes, made.plan.ends),
            (Outcome::Changed, 0, Some(removed))
        );
        assert_eq!(rows().await[0].state.as_str(), "permanent");
        let row = store.access_change_get(&made.change_id).await.unwrap().unwrap();
        let stored: Value = serde_json::from_str(&row.plan).unwrap();
        assert_eq!(
            (row.outcome.as_str(), &stored["ends"]),
            ("changed", &json!(removed))
        );
        for entry in &store.audit_list(None, 2).await.unwrap() {
            let detail: Value = serde_json::from_str(&entry.detail).unwrap();
            assert_eq!(detail["ends"], json!(removed), "{}", entry.outcome);
        }
        // Held without an end: asking for a time does not put one on it, and says so.
        let third = timed_grant(&case, "omar.said", 1).await;
        assert_eq!((third.outcome, end_of(&third)), (Outcome::Already, None));
        let reason = third.reason.unwrap();
        assert!(reason.contains("permanent"), "{reason}");
        case.hub.clock.advance(TimeDelta::hours(6));
        timed::run(&case.hub.app).await.unwrap();
        assert!(case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn a_grant_whose_end_has_passed_is_not_granted_again_without_a_word_about_its_end() {
    case!(story(), |case| {
        timed_grant(&case, "omar.said", 1).await;
        case.hub.clock.advance(TimeDelta::hours(2));
        let grant = case.grant("omar.said", "Finance");
        let reason = case.refused(&grant, Guard::WrongState).await;
        assert!(reason.contains("expired at"), "{reason}");
        let anew = timed_grant(&case, "omar.said", 1).await;
        assert_eq!(anew.outcome, Outcome::Changed);
        timed::run(&case.hub.app).await.unwrap();
        assert!(case.has("Finance", "omar.said"));
    });
}

#[tokio::test]
async fn a_refused_grant_leaves_no_end_behind_and_an_early_revocation_ends_it() {
    case!(story(), |case| {
        let store = &case.hub.app.store;
        timed_grant(&case, "noor.aziz", 1).await;
        case.made(&case.revoke("noor.aziz", "Finance"), Outcome::Changed)
            .await;
        assert_eq!(
            store.timed_grant_list(None, true, 10).await.unwrap()[0]
                .state
                .as_str(),
            "gone"
        );
        let void = case.grant("elena.rossi", "All staff");
        let refused = lasting(&case, &void, Lasts::For(TimeDelta::hours(1))).await;
        assert_eq!((refused.outcome, refused.plan.ends), (Outcome::Refused, None));
        assert!(store.timed_grant_list(None, false, 10).await.unwrap().is_empty());
    });
}

#[tokio::test]
async fn undoing_a_revocation_gives_the_grant_its_end_again_and_never_one_that_is_over() {
    case!(story(), |case| {
        let store = &case.hub.app.store;
        let end = end_of(&timed_grant(&case, "noor.aziz", 2).await).unwrap();
        let revoked = case
            .made(&case.revoke("noor.aziz", "Finance"), Outcome::Changed)
            .await;
        let undo = undo_of(&case.hub.app, &revoked.change_id, None).await.unwrap();
        case.hub.clock.advance(TimeDelta::minutes(5));
        let back = change(&case.hub.app, &undo.request, &undo.options, &Actor::CommandLine)
            .await
            .unwrap();
        assert_eq!((back.outcome, end_of(&back)), (Outcome::Changed, Some(end)));
        assert_eq!(
            store.timed_grant_list(None, false, 10).await.unwrap()[0].expires_at,
            end
        );
        // What the end took back does not come back for good.
        case.hub.clock.advance(TimeDelta::hours(3));
        timed::run(&case.hub.app).await.unwrap();
        assert!(!case.has("Finance", "noor.aziz"));
        let newest = AccessChangeFilter {
            limit: 1,
            ..Default::default()
        };
        let expiry = store.access_change_list(&newest).await.unwrap().remove(0);
        assert_eq!((expiry.actor.as_str(), expiry.undo.is_some()), ("system", true));
        for change in [&expiry.id, &revoked.change_id] {
            let refused = undo_of(&case.hub.app, change, None).await.unwrap_err();
            assert!(matches!(refused, UndoError::Over { .. }), "{refused}");
        }
    });
}

#[tokio::test]
async fn an_end_that_a_killed_process_did_not_remove_is_removed() {
    case!(story(), |case| {
        let store = &case.hub.app.store;
        timed_grant(&case, "omar.said", 8).await;
        let grant = case.grant("omar.said", "Finance");
        let made = lasting(&case, &grant, Lasts::AsBefore).await;
        // As a kill leaves it: written down, with its plan, and nothing done.
        let mut row = store.access_change_get(&made.change_id).await.unwrap().unwrap();
        let mut plan: Value = serde_json::from_str(&row.plan).unwrap();
        plan["ends"]["after"] = Value::Null;
        row.id = "killed".to_owned();
        row.outcome = model::ChangeOutcome::Running;
        row.plan = plan.to_string();
        row.finished_at = None;
        store.access_change_insert(&row).await.unwrap();
        assert_eq!(cut_off::run(&case.hub.app).await.unwrap(), 1);
        let ended = store.access_change_get("killed").await.unwrap().unwrap();
        assert_eq!(ended.outcome.as_str(), "changed");
        let live = store.timed_grant_list(None, false, 10).await.unwrap();
        assert!(
            live.is_empty(),
            "it was found held, and its end is removed as it was asked: {live:?}"
        );
    });
}

#[tokio::test]
async fn offboarding_takes_what_it_can_and_says_what_remains() {
    case!(story(), |case| {
        let store = &case.hub.app.store;
        let email = Case::email("mei.tanaka");
        let person = store.person_by_email(&email).await.unwrap().unwrap();
        let done = offboard(
            &case.hub.app,
            &person,
            OffboardOptions::default(),
            Some("left"),
            &Actor::CommandLine,
        )
        .await
        .unwrap();
        assert_eq!(done.outcome, Outcome::Changed, "{done:#?}");
        assert!(case.world.member(&email).is_none());
        assert!(!case.has("Finance", "mei.tanaka"));
        let seats = case.world.access_user_seats(&email).unwrap();
        assert!(!seats.access && !seats.gateway);
        let says = |what: &str| done.remains.iter().any(|line| line.contains(what));
        assert!(
            says("All staff") && says("identity providers"),
            "{:#?}",
            done.remains
        );
        let steps = store.access_change_steps(&done.change_id.unwrap()).await.unwrap();
        assert_eq!(steps.len(), done.steps.len());
        // A second time there is little left to do, and nothing fails.
        let again = offboard(
            &case.hub.app,
            &person,
            OffboardOptions::default(),
            None,
            &Actor::CommandLine,
        )
        .await
        .unwrap();
        assert!(again.outcome <= Outcome::Changed, "{again:#?}");
        // One step that is refused stops no other.
        let owner = store
            .person_by_email(&Case::email("alex.reid"))
            .await
            .unwrap()
            .unwrap();
        let done = offboard(
            &case.hub.app,
            &owner,
            OffboardOptions::default(),
            None,
            &Actor::CommandLine,
        )
        .await
        .unwrap();
        assert_eq!(done.outcome, Outcome::Refused);
        assert!(
            done.steps
                .iter()
                .any(|step| step.changed.outcome == Outcome::Changed),
            "{done:#?}"
        );
        assert!(case.world.member(&Case::email("alex.reid")).is_some());
    });
}
