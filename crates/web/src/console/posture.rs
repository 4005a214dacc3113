//! Posture: what is not as it should be, check by check, what could not be told, and accepting a finding.

use super::form::Form;
use super::page::{Frame, PAGE_ROWS, Page, PageError, Section, path_part};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use hub::connection::labels;
use hub::posture::{self, Check, MuteError, until};
use hub::{App, Permission};
use model::{CheckVerdict, ConnectionId, FindingState, Severity};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use store::{CheckResultRow, FindingCount, FindingFilter, FindingRow, StoreError};

/// Number of findings per check if all checks are shown; the page of the check shows all.
const PART_ROWS: i64 = 10;

#[derive(Template)]
#[template(path = "posture.html")]
struct PosturePage {
    frame: Frame,
    state: FindingState,
    severity: Option<Severity>,
    check: Option<&'static Check>,
    connection: String,
    connections: Vec<String>,
    tiles: Vec<Tile>,
    groups: Vec<Group>,
    unknown: Vec<Unknown>,
    passed: usize,
    /// Whether any check has run.
    has_run: bool,
    may_mute: bool,
    /// Tomorrow: the earliest end of a mute.
    tomorrow: String,
    first: Option<String>,
    next: Option<String>,
}

struct Tile {
    severity: Severity,
    is_chosen: bool,
    open: i64,
    muted: i64,
    link: String,
}

/// A check with its findings.
struct Group {
    check: &'static Check,
    rows: Vec<Row>,
    /// Link to all findings, if there are more.
    more: Option<String>,
}

struct Row {
    finding: FindingRow,
    connection: String,
    summary: String,
    /// Further evidence as text.
    details: Vec<(String, String)>,
    /// The complete command for the remedy.
    command: Option<String>,
    /// The page of the subject, if it has one.
    link: Option<String>,
}

struct Unknown {
    check: &'static Check,
    connection: String,
    reason: String,
}

/// Filters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    severity: String,
    check: String,
    connection: String,
    after: String,
}

/// The form that mutes a finding.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mute {
    reason: String,
    until: String,
}

/// The page.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let state = page::word(&asked.state)?.unwrap_or(FindingState::Open);
    let severity: Option<Severity> = page::word(&asked.severity)?;
    let check = match asked.check.as_str() {
        "" => None,
        id => Some(posture::check(id).ok_or(PageError::NotFound("check"))?),
    };
    let labels = labels(&app).await?;
    let only = match asked.connection.as_str() {
        "" => None,
        label => {
            let found = labels.iter().find(|(_, known)| *known == label);
            Some(found.ok_or(PageError::NotFound("connection"))?.0.clone())
        }
    };
    let kept = [
        (
            "state",
            if state == FindingState::Open {
                ""
            } else {
                state.as_str()
            },
        ),
        ("severity", asked.severity.as_str()),
        ("check", asked.check.as_str()),
        ("connection", asked.connection.as_str()),
    ];
    let filter = FindingFilter {
        connection_id: only.clone(),
        state: Some(state),
        severities: severity.iter().map(ToString::to_string).collect(),
        ..FindingFilter::default()
    };
    let mut groups = Vec::new();
    let mut next = None;
    for one in posture::catalogue().filter(|one| check.is_none_or(|check| check.id == one.id)) {
        let limit = if check.is_some() { PAGE_ROWS } else { PART_ROWS };
        let filter = FindingFilter {
            check_id: Some(one.id.to_owned()),
            after: check
                .filter(|_| !asked.after.is_empty())
                .map(|check| (check.id.to_owned(), asked.after.clone())),
            limit: limit + 1,
            ..filter.clone()
        };
        let mut rows = app.store.finding_list(&filter).await?;
        let mut more = None;
        if check.is_some() {
            next = page::cut(
                &mut rows,
                "/posture",
                &kept,
                ("after", |last: &FindingRow| last.id.clone()),
            );
        } else if rows.len() > usize::try_from(PART_ROWS).unwrap_or_default() {
            rows.pop();
            let mut parameters = kept.to_vec();
            parameters.push(("check", one.id));
            more = Some(page::link("/posture", &parameters));
        }
        if !rows.is_empty() {
            groups.push(Group {
                check: one,
                rows: rows
                    .into_iter()
                    .map(|finding| row(finding, &labels, visitor.command_options()))
                    .collect::<Result<_, _>>()?,
                more,
            });
        }
    }
    let results = posture::results(&app, only.as_ref()).await?;
    let counts = app.store.finding_counts(only.as_ref()).await?;
    let mut connections: Vec<String> = labels.values().cloned().collect();
    connections.sort();
    let tomorrow = app.clock.now() + chrono::TimeDelta::days(1);
    page::rendered(&PosturePage {
        frame: visitor.frame("Posture", Section::Posture),
        tiles: tiles(&counts, &asked.connection, severity),
        unknown: unknown(&results, &labels, check),
        passed: results
            .iter()
            .filter(|row| row.verdict == CheckVerdict::Pass)
            .count(),
        has_run: !results.is_empty(),
        may_mute: visitor.may(Permission::PostureWrite),
        tomorrow: tomorrow.format("%Y-%m-%d").to_string(),
        first: page::first(&asked.after, "/posture", &kept),
        connection: asked.connection,
        connections,
        state,
        severity,
        check,
        groups,
        next,
    })
}

fn tiles(counts: &[FindingCount], connection: &str, chosen: Option<Severity>) -> Vec<Tile> {
    let count = |severity: Severity, state: FindingState| {
        let mut of_it = counts
            .iter()
            .filter(|of| of.severity == severity && of.state == state);
        of_it.next().map_or(0, |of| of.findings)
    };
    Severity::WORST_FIRST
        .into_iter()
        .map(|severity| Tile {
            severity,
            is_chosen: chosen == Some(severity),
            open: count(severity, FindingState::Open),
            muted: count(severity, FindingState::Muted),
            link: page::link(
                "/posture",
                &[("severity", severity.as_str()), ("connection", connection)],
            ),
        })
        .collect()
}

fn row(
    finding: FindingRow,
    labels: &HashMap<ConnectionId, String>,
    options: &str,
) -> Result<Row, StoreError> {
    let label = labels.get(&finding.connection_id).cloned().unwrap_or_default();
    let evidence: HashMap<String, Value> =
        store::stored("finding", &finding.id, "evidence", &finding.evidence)?;
    let summary = evidence
        .get("summary")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut details: Vec<(String, String)> = evidence
        .iter()
        .filter(|(name, value)| *name != "summary" && !value.is_null())
        .map(|(name, value)| (show::words(name), in_words(value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    details.sort();
    Ok(Row {
        summary: summary.to_owned(),
        details,
        command: posture::check(&finding.check_id)
            .and_then(|check| check.command_for(&finding, &label, options)),
        connection: label,
        link: (finding.subject_kind == "person")
            .then(|| format!("/people/{}", path_part(&finding.subject_id))),
        finding,
    })
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(show::value).collect::<Vec<_>>().join(", "),
        other => show::value(other),
    }
}

fn unknown(
    results: &[CheckResultRow],
    labels: &HashMap<ConnectionId, String>,
    only: Option<&'static Check>,
) -> Vec<Unknown> {
    posture::catalogue()
        .filter(|check| only.is_none_or(|only| only.id == check.id))
        .flat_map(|check| {
            let of_it = results.iter().filter(|row| row.check_id == check.id);
            of_it.filter_map(move |row| {
                Some(Unknown {
                    check,
                    connection: labels.get(&row.connection_id).cloned().unwrap_or_default(),
                    reason: row.unknown_reason.clone()?,
                })
            })
        })
        .collect()
}

/// Mutes a finding, with a reason and optionally an end.
pub(super) async fn mute(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
    Form(form): Form<Mute>,
) -> Result<Redirect, PageError> {
    let until = match form.until.trim() {
        "" => None,
        text => Some(until::date(text).map_err(PageError::Asked)?),
    };
    let finding = posture::mute(&app, &id, &form.reason, until, visitor.actor())
        .await
        .map_err(refused)?;
    Ok(back(&finding))
}

/// Reopens a muted finding.
pub(super) async fn unmute(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Redirect, PageError> {
    let (finding, _) = posture::unmute(&app, &id, visitor.actor())
        .await
        .map_err(refused)?;
    Ok(back(&finding))
}

/// Redirects to the open findings of the check.
fn back(finding: &FindingRow) -> Redirect {
    Redirect::to(&format!("/posture#{}", path_part(&finding.check_id)))
}

fn refused(error: MuteError) -> PageError {
    match error {
        MuteError::NotFound(_) => PageError::NotFound("finding"),
        MuteError::Store(error) => error.into(),
        error => PageError::Asked(error.to_string()),
    }
}
