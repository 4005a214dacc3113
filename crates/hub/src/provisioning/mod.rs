//! Changing access: plan, guards, write, verify.
//!
//! A change is planned from the object as Cloudflare has it at that moment; guards may refuse it; the whole object
//! is written back; and then it is planned again: when nothing is left to do, it is verified, and when the change
//! is not there, someone else wrote at the same time and it is made once more. Two processes on one store take
//! turns on one object by a lease. Everything is written down before it is done. Start reading at [`change`].

mod access_user;
pub mod cut_off;
mod group;
mod loss;
mod member;
pub mod offboard;
mod plan;
mod request;
pub mod timed;
pub mod undo;
mod whose;

pub use plan::{Effect, Ends, Guard, GuardVerdict, Plan, Step, call_in_words};
pub use request::Request;
pub use whose::whose;

use crate::access::AccessView;
use crate::access::subject::Subject;
use crate::app::{App, ClientError};
use crate::fault;
use crate::lease::Lease;
use crate::listed::{access_user_seen, as_text, fingerprint, member_seen};
use crate::permission::Actor;
use crate::wake::Written;
use crate::{access, audit};
use chrono::TimeDelta;
use cloudflare::{AccountId, Client, CloudflareError};
use model::{AuditOutcome, ChangeOutcome, ConnectionState, PersonId, address};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use store::{AccessChangeRow, AccessGroupSeen, ConnectionRow, JournalEntry, PersonSeen, StoreError};

/// How often a change that was lost, or whose write failed, is made again.
const ATTEMPTS: usize = 5;
/// How long a process that was killed in the midst of a change blocks the next on the same object.
const LOCK: TimeDelta = TimeDelta::seconds(20);
/// How often the lock is asked for.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// How long someone waits for others to finish with the same object.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// How a change is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Why, in the words of whoever asks.
    pub note: Option<String>,
    /// Grant to an address that is in no list yet.
    pub unknown_person: bool,
    /// How long a grant is to last.
    pub lasts: timed::Lasts,
    /// The change that this is a step of.
    pub parent_id: Option<String>,
    /// It takes back a grant whose time is over, and nothing that the grant did not give: what else lets them in stays,
    /// and is told of.
    pub is_expiry: bool,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was so before.
    Already,
    /// It is so now, and was read back.
    Changed,
    /// A guard, or Cloudflare, said no; nothing is different.
    Refused,
    /// It was sent and could not be read back.
    Unverified,
}

impl Outcome {
    /// The one spelling.
    pub fn as_str(self) -> &'static str {
        ChangeOutcome::from(self).as_str()
    }
}

impl From<Outcome> for ChangeOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Already => Self::Already,
            Outcome::Changed => Self::Changed,
            Outcome::Refused => Self::Refused,
            Outcome::Unverified => Self::Unverified,
        }
    }
}

impl From<Outcome> for AuditOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Already => Self::Already,
            Outcome::Changed => Self::Changed,
            Outcome::Refused => Self::Refused,
            Outcome::Unverified => Self::Unverified,
        }
    }
}

/// A change that was made, or not.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// The guard that refused.
    pub guard: Option<Guard>,
    /// Our id of it, in the list of changes.
    pub change_id: String,
    /// What would still let them in, or what access depends on.
    pub remains: Vec<String>,
    /// How often it was written: more than once when a write was lost.
    pub writes: usize,
    /// The plan by which it was made.
    pub plan: Plan,
}

/// Why a change could not even be planned.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The connection is gone.
    #[error("no such connection")]
    NoConnection,
    /// The address is none.
    #[error("\"{0}\" is not an e-mail address")]
    Address(String),
    /// More people than one change may concern.
    #[error("{people} people in one change: the maximum is {cap} (setting provisioning.people_per_change)")]
    PeopleCap {
        /// How many were asked for.
        people: usize,
        /// How many are allowed.
        cap: usize,
    },
    /// Others work on the same object for too long.
    #[error("another change to the same object is still running: try again later")]
    Locked,
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An id that cannot be put into a path.
    #[error(transparent)]
    Id(CloudflareError),
    /// Cloudflare could not be asked.
    #[error("a request to Cloudflare failed for connection {label}")]
    Cloudflare {
        /// Which connection.
        label: String,
        /// Why.
        #[source]
        source: CloudflareError,
    },
    /// A request that another part plans.
    #[error("internal error: this change is planned by another module")]
    NotHere,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What planning needs.
pub(crate) struct Scene<'a> {
    app: &'a App,
    connection: &'a ConnectionRow,
    account: AccountId,
    client: Client,
    options: &'a Options,
    /// Whether the change was sent before in this run: then only what is left is looked at.
    has_written: bool,
}

/// A person, as rules see them, and whether any list has them.
struct Known {
    subject: Subject,
    is_known: bool,
}

impl Scene<'_> {
    fn failed(&self, source: CloudflareError) -> ProvisionError {
        ProvisionError::Cloudflare {
            label: self.connection.label.clone(),
            source,
        }
    }

    async fn subject(&self, email: &str) -> Result<Known, ProvisionError> {
        let Some(person) = self.app.store.person_by_email(email).await? else {
            return Ok(Known {
                subject: Subject {
                    person_id: PersonId(String::new()),
                    email: email.into(),
                    further: Vec::new(),
                    members: Vec::new(),
                    users: Vec::new(),
                },
                is_known: false,
            });
        };
        let scope = access::Scope::Roles(self.connection.id.clone());
        let view = AccessView::of_person(self.app, &person, &scope).await?;
        let mut subject = view
            .people
            .into_iter()
            .next()
            .ok_or(StoreError::Gone("the person"))?;
        let is_listed = !subject.members.is_empty() || !subject.users.is_empty();
        if !subject.has_address(email) {
            subject.further.push(email.into());
        }
        Ok(Known {
            subject,
            is_known: is_listed,
        })
    }

    /// Whose credential this connection has, where Cloudflare says so.
    async fn credential_owner(&self) -> Option<String> {
        if self.connection.credential_kind == model::CredentialKind::GlobalKey {
            return self.connection.credential_email.clone();
        }
        if self.connection.credential_kind == model::CredentialKind::AccountToken {
            return None;
        }
        let user = self.client.user().await.ok();
        user.and_then(|user| user["email"].as_str().map(str::to_owned))
            .or_else(|| self.connection.credential_owner.clone())
    }
}

/// Plans a change and does nothing of it.
///
/// # Errors
///
/// See [`ProvisionError`].
pub async fn preview(app: &App, request: &Request, options: &Options) -> Result<Plan, ProvisionError> {
    let request = canonical(request)?;
    let connection = connection_of(app, &request).await?;
    let scene = scene(app, &connection, options)?;
    let mut planned = plan(&scene, &request).await?;
    timed::plan_end(app, &request, options.lasts, &mut planned).await?;
    Ok(planned)
}

/// Refuses a change of more people than one may concern.
///
/// # Errors
///
/// [`ProvisionError::PeopleCap`].
pub fn people_cap(app: &App, requests: &[Request]) -> Result<(), ProvisionError> {
    let people = requests.iter().map(Request::email).collect::<BTreeSet<_>>().len();
    let cap = app.settings.provisioning.people_per_change;
    if people > cap {
        return Err(ProvisionError::PeopleCap { people, cap });
    }
    Ok(())
}

/// Makes a change: plans, lets the guards judge, writes, verifies, and writes down what became of it.
///
/// # Errors
///
/// See [`ProvisionError`]: then nothing was sent. What Cloudflare or a guard refuses is an outcome, not an error.
pub async fn change(
    app: &App,
    request: &Request,
    options: &Options,
    actor: &Actor,
) -> Result<Changed, ProvisionError> {
    let request = canonical(request)?;
    let connection = connection_of(app, &request).await?;
    let lock = request.lock();
    let lease = lock_wait(app, &lock).await?;
    let work = Box::pin(locked(app, &connection, &request, options, actor));
    let result = lease.keep(work).await.unwrap_or(Err(ProvisionError::Locked));
    lease.release().await;
    app.wake.call(Written::Access);
    result
}

async fn locked(
    app: &App,
    connection: &ConnectionRow,
    request: &Request,
    options: &Options,
    actor: &Actor,
) -> Result<Changed, ProvisionError> {
    // What a killed process left on the object: its grant must not count as held, and its end not as this one's.
    Box::pin(cut_off::run_on(app, &request.lock())).await?;
    let mut scene = scene(app, connection, options)?;
    let mut planned = match plan(&scene, request).await {
        Ok(plan) => plan,
        Err(ProvisionError::Cloudflare { source, .. }) => could_not_read(&scene, request, &source),
        Err(error) => return Err(error),
    };
    let end = timed::plan_end(app, request, options.lasts, &mut planned).await?;
    let now = app.clock.now();
    let mut row = AccessChangeRow {
        id: app.ids.new_id(now),
        connection_id: connection.id.clone(),
        parent_id: options.parent_id.clone(),
        action: request.action().to_owned(),
        object: format!("{} {}", planned.object_kind, planned.object_name),
        email: Some(request.email().to_owned()),
        request: serde_json::to_string(request).unwrap_or_default(),
        plan: serde_json::to_string(&planned).unwrap_or_default(),
        actor: actor.to_string(),
        note: options.note.clone(),
        outcome: ChangeOutcome::Running,
        reason: None,
        detail: "{}".to_owned(),
        undo: None,
        created_at: now,
        finished_at: None,
    };
    app.store.access_change_insert(&row).await?;
    fault::point("change.written_down");
    let detail = json!({ "change": row.id, "summary": planned.summary, "calls": planned.calls, "ends": planned.ends,
        "note": options.note });
    audit::record(
        app,
        actor,
        model::AuditAction::AccessChange,
        &row.object,
        model::AuditOutcome::Planned,
        detail,
    )
    .await?;

    let mut made = Changed {
        outcome: Outcome::Refused,
        reason: None,
        guard: None,
        change_id: row.id.clone(),
        remains: planned.remains.clone(),
        writes: 0,
        plan: planned.clone(),
    };
    let end = end.begin(app, &planned, actor, &row.id).await?;
    fault::point("change.end_begun");
    let worked = work(&mut scene, request, planned, &mut made).await;
    if worked.is_err() {
        made.outcome = Outcome::Refused;
    }
    end.settle(app, &mut made).await?;
    fault::point("change.end_settled");
    worked?;

    row.outcome = made.outcome.into();
    row.reason.clone_from(&made.reason);
    row.plan = serde_json::to_string(&made.plan).unwrap_or_default();
    row.detail = json!({ "guard": made.guard, "remains": made.remains, "writes": made.writes }).to_string();
    row.undo = (made.outcome == Outcome::Changed)
        .then_some(made.plan.undo.as_ref())
        .flatten()
        .map(|undo| serde_json::to_string(undo).unwrap_or_default());
    row.finished_at = Some(app.clock.now());
    let undo: Option<&Request> = made.plan.undo.as_ref().filter(|_| row.undo.is_some());
    let detail = json!({ "change": row.id, "reason": row.reason, "guard": made.guard, "ends": made.plan.ends,
        "undo": undo });
    audit::record(
        app,
        actor,
        model::AuditAction::AccessChange,
        &row.object,
        made.outcome.into(),
        detail,
    )
    .await?;
    // Told before it counts as ended: cut off in between, it is told twice rather than never.
    fault::point("change.told");
    app.store
        .access_change_finish(&row, &journal_entry(app, &row, &made).await?)
        .await?;
    fault::point("change.ended");
    Ok(made)
}

/// Writes until a new plan finds nothing left to do.
async fn work(
    scene: &mut Scene<'_>,
    request: &Request,
    mut planned: Plan,
    made: &mut Changed,
) -> Result<(), ProvisionError> {
    let mut last_failure: Option<CloudflareError> = None;
    let mut has_looked_again = false;
    loop {
        match planned.step.clone() {
            Step::Already { .. } if made.writes > 0 => {
                // Someone who read the object before our write may put it back the way it was.
                if !has_looked_again && needs_second_look(request) {
                    has_looked_again = true;
                    let wait = scene.app.settings.provisioning.second_look_ms;
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                } else {
                    made.outcome = Outcome::Changed;
                    made.remains.extend(planned.remains);
                    made.remains.sort();
                    made.remains.dedup();
                    return Ok(());
                }
            }
            Step::Already { reason } => {
                made.outcome = Outcome::Already;
                made.reason = Some(reason);
                made.remains = planned.remains.clone();
                made.plan = planned;
                return Ok(());
            }
            Step::Refused { guard, reason } => {
                made.outcome = if made.writes > 0 {
                    Outcome::Unverified
                } else {
                    Outcome::Refused
                };
                made.guard = Some(guard);
                made.reason = Some(reason);
                if made.writes == 0 {
                    made.plan = planned;
                }
                return Ok(());
            }
            Step::Write if made.writes >= ATTEMPTS => {
                let why = last_failure.as_ref().map_or(
                    "another client keeps changing the same object".to_owned(),
                    |error| crate::causes(error),
                );
                made.outcome = Outcome::Unverified;
                made.reason = Some(format!("the change was not found after {ATTEMPTS} writes: {why}"));
                return Ok(());
            }
            Step::Write => {
                made.plan = planned.clone();
                made.remains.clone_from(&planned.remains);
                has_looked_again = false;
                let mut result = Ok(None);
                for call in &planned.calls {
                    made.writes += 1;
                    result = scene.client.make(&scene.account, call).await;
                    fault::point("change.sent");
                    if result.is_err() {
                        break;
                    }
                }
                match result {
                    Ok(answer) => {
                        last_failure = None;
                        note_new_member(scene, request, answer.as_ref()).await?;
                    }
                    Err(CloudflareError::Refused(refusal)) if refusal.status < 500 => {
                        made.outcome = Outcome::Refused;
                        made.guard = Some(Guard::Cloudflare);
                        made.reason = Some(format!("Cloudflare rejected the request: {refusal}"));
                        made.writes -= 1;
                        return Ok(());
                    }
                    Err(error @ CloudflareError::RateLimited { .. }) => {
                        made.outcome = Outcome::Refused;
                        made.guard = Some(Guard::RateLimited);
                        made.reason = Some(crate::causes(&error));
                        made.writes -= 1;
                        return Ok(());
                    }
                    // Whether it was taken is not known: what is there now says so.
                    Err(error) => {
                        last_failure = Some(error);
                        note_new_member(scene, request, None).await?;
                    }
                }
                scene.has_written = true;
            }
        }
        planned = match plan_again(scene, request).await {
            Ok(plan) => plan,
            Err(ProvisionError::Cloudflare { source, .. }) => {
                made.outcome = Outcome::Unverified;
                made.reason = Some(format!(
                    "the change was sent but could not be read back: {}",
                    crate::causes(&source)
                ));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
    }
}

/// Whether a whole object was written, which another's write can undo unnoticed.
fn needs_second_look(request: &Request) -> bool {
    matches!(
        request,
        Request::GroupGrant { .. }
            | Request::GroupRevoke { .. }
            | Request::GroupUnexclude { .. }
            | Request::RoleGrant { .. }
            | Request::RoleRevoke { .. }
            | Request::MemberRolesSet { .. }
            | Request::MemberPoliciesSet { .. }
    )
}

/// Plans from what Cloudflare has now, and keeps that: the guards of the next change look at the stored lists.
async fn plan_again(scene: &Scene<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let mut planned = route(scene, request).await?;
    planned.name_ids();
    keep(scene, &planned).await?;
    Ok(planned)
}

/// Writes through to the stored lists what was just read.
async fn keep(scene: &Scene<'_>, planned: &Plan) -> Result<(), ProvisionError> {
    let (store, connection) = (&scene.app.store, &scene.connection.id);
    let now = scene.app.clock.now();
    let raw = &planned.before;
    let is_gone = raw.is_null() || planned.object_id.is_empty();
    match planned.object_kind {
        "group" if !is_gone => {
            let seen = AccessGroupSeen {
                id: planned.object_id.clone(),
                name: planned.object_name.clone(),
                raw: as_text(raw),
                fingerprint: fingerprint(raw),
            };
            store.access_group_upsert(connection, &[seen], None, now).await?;
        }
        "member" if is_gone => {
            store
                .member_forget(connection, planned.request.email(), now)
                .await?;
        }
        "access_user" if is_gone => {
            store
                .access_user_forget(connection, planned.request.email(), now)
                .await?;
        }
        "member" => keep_member(scene, raw).await?,
        "access_user" if raw.get("id").is_some() => {
            let user: cloudflare::AccessUser = match serde_json::from_value(raw.clone()) {
                Ok(user) => user,
                Err(_) => return Ok(()),
            };
            let people = ensure(scene, &user.email, user.name.clone()).await?;
            let seen = access_user_seen(&user, &people);
            store.access_user_upsert(connection, &[seen], None, now).await?;
        }
        _ => return Ok(()),
    }
    store.access_revision_bump().await?;
    Ok(())
}

async fn keep_member(scene: &Scene<'_>, raw: &Value) -> Result<(), ProvisionError> {
    let Ok(member) = serde_json::from_value::<cloudflare::Member>(raw.clone()) else {
        return Ok(());
    };
    let email = member.address().unwrap_or_default().to_owned();
    let people = ensure(scene, &email, None).await?;
    let seen = member_seen(&member, &people);
    scene
        .app
        .store
        .member_upsert(&scene.connection.id, &[seen], None, scene.app.clock.now())
        .await?;
    Ok(())
}

async fn ensure(
    scene: &Scene<'_>,
    email: &str,
    name: Option<String>,
) -> Result<HashMap<String, PersonId>, ProvisionError> {
    let now = scene.app.clock.now();
    let Some(email) = address::canonical(email) else {
        return Ok(HashMap::new());
    };
    let seen = PersonSeen {
        new_id: PersonId(scene.app.ids.new_id(now)),
        email,
        name: name.filter(|name| !name.is_empty()),
    };
    Ok(crate::people::ensure(scene.app, vec![seen], now).await?)
}

/// An invitation is answered with the membership's id, by which alone it can be read again; after a failure the
/// list of members has to be searched for it.
async fn note_new_member(
    scene: &Scene<'_>,
    request: &Request,
    answer: Option<&Value>,
) -> Result<(), ProvisionError> {
    use futures::TryStreamExt;
    let Request::MemberInvite { email, .. } = request else {
        return Ok(());
    };
    let id = answer.and_then(|answer| answer["id"].as_str());
    if let Some(id) = id {
        let raw = scene
            .client
            .member(&scene.account, id)
            .await
            .map_err(|source| scene.failed(source));
        // Not to be read yet is not to be there: the next plan will say.
        if let Ok(raw) = raw {
            keep_member(scene, &raw).await?;
        }
        return Ok(());
    }
    let mut pages = scene.client.members(&scene.account, 1);
    while let Ok(Some(page)) = pages.try_next().await {
        let found = page.items.into_iter().find(|member| {
            member
                .address()
                .is_some_and(|address| address::compared(address) == *email)
        });
        if let Some(member) = found {
            return keep_member(scene, &serde_json::to_value(&member).unwrap_or_default()).await;
        }
    }
    Ok(())
}

/// Asks the guards that concern every change, then plans.
async fn plan(scene: &Scene<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let label = &scene.connection.label;
    let blank = || Plan::new(request, label, "connection");
    let connection = scene.connection;
    if matches!(
        connection.state,
        ConnectionState::Paused | ConnectionState::Failed | ConnectionState::New
    ) {
        let why = connection.state_reason.clone().unwrap_or_default();
        return Ok(blank().refused(
            Guard::ConnectionPaused,
            format!("connection {label} is {}: {why}", connection.state),
        ));
    }
    if let Some(stale) = stale(scene, request).await? {
        return Ok(blank().refused(Guard::ListStale, stale));
    }
    let mut planned = route(scene, request).await?;
    planned.name_ids();
    planned.passes(Guard::ConnectionPaused, format!("connection {label} is active"));
    planned.passes(
        Guard::ListStale,
        "the lists that the guards use are complete and current",
    );
    Ok(planned)
}

async fn route(scene: &Scene<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    match request {
        Request::GroupGrant { .. } | Request::GroupRevoke { .. } | Request::GroupUnexclude { .. } => {
            group::plan(scene, request).await
        }
        Request::AccessUserCreate { .. }
        | Request::AccessUserRemove { .. }
        | Request::SeatsFree { .. }
        | Request::SessionsRevoke { .. } => access_user::plan(scene, request).await,
        _ => member::plan(scene, request).await,
    }
}

/// Why a list that the guards judge by cannot be relied on.
async fn stale(scene: &Scene<'_>, request: &Request) -> Result<Option<String>, ProvisionError> {
    let listings = scene.app.store.listing_list(&scene.connection.id).await?;
    let hours = i64::try_from(scene.app.settings.provisioning.stale_after_hours).unwrap_or(i64::MAX / 10_000);
    let oldest = scene.app.clock.now() - TimeDelta::hours(hours);
    for kind in request.lists() {
        let words = kind.replace('_', " ");
        let row = listings.iter().find(|row| row.kind.as_str() == *kind);
        let Some(complete_at) = row.and_then(|row| row.complete_at) else {
            return Ok(Some(format!(
                "the list of {words} has never been read: run `flareward sync`"
            )));
        };
        if let Some(reason) = row.and_then(|row| row.stale_reason.as_ref()) {
            return Ok(Some(format!(
                "the list of {words} is stale ({reason}): run `flareward sync`"
            )));
        }
        if complete_at < oldest {
            return Ok(Some(format!(
                "the list of {words} is from {}, more than {hours} hours ago: run `flareward sync`",
                complete_at.format("%Y-%m-%d %H:%M UTC")
            )));
        }
    }
    Ok(None)
}

fn could_not_read(scene: &Scene<'_>, request: &Request, source: &CloudflareError) -> Plan {
    let guard = if matches!(source, CloudflareError::RateLimited { .. }) {
        Guard::RateLimited
    } else {
        Guard::Cloudflare
    };
    Plan::new(request, &scene.connection.label, "connection").refused(
        guard,
        format!(
            "could not read the object before the change: {}",
            crate::causes(source)
        ),
    )
}

fn scene<'a>(
    app: &'a App,
    connection: &'a ConnectionRow,
    options: &'a Options,
) -> Result<Scene<'a>, ProvisionError> {
    let account = AccountId::parse(&connection.account_id).ok_or_else(|| {
        ProvisionError::Id(CloudflareError::Unusable(
            "the stored account id is not one".to_owned(),
        ))
    })?;
    Ok(Scene {
        app,
        connection,
        account,
        client: app.client(connection)?,
        options,
        has_written: false,
    })
}

async fn connection_of(app: &App, request: &Request) -> Result<ConnectionRow, ProvisionError> {
    app.store
        .connection_get(request.connection())
        .await?
        .ok_or(ProvisionError::NoConnection)
}

/// The request with its address as people are joined by.
fn canonical(request: &Request) -> Result<Request, ProvisionError> {
    let email = address::canonical(request.email())
        .ok_or_else(|| ProvisionError::Address(request.email().to_owned()))?;
    let mut value = serde_json::to_value(request).unwrap_or_default();
    value["email"] = json!(email);
    serde_json::from_value(value).map_err(|_| ProvisionError::Address(request.email().to_owned()))
}

/// Takes the lock on an object as soon as nobody has it.
async fn lock_wait(app: &App, lock: &str) -> Result<Lease, ProvisionError> {
    let holder = app.ids.new_id(app.clock.now());
    let taken = tokio::time::timeout(LOCK_PATIENCE, async {
        loop {
            if let Some(lease) = Lease::take(app, lock, &holder, LOCK).await? {
                return Ok::<_, StoreError>(lease);
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    });
    Ok(taken.await.map_err(|_| ProvisionError::Locked)??)
}

async fn journal_entry(
    app: &App,
    row: &AccessChangeRow,
    made: &Changed,
) -> Result<JournalEntry, ProvisionError> {
    let person = match &row.email {
        Some(email) => app.store.person_by_email(email).await?,
        None => None,
    };
    let what = if made.plan.summary.is_empty() {
        row.object.clone()
    } else {
        made.plan.summary.clone()
    };
    Ok(JournalEntry {
        at: row.finished_at.unwrap_or(row.created_at),
        kind: model::JournalKind::AccessChanged,
        person_id: person.map(|person| person.id),
        connection_id: Some(row.connection_id.clone()),
        subject_id: Some(row.id.clone()),
        summary: match &row.reason {
            Some(reason) => format!("{}: {what} ({reason})", row.outcome),
            None => format!("{}: {what}", row.outcome),
        },
        data: json!({ "outcome": row.outcome, "action": row.action, "actor": row.actor }),
    })
}
