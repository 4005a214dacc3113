//! Copies what the console's pages load into the binary, under names that change with the content.
//!
//! Runs `npm ci` in `assets/` when the packages of the lock file are not there. Writes the files and
//! `assets.rs`, a table of them, to the build folder. Start reading at [`main`].

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that is served: the name that templates use, and where it lies below `assets/`.
const CHOSEN: &[(&str, &str)] = &[
    ("console.css", "console.css"),
    ("console.js", "console.js"),
    ("flareward.svg", "flareward.svg"),
    ("parts.css", "parts.css"),
    ("htmx.js", "node_modules/htmx.org/dist/htmx.min.js"),
    ("tabler.css", "node_modules/@tabler/core/dist/css/tabler.min.css"),
    ("theme.js", "theme.js"),
    ("uplot.css", "node_modules/uplot/dist/uPlot.min.css"),
    ("uplot.js", "node_modules/uplot/dist/uPlot.iife.min.js"),
];

/// How a picture inside a style sheet begins. The pages' policy allows no `data:` addresses.
const PICTURE_HEAD: &str = "url(\"data:image/svg+xml,";
const PICTURE_TAIL: &str = "\")";

/// Written by npm last, so its age is the age of the installation.
const INSTALLED: &str = "node_modules/.package-lock.json";

fn main() {
    let assets = folder("CARGO_MANIFEST_DIR").join("assets");
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["package.json", "package-lock.json", INSTALLED] {
        println!("cargo::rerun-if-changed=assets/{name}");
    }
    for (_, place) in CHOSEN
        .iter()
        .filter(|(_, place)| !place.starts_with("node_modules"))
    {
        println!("cargo::rerun-if-changed=assets/{place}");
    }
    install(&assets);
    let mut served = Served {
        out: folder("OUT_DIR"),
        files: BTreeMap::new(),
    };
    for (name, place) in CHOSEN {
        let path = assets.join(place);
        let content =
            std::fs::read(&path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()));
        if name.ends_with(".css") {
            let text = String::from_utf8(content).expect("a style sheet is UTF-8");
            let text = pictures_out(&text, &mut served);
            served.add(name, text.as_bytes());
        } else {
            served.add(name, &content);
        }
    }
    served.write_table();
}

fn folder(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).expect("cargo sets it"))
}

/// Makes sure that the packages of the lock file are there.
fn install(assets: &Path) {
    let changed = |path: PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let installed = changed(assets.join(INSTALLED));
    if installed.is_some() && installed >= changed(assets.join("package-lock.json")) {
        return;
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let command = format!("npm {} (in {})", arguments.join(" "), assets.display());
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    match Command::new(npm).args(arguments).current_dir(assets).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "`{command}` failed, so the console's style sheets and scripts are missing:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!(
            "could not run `{command}`: {error}. The console's style sheets and scripts come from npm: install \
             Node.js 20 or newer, or run the command elsewhere and copy assets/node_modules here"
        ),
    }
}

/// The files made so far, by the name that templates use.
struct Served {
    out: PathBuf,
    files: BTreeMap<String, String>,
}

impl Served {
    /// Writes a file under a name that holds a part of its digest; answers that name.
    fn add(&mut self, name: &str, content: &[u8]) -> String {
        let digest = hex::encode(&Sha256::digest(content)[..6]);
        let (stem, ending) = name.rsplit_once('.').expect("every name has an ending");
        let hashed = format!("{stem}.{digest}.{ending}");
        let path = self.out.join(&hashed);
        std::fs::write(&path, content)
            .unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
        self.files.insert(name.to_owned(), hashed.clone());
        hashed
    }

    fn write_table(&self) {
        let mut table = String::from("&[\n");
        for (name, hashed) in &self.files {
            let kind = match name.rsplit_once('.') {
                Some((_, "css")) => "text/css; charset=utf-8",
                Some((_, "js")) => "text/javascript; charset=utf-8",
                _ => "image/svg+xml",
            };
            let line = format!(
                "    Asset {{ name: {name:?}, path: {:?}, content_type: {kind:?}, \
                 bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), {:?})) }},",
                format!("/assets/{hashed}"),
                format!("/{hashed}"),
            );
            writeln!(table, "{line}").expect("writing to a text cannot fail");
        }
        table.push(']');
        std::fs::write(self.out.join("assets.rs"), table).expect("the build folder can be written to");
    }
}

/// Moves the pictures that a style sheet holds into files beside it.
fn pictures_out(css: &str, served: &mut Served) -> String {
    let mut out = String::with_capacity(css.len());
    let mut rest = css;
    let mut names: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    while let Some((before, after)) = rest.split_once(PICTURE_HEAD) {
        let (picture, after) = after
            .split_once(PICTURE_TAIL)
            .expect("a picture in a style sheet ends");
        let content = percent_decoded(picture);
        let next = names.len();
        let hashed = names
            .entry(content.clone())
            .or_insert_with(|| served.add(&format!("picture-{next}.svg"), &content));
        write!(out, "{before}url(\"{hashed}\")").expect("writing to a text cannot fail");
        rest = after;
    }
    out.push_str(rest);
    assert!(
        !out.contains("url(\"data:") && !out.contains("url(data:"),
        "a picture was left in a style sheet"
    );
    out
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits =
                [bytes.next(), bytes.next()].map(|digit| digit.expect("two digits follow a percent sign"));
            out.extend(hex::decode(digits).expect("two hex digits follow a percent sign"));
        } else {
            out.push(byte);
        }
    }
    out
}
