//! What members hold and who is a super administrator, case by case.

use super::*;
use serde_json::json;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const SUPER: &str = "Super Administrator - All Privileges";

/// `account`, `zone a`, or an id whose scope nobody says.
fn resources(name: &str) -> Value {
    match name {
        "account" => json!({ "id": "rg", "name": "All", "scope": [{
            "key": format!("com.cloudflare.api.account.{ACCOUNT}"), "objects": [{ "key": "*" }] }] }),
        "named" => json!({ "id": "rg", "name": format!("com.cloudflare.api.account.{ACCOUNT}") }),
        "unknown" => json!({ "id": "rg-unknown" }),
        zone => json!({ "id": zone, "name": format!("zone {zone}"), "scope": {
            "key": format!("com.cloudflare.api.account.zone.{zone}"), "objects": [{ "key": "*" }] } }),
    }
}

fn policy(access: &str, groups: &[&str], over: &[&str]) -> Value {
    let groups: Vec<Value> = groups
        .iter()
        .map(|name| json!({ "id": format!("pg {name}"), "name": name }))
        .collect();
    let over: Vec<Value> = over.iter().map(|name| resources(name)).collect();
    json!({ "id": "p", "access": access, "permission_groups": groups, "resource_groups": over })
}

fn roles(names: &[&str]) -> Vec<Role> {
    names
        .iter()
        .map(|name| (format!("role {name}").into(), (*name).into()))
        .collect()
}

/// A user group: its id, its policies, and its members or why they could not be read.
type Group<'a> = (&'a str, Vec<Value>, Result<&'a [&'a str], &'a str>);

fn dashboard(groups: Vec<Group<'_>>) -> Dashboard {
    let groups = groups.into_iter().map(|(name, policies, members)| UserGroup {
        id: name.into(),
        name: name.into(),
        policies,
        members: members
            .map(|members| members.iter().map(|member| (*member).into()).collect())
            .map_err(str::to_owned),
    });
    Dashboard::new(
        ACCOUNT,
        std::iter::empty(),
        std::iter::empty(),
        groups.collect(),
        None,
    )
}

fn seat<'a>(roles: &'a [Role], policies: &'a [Value]) -> Seat<'a> {
    Seat {
        id: "M1",
        email: "Ana@x.example",
        roles,
        policies,
    }
}

/// What ana holds, one line each.
fn held(of: &Dashboard, roles: &[Role], policies: &[Value]) -> Vec<String> {
    let holdings = of.holdings(seat(roles, policies));
    let mut lines: Vec<String> = holdings
        .roles
        .iter()
        .map(|(_, name)| format!("role {name}"))
        .collect();
    lines.extend(holdings.permits.iter().map(|(permit, through)| {
        let through = match through {
            Through::Own => String::new(),
            Through::UserGroup(name) => format!(" by {name}"),
        };
        format!("{} over {}{through}", permit.label(), permit.reach.words())
    }));
    lines
}

#[test]
fn a_role_and_the_policy_that_mirrors_it_are_one_holding() {
    let of = dashboard(Vec::new());
    for over in ["account", "named"] {
        let (roles, policies) = (roles(&["DNS"]), [policy("allow", &["dns "], &[over])]);
        assert_eq!(held(&of, &roles, &policies), ["role DNS"], "{over}");
        assert_eq!(of.form(&roles, &policies), Form::Roles);
    }
    // Several in one policy, as long as each has its role.
    let two = [policy("allow", &["DNS", "Billing"], &["account"])];
    assert_eq!(of.form(&roles(&["DNS", "Billing"]), &two), Form::Roles);
    assert_eq!(
        held(&of, &roles(&["DNS", "Billing"]), &two),
        ["role DNS", "role Billing"]
    );
}

#[test]
fn how_a_member_holds_is_told_by_what_mirrors_what() {
    let of = dashboard(Vec::new());
    let zone = policy("allow", &["Zone Admin"], &["a"]);
    for (names, policies, form) in [
        (vec!["DNS"], vec![], Form::Roles),
        (vec![], vec![], Form::Roles),
        (vec![], vec![zone.clone()], Form::Policies),
        // Every role is in the policies, which have more.
        (
            vec!["DNS"],
            vec![policy("allow", &["DNS"], &["account"]), zone.clone()],
            Form::Policies,
        ),
        // Every policy is in the roles, which have more.
        (
            vec!["DNS", "Billing"],
            vec![policy("allow", &["DNS"], &["account"])],
            Form::Roles,
        ),
        // Each has what the other has not.
        (vec!["DNS"], vec![zone], Form::Mixed),
        // The same name over less than the account, and a denial, mirror no role.
        (vec!["DNS"], vec![policy("allow", &["DNS"], &["a"])], Form::Mixed),
        (
            vec!["DNS"],
            vec![policy("deny", &["DNS"], &["account"])],
            Form::Mixed,
        ),
    ] {
        assert_eq!(of.form(&roles(&names), &policies), form, "{names:?} {policies:?}");
    }
}

#[test]
fn a_wide_scope_stands_beside_a_narrow_one_whatever_way_it_came() {
    let zone = policy("allow", &["Domain Administrator"], &["a"]);
    let wide = policy("allow", &["Domain Administrator"], &["account"]);
    let both = [
        "Domain Administrator over the whole account",
        "Domain Administrator over zone a",
    ];
    let of = dashboard(Vec::new());
    for policies in [vec![zone.clone(), wide.clone()], vec![wide.clone(), zone.clone()]] {
        assert_eq!(held(&of, &[], &policies), both);
    }
    let one = [policy("allow", &["Domain Administrator"], &["a", "account"])];
    assert_eq!(held(&of, &[], &one), both);
    let of = dashboard(vec![("admins", vec![wide], Ok(&["m1"]))]);
    assert_eq!(
        held(&of, &[], &[zone]),
        [
            "Domain Administrator over zone a",
            "Domain Administrator over the whole account by admins"
        ]
    );
}

#[test]
fn what_a_policy_denies_is_taken_away_from_whatever_gives_it() {
    let denied = policy("deny", &["DNS"], &["account"]);
    let of = dashboard(Vec::new());
    assert!(held(&of, &roles(&["DNS"]), std::slice::from_ref(&denied)).is_empty());
    let given = policy("allow", &["DNS", "Billing"], &["account", "a"]);
    assert_eq!(
        held(&of, &[], &[given.clone(), denied.clone()]),
        ["Billing over the whole account", "Billing over zone a"]
    );
    let of = dashboard(vec![("admins", vec![given], Ok(&["ana@x.example"]))]);
    assert!(
        !held(&of, &[], &[denied])
            .iter()
            .any(|line| line.starts_with("DNS"))
    );
    // A part that is denied is an exception of the whole.
    let part = policy("deny", &["DNS"], &["a"]);
    let holdings = dashboard(Vec::new()).holdings(seat(&roles(&["DNS"]), std::slice::from_ref(&part)));
    assert_eq!(holdings.roles.len(), 1);
    assert_eq!(holdings.exceptions["dns"], ["zone a"]);
}

#[test]
fn a_super_administrator_is_one_by_role_policy_or_user_group() {
    let of = dashboard(Vec::new());
    let standing = |of: &Dashboard, names: &[&str], policies: &[Value]| {
        of.super_administrator(seat(&roles(names), policies))
    };
    let over = |places: &[&str]| vec![policy("allow", &[SUPER], places)];
    assert!(matches!(standing(&of, &[SUPER], &[]), Standing::Yes(_)));
    assert!(matches!(
        standing(&of, &[], &over(&["account"])),
        Standing::Yes(_)
    ));
    assert_eq!(standing(&of, &["Administrator"], &[]), Standing::No);
    // Over one zone it is not everything; over nobody knows what, nobody knows.
    assert_eq!(standing(&of, &[], &over(&["a"])), Standing::No);
    assert!(matches!(
        standing(&of, &[], &over(&["unknown"])),
        Standing::Unknown(_)
    ));
    assert!(matches!(standing(&of, &[], &over(&[])), Standing::Unknown(_)));
    // A permission group whose name nobody says may be this one.
    let unnamed = json!({ "access": "allow", "permission_groups": [{ "id": "x" }], "resource_groups": [resources("account")] });
    assert!(matches!(
        standing(&of, &[], std::slice::from_ref(&unnamed)),
        Standing::Unknown(_)
    ));
    let named = Dashboard::new(
        ACCOUNT,
        std::iter::empty(),
        [("x".to_owned(), SUPER.to_owned())].into_iter(),
        Vec::new(),
        None,
    );
    assert!(matches!(standing(&named, &[], &[unnamed]), Standing::Yes(_)));
    // What is denied is gone.
    let denied = policy("deny", &[SUPER], &["account"]);
    assert_eq!(
        standing(&of, &[SUPER], std::slice::from_ref(&denied)),
        Standing::No
    );
    for members in [&["m1"][..], &["ana@x.example"][..]] {
        let of = dashboard(vec![("roots", over(&["account"]), Ok(members))]);
        assert_eq!(
            standing(&of, &[], &[]),
            Standing::Yes("the user group roots".to_owned())
        );
    }
    let of = dashboard(vec![("roots", over(&["account"]), Ok(&["m2"]))]);
    assert_eq!(standing(&of, &[], &[]), Standing::No);
    let of = dashboard(vec![("roots", over(&["account"]), Err("answered 500"))]);
    assert!(matches!(standing(&of, &[], &[]), Standing::Unknown(why) if why.contains("answered 500")));
    // Who is in a group that gives nothing of the kind does not matter.
    let of = dashboard(vec![(
        "writers",
        vec![policy("allow", &["DNS"], &["account"])],
        Err("answered 500"),
    )]);
    assert_eq!(standing(&of, &[], &[]), Standing::No);
    let of = dashboard(Vec::new()).with_user_groups(Err("answered 403".to_owned()));
    assert!(matches!(
        standing(&of, &["Administrator"], &[]),
        Standing::Unknown(_)
    ));
    assert!(matches!(standing(&of, &[SUPER], &[]), Standing::Yes(_)));
}
