//! One case that finds and one that does not, for every check, over facts written by hand.
//!
//! [`sound`] is an account with nothing to find: every check holds there. Each case breaks one thing.

use super::facts::{Audit, Connection, HighRisk, Integration, Member, Object, User};
use super::{Answer, Facts, Finding, catalogue, check};
use crate::posture::check::Unknown;
use chrono::{DateTime, TimeDelta, Utc};
use model::{ConnectionId, CredentialKind, Severity};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn ago(days: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(days)
}

fn object(raw: Value) -> Object {
    let text = |name: &str| raw[name].as_str().unwrap_or_default().to_owned();
    Object {
        id: text("id"),
        name: text("name"),
        raw,
    }
}

fn member(id: &str, email: &str, roles: &[&str]) -> Member {
    Member {
        id: id.to_owned(),
        email: email.to_owned(),
        status: "accepted".to_owned(),
        two_factor: Some(true),
        roles: roles
            .iter()
            .map(|name| (format!("id of {name}").into(), (*name).into()))
            .collect(),
        person_id: Some(format!("p-{id}")),
        ..Member::default()
    }
}

fn user(id: &str, email: &str) -> User {
    User {
        id: id.to_owned(),
        email: email.to_owned(),
        access_seat: Some(true),
        gateway_seat: Some(false),
        last_login_at: Some(ago(1)),
        created_at: Some(ago(300)),
        person_id: Some(format!("p-{id}")),
    }
}

/// An account in which every check holds.
fn sound() -> Facts {
    let policy = json!({ "id": "pol1", "name": "Staff", "decision": "allow",
        "include": [{ "group": { "id": "g1" } }],
        "require": [{ "device_posture": { "integration_uid": "d1" } }], "session_duration": "8h" });
    let members = vec![
        member(
            "m1",
            "ana@corp.example",
            &["Super Administrator - All Privileges"],
        ),
        member("m2", "bo@corp.example", &["Super Administrator - All Privileges"]),
        member("m3", "Cy@Corp.example", &["Administrator"]),
    ];
    let last = members.iter().map(|member| (format!("p-{}", member.id), ago(3)));
    Facts {
        now: now(),
        connection: Connection {
            id: ConnectionId("c1".to_owned()),
            label: "production".to_owned(),
            account_id: "a1".to_owned(),
            account_name: "Corp".to_owned(),
            credential_kind: CredentialKind::AccountToken,
            created_at: ago(400),
            synced_at: Some(ago(0)),
            state_reason: None,
        },
        account: Ok(json!({ "id": "a1", "settings": { "enforce_twofactor": true } })),
        audit: Ok(Audit {
            first_at: ago(120),
            last_by_person: last.collect(),
        }),
        members: Ok(members),
        access_users: Ok(vec![
            user("u1", "ana@corp.example"),
            user("u2", "dee@corp.example"),
        ]),
        groups: Ok(vec![
            object(json!({ "id": "g1", "name": "Staff", "include": [
                { "email": { "email": "ana@corp.example" } }, { "email": { "email": "DEE@corp.example" } }] })),
            object(json!({ "id": "g2", "name": "Contractors", "is_default": true,
                "include": [{ "email_list": { "id": "l1" } }] })),
        ]),
        apps: Ok(vec![object(
            json!({ "id": "app1", "name": "Wiki", "type": "self_hosted",
            "session_duration": "24h", "app_launcher_visible": true, "allowed_idps": ["idp1", "idp2"],
            "policies": [{ "id": "pol1" }] }),
        )]),
        policies: Ok(vec![object(policy)]),
        identity_providers: Ok(vec![
            object(json!({ "id": "idp1", "name": "Okta", "type": "okta",
                "scim_config": { "enabled": true, "user_deprovision": true, "seat_deprovision": true } })),
            object(json!({ "id": "idp2", "name": "PIN", "type": "onetimepin" })),
        ]),
        service_tokens: Ok(vec![object(
            json!({ "id": "st1", "name": "Build", "duration": "8760h",
            "expires_at": ago(-200).to_rfc3339() }),
        )]),
        account_tokens: Ok(vec![object(token("t1", "Zero Trust Read"))]),
        permission_groups: Ok(Vec::new()),
        resource_groups: Ok(vec![object(
            json!({ "id": "all", "name": "com.cloudflare.api.account.a1" }),
        )]),
        user_groups: Ok(Vec::new()),
        user_group_members: Ok(Vec::new()),
        lists: Ok(vec![object(
            json!({ "id": "l1", "name": "contractors", "count": 1,
            "updated_at": ago(30).to_rfc3339() }),
        )]),
        list_items: Ok(vec![object(
            json!({ "id": "l1", "items": [{ "value": "eve@other.example" }] }),
        )]),
        first_run_at: Some(ago(150)),
        user_gone: HashMap::new(),
        aliases: HashSet::new(),
        high_risk: Vec::new(),
        integrations: vec![Integration {
            id: "i1".to_owned(),
            tenant_url: "https://corp.okta.com".to_owned(),
            reference_id: Some("idp1".to_owned()),
            active: true,
            suspended_reason: None,
        }],
    }
}

fn token(id: &str, group: &str) -> Value {
    json!({ "id": id, "name": id, "status": "active", "issued_on": ago(200).to_rfc3339(),
        "last_used_on": ago(2).to_rfc3339(),
        "policies": [{ "effect": "allow", "permission_groups": [{ "id": "pg", "name": group }] }] })
}

/// A thing of a list, to be changed.
macro_rules! raw {
    ($facts:ident, $list:ident, $at:literal) => {
        $facts.$list.as_mut().unwrap()[$at].raw
    };
}

fn add_member(facts: &mut Facts, member: Member) {
    facts.members.as_mut().unwrap().push(member);
}

fn add_app(facts: &mut Facts, raw: Value) {
    facts.apps.as_mut().unwrap().push(object(raw));
}

/// Breaks one thing; answers the subjects that the check must then find.
type Break = fn(&mut Facts);

const CASES: &[(&str, &[&str], Break)] = &[
    ("acct_2fa_not_enforced", &["a1"], |facts| {
        facts.account.as_mut().unwrap()["settings"]["enforce_twofactor"] = json!(false);
    }),
    ("superadmin_without_2fa", &["m1"], |facts| {
        facts.members.as_mut().unwrap()[0].two_factor = Some(false);
    }),
    ("global_api_key_in_use", &["c1"], |facts| {
        facts.connection.credential_kind = CredentialKind::GlobalKey;
    }),
    ("access_app_bypass_everyone", &["app2"], |facts| {
        add_app(
            facts,
            json!({ "id": "app2", "name": "Open", "type": "self_hosted", "policies": [
            { "id": "x", "name": "All", "decision": "bypass", "include": [{ "everyone": {} }] }] }),
        );
    }),
    ("access_policy_allow_everyone", &["pol1"], |facts| {
        let policy = &mut raw!(facts, policies, 0);
        policy["include"] = json!([{ "everyone": {} }]);
        policy["require"] = json!([]);
    }),
    ("superadmin_count", &["a1"], |facts| {
        for number in 0..3 {
            let email = format!("root{number}@corp.example");
            add_member(
                facts,
                member(&format!("r{number}"), &email, &["Super Administrator"]),
            );
        }
    }),
    ("superadmin_single", &["a1"], |facts| {
        facts.members.as_mut().unwrap()[1].roles.clear();
    }),
    ("member_2fa_off", &["m3"], |facts| {
        facts.members.as_mut().unwrap()[2].two_factor = Some(false);
    }),
    ("token_no_expiry_write", &["t2"], |facts| {
        facts
            .account_tokens
            .as_mut()
            .unwrap()
            .push(object(token("t2", "Zero Trust Write")));
    }),
    ("token_unused_90d", &["t1"], |facts| {
        raw!(facts, account_tokens, 0)["last_used_on"] = json!(ago(91).to_rfc3339());
    }),
    ("token_expiring_14d", &["t1"], |facts| {
        raw!(facts, account_tokens, 0)["expires_on"] = json!(ago(-13).to_rfc3339());
    }),
    ("service_token_expiring", &["st1"], |facts| {
        raw!(facts, service_tokens, 0)["expires_at"] = json!(ago(-3).to_rfc3339());
    }),
    ("service_token_duration_forever", &["st1"], |facts| {
        raw!(facts, service_tokens, 0)["duration"] = json!("forever");
        raw!(facts, service_tokens, 0)["expires_at"] = Value::Null;
    }),
    (
        "access_rule_never_holds",
        &["byp", "idp", "pol1", "svc"],
        |facts| {
            let policy = &mut raw!(facts, policies, 0);
            policy["include"] =
                json!([{ "group": { "id": "g1" } }, { "service_token": { "token_id": "st1" } }]);
            let inline = |id: &str, decision: &str, rule: Value| json!({ "id": id, "name": id, "decision": decision, "include": [rule] });
            add_app(
                facts,
                json!({ "id": "app2", "name": "Odd", "type": "self_hosted", "session_duration": "8h",
                "app_launcher_visible": true, "allowed_idps": ["idp1"], "policies": [
                inline("byp", "bypass", json!({ "email": { "email": "ana@corp.example" } })),
                inline("svc", "non_identity", json!({ "okta": { "name": "eng" } })),
                inline("ok", "non_identity", json!({ "any_valid_service_token": {} })),
                inline("idp", "allow", json!({ "login_method": { "id": "idp2" } })) ] }),
            );
        },
    ),
    ("idp_onetimepin_only_for_sensitive_app", &["app2"], |facts| {
        add_app(
            facts,
            json!({ "id": "app2", "name": "Shell", "type": "ssh", "allowed_idps": ["idp2"] }),
        );
    }),
    ("offboarded_identity_still_member", &["m3"], |facts| {
        facts.user_gone.insert("m3".to_owned(), ago(4));
    }),
    ("member_external_domain", &["m4"], |facts| {
        add_member(facts, member("m4", "eve@other.example", &["Administrator"]));
    }),
    ("risk_high_unreviewed", &["p-m1"], |facts| {
        facts.high_risk.push(HighRisk {
            person_id: "p-m1".to_owned(),
            email: "ana@corp.example".to_owned(),
            since: Some(ago(4)),
        });
    }),
    ("invite_pending_over_7d", &["m4"], |facts| {
        let mut pending = member("m4", "fay@corp.example", &["Administrator"]);
        pending.status = "pending".to_owned();
        pending.added_at = Some(ago(8));
        add_member(facts, pending);
    }),
    ("member_inactive_90d", &["m3"], |facts| {
        facts
            .audit
            .as_mut()
            .unwrap()
            .last_by_person
            .insert("p-m3".to_owned(), ago(100));
    }),
    ("zt_user_inactive_60d_with_seat", &["u2"], |facts| {
        facts.access_users.as_mut().unwrap()[1].last_login_at = Some(ago(61));
    }),
    ("group_empty", &["g2"], |facts| {
        raw!(facts, list_items, 0)["items"] = json!([]);
    }),
    ("group_unused", &["g2"], |facts| {
        raw!(facts, groups, 1)["is_default"] = json!(false);
    }),
    ("group_email_not_in_directory", &["g1"], |facts| {
        facts.access_users.as_mut().unwrap().pop();
    }),
    ("app_session_over_24h", &["app1"], |facts| {
        raw!(facts, policies, 0)["session_duration"] = json!("168h");
    }),
    ("app_no_posture_require", &["app1"], |facts| {
        raw!(facts, policies, 0)["require"] = json!([{ "geo": { "country_code": "PT" } }]);
    }),
    ("scim_disabled_on_idp", &["idp1"], |facts| {
        raw!(facts, identity_providers, 0)["scim_config"]["enabled"] = json!(false);
    }),
    ("scim_seat_deprovision_off", &["idp1"], |facts| {
        raw!(facts, identity_providers, 0)["scim_config"]["seat_deprovision"] = json!(false);
    }),
    ("risk_integration_inactive", &["i1"], |facts| {
        facts.integrations[0].active = false;
    }),
    ("reference_idp_missing", &["i1"], |facts| {
        facts.integrations[0].reference_id = Some("idp2".to_owned());
    }),
    ("roles_and_policies_mixed", &["a1"], |facts| {
        let member = &mut facts.members.as_mut().unwrap()[2];
        member.roles.clear();
        member.policies =
            vec![json!({ "access": "allow", "permission_groups": [{ "name": "Workers Read" }] })];
    }),
    ("gateway_list_stale_ttl", &["l1"], |facts| {
        raw!(facts, lists, 0)["updated_at"] = json!(ago(366).to_rfc3339());
    }),
    ("connection_stale_2d", &["c1"], |facts| {
        facts.connection.synced_at = Some(ago(3));
    }),
    ("duplicate_group_membership", &["g1"], |facts| {
        let include = raw!(facts, groups, 0)["include"].as_array_mut().unwrap();
        include.push(json!({ "email": { "email": "Ana@corp.example" } }));
    }),
    ("app_launcher_hidden_mismatch", &["app1"], |facts| {
        raw!(facts, policies, 0)["decision"] = json!("deny");
    }),
];

fn found(id: &str, facts: &Facts) -> Vec<Finding> {
    match check(id).unwrap().answer(facts) {
        Answer::Found(found) | Answer::Partly { found, .. } => found,
        Answer::Holds | Answer::Unknown(_) => Vec::new(),
    }
}

#[test]
fn every_check_has_a_case_and_finds_it() {
    let cases: BTreeSet<&str> = CASES.iter().map(|(id, ..)| *id).collect();
    let checks: BTreeSet<&str> = catalogue().map(|check| check.id).collect();
    assert_eq!(cases, checks);
    for (id, expected, change) in CASES {
        let mut facts = sound();
        change(&mut facts);
        let found = found(id, &facts);
        let subjects: Vec<&str> = found.iter().map(|finding| finding.subject_id.as_str()).collect();
        assert_eq!(subjects, *expected, "{id}: {found:?}");
        for finding in found {
            assert!(finding.severity <= check(id).unwrap().severity, "{id}");
            assert!(
                finding.evidence["summary"]
                    .as_str()
                    .is_some_and(|text| text.len() > 5),
                "{id}"
            );
        }
    }
}

#[test]
fn a_sound_account_passes_every_check() {
    for check in catalogue() {
        assert_eq!(check.answer(&sound()), Answer::Holds, "{}", check.id);
    }
}

/// Takes a list away.
fn darken(facts: &mut Facts, kind: &str) {
    fn dark<T>(list: &mut Result<T, Unknown>) {
        *list = Err(Unknown("dark".to_owned()));
    }
    match kind {
        "account" => dark(&mut facts.account),
        "members" => dark(&mut facts.members),
        "access_users" => dark(&mut facts.access_users),
        "access_groups" => dark(&mut facts.groups),
        "apps" => dark(&mut facts.apps),
        "policies" => dark(&mut facts.policies),
        "identity_providers" => dark(&mut facts.identity_providers),
        "service_tokens" => dark(&mut facts.service_tokens),
        "account_tokens" => dark(&mut facts.account_tokens),
        "lists" => dark(&mut facts.lists),
        "list_items" => dark(&mut facts.list_items),
        other => panic!("{other} is no list of the facts"),
    }
}

#[test]
fn a_list_that_could_not_be_read_never_passes_a_check() {
    for check in catalogue() {
        for kind in check.lists {
            let mut facts = sound();
            darken(&mut facts, kind);
            let answer = check.answer(&facts);
            let is_unknown = match &answer {
                Answer::Unknown(reason) => reason == "dark",
                Answer::Partly { found, reason, .. } => found.is_empty() && reason.contains("dark"),
                _ => false,
            };
            assert!(is_unknown, "{} without {kind}: {answer:?}", check.id);
        }
        // What it does not say that it reads may be dark.
        let mut facts = sound();
        let all = [
            "account",
            "members",
            "access_users",
            "access_groups",
            "apps",
            "policies",
            "identity_providers",
            "service_tokens",
            "account_tokens",
            "lists",
            "list_items",
        ];
        for kind in all.into_iter().filter(|kind| !check.lists.contains(kind)) {
            darken(&mut facts, kind);
        }
        assert_eq!(
            check.answer(&facts),
            Answer::Holds,
            "{} alone with its lists",
            check.id
        );
    }
}

#[test]
fn every_check_says_what_it_needs_and_what_to_do() {
    let mut ids = BTreeSet::new();
    for check in catalogue() {
        assert!(ids.insert(check.id), "{} is there twice", check.id);
        assert!(check.question.ends_with('?'), "{}", check.id);
        assert!(
            !check.unknown.is_empty() && check.remedy.ends_with('.'),
            "{}",
            check.id
        );
        assert!(
            !check.lists.is_empty() || !check.besides.is_empty(),
            "{}",
            check.id
        );
        assert!(
            check.permissions().iter().all(|name| !name.is_empty()),
            "{}",
            check.id
        );
    }
    assert_eq!(catalogue().next().unwrap().severity, Severity::Critical);
}

#[test]
fn a_second_factor_that_is_not_known_is_no_finding_and_no_pass() {
    let mut facts = sound();
    facts.members.as_mut().unwrap()[2].two_factor = None;
    let answer = check("member_2fa_off").unwrap().answer(&facts);
    assert!(
        matches!(answer, Answer::Partly { ref found, .. } if found.is_empty()),
        "{answer:?}"
    );
    // Beside one that is off it is counted.
    let mut off = member("m4", "gus@corp.example", &[]);
    off.two_factor = Some(false);
    add_member(&mut facts, off);
    assert_eq!(found("member_2fa_off", &facts)[0].evidence["members_unknown"], 1);
}

#[test]
fn an_invitation_without_a_second_factor_is_no_finding() {
    let mut facts = sound();
    let mut pending = member("m4", "fay@corp.example", &[]);
    (pending.status, pending.two_factor) = ("pending".to_owned(), None);
    pending.added_at = Some(ago(1));
    add_member(&mut facts, pending);
    for id in ["member_2fa_off", "invite_pending_over_7d"] {
        assert_eq!(check(id).unwrap().answer(&facts), Answer::Holds, "{id}");
    }
}

#[test]
fn those_who_sign_in_by_sso_are_told_apart() {
    let mut facts = sound();
    for member in facts.members.as_mut().unwrap() {
        member.two_factor = Some(false);
    }
    assert_eq!(found("superadmin_without_2fa", &facts).len(), 2);
    add_app(
        &mut facts,
        json!({ "id": "sso", "name": "Dashboard", "type": "dash_sso", "policies": [
        { "id": "s", "name": "Staff", "decision": "allow",
          "include": [{ "email_domain": { "domain": "corp.example" } }] }] }),
    );
    for id in ["superadmin_without_2fa", "member_2fa_off"] {
        assert_eq!(check(id).unwrap().answer(&facts), Answer::Holds, "{id}");
    }
    // Whether they do cannot be seen: the finding stands, and says so.
    darken(&mut facts, "apps");
    assert_eq!(
        found("superadmin_without_2fa", &facts)[0].evidence["sso_unknown"],
        "dark"
    );
}

#[test]
fn everyone_is_found_through_a_group_and_not_where_something_is_required() {
    let open = |rules: Value, group: Value| {
        let mut facts = sound();
        facts.groups.as_mut().unwrap().push(object(group));
        facts.policies.as_mut().unwrap()[0].raw["include"] = rules["include"].clone();
        facts.policies.as_mut().unwrap()[0].raw["require"] = rules["require"].clone();
        check("access_policy_allow_everyone").unwrap().answer(&facts)
    };
    let all = json!({ "id": "g9", "name": "All", "include": [{ "everyone": {} }] });
    let by_group = json!({ "include": [{ "group": { "id": "G9" } }] });
    assert!(matches!(open(by_group.clone(), all), Answer::Found(_)));
    let narrow = json!({ "id": "g9", "name": "All", "include": [{ "everyone": {} }],
        "require": [{ "geo": { "country_code": "PT" } }] });
    assert_eq!(open(by_group.clone(), narrow.clone()), Answer::Holds);
    // A group that is not there, or that names itself, cannot be judged.
    let missing = json!({ "include": [{ "group": { "id": "g7" } }] });
    assert!(matches!(open(missing, narrow), Answer::Partly { .. }));
    let itself = json!({ "id": "g9", "name": "Loop", "include": [{ "group": { "id": "g9" } }] });
    assert!(matches!(open(by_group, itself), Answer::Partly { .. }));
}

#[test]
fn super_administrators_by_user_group_count() {
    let mut facts = sound();
    facts.members.as_mut().unwrap()[1].roles.clear();
    facts.user_groups = Ok(vec![object(json!({ "id": "ug", "name": "Roots", "policies": [
        { "access": "allow", "permission_groups": [{ "name": "Super Administrator - All Privileges" }],
          "resource_groups": [{ "id": "all" }] }] }))]);
    facts.user_group_members = Ok(vec![object(json!({ "id": "ug", "members": [{ "id": "m2" }] }))]);
    assert_eq!(check("superadmin_single").unwrap().answer(&facts), Answer::Holds);
    facts.user_groups = Err(Unknown("dark".to_owned()));
    assert!(matches!(
        check("superadmin_single").unwrap().answer(&facts),
        Answer::Unknown(_)
    ));
}
