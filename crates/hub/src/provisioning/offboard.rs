//! Taking everything from a person, in every connected account, and saying what is left.
//!
//! Each step is a change of its own with its own plan and guards; one that is refused stops no other. Revoking is
//! not blocking: what would let the person back in is named. Start reading at [`offboard`].

use super::lock::LOCK;
use super::{Changed, Options, Outcome, Plan, ProvisionError, Request, change, preview};
use crate::access::{AccessView, GrantFilter, Scope};
use crate::app::App;
use crate::fault;
use crate::lease::Lease;
use crate::permission::Actor;
use model::{Certainty, ChangeOutcome, ConnectionState, GrantKind, address};
use serde::Serialize;
use serde_json::json;
use store::{AccessChangeRow, JournalEntry, LIST_LIMIT_MAX, PersonRow, StoreError};

/// What is taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct OffboardOptions {
    /// Remove the Access user too, not only their seats. They come back with a sign-in that the rules let pass.
    pub remove_access_user: bool,
    /// Where a wider rule lets the person in, exclude them by address.
    pub exclude: bool,
}

/// One step and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct OffboardStep {
    /// The connection's label.
    pub connection: String,
    /// What was to be done.
    pub summary: String,
    /// The change.
    #[serde(flatten)]
    pub changed: Changed,
}

/// What was taken and what is left.
#[derive(Debug, Clone, Serialize)]
pub struct Offboarded {
    /// Our id of the whole, in the list of changes.
    pub change_id: Option<String>,
    /// The worst of the steps.
    pub outcome: Outcome,
    /// Why, in one sentence.
    pub reason: Option<String>,
    /// In their order.
    pub steps: Vec<OffboardStep>,
    /// What still is, or may be, open to the person.
    pub remains: Vec<String>,
}

/// The plans of every step, without doing any.
///
/// # Errors
///
/// See [`ProvisionError`].
pub async fn offboard_preview(
    app: &App,
    person: &PersonRow,
    options: OffboardOptions,
) -> Result<Vec<Plan>, ProvisionError> {
    let mut plans = Vec::new();
    for request in requests(app, person, options).await? {
        plans.push(preview(app, &request, &Options::default()).await?);
    }
    Ok(plans)
}

/// Takes everything from a person.
///
/// # Errors
///
/// See [`ProvisionError`]. What a guard or Cloudflare refuses is in the answer.
pub async fn offboard(
    app: &App,
    person: &PersonRow,
    options: OffboardOptions,
    note: Option<&str>,
    actor: &Actor,
) -> Result<Offboarded, ProvisionError> {
    let id = app.ids.new_id(app.clock.now());
    let lease = Lease::take(app, &lock(&id), &id, LOCK)
        .await?
        .ok_or(ProvisionError::Locked)?;
    let work = Box::pin(under_way(app, id, person, options, note, actor));
    let result = lease.keep(work).await.unwrap_or(Err(ProvisionError::Locked));
    lease.release().await;
    result
}

/// Held while a change of many steps is under way: one that is running without it was cut off.
pub(super) fn lock(id: &str) -> String {
    format!("change/{id}")
}

async fn under_way(
    app: &App,
    id: String,
    person: &PersonRow,
    options: OffboardOptions,
    note: Option<&str>,
    actor: &Actor,
) -> Result<Offboarded, ProvisionError> {
    let requests = requests(app, person, options).await?;
    let now = app.clock.now();
    let mut whole = match requests.first() {
        Some(first) => {
            let row = AccessChangeRow {
                id,
                connection_id: first.connection().clone(),
                parent_id: None,
                action: "person.offboard".to_owned(),
                object: format!("person {}", person.email),
                email: Some(person.email.clone()),
                request: json!({ "action": "person.offboard", "email": person.email }).to_string(),
                plan: json!({ "requests": requests }).to_string(),
                actor: actor.to_string(),
                note: note.map(str::to_owned),
                outcome: ChangeOutcome::Running,
                reason: None,
                detail: "{}".to_owned(),
                undo: None,
                created_at: now,
                finished_at: None,
            };
            app.store.access_change_insert(&row).await?;
            Some(row)
        }
        None => None,
    };
    fault::point("offboard.written_down");
    let mut steps = Vec::new();
    for request in requests {
        let step = Options {
            note: note.map(str::to_owned),
            parent_id: whole.as_ref().map(|row| row.id.clone()),
            ..Options::default()
        };
        let changed = change(app, &request, &step, actor).await?;
        fault::point("offboard.step");
        steps.push(OffboardStep {
            connection: changed.plan.connection.clone(),
            summary: changed.plan.summary.clone(),
            changed,
        });
    }
    let remains = remains(app, person, options).await?;
    let outcome = steps
        .iter()
        .map(|step| step.changed.outcome)
        .max()
        .unwrap_or(Outcome::Already);
    let refused = steps
        .iter()
        .filter(|step| step.changed.outcome >= Outcome::Refused)
        .count();
    let reason = match (steps.is_empty(), refused) {
        (true, _) => Some(format!("{} has no access in any connected account", person.email)),
        (_, 0) => None,
        (_, refused) => Some(format!("{refused} of {} steps were not applied", steps.len())),
    };
    if let Some(row) = &mut whole {
        let finished = app.clock.now();
        row.outcome = outcome.into();
        row.reason.clone_from(&reason);
        row.detail = json!({ "remains": remains, "steps": steps.len() }).to_string();
        row.finished_at = Some(finished);
        let entry = JournalEntry {
            at: finished,
            kind: model::JournalKind::AccessOffboarded,
            person_id: Some(person.id.clone()),
            connection_id: None,
            subject_id: Some(row.id.clone()),
            summary: format!(
                "{}: offboard {} in {} steps",
                row.outcome,
                person.email,
                steps.len()
            ),
            data: json!({ "outcome": row.outcome, "remains": remains }),
        };
        app.store.access_change_finish(row, &entry).await?;
    }
    Ok(Offboarded {
        change_id: whole.map(|row| row.id),
        outcome,
        reason,
        steps,
        remains,
    })
}

/// What is to be done, in the order in which it takes most effect first: groups, then sessions, so that whoever
/// signs in again meets the rules as they are then; the membership last.
async fn requests(
    app: &App,
    person: &PersonRow,
    options: OffboardOptions,
) -> Result<Vec<Request>, ProvisionError> {
    let view = AccessView::of_person(app, person, &Scope::Everything).await?;
    let subject = view.people.first().ok_or(StoreError::Gone("the person"))?;
    let users = app.store.access_user_by_person(&person.id).await?;
    let mut requests = Vec::new();
    for (place, connection) in view.connections.iter().enumerate() {
        let id = &connection.id;
        let held = view.grant_page(
            &GrantFilter {
                kind: Some(GrantKind::AccessGroup),
                connection_id: Some(id.clone()),
                ..GrantFilter::default()
            },
            LIST_LIMIT_MAX as usize,
        );
        for grant in held {
            let is_direct = named_in(app, &grant, subject).await?;
            let by_exclusion = options.exclude && grant.certainty == Certainty::Yes && !is_direct;
            if is_direct || by_exclusion {
                requests.push(Request::GroupRevoke {
                    connection: id.clone(),
                    group: grant.entitlement_id,
                    email: person.email.clone(),
                    by_exclusion: by_exclusion || (options.exclude && is_direct),
                    keeps_rules: false,
                });
            }
        }
        for user in users.iter().filter(|user| user.connection_id == *id) {
            let email = address::compared(&user.email);
            requests.push(Request::SessionsRevoke {
                connection: id.clone(),
                email: email.clone(),
                devices: true,
            });
            requests.push(if options.remove_access_user {
                Request::AccessUserRemove {
                    connection: id.clone(),
                    email,
                }
            } else {
                Request::SeatsFree {
                    connection: id.clone(),
                    email,
                }
            });
        }
        for member in subject.members.iter().filter(|member| member.connection == place) {
            let email = address::compared(&member.email);
            requests.push(if member.is_accepted {
                Request::MemberRemove {
                    connection: id.clone(),
                    email,
                }
            } else {
                Request::InvitationCancel {
                    connection: id.clone(),
                    email,
                }
            });
        }
    }
    Ok(requests)
}

/// Whether a rule of the group names the person.
async fn named_in(
    app: &App,
    grant: &crate::access::Grant,
    subject: &crate::access::subject::Subject,
) -> Result<bool, StoreError> {
    use crate::access::rule::Selector;
    let Some(row) = app
        .store
        .access_group_get(&grant.connection_id, &grant.entitlement_id)
        .await?
    else {
        return Ok(false);
    };
    let raw = row.raw_json()?;
    Ok(raw["include"].as_array().into_iter().flatten().any(
        |rule| matches!(Selector::read(rule), Selector::Email(address) if subject.has_address(&address)),
    ))
}

/// What still is, or may be, open to the person.
async fn remains(
    app: &App,
    person: &PersonRow,
    options: OffboardOptions,
) -> Result<Vec<String>, ProvisionError> {
    let mut remains = Vec::new();
    let view = AccessView::of_person(app, person, &Scope::Everything).await?;
    let all = GrantFilter::default();
    for grant in view.grant_page(&all, LIST_LIMIT_MAX as usize) {
        remains.push(format!(
            "{} {} in {}: {} ({})",
            grant.kind,
            grant.entitlement_name,
            grant.connection,
            grant.certainty,
            grant.via.join(", ")
        ));
    }
    for connection in app.store.connection_list().await? {
        if !matches!(
            connection.state,
            ConnectionState::Connected | ConnectionState::Degraded | ConnectionState::Syncing
        ) {
            remains.push(format!(
                "connection {} is {}: nothing was changed there",
                connection.label, connection.state
            ));
        }
        let providers = app
            .store
            .account_object_list("identity_providers", Some(&connection.id), None, LIST_LIMIT_MAX)
            .await?;
        let names: Vec<String> = providers
            .into_iter()
            .filter(|row| !row.raw.contains("\"onetimepin\""))
            .map(|row| row.name)
            .collect();
        if !names.is_empty() {
            remains.push(format!(
                "their accounts and active sessions at the identity providers of {} ({}): disable them there",
                connection.label,
                names.join(", ")
            ));
        }
    }
    if !options.remove_access_user && !app.store.access_user_by_person(&person.id).await?.is_empty() {
        remains.push("their Access user, which takes a seat again on the next sign-in".to_owned());
    }
    remains.push(
        "API tokens they created (Cloudflare does not report the owner of a token), and access outside \
             the connected accounts"
            .to_owned(),
    );
    Ok(remains)
}
