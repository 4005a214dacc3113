//! What commands print and with which code they end.

use crate::program::{connect, flareward, run, sandbox};
use calamine::Reader;
use sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use store::scratch;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_sync_and_lists_work_from_the_command_line_on_both_databases() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let connected = connect(folder.path(), &scratch.address, &sandbox);
        assert_eq!(connected["connection"]["state"], "connected", "{connected}");
        let run = |arguments: &str| {
            let output = run(folder.path(), &scratch.address, arguments);
            assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
            text(&output.stdout)
        };
        let synced: Value = serde_json::from_str(&run("sync -o ndjson")).unwrap();
        assert_eq!(synced["outcome"], "complete", "{synced}");
        let members: Vec<Value> = serde_json::from_str(&run("members list -o json")).unwrap();
        assert_eq!(members.len(), sandbox.world().member_emails().len());
        assert!(
            members.iter().any(|member| member["two_factor"].is_null()),
            "a pending member is unknown"
        );
        let grants = run("grants list --kind access-group -o ndjson");
        for line in grants.lines() {
            let grant: Value = serde_json::from_str(line).unwrap();
            for name in ["person", "email", "group_id", "certainty", "via"] {
                assert!(!grant[name].is_null(), "{name} is missing: {line}");
            }
        }
        assert!(grants.lines().count() > 10);
        assert!(run("people list -o csv").starts_with("email,name,hub_risk_level"));
        assert!(run("rules list").contains("dns-phishing"));
        let members = run("export csv --list members");
        assert!(members.starts_with("connection,email,"));
        assert!(members.lines().next().unwrap().contains("sign_in"), "{members}");
        for (list, kind) in [
            ("apps", "apps"),
            ("policies", "policies"),
            ("identity-providers", "identity_providers"),
            ("service-tokens", "service_tokens"),
            ("account-tokens", "account_tokens"),
            ("user-groups", "user_groups"),
        ] {
            let own = run(&format!("{list} list -o json"));
            assert_eq!(own, run(&format!("objects list --kind {list} -o json")), "{list}");
            let rows: Vec<Value> = serde_json::from_str(&own).unwrap();
            assert!(
                !rows.is_empty() && rows.iter().all(|row| row["kind"] == kind),
                "{own}"
            );
        }
        assert!(run("objects list -o ndjson").contains("\"kind\":\"permission_groups\""));
        let file = folder.path().join("out.csv");
        run(&format!("export csv --list members --file {}", file.display()));
        assert_eq!(std::fs::read_to_string(file).unwrap(), members);
        let answer: Value = serde_json::from_str(&run(
            r#"capability getIPOverview --input {"properties":{"ip":"50.64.49.74"}}"#,
        ))
        .unwrap();
        assert_eq!(answer["eventName"], "continue", "{answer}");
        assert_eq!(answer["output"]["statusCode"], 200);
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lists_are_exported_at_once() {
    const LISTS: [&str; 12] = [
        "people",
        "members",
        "access-users",
        "groups",
        "roles",
        "grants",
        "apps",
        "policies",
        "identity-providers",
        "service-tokens",
        "account-tokens",
        "user-groups",
    ];
    let sandbox = sandbox().await;
    let scratch = scratch::sqlite().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    connect(folder.path(), &scratch.address, &sandbox);
    let run = |arguments: &str| run(folder.path(), &scratch.address, arguments);
    let done = |arguments: &str| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
    };
    done("sync");
    let into = folder.path().join("lists");
    done(&format!("export csv --dir {}", into.display()));
    let file = folder.path().join("all.xlsx");
    done(&format!("export xlsx --list all --file {}", file.display()));
    let mut book: calamine::Xlsx<_> = calamine::open_workbook(&file).unwrap();
    assert_eq!(book.sheet_names(), LISTS);
    for list in LISTS {
        let csv = std::fs::read_to_string(into.join(format!("{list}.csv"))).unwrap();
        let mut lines = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(csv.as_bytes());
        let sheet = book.worksheet_range(list).unwrap();
        assert_eq!(sheet.height(), lines.records().count(), "{list}");
        assert!(sheet.height() > 1, "{list}");
    }
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), LISTS.len());

    let file = folder.path().join("two.xlsx");
    done(&format!(
        "export xlsx --list roles,grants --file {}",
        file.display()
    ));
    let book: calamine::Xlsx<_> = calamine::open_workbook(&file).unwrap();
    assert_eq!(book.sheet_names(), ["roles", "grants"]);

    // Who holds what is what is meant unless a list is named.
    let grants = String::from_utf8(run("export csv").stdout).unwrap();
    assert!(grants.starts_with("email,kind,"), "{grants}");

    for (arguments, code, said) in [
        ("export csv --list all", 1, "--dir FOLDER"),
        ("export xlsx --list members", 1, "--file FILE"),
        ("export xlsx --dir x", 1, "--file FILE"),
        ("export csv --dir x --file y", 2, "cannot be used with"),
        ("members list -o xlsx", 2, "flareward export xlsx --file FILE"),
        (
            "members list -o pdf",
            2,
            "[possible values: table, json, ndjson, csv]",
        ),
    ] {
        let output = run(arguments);
        let problem = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {problem}");
        assert!(problem.contains(said), "{arguments}: {problem}");
        assert_eq!(text(&output.stdout), "");
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_files_become_events_and_bad_lines_are_shown() {
    let sandbox = sandbox().await;
    let scratch = scratch::sqlite().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    connect(folder.path(), &scratch.address, &sandbox);
    assert!(run(folder.path(), &scratch.address, "sync").status.success());
    let file = folder.path().join("dns.ndjson");
    let lines = "{\"Datetime\":\"2026-01-05T10:00:00Z\",\"QueryID\":\"1\",\"Email\":\"Tom.Okafor@tidewater.example\",\
                 \"QueryName\":\"bad.example\",\"QueryCategoryIDs\":[131]}\n{oops\n";
    std::fs::write(&file, lines).unwrap();
    let ingest = format!(
        "ingest {} --connection corp --dataset gateway_dns -o json",
        file.display()
    );
    for expected in ["stored", "duplicate"] {
        let output = run(folder.path(), &scratch.address, &ingest);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer[0]["received"], expected);
    }
    let rejects: Vec<Value> =
        serde_json::from_slice(&run(folder.path(), &scratch.address, "rejects list -o json").stdout).unwrap();
    assert_eq!(rejects.len(), 1);
    assert_eq!(
        (
            &rejects[0]["samples"][0]["line"],
            &rejects[0]["samples"][0]["excerpt"]
        ),
        (&Value::from(2), &Value::from("{oops"))
    );
    let found: Vec<Value> =
        serde_json::from_slice(&run(folder.path(), &scratch.address, "detections list -o json").stdout)
            .unwrap();
    assert_eq!(found.len(), 1);
    let risk: Vec<Value> =
        serde_json::from_slice(&run(folder.path(), &scratch.address, "risk list -o json").stdout).unwrap();
    assert_eq!(risk[0]["email"], "tom.okafor@tidewater.example");

    let reset = run(
        folder.path(),
        &scratch.address,
        "risk reset --person tom.okafor@tidewater.example --reason checked -o json",
    );
    let reset: Value = serde_json::from_slice(&reset.stdout).unwrap();
    assert_eq!(reset["outcome"], "changed");
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_one_clear_line_and_never_the_secret() {
    let sandbox = Sandbox::start(SandboxConfig {
        story: false,
        ..SandboxConfig::default()
    })
    .await
    .unwrap();
    let scratch = scratch::sqlite().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let info = sandbox.info();
    let attempt = |token: &str, account: &str, base_url: &str, allow: &str| {
        let mut child = flareward(folder.path(), &scratch.address)
            .args([
                "connect",
                "--label",
                "corp",
                "--token-file",
                "-",
                "--account",
                account,
                "--base-url",
                base_url,
            ])
            .env("FLAREWARD_EGRESS_ALLOW_HTTP", allow)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let problem = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{problem}");
        let told = problem.lines().filter(|line| line.starts_with("flareward: "));
        assert_eq!(told.count(), 1, "{problem}");
        assert!(
            problem.lines().last().unwrap().starts_with("flareward: "),
            "{problem}"
        );
        assert!(!problem.contains("s3cret"), "{problem}");
        problem
    };
    let id = &info.account_id;
    let url = &info.base_url;
    for (token, account, base_url, allow, expected) in [
        (
            "s3cret-wrong",
            id.as_str(),
            url.as_str(),
            "true",
            "rejected this credential",
        ),
        (
            &info.token,
            "0123456789abcdef0123456789abcdef",
            url,
            "true",
            "cannot access the account \"0123",
        ),
        (
            &info.token,
            "Nobody Ltd",
            url,
            "true",
            "cannot access the account \"Nobody Ltd\"",
        ),
        (&info.token, id, url, "false", "FLAREWARD_EGRESS_ALLOW_HTTP=true"),
        (
            &info.token,
            id,
            "http://127.0.0.1:9/client/v4",
            "true",
            "could not be sent",
        ),
        ("", id, url, "true", "no secret"),
    ] {
        let problem = attempt(token, account, base_url, allow);
        assert!(problem.contains(expected), "{problem}");
    }
    let listed = run(folder.path(), &scratch.address, "sync");
    assert_eq!(listed.status.code(), Some(1));
    assert!(
        text(&listed.stderr).contains("flareward connect"),
        "nothing was kept: {}",
        text(&listed.stderr)
    );
    let unknown = run(folder.path(), &scratch.address, "capability nonsense --input {}");
    assert!(text(&unknown.stderr).contains("getIPOverview"));
    sandbox.stop().await;
}

#[test]
fn a_rule_with_a_mistake_is_refused_with_line_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yml");
    std::fs::write(&file, "title: Bad\nlogsource: {service: gateway_dns}\ndetection:\n  a: {QueryName|nonsense: x}\n  condition: a\n")
        .unwrap();
    let output = run(
        folder.path(),
        "",
        &format!("rules check {} -o json", file.display()),
    );
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = answer[0]["problem"].as_str().unwrap();
    assert!(
        problem.contains("nonsense") && problem.contains("line 4"),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_plays_its_story_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    for seed in ["7", "11"] {
        let output = run(
            folder.path(),
            "",
            &format!("demo --once --seed {seed} --output json"),
        );
        let summary: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
        assert!(output.status.success(), "{summary:#}{}", text(&output.stderr));
        assert!(
            summary["people_at_changed_level"].as_i64().unwrap() >= 6,
            "{summary:#}"
        );
        assert_eq!(summary["missing"], serde_json::json!([]));
        assert_eq!(
            summary["signals"]["delivered"],
            summary["signals"]["accepted_by_receiver"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_syncs_says_what_each_changed() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let info = sandbox.info();
        let connected = flareward(folder.path(), &scratch.address)
            .args(["connect", "--all", "--base-url", &info.base_url, "-o", "json"])
            .env("CLOUDFLARE_API_TOKEN", &info.token)
            .output()
            .unwrap();
        assert!(connected.status.success(), "{}", text(&connected.stderr));
        let connected: Value = serde_json::from_slice(&connected.stdout).unwrap();
        assert_eq!(connected[0]["label"], "tidewater", "{connected}");
        let run = |arguments: &str| {
            let output = run(folder.path(), &scratch.address, arguments);
            assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
            text(&output.stdout)
        };
        run("sync");
        let first: Value = serde_json::from_str(&run("syncs show latest -o json")).unwrap();
        assert_eq!(
            first["changes"],
            serde_json::json!([]),
            "a first reading changes nothing"
        );
        let name = format!("Newcomers of {}", scratch.store.engine_name());
        crate::baton::around(&sandbox, "All staff", &name).await;
        run("sync --fresh");
        let runs: Vec<Value> = serde_json::from_str(&run("syncs list -o json")).unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!(
            (&runs[0]["counts"]["access_groups"]["added"], &runs[0]["outcome"]),
            (&1.into(), &"complete".into())
        );
        let id = runs[0]["id"].as_str().unwrap();
        let shown: Value = serde_json::from_str(&run(&format!("syncs show {id} -o json"))).unwrap();
        let change = &shown["changes"][0];
        assert_eq!(
            (
                &change["change"],
                &change["kind"],
                &change["name_after"],
                &change["name_before"]
            ),
            (
                &"added".into(),
                &"access_groups".into(),
                &name.as_str().into(),
                &Value::Null
            )
        );
        let grants = shown["grant_changes"].as_array().unwrap();
        assert!(grants.len() > 5, "{grants:?}");
        assert!(
            grants
                .iter()
                .all(|grant| grant["before"].is_null() && grant["entitlement_name"] == name.as_str())
        );
        assert!(run("syncs show latest").contains(&name));

        run("connections tag tidewater Prod eu");
        assert!(run("connections list --tag prod").contains("eu; prod"));
        assert!(run("connections list --tag other").contains("No account connected"));
    }
    sandbox.stop().await;
}
