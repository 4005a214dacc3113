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
        assert!(before.starts_with("Not known: ben.carter@"), "{before}");
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
                "nobody has the address",
            ),
            (
                "--person ben.carter@tidewater.example --group None",
                "there is no Access group \"None\"",
            ),
            (
                "--person ben.carter@tidewater.example --app Wiki --connection other",
                "there is no connection \"other\"",
            ),
        ] {
            let output = run(
                folder.path(),
                &scratch.address,
                &format!("access explain {arguments}"),
            );
            let problem = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{problem}");
            assert!(
                problem.contains(said) && problem.lines().count() == 1,
                "{problem}"
            );
        }
    }
    sandbox.stop().await;
}
