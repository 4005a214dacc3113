//! The organisation's own documents of rules, correlations and filters, with every version that there was.

use super::rules::refusal;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, YamlOrJson};
use crate::paging::Page;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use hub::App;
use hub::rule_admin;
use rules::book::{Origin, RuleBook};
use serde::{Deserialize, Serialize};
use store::RuleDocumentRow;
use utoipa::ToSchema;

/// Maximum number of listed versions of a document.
const VERSIONS_MAX: i64 = 1_000;

/// Name of a document that is only checked and has no name.
const UNNAMED: &str = "document";

/// The current version of a rule document.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleDocumentBody {
    /// Document name.
    pub name: String,
    /// Version number, starting at 1.
    pub version: i64,
    /// Names of the active rules in the document.
    pub rules: Vec<String>,
    /// Size in bytes.
    pub bytes: usize,
    /// When this version was saved.
    pub written_at: DateTime<Utc>,
    /// Actor who saved this version.
    pub written_by: String,
}

impl RuleDocumentBody {
    fn new(row: RuleDocumentRow, book: &RuleBook) -> Self {
        Self {
            rules: book
                .rules()
                .iter()
                .filter(|rule| rule.origin == Origin::Custom && rule.file == row.name)
                .map(|rule| rule.name.clone())
                .collect(),
            bytes: row.text.as_deref().unwrap_or_default().len(),
            name: row.name,
            version: row.version,
            written_at: row.written_at,
            written_by: row.written_by,
        }
    }
}

/// One version of a document.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleDocumentVersionBody {
    /// Document name.
    pub name: String,
    /// Version number, starting at 1.
    pub version: i64,
    /// Text; null means that the document was removed.
    pub text: Option<String>,
    /// When this version was saved.
    pub written_at: DateTime<Utc>,
    /// Actor who saved this version.
    pub written_by: String,
}

impl RuleDocumentVersionBody {
    /// The body of a version.
    pub fn new(row: RuleDocumentRow) -> Self {
        Self {
            name: row.name,
            version: row.version,
            text: row.text,
            written_at: row.written_at,
            written_by: row.written_by,
        }
    }
}

/// A document to save.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDocumentPutBody {
    /// Sigma documents in YAML: rules, correlations, filters.
    text: String,
}

/// A document to check.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDocumentCheckBody {
    /// Sigma documents in YAML: rules, correlations, filters.
    text: String,
    /// Name of the saved document that it would replace.
    name: Option<String>,
}

/// Result of checking a document.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleDocumentCheckedBody {
    /// Whether the document is valid together with the existing rules.
    pub ok: bool,
    /// Problems, with line and reason.
    pub problem: Option<String>,
    /// Names of the rules that would become active; invalid rules are not included.
    pub rules: Vec<String>,
    /// Datasets that the rules run on; `any` means every record.
    pub datasets: Vec<String>,
}

/// Lists saved documents by name.
#[utoipa::path(get, path = "/rule-documents", tag = "rules", operation_id = "rule_document_list",
    responses((status = 200, description = "The documents", body = Page<RuleDocumentBody>), Problems))]
pub async fn list(State(app): State<App>) -> Result<Json<Page<RuleDocumentBody>>, ApiError> {
    let rows = app.store.rule_documents().await?;
    let book = app.rules();
    Ok(Json(Page::whole(rows, |row| RuleDocumentBody::new(row, &book))))
}

/// Saves a document as a new version. Its rules take effect immediately, and in other processes within seconds.
///
/// If any part of the document is invalid, the whole document is rejected with line and reason.
#[utoipa::path(put, path = "/rule-documents/{document}", tag = "rules", operation_id = "rule_document_put",
    params(("document" = String, Path, description = "Letters, digits, dots, dashes and underscores")),
    request_body(content((RuleDocumentPutBody = "application/json"), (String = "text/yaml"))),
    responses((status = 200, description = "Saved", body = RuleDocumentBody), Problems))]
pub async fn put(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
    body: YamlOrJson<RuleDocumentPutBody>,
) -> Result<Json<RuleDocumentBody>, ApiError> {
    let (text, pointer) = match body {
        YamlOrJson::Yaml(text) => (text, ""),
        YamlOrJson::Json(body) => (body.text, "/text"),
    };
    must_say_something(&text, pointer)?;
    let version = rule_admin::write_document(&app, &name, &text, &caller.actor)
        .await
        .map_err(|error| refusal(error, pointer))?;
    let rows = app.store.rule_documents().await?;
    let row = rows
        .into_iter()
        .find(|row| row.name == name && row.version >= version)
        .ok_or_else(|| {
            ApiError::Conflict(
                "another request removed the document at the same time: save it again if needed".to_owned(),
            )
        })?;
    Ok(Json(RuleDocumentBody::new(row, &app.rules())))
}

/// Removes a document. Its rules stop running; its versions are kept.
#[utoipa::path(delete, path = "/rule-documents/{document}", tag = "rules", operation_id = "rule_document_remove",
    params(("document" = String, Path, description = "Document name")),
    responses((status = 204, description = "Removed"), Problems))]
pub async fn remove(
    caller: Caller,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    rule_admin::remove_document(&app, &name, &caller.actor)
        .await
        .map_err(|error| refusal(error, ""))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists all versions of a document with their text, newest first. Includes removed documents.
#[utoipa::path(get, path = "/rule-documents/{document}/versions", tag = "rules",
    operation_id = "rule_document_version_list",
    params(("document" = String, Path, description = "Document name")),
    responses((status = 200, description = "The versions, at most 1,000", body = Page<RuleDocumentVersionBody>),
        Problems))]
pub async fn versions(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Page<RuleDocumentVersionBody>>, ApiError> {
    let rows = app.store.rule_document_versions(&name, VERSIONS_MAX).await?;
    if rows.is_empty() {
        return Err(ApiError::NotFound("rule document"));
    }
    Ok(Json(Page::whole(rows, RuleDocumentVersionBody::new)))
}

/// Checks whether a document is valid together with the existing rules. Saves nothing.
#[utoipa::path(post, path = "/rule-documents/check", tag = "rules", operation_id = "rule_document_check",
    request_body(content((RuleDocumentCheckBody = "application/json"), (String = "text/yaml"))),
    responses((status = 200, description = "Result of the check", body = RuleDocumentCheckedBody), Problems))]
pub async fn check(
    State(app): State<App>,
    body: YamlOrJson<RuleDocumentCheckBody>,
) -> Result<Json<RuleDocumentCheckedBody>, ApiError> {
    let (text, name, pointer) = match body {
        YamlOrJson::Yaml(text) => (text, None, ""),
        YamlOrJson::Json(body) => (body.text, body.name, "/text"),
    };
    must_say_something(&text, pointer)?;
    let name = name.unwrap_or_else(|| UNNAMED.to_owned());
    let looked = rule_admin::look(&app, &name, &text).await?;
    Ok(Json(RuleDocumentCheckedBody {
        ok: looked.problem.is_none(),
        problem: looked.problem,
        rules: looked.rules,
        datasets: looked.datasets,
    }))
}

/// Rejects an empty document: it would be saved without any effect.
fn must_say_something(text: &str, pointer: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::invalid(
            pointer,
            "is empty: send at least one Sigma document",
        ));
    }
    Ok(())
}
