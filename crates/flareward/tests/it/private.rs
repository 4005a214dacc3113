//! What lies in the data folder is its owner's alone, and what the program needs of it is there or told.
#![cfg(unix)]

use crate::program::{connect, flareward, run, sandbox};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use store::scratch;

/// Everything below a folder, with its permission bits.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = std::fs::metadata(&path).unwrap();
        all.push((path.clone(), about.permissions().mode() & 0o777));
        if about.is_dir() {
            all.extend(modes(&path));
        }
    }
    all
}

/// The same command, run by a shell that lets everyone read what it makes.
fn permissive(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    shell.env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_in_a_folder_that_everyone_may_read_is_private_and_the_folder_is_told() {
    let sandbox = sandbox().await;
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = flareward(&data, "");
        command
            .args(arguments)
            .env("CLOUDFLARE_API_TOKEN", &sandbox.info().token);
        let output = permissive(&command).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let info = sandbox.info();
    run(&[
        "connect",
        "--label",
        "corp",
        "--account",
        &info.account_id,
        "--base-url",
        &info.base_url,
    ]);
    run(&["sync"]);
    let logs = place.path().join("dns.ndjson");
    std::fs::write(
        &logs,
        "{\"Datetime\":\"2026-01-05T10:00:00Z\",\"QueryID\":\"1\"}\n",
    )
    .unwrap();
    run(&[
        "ingest",
        logs.to_str().unwrap(),
        "--connection",
        "corp",
        "--dataset",
        "gateway_dns",
    ]);
    let lists = data.join("lists");
    run(&["export", "csv", "--dir", lists.to_str().unwrap()]);
    run(&[
        "export",
        "xlsx",
        "--file",
        data.join("lists.xlsx").to_str().unwrap(),
    ]);
    let mut command = flareward(&data, "");
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut server = permissive(&command)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(server.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let is_up = line.starts_with("Flareward serves");
        said.push(line);
        if is_up {
            break;
        }
    }
    let all = modes(&data);
    server.kill().unwrap();
    server.wait().unwrap();
    let told = format!("{} (mode 0755): run `chmod -R go= ", data.display());
    assert_eq!(
        said.iter().filter(|line| line.contains(&told)).count(),
        1,
        "{said:?}"
    );
    let files: Vec<&str> = all
        .iter()
        .filter_map(|(path, _)| path.file_name()?.to_str())
        .collect();
    for name in [
        "flareward.db",
        "flareward.db-wal",
        "flareward.db-shm",
        "secret.key",
        "archive",
        "members.csv",
        "lists.xlsx",
    ] {
        assert!(files.contains(&name), "{name}: {files:?}");
    }
    let wide: Vec<_> = all.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(wide.is_empty(), "{wide:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_refuses_a_key_that_is_missing_in_one_line() {
    let sandbox = sandbox().await;
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        std::fs::remove_file(folder.path().join("secret.key")).unwrap();
        for arguments in [
            "people list",
            "sync",
            "serve --listen 127.0.0.1:0",
            "export csv --list members",
        ] {
            let output = run(folder.path(), &scratch.address, arguments);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
            // On a machine that is busy it also says that it is working.
            let errors: Vec<&str> = said
                .lines()
                .filter(|line| line.starts_with("flareward: "))
                .collect();
            assert_eq!(errors.len(), 1, "{arguments}: {said}");
            assert!(
                errors[0].contains("secret.key is missing") && errors[0].contains("restore the file"),
                "{said}"
            );
        }
        assert!(!folder.path().join("secret.key").exists());
    }
}
