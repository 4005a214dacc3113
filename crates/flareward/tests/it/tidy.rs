//! The map in `docs/architecture.md` and the code say the same, and what the documents name is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Crate to the crates of ours that it depends on, from the manifests; tests may depend on more.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let manifest: toml::Table = read(&format!("crates/{name}/Cargo.toml")).parse().unwrap();
        let ours = manifest["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .filter_map(|dependency| Some(dependency.strip_prefix("flareward-")?.to_owned()));
        arrows.insert(name, ours.collect());
    }
    arrows
}

#[test]
fn the_map_has_every_crate_with_its_arrows() {
    let map = read("docs/architecture.md");
    let mut drawn = BTreeMap::new();
    for line in map.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, on, ..] = cells[..] else { continue };
        let on: BTreeSet<String> = on
            .split(',')
            .map(|word| word.trim().trim_matches('`').to_owned())
            .collect();
        let on = on
            .into_iter()
            .filter(|word| !word.is_empty() && word != "–")
            .collect();
        drawn.insert(name.trim_matches('`').to_owned(), on);
    }
    assert_eq!(drawn, arrows());
}

#[test]
fn only_the_store_has_sql() {
    // In `c1z` a database is the form of a file.
    for (name, _) in arrows() {
        let manifest: toml::Table = read(&format!("crates/{name}/Cargo.toml")).parse().unwrap();
        let has_sqlx = manifest["dependencies"].as_table().unwrap().contains_key("sqlx");
        assert_eq!(has_sqlx, ["store", "c1z"].contains(&name.as_str()), "{name}");
    }
}

/// What is told to people is worded by the hub, and where Cloudflare is, its client knows.
#[test]
fn the_store_words_nothing_and_knows_no_address() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("crates/store/src")).unwrap() {
        let path = entry.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if line.contains("summary: format!") || line.contains("cloudflare.com") {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_that_the_documents_name_are_there() {
    let mut missing = Vec::new();
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/security.md",
        "docs/words.md",
    ] {
        let text = read(document);
        let parts = text.split('`').skip(1).step_by(2);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for name in parts.chain(links) {
            let looks_like_a_path = name.contains('/')
                && [
                    "crates/",
                    "docs/",
                    "rules/",
                    "tips/",
                    "scripts/",
                    "tests/",
                    "changelog.d/",
                    ".ci/",
                ]
                .iter()
                .any(|start| name.starts_with(start))
                && !name.contains([' ', '*', '<', '{', '…']);
            if looks_like_a_path && !root().join(name.split('#').next().unwrap()).exists() {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_settings_page_is_what_the_code_says() {
    let is_current = read("docs/settings.md") == hub::settings::reference();
    assert!(is_current, "renew it: flareward settings > docs/settings.md");
}

#[test]
fn the_page_of_posture_checks_is_what_the_catalogue_says() {
    let is_current = read("docs/posture.md") == hub::posture::reference::reference();
    assert!(
        is_current,
        "renew it: flareward posture reference > docs/posture.md"
    );
}

#[test]
fn every_file_begins_by_saying_what_it_is_for() {
    let mut silent = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("node_modules") && !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                if !text.starts_with("//!") {
                    silent.push(path);
                }
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn tests_that_the_page_on_security_names_are_there() {
    let text = read("docs/security.md");
    let is_name = |part: &&str| {
        part.matches('_').count() >= 3
            && part
                .chars()
                .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_')
    };
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(names.len() > 30, "{} names", names.len());
    let mut code = String::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                code.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
