//! Grants for a time: granted with an end, announced before it, taken back after it, and tried again until that is
//! verified.
//!
//! A grant that has an end keeps it until someone asks for another end, or for none: asking for the same grant again
//! says nothing about its end. The end is written down before the grant is made, with the request that takes back what
//! the grant gives and nothing else, so that no kill leaves a grant without its end; it waits as pending until the grant
//! was verified, and whoever finds it pending after a kill looks what is held ([`super::cut_off`]). What could not be
//! taken back stays visible as overdue. A clock that is set back does not make a grant last longer: the latest time that was acted at counts.
//! Start reading at `plan_end` and [`run`].

use super::{Changed, Ends, Guard, Options, Outcome, Plan, ProvisionError, Request, Step, change};
use crate::app::App;
use crate::permission::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use model::{ConnectionId, GrantKind, TimedGrantState};
use serde_json::{Value, json};
use store::{JournalEntry, TimedGrantRow};

/// The longest that a grant for a time may last. Chosen: what lasts longer should be looked at by someone.
pub const LONGEST: TimeDelta = TimeDelta::days(366);
/// The wait before the second attempt; each further one doubles it.
const RETRY_SECONDS: i64 = 15;
/// The mark of the latest time that was acted at.
const MARK: &str = "timed-grants";

/// How long a grant is to last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lasts {
    /// As before: a grant that has an end keeps it, a new one has none.
    #[default]
    AsBefore,
    /// For so long from now, whatever its end was.
    For(TimeDelta),
    /// Until a time, whatever its end was.
    Until(DateTime<Utc>),
    /// Without an end, whatever its end was.
    Permanent,
}

/// What a change does to the end of a grant.
#[derive(Debug)]
pub(super) struct EndPlan {
    subject: Option<Subject>,
    live: Option<TimedGrantRow>,
    ends: Option<Ends>,
    /// The summary with the end, and what to note.
    words: Option<String>,
    notes: Vec<String>,
    now: DateTime<Utc>,
}

/// Whose holding of what.
#[derive(Debug, Clone)]
struct Subject {
    connection: ConnectionId,
    kind: GrantKind,
    entitlement: String,
    email: String,
    is_grant: bool,
}

/// An end that was written down before the change, to be settled after it.
#[derive(Debug)]
pub(super) struct EndBegun {
    plan: EndPlan,
    /// The row that was made for a new end.
    made: Option<TimedGrantRow>,
}

/// Adds to a plan when the grant ends, before and after; refuses to grant again what is being taken back.
pub(super) async fn plan_end(
    app: &App,
    request: &Request,
    lasts: Lasts,
    planned: &mut Plan,
) -> Result<EndPlan, ProvisionError> {
    let now = now(app).await?;
    let mut plan = EndPlan {
        subject: subject(request),
        live: None,
        ends: None,
        words: None,
        notes: Vec::new(),
        now,
    };
    plan.live = match &plan.subject {
        Some(subject) => live(app, subject).await?,
        None => None,
    };
    if let Request::MemberRolesSet { roles, email, .. } = request {
        plan.notes = kept_ends(app, request.connection(), roles, email).await?;
    }
    let is_grant = plan.subject.as_ref().is_some_and(|subject| subject.is_grant);
    if is_grant && !matches!(planned.step, Step::Refused { .. }) {
        let is_held = matches!(planned.step, Step::Already { .. });
        if let Some(over) = plan.decide(lasts, is_held) {
            let refused = planned.clone().refused(Guard::WrongState, over);
            *planned = refused;
        }
    }
    plan.show(planned);
    Ok(plan)
}

impl EndPlan {
    /// Decides on the end. Answers why the grant must not be made.
    fn decide(&mut self, lasts: Lasts, is_held: bool) -> Option<String> {
        let before = self.live.as_ref().map(|live| live.expires_at);
        let asked = match lasts {
            Lasts::For(span) => Some(self.now + span),
            Lasts::Until(at) => Some(at),
            Lasts::AsBefore | Lasts::Permanent => None,
        };
        match (lasts, before) {
            (Lasts::AsBefore, Some(end)) if end <= self.now => {
                return Some(format!(
                    "this grant expired at {} and is being revoked: request it again with a new expiry, \
                         or as permanent",
                    time(end)
                ));
            }
            (Lasts::AsBefore, Some(end)) => {
                self.ends = Some(Ends {
                    before,
                    after: before,
                });
                self.words = Some(format!("keeps its expiry, {}", time(end)));
                self.notes.push(format!(
                    "the grant keeps its expiry, {}: to change it, request another expiry or a \
                         permanent grant",
                    time(end)
                ));
            }
            (Lasts::Permanent, Some(end)) => {
                self.ends = Some(Ends { before, after: None });
                self.words = Some(format!("expiry removed (was {})", time(end)));
            }
            (Lasts::AsBefore | Lasts::Permanent, None) => {}
            (Lasts::For(_) | Lasts::Until(_), None) if is_held => {
                self.words = Some("remains permanent".to_owned());
                self.notes.push(
                    "the person already has this access permanently, and the requested duration does \
                         not change that: revoke it first, then create a timed grant"
                        .to_owned(),
                );
            }
            (Lasts::For(_) | Lasts::Until(_), _) => {
                self.ends = Some(Ends { before, after: asked });
                let after = asked.map(time).unwrap_or_default();
                self.words = Some(match before {
                    Some(before) if Some(before) == asked => format!("keeps its expiry, {after}"),
                    Some(before) => format!("expiry changed from {} to {after}", time(before)),
                    None => format!("until {after}"),
                });
            }
        }
        None
    }

    /// Says in a plan when the grant ends. Saying it twice changes nothing.
    fn show(&self, plan: &mut Plan) {
        plan.ends = self.ends;
        for note in &self.notes {
            if !plan.warnings.contains(note) {
                plan.warnings.push(note.clone());
            }
        }
        let Some(words) = &self.words else { return };
        if matches!(plan.step, Step::Refused { .. }) || plan.summary.ends_with(words.as_str()) {
            return;
        }
        if plan.summary.is_empty() {
            plan.summary = format!(
                "{} of {} {} for {}",
                plan.request.action(),
                plan.object_kind,
                plan.object_name,
                plan.request.email()
            );
        }
        plan.summary = format!("{}; {words}", plan.summary);
    }

    /// Writes a new end down, before the grant is made.
    pub(super) async fn begin(
        self,
        app: &App,
        planned: &Plan,
        actor: &Actor,
        change_id: &str,
    ) -> Result<EndBegun, ProvisionError> {
        let mut begun = EndBegun {
            plan: self,
            made: None,
        };
        let plan = &begun.plan;
        let (
            Some(subject),
            Some(Ends {
                after: Some(after), ..
            }),
        ) = (&plan.subject, plan.ends)
        else {
            return Ok(begun);
        };
        if matches!(planned.step, Step::Refused { .. }) {
            return Ok(begun);
        }
        let notice_at = notice_at(app, plan.now, after);
        match &plan.live {
            Some(live) if live.expires_at == after => {}
            Some(live) => app.store.timed_grant_extend(&live.id, after, notice_at).await?,
            None => {
                let row = TimedGrantRow {
                    id: app.ids.new_id(plan.now),
                    connection_id: subject.connection.clone(),
                    kind: subject.kind,
                    entitlement_id: subject.entitlement.clone(),
                    entitlement_name: planned
                        .names
                        .get(&subject.entitlement)
                        .unwrap_or(&planned.object_name)
                        .clone(),
                    email: subject.email.clone(),
                    actor: actor.to_string(),
                    granted_at: plan.now,
                    expires_at: after,
                    notice_at,
                    noticed_at: None,
                    state: TimedGrantState::Pending,
                    attempts: 0,
                    next_attempt_at: after,
                    problem: None,
                    ended_at: None,
                    take_back: planned
                        .undo
                        .as_ref()
                        .and_then(|undo| serde_json::to_string(undo).ok()),
                    change_id: Some(change_id.to_owned()),
                };
                app.store.timed_grant_insert(&row).await?;
                begun.made = Some(row);
            }
        }
        Ok(begun)
    }
}

impl EndBegun {
    /// Brings the end in step with what became of the change, and says so in it.
    pub(super) async fn settle(self, app: &App, made: &mut Changed) -> Result<(), ProvisionError> {
        let plan = self.plan;
        let Some(subject) = &plan.subject else {
            plan.show(&mut made.plan);
            return Ok(());
        };
        if !subject.is_grant {
            if let (Some(live), Outcome::Changed | Outcome::Already) = (&plan.live, made.outcome) {
                taken_back(app, live, plan.now).await?;
            }
            return Ok(());
        }
        if let Some(row) = self.made.as_ref().filter(|_| made.outcome != Outcome::Refused) {
            // Also when it could not be read back: an end that was removed would be one too few.
            app.store.timed_grant_activate(&row.id).await?;
        }
        match made.outcome {
            Outcome::Refused => {
                if let Some(row) = &self.made {
                    end(app, row, TimedGrantState::Gone, "was not granted").await?;
                } else if let (Some(live), Some(ends)) = (&plan.live, plan.ends)
                    && ends.after.is_some_and(|after| after != live.expires_at)
                {
                    app.store
                        .timed_grant_extend(&live.id, live.expires_at, live.notice_at)
                        .await?;
                }
                made.plan.ends = None;
                return Ok(());
            }
            Outcome::Changed | Outcome::Already => {
                let is_moved = plan.ends.is_some_and(|ends| ends.before != ends.after);
                if let (Some(live), Some(Ends { after: None, .. })) = (&plan.live, plan.ends) {
                    end(app, live, TimedGrantState::Permanent, "no longer expires").await?;
                }
                if made.outcome == Outcome::Already && is_moved {
                    made.outcome = Outcome::Changed;
                    made.reason = None;
                }
            }
            Outcome::Unverified => {}
        }
        plan.show(&mut made.plan);
        if made.outcome == Outcome::Already
            && let Some(words) = &plan.words
        {
            let reason = made.reason.take().unwrap_or_default();
            made.reason = Some(format!("{reason}; {words}"));
        }
        Ok(())
    }
}

/// What a change that was cut off turned out to have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is as the change wanted it.
    Done,
    /// It is not.
    NotDone,
    /// Nobody can say.
    Unknown,
}

/// Brings the end of a grant in step with a change that was cut off, as [`EndBegun::settle`] would have.
pub(super) async fn end_cut_off(
    app: &App,
    change_id: &str,
    request: &Request,
    plan: &Value,
    found: Found,
) -> Result<(), ProvisionError> {
    let Some(subject) = subject(request) else {
        return Ok(());
    };
    let Some(live) = live(app, &subject).await? else {
        return Ok(());
    };
    if !subject.is_grant {
        if found == Found::Done {
            taken_back(app, &live, app.clock.now()).await?;
        }
        return Ok(());
    }
    if live.state == TimedGrantState::Pending && live.change_id.as_deref() == Some(change_id) {
        return match found {
            Found::NotDone => {
                let words = "was not granted: the process was interrupted";
                end(app, &live, TimedGrantState::Gone, words).await
            }
            // Taking it back looks first: an end that was removed would be one too few.
            Found::Done | Found::Unknown => Ok(app.store.timed_grant_activate(&live.id).await?),
        };
    }
    let Some(ends) = plan.get("ends").filter(|ends| !ends.is_null()) else {
        return Ok(());
    };
    let at = |which: &str| {
        let at = ends[which]
            .as_str()
            .and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        at.map(|at| at.to_utc())
    };
    match (found, at("before"), at("after")) {
        (Found::Done, Some(_), None) => {
            end(app, &live, TimedGrantState::Permanent, "no longer expires").await?;
        }
        (Found::NotDone, Some(before), Some(after)) if before != after && live.expires_at == after => {
            let now = now(app).await?;
            app.store
                .timed_grant_extend(&live.id, before, notice_at(app, now, before))
                .await?;
        }
        _ => {}
    }
    Ok(())
}

/// Ends a grant that was taken back, at its end or before it.
async fn taken_back(app: &App, live: &TimedGrantRow, now: DateTime<Utc>) -> Result<(), ProvisionError> {
    let (state, words) = if live.expires_at <= now {
        (TimedGrantState::Revoked, "expired and was revoked")
    } else {
        (TimedGrantState::Gone, "was revoked before its expiry")
    };
    end(app, live, state, words).await
}

/// The live end of a person's grant, under whichever of their addresses it was granted.
async fn live(app: &App, subject: &Subject) -> Result<Option<TimedGrantRow>, ProvisionError> {
    let find = async |email: &str| {
        app.store
            .timed_grant_live(&subject.connection, subject.kind, &subject.entitlement, email)
            .await
    };
    if let Some(live) = find(&subject.email).await? {
        return Ok(Some(live));
    }
    let Some(person) = app.store.person_by_email(&subject.email).await? else {
        return Ok(None);
    };
    let mut others = app.store.person_alias_by_person(&person.id).await?;
    others.push(person.email);
    for other in others {
        if let Some(live) = find(&other).await? {
            return Ok(Some(live));
        }
    }
    Ok(None)
}

/// The ends of roles that a member is given anew: they stay.
async fn kept_ends(
    app: &App,
    connection: &ConnectionId,
    roles: &[String],
    email: &str,
) -> Result<Vec<String>, ProvisionError> {
    let mut notes = Vec::new();
    for role in roles {
        let subject = Subject {
            connection: connection.clone(),
            kind: GrantKind::Role,
            entitlement: role.clone(),
            email: email.to_owned(),
            is_grant: true,
        };
        if let Some(live) = live(app, &subject).await? {
            notes.push(format!(
                "role {} keeps its expiry, {}",
                live.entitlement_name,
                time(live.expires_at)
            ));
        }
    }
    Ok(notes)
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Announces ends that are near and takes back what is over. Answers how many grants were looked at.
///
/// # Errors
///
/// When the store refuses. What Cloudflare or a guard refuses stays visible at the grant.
pub async fn run(app: &App) -> Result<usize, ProvisionError> {
    let now = now(app).await?;
    let mut looked_at = 0;
    for row in app.store.timed_grant_to_notice(now).await? {
        let summary = format!(
            "{} loses {} {} at {}",
            row.email,
            row.kind,
            row.entitlement_name,
            time(row.expires_at)
        );
        let entry = entry(app, &row, model::JournalKind::AccessExpiresSoon, now, summary).await?;
        app.store.timed_grant_noticed(&row.id, now, &entry).await?;
        looked_at += 1;
    }
    for row in app.store.timed_grant_due(now).await? {
        take_back(app, &row, now).await?;
        looked_at += 1;
    }
    Ok(looked_at)
}

async fn take_back(app: &App, row: &TimedGrantRow, now: DateTime<Utc>) -> Result<(), ProvisionError> {
    let request = match row.take_back_json()? {
        Some(request) => request,
        None => by_kind(row),
    };
    let options = Options {
        note: Some(format!("the grant expired at {}", time(row.expires_at))),
        is_expiry: true,
        ..Options::default()
    };
    let problem = match change(app, &request, &options, &Actor::System).await {
        // The revocation has noted that the end was kept.
        Ok(changed) if matches!(changed.outcome, Outcome::Changed | Outcome::Already) => return Ok(()),
        Ok(changed) => changed
            .reason
            .unwrap_or_else(|| changed.outcome.as_str().to_owned()),
        Err(error @ ProvisionError::Store(_)) => return Err(error),
        Err(error) => crate::causes(&error),
    };
    let cap = i64::try_from(app.settings.provisioning.retry_cap_seconds).unwrap_or(i64::MAX / 2);
    let wait = RETRY_SECONDS
        .saturating_mul(1 << row.attempts.clamp(0, 20))
        .min(cap.max(1));
    let summary = format!(
        "{} still has {} {} after its expiry: {problem}",
        row.email, row.kind, row.entitlement_name
    );
    tracing::error!(connection = %row.connection_id, "could not revoke an expired grant");
    let entry = entry(app, row, model::JournalKind::AccessExpiryFailed, now, summary).await?;
    app.store
        .timed_grant_failed(&row.id, now + TimeDelta::seconds(wait), &problem, &entry)
        .await?;
    Ok(())
}

/// What takes back a grant that was made before it was kept what exactly it gave.
fn by_kind(row: &TimedGrantRow) -> Request {
    let (connection, email) = (row.connection_id.clone(), row.email.clone());
    match row.kind {
        GrantKind::Role => Request::RoleRevoke {
            connection,
            role: row.entitlement_id.clone(),
            email,
        },
        _ => Request::GroupRevoke {
            connection,
            group: row.entitlement_id.clone(),
            email,
            by_exclusion: false,
            keeps_rules: false,
        },
    }
}

async fn end(
    app: &App,
    row: &TimedGrantRow,
    state: TimedGrantState,
    words: &str,
) -> Result<(), ProvisionError> {
    let now = app.clock.now();
    let summary = format!("{} {} for {} {words}", row.kind, row.entitlement_name, row.email);
    let entry = entry(app, row, model::JournalKind::AccessExpiryEnded, now, summary).await?;
    app.store.timed_grant_ended(&row.id, state, now, &entry).await?;
    Ok(())
}

async fn entry(
    app: &App,
    row: &TimedGrantRow,
    kind: model::JournalKind,
    at: DateTime<Utc>,
    summary: String,
) -> Result<JournalEntry, ProvisionError> {
    let person = app.store.person_by_email(&row.email).await?;
    Ok(JournalEntry {
        at,
        kind,
        person_id: person.map(|person| person.id),
        connection_id: Some(row.connection_id.clone()),
        subject_id: Some(row.id.clone()),
        summary,
        data: json!({ "kind": row.kind, "entitlement": row.entitlement_id, "expires_at": row.expires_at }),
    })
}

/// The time, which never goes back.
async fn now(app: &App) -> Result<DateTime<Utc>, ProvisionError> {
    Ok(app.store.time_mark(MARK, app.clock.now()).await?)
}

/// Short grants are announced in the middle of their time.
fn notice_at(app: &App, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    let minutes = i64::try_from(app.settings.provisioning.notice_minutes).unwrap_or(0);
    let early = TimeDelta::minutes(minutes).min((expires_at - now) / 2);
    expires_at - early
}

fn subject(request: &Request) -> Option<Subject> {
    let (kind, entitlement, is_grant) = match request {
        Request::GroupGrant { group, .. } | Request::GroupUnexclude { group, .. } => {
            (GrantKind::AccessGroup, group, true)
        }
        Request::GroupRevoke { group, .. } => (GrantKind::AccessGroup, group, false),
        Request::RoleGrant { role, .. } => (GrantKind::Role, role, true),
        Request::RoleRevoke { role, .. } => (GrantKind::Role, role, false),
        _ => return None,
    };
    Some(Subject {
        connection: request.connection().clone(),
        kind,
        entitlement: entitlement.clone(),
        email: model::address::compared(request.email()),
        is_grant,
    })
}
