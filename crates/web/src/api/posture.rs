//! Posture: the checks, what they came to, what they found, and accepting a finding.

use super::connections::id_in_query;
use crate::auth::{CanRead, CanWritePosture};
use crate::error::{ApiError, Problems};
use crate::extract::{Json, Path, Query, word};
use crate::paging::{self, Page};
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use hub::posture::{self, Check, MuteError};
use model::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{CheckResultRow, FindingFilter, FindingRow, StoreError};
use utoipa::{IntoParams, ToSchema};

/// A check of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckBody {
    /// Its id.
    pub id: &'static str,
    /// `critical`, `high`, `medium` or `low`: the most severe that its findings are.
    pub severity: &'static str,
    /// What it asks, so that "yes" is good.
    pub question: &'static str,
    /// The lists that it reads.
    pub lists: Vec<&'static str>,
    /// What else it reads.
    pub besides: &'static str,
    /// Cloudflare's permission groups that the lists need.
    pub permissions: Vec<&'static str>,
    /// What makes it unknown, beyond a list that could not be read.
    pub unknown: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// The command of Flareward that does it.
    pub command: Option<&'static str>,
    /// What to set in Terraform.
    pub terraform: Option<&'static str>,
    /// Controls that it is evidence for.
    pub frameworks: Vec<&'static str>,
}

impl CheckBody {
    fn new(check: &'static Check) -> Self {
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

/// A thing for which a check does not hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingBody {
    /// The same finding keeps its id.
    pub id: String,
    /// In which account.
    pub connection_id: String,
    /// Which check.
    pub check_id: String,
    /// `critical`, `high`, `medium` or `low`.
    pub severity: String,
    /// `open`, `muted` or `resolved`.
    pub state: String,
    /// `member`, `app`, `policy`, `account`, …
    pub subject_kind: String,
    /// Cloudflare's id of it, or ours.
    pub subject_id: String,
    /// Its name or address.
    pub subject_name: String,
    /// What was seen: a sentence under `summary`, the same for programs beside it.
    pub evidence: Value,
    /// What to do.
    pub remedy: Option<&'static str>,
    /// When it was first found; when it came back after being resolved, that time.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last found.
    pub last_seen_at: DateTime<Utc>,
    /// When it was no longer found.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Why it is muted.
    pub mute_reason: Option<String>,
    /// By whom.
    pub muted_by: Option<String>,
    /// Until when; null is without end.
    pub muted_until: Option<DateTime<Utc>>,
}

impl FindingBody {
    fn new(row: FindingRow) -> Result<Self, StoreError> {
        Ok(Self {
            remedy: posture::check(&row.check_id).map(|check| check.remedy),
            evidence: store::stored("finding", &row.id, "evidence", &row.evidence)?,
            id: row.id,
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
}

/// What a check last came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckResultBody {
    /// In which account.
    pub connection_id: String,
    /// Which check.
    pub check_id: String,
    /// `pass`, `fail` or `unknown`.
    pub verdict: String,
    /// What could not be told and why; a check that fails may have one too.
    pub unknown_reason: Option<String>,
    /// How many findings it has, muted ones too.
    pub findings: i64,
    /// When.
    pub checked_at: DateTime<Utc>,
}

impl CheckResultBody {
    fn new(row: CheckResultRow) -> Self {
        Self {
            connection_id: row.connection_id.0,
            check_id: row.check_id,
            verdict: row.verdict.to_string(),
            unknown_reason: row.unknown_reason,
            findings: row.findings,
            checked_at: row.checked_at,
        }
    }
}

/// Which findings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindingsQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
    /// Only of the check with this id.
    check: Option<String>,
    /// Only this severe or worse: `critical`, `high`, `medium` or `low`.
    severity: Option<String>,
    /// Only in this state: `open`, `muted` or `resolved`.
    state: Option<String>,
    /// Only about the thing with this id.
    subject: Option<String>,
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which results.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ResultsQuery {
    /// Only of this connection: its id or label.
    connection: Option<String>,
    /// At most this many, 1 to 1,000; 100 when it is left out.
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Why a finding is accepted, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteBody {
    /// Kept with the finding and in the audit log.
    #[schema(example = "the contract ends in March")]
    reason: String,
    /// Until when; without end when it is left out.
    until: Option<DateTime<Utc>>,
}

/// The catalogue, the most severe first.
#[utoipa::path(get, path = "/posture/checks", tag = "posture", operation_id = "posture_check_list",
    security(("token" = ["read"])),
    responses((status = 200, description = "The checks", body = Page<CheckBody>), Problems))]
pub async fn checks(_caller: CanRead) -> Json<Page<CheckBody>> {
    Json(Page::whole(posture::catalogue().collect(), CheckBody::new))
}

/// Findings, by check and id.
#[utoipa::path(get, path = "/posture/findings", tag = "posture", operation_id = "posture_finding_list",
    security(("token" = ["read"])), params(FindingsQuery),
    responses((status = 200, description = "A page of findings", body = Page<FindingBody>), Problems))]
pub async fn findings(
    _caller: CanRead,
    State(app): State<App>,
    Query(query): Query<FindingsQuery>,
) -> Result<Json<Page<FindingBody>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    if query
        .check
        .as_deref()
        .is_some_and(|id| posture::check(id).is_none())
    {
        return Err(ApiError::bad("check", "no check has this id"));
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
    Ok(Json(Page::read(rows, limit, cursor, FindingBody::new)?))
}

/// This severity and those that are worse; without one, all.
fn severities(least: Option<&str>) -> Result<Vec<String>, ApiError> {
    let least: Option<Severity> = word("severity", least)?;
    let severities = least.into_iter().flat_map(Severity::and_worse);
    Ok(severities.map(|severity| severity.to_string()).collect())
}

/// What every check last came to, by connection and check. A check that could not tell says why.
#[utoipa::path(get, path = "/posture/results", tag = "posture", operation_id = "posture_result_list",
    security(("token" = ["read"])), params(ResultsQuery),
    responses((status = 200, description = "A page of results", body = Page<CheckResultBody>), Problems))]
pub async fn results(
    _caller: CanRead,
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
    Ok(Json(Page::new(rows, limit, cursor, CheckResultBody::new)))
}

/// Accepts a finding for a time, or without end. Muting again replaces reason and end.
#[utoipa::path(post, path = "/posture/findings/{finding}/mute", tag = "posture",
    operation_id = "posture_finding_mute", security(("token" = ["posture:write"])),
    params(("finding" = String, Path, description = "Its id")), request_body = MuteBody,
    responses((status = 200, description = "Muted", body = FindingBody), Problems))]
pub async fn mute(
    caller: CanWritePosture,
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<MuteBody>,
) -> Result<Json<FindingBody>, ApiError> {
    let finding = posture::mute(&app, &id, &body.reason, body.until, &caller.actor)
        .await
        .map_err(refused)?;
    Ok(Json(FindingBody::new(finding)?))
}

/// Opens a muted finding again; one that is not muted stays as it is.
#[utoipa::path(post, path = "/posture/findings/{finding}/unmute", tag = "posture",
    operation_id = "posture_finding_unmute", security(("token" = ["posture:write"])),
    params(("finding" = String, Path, description = "Its id")),
    responses((status = 200, description = "As it is now", body = FindingBody), Problems))]
pub async fn unmute(
    caller: CanWritePosture,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<FindingBody>, ApiError> {
    let (finding, _) = posture::unmute(&app, &id, &caller.actor).await.map_err(refused)?;
    Ok(Json(FindingBody::new(finding)?))
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
