//! Sources of logs from the command line, beside a running server.

use crate::program::{Server, connect, run, sandbox};
use sandbox::Faults;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use store::scratch;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn rows(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_enabled_shown_and_disabled_and_their_secret_is_never_printed() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let connected = connect(folder.path(), &scratch.address, &sandbox);
        let secret = connected["ingest_secret"].as_str().unwrap();
        let run = |arguments: &str| {
            let output = run(folder.path(), &scratch.address, arguments);
            let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(!printed.contains(secret), "{arguments} prints the log secret");
            output
        };
        let none = run("logs status");
        assert!(
            text(&none.stdout).contains("No log sources"),
            "{}",
            text(&none.stdout)
        );
        // Nothing listens there.
        let refused = run("logs enable --dataset gateway_dns --url http://127.0.0.1:9 -o json");
        assert_eq!(refused.status.code(), Some(1));
        let problem = rows(&refused)[0]["problem"].to_string();
        assert!(
            problem.contains("test upload to http://127.0.0.1:9/ingest/corp/gateway_dns"),
            "{problem}"
        );
        let server = Server::start(folder.path(), &scratch.address);
        let enable = format!("logs enable --url {} -o json", server.address);
        let enabled = run(&enable);
        assert!(enabled.status.success(), "{}", text(&enabled.stderr));
        let made = rows(&enabled);
        assert_eq!(made.len(), 20);
        assert!(made.iter().all(|row| row["outcome"] == "created"), "{made:?}");
        assert!(rows(&run(&enable)).iter().all(|row| row["outcome"] == "already"));
        sandbox.world().story_play_all().await.unwrap();
        let shown = rows(&run("logs status --connection corp --json"));
        assert_eq!(shown.len(), 20);
        let dns = shown.iter().find(|row| row["dataset"] == "gateway_dns").unwrap();
        assert_eq!(
            (&dns["state"], &dns["enabled"]),
            (&Value::from("working"), &Value::from(true))
        );
        for member in [
            "job_id",
            "last_complete_at",
            "last_batch_at",
            "lag_seconds",
            "checked_at",
        ] {
            assert!(!dns[member].is_null(), "{member} is missing: {dns}");
        }
        let table = text(&run("logs status").stdout);
        assert!(
            table.contains("gateway_dns") && table.contains("logpush"),
            "{table}"
        );
        // Without the permission the command says which one, and fails.
        sandbox.world().faults_set(Faults {
            removed_permissions: vec!["Logs Write".to_owned()],
            ..Faults::default()
        });
        let refused = run("logs enable --dataset gateway_dns");
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            text(&refused.stderr).contains("\"Logs Edit\""),
            "{}",
            text(&refused.stderr)
        );
        let shown = rows(&run("logs status --json"));
        assert!(shown.iter().all(|row| row["state"] == "unreadable"), "{shown:?}");
        sandbox.world().faults_clear();
        assert!(
            run("logs disable --dataset gateway_dns --dataset ssh_logs")
                .status
                .success()
        );
        assert_eq!(sandbox.world().logpush_jobs("ssh_logs")[0]["enabled"], false);
        let shown = rows(&run("logs status --stored --json"));
        let dns = shown.iter().find(|row| row["dataset"] == "gateway_dns").unwrap();
        assert_eq!(dns["state"], "off");
        for (arguments, code, said) in [
            (
                "logs enable --dataset gateway_smoke",
                1,
                "available: access_requests",
            ),
            (
                "logs enable --dataset gateway_dns --all",
                2,
                "cannot be used with",
            ),
            (
                "logs enable --dataset risk_score_events",
                1,
                "Cloudflare does not push",
            ),
            ("logs enable --url https://10.0.0.1", 1, "--url"),
            ("logs disable", 2, "--dataset"),
            ("logs pull --dataset gateway_dns", 1, "cannot be pulled"),
            (
                "logs objects --dataset gateway_dns",
                1,
                "no source for gateway_dns",
            ),
            (
                "logs objects --dataset gateway_dns --from gs://x/y",
                1,
                "s3://bucket/path/{DATE}",
            ),
        ] {
            let output = run(arguments);
            let problem = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments}: {problem}");
            assert!(problem.contains(said), "{arguments}: {problem}");
        }
        for dataset in made.iter().map(|row| row["dataset"].as_str().unwrap()) {
            sandbox.world().logpush_remove(dataset);
        }
        server.kill();
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_pulled_and_a_folder_is_read_from_the_command_line() {
    let sandbox = sandbox().await;
    let scratch = scratch::sqlite().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    connect(folder.path(), &scratch.address, &sandbox);
    let run = |arguments: &str| run(folder.path(), &scratch.address, arguments);
    let pulled = run("logs pull -o json");
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    let pulled = rows(&pulled);
    assert_eq!(pulled[0]["dataset"], "access_requests");
    assert!(
        pulled[0]["records"].as_u64().unwrap() > 0 && pulled[0]["new_records"] == pulled[0]["records"],
        "{pulled:?}"
    );
    assert_eq!(rows(&run("logs pull -o json"))[0]["new_records"], 0);
    assert!(!rows(&run("events list --dataset access_requests -o json")).is_empty());

    let bucket = tempfile::tempdir().unwrap();
    let line = "{\"Datetime\":\"2026-01-05T10:00:00Z\",\"QueryID\":\"1\",\"Email\":\"tom.okafor@tidewater.example\"}\n";
    std::fs::create_dir(bucket.path().join("20260105")).unwrap();
    std::fs::write(bucket.path().join("20260105/a.log"), line).unwrap();
    std::fs::write(bucket.path().join("20260105/b.log.gz"), [0x1f, 0x8b, 8, 0, 1]).unwrap();
    let place = format!("file://{}/{{DATE}}", bucket.path().display());
    let objects = format!("logs objects --dataset gateway_dns --from {place} --since 2026-01-05 -o json");
    let read = run(&objects);
    assert_eq!(read.status.code(), Some(1), "one was set aside");
    let report = rows(&read).remove(0);
    assert_eq!(
        (&report["listed"], &report["read"]),
        (&Value::from(2), &Value::from(1))
    );
    assert!(
        report["set_aside"][0]["location"]
            .as_str()
            .unwrap()
            .contains("20260105/b.log.gz")
    );
    let again = run("logs objects --dataset gateway_dns --since 2026-01-05 -o json");
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(rows(&again)[0]["read"], 0);
    let shown = rows(&run("logs status --json"));
    let of = |source: &str| shown.iter().filter(|row| row["source"] == source).count();
    assert_eq!((of("pull"), of("object")), (3, 1));
    assert!(
        run("logs objects --dataset gateway_dns --forget --yes")
            .status
            .success()
    );
    assert_eq!(
        run("logs objects --dataset gateway_dns --forget --yes")
            .status
            .code(),
        Some(5)
    );
    sandbox.stop().await;
}

/// Everything that lies in the archive. Parts have their first and last identifiers in clear.
fn archived(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&archived(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_one_person_are_purged_from_the_command_line() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        let run = |arguments: &str| {
            let output = run(folder.path(), &scratch.address, arguments);
            assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
            output
        };
        run("sync");
        let line = |who: &str, id: u32| {
            json!({ "Datetime": "2026-01-05T10:00:00Z", "QueryID": id.to_string(), "QueryName": "a.example",
                "Email": format!("{who}@tidewater.example") })
        };
        let file = folder.path().join("lookups.ndjson");
        let lines = [line("tom.okafor", 1), line("omar.said", 2), line("tom.okafor", 3)];
        std::fs::write(&file, lines.map(|line| format!("{line}\n")).concat()).unwrap();
        run(&format!("ingest --dataset gateway_dns {}", file.display()));
        let searched = || {
            let found = rows(&run("events search --where QueryName=a.example -o json"));
            let people: Vec<String> = found
                .iter()
                .map(|row| row["identifier"].as_str().unwrap().to_owned())
                .collect();
            people
        };
        assert_eq!(searched().len(), 3);
        let archive = folder.path().join("archive");
        assert!(archived(&archive).contains("tom.okafor@"));
        let purge = |reason: &str| {
            let output = run(&format!(
                "events purge --person tom.okafor@tidewater.example --reason {reason} --yes -o json"
            ));
            let done: Value = serde_json::from_slice(&output.stdout).unwrap();
            ["objects", "records", "events"].map(|member| done[member].as_u64().unwrap())
        };
        assert_eq!(purge("forgotten"), [1, 0, 2]);
        assert_eq!(searched(), ["omar.said@tidewater.example"]);
        let left = archived(&archive);
        assert!(
            !left.contains("tom.okafor") && left.contains("omar.said@"),
            "{left}"
        );
        assert_eq!(purge("again"), [0, 0, 0], "nothing was there");
        assert_eq!(archived(&archive), left);
    }
    sandbox.stop().await;
}
