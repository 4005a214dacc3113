//! Cloudflare's own risk events: what its behaviours saw each user do.
//!
//! The API has no list of them. It has a summary with one line for each user who has a score, and the events of one
//! user at a time; so a round asks for those users alone whose line is not what it was. Which events of a user were
//! there is kept (`risk_score_read`): what retention or a purge removed does not come back with the next new one.
//!
//! A user whose events cannot be read does not hold up the others, and is asked for again in the next round. Start reading at [`Round::read_risk_events`]; who is asked for is decided by [`due`].

use super::{Log, Round, RoundError, minutes};
use chrono::{DateTime, Utc};
use cloudflare::{CloudflareError, RiskSummaryUser, UserRisk};
use rules::normalise::read_time_text;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use store::{RiskScoreReadRow, StoreError};

/// Users whose events become one batch. Chosen, nothing depends on it.
const USERS_OF_BATCH: usize = 100;
/// After so many users that cannot be read, something is wrong with more than a user. Chosen.
const FAILURES_MAX: usize = 10;

impl Round<'_> {
    pub(super) async fn read_risk_events(
        &self,
        now: DateTime<Utc>,
        pulled: &mut super::Pulled,
    ) -> Result<(), RoundError> {
        let (store, logs) = (&self.app.store, &self.app.settings.logs);
        let summary = self.client.risk_summary(&self.account).await?;
        let known = store.risk_score_read_list(&self.connection.id).await?;
        let overlap = minutes(logs.pull_overlap_minutes);
        let mut due = due(summary, &known, now - overlap);
        pulled.has_more = due.len() > logs.pull_pages.max(1);
        due.truncate(logs.pull_pages.max(1));
        let mut failures = Vec::new();
        let mut is_over = false;
        for part in due.chunks(USERS_OF_BATCH) {
            let (mut rows, mut records) = (Vec::new(), Vec::new());
            for user in part {
                let mut row = self.known(user, now).await?;
                match self.events_of(user).await {
                    Ok(risk) => {
                        pulled.records += risk.events.len();
                        records.extend(new_events(user, &risk, &mut row)?);
                    }
                    Err(error) => {
                        let problem = crate::causes(&error);
                        row.problem = Some(problem.clone());
                        failures.push((user.user_id.clone(), problem));
                        is_over = failures.len() >= FAILURES_MAX
                            || matches!(error, CloudflareError::RateLimited { .. });
                    }
                }
                rows.push(row);
                if is_over {
                    break;
                }
            }
            self.take_in(Log::RiskEvents, &records, now, pulled).await?;
            // After the batch is durable: a round that was killed in between reads these users again.
            store.risk_score_read_put(&rows).await?;
            if is_over {
                break;
            }
        }
        if let Some((user_id, problem)) = failures.first().cloned() {
            return Err(RoundError::Users {
                failed: failures.len(),
                users: due.len(),
                user_id,
                problem,
            });
        }
        if !pulled.has_more {
            self.reached(Log::RiskEvents, now).await?;
        }
        Ok(())
    }

    async fn known(
        &self,
        user: &RiskSummaryUser,
        now: DateTime<Utc>,
    ) -> Result<RiskScoreReadRow, StoreError> {
        let (store, connection) = (&self.app.store, &self.connection.id);
        let known = store.risk_score_read_get(connection, &user.user_id).await?;
        Ok(RiskScoreReadRow {
            read_at: now,
            ..known.unwrap_or_else(|| RiskScoreReadRow {
                connection_id: connection.clone(),
                user_id: user.user_id.clone(),
                event_count: None,
                last_event: None,
                event_ids: "[]".to_owned(),
                problem: None,
                read_at: now,
            })
        })
    }

    async fn events_of(&self, user: &RiskSummaryUser) -> Result<UserRisk, CloudflareError> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if user.user_id.is_empty() || !user.user_id.chars().all(is_plain) {
            return Err(CloudflareError::Unusable("the user ID is invalid".to_owned()));
        }
        self.client.user_risk(&self.account, &user.user_id).await
    }
}

/// The users whose events are to be read: those that were never read first, then those that were read longest ago.
///
/// An event that is younger than `unsettled` may be counted before it is told: its user is read again.
fn due(
    summary: Vec<RiskSummaryUser>,
    known: &[RiskScoreReadRow],
    unsettled: DateTime<Utc>,
) -> Vec<RiskSummaryUser> {
    let known: HashMap<&str, &RiskScoreReadRow> = known.iter().map(|row| (&*row.user_id, row)).collect();
    let mut due: Vec<_> = summary
        .into_iter()
        .filter_map(|user| {
            let (count, last) = (count_of(&user), last_of(&user));
            let row = known.get(user.user_id.as_str()).copied();
            let is_settled = row.is_some_and(|row| {
                row.problem.is_none() && row.event_count == count && row.last_event.as_deref() == last
            }) && last.and_then(read_time_text).is_some_and(|at| at < unsettled);
            (!is_settled).then(|| (row.map(|row| row.read_at), user))
        })
        .collect();
    due.sort_by(|a, b| (a.0, &a.1.user_id).cmp(&(b.0, &b.1.user_id)));
    due.into_iter().map(|(_, user)| user).collect()
}

fn count_of(user: &RiskSummaryUser) -> Option<i64> {
    user.other.get("event_count").and_then(Value::as_i64)
}

fn last_of(user: &RiskSummaryUser) -> Option<&str> {
    user.other.get("last_event").and_then(Value::as_str)
}

/// The records of those events that were not there before; `row` becomes what was read.
fn new_events(
    user: &RiskSummaryUser,
    risk: &UserRisk,
    row: &mut RiskScoreReadRow,
) -> Result<Vec<Value>, StoreError> {
    let seen: BTreeSet<String> = match row.event_ids.as_str() {
        "" => BTreeSet::new(),
        ids => store::stored("risk_score_read", &row.user_id, "event_ids", ids)?,
    };
    let ids: BTreeSet<&str> = risk.events.iter().map(|event| event.id.as_str()).collect();
    row.event_ids = json!(ids).to_string();
    row.event_count = count_of(user);
    row.last_event = last_of(user).map(str::to_owned);
    row.problem = None;
    let new = risk.events.iter().filter(|event| !seen.contains(&event.id));
    let records = new.map(|event| {
        let mut member = json!(event);
        member["user_id"] = json!(user.user_id);
        member["email"] = json!(user.email);
        member["user_name"] = user.other.get("name").cloned().unwrap_or_default();
        Log::RiskEvents.record(&member)
    });
    Ok(records.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, count: Option<i64>, last: Option<&str>) -> RiskSummaryUser {
        let line = json!({ "user_id": id, "event_count": count, "last_event": last });
        serde_json::from_value(line).unwrap()
    }

    fn row(id: &str, count: i64, last: &str, read_at: &str) -> RiskScoreReadRow {
        RiskScoreReadRow {
            connection_id: model::ConnectionId("c".to_owned()),
            user_id: id.to_owned(),
            event_count: Some(count),
            last_event: Some(last.to_owned()),
            event_ids: "[]".to_owned(),
            problem: None,
            read_at: read_at.parse().unwrap(),
        }
    }

    #[test]
    fn users_are_read_whose_line_changed_or_may_not_be_whole_yet() {
        const OLD: &str = "2026-11-20T08:00:00Z";
        const YOUNG: &str = "2026-11-20T11:59:00Z";
        let summary = vec![
            user("same", Some(2), Some(OLD)),
            user("more", Some(3), Some(OLD)),
            user("later", Some(2), Some("2026-11-20T09:00:00Z")),
            user("young", Some(2), Some(YOUNG)),
            user("new", Some(1), Some(OLD)),
            user("silent", None, None),
            user("failed", Some(2), Some(OLD)),
        ];
        let mut failed = row("failed", 2, OLD, "2026-11-20T11:30:00Z");
        failed.problem = Some("no answer".to_owned());
        let known = [
            row("same", 2, OLD, "2026-11-20T10:00:00Z"),
            row("more", 2, OLD, "2026-11-20T11:00:00Z"),
            row("later", 2, OLD, "2026-11-20T10:30:00Z"),
            row("young", 2, YOUNG, "2026-11-20T11:59:30Z"),
            failed,
        ];
        let found = due(summary, &known, "2026-11-20T11:55:00Z".parse().unwrap());
        let found: Vec<&str> = found.iter().map(|user| user.user_id.as_str()).collect();
        assert_eq!(found, ["new", "silent", "later", "more", "failed", "young"]);
    }
}
