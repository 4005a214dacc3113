//! The commands that the console prints are typed as they are printed, in a folder that has nothing to do with the
//! server's.

use crate::program::{connect, flareward, run, sandbox};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The pages that print commands, when there is something and when there is nothing.
const PAGES: &[&str] = &[
    "/",
    "/people",
    "/posture",
    "/events",
    "/events?dataset=ssh_logs",
    "/logs",
    "/rules",
    "/rules/dns-phishing",
    "/rules/acc-travel",
    "/connections",
    "/groups",
    "/detections",
    "/changes",
    "/deliveries",
    "/rejects",
    "/unmapped",
];

/// A server, its address and a session; killed when it goes out of scope.
struct Console {
    child: Child,
    address: String,
    cookie: String,
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Console {
    async fn start(folder: &Path, data: &str) -> Self {
        let mut child = flareward(&folder.join(data), "")
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(rest) = line.strip_prefix("Flareward serves ") {
                break rest.split(' ').next().unwrap().to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let made = run(&folder.join(data), "", "token create --name tests -o json");
        let token: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = client
            .post(format!("{address}/login"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={}", token["value"].as_str().unwrap()))
            .send()
            .await
            .unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            child,
            address,
            cookie,
        }
    }

    async fn commands(&self) -> BTreeSet<String> {
        let client = reqwest::Client::builder().build().unwrap();
        let mut all = BTreeSet::new();
        for page in PAGES {
            let answer = client
                .get(format!("{}{page}", self.address))
                .header("cookie", &self.cookie)
                .send()
                .await
                .unwrap();
            assert!(answer.status().is_success(), "{page}: {}", answer.status());
            let text = answer.text().await.unwrap();
            for code in text.split("<code>").skip(1) {
                let code = code.split("</code>").next().unwrap();
                let code = code
                    .replace("&#39;", "'")
                    .replace("&#34;", "\"")
                    .replace("&amp;", "&");
                let lines = code.lines().map(str::trim);
                all.extend(
                    lines
                        .filter(|line| line.starts_with("flareward "))
                        .map(str::to_owned),
                );
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_the_console_prints_work_as_printed() {
    let sandbox = sandbox().await;
    let info = sandbox.info();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("with a blank");
    connect(&data, "", &sandbox);
    assert!(run(&data, "", "sync").status.success());
    assert!(matches!(run(&data, "", "posture").status.code(), Some(0 | 3)));
    // Both stay: Cloudflare tries to reach the server before it takes a job.
    let empty = Console::start(folder.path(), "empty").await;
    let mut printed = empty.commands().await;
    let server = Console::start(folder.path(), "with a blank").await;
    printed.extend(server.commands().await);
    assert!(printed.len() > 10, "{printed:#?}");

    let elsewhere = tempfile::tempdir().unwrap();
    let rule = "title: Own\nid: 5d1a1f6e-55c8-4f2e-9f2a-000000000002\nlevel: low\nlogsource: {product: cloudflare, \
                service: gateway_dns}\ndetection:\n  a: {QueryName: a.example}\n  condition: a\n";
    let record = "{\"Datetime\":\"2026-11-20T09:14:05Z\",\"QueryName\":\"a.example\"}\n";
    for (name, text) in [
        ("token.txt", info.token.as_str()),
        ("FILE", rule),
        ("records.ndjson.gz", record),
    ] {
        std::fs::write(elsewhere.path().join(name), text).unwrap();
    }
    let place = Path::new(env!("CARGO_BIN_EXE_flareward")).parent().unwrap();
    // A store is begun before it is read.
    let order = |line: &str| {
        let of = ["connect", "sync"]
            .iter()
            .position(|word| line.starts_with(&format!("flareward {word}")));
        of.unwrap_or(2)
    };
    let mut lines: Vec<&String> = printed.iter().collect();
    lines.sort_by_key(|line| (order(line), (*line).clone()));
    for line in lines {
        if line == "flareward demo" {
            // It runs until it is stopped, and has a test of its own.
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(elsewhere.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", place.display()))
            .env("FLAREWARD_EGRESS_ALLOW_HTTP", "true")
            .env("FLAREWARD_EGRESS_ALLOW_LOOPBACK", "true")
            // How an account is told apart from Cloudflare's own, and which one.
            .env("CLOUDFLARE_BASE_URL", &info.base_url)
            .env("CLOUDFLARE_ACCOUNT_ID", &info.account_id)
            .output()
            .unwrap();
        let told = [&output.stderr[..], &output.stdout[..]]
            .map(String::from_utf8_lossy)
            .concat();
        // 3: a guard refuses what is planned, or posture finds something. Both are answers.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{line}: {told}");
    }
    let made: Vec<_> = std::fs::read_dir(elsewhere.path()).unwrap().collect();
    assert_eq!(
        made.len(),
        3,
        "a command made something where it was typed: {made:?}"
    );
    sandbox.stop().await;
}

/// A member whose name would clear the screen, rename the window and turn the direction of text.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_reaches_no_terminal_and_no_sheet() {
    let sandbox = crate::program::sandbox().await;
    let scratch = store::scratch::sqlite().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hostile = "=\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}nimda\u{200b}";
    sandbox.world().access_group_put(
        hostile,
        serde_json::json!([{ "everyone": {} }]),
        serde_json::json!([]),
        serde_json::json!([]),
    );
    crate::program::connect(folder.path(), &scratch.address, &sandbox);
    let run = |arguments: &[&str]| {
        let output = crate::program::flareward(folder.path(), &scratch.address)
            .args(arguments)
            .output()
            .unwrap();
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    run(&["sync"]);
    let is_odd =
        |sign: char| (sign.is_control() && sign != '\n') || ('\u{200b}'..='\u{206f}').contains(&sign);
    let lists = folder.path().join("lists");
    let (_, said) = run(&["export", "csv", "--dir", lists.to_str().unwrap()]);
    let exported = std::fs::read_to_string(lists.join("groups.csv")).unwrap();
    assert!(
        exported.contains("'=\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\u202enimda\\u200b"),
        "{said}"
    );
    let mut shown = vec![exported];
    for arguments in [
        &["groups", "list"][..],
        &["groups", "list", "-o", "wide"],
        &["groups", "list", "-o", "csv"],
        &["groups", "list", "-o", "json"],
        &["access", "explain", "--person", hostile, "--group", hostile],
        &["grant", hostile, "--group", hostile, "--reason", hostile],
        &[
            "grant", "--person", hostile, "--group", hostile, "--reason", hostile,
        ],
    ] {
        let (out, complaint) = run(arguments);
        shown.extend([out, complaint]);
    }
    for text in &shown {
        assert!(!text.contains(is_odd), "{text:?}");
    }
    assert!(
        shown.iter().filter(|text| text.contains("\\u001b")).count() >= 5,
        "{shown:#?}"
    );
    let groups: Vec<serde_json::Value> = serde_json::from_str(&shown[7]).unwrap();
    assert!(
        groups.iter().any(|group| group["name"] == hostile),
        "JSON has the name as it is"
    );
}
