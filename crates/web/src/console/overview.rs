//! The first page: how things stand, what needs a look, what just happened.

use super::page::{Frame, Page, PageError, Section};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use chrono::{DateTime, TimeDelta, Utc};
use hub::App;
use model::{ConnectionState, RiskLevel, SignalState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use store::{
    JournalRow, LIST_LIMIT_MAX, Overview, PersonFilter, PersonRow, RiskChangeRow, RuleCount, StoreError,
};

/// Journal entries shown at first.
const FEED_ROWS: i64 = 30;
/// People shown at the highest risk, and rules shown at the top.
const TOP_ROWS: usize = 8;
/// Maximum number of risk changes in the history. Chosen: with more changes, only the start of the chart is flatter.
const CHANGES_MAX: usize = 50_000;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    counts: Overview,
    grants: i64,
    levels: Levels,
    days: i64,
    needs: Vec<Need>,
    rules: Vec<TopRule>,
    /// Number of rules with detections.
    rules_matched: i64,
    people: Vec<PersonRow>,
    feed: Vec<JournalRow>,
}

/// Number of people at each level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Levels {
    low: i64,
    medium: i64,
    high: i64,
}

/// A problem that needs attention.
struct Need {
    tone: &'static str,
    text: String,
    link: String,
}

struct TopRule {
    title: String,
    count: RuleCount,
}

/// Time range of the chart in days.
#[derive(Debug, Deserialize)]
pub(super) struct Span {
    days: Option<i64>,
}

impl Span {
    fn days(&self) -> i64 {
        if self.days == Some(30) { 30 } else { 7 }
    }
}

/// Number of people at each level over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct History {
    /// Seconds since 1970.
    at: Vec<i64>,
    low: Vec<i64>,
    medium: Vec<i64>,
    high: Vec<i64>,
}

/// The page.
pub(super) async fn show_overview(
    visitor: Visitor,
    State(app): State<App>,
    Query(span): Query<Span>,
) -> Result<Page, PageError> {
    let counts = app.store.overview().await?;
    let grants = hub::sync::grant_total(&app).await?;
    let needs = needs(&app, &counts).await?;
    let mut rules: Vec<TopRule> = app
        .store
        .detection_counts()
        .await?
        .into_iter()
        .map(|count| TopRule {
            title: app
                .rules()
                .rule(&count.rule_name)
                .map_or_else(|| count.rule_name.clone(), |rule| rule.title.clone()),
            count,
        })
        .collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.count.detections));
    let rules_matched = i64::try_from(rules.len()).unwrap_or(i64::MAX);
    rules.truncate(TOP_ROWS);
    page::rendered(&OverviewPage {
        frame: visitor.frame("Overview", Section::Overview),
        counts,
        grants,
        levels: levels(&app).await?,
        days: span.days(),
        needs,
        rules,
        rules_matched,
        people: riskiest(&app).await?,
        feed: app.store.journal_latest(None, None, FEED_ROWS).await?,
    })
}

/// Returns the data of the chart.
pub(super) async fn risk_history(
    State(app): State<App>,
    Query(span): Query<Span>,
) -> Result<Json<History>, PageError> {
    let (now, span) = (app.clock.now(), TimeDelta::days(span.days()));
    let mut changes: Vec<RiskChangeRow> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut from = now - span;
    loop {
        let part = app.store.risk_change_since(from, LIST_LIMIT_MAX).await?;
        let (before, last) = (changes.len(), part.last().map(|change| change.happened_at));
        // Each part begins at the time of the last change of the one before, so some come twice.
        changes.extend(part.into_iter().filter(|change| seen.insert(change.id.clone())));
        match last {
            Some(last) if changes.len() > before && changes.len() < CHANGES_MAX => from = last,
            _ => break,
        }
    }
    Ok(Json(history(levels(&app).await?, &changes, now, span)))
}

async fn levels(app: &App) -> Result<Levels, StoreError> {
    let mut levels = Levels::default();
    for count in app.store.risk_counts().await? {
        if let Some(place) = levels.at(count.risk_level) {
            *place = count.people;
        }
    }
    Ok(levels)
}

impl Levels {
    fn at(&mut self, level: RiskLevel) -> Option<&mut i64> {
        match level {
            RiskLevel::Unscored => None,
            RiskLevel::Low => Some(&mut self.low),
            RiskLevel::Medium => Some(&mut self.medium),
            RiskLevel::High => Some(&mut self.high),
        }
    }
}

/// Computes the number of people at each level over time, by event time instead of arrival time.
///
/// The level of a person at a time is the highest level triggered by then since the last reset. A person without a
/// change in the time range had the current level throughout.
fn history(now_at: Levels, changes: &[RiskChangeRow], now: DateTime<Utc>, span: TimeDelta) -> History {
    /// Steps of the chart: an hour over seven days.
    const STEPS: i32 = 168;
    let mut people: BTreeMap<&str, Vec<&RiskChangeRow>> = BTreeMap::new();
    for change in changes {
        people.entry(&change.person_id).or_default().push(change);
    }
    let mut unchanged = now_at;
    for theirs in people.values() {
        let latest = theirs.iter().max_by_key(|change| change.at);
        if let Some(place) = latest.and_then(|change| unchanged.at(change.current)) {
            *place -= 1;
        }
    }
    let mut points = Vec::new();
    for step in (0..=STEPS).rev() {
        let at = now - span * step / STEPS;
        let mut levels = unchanged;
        for theirs in people.values() {
            if let Some(place) = levels.at(level_at(theirs, at)) {
                *place += 1;
            }
        }
        points.push((at.timestamp(), levels));
    }
    History {
        at: points.iter().map(|(at, _)| *at).collect(),
        low: points.iter().map(|(_, levels)| levels.low).collect(),
        medium: points.iter().map(|(_, levels)| levels.medium).collect(),
        high: points.iter().map(|(_, levels)| levels.high).collect(),
    }
}

/// The level of one person at a time, from all changes of that person in the time range, by event time.
fn level_at(changes: &[&RiskChangeRow], at: DateTime<Utc>) -> RiskLevel {
    let before = changes
        .iter()
        .min_by_key(|change| change.at)
        .map_or(RiskLevel::Unscored, |first| first.previous);
    changes
        .iter()
        .take_while(|change| change.happened_at <= at)
        .fold(before, |level, change| {
            if change.current == RiskLevel::Unscored {
                RiskLevel::Unscored
            } else {
                level.max(change.current)
            }
        })
}

async fn riskiest(app: &App) -> Result<Vec<PersonRow>, StoreError> {
    let mut people = Vec::new();
    for level in [RiskLevel::High, RiskLevel::Medium, RiskLevel::Low] {
        let missing = TOP_ROWS.saturating_sub(people.len());
        if missing == 0 {
            break;
        }
        let filter = PersonFilter {
            risk_level: Some(level),
            limit: i64::try_from(missing).unwrap_or(1),
            ..PersonFilter::default()
        };
        people.extend(app.store.person_list(&filter).await?);
    }
    Ok(people)
}

/// Problems that need attention.
async fn needs(app: &App, counts: &Overview) -> Result<Vec<Need>, StoreError> {
    let mut needs = Vec::new();
    let mut need = |tone, text: String, link: String| needs.push(Need { tone, text, link });
    for connection in app.store.connection_list().await? {
        let tone = match connection.state {
            ConnectionState::Failed => "bad",
            ConnectionState::Paused | ConnectionState::Degraded => "warn",
            _ => continue,
        };
        let text = format!("Connection {} is {}", connection.label, connection.state);
        need(
            tone,
            text,
            format!("/connections/{}", page::path_part(&connection.label)),
        );
    }
    for integration in app.store.integration_list(None).await? {
        if integration.active && integration.suspended_reason.is_some() {
            let text = format!("Signals to {} are suspended", integration.tenant_url);
            need("bad", text, "/deliveries".to_owned());
        }
    }
    let dead = app
        .store
        .signal_list(None, None, Some(SignalState::Dead), LIST_LIMIT_MAX)
        .await?;
    let dead = i64::try_from(dead.len()).unwrap_or(i64::MAX);
    if dead > 0 {
        let text = format!(
            "{} permanently rejected by a receiver",
            show::counted(&dead, "signal was", "signals were")
        );
        need("bad", text, "/deliveries?signals=dead".to_owned());
    }
    let failed = app.store.batch_counts(None).await?.failed;
    if failed > 0 {
        let text = format!(
            "{} could not be read",
            show::counted(&failed, "log batch", "log batches")
        );
        need("bad", text, "/connections".to_owned());
    }
    if !app.rules().problems.is_empty() {
        let left_out = i64::try_from(app.rules().problems.len()).unwrap_or(i64::MAX);
        let text = format!(
            "{} skipped",
            show::counted(&left_out, "rule file is", "rule files are")
        );
        need("warn", text, "/rules".to_owned());
    }
    if counts.rejects > 0 {
        let text = format!(
            "{} rejected",
            show::counted(&counts.rejects, "log line", "log lines")
        );
        need("warn", text, "/rejects".to_owned());
    }
    if counts.unmapped_identifiers > 0 {
        let text = show::counted(
            &counts.unmapped_identifiers,
            "unmapped identifier",
            "unmapped identifiers",
        );
        need("warn", text, "/unmapped".to_owned());
    }
    needs.sort_by_key(|need| need.tone);
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_follows_what_happened() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let change = |id: &str, hours, previous, current| RiskChangeRow {
            id: id.to_owned(),
            person_id: "p".to_owned(),
            previous,
            current,
            initiator: "policy".to_owned(),
            reason: String::new(),
            behaviour: None,
            detection_id: None,
            at: now - TimeDelta::hours(hours),
            happened_at: now - TimeDelta::hours(hours),
        };
        let changes = [
            change("a", 100, RiskLevel::Unscored, RiskLevel::Low),
            change("b", 50, RiskLevel::Low, RiskLevel::High),
            change("c", 10, RiskLevel::High, RiskLevel::Unscored),
        ];
        let history = history(Levels::default(), &changes, now, TimeDelta::days(7));
        let hours_ago = |hours: usize| (history.low[168 - hours], history.high[168 - hours]);
        assert_eq!(hours_ago(168), (0, 0));
        assert_eq!(hours_ago(99), (1, 0));
        assert_eq!(hours_ago(49), (0, 1));
        assert_eq!(hours_ago(9), (0, 0));
        assert_eq!(history.at.len(), 169);
        assert!(history.at.is_sorted());
    }

    #[test]
    fn a_late_record_raises_the_level_at_the_time_that_it_tells_of() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let change = |minutes, hours, previous, current| RiskChangeRow {
            id: format!("{minutes}"),
            person_id: "p".to_owned(),
            previous,
            current,
            initiator: "policy".to_owned(),
            reason: String::new(),
            behaviour: None,
            detection_id: None,
            at: now - TimeDelta::minutes(minutes),
            happened_at: now - TimeDelta::hours(hours),
        };
        // The record of the worse thing, which happened first, came last.
        let changes = [
            change(1, 90, RiskLevel::Medium, RiskLevel::High),
            change(2, 30, RiskLevel::Unscored, RiskLevel::Medium),
        ];
        let standing = Levels {
            high: 1,
            ..Levels::default()
        };
        let history = history(standing, &changes, now, TimeDelta::days(7));
        let hours_ago = |hours: usize| (history.medium[168 - hours], history.high[168 - hours]);
        assert_eq!(
            (hours_ago(91), hours_ago(89), hours_ago(0)),
            ((0, 0), (0, 1), (0, 1))
        );
    }
}
