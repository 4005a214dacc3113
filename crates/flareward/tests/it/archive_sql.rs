//! What `flareward archive sql` prints: where the archive is, and never a key.

use crate::program::flareward;
use std::path::Path;
use std::process::Output;

fn printed(folder: &Path, engine: &str, environment: &[(&str, &str)]) -> Output {
    flareward(folder, "")
        .args(["archive", "sql", engine])
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn views_for_duckdb_are_those_of_datasets_with_parts_and_for_others_all() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    for path in [
        "dataset=gateway_dns/date=mixed/hour=mixed/part-1.parquet",
        "dataset=ssh_logs/date=2026-11-27/hour=08/c-1.ndjson.gz",
    ] {
        let path = archive.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let views = |engine| {
        let output = printed(folder.path(), engine, &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        assert!(script.contains(archive.to_str().unwrap()), "{script}");
        script.matches("CREATE OR REPLACE VIEW").count()
    };
    assert_eq!(views("duckdb"), 2);
    assert_eq!(views("clickhouse"), 2 * rules::DATASETS.len());
    assert_eq!(views("trino"), 2 * rules::DATASETS.len());
}

#[test]
fn a_folder_that_is_not_there_is_not_found_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let output = printed(folder.path(), "duckdb", &[]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(!folder.path().join("archive").exists());
}

#[test]
fn no_key_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIAHIDDEN"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_SESSION_TOKEN", "hidden"),
    ];
    for (url, endpoint, is_valid) in [
        ("s3://logs/zt", "", true),
        (
            "r2://logs",
            "https://user:hidden@0a1b.r2.cloudflarestorage.com/?x=hidden",
            true,
        ),
        ("s3://AKIAHIDDEN:hidden@logs/zt", "", false),
        ("s3://logs?secret-access-key=hidden", "", false),
    ] {
        let place = [
            ("FLAREWARD_ARCHIVE_URL", url),
            ("FLAREWARD_ARCHIVE_ENDPOINT", endpoint),
        ];
        for engine in ["clickhouse", "trino"] {
            let output = printed(folder.path(), engine, &[&keys[..], &place[..]].concat());
            assert_eq!(output.status.success(), is_valid, "{}", text(&output.stderr));
            let said = text(&output.stdout) + &text(&output.stderr);
            assert!(!said.to_lowercase().contains("hidden"), "{said}");
        }
    }
}
