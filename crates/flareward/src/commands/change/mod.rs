//! `flareward grant`, `revoke`, `offboard`, and the changes of members and Access users: the plan is shown, a person
//! or `--yes` agrees, the change is made and verified.
//!
//! Exit codes: 0 changed or so already; 3 refused; 4 sent and not verified.

mod args;
mod print;

pub(crate) use args::{
    Agreement, CreateAccessUserArgs, GrantChangeArgs, InviteArgs, OffboardArgs, PeopleInConnection,
    RevokeArgs, RevokeSessionsArgs, SetPoliciesArgs, SetRolesArgs,
};

use self::print::{REFUSED, code, print_all, print_plans, write_plan};
use super::removal::{ask_first, asked};
use super::{connection, person};
use crate::output::{self, Format, Printer};
use crate::{Global, stream};
use anyhow::{Context, bail};
use hub::access::Target;
use hub::access::explain::{Entitlement, resolve};
use hub::provisioning::offboard::{OffboardOptions, offboard, offboard_preview};
use hub::provisioning::timed::Lasts;
use hub::provisioning::undo::{self, undo_of};
use hub::provisioning::{
    Changed, Guard, Options, Outcome, Plan, ProvisionError, Request, change, people_cap, preview,
};
use hub::{Actor, App};
use model::GrantKind;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use store::{ConnectionRow, LIST_LIMIT_MAX};
use web::api::changes::{ChangedBody, OffboardedBody, TimedGrantBody};

pub(crate) async fn grant(args: GrantChangeArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let entitlement = entitlement(&app, &args.group, &args.role, args.connection.as_deref()).await?;
    let email = address(&app, &args.person).await?;
    let connection = entitlement.connection.id.clone();
    let request = match entitlement.kind {
        GrantKind::Role => Request::RoleGrant {
            connection,
            role: entitlement.id.clone(),
            email,
        },
        _ => Request::GroupGrant {
            connection,
            group: entitlement.id.clone(),
            email,
        },
    };
    let options = Options {
        note: args.agreement.reason.clone(),
        unknown_person: args.new_person,
        lasts: match (args.lasts, args.permanent) {
            (Some(span), _) => Lasts::For(span),
            (None, true) => Lasts::Permanent,
            (None, false) => Lasts::AsBefore,
        },
        ..Options::default()
    };
    make(&app, &[request], &options, &args.agreement, global.output).await
}

pub(crate) async fn revoke(args: RevokeArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let entitlement = entitlement(&app, &args.group, &args.role, args.connection.as_deref()).await?;
    let email = address(&app, &args.person).await?;
    let connection = entitlement.connection.id.clone();
    let request = match entitlement.kind {
        GrantKind::Role => Request::RoleRevoke {
            connection,
            role: entitlement.id.clone(),
            email,
        },
        _ => Request::GroupRevoke {
            connection,
            group: entitlement.id.clone(),
            email,
            by_exclusion: args.exclude,
            keeps_rules: false,
        },
    };
    simple(&app, &[request], &args.agreement, global.output).await
}

pub(crate) async fn invite(args: InviteArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let row = connection(&app, args.connection.as_deref()).await?;
    let request = Request::MemberInvite {
        connection: row.id.clone(),
        email: args.email.clone(),
        roles: role_ids(&app, &row, &args.roles).await?,
        policies: Vec::new(),
    };
    simple(&app, &[request], &args.agreement, global.output).await
}

pub(crate) async fn set_roles(args: SetRolesArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let row = connection(&app, args.connection.as_deref()).await?;
    let request = Request::MemberRolesSet {
        connection: row.id.clone(),
        email: address(&app, &args.person).await?,
        roles: role_ids(&app, &row, &args.roles).await?,
    };
    simple(&app, &[request], &args.agreement, global.output).await
}

pub(crate) async fn set_policies(args: SetPoliciesArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let row = connection(&app, args.connection.as_deref()).await?;
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("could not read {}", args.file.display()))?;
    let policies: Vec<Value> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a JSON array of policies", args.file.display()))?;
    for (at, policy) in policies.iter().enumerate() {
        for name in ["permission_groups", "resource_groups"] {
            let ids = policy[name].as_array().filter(|groups| !groups.is_empty());
            if !ids.is_some_and(|groups| groups.iter().all(|group| group["id"].is_string())) {
                bail!("policy {at}: {name} must be a list of objects with an ID");
            }
        }
    }
    let request = Request::MemberPoliciesSet {
        connection: row.id.clone(),
        email: address(&app, &args.person).await?,
        policies,
    };
    simple(&app, &[request], &args.agreement, global.output).await
}

pub(crate) async fn create_access_user(
    args: CreateAccessUserArgs,
    global: &Global,
) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let row = connection(&app, args.connection.as_deref()).await?;
    let request = Request::AccessUserCreate {
        connection: row.id,
        email: args.email.clone(),
        name: args.name.clone(),
    };
    simple(&app, &[request], &args.agreement, global.output).await
}

pub(crate) async fn revoke_sessions(args: RevokeSessionsArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let devices = args.devices;
    each(args.people, global, |connection, email| Request::SessionsRevoke {
        connection,
        email,
        devices,
    })
    .await
}

/// Applies the same change to several people.
pub(crate) async fn each(
    args: PeopleInConnection,
    global: &Global,
    request: impl Fn(model::ConnectionId, String) -> Request,
) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let row = connection(&app, args.connection.as_deref()).await?;
    let mut requests = Vec::with_capacity(args.people.len());
    for person in &args.people {
        requests.push(request(row.id.clone(), address(&app, person).await?));
    }
    simple(&app, &requests, &args.agreement, global.output).await
}

async fn simple(
    app: &App,
    requests: &[Request],
    agreement: &Agreement,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let options = Options {
        note: agreement.reason.clone(),
        ..Options::default()
    };
    make(app, requests, &options, agreement, format).await
}

/// Shows the plans, asks for confirmation and applies the changes.
pub(super) async fn make(
    app: &App,
    requests: &[Request],
    options: &Options,
    agreement: &Agreement,
    format: Format,
) -> anyhow::Result<ExitCode> {
    if let Err(error @ ProvisionError::PeopleCap { .. }) = people_cap(app, requests) {
        let refused =
            json!({ "outcome": Outcome::Refused, "guard": Guard::PeopleCap, "reason": error.to_string() });
        return print_all(format, &[(refused, Outcome::Refused)]);
    }
    if let Some(code) = ended_before(app, requests, options, agreement, format).await? {
        return Ok(code);
    }
    let mut made = Vec::with_capacity(requests.len());
    for request in requests {
        let changed = change(app, request, options, &Actor::CommandLine).await?;
        made.push(answered(changed)?);
    }
    print_all(format, &made)
}

/// Shows the plans and asks for confirmation. The exit code if no change is to be made.
async fn ended_before(
    app: &App,
    requests: &[Request],
    options: &Options,
    agreement: &Agreement,
    format: Format,
) -> anyhow::Result<Option<ExitCode>> {
    if agreement.yes && !agreement.plan {
        return Ok(None);
    }
    let mut plans = Vec::with_capacity(requests.len());
    for request in requests {
        plans.push(preview(app, request, options).await?);
    }
    if agreement.plan {
        return print_plans(format, plans).map(Some);
    }
    Ok((!agreed(&plans)?).then(|| ExitCode::from(REFUSED)))
}

/// Undoes a change, after its plan was shown and confirmed.
pub(super) async fn undo(
    app: &App,
    id: &str,
    agreement: &Agreement,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let planned = undo_of(app, id, agreement.reason.clone()).await?;
    if let Some(code) = ended_before(app, &[planned.request], &planned.options, agreement, format).await? {
        return Ok(code);
    }
    let changed = undo::undo(app, id, agreement.reason.clone(), &Actor::CommandLine).await?;
    print_all(format, &[answered(changed)?])
}

fn answered(changed: Changed) -> anyhow::Result<(Value, Outcome)> {
    let outcome = changed.outcome;
    Ok((serde_json::to_value(ChangedBody::new(changed))?, outcome))
}

/// Shows the plans on the terminal and asks for confirmation.
fn agreed(plans: &[Plan]) -> anyhow::Result<bool> {
    let mut out = stream::Complaint;
    for plan in plans {
        write_plan(&mut out, plan)?;
    }
    if !plans.iter().any(Plan::changes_anything) {
        // Nothing will be sent: what the guards say is the answer.
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(ask_first("changed").into());
    }
    Ok(asked("", "Apply this change?")?)
}

pub(crate) async fn run_offboard(args: OffboardArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    let row = person(&app, &args.person).await?;
    let options = OffboardOptions {
        remove_access_user: args.remove_access_user,
        exclude: args.exclude,
    };
    if args.agreement.plan || !args.agreement.yes {
        let plans = offboard_preview(&app, &row, options).await?;
        if args.agreement.plan {
            return print_plans(global.output, plans);
        }
        if !agreed(&plans)? {
            return Ok(ExitCode::from(REFUSED));
        }
    }
    let done = offboard(
        &app,
        &row,
        options,
        args.agreement.reason.as_deref(),
        &Actor::CommandLine,
    )
    .await?;
    let outcome = done.outcome;
    let mut out = stream::Out;
    match global.output {
        Format::Table => {
            writeln!(out, "{}: offboard {}", done.outcome.as_str(), row.email)?;
            for step in &done.steps {
                let outcome = step.changed.outcome.as_str();
                writeln!(out, "  {outcome}: {} ({})", step.summary, step.connection)?;
                if let Some(reason) = &step.changed.reason {
                    writeln!(out, "    reason: {reason}")?;
                }
            }
            for remains in &done.remains {
                writeln!(out, "  remaining access: {remains}")?;
            }
        }
        Format::Csv => {
            let mut printer = Printer::new(
                Format::Csv,
                &["outcome", "connection", "summary", "reason", "change_id"],
            );
            for step in done.steps {
                let summary = json!(step.summary);
                let connection = json!(step.connection);
                let body = ChangedBody::new(step.changed);
                printer.body(&body, &[("summary", summary), ("connection", connection)])?;
            }
            printer.finish("")?;
        }
        _ => {
            output::document(global.output, &serde_json::to_value(OffboardedBody::new(done))?)?;
        }
    }
    Ok(code(Some(outcome)))
}

/// `flareward grants timed`: grants that expire.
pub(crate) async fn write_timed(
    app: &App,
    person: Option<&str>,
    with_ended: bool,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let email = match person {
        Some(wanted) => Some(super::address_of(app, wanted).await?),
        None => None,
    };
    let labels = hub::connection::labels(app).await?;
    for row in app
        .store
        .timed_grant_list(email.as_deref(), with_ended, LIST_LIMIT_MAX)
        .await?
    {
        let body = TimedGrantBody::new(row, &labels);
        printer.body(&body, &[("name", json!(body.entitlement_name))])?;
    }
    Ok(())
}

pub(crate) const TIMED: &[&str] = &[
    "email",
    "kind",
    "name",
    "state",
    "expires_at",
    "problem",
    "+connection",
];

async fn entitlement(
    app: &App,
    group: &Option<String>,
    role: &Option<String>,
    label: Option<&str>,
) -> anyhow::Result<Entitlement> {
    let row = match label {
        Some(label) => Some(connection(app, Some(label)).await?),
        None => None,
    };
    let target = match (group, role) {
        (Some(group), _) => Target::Group(group.clone()),
        (None, Some(role)) => Target::Role(role.clone()),
        (None, None) => bail!("specify a group or a role"),
    };
    Ok(resolve(app, row.as_ref(), &target).await?)
}

async fn role_ids(app: &App, row: &ConnectionRow, roles: &[String]) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::with_capacity(roles.len());
    for role in roles {
        let found = resolve(app, Some(row), &Target::Role(role.clone())).await?;
        ids.push(found.id);
    }
    Ok(ids)
}

/// An email address: as given, or of the person with this ID.
async fn address(app: &App, wanted: &str) -> anyhow::Result<String> {
    if wanted.contains('@') {
        return Ok(wanted.trim().to_lowercase());
    }
    Ok(person(app, wanted).await?.email)
}
