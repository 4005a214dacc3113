//! `flareward posture`: what it lists, and with which code it ends.

use crate::program::{connect, run, sandbox};
use serde_json::Value;
use store::scratch;

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_whether_something_severe_is_open() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let ends = |arguments: &str| {
            let output = run(folder.path(), &scratch.address, arguments);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let rows = |arguments: &str| -> (Option<i32>, Vec<Value>) {
            let (code, out, problem) = ends(arguments);
            let rows = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{problem}"));
            (code, rows)
        };
        let (code, _, problem) = ends("posture");
        assert_eq!(code, Some(1), "{problem}");
        assert!(problem.contains("flareward connect"), "{problem}");

        connect(folder.path(), &scratch.address, &sandbox);
        // Nothing was read: nothing is open and nothing is silent.
        let (code, before) = rows("posture -o json");
        assert_eq!(code, Some(0));
        let unknown = before.iter().filter(|row| row["verdict"] == "unknown");
        assert!(unknown.count() > 20 && before.iter().all(|row| row["verdict"] == "unknown"));

        assert_eq!(ends("sync").0, Some(0));
        let (code, found) = rows("posture -o json");
        assert_eq!(code, Some(3));
        let factor: Vec<&Value> = found
            .iter()
            .filter(|row| row["check_id"] == "member_2fa_off")
            .collect();
        assert!(!factor.is_empty());
        for name in [
            "id",
            "subject_name",
            "evidence",
            "remedy",
            "question",
            "first_seen_at",
        ] {
            assert!(!factor[0][name].is_null(), "{name}: {}", factor[0]);
        }
        let inactive = found
            .iter()
            .find(|row| row["check_id"] == "member_inactive_90d")
            .unwrap();
        assert_eq!(inactive["verdict"], "unknown");
        assert!(
            inactive["unknown_reason"].as_str().unwrap().contains("audit log"),
            "{inactive}"
        );

        // The worst comes first; a filter filters what counts, too.
        assert_eq!(found[0]["severity"], "critical");
        assert_eq!(rows("posture --fail-on none -o json").0, Some(0));
        assert_eq!(rows("posture --check group_unused -o json").0, Some(0));
        assert_eq!(
            rows("posture --check group_unused --fail-on medium -o json").0,
            Some(3)
        );
        let (_, critical) = rows("posture --severity critical -o json");
        assert!(critical.iter().all(|row| row["severity"] == "critical"));
        let (_, table, _) = ends("posture");
        assert!(
            table.contains("Unknown:") && table.contains("member_inactive_90d"),
            "{table}"
        );

        // What is muted fails nothing, and is shown when all is asked for.
        for row in &factor {
            let id = row["id"].as_str().unwrap();
            let (code, out, problem) =
                ends(&format!("posture mute {id} --reason accepted --for 30d -o json"));
            assert_eq!(code, Some(0), "{problem}");
            let muted: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(muted["state"], "muted");
            assert!(muted["muted_until"].is_string(), "{muted}");
        }
        assert_eq!(
            rows("posture --check member_2fa_off -o json"),
            (Some(0), Vec::new())
        );
        let (_, all) = rows("posture --check member_2fa_off --all -o json");
        assert_eq!(all.len(), factor.len());
        let id = factor[0]["id"].as_str().unwrap();
        let (_, opened, _) = ends(&format!("posture unmute {id} -o json"));
        assert_eq!(
            serde_json::from_str::<Value>(&opened).unwrap()["outcome"],
            "changed"
        );
        let (_, opened, _) = ends(&format!("posture unmute {id} -o json"));
        assert_eq!(
            serde_json::from_str::<Value>(&opened).unwrap()["outcome"],
            "already"
        );
        assert_eq!(rows("posture --check member_2fa_off -o json").0, Some(3));

        for (arguments, code, words) in [
            ("posture mute none --reason x", 5, "no finding with ID \"none\""),
            ("posture unmute none", 5, "no finding with ID \"none\""),
            ("posture --connection none", 5, "no connection named \"none\""),
            ("posture --check none", 2, "flareward posture checks"),
            ("posture --severity bad", 2, "low, medium, high, critical"),
            ("posture --fail-on bad", 2, "none"),
            (
                &format!("posture mute {id} --reason x --until soon"),
                2,
                "2026-12-31",
            ),
            (
                &format!("posture mute {id} --reason x --until 2020-01-01"),
                1,
                "in the future",
            ),
        ] {
            let (ended, _, problem) = ends(arguments);
            assert_eq!(ended, Some(code), "{arguments}: {problem}");
            assert!(problem.contains(words), "{arguments}: {problem}");
        }
        let (code, csv, _) = ends("posture -o csv");
        assert_eq!(code, Some(3));
        assert!(csv.starts_with("verdict,state,severity,check,"), "{csv}");
        assert!(csv.contains("\nunknown,"), "{csv}");
    }
    sandbox.stop().await;
}

#[test]
fn the_catalogue_is_listed_without_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        "sqlite:///nowhere/at/all.db",
        "posture checks -o json",
    );
    assert!(output.status.success());
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checks.len(), hub::posture::catalogue().count());
}
