//! What every command owes whoever types it: an answer in the form that was asked for, a word where there is nothing
//! to answer from, a question before anything is destroyed, and no noise when nobody reads.

use crate::program::{connect, flareward, run, sandbox};
use sandbox::{Faults, Sandbox};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Commands that answer from what is stored, each as it can be typed after a sync.
const READING: &[&str] = &[
    "syncs list",
    "syncs show latest",
    "operations list",
    "connections list",
    "people list",
    "people show omar.said@tidewater.example",
    "people alias list",
    "members list",
    "access-users list",
    "groups list",
    "roles list",
    "apps list",
    "policies list",
    "identity-providers list",
    "service-tokens list",
    "account-tokens list",
    "user-groups list",
    "objects list",
    "grants list",
    "grants timed",
    "changes list",
    "access explain --person omar.said@tidewater.example --group Finance",
    "logs status --stored",
    "detections list",
    "risk list",
    "posture --fail-on none",
    "events list",
    "events search",
    "rejects list",
    "token list",
];

/// Commands that ask or change, none of which may begin a store of its own.
const OTHERS: &[&str] = &[
    "doctor",
    "sync",
    "grant --person a@corp.example --group Finance --plan",
    "revoke --person a@corp.example --group Finance --plan",
    "offboard --person a@corp.example --plan",
    "members remove --person a@corp.example --plan",
    "access-users free-seats --person a@corp.example --plan",
    "changes show x",
    "operations show x",
    "operations cancel x",
    "changes undo x --plan",
    "logs enable",
    "logs disable --dataset gateway_dns",
    "logs pull",
    "logs objects --dataset gateway_dns",
    "ingest --dataset gateway_dns x.ndjson",
    "rules remove x",
    "rules versions x",
    "risk reset --person a@corp.example --reason x",
    "posture mute x --reason x",
    "events replay --since 1d",
    "events purge --person a@corp.example --plan",
    "people alias add b@corp.example --person a@corp.example",
    "people alias remove b@corp.example --plan",
    "connections tag x y",
    "archive sql duckdb",
    "archive sql trino",
    "export csv",
    "capability getIPOverview --input {}",
    "token revoke x --plan",
];

/// Commands that need no data: they answer from the program, or begin a store or a world of their own.
const WITHOUT_DATA: &[&str] = &[
    "demo",
    "serve",
    "sandbox",
    "connect",
    "rules",
    "capabilities",
    "settings",
    "completions",
    "man",
    "help",
];

#[test]
fn every_command_is_in_one_of_the_lists_above() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&run(folder.path(), "", "--help").stdout);
    let commands = help
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("Options:")
        .next()
        .unwrap();
    let named = |lists: &[&[&str]]| -> Vec<String> {
        let all = lists.iter().flat_map(|list| list.iter());
        all.map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let known = named(&[READING, OTHERS, WITHOUT_DATA]);
    for line in commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        let name = line.trim().split(' ').next().unwrap();
        assert!(known.iter().any(|one| one == name), "{name} is in no list");
    }
}

#[test]
fn without_data_a_command_says_where_it_looked_and_makes_nothing() {
    let here = tempfile::tempdir().unwrap();
    for arguments in READING.iter().chain(OTHERS) {
        let output = Command::new(env!("CARGO_BIN_EXE_flareward"))
            .args(arguments.split(' '))
            .env_clear()
            .current_dir(here.path())
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{arguments}: {told}");
        assert!(output.stdout.is_empty(), "{arguments}");
        let folder = here.path().canonicalize().unwrap().join("flareward-data");
        assert!(
            told.contains(&folder.display().to_string()),
            "{arguments}: {told}"
        );
        assert_eq!(
            fs::read_dir(here.path()).unwrap().count(),
            0,
            "{arguments} made something"
        );
    }
    // A folder that someone names, and a database that someone names.
    let elsewhere = run(&here.path().join("none"), "", "people list");
    assert_eq!(elsewhere.status.code(), Some(5));
    let url = format!("sqlite://{}/none.db", here.path().display());
    let no_file = run(here.path(), &url, "people list");
    assert!(
        text(&no_file.stderr).contains("none.db"),
        "{}",
        text(&no_file.stderr)
    );
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}

/// A sandbox that was connected and synced to a folder.
async fn synced() -> (Sandbox, tempfile::TempDir) {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    connect(folder.path(), "", &sandbox);
    assert!(run(folder.path(), "", "sync").status.success());
    (sandbox, folder)
}

/// Something for each list to show.
fn live_in(folder: &Path) {
    let records = folder.join("dns.ndjson");
    fs::write(
        &records,
        "{\"Datetime\":\"2026-11-20T09:14:05Z\",\"Email\":\"omar.said@tidewater.example\",\"QueryName\":\"a.example\",\
         \"QueryCategoryIDs\":[131]}\nnot json\n",
    )
    .unwrap();
    let ingest = format!("ingest --dataset gateway_dns {}", records.display());
    assert!(run(folder, "", &ingest).status.success());
    for arguments in [
        "people alias add omar@home.example --person omar.said@tidewater.example",
        "grant --person omar.said@tidewater.example --group Finance --for 8h --yes",
        "token create --name ci --permission read --expires-in 30d",
    ] {
        let output = run(folder, "", arguments);
        assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_honoured_or_refused_with_words_and_tables_fit_the_screen() {
    let (sandbox, folder) = synced().await;
    live_in(folder.path());
    let plans = [
        "rules list",
        "rules lists",
        "rules test",
        "posture checks",
        "doctor",
        "sync",
        "capabilities manifest",
        "settings",
        "posture reference",
        "completions bash",
        "man",
        "archive sql duckdb",
        "export csv",
        "grant --person noor.aziz@tidewater.example --group Finance --plan",
        "offboard --person mei.tanaka@tidewater.example --plan",
        "events purge --person omar.said@tidewater.example --plan",
        "people alias remove omar@home.example --plan",
        "connections tag corp main",
        "risk reset --person omar.said@tidewater.example --reason x",
        "capability getUserRiskScore --input {\"properties\":{\"email\":\"omar.said@tidewater.example\"}}",
        "events replay --since 1d",
    ];
    for arguments in READING.iter().copied().chain(plans) {
        for form in ["table", "json", "ndjson", "csv"] {
            let output = flareward(folder.path(), "")
                .args(arguments.split(' '))
                .args(["-o", form])
                .output()
                .unwrap();
            let (out, told) = (text(&output.stdout), text(&output.stderr));
            let what = format!("{arguments} -o {form}: {told}");
            if output.status.code() == Some(2) {
                assert!(form != "table", "{what}");
                assert!(out.is_empty() && told.contains("-o"), "{what}");
                continue;
            }
            assert_eq!(output.status.code(), Some(0), "{what}");
            match form {
                "json" => drop(serde_json::from_str::<Value>(&out).expect(&what)),
                "ndjson" => {
                    for line in out.lines() {
                        serde_json::from_str::<Value>(line).expect(&what);
                    }
                }
                "csv" => {
                    let rows = csv::Reader::from_reader(out.as_bytes())
                        .into_records()
                        .collect::<Result<Vec<_>, _>>();
                    rows.expect(&what);
                    assert!(!out.is_empty(), "{what}");
                }
                "table" => assert!(!out.contains(['│', '┆', '╞']), "{what}: {out}"),
                _ => {}
            }
            let is_list = READING.contains(&arguments) && !arguments.starts_with("access explain");
            if form == "table" && is_list {
                let long = out.lines().find(|line| line.chars().count() > 80);
                assert_eq!(long, None, "{what}");
            }
        }
    }
    sandbox.stop().await;
}

/// Runs with the ends of both streams closed, so that the first word meets a reader that has gone.
fn unread(folder: &Path, arguments: &str, streams: [bool; 2]) -> Output {
    let mut command = flareward(folder, "");
    command.args(arguments.split(' ')).env("FLAREWARD_LOG", "trace");
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    command.stdout(if streams[0] { closed() } else { Stdio::piped() });
    command.stderr(if streams[1] { closed() } else { Stdio::piped() });
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure_and_never_a_panic() {
    let (sandbox, folder) = synced().await;
    live_in(folder.path());
    let others = [
        "--help",
        "settings",
        "rules list",
        "rules test",
        "posture checks",
        "posture reference",
        "capabilities manifest",
        "completions zsh",
        "man",
        "archive sql clickhouse",
        "doctor",
        "export csv --list members",
        "grant --person noor.aziz@tidewater.example --group Finance --plan",
        "sync",
    ];
    for arguments in READING.iter().copied().chain(others) {
        // Long lists end, short ones run to their end; the form changes who writes.
        let form = if others.contains(&arguments) {
            ""
        } else {
            " -o ndjson"
        };
        for (arguments, streams) in [
            (arguments.to_owned(), [true, true]),
            (format!("{arguments}{form}"), [true, false]),
        ] {
            let output = unread(folder.path(), &arguments, streams);
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{arguments}: {told}");
            assert!(!told.contains("panicked"), "{arguments}: {told}");
        }
    }
    // What the code says does not depend on who reads.
    for (arguments, code) in [
        ("posture --fail-on low", 3),
        (
            "grant --person elena.rossi@tidewater.example --group All|staff --yes",
            3,
        ),
        ("people show nobody@x.example", 5),
        ("people show", 2),
    ] {
        let mut command = flareward(folder.path(), "");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.args(arguments.split(' ').map(|word| word.replace('|', " ")));
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(code), "{arguments}");
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_unknown_is_not_found_and_a_further_address_is_someone() {
    let (sandbox, folder) = synced().await;
    live_in(folder.path());
    for arguments in [
        "people show WHO",
        "grants list --person WHO",
        "detections list --person WHO",
        "events list --person WHO",
        "events search --person WHO",
        "changes list --person WHO",
        "access explain --person WHO --group Finance",
        "events purge --person WHO --plan",
        "risk reset --person WHO --reason x",
        "offboard --person WHO --plan",
        "grants timed --person WHO",
    ] {
        for nobody in ["nobody@x.example", "01980f3a-0000-7000-8000-000000000000"] {
            let output = run(folder.path(), "", &arguments.replace("WHO", nobody));
            assert_eq!(
                output.status.code(),
                Some(5),
                "{arguments}: {}",
                text(&output.stderr)
            );
            assert!(
                output.stdout.is_empty() && text(&output.stderr).contains(nobody),
                "{arguments}"
            );
        }
        let person: Value =
            serde_json::from_slice(&run(folder.path(), "", "people show omar@home.example -o json").stdout)
                .unwrap();
        let mut answers = Vec::new();
        for known in [
            "Omar.Said@tidewater.example",
            "omar@home.example",
            person["person"]["id"].as_str().unwrap(),
        ] {
            let output = run(
                folder.path(),
                "",
                &format!("{} -o json", arguments.replace("WHO", known)),
            );
            assert_eq!(
                output.status.code(),
                Some(0),
                "{arguments}: {}",
                text(&output.stderr)
            );
            answers.push(text(&output.stdout));
        }
        let is_same = answers.iter().all(|answer| *answer == answers[0]);
        // A reset changes what the next one finds.
        assert!(
            is_same || arguments.starts_with("risk reset"),
            "{arguments}: {answers:?}"
        );
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_destroys_has_a_plan_with_counts_asks_and_takes_yes() {
    let (sandbox, folder) = synced().await;
    live_in(folder.path());
    let rule = folder.path().join("own.yml");
    fs::write(
        &rule,
        "title: Own\nid: 5d1a1f6e-55c8-4f2e-9f2a-000000000001\nlevel: low\nlogsource: {product: cloudflare, service: \
         gateway_dns}\ndetection:\n  a: {QueryName: a.example}\n  condition: a\n",
    )
    .unwrap();
    let run = |arguments: &str| run(folder.path(), "", arguments);
    let added = run(&format!("rules add {}", rule.display()));
    assert!(added.status.success(), "{}", text(&added.stderr));
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket).unwrap();
    let configured = flareward(folder.path(), "")
        .args(["logs", "objects", "--dataset", "gateway_http", "--from"])
        .arg(format!("file://{}/{{DATE}}", bucket.display()))
        .env("FLAREWARD_EGRESS_FILE_FOLDERS", folder.path())
        .output()
        .unwrap();
    let tokens: Value = serde_json::from_slice(&run("token list -o json").stdout).unwrap();
    let token = tokens[0]["id"].as_str().unwrap();
    let mut table = vec![
        "events purge --person omar.said@tidewater.example --reason asked".to_owned(),
        "people alias remove omar@home.example".to_owned(),
        format!("token revoke {token}"),
        "rules remove own.yml".to_owned(),
    ];
    if configured.status.success() {
        table.push("logs objects --dataset gateway_http --forget".to_owned());
    }
    // Each says what it would remove; nobody to ask is a wrong command line; nothing is gone until --yes.
    for arguments in &table {
        let plan = run(&format!("{arguments} --plan -o json"));
        let value: Value = serde_json::from_slice(&plan.stdout).expect(arguments);
        assert_eq!(
            (plan.status.code(), value["outcome"].as_str()),
            (Some(0), Some("planned")),
            "{arguments}"
        );
        let counts = value["counts"].as_object().unwrap();
        assert!(
            !counts.is_empty() && counts.values().all(Value::is_number),
            "{arguments}: {value}"
        );
        let unasked = run(arguments);
        assert_eq!(unasked.status.code(), Some(2), "{arguments}");
        assert!(
            text(&unasked.stderr).contains("--yes"),
            "{arguments}: {}",
            text(&unasked.stderr)
        );
        let again = run(&format!("{arguments} --plan -o json"));
        assert_eq!(again.stdout, plan.stdout, "{arguments} removed something unasked");
    }
    let purge: Value = serde_json::from_slice(&run(&format!("{} --plan -o json", table[0])).stdout).unwrap();
    let counts = &purge["counts"];
    assert_eq!(
        (
            &counts["archived_objects_written_anew"],
            &counts["events_removed"]
        ),
        (&Value::from(1), &Value::from(1)),
        "{purge}"
    );
    for arguments in &table {
        let done = run(&format!("{arguments} --yes -o json"));
        assert_eq!(done.status.code(), Some(0), "{arguments}: {}", text(&done.stderr));
        let value: Value = serde_json::from_slice(&done.stdout).expect(arguments);
        assert_eq!(value["outcome"], "changed", "{arguments}: {value}");
    }
    let left: Value = serde_json::from_slice(
        &run("events purge --person omar.said@tidewater.example --plan -o json").stdout,
    )
    .unwrap();
    assert_eq!(left["counts"]["archived_records_removed"], 0);
    for arguments in &table[1..] {
        let code = run(&format!("{arguments} --yes")).status.code();
        assert_eq!(code, Some(5), "{arguments} is gone");
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_and_waiting_are_told_on_standard_error() {
    let (sandbox, folder) = synced().await;
    sandbox.world().faults_set(Faults {
        rate_limited_for_seconds: Some(3),
        ..Faults::default()
    });
    let output = run(folder.path(), "", "sync -o json");
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("syncing"), "{told}");
    assert!(told.contains("for Cloudflare's rate limit"), "{told}");
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());
    sandbox.stop().await;
}

#[test]
fn the_program_says_its_commit_completes_itself_and_has_man_pages() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &str| run(folder.path(), "", arguments);
    let version = text(&run("--version").stdout);
    assert!(
        version.starts_with(concat!("flareward ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&format!("completions {shell}")).stdout);
        assert!(script.contains("free-seats"), "{shell}");
    }
    let pages = folder.path().join("man");
    let written = run(&format!("man --dir {}", pages.display()));
    assert!(written.status.success(), "{}", text(&written.stderr));
    for page in [
        "flareward.1",
        "flareward-grant.1",
        "flareward-people-alias-remove.1",
    ] {
        let text = fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[test]
fn the_administrators_token_is_in_a_file_of_its_own_and_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.token");
    let mut child = flareward(&folder.path().join("data"), "")
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-token-file"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    while !told.contains("Flareward serves") {
        told.push_str(&lines.next().unwrap().unwrap());
        told.push('\n');
    }
    child.kill().unwrap();
    let printed = text(&child.wait_with_output().unwrap().stdout);
    let token = fs::read_to_string(&file).unwrap();
    assert!(token.starts_with("fw_") && token.ends_with('\n'), "{token}");
    assert!(!told.contains(token.trim()) && !printed.contains(token.trim()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // A file that is there is not written over, and no token is lost to it.
    let taken = flareward(&folder.path().join("other"), "")
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-token-file"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(1), "{}", text(&taken.stderr));
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
}

#[test]
fn an_option_that_a_command_would_ignore_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "demo --once",
        "sandbox",
        "settings",
        "man",
        "capabilities manifest",
        "posture reference",
    ] {
        for option in ["--data-dir x", "--config x.toml"] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_flareward"))
                .current_dir(folder.path())
                .args(command.split(' '))
                .args(option.split(' '))
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {option}: {told}");
            assert!(told.contains("has no effect"), "{command} {option}: {told}");
        }
    }
}
