//! What an organisation says about rules: which run, its own documents, its lists; and taking changes up while
//! running.
//!
//! Rules come from the program, from `rules/` in the data folder, and from the store. [`reload`] looks whether
//! either changed, builds the new rules aside, and swaps them in.

use crate::app::App;
use crate::audit;
use crate::permission::Actor;
use rules::book::parameter::Parameter;
use rules::book::{Origin, RuleBook, RuleMode, Stored};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use store::StoreError;

/// How long the name of a document may be.
const NAME_CHARS_MAX: usize = 200;

/// Why something about rules cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum RuleAdminError {
    /// There is no such rule.
    #[error("no rule named \"{rule}\"; run `flareward rules list` to see all")]
    Rule {
        /// What was asked for.
        rule: String,
    },
    /// There is no such list.
    #[error("no rule refers to a list named \"{name}\"; available: {known}")]
    Parameter {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is no such document.
    #[error("no document named \"{name}\"")]
    Document {
        /// What was asked for.
        name: String,
    },
    /// A document cannot be honoured.
    #[error("the document is invalid or unsupported: {problem}")]
    Refused {
        /// Why, with line and reason.
        problem: String,
    },
    /// A name is empty, too long, or has characters that are not for names.
    #[error("invalid document name \"{name}\": use letters, digits, dots, dashes and underscores")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rules of this process, and what they were read from.
struct Current {
    book: RwLock<Arc<RuleBook>>,
    from: Mutex<String>,
}

impl Default for Current {
    /// The built-in rules, read from nothing that the store or a folder says.
    fn default() -> Self {
        Self {
            book: RwLock::new(Arc::new(RuleBook::load(None))),
            from: Mutex::default(),
        }
    }
}

impl App {
    /// The rules, behaviours and tips as they are now.
    pub fn rules(&self) -> Arc<RuleBook> {
        let current = self.slots.of(Current::default);
        let book = current.book.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&book)
    }
}

/// Takes up changed rules. Answers whether there were any.
///
/// # Errors
///
/// When the store refuses.
pub async fn reload(app: &App) -> Result<bool, StoreError> {
    let from = revision(app).await?;
    {
        let current = app.slots.of(Current::default);
        let known = current.from.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == from {
            return Ok(false);
        }
    }
    rebuild(app).await?;
    Ok(true)
}

async fn revision(app: &App) -> Result<String, StoreError> {
    let folder = app.settings.data.dir.join("rules");
    Ok(format!(
        "{} {}",
        app.store.rule_revision().await?,
        fingerprint(&folder)
    ))
}

async fn rebuild(app: &App) -> Result<(), StoreError> {
    let folder = app.settings.data.dir.join("rules");
    // Asked before the rules are read: what changes in between is noticed by the next look.
    let from = revision(app).await?;
    let stored = stored(app).await?;
    let book = tokio::task::spawn_blocking(move || RuleBook::build(true, Some(&folder), &stored))
        .await
        .unwrap_or_else(|_| RuleBook::load(None));
    for problem in &book.problems {
        tracing::warn!("rule skipped: {problem}");
    }
    let current = app.slots.of(Current::default);
    // Whoever asked for the rules before continues with those.
    *current.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    *current.from.lock().unwrap_or_else(PoisonError::into_inner) = from;
    Ok(())
}

async fn stored(app: &App) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    for row in app.store.rule_documents().await? {
        stored.documents.push((row.name, row.text.unwrap_or_default()));
    }
    for row in app.store.rule_parameters().await? {
        let parameter = Parameter {
            description: String::new(),
            values: store::stored("rule_parameter", &row.name, "list", &row.list)?,
        };
        stored.parameters.insert(row.name, parameter);
    }
    for row in app.store.rule_modes().await? {
        if let Some(mode) = RuleMode::parse(&row.mode) {
            stored.modes.insert(row.rule_id, mode);
        }
    }
    Ok(stored)
}

/// A digest of the names, sizes and times of the files in a folder.
fn fingerprint(folder: &Path) -> String {
    fn add(folder: &Path, depth: usize, lines: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && depth > 0 {
                add(&entry.path(), depth - 1, lines);
            } else {
                lines.push(format!(
                    "{} {} {:?}",
                    entry.path().display(),
                    metadata.len(),
                    metadata.modified().ok()
                ));
            }
        }
    }
    let mut lines = Vec::new();
    add(folder, 8, &mut lines);
    lines.sort();
    hex::encode(&Sha256::digest(lines.join("\n"))[..16])
}

/// Sets what becomes of a rule's matches.
///
/// # Errors
///
/// When there is no such rule, or the store refuses.
pub async fn set_mode(app: &App, rule: &str, mode: RuleMode, by: &Actor) -> Result<(), RuleAdminError> {
    let book = app.rules();
    let found = book.rule(rule).ok_or_else(|| RuleAdminError::Rule {
        rule: rule.to_owned(),
    })?;
    audit::record(
        app,
        by,
        model::AuditAction::RuleMode,
        &found.name,
        model::AuditOutcome::Asked,
        serde_json::json!({ "mode": mode.as_str() }),
    )
    .await?;
    app.store
        .rule_mode_set(&found.id, mode.as_str(), &by.to_string(), app.clock.now())
        .await?;
    rebuild(app).await?;
    Ok(())
}

/// Sets the values of a list that rules refer to; without values, those that came with the rules count again.
///
/// # Errors
///
/// When no such list is declared, or the store refuses.
pub async fn set_parameter(
    app: &App,
    name: &str,
    values: Option<&[String]>,
    by: &Actor,
) -> Result<(), RuleAdminError> {
    let book = app.rules();
    if !book.parameters.contains_key(name) {
        return Err(RuleAdminError::Parameter {
            name: name.to_owned(),
            known: book.parameters.keys().cloned().collect::<Vec<_>>().join(", "),
        });
    }
    audit::record(
        app,
        by,
        model::AuditAction::RuleParameter,
        name,
        model::AuditOutcome::Asked,
        serde_json::json!({ "values": values }),
    )
    .await?;
    let list = values.map(|values| serde_json::json!(values).to_string());
    app.store
        .rule_parameter_set(name, list.as_deref(), &by.to_string(), app.clock.now())
        .await?;
    rebuild(app).await?;
    Ok(())
}

/// Writes a new version of a document of rules, correlations or filters. Answers its version.
///
/// # Errors
///
/// When it cannot be honoured together with the rules that there are; then nothing is kept.
pub async fn write_document(app: &App, name: &str, text: &str, by: &Actor) -> Result<i64, RuleAdminError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_plain) {
        return Err(RuleAdminError::Name {
            name: name.to_owned(),
        });
    }
    if let Some(problem) = look(app, name, text).await?.problem {
        return Err(RuleAdminError::Refused { problem });
    }
    audit::record(
        app,
        by,
        model::AuditAction::RuleDocument,
        name,
        model::AuditOutcome::Asked,
        serde_json::json!({ "bytes": text.len() }),
    )
    .await?;
    let version = app
        .store
        .rule_document_write(name, Some(text), &by.to_string(), app.clock.now())
        .await?;
    rebuild(app).await?;
    Ok(version)
}

/// What would come of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// What is wrong with it, with line and reason.
    pub problem: Option<String>,
    /// The names of the rules in it that would be reported.
    pub rules: Vec<String>,
    /// The datasets that they run on, in order of the alphabet; `any` is every record.
    pub datasets: Vec<String>,
}

/// Looks what would come of a document, were it added to the rules that there are. Keeps nothing.
///
/// # Errors
///
/// When the store refuses.
pub async fn look(app: &App, name: &str, text: &str) -> Result<Looked, StoreError> {
    let mut stored = stored(app).await?;
    stored.documents.retain(|(other, _)| other != name);
    stored.documents.push((name.to_owned(), text.to_owned()));
    let folder = app.settings.data.dir.join("rules");
    let name = name.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let book = RuleBook::build(true, Some(&folder), &stored);
        let ours = format!("{name}: ");
        let mut looked = Looked {
            problem: book
                .problems
                .iter()
                .find_map(|problem| problem.strip_prefix(&ours).map(str::to_owned)),
            ..Looked::default()
        };
        let of_it = book
            .rules()
            .iter()
            .filter(|rule| rule.origin == Origin::Custom && rule.file == name);
        for rule in of_it {
            looked.rules.push(rule.name.clone());
            looked.datasets.extend(rule.dataset.split(',').map(str::to_owned));
        }
        looked.datasets.sort_unstable();
        looked.datasets.dedup();
        looked
    })
    .await;
    Ok(looked.unwrap_or_else(|_| Looked {
        problem: Some("the document could not be fully read: this is a bug in Flareward".to_owned()),
        ..Looked::default()
    }))
}

/// Removes a document. Its versions stay.
///
/// # Errors
///
/// When there is none, or the store refuses.
pub async fn remove_document(app: &App, name: &str, by: &Actor) -> Result<(), RuleAdminError> {
    let is_there = app
        .store
        .rule_documents()
        .await?
        .iter()
        .any(|document| document.name == name);
    if !is_there {
        return Err(RuleAdminError::Document {
            name: name.to_owned(),
        });
    }
    audit::record(
        app,
        by,
        model::AuditAction::RuleDocument,
        name,
        model::AuditOutcome::Asked,
        serde_json::json!({ "removed": true }),
    )
    .await?;
    app.store
        .rule_document_write(name, None, &by.to_string(), app.clock.now())
        .await?;
    rebuild(app).await?;
    Ok(())
}
