//! Whether one person has one thing, and why, from the command line.

use crate::program::{connect, run, sandbox};
use serde_json::Value;
use store::scratch;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_what_the_list_of_grants_says_on_both_databases() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        let ask = |arguments: &[&str]| {
            crate::program::flareward(folder.path(), &scratch.address)
                .args(arguments)
                .output()
                .unwrap()
        };
        let synced = run(folder.path(), &scratch.address, "sync");
        assert!(synced.status.success(), "{}", text(&synced.stderr));
        let grants = ask(&[
            "grants",
            "list",
            "--person",
            "ben.carter@tidewater.example",
            "-o",
            "ndjson",
        ]);
        let mut kinds = 0;
        for line in text(&grants.stdout).lines() {
            let grant: Value = serde_json::from_str(line).unwrap();
            let (flag, name) = match grant["kind"].as_str().unwrap() {
                "access-group" => ("--group", "group_id"),
                "role" => ("--role", "role_id"),
                _ => continue,
            };
            kinds += 1;
            let id = grant[name].as_str().unwrap();
            let said = ask(&[
                "access",
                "explain",
                "--person",
                "Ben.Carter@tidewater.example",
                flag,
                id,
                "-o",
                "json",
            ]);
            assert!(said.status.success(), "{}", text(&said.stderr));
            let said: Value = serde_json::from_slice(&said.stdout).unwrap();
            for key in ["person", "email", "group", name, "certainty", "via", "connection"] {
                assert_eq!(said[key], grant[key], "{key}: {said:#}");
            }
            assert_eq!(said["access"], grant["certainty"]);
        }
        assert!(kinds > 5, "{kinds}");

        let no = ask(&[
            "access",
            "explain",
            "--person",
            "ben.carter@tidewater.example",
            "--group",
            "Administrators",
            "-o",
            "json",
        ]);
        assert_eq!(no.status.code(), Some(0), "{}", text(&no.stderr));
        let no: Value = serde_json::from_slice(&no.stdout).unwrap();
        assert_eq!((&no["access"], &no["certainty"]), (&"no".into(), &Value::Null));
        assert!(no["why_not"].is_string(), "{no:#}");

        // What the identity provider says is read when asked for, and then decides.
        let engineering = [
            "access",
            "explain",
            "--person",
            "ben.carter@tidewater.example",
            "--group",
            "Engineering",
        ];
        let before = text(&ask(&engineering).stdout);
        assert!(before.starts_with("Unknown: ben.carter@"), "{before}");
        assert!(before.contains("Depends on:\n  group engineering"), "{before}");
        let mut refresh = engineering.to_vec();
        refresh.push("--refresh");
        let after = text(&ask(&refresh).stdout);
        assert!(
            after.starts_with("Yes: ") || after.starts_with("No: "),
            "still open: {after}"
        );

        for (arguments, said) in [
            (
                "--person nobody@x.example --group Engineering",
                "no person with address or ID",
            ),
            (
                "--person ben.carter@tidewater.example --group None",
                "no Access group named \"None\"",
            ),
            (
                "--person ben.carter@tidewater.example --app Wiki --connection other",
                "no connection named \"other\"",
            ),
        ] {
            let output = run(
                folder.path(),
                &scratch.address,
                &format!("access explain {arguments}"),
            );
            let problem = text(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{problem}");
            // A command that takes long also says that it is at work.
            let errors: Vec<&str> = problem
                .lines()
                .filter(|line| line.starts_with("flareward: "))
                .collect();
            assert!(
                matches!(errors.as_slice(), [only] if only.contains(said)),
                "{problem}"
            );
        }
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_is_shown_with_everything_and_aliases_come_from_a_file() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        let run = |arguments: &str| run(folder.path(), &scratch.address, arguments);
        assert!(run("sync").status.success());
        let show = "people show alex.reid@tidewater.example -o json";
        let before: Value = serde_json::from_slice(&run(show).stdout).unwrap();
        assert_eq!(before["details"], serde_json::json!([]), "nothing was read yet");
        let after: Value = serde_json::from_slice(&run(&format!("{show} --refresh")).stdout).unwrap();
        for name in ["read_at", "provider", "last_seen_at"] {
            assert!(after["details"][0][name].is_string(), "{name}: {after:#}");
        }
        assert!(!after["details"][0]["sessions"].as_array().unwrap().is_empty());
        assert!(!after["details"][0]["devices"].as_array().unwrap().is_empty());
        assert!(
            after["apps"]
                .as_array()
                .unwrap()
                .iter()
                .any(|app| app["entitlement_name"] == "Wiki"),
            "{after:#}"
        );
        let member = &after["members"][0];
        assert_eq!(
            (&member["two_factor"], &member["sign_in"]),
            (&true.into(), &"password".into())
        );
        assert!(!member["user_groups"].as_array().unwrap().is_empty(), "{member}");

        let file = folder.path().join("aliases.csv");
        let import = |text: &str, more: &str| {
            std::fs::write(&file, text).unwrap();
            run(&format!("people alias import {}{more}", file.display()))
        };
        let bad = import(
            "email,alias\nalex.reid@tidewater.example,alex@home.example\nnobody@x.example,a@x.example\n\
             alex.reid@tidewater.example,ben.carter@tidewater.example\n",
            "",
        );
        let said = text(&bad.stderr);
        assert_eq!(bad.status.code(), Some(1), "{said}");
        assert!(
            said.contains("line 3: no person with") && said.contains("line 4: "),
            "{said}"
        );
        assert!(
            said.contains("--merge") && said.contains("nothing was imported"),
            "{said}"
        );
        assert!(text(&run("people alias list").stdout).contains("No aliases"));
        let good = import("alias,email\nAlex@home.example,alex.reid@tidewater.example\n", "");
        assert!(good.status.success(), "{}", text(&good.stderr));
        let list = text(&run("people alias list -o csv").stdout);
        assert!(
            list.contains("alex@home.example,alex.reid@tidewater.example,csv"),
            "{list}"
        );
        assert!(run("people show alex@home.example").status.success());
        let remove = "people alias remove alex@home.example --yes";
        assert!(run(remove).status.success());
        assert_eq!(run(remove).status.code(), Some(5));
    }
    sandbox.stop().await;
}
