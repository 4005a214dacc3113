//! The walls between the stages: which module of the hub may name which other stage. They meet in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The stages, and the operations that begin what a stage does.
const STAGES: &[&str] = &[
    "baton",
    "capability",
    "coaching",
    "compact",
    "connect",
    "detection",
    "ingest",
    "integration",
    "posture",
    "provisioning",
    "purge",
    "retention",
    "risk",
    "source",
    "sweep",
    "sync",
    "transmit",
];

/// What runs stages, or puts the program together. No stage names any of them.
const ABOVE: &[&str] = &["driver", "stage_health"];

/// What a stage names although it is one, with the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("source", "ingest", "what is pulled is received as what is pushed"),
    (
        "purge",
        "sweep",
        "a purge first looks for objects that the database does not know",
    ),
];

/// What may name stages: it runs them, or shows what they left.
const MAY_NAME_ALL: &[&str] = &["driver", "lib", "sealing_key"];

fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let module = first.trim_end_matches(".rs").to_owned();
            texts
                .entry(module)
                .or_default()
                .push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// The modules of the hub that a text names in its code.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or_default(),
        };
        for name in list.split(',') {
            let name = name.trim().split("::").next().unwrap_or_default();
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn no_stage_names_another() {
    let sources = sources();
    for stage in STAGES.iter().chain(ABOVE) {
        assert!(sources.contains_key(*stage), "there is no module {stage}");
    }
    let mut crossings = BTreeSet::new();
    for (module, text) in &sources {
        if MAY_NAME_ALL.contains(&module.as_str()) {
            continue;
        }
        for name in named(text) {
            let is_stage = STAGES.contains(&name.as_str()) && STAGES.contains(&module.as_str());
            let is_above = ABOVE.contains(&name.as_str()) && STAGES.contains(&module.as_str());
            if name != *module && (is_stage || is_above) {
                crossings.insert((module.clone(), name));
            }
        }
    }
    let allowed: BTreeSet<(String, String)> = ALLOWED
        .iter()
        .map(|(from, to, _)| ((*from).to_owned(), (*to).to_owned()))
        .collect();
    assert_eq!(
        crossings, allowed,
        "left: what the code has; right: what is allowed"
    );
}

#[test]
fn what_all_stages_share_names_none_of_them() {
    let sources = sources();
    for module in [
        "access",
        "app",
        "archive",
        "audit",
        "claim",
        "connection",
        "consumer",
        "egress",
        "journal_words",
        "lease",
        "operation",
        "people",
        "permission",
        "progress",
        "session",
        "slots",
        "wake",
    ] {
        let crossings: Vec<String> = named(&sources[module])
            .into_iter()
            .filter(|name| STAGES.contains(&name.as_str()))
            .collect();
        assert_eq!(crossings, Vec::<String>::new(), "{module}");
    }
}
