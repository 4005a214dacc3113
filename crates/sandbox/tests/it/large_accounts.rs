//! Accounts of any size and variety.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;

use crate::client::{Client, config, start_with};

fn varied() -> SandboxConfig {
    SandboxConfig {
        members: 60,
        access_users: 90,
        groups: 120,
        rules_per_group: Some(20),
        apps: Some(40),
        story: false,
        ..config()
    }
}

async fn all(client: &Client, path: &str) -> Vec<Value> {
    let got = client.get(path).await;
    assert!(
        got.body["result_info"]["total_pages"]
            .as_u64()
            .is_none_or(|pages| pages <= 1)
    );
    got.result().as_array().unwrap().clone()
}

fn rules<'a>(holder: &'a Value, list: &str) -> Vec<(&'a str, &'a Value)> {
    let rules = holder[list].as_array().unwrap();
    rules
        .iter()
        .map(|rule| rule.as_object().unwrap().iter().next().unwrap())
        .map(|(kind, inner)| (kind.as_str(), inner))
        .collect()
}

#[tokio::test]
async fn teams_have_about_as_many_rules_as_asked_for_and_every_kind_of_selector() {
    let (_sandbox, client) = start_with(varied()).await;
    let groups = all(&client, "access/groups").await;
    let is_team = |group: &&Value| group["name"].as_str().unwrap().starts_with("Team ");
    let teams: Vec<&Value> = groups.iter().filter(is_team).collect();
    assert_eq!(teams.len(), 109);
    let mut kinds = BTreeMap::<&str, usize>::new();
    for team in &teams {
        let include = rules(team, "include");
        assert!(
            (15..=25).contains(&include.len()),
            "{} has {}",
            team["name"],
            include.len()
        );
        for (kind, _) in include {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let expected = [
        "any_valid_service_token",
        "auth_context",
        "auth_method",
        "azureAD",
        "certificate",
        "cloudflare_account_member",
        "common_name",
        "device_posture",
        "email",
        "email_domain",
        "email_list",
        "everyone",
        "external_evaluation",
        "geo",
        "github-organization",
        "group",
        "gsuite",
        "ip",
        "ip_list",
        "linked_app_token",
        "login_method",
        "oidc",
        "okta",
        "saml",
        "service_token",
        "user_risk_score",
    ];
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), expected);
    assert!(kinds["email"] > 109 * 18 && kinds["everyone"] == 2, "{kinds:?}");
    for list in ["exclude", "require"] {
        assert!(
            teams.iter().any(|team| !rules(team, list).is_empty()),
            "no {list}"
        );
    }
    // Nested groups are earlier ones, so there is no circle.
    let place: BTreeMap<&str, usize> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| (group["id"].as_str().unwrap(), at))
        .collect();
    for (at, group) in groups.iter().enumerate() {
        for (_, inner) in rules(group, "include")
            .iter()
            .filter(|(kind, _)| *kind == "group")
        {
            assert!(place[inner["id"].as_str().unwrap()] < at);
        }
    }
}

#[tokio::test]
async fn teams_name_people_as_real_groups_do() {
    let (sandbox, client) = start_with(varied()).await;
    let groups = all(&client, "access/groups").await;
    let named: HashSet<&str> = groups
        .iter()
        .flat_map(|group| rules(group, "include"))
        .filter(|(kind, _)| *kind == "email")
        .map(|(_, inner)| inner["email"].as_str().unwrap())
        .collect();
    let users: HashSet<String> = sandbox.world().access_user_emails().into_iter().collect();
    let members: HashSet<String> = sandbox.world().member_emails().into_iter().collect();
    assert!(users.iter().all(|email| named.contains(email.as_str())));
    let count = |fits: &dyn Fn(&str, &str) -> bool| {
        named
            .iter()
            .filter(|email| fits(email, &email.to_lowercase()))
            .count()
    };
    let in_lists = |lower: &str| users.contains(lower) || members.contains(lower);
    assert!(count(&|email, lower| email != lower && in_lists(lower)) > 20);
    assert!(count(&|email, lower| members.contains(email) && !users.contains(lower)) > 5);
    assert!(count(&|email, lower| !in_lists(lower) && !members.contains(email)) > 5);
}

#[tokio::test]
async fn what_a_rule_names_is_in_the_account() {
    let (_sandbox, client) = start_with(varied()).await;
    let mut known = BTreeSet::new();
    for path in [
        "access/groups",
        "access/identity_providers",
        "access/service_tokens",
        "gateway/lists",
        "access/apps",
    ] {
        let items = all(&client, path).await;
        known.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
    }
    let groups = all(&client, "access/groups").await;
    let apps = all(&client, "access/apps").await;
    let policies = apps.iter().flat_map(|app| app["policies"].as_array().unwrap());
    for holder in groups.iter().chain(policies) {
        for (kind, inner) in ["include", "exclude", "require"]
            .iter()
            .flat_map(|list| rules(holder, list))
        {
            let id = match kind {
                "group" | "email_list" | "ip_list" | "login_method" => &inner["id"],
                "service_token" => &inner["token_id"],
                "linked_app_token" => &inner["app_uid"],
                _ => &inner["identity_provider_id"],
            };
            if let Some(id) = id.as_str() {
                assert!(known.contains(id), "{kind} names {id}, which is nowhere");
            }
        }
    }
}

#[tokio::test]
async fn generated_applications_have_policies_of_every_decision_in_order() {
    let (_sandbox, client) = start_with(varied()).await;
    let apps = all(&client, "access/apps").await;
    assert_eq!(apps.len(), 40);
    let mut kinds = BTreeSet::new();
    let mut uses = BTreeMap::<String, u64>::new();
    for app in &apps {
        let path = format!("access/apps/{}/policies", app["id"].as_str().unwrap());
        let policies = all(&client, &path).await;
        assert!(!policies.is_empty());
        for (policy, precedence) in policies.iter().zip(1_u64..) {
            assert_eq!(policy["precedence"], precedence);
            let reusable = policy["reusable"].as_bool().unwrap();
            kinds.insert((policy["decision"].as_str().unwrap().to_owned(), reusable));
            if reusable {
                *uses.entry(policy["id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    for decision in ["allow", "deny", "bypass", "non_identity"] {
        assert!(
            kinds.contains(&(decision.to_owned(), false)),
            "{decision} in {kinds:?}"
        );
    }
    assert!(kinds.contains(&("allow".to_owned(), true)));
    for policy in all(&client, "access/policies").await {
        let id = policy["id"].as_str().unwrap();
        assert_eq!(policy["app_count"], uses.get(id).copied().unwrap_or(0));
    }
}

#[tokio::test]
async fn a_size_that_cannot_be_is_refused_in_one_line() {
    for (groups, rules_per_group, apps, why) in [
        (20, Some(0), None, "at least one rule"),
        (2_000, Some(1_000_000), None, "more than 2000000"),
        (20, None, Some(1_000_000), "more than the 20000"),
    ] {
        let asked = SandboxConfig {
            groups,
            rules_per_group,
            apps,
            ..config()
        };
        let error = Sandbox::start(asked).await.unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }
}

/// The times are those of a program that is not optimised, with room for a machine that is busy.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_account_starts_within_seconds_and_answers_fast() {
    let began = Instant::now();
    let (_sandbox, client) = start_with(SandboxConfig {
        members: 25_000,
        access_users: 50_000,
        groups: 2_000,
        rules_per_group: Some(100),
        apps: Some(200),
        ..config()
    })
    .await;
    let started = began.elapsed();
    assert!(started < Duration::from_secs(20), "{started:?}");
    let url = format!("{}/accounts/{}", client.info.base_url, client.info.account_id);
    // Not through the test's own client: holding a page against the description takes longer than the page.
    let raw = async |path: &str| {
        let began = Instant::now();
        let request = client.http.get(format!("{url}/{path}"));
        let answer = request.bearer_auth(&client.info.token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let size = answer.bytes().await.unwrap().len();
        (began.elapsed(), size)
    };
    let mut slow = Vec::new();
    for path in [
        "members?per_page=50&page=499",
        "members?per_page=50&page=499&order=user.email",
        "access/users?page=50",
        "access/users?email=tara.wong",
        "access/groups?page=2",
        "access/groups?per_page=50&page=3",
        "access/apps",
        "access/policies?per_page=50",
    ] {
        let (took, size) = raw(path).await;
        println!("{path}: {took:?}, {size} bytes");
        if took > Duration::from_secs(3) {
            slow.push((path, took));
        }
    }
    println!("started in {started:?}");
    assert!(slow.is_empty(), "{slow:?}");
}
