//! Reads the documents and lists of the book: the built-in ones, and a folder with the organisation's own.
//!
//! Unreadable documents are reported and left out.

use super::parameter::{self, Parameters};
use super::{Behaviour, Origin};
use rust_embed::RustEmbed;
use sigma::{Document, MAX_DOCUMENT_BYTES, parse_each};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

#[derive(RustEmbed)]
#[folder = "../../rules"]
struct SystemRules;

/// The maximum number of custom rule files. Chosen: more is a mistake.
const CUSTOM_FILES_MAX: usize = 10_000;

/// The maximum depth of folders with custom rules.
const CUSTOM_DEPTH_MAX: usize = 8;

/// Texts of documents and lists, before they are combined.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) documents: Vec<(String, Document)>,
    pub(super) origins: HashMap<String, Origin>,
    pub(super) parameters: Parameters,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// The number of the organisation's own documents, valid or not.
    pub(super) read: usize,
}

impl Reading {
    pub(super) fn document(&mut self, name: &str, text: &str, origin: Origin) {
        self.origins.insert(name.to_owned(), origin);
        for read in parse_each(text) {
            self.read += usize::from(origin == Origin::Custom);
            let document = match read {
                Ok(document) => document,
                Err(error) => {
                    self.problems.push(format!("{name}: {error}"));
                    continue;
                }
            };
            let (label, warnings) = match &document {
                Document::Rule(rule) => (rule.label(), &rule.warnings),
                Document::Correlation(one) => (one.header.label(), &one.header.warnings),
                Document::Filter(one) => (one.header.label(), &one.header.warnings),
            };
            let words = warnings
                .iter()
                .map(|warning| format!("{name}: rule {label}: {warning}"));
            self.warnings.extend(words);
            self.documents.push((name.to_owned(), document));
        }
    }

    fn parameters(&mut self, name: &str, text: &str) {
        match parameter::read(text) {
            Ok(parameters) => parameter::overlay(&mut self.parameters, parameters),
            Err(problem) => self.problems.push(format!("{name}: {problem}")),
        }
    }

    pub(super) fn system(&mut self) -> BTreeMap<String, Behaviour> {
        let mut behaviours = BTreeMap::new();
        for name in SystemRules::iter() {
            let Some(file) = SystemRules::get(&name) else {
                continue;
            };
            let text = String::from_utf8_lossy(&file.data);
            match name.as_ref() {
                "behaviours.yml" => match serde_saphyr::from_str(&text) {
                    Ok(read) => behaviours = read,
                    Err(error) => self.problems.push(format!("{name}: {error}")),
                },
                "parameters.yml" => self.parameters(&name, &text),
                _ if is_rule_file(Path::new(name.as_ref())) => {
                    self.document(&name, &text, Origin::System);
                }
                _ => {}
            }
        }
        behaviours
    }

    pub(super) fn folder(&mut self, folder: &Path) {
        let mut files = Vec::new();
        if let Err(error) = rule_files(folder, CUSTOM_DEPTH_MAX, &mut files) {
            return self.problems.push(format!("{}: {error}", folder.display()));
        }
        if files.len() > CUSTOM_FILES_MAX {
            self.problems.push(format!(
                "{}: more than {CUSTOM_FILES_MAX} files; the rest are skipped",
                folder.display()
            ));
            files.truncate(CUSTOM_FILES_MAX);
        }
        for path in files {
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            match read_bounded(&path) {
                Ok(text) if name == "parameters.yml" => self.parameters(&name, &text),
                Ok(text) => self.document(&name, &text, Origin::Custom),
                Err(error) => self.problems.push(format!("{name}: {error}")),
            }
        }
    }
}

fn is_rule_file(path: &Path) -> bool {
    let is_yaml = path
        .extension()
        .is_some_and(|ending| ending == "yml" || ending == "yaml");
    let name = path.to_string_lossy();
    is_yaml && !name.ends_with(".cases.yml") && !name.ends_with(".cases.yaml")
}

fn rule_files(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if found.len() > CUSTOM_FILES_MAX {
            break;
        }
        if path.is_dir() {
            if depth > 0 {
                rule_files(&path, depth - 1, found)?;
            }
        } else if is_rule_file(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads a file that may be a rule. A file that is far too long is not read completely.
fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(format!(
            "the document has more than {MAX_DOCUMENT_BYTES} bytes; split it"
        ));
    }
    String::from_utf8(text).map_err(|_| "the document is not UTF-8".to_owned())
}

/// The cases of a built-in rule's file.
pub(super) fn system_cases(file: &str) -> Option<String> {
    let stem = file.strip_suffix(".yml")?;
    let file = SystemRules::get(&format!("{stem}.cases.yml"))?;
    Some(String::from_utf8_lossy(&file.data).into_owned())
}
