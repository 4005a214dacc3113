//! Who is in a group and who reaches an application, case by case.

use super::*;
use crate::access::subject::{Identity, Membership, Subject, User};
use crate::access::verdict::Verdict;
use chrono::{DateTime, Utc};
use model::PersonId;
use proptest::prelude::*;
use serde_json::json;

fn long_ago() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn someone(email: &str) -> Subject {
    Subject {
        person_id: PersonId("p".to_owned()),
        email: email.into(),
        further: Vec::new(),
        members: Vec::new(),
        users: Vec::new(),
    }
}

fn account(groups: &Value) -> Account {
    let mut account = Account::new(0, "acc", HashMap::from([("acc".into(), 0)]));
    for group in groups.as_array().unwrap() {
        account.add_group(group);
    }
    account.close();
    account
}

fn check(groups: &Value, group: &str, subject: &Subject, expected: Verdict) -> Vec<String> {
    let account = account(groups);
    let visit = account.visit(subject, &subject.email);
    let at = account.group_at(group).unwrap();
    assert_eq!(account.group_verdict(at, &visit), expected, "{groups}");
    account.group_via(at, &visit)
}

#[test]
fn an_address_is_compared_whatever_its_case() {
    let groups =
        json!([{ "id": "a", "name": "Staff", "include": [{ "email": { "email": "Ana@X.example" } }] }]);
    let via = check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
    assert_eq!(via, ["group Staff", "address ana@x.example"]);
    check(&groups, "a", &someone("ben@x.example"), Verdict::No);
}

#[test]
fn a_domain_is_whole() {
    let groups = json!([{ "id": "a", "include": [{ "email_domain": { "domain": "x.example" } }] }]);
    check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
    check(&groups, "a", &someone("ana@notx.example"), Verdict::No);
}

#[test]
fn require_and_exclude_count() {
    let groups = json!([{ "id": "a", "include": [{ "everyone": {} }],
        "require": [{ "email_domain": { "domain": "x.example" } }],
        "exclude": [{ "email": { "email": "ben@x.example" } }] }]);
    check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
    check(&groups, "a", &someone("ben@x.example"), Verdict::No);
    check(&groups, "a", &someone("ana@y.example"), Verdict::No);
}

#[test]
fn a_nested_group_says_so_and_a_circle_is_unknown_from_wherever_it_is_asked() {
    let groups = json!([
        { "id": "a", "name": "Outer", "include": [{ "group": { "id": "B" } }] },
        { "id": "b", "name": "Inner", "include": [{ "email": { "email": "ana@x.example" } }] },
        { "id": "c", "name": "One", "include": [{ "group": { "id": "d" } }] },
        { "id": "d", "name": "Two", "include": [{ "group": { "id": "c" } }, { "email": { "email": "ana@x.example" } }] },
        { "id": "e", "name": "Self", "include": [{ "group": { "id": "e" } }] },
        { "id": "f", "name": "Lost", "include": [{ "group": { "id": "nowhere" } }] },
    ]);
    let via = check(&groups, "a", &someone("ana@x.example"), Verdict::Yes);
    assert_eq!(via, ["group Outer", "group Inner", "address ana@x.example"]);
    check(&groups, "c", &someone("ben@x.example"), Verdict::Unknown);
    check(&groups, "d", &someone("ana@x.example"), Verdict::Yes);
    let via = check(&groups, "e", &someone("ana@x.example"), Verdict::Unknown);
    assert_eq!(
        via[1],
        "depends on groups that include each other (circular reference)"
    );
    check(&groups, "f", &someone("ana@x.example"), Verdict::Unknown);
}

#[test]
fn a_chain_of_ten_thousand_groups_ends() {
    let groups: Vec<Value> = (0..10_000)
        .map(|n| json!({ "id": format!("g{n}"), "include": [{ "group": { "id": format!("g{}", n + 1) } }] }))
        .collect();
    check(&json!(groups), "g0", &someone("ana@x.example"), Verdict::Unknown);
}

#[test]
fn context_is_conditional_and_the_unknowable_unknown() {
    let one = |rule: Value| json!([{ "id": "a", "name": "G", "include": [rule] }]);
    let ana = someone("ana@x.example");
    let via = check(
        &one(json!({ "geo": { "country_code": "pt" } })),
        "a",
        &ana,
        Verdict::Conditional,
    );
    assert_eq!(via, ["group G", "depends on country PT"]);
    check(
        &one(json!({ "okta": { "name": "eng" } })),
        "a",
        &ana,
        Verdict::Unknown,
    );
    check(&one(json!({ "brand_new": {} })), "a", &ana, Verdict::Unknown);
    let sure = json!([{ "id": "a", "include": [{ "everyone": {} }], "exclude": [{ "geo": { "country_code": "kp" } }] }]);
    let via = check(&sure, "a", &ana, Verdict::Conditional);
    assert_eq!(via[1], "depends on exclusion by country KP");
    let voided = json!([{ "id": "a", "include": [{ "okta": { "name": "eng" } }],
        "require": [{ "email_domain": { "domain": "y.example" } }] }]);
    check(&voided, "a", &ana, Verdict::No);
    // One way in that the context decides is enough; one requirement that cannot be known is not.
    let either = json!([{ "id": "a", "include": [{ "okta": { "name": "eng" } }, { "geo": { "country_code": "PT" } }] }]);
    check(&either, "a", &ana, Verdict::Conditional);
    let both = json!([{ "id": "a", "include": [{ "geo": { "country_code": "PT" } }], "require": [{ "okta": { "name": "eng" } }] }]);
    check(&both, "a", &ana, Verdict::Unknown);
}

#[test]
fn what_the_identity_provider_said_decides_for_its_own_rules_alone() {
    let mut ana = someone("ana@x.example");
    let identity = json!({ "idp": { "id": "IDP-1", "type": "okta" }, "iat": 1_790_000_000,
        "groups": [{ "id": "00g1", "name": "Engineering" }, "plain"], "saml_attributes": { "dept": ["R&D", "all"] } });
    ana.users.push(User {
        connection: 0,
        email: "ana@x.example".into(),
        identity: Some(Box::new(Identity::read(&identity, long_ago()))),
        problem: None,
    });
    let one = |rule: Value| json!([{ "id": "a", "name": "G", "include": [rule] }]);
    let okta = |name: &str, provider: &str| {
        one(json!({ "okta": { "name": name, "identity_provider_id": provider } }))
    };
    let via = check(&okta("engineering", "idp-1"), "a", &ana, Verdict::Yes);
    assert!(
        via[1].contains("group engineering at the identity provider (okta), last seen 2026"),
        "{via:?}"
    );
    check(&okta("plain", "idp-1"), "a", &ana, Verdict::Yes);
    check(&okta("Sales", "idp-1"), "a", &ana, Verdict::No);
    check(&okta("engineering", "another"), "a", &ana, Verdict::Unknown);
    let saml = |value: &str| {
        one(
            json!({ "saml": { "attribute_name": "dept", "attribute_value": value, "identity_provider_id": "idp-1" } }),
        )
    };
    check(&saml("R&D"), "a", &ana, Verdict::Yes);
    check(&saml("Sales"), "a", &ana, Verdict::No);
    // It said nothing of OIDC or GitHub.
    check(
        &one(json!({ "oidc": { "claim_name": "a", "claim_value": "b", "identity_provider_id": "idp-1" } })),
        "a",
        &ana,
        Verdict::Unknown,
    );
}

#[test]
fn an_email_list_is_known_when_it_was_read() {
    let groups = json!([{ "id": "a", "include": [{ "email_list": { "id": "L1" } }] }, { "id": "b", "include": [{ "email_list": { "id": "l2" } }] }]);
    let mut account = account(&groups);
    account.add_list("l1", ["Ana@x.example".to_owned()].into_iter(), None);
    let (ana, ben) = (someone("ana@x.example"), someone("ben@x.example"));
    for (who, group, expected) in [
        (&ana, 0, Verdict::Yes),
        (&ben, 0, Verdict::No),
        (&ana, 1, Verdict::Unknown),
    ] {
        assert_eq!(
            account.group_verdict(group, &account.visit(who, &who.email)),
            expected
        );
    }
}

#[test]
fn a_member_of_the_account_still_has_to_sign_in_with_cloudflare() {
    let mut ana = someone("ana@x.example");
    ana.members.push(Membership {
        connection: 0,
        id: "m".into(),
        email: "Ana@x.example".into(),
        is_accepted: true,
        roles: Vec::new(),
        policies: Vec::new(),
    });
    let rule = |inner: Value| json!([{ "id": "a", "include": [{ "cloudflare_account_member": inner }] }]);
    check(&rule(json!({})), "a", &ana, Verdict::Conditional);
    check(
        &rule(json!({ "account_id": "ACC" })),
        "a",
        &ana,
        Verdict::Conditional,
    );
    check(
        &rule(json!({ "account_id": "other" })),
        "a",
        &ana,
        Verdict::Unknown,
    );
    check(&rule(json!({})), "a", &someone("ben@x.example"), Verdict::No);
}

#[test]
fn the_first_policy_that_holds_decides() {
    let policy = |decision: &str, include: Value, precedence: i64| json!({ "id": decision, "name": decision, "decision": decision, "include": [include], "precedence": precedence });
    let ana_rule = json!({ "email": { "email": "ana@x.example" } });
    let france = json!({ "geo": { "country_code": "FR" } });
    let everyone = json!({ "everyone": {} });
    let check = |policies: Value, email: &str, expected: Verdict| {
        let mut account = account(&json!([]));
        account.add_app(
            &json!({ "id": "w", "name": "Wiki", "policies": policies }),
            &HashMap::new(),
        );
        let subject = someone(email);
        let visit = account.visit(&subject, &subject.email);
        assert_eq!(
            account.app_verdict(&account.apps()[0], &visit),
            expected,
            "{policies}"
        );
    };
    let (ana, ben) = ("ana@x.example", "ben@x.example");
    check(json!([]), ana, Verdict::No);
    check(json!([policy("allow", ana_rule.clone(), 1)]), ana, Verdict::Yes);
    check(json!([policy("allow", ana_rule.clone(), 1)]), ben, Verdict::No);
    // Order is by precedence, not by place.
    let both = json!([
        policy("allow", everyone.clone(), 2),
        policy("deny", ana_rule.clone(), 1)
    ]);
    check(both.clone(), ana, Verdict::No);
    check(both, ben, Verdict::Yes);
    // A bypass is looked at before everything.
    check(
        json!([
            policy("deny", everyone.clone(), 1),
            policy("bypass", everyone.clone(), 2)
        ]),
        ben,
        Verdict::Yes,
    );
    // A condition before the same answer changes nothing.
    check(
        json!([
            policy("allow", france.clone(), 1),
            policy("allow", everyone.clone(), 2)
        ]),
        ben,
        Verdict::Yes,
    );
    check(
        json!([policy("deny", france, 1), policy("allow", everyone, 2)]),
        ben,
        Verdict::Conditional,
    );
    // A policy that could not be read may let in.
    check(json!(["unread"]), ben, Verdict::Unknown);
}

/// One application's verdict for ana, with the steps.
fn app_check(app: &Value, groups: &Value, subject: &Subject, expected: Verdict) -> Vec<String> {
    let mut account = account(groups);
    account.add_app(app, &HashMap::new());
    let visit = account.visit(subject, &subject.email);
    let app = &account.apps()[0];
    assert_eq!(account.app_verdict(app, &visit), expected, "{app:?}");
    account.app_via(app, &visit)
}

fn app_of(policies: &Value) -> Value {
    json!({ "id": "w", "name": "Wiki", "policies": policies })
}

#[test]
fn approval_makes_access_conditional() {
    let ana = someone("ana@x.example");
    let rule = json!({ "email": { "email": "ana@x.example" } });
    let approved =
        json!({ "id": "p", "name": "P", "decision": "allow", "approval_required": true, "include": [rule] });
    let via = app_check(
        &app_of(&json!([approved])),
        &json!([]),
        &ana,
        Verdict::Conditional,
    );
    assert!(
        via.iter().any(|step| step.starts_with("depends on approval")),
        "{via:?}"
    );
    app_check(
        &app_of(&json!([approved])),
        &json!([]),
        &someone("ben@x.example"),
        Verdict::No,
    );
    // A later policy without approval does not take the place of the first that holds.
    let plain = json!({ "id": "q", "name": "Q", "decision": "allow", "include": [{ "everyone": {} }] });
    app_check(
        &app_of(&json!([approved, plain])),
        &json!([]),
        &ana,
        Verdict::Conditional,
    );
    app_check(&app_of(&json!([plain, approved])), &json!([]), &ana, Verdict::Yes);
    // What denies asks nobody for approval.
    let deny =
        json!({ "id": "d", "name": "D", "decision": "deny", "approval_required": true, "include": [rule] });
    app_check(&app_of(&json!([deny, plain])), &json!([]), &ana, Verdict::No);
}

#[test]
fn before_anyone_signs_in_no_rule_about_who_they_are_holds() {
    let mut ana = someone("ana@x.example");
    ana.members.push(Membership {
        connection: 0,
        id: "m".into(),
        email: "ana@x.example".into(),
        is_accepted: true,
        roles: Vec::new(),
        policies: Vec::new(),
    });
    let groups = json!([
        { "id": "named", "name": "Named", "include": [{ "email": { "email": "ana@x.example" } }] },
        { "id": "all", "name": "All", "include": [{ "everyone": {} }] },
    ]);
    let policy = |decision: &str, rules: Value| {
        let mut policy = json!({ "id": "p", "name": "P", "decision": decision });
        policy
            .as_object_mut()
            .unwrap()
            .extend(rules.as_object().unwrap().clone());
        app_of(&json!([policy]))
    };
    for decision in ["bypass", "non_identity"] {
        for rule in [
            json!({ "email": { "email": "ana@x.example" } }),
            json!({ "email_domain": { "domain": "x.example" } }),
            json!({ "email_list": { "id": "unread" } }),
            json!({ "okta": { "name": "eng" } }),
            json!({ "login_method": { "id": "idp" } }),
            json!({ "auth_method": { "auth_method": "mfa" } }),
            json!({ "cloudflare_account_member": {} }),
            json!({ "group": { "id": "named" } }),
        ] {
            app_check(
                &policy(decision, json!({ "include": [rule] })),
                &groups,
                &ana,
                Verdict::No,
            );
        }
        app_check(
            &policy(decision, json!({ "include": [{ "group": { "id": "all" } }] })),
            &groups,
            &ana,
            Verdict::Yes,
        );
        let ip = json!({ "ip": { "ip": "192.0.2.0/24" } });
        app_check(
            &policy(decision, json!({ "include": [ip] })),
            &groups,
            &ana,
            Verdict::Conditional,
        );
        // What is required and can never hold shuts everyone out; what is excluded and never holds, nobody.
        let rule = json!({ "email": { "email": "ana@x.example" } });
        let required = json!({ "include": [{ "everyone": {} }], "require": [rule] });
        app_check(&policy(decision, required), &groups, &ana, Verdict::No);
        let excluded = json!({ "include": [{ "everyone": {} }], "exclude": [rule] });
        app_check(&policy(decision, excluded), &groups, &ana, Verdict::Yes);
    }
}

#[test]
fn no_person_presents_a_service_token() {
    let ana = someone("ana@x.example");
    for rule in [
        json!({ "service_token": { "token_id": "t" } }),
        json!({ "any_valid_service_token": {} }),
    ] {
        for decision in ["allow", "non_identity", "bypass"] {
            let policy = json!([{ "id": "p", "name": "P", "decision": decision, "include": [rule] }]);
            app_check(&app_of(&policy), &json!([]), &ana, Verdict::No);
        }
        let groups = json!([{ "id": "a", "include": [rule] },
            { "id": "b", "include": [{ "everyone": {} }], "exclude": [rule] }]);
        check(&groups, "a", &ana, Verdict::No);
        check(&groups, "b", &ana, Verdict::Yes);
    }
}

#[test]
fn a_login_that_the_application_does_not_allow_never_holds() {
    let ana = someone("ana@x.example");
    let app = |rule: Value, allowed: Value| {
        json!({ "id": "w", "name": "Wiki", "allowed_idps": allowed,
            "policies": [{ "id": "p", "name": "P", "decision": "allow", "include": [rule] }] })
    };
    let method = json!({ "login_method": { "id": "IDP-2" } });
    app_check(
        &app(method.clone(), json!(["idp-1"])),
        &json!([]),
        &ana,
        Verdict::No,
    );
    app_check(
        &app(method.clone(), json!(["idp-1", "idp-2"])),
        &json!([]),
        &ana,
        Verdict::Conditional,
    );
    app_check(&app(method, json!([])), &json!([]), &ana, Verdict::Conditional);
    let group = json!({ "okta": { "name": "eng", "identity_provider_id": "idp-2" } });
    app_check(
        &app(group.clone(), json!(["idp-1"])),
        &json!([]),
        &ana,
        Verdict::No,
    );
    app_check(&app(group, json!(["idp-2"])), &json!([]), &ana, Verdict::Unknown);
    // Without a provider of its own the rule may mean any.
    app_check(
        &app(json!({ "okta": { "name": "eng" } }), json!(["idp-1"])),
        &json!([]),
        &ana,
        Verdict::Unknown,
    );
}

#[test]
fn what_cloudflare_did_not_give_is_unknown_and_says_so() {
    let ana = someone("ana@x.example");
    for app in [
        json!({ "id": "w", "name": "NoKey" }),
        json!({ "id": "w", "name": "Null", "policies": null }),
        json!({ "id": "w", "name": "Odd", "policies": { "id": "p" } }),
    ] {
        let via = app_check(&app, &json!([]), &ana, Verdict::Unknown);
        assert!(
            via[1].starts_with("depends on the policies of the application"),
            "{via:?}"
        );
    }
    let via = app_check(
        &app_of(&json!([{ "id": "p9", "name": "Legacy" }])),
        &json!([]),
        &ana,
        Verdict::Unknown,
    );
    assert_eq!(
        via[2],
        "depends on the policy Legacy, which the application references but the policy list does not contain"
    );
    // A policy that cannot be read may be a bypass: nobody is surely kept out.
    let deny = json!({ "id": "d", "name": "D", "decision": "deny", "include": [{ "everyone": {} }] });
    app_check(&app_of(&json!([deny, "p9"])), &json!([]), &ana, Verdict::Unknown);
    let strange = json!([{ "id": "p", "name": "P", "decision": "ponder", "include": [{ "everyone": {} }] }]);
    let via = app_check(&app_of(&strange), &json!([]), &ana, Verdict::Unknown);
    assert!(via.iter().any(|step| step.contains("\"ponder\"")), "{via:?}");
    let untold = json!([{ "id": "p", "name": "P", "include": [{ "everyone": {} }] }]);
    app_check(&app_of(&untold), &json!([]), &ana, Verdict::Unknown);
    for group in [
        json!([{ "id": "a", "name": "G" }]),
        json!([{ "id": "a", "name": "G", "include": null }]),
        json!([{ "id": "a", "name": "G", "include": {} }]),
        json!([{ "id": "a", "name": "G", "include": [{ "everyone": {} }], "require": "none" }]),
    ] {
        check(&group, "a", &ana, Verdict::Unknown);
    }
    check(
        &json!([{ "id": "a", "include": [{ "everyone": {} }], "require": null }]),
        "a",
        &ana,
        Verdict::Yes,
    );
}

#[test]
fn a_list_that_was_read_in_part_says_yes_and_never_no() {
    let groups = json!([{ "id": "a", "name": "G", "include": [{ "email_list": { "id": "l1" } }] }]);
    let mut account = account(&groups);
    account.add_list(
        "L1",
        ["ana@x.example".to_owned()].into_iter(),
        Some("50 of 144 came"),
    );
    let (ana, ben) = (someone("ana@x.example"), someone("ben@x.example"));
    assert_eq!(
        account.group_verdict(0, &account.visit(&ana, &ana.email)),
        Verdict::Yes
    );
    let visit = account.visit(&ben, &ben.email);
    assert_eq!(account.group_verdict(0, &visit), Verdict::Unknown);
    let via = account.group_via(0, &visit);
    assert_eq!(
        via[1],
        "depends on the email list l1, which is incomplete (50 of 144 came)"
    );
}

#[test]
fn members_that_were_read_in_part_make_absence_unknown() {
    let groups = json!([{ "id": "a", "name": "G", "include": [{ "cloudflare_account_member": {} }] }]);
    let mut account = account(&groups);
    let ben = someone("ben@x.example");
    assert_eq!(
        account.group_verdict(0, &account.visit(&ben, &ben.email)),
        Verdict::No
    );
    account.members_are_partial(0, "20 of 40 came");
    let visit = account.visit(&ben, &ben.email);
    assert_eq!(account.group_verdict(0, &visit), Verdict::Unknown);
    assert!(account.group_via(0, &visit)[1].contains("20 of 40 came"));
}

#[test]
fn both_spellings_of_a_domain_are_one() {
    let (unicode, ascii) = ("bücher.example", "xn--bcher-kva.example");
    let eva = someone("eva@xn--bcher-kva.example");
    for domain in [unicode, ascii, "BÜCHER.example"] {
        let one = |rule: Value| json!([{ "id": "a", "name": "G", "include": [rule] }]);
        let via = check(
            &one(json!({ "email_domain": { "domain": domain } })),
            "a",
            &eva,
            Verdict::Yes,
        );
        assert_eq!(via[1], "domain bücher.example");
        let address = json!({ "email": { "email": format!("Eva@{domain}") } });
        let via = check(&one(address), "a", &eva, Verdict::Yes);
        assert_eq!(via[1], "address eva@bücher.example");
        let mut account = account(&one(json!({ "email_list": { "id": "l" } })));
        account.add_list("l", [domain.to_owned()].into_iter(), None);
        assert_eq!(
            account.group_verdict(0, &account.visit(&eva, &eva.email)),
            Verdict::Yes,
            "{domain}"
        );
    }
}

#[test]
fn a_claim_at_its_limit_or_too_old_shows_no_absence() {
    let groups = |count: usize| -> Vec<String> { (0..count).map(|n| format!("g{n}")).collect() };
    let seen = |kind: &str, count: usize, extra: Value, oldest: DateTime<Utc>| {
        let mut identity = json!({ "idp": { "id": "i", "type": kind }, "iat": 1_790_000_000, "groups": groups(count),
            "saml_attributes": { "team": groups(count) } });
        identity
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let mut ana = someone("ana@x.example");
        ana.users.push(User {
            connection: 0,
            email: "ana@x.example".into(),
            identity: Some(Box::new(Identity::read(&identity, oldest))),
            problem: None,
        });
        ana
    };
    let rule = |kind: &str, key: &str, value: &str| json!([{ "id": "a", "name": "G", "include": [{ kind: { key: value, "identity_provider_id": "i" } }] }]);
    let none = json!({});
    for (provider, kind, key, count, expected) in [
        ("okta", "okta", "name", 99, Verdict::No),
        ("okta", "okta", "name", 100, Verdict::Unknown),
        ("okta", "okta", "name", 101, Verdict::Unknown),
        ("azureAD", "azureAD", "id", 149, Verdict::No),
        ("azureAD", "azureAD", "id", 150, Verdict::Unknown),
        ("azureAD", "azureAD", "id", 200, Verdict::Unknown),
        ("google-apps", "gsuite", "email", 99, Verdict::No),
        ("google-apps", "gsuite", "email", 200, Verdict::Unknown),
    ] {
        let ana = seen(provider, count, none.clone(), long_ago());
        check(&rule(kind, key, "another"), "a", &ana, expected);
        check(&rule(kind, key, "g7"), "a", &ana, Verdict::Yes);
    }
    let saml = json!([{ "id": "a", "name": "G", "include": [{ "saml": { "attribute_name": "team",
        "attribute_value": "another", "identity_provider_id": "i" } }] }]);
    check(
        &saml,
        "a",
        &seen("saml", 149, none.clone(), long_ago()),
        Verdict::No,
    );
    check(
        &saml,
        "a",
        &seen("saml", 150, none.clone(), long_ago()),
        Verdict::Unknown,
    );
    let overage = json!({ "_claim_names": { "groups": "src1" } });
    check(
        &rule("azureAD", "id", "another"),
        "a",
        &seen("azureAD", 0, overage, long_ago()),
        Verdict::Unknown,
    );
    let later = DateTime::from_timestamp(1_790_000_001, 0).unwrap();
    let via = check(
        &rule("okta", "name", "another"),
        "a",
        &seen("okta", 3, none.clone(), later),
        Verdict::Unknown,
    );
    assert!(via[1].contains("last seen 2026"), "{via:?}");
    check(
        &rule("okta", "name", "g1"),
        "a",
        &seen("okta", 3, none, later),
        Verdict::Yes,
    );
}

#[test]
fn an_identity_that_cannot_be_read_is_named() {
    let mut ana = someone("ana@x.example");
    ana.users.push(User {
        connection: 0,
        email: "ana@x.example".into(),
        identity: None,
        problem: Some("answered 500".into()),
    });
    let rule = json!([{ "id": "a", "name": "G", "include": [{ "okta": { "name": "eng" } }] }]);
    let via = check(&rule, "a", &ana, Verdict::Unknown);
    assert!(via[1].contains("answered 500"), "{via:?}");
}

fn any_rule() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({ "everyone": {} })),
        Just(json!({ "email": { "email": "ana@x.example" } })),
        Just(json!({ "email_domain": { "domain": "y.example" } })),
        Just(json!({ "email_list": { "id": "part" } })),
        Just(json!({ "email_list": { "id": "gone" } })),
        Just(json!({ "okta": { "name": "eng" } })),
        Just(json!({ "geo": { "country_code": "PT" } })),
        Just(json!({ "login_method": { "id": "i" } })),
        Just(json!({ "service_token": { "token_id": "t" } })),
        Just(json!({ "cloudflare_account_member": { "account_id": "other" } })),
        Just(json!({ "brand_new": {} })),
        (0..4_u8).prop_map(|n| json!({ "group": { "id": format!("g{n}") } })),
    ]
}

fn any_rules() -> impl Strategy<Value = Value> {
    let list = || prop::collection::vec(any_rule(), 0..3);
    (list(), list(), list()).prop_map(
        |(include, require, exclude)| json!({ "include": include, "require": require, "exclude": exclude }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// An open answer always names what it depends on; a sure one never does.
    #[test]
    fn what_is_open_names_what_it_depends_on(
        groups in prop::collection::vec(any_rules(), 3),
        policies in prop::collection::vec((any_rules(), 0..6_u8, any::<bool>()), 0..4),
    ) {
        let groups: Vec<Value> = groups
            .into_iter()
            .enumerate()
            .map(|(n, mut group)| {
                group["id"] = json!(format!("g{n}"));
                group["name"] = json!(format!("G{n}"));
                group
            })
            .collect();
        let policies: Vec<Value> = policies
            .into_iter()
            .enumerate()
            .map(|(n, (mut policy, decision, approval))| {
                let decision = ["allow", "deny", "bypass", "non_identity", "new", "unread"][usize::from(decision)];
                if decision == "unread" {
                    return json!(format!("p{n}"));
                }
                policy["id"] = json!(format!("p{n}"));
                policy["name"] = json!(format!("P{n}"));
                policy["decision"] = json!(decision);
                policy["approval_required"] = json!(approval);
                policy
            })
            .collect();
        let mut account = account(&json!(groups));
        account.add_list("part", std::iter::empty(), Some("cut"));
        account.add_app(&app_of(&json!(policies)), &HashMap::new());
        let ana = someone("ana@x.example");
        let visit = account.visit(&ana, &ana.email);
        let names = |via: &[String]| via.iter().any(|step| step.starts_with("depends on "));
        for at in 0..account.groups().len() {
            let verdict = account.group_verdict(at, &visit);
            let via = account.group_via(at, &visit);
            prop_assert_eq!(verdict.is_open(), names(&via), "{} {:?}", verdict, via);
        }
        let app = &account.apps()[0];
        let verdict = account.app_verdict(app, &visit);
        let via = account.app_via(app, &visit);
        if verdict != Verdict::No {
            prop_assert_eq!(verdict.is_open(), names(&via), "{} {:?}", verdict, via);
        }
    }
}
