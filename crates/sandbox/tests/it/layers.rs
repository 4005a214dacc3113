//! The modules of the sandbox build on each other in one direction: state below, handlers above, routing on top.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module to the modules that it names.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The code of each module. The root is left out: it declares modules and shows what is public.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            let module = parts.join("::");
            let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
            if module != "lib" {
                texts.insert(module, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    texts
}

/// Words, `::`, and every other sign by itself, without comments.
fn tokens(text: &str) -> Vec<String> {
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    let mut tokens: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut before = ' ';
        for sign in line.chars() {
            match tokens.last_mut() {
                Some(last) if is_word(sign) && is_word(before) => last.push(sign),
                Some(last) if sign == ':' && last == ":" && before == ':' => last.push(sign),
                _ if sign.is_whitespace() => {}
                _ => tokens.push(sign.to_string()),
            }
            before = sign;
        }
    }
    tokens
}

/// Follows a path, through braces too, and notes each of its ends. Returns the place behind it.
fn follow(tokens: &[String], at: usize, prefix: &[String], ends: &mut Vec<Vec<String>>) -> usize {
    let sign = |at: usize| tokens.get(at).map_or("", String::as_str);
    if sign(at) == "{" {
        let mut at = at + 1;
        while !["}", ""].contains(&sign(at)) {
            at = if sign(at) == "," {
                at + 1
            } else {
                follow(tokens, at, prefix, ends)
            };
        }
        return at + 1;
    }
    let path = [prefix, &[sign(at).to_owned()]].concat();
    if sign(at + 1) == "::" {
        return follow(tokens, at + 2, &path, ends);
    }
    ends.push(path);
    if sign(at + 1) == "as" { at + 3 } else { at + 1 }
}

/// The module that a path leads into; empty for an item that the root shows.
fn target(module: &str, path: &[String], texts: &BTreeMap<String, String>) -> String {
    let mut place: Vec<&str> = match path[0].as_str() {
        "crate" => Vec::new(),
        _ => module.split("::").collect(),
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => {
                place.pop();
            }
            part => {
                place.push(part);
                if !texts.contains_key(&place.join("::")) {
                    place.pop();
                    break;
                }
            }
        }
    }
    place.join("::")
}

/// Which module names which, by `use` or in a path: from `crate`, `super` or `self`, or from a module of its own.
fn graph(texts: &BTreeMap<String, String>) -> Graph {
    let named = |(module, text): (&String, &String)| {
        let tokens = tokens(text);
        let is_child = |word: &str| texts.contains_key(&format!("{module}::{word}"));
        let mut ends = Vec::new();
        for at in 0..tokens.len().saturating_sub(1) {
            let is_first = at == 0 || tokens[at - 1] != "::";
            let word = tokens[at].as_str();
            let begins = ["crate", "super", "self"].contains(&word) || is_child(word);
            if is_first && begins && tokens[at + 1] == "::" {
                follow(&tokens, at, &[], &mut ends);
            }
        }
        let targets = ends.iter().map(|path| target(module, path, texts));
        let others = targets.filter(|target| target != module).collect();
        (module.clone(), others)
    };
    texts.iter().map(named).collect()
}

/// The arrows that are part of a circle, or lie between two circles.
fn circles(mut graph: Graph) -> Vec<String> {
    loop {
        let named: BTreeSet<String> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|module, names| !names.is_empty() && named.contains(module));
        let left: BTreeSet<String> = graph.keys().cloned().collect();
        for names in graph.values_mut() {
            names.retain(|name| left.contains(name));
        }
        if graph.len() == before {
            break;
        }
    }
    graph
        .iter()
        .flat_map(|(module, names)| names.iter().map(move |name| format!("{module} -> {name}")))
        .collect()
}

#[test]
fn no_module_names_one_that_names_it() {
    let texts = sources();
    assert!(texts.contains_key("world") && texts.contains_key("api::members"));
    let graph = graph(&texts);
    let arrows: usize = graph.values().map(BTreeSet::len).sum();
    assert!(arrows > texts.len(), "{arrows} arrows");
    assert!(graph["server"].contains("api") && graph["api"].contains("api::members"));
    let of_root: Vec<&String> = graph
        .iter()
        .filter(|(_, names)| names.contains(""))
        .map(|(module, _)| module)
        .collect();
    assert!(
        of_root.is_empty(),
        "these name an item by the root, not by its module: {of_root:?}"
    );
    let circles = circles(graph);
    assert!(circles.is_empty(), "modules that name each other: {circles:#?}");
}

#[test]
fn the_account_knows_nothing_of_calls() {
    let texts = sources();
    for (module, names) in graph(&texts) {
        let is_state = module == "world" || module.starts_with("world::");
        let above = |name: &&String| {
            ["api", "call", "envelope", "handle", "route", "server", "shared"]
                .iter()
                .any(|above| *name == above || name.starts_with(&format!("{above}::")))
        };
        let above: Vec<&String> = names.iter().filter(above).collect();
        assert!(!is_state || above.is_empty(), "{module} names {above:?}");
    }
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let check = |texts: &[(&str, &str)], expected: &[&str]| {
        let texts = texts
            .iter()
            .map(|(module, text)| ((*module).to_owned(), (*text).to_owned()))
            .collect();
        assert_eq!(circles(graph(&texts)), expected);
    };
    check(&[("a", "use crate::b::B;"), ("b", "// use crate::a::A;")], &[]);
    check(
        &[
            ("a", "use crate::{b::{self, B}, c};"),
            ("b", "fn f() { crate::a::f() }"),
            ("c", ""),
        ],
        &["a -> b", "b -> a"],
    );
    check(
        &[
            ("a", "mod b;\npub use b::B;"),
            ("a::b", "use super::A;"),
            ("c", "use crate::a;"),
        ],
        &["a -> a::b", "a::b -> a"],
    );
}
