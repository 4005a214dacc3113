//! Posture: the checks, what they came to, what they found, and accepting a finding.

use super::connections::id_in_query;
use crate::auth::Caller;
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query, word};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::connection::{self, Labels};
use hub::posture::{self, Check, MuteError};
use model::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{CheckResultRow, FindingFilter, FindingRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A posture check.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckBody {
    /// ID.
    pub id: &'static str,
    /// Highest severity of its findings: `critical`, `high`, `medium` or `low`.
    pub severity: &'static str,
    /// The question of the check; "yes" means pass.
    pub question: &'static str,
    /// Lists that the check reads.
    pub lists: Vec<&'static str>,
    /// Other data that the check reads.
    pub besides: &'static str,
    /// Cloudflare permission groups that the lists require.
    pub permissions: Vec<&'static str>,
    /// Limits: when the result is unknown (in addition to unreadable lists), and what is not covered.
    pub unknown: &'static str,
    /// Remedy.
    pub remedy: &'static str,
    /// Flareward command for the remedy.
    pub command: Option<&'static str>,
    /// Terraform setting for the remedy.
    pub terraform: Option<&'static str>,
    /// Controls that the check provides evidence for.
    pub frameworks: Vec<&'static str>,
}

impl CheckBody {
    /// The body of a check.
    pub fn new(check: &'static Check) -> Self {
        Self {
            id: check.id,
            severity: check.severity.as_str(),
            question: check.question,
            lists: check.lists.to_vec(),
            besides: check.besides,
            permissions: check.permissions(),
            unknown: check.unknown,
            remedy: check.remedy,
            command: check.command,
            terraform: check.terraform,
            frameworks: check.frameworks.to_vec(),
        }
    }
}

/// A finding: an object that fails a check.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingBody {
    /// After a mute or unmute: `changed`, or `already` if the finding was in this state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// ID; stable for the same finding.
    pub id: String,
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// ID of the check.
    pub check_id: String,
    /// `critical`, `high`, `medium` or `low`.
    pub severity: String,
    /// `open`, `muted` or `resolved`.
    pub state: String,
    /// Kind of the object: `member`, `app`, `policy`, `account`, …
    pub subject_kind: String,
    /// ID of the object in Cloudflare or Flareward.
    pub subject_id: String,
    /// Name or email address of the object.
    pub subject_name: String,
    /// Evidence: a sentence in `summary`, and further values for programs.
    pub evidence: Value,
    /// The question of the check.
    pub question: Option<&'static str>,
    /// Remedy.
    pub remedy: Option<&'static str>,
    /// Flareward command that applies the remedy, if there is one.
    pub command: Option<String>,
    /// Controls that the check provides evidence for.
    pub frameworks: Vec<&'static str>,
    /// When the finding was first found, or found again after it was resolved.
    pub first_seen_at: DateTime<Utc>,
    /// When the finding was last found.
    pub last_seen_at: DateTime<Utc>,
    /// When the finding was resolved.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Reason for the mute.
    pub mute_reason: Option<String>,
    /// Actor who muted the finding.
    pub muted_by: Option<String>,
    /// End of the mute; null means indefinitely.
    pub muted_until: Option<DateTime<Utc>>,
}

impl FindingBody {
    /// Creates the response body.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn new(row: FindingRow, labels: &Labels) -> Result<Self, StoreError> {
        let check = posture::check(&row.check_id);
        let label = labels.get(&row.connection_id).map_or("", String::as_str);
        Ok(Self {
            outcome: None,
            question: check.map(|check| check.question),
            remedy: check.map(|check| check.remedy),
            command: check.and_then(|check| check.command_for(&row, label, "")),
            frameworks: check.map_or_else(Vec::new, |check| check.frameworks.to_vec()),
            evidence: store::stored("finding", &row.id, "evidence", &row.evidence)?,
            id: row.id,
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            check_id: row.check_id,
            severity: row.severity.to_string(),
            state: row.state.to_string(),
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            subject_name: row.subject_name,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            resolved_at: row.resolved_at,
            mute_reason: row.mute_reason,
            muted_by: row.muted_by,
            muted_until: row.muted_until,
        })
    }

    /// The same after a mute or unmute.
    ///
    /// # Errors
    ///
    /// When a stored document is damaged.
    pub fn changed(row: FindingRow, is_changed: bool, labels: &Labels) -> Result<Self, StoreError> {
        let outcome = Some(if is_changed { "changed" } else { "already" });
        Ok(Self {
            outcome,
            ..Self::new(row, labels)?
        })
    }
}

/// Latest result of a check.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckResultBody {
    /// ID of the connection.
    pub connection_id: String,
    /// Label of the connection.
    pub connection: Option<String>,
    /// ID of the check.
    pub check_id: String,
    /// `pass`, `fail` or `unknown`.
    pub verdict: String,
    /// What is unknown and why. A failed check can have this too.
    pub unknown_reason: Option<String>,
    /// Number of findings, including muted ones.
    pub findings: i64,
    /// Time of the check.
    pub checked_at: DateTime<Utc>,
}

impl CheckResultBody {
    /// Creates the response body.
    pub fn new(row: CheckResultRow, labels: &Labels) -> Self {
        Self {
            connection: labels.get(&row.connection_id).cloned(),
            connection_id: row.connection_id.0,
            check_id: row.check_id,
            verdict: row.verdict.to_string(),
            unknown_reason: row.unknown_reason,
            findings: row.findings,
            checked_at: row.checked_at,
        }
    }
}

/// Filters for findings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindingsQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Only for the check with this ID.
    check: Option<String>,
    /// Only this severity or higher: `critical`, `high`, `medium` or `low`.
    severity: Option<String>,
    /// Only in this state: `open`, `muted` or `resolved`.
    state: Option<String>,
    /// Only for the object with this ID.
    subject: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Filters for results.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ResultsQuery {
    /// Only for this connection (ID or label).
    connection: Option<String>,
    /// Maximum number of results, 1 to 1,000. Default: 100.
    limit: Option<i64>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Reason and end of a mute.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteBody {
    /// Reason, recorded with the finding and in the audit log.
    #[schema(example = "the contract ends in March")]
    reason: String,
    /// End of the mute. Default: indefinitely.
    until: Option<DateTime<Utc>>,
}

/// Lists all checks, most severe first.
#[utoipa::path(get, path = "/posture/checks", tag = "posture", operation_id = "posture_check_list",
    responses((status = 200, description = "The checks", body = Page<CheckBody>), Problems))]
pub async fn checks(_caller: Caller) -> Json<Page<CheckBody>> {
    Json(Page::whole(posture::catalogue().collect(), CheckBody::new))
}

/// Lists findings by check and ID.
#[utoipa::path(get, path = "/posture/findings", tag = "posture", operation_id = "posture_finding_list",
    params(FindingsQuery),
    responses((status = 200, description = "A page of findings", body = Page<FindingBody>), Problems))]
pub async fn findings(
    State(app): State<App>,
    Query(query): Query<FindingsQuery>,
) -> Result<Json<Page<FindingBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    if query
        .check
        .as_deref()
        .is_some_and(|id| posture::check(id).is_none())
    {
        return Err(ApiError::bad(
            "check",
            "no check with this ID; GET /api/v1/posture/checks returns all checks",
        ));
    }
    let after = paging::read(query.cursor.as_deref())?;
    let filter = FindingFilter {
        connection_id: id_in_query(&app, query.connection.as_deref()).await?,
        check_id: query.check,
        state: word("state", query.state.as_deref())?,
        subject_id: query.subject,
        severities: severities(query.severity.as_deref())?,
        after: after.map(|[check, id]| (check, id)),
        limit,
    };
    let rows = app.store.finding_list(&filter).await?;
    let cursor = |row: &FindingRow| paging::cursor([&row.check_id, &row.id]);
    let labels = connection::labels(&app).await?;
    let body = |row| FindingBody::new(row, &labels);
    Ok(Json(Page::read(rows, limit, cursor, body)?))
}

/// This severity and higher ones; all if `None`.
fn severities(least: Option<&str>) -> Result<Vec<String>, ApiError> {
    let least: Option<Severity> = word("severity", least)?;
    let severities = least.into_iter().flat_map(Severity::and_worse);
    Ok(severities.map(|severity| severity.to_string()).collect())
}

/// Lists the latest result of every check, by connection and check. Unknown results have a reason.
#[utoipa::path(get, path = "/posture/results", tag = "posture", operation_id = "posture_result_list",
    params(ResultsQuery),
    responses((status = 200, description = "A page of results", body = Page<CheckResultBody>), Problems))]
pub async fn results(
    State(app): State<App>,
    Query(query): Query<ResultsQuery>,
) -> Result<Json<Page<CheckResultBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let after: Option<[String; 2]> = paging::read(query.cursor.as_deref())?;
    let after = after
        .as_ref()
        .map(|[connection, check]| (connection.as_str(), check.as_str()));
    let connection = id_in_query(&app, query.connection.as_deref()).await?;
    let rows = app
        .store
        .check_result_list(connection.as_ref(), after, limit)
        .await?;
    let cursor = |row: &CheckResultRow| paging::cursor([row.connection_id.as_str(), &row.check_id]);
    let labels = connection::labels(&app).await?;
    let body = |row| CheckResultBody::new(row, &labels);
    Ok(Json(Page::new(rows, limit, cursor, body)))
}

/// Mutes a finding for a time or indefinitely. Muting again replaces the reason and the end.
#[utoipa::path(post, path = "/posture/findings/{finding}/mute", tag = "posture",
    operation_id = "posture_finding_mute",
    params(("finding" = String, Path, description = "ID")), request_body = MuteBody,
    responses((status = 200, description = "Muted", body = FindingBody), Problems))]
pub async fn mute(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<MuteBody>,
) -> Result<Json<FindingBody>, ApiError> {
    let finding = posture::mute(&app, &id, &body.reason, body.until, &caller.actor)
        .await
        .map_err(refused)?;
    let labels = connection::labels(&app).await?;
    Ok(Json(FindingBody::changed(finding, true, &labels)?))
}

/// Reopens a muted finding. A finding that is not muted does not change.
#[utoipa::path(post, path = "/posture/findings/{finding}/unmute", tag = "posture",
    operation_id = "posture_finding_unmute",
    params(("finding" = String, Path, description = "ID")),
    responses((status = 200, description = "The finding", body = FindingBody), Problems))]
pub async fn unmute(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<FindingBody>, ApiError> {
    let (finding, is_changed) = posture::unmute(&app, &id, &caller.actor).await.map_err(refused)?;
    let labels = connection::labels(&app).await?;
    Ok(Json(FindingBody::changed(finding, is_changed, &labels)?))
}

fn refused(error: MuteError) -> ApiError {
    match error {
        MuteError::NotFound(_) => ApiError::NotFound("finding"),
        MuteError::Store(error) => error.into(),
        error @ MuteError::Reason => ApiError::invalid("/reason", error.to_string()),
        error @ MuteError::Until => ApiError::invalid("/until", error.to_string()),
        error @ MuteError::Resolved(_) => ApiError::Conflict(error.to_string()),
    }
}
