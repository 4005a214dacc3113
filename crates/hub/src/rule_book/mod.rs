//! The rules, behaviours, parameters and tips that this process works with: those built in, and the organisation's
//! own, from `rules/` in the data folder and from the store.
//!
//! What cannot be honoured is left out and named in [`RuleBook::problems`]; the rest works. Start reading at
//! [`RuleBook::build`].

mod lists;
mod own;
pub mod parameter;

use crate::detection::detector::Detector;
use crate::detection::log_source::runs_on;
use crate::ingest::Dataset;
use model::RiskLevel;
use parameter::Parameters;
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::Value;
use sigma::{
    Collection, CompiledRule, Correlation, Document, Explanation, Level, MAX_DOCUMENT_BYTES, PartOf, Rule,
    parse_documents,
};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

pub use own::{FirstSeen, Own, Travel};

#[derive(RustEmbed)]
#[folder = "../../rules"]
struct SystemRules;

#[derive(RustEmbed)]
#[folder = "../../tips"]
struct SystemTips;

/// Custom rule files that are read. Chosen: more is a mistake.
const CUSTOM_FILES_MAX: usize = 10_000;

/// How deep folders of custom rules are looked through.
const CUSTOM_DEPTH_MAX: usize = 8;

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    System,
    /// The organisation's own.
    Custom,
}

/// What becomes of a rule's matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RuleMode {
    /// They become detections.
    #[default]
    On,
    /// They are counted, and nothing else comes of them.
    Test,
    /// It does not run.
    Off,
}

impl RuleMode {
    /// The word that is stored and served.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Test => "test",
            Self::Off => "off",
        }
    }

    /// The mode of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::On, Self::Test, Self::Off]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// A rule that is reported when it matches: one about single events, or a correlation.
#[derive(Debug, Clone)]
pub struct BookRule {
    /// The rule's own id; its name where it has none.
    pub id: String,
    /// Its short name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it finds, in plain words.
    pub description: String,
    /// How bad a match is.
    pub level: Level,
    /// The dataset that it runs on; several are joined with commas, and `any` is every record.
    pub dataset: String,
    /// ATT&CK and other tags.
    pub tags: Vec<String>,
    /// What else may make it match.
    pub false_positives: Vec<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was written, in its author's spelling.
    pub date: Option<String>,
    /// When it was last changed, in its author's spelling.
    pub modified: Option<String>,
    /// Where more is said.
    pub references: Vec<String>,
    /// What it says beyond Sigma.
    pub own: Own,
    /// Where it comes from.
    pub origin: Origin,
    /// The file or stored document that it stands in.
    pub file: String,
    /// What becomes of its matches.
    pub mode: RuleMode,
    /// What it is in the collection.
    pub source: PartOf,
    /// The rules about single events that it is, or that it looks at the matches of.
    pub bases: Vec<CompiledRule>,
}

impl BookRule {
    /// Why a record makes the rule match or not. Of a correlation, the rule among those it looks at that matches the
    /// record, else the first.
    pub fn explain(&self, record: &Value) -> Explanation {
        let explained = |rule: &CompiledRule| {
            let mut record = record.clone();
            let identity: Vec<String> = runs_on(rule.rule())
                .iter()
                .flat_map(|on| on.dataset.identifier.iter().map(|field| (*field).to_owned()))
                .collect();
            for field in rule.rule().field_names() {
                sigma::add_derived(&mut record, &field, &identity);
            }
            rule.explain(&record)
        };
        let mut all = self.bases.iter().map(explained);
        let first = all.next();
        match first {
            Some(first) if !first.matched => all.find(|other| other.matched).unwrap_or(first),
            Some(first) => first,
            None => Explanation {
                matched: false,
                condition: String::new(),
                selections: Vec::new(),
            },
        }
    }

    /// Whether it looks at several events together.
    pub fn is_stateful(&self) -> bool {
        matches!(self.source, PartOf::Correlation(_))
            || self.own.travel.is_some()
            || self.own.first_seen.is_some()
    }
}

/// A kind of risky conduct.
#[derive(Debug, Clone, Deserialize)]
pub struct Behaviour {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The level that it gives.
    pub risk_level: RiskLevel,
    /// Whether it counts.
    pub enabled: bool,
}

/// The text of a message about a topic.
#[derive(Debug, Clone)]
pub struct Tip {
    /// Its heading.
    pub title: String,
    /// Its text, a template in Markdown.
    pub body: String,
}

/// Documents, lists and modes that the organisation keeps in the store.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Name and text of each rule document.
    pub documents: Vec<(String, String)>,
    /// Lists that it fills in.
    pub parameters: Parameters,
    /// Modes by rule id.
    pub modes: HashMap<String, RuleMode>,
}

/// Everything that detection, risk and coaching look up.
#[derive(Debug)]
pub struct RuleBook {
    rules: Vec<BookRule>,
    by_source: HashMap<PartOf, usize>,
    /// Everything that was read.
    pub collection: Collection,
    /// The rules that run.
    pub detector: Detector,
    /// Behaviours by key.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// Lists that rules refer to.
    pub parameters: Parameters,
    /// Tips by topic.
    pub tips: BTreeMap<String, Tip>,
    /// Files that could not be honoured, each with the reason.
    pub problems: Vec<String>,
}

/// Texts of documents and lists, before they are put together.
#[derive(Debug, Default)]
struct Reading {
    documents: Vec<(String, Document)>,
    origins: HashMap<String, Origin>,
    parameters: Parameters,
    problems: Vec<String>,
}

impl Reading {
    fn document(&mut self, name: &str, text: &str, origin: Origin) {
        self.origins.insert(name.to_owned(), origin);
        match parse_documents(text) {
            Ok(documents) => self
                .documents
                .extend(documents.into_iter().map(|document| (name.to_owned(), document))),
            Err(error) => self.problems.push(format!("{name}: {}", crate::causes(&error))),
        }
    }

    fn parameters(&mut self, name: &str, text: &str) {
        match parameter::read(text) {
            Ok(parameters) => parameter::overlay(&mut self.parameters, parameters),
            Err(problem) => self.problems.push(format!("{name}: {problem}")),
        }
    }

    fn system(&mut self) -> BTreeMap<String, Behaviour> {
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

    fn folder(&mut self, folder: &Path) {
        let mut files = Vec::new();
        if let Err(error) = rule_files(folder, CUSTOM_DEPTH_MAX, &mut files) {
            return self.problems.push(format!("{}: {error}", folder.display()));
        }
        if files.len() > CUSTOM_FILES_MAX {
            self.problems.push(format!(
                "{}: it holds more than {CUSTOM_FILES_MAX} files; the rest is left out",
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

/// Reads a file that may be a rule; one that is far too long is not read whole.
fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(format!("it has more than {MAX_DOCUMENT_BYTES} bytes; split it"));
    }
    String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())
}

impl RuleBook {
    /// The built-in rules, behaviours and tips, and the custom rules of a folder, if it is there.
    pub fn load(custom: Option<&Path>) -> RuleBook {
        Self::build(true, custom, &Stored::default())
    }

    /// Only the rules of a folder, for instance to be run over a file.
    pub fn of_folder(folder: &Path) -> RuleBook {
        Self::build(false, Some(folder), &Stored::default())
    }

    /// Puts together what is built in (if wanted), what a folder holds, and what is stored.
    pub fn build(with_system: bool, custom: Option<&Path>, stored: &Stored) -> RuleBook {
        let mut reading = Reading::default();
        let behaviours = reading.system();
        if !with_system {
            // The lists and behaviours stay: rules of the folder may refer to them.
            reading.documents.clear();
            reading.origins.clear();
        }
        if let Some(folder) = custom.filter(|folder| folder.is_dir()) {
            reading.folder(folder);
        }
        for (name, text) in &stored.documents {
            reading.document(name, text, Origin::Custom);
        }
        parameter::overlay(&mut reading.parameters, stored.parameters.clone());
        let placeholders = parameter::placeholders(&reading.parameters);
        let mut collection = Collection::build(reading.documents, &placeholders);
        let mut problems = reading.problems;
        problems.extend(collection.problems.drain(..).map(|problem| problem.to_string()));
        let mut owns: HashMap<PartOf, Own> = HashMap::new();
        let mut broken = Vec::new();
        for (part, origin, label, custom) in described(&collection) {
            match Own::read(custom) {
                Ok(own) => {
                    owns.insert(part, own);
                }
                Err(problem) => {
                    broken.push(part);
                    problems.push(format!("{origin}: {label}: {problem}"));
                }
            }
        }
        let own_of = |part: PartOf| owns.get(&part).cloned().unwrap_or_default();
        let mut rules = Vec::new();
        let mut by_source = HashMap::new();
        for (part, ..) in described(&collection) {
            let is_reported = match part {
                PartOf::Rule(place) => collection.rules[place].is_reported,
                PartOf::Correlation(place) => collection.correlations[place].is_reported,
            };
            if is_reported && !broken.contains(&part) {
                by_source.insert(part, rules.len());
                rules.push(BookRule::new(
                    &collection,
                    part,
                    own_of(part),
                    &reading.origins,
                    stored,
                ));
            }
        }
        let detector = Detector::new(&collection, &|rule| own_of(PartOf::Rule(rule)), &|part| {
            by_source
                .get(&part)
                .is_some_and(|place: &usize| rules[*place].mode != RuleMode::Off)
        });
        RuleBook {
            rules,
            by_source,
            collection,
            detector,
            behaviours,
            parameters: reading.parameters,
            tips: system_tips(),
            problems,
        }
    }

    /// A detector of one rule alone, whatever its mode.
    pub fn detector_of(&self, rule: &BookRule) -> Detector {
        let own = |place| {
            self.reported(PartOf::Rule(place))
                .map(|rule| rule.own.clone())
                .unwrap_or_default()
        };
        Detector::new(&self.collection, &own, &|part| part == rule.source)
    }

    /// The cases that stand beside a built-in rule's file.
    pub fn system_cases(&self, rule: &BookRule) -> Option<String> {
        let stem = rule.file.strip_suffix(".yml")?;
        let file = SystemRules::get(&format!("{stem}.cases.yml"))?;
        Some(String::from_utf8_lossy(&file.data).into_owned())
    }

    /// All rules that are reported.
    pub fn rules(&self) -> &[BookRule] {
        &self.rules
    }

    /// The rule with this name or id.
    pub fn rule(&self, name: &str) -> Option<&BookRule> {
        self.rules
            .iter()
            .find(|rule| rule.name == name || rule.id == name)
    }

    /// What a rule says that counts the matches of others; nothing of one about single events.
    pub fn correlation(&self, rule: &BookRule) -> Option<&Correlation> {
        match rule.source {
            PartOf::Rule(_) => None,
            PartOf::Correlation(place) => Some(&self.collection.correlations[place].correlation),
        }
    }

    /// The rule that is reported for a rule or correlation of the collection; nothing for one that others look at.
    pub fn reported(&self, source: PartOf) -> Option<&BookRule> {
        self.by_source.get(&source).map(|place| &self.rules[*place])
    }
}

fn system_tips() -> BTreeMap<String, Tip> {
    SystemTips::iter()
        .filter_map(|name| {
            let file = SystemTips::get(&name)?;
            let topic = name.strip_suffix(".md")?.to_owned();
            Some((topic, Tip::read(&String::from_utf8_lossy(&file.data))))
        })
        .collect()
}

type Described<'c> = (PartOf, &'c str, String, &'c serde_json::Map<String, Value>);

/// Everything in a collection: what it is, where it came from, what it is called, and what it says beyond Sigma.
fn described(collection: &Collection) -> Vec<Described<'_>> {
    let rules = collection.rules.iter().enumerate().map(|(place, collected)| {
        let rule = collected.compiled.rule();
        (
            PartOf::Rule(place),
            collected.origin.as_str(),
            rule.label(),
            &rule.custom,
        )
    });
    let correlations = collection
        .correlations
        .iter()
        .enumerate()
        .map(|(place, collected)| {
            let header = &collected.correlation.header;
            (
                PartOf::Correlation(place),
                collected.origin.as_str(),
                header.label(),
                &header.custom,
            )
        });
    rules.chain(correlations).collect()
}

/// The rules about single events at the bottom of a part.
fn bases(collection: &Collection, part: PartOf, found: &mut Vec<usize>) {
    match part {
        PartOf::Rule(place) => {
            if !found.contains(&place) {
                found.push(place);
            }
        }
        PartOf::Correlation(place) => {
            for part in &collection.correlations[place].parts {
                bases(collection, part.of, found);
            }
        }
    }
}

impl BookRule {
    fn new(
        collection: &Collection,
        source: PartOf,
        own: Own,
        origins: &HashMap<String, Origin>,
        stored: &Stored,
    ) -> Self {
        let mut places = Vec::new();
        bases(collection, source, &mut places);
        let bases: Vec<CompiledRule> = places
            .iter()
            .map(|place| collection.rules[*place].compiled.clone())
            .collect();
        let mut datasets: Vec<&str> = Vec::new();
        for base in &bases {
            let on = runs_on(base.rule());
            if on.is_empty() {
                datasets.push("any");
            }
            datasets.extend(on.iter().map(|on| on.dataset.name));
        }
        datasets.sort_unstable();
        datasets.dedup();
        let dataset = if datasets.len() > 5 {
            "any".to_owned()
        } else {
            datasets.join(",")
        };
        macro_rules! from {
            ($header:expr, $file:expr) => {{
                let header = $header;
                let name = header.name.clone().or_else(|| header.id.clone());
                let id = header.id.clone().or_else(|| header.name.clone());
                let id = id.unwrap_or_else(|| header.title.clone());
                BookRule {
                    mode: stored.modes.get(&id).copied().unwrap_or_default(),
                    id,
                    name: name.unwrap_or_else(|| header.title.clone()),
                    title: header.title.clone(),
                    description: header.description.clone().unwrap_or_default(),
                    level: header.level.unwrap_or(Level::Medium),
                    dataset,
                    tags: header.tags.clone(),
                    false_positives: header.falsepositives.clone(),
                    author: header.author.clone(),
                    date: header.date.clone(),
                    modified: header.modified.clone(),
                    references: header.references.clone(),
                    own,
                    origin: origins.get($file).copied().unwrap_or(Origin::Custom),
                    file: $file.clone(),
                    source,
                    bases,
                }
            }};
        }
        match source {
            PartOf::Rule(place) => {
                let collected = &collection.rules[place];
                let rule: &Rule = collected.compiled.rule();
                from!(rule, &collected.origin)
            }
            PartOf::Correlation(place) => {
                let collected = &collection.correlations[place];
                from!(&collected.correlation.header, &collected.origin)
            }
        }
    }

    /// The identity fields of the datasets that the rule runs on.
    pub fn datasets(&self) -> Vec<&'static Dataset> {
        self.dataset.split(',').filter_map(Dataset::named).collect()
    }
}

/// A level in the words that are stored and served.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Informational => "informational",
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
        Level::Critical => "critical",
    }
}

impl Tip {
    fn read(text: &str) -> Tip {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        Tip {
            title: first.trim_start_matches('#').trim().to_owned(),
            body: rest.trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_built_in_is_honoured_and_points_at_something() {
        let book = RuleBook::load(None);
        assert_eq!(book.problems, Vec::<String>::new());
        assert!(book.rules().len() >= 12, "{}", book.rules().len());
        for rule in book.rules() {
            let behaviour = rule.own.behaviour.as_deref().unwrap();
            assert!(
                book.behaviours.contains_key(behaviour),
                "{}: {behaviour}",
                rule.name
            );
            assert!(
                book.tips.contains_key(rule.own.topic.as_deref().unwrap()),
                "{}",
                rule.name
            );
        }
        assert!(book.rule("acc-travel").unwrap().own.travel.is_some());
    }

    #[test]
    fn a_custom_rule_with_a_mistake_is_named_and_the_others_work() {
        let folder = tempfile::tempdir().unwrap();
        let good = "title: Mine\nid: mine\nlogsource: {service: gateway_dns}\n\
                    detection: {a: {QueryName: x.example}, condition: a}\n";
        std::fs::write(folder.path().join("good.yml"), good).unwrap();
        std::fs::write(
            folder.path().join("bad.yml"),
            good.replace("condition: a", "condition: a and"),
        )
        .unwrap();
        let book = RuleBook::load(Some(folder.path()));
        assert_eq!(book.problems.len(), 1, "{:?}", book.problems);
        assert!(book.problems[0].starts_with("bad.yml: "), "{:?}", book.problems);
        assert_eq!(book.rule("mine").unwrap().origin, Origin::Custom);
    }
}
