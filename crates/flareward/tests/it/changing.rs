//! Changing access from the command line: what is printed, with which code it ends, and two processes at once.

use crate::program::{connect, flareward, run, sandbox};
use sandbox::{Faults, Sandbox, SandboxConfig};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use store::scratch;

/// Runs a command that prints JSON; answers its exit code and what it printed.
fn asked(folder: &Path, store_url: &str, arguments: &str) -> (i32, Value) {
    let output = run(folder, store_url, arguments);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let told = String::from_utf8_lossy(&output.stderr);
        panic!("{arguments}: {error}: {told}")
    });
    (output.status.code().unwrap(), value)
}

fn begun(folder: &Path, store_url: &str, arguments: &str) -> Child {
    let mut command = flareward(folder, store_url);
    command.args(arguments.split_whitespace());
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn has(sandbox: &Sandbox, group: &str, email: &str) -> bool {
    let group = sandbox.world().access_group(group).unwrap();
    group["include"]
        .as_array()
        .unwrap()
        .iter()
        .any(|rule| rule["email"]["email"] == email)
}

#[tokio::test(flavor = "multi_thread")]
async fn grant_and_revoke_say_what_became_of_it_in_word_and_code() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        let asked = |arguments: &str| asked(folder.path(), &scratch.address, arguments);
        run(folder.path(), &scratch.address, "sync");
        let who = "--person omar.said@tidewater.example --group Finance -o json";
        let (code, plan) = asked(&format!("grant {who} --plan"));
        assert_eq!(
            (code, plan["plan"]["step"]["verdict"].as_str()),
            (0, Some("write")),
            "{plan}"
        );
        assert!(!has(&sandbox, "Finance", "omar.said@tidewater.example"));
        let (code, made) = asked(&format!("grant {who} --yes"));
        assert_eq!((code, made["outcome"].as_str()), (0, Some("changed")), "{made}");
        assert!(has(&sandbox, "Finance", "omar.said@tidewater.example"));
        let (code, again) = asked(&format!("grant {who} --yes"));
        assert_eq!((code, again["outcome"].as_str()), (0, Some("already")), "{again}");
        assert!(again["reason"].is_string());
        let (code, taken) = asked(&format!("revoke {who} --yes"));
        assert_eq!((code, taken["outcome"].as_str()), (0, Some("changed")), "{taken}");
        let void = "grant --person elena.rossi@tidewater.example --group Staff?";
        let void = void.replace(
            "Staff?",
            sandbox.world().access_group("All staff").unwrap()["id"]
                .as_str()
                .unwrap(),
        );
        let (code, refused) = asked(&format!("{void} --yes -o json"));
        assert_eq!(
            (code, refused["outcome"].as_str()),
            (3, Some("refused")),
            "{refused}"
        );
        sandbox.world().writes_ignore(100);
        let (code, unverified) = asked(&format!("grant {who} --yes"));
        assert_eq!(
            (code, unverified["outcome"].as_str()),
            (4, Some("unverified")),
            "{unverified}"
        );
        sandbox.world().faults_clear();
        // Nobody to ask: nothing is changed.
        let output = run(folder.path(), &scratch.address, &format!("grant {who}"));
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--yes"));
        let (_, timed) = asked(&format!("grant {who} --yes --for 8h"));
        assert!(timed["expires_at"].is_string(), "{timed}");
        let (_, listed) = asked("grants timed -o json");
        assert_eq!(listed[0]["state"], "active");
        asked(&format!("revoke {who} --yes"));
        let (_, changes) = asked("changes list -o json");
        let outcomes: Vec<&str> = changes
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|change| change["outcome"].as_str())
            .collect();
        for outcome in ["changed", "already", "refused", "unverified"] {
            assert!(outcomes.contains(&outcome), "{outcomes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_grants_from_two_processes_both_take_effect() {
    let sandbox = sandbox().await;
    let emails = ["omar.said@tidewater.example", "noor.aziz@tidewater.example"];
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        run(folder.path(), &scratch.address, "sync");
        sandbox.world().faults_set(Faults {
            latency_ms: 150,
            ..Faults::default()
        });
        let children = emails.map(|email| {
            let arguments = format!("grant --person {email} --group Finance --yes -o json");
            begun(folder.path(), &scratch.address, &arguments)
        });
        for child in children {
            let output = child.wait_with_output().unwrap();
            let made: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(made["outcome"], "changed", "{made}");
        }
        sandbox.world().faults_clear();
        for email in emails {
            assert!(has(&sandbox, "Finance", email), "{email} was lost");
            let arguments = format!("revoke --person {email} --group Finance --yes -o json");
            assert_eq!(asked(folder.path(), &scratch.address, &arguments).0, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_is_killed_is_gone_on_with() {
    let sandbox = Sandbox::start(SandboxConfig {
        members: 600,
        access_users: 50,
        groups: 5,
        story: false,
        ..SandboxConfig::default()
    })
    .await
    .unwrap();
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        sandbox.world().faults_set(Faults {
            latency_ms: 100,
            ..Faults::default()
        });
        let pages = || -> u64 {
            let requests = sandbox.world().requests();
            let of_members = requests.iter().filter(|(call, _)| call.ends_with("/members"));
            of_members.map(|(_, count)| *count).sum()
        };
        let before = pages();
        let mut child = begun(folder.path(), &scratch.address, "sync");
        let begun_at = Instant::now();
        // Four of twelve pages are stored for certain once a ninth is asked for: four are asked for at once.
        while pages() - before < 9 {
            assert!(
                begun_at.elapsed() < Duration::from_secs(60),
                "the sync never came that far"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.world().faults_clear();
        let at_the_kill = pages();
        let (code, synced) = asked(folder.path(), &scratch.address, "sync -o json");
        assert_eq!(
            (code, synced[0]["outcome"].as_str()),
            (0, Some("complete")),
            "{synced}"
        );
        assert_eq!(synced[0]["attempts"], 2);
        assert_eq!(synced[0]["counts"]["members"]["seen"], 600);
        assert!(pages() - at_the_kill <= 10, "it began anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_that_does_not_end_ends_the_change_and_leaves_nothing_half_done() {
    let sandbox = sandbox().await;
    let scratch = scratch::sqlite().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    connect(folder.path(), &scratch.address, &sandbox);
    run(folder.path(), &scratch.address, "sync");
    sandbox.world().faults_set(Faults {
        rate_limited_for_seconds: Some(600),
        ..Faults::default()
    });
    let arguments = "grant --person omar.said@tidewater.example --group Finance --yes -o json";
    let (code, refused) = asked(folder.path(), &scratch.address, arguments);
    assert_eq!(
        (code, refused["guard"].as_str()),
        (3, Some("rate_limited")),
        "{refused}"
    );
    assert!(!has(&sandbox, "Finance", "omar.said@tidewater.example"));
}
