//! Tells the program which commit it was built from, for `--version`.
//!
//! `FLAREWARD_COMMIT` says so where the sources are no checkout (a tarball, a container build); else git does, if it
//! tracks this file. Without either, the version stands alone. Runs again when the commit changes, and not otherwise.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FLAREWARD_COMMIT");
    let given = std::env::var("FLAREWARD_COMMIT").ok();
    let commit = given.map(|commit| commit.trim().to_owned()).or_else(from_git);
    let version = env!("CARGO_PKG_VERSION");
    let version = match commit.filter(|commit| !commit.is_empty()) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=FLAREWARD_VERSION={version}");
}

fn from_git() -> Option<String> {
    // Sources that were unpacked inside another project's checkout are not at that project's commit.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // What changes with the commit: where HEAD points, and the branch that it points to. A path that is not there
    // would make every build run this again.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
