//! `flareward grant`, `revoke`, `offboard`, and the changes of members and Access users: the plan is shown, a person
//! or `--yes` agrees, the change is made and verified.
//!
//! Exit codes: 0 changed or so already; 3 refused; 4 sent and not verified.

use super::removal::{ask_first, asked};
use super::{connection, person};
use crate::output::{self, Format, Printer};
use crate::{Global, stream};
use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use hub::access::Target;
use hub::access::explain::{Entitlement, resolve};
use hub::provisioning::offboard::{OffboardOptions, offboard, offboard_preview};
use hub::provisioning::timed::Lasts;
use hub::provisioning::undo::{self, undo_of};
use hub::provisioning::{
    Changed, Guard, Options, Outcome, Plan, ProvisionError, Request, Step, change, people_cap, preview, timed,
};
use hub::{Actor, App};
use model::GrantKind;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use store::{ConnectionRow, LIST_LIMIT_MAX};
use web::api::changes::{ChangedBody, OffboardedBody, PlanBody, TimedGrantBody};

const REFUSED: u8 = 3;
const UNVERIFIED: u8 = 4;

/// Options to preview or confirm a change.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Agreement {
    /// Show the plan without applying it
    #[arg(long, conflicts_with = "yes")]
    plan: bool,
    /// Apply the change without asking for confirmation
    #[arg(long)]
    yes: bool,
    /// Reason, recorded in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// The person and the group or role to grant.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["group", "role"])))]
pub(crate) struct GrantChangeArgs {
    /// Person (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    person: String,
    /// Access group (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    group: Option<String>,
    /// Account role (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    role: Option<String>,
    /// Connection; required if the name exists in several connections
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Expire the grant after this time, for example 30m, 8h or 7d. Without this option, a new grant never expires
    /// and an existing grant keeps its expiry
    #[arg(long = "for", value_name = "TIME", value_parser = time_span)]
    lasts: Option<TimeDelta>,
    /// Remove the expiry of an existing grant
    #[arg(long, conflicts_with = "lasts")]
    permanent: bool,
    /// Allow an email address that no connection lists yet
    #[arg(long)]
    new_person: bool,
    #[command(flatten)]
    agreement: Agreement,
}

/// The person and the group or role to revoke.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["group", "role"])))]
pub(crate) struct RevokeArgs {
    /// Person (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    person: String,
    /// Access group (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    group: Option<String>,
    /// Account role (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    role: Option<String>,
    /// Connection; required if the name exists in several connections
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// Exclude the person by email address if a wider rule or a nested group admits them
    #[arg(long, conflicts_with = "role")]
    exclude: bool,
    #[command(flatten)]
    agreement: Agreement,
}

/// The person to offboard.
#[derive(Debug, clap::Args)]
pub(crate) struct OffboardArgs {
    /// Person (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    person: String,
    /// Also remove the Access user, not only the seats
    #[arg(long)]
    remove_access_user: bool,
    /// Exclude the person by email address from groups whose wider rules admit them
    #[arg(long)]
    exclude: bool,
    #[command(flatten)]
    agreement: Agreement,
}

/// People in one connection.
#[derive(Debug, clap::Args)]
pub(crate) struct PeopleInConnection {
    /// Person (email address or ID); repeatable
    #[arg(long = "person", value_name = "EMAIL|ID", required = true)]
    people: Vec<String>,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    #[command(flatten)]
    agreement: Agreement,
}

/// The person to invite.
#[derive(Debug, clap::Args)]
pub(crate) struct InviteArgs {
    /// Email address
    #[arg(long, value_name = "EMAIL")]
    email: String,
    /// Role (ID or exact name); repeatable
    #[arg(long = "role", value_name = "ID|NAME", required = true)]
    roles: Vec<String>,
    /// Connection of the account
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    #[command(flatten)]
    agreement: Agreement,
}

/// The member and their new roles.
#[derive(Debug, clap::Args)]
pub(crate) struct SetRolesArgs {
    /// Member (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    person: String,
    /// Role (ID or exact name); repeatable
    #[arg(long = "role", value_name = "ID|NAME", required = true)]
    roles: Vec<String>,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    #[command(flatten)]
    agreement: Agreement,
}

/// The member and their new policies.
#[derive(Debug, clap::Args)]
pub(crate) struct SetPoliciesArgs {
    /// Member (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    person: String,
    /// File with a JSON array of policies; each has access, permission_groups and resource_groups, with IDs
    #[arg(long, value_name = "FILE")]
    file: std::path::PathBuf,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    #[command(flatten)]
    agreement: Agreement,
}

/// The Access user to create.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateAccessUserArgs {
    /// Email address
    #[arg(long, value_name = "EMAIL")]
    email: String,
    /// Display name
    #[arg(long)]
    name: Option<String>,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    #[command(flatten)]
    agreement: Agreement,
}

/// The people whose sessions to revoke.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeSessionsArgs {
    #[command(flatten)]
    people: PeopleInConnection,
    /// Also revoke device sessions
    #[arg(long)]
    devices: bool,
}

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

fn print_all(format: Format, made: &[(Value, Outcome)]) -> anyhow::Result<ExitCode> {
    let mut out = stream::Out;
    match (format, made) {
        (Format::Table, _) => {
            for (answer, _) in made {
                let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
                let what = if text("summary").is_empty() {
                    text("person")
                } else {
                    text("summary")
                };
                writeln!(out, "{}: {what}", text("outcome"))?;
                if !text("reason").is_empty() {
                    writeln!(out, "  reason: {}", text("reason"))?;
                }
                if let Some(expires_at) = answer["expires_at"].as_str() {
                    writeln!(out, "  expires: {expires_at}")?;
                }
                for remains in answer["remains"].as_array().into_iter().flatten() {
                    writeln!(
                        out,
                        "  remaining access: {}",
                        remains.as_str().unwrap_or_default()
                    )?;
                }
                for warning in answer["warnings"].as_array().into_iter().flatten() {
                    writeln!(out, "  warning: {}", warning.as_str().unwrap_or_default())?;
                }
            }
        }
        (Format::Json, [(only, _)]) => writeln!(out, "{only:#}")?,
        (Format::Json, _) => {
            let all: Vec<&Value> = made.iter().map(|(answer, _)| answer).collect();
            writeln!(out, "{:#}", json!(all))?;
        }
        _ => {
            let mut printer = Printer::new(
                format,
                &[
                    "outcome",
                    "person",
                    "summary",
                    "reason",
                    "expires_at",
                    "change_id",
                ],
            );
            for (answer, _) in made {
                printer.row(answer)?;
            }
            printer.finish("")?;
        }
    }
    Ok(code(made.iter().map(|(_, outcome)| *outcome).max()))
}

fn code(worst: Option<Outcome>) -> ExitCode {
    match worst {
        Some(Outcome::Refused) => ExitCode::from(REFUSED),
        Some(Outcome::Unverified) => ExitCode::from(UNVERIFIED),
        _ => ExitCode::SUCCESS,
    }
}

fn print_plans(format: Format, plans: Vec<Plan>) -> anyhow::Result<ExitCode> {
    let mut out = stream::Out;
    let refused = plans.iter().any(|plan| matches!(plan.step, Step::Refused { .. }));
    match (format, plans.len()) {
        (Format::Json, count) => {
            let bodies: Vec<PlanBody> = plans.into_iter().map(PlanBody::new).collect();
            match (bodies.first(), count) {
                (Some(only), 1) => writeln!(out, "{:#}", json!(only))?,
                _ => writeln!(out, "{:#}", json!(bodies))?,
            }
        }
        (Format::Ndjson, _) => {
            for plan in plans {
                writeln!(out, "{}", json!(PlanBody::new(plan)))?;
            }
        }
        (Format::Csv, _) => {
            let mut printer = Printer::new(format, PLANS);
            for plan in &plans {
                let mut row = json!(plan);
                row["verdict"] = row["step"]["verdict"].clone();
                row["reason"] = row["step"]["reason"].clone();
                row["ends_before"] = row["ends"]["before"].clone();
                row["ends_after"] = row["ends"]["after"].clone();
                row["person"] = json!(plan.request.email());
                printer.row(&row)?;
            }
            printer.finish("")?;
        }
        _ => {
            for plan in &plans {
                write_plan(&mut out, plan)?;
            }
        }
    }
    Ok(if refused {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}

const PLANS: &[&str] = &[
    "connection",
    "person",
    "summary",
    "verdict",
    "reason",
    "ends_before",
    "ends_after",
    "warnings",
    "remains",
];

fn write_plan(out: &mut impl Write, plan: &Plan) -> std::io::Result<()> {
    let what = if plan.summary.is_empty() {
        format!("{} for {}", plan.request.action(), plan.request.email())
    } else {
        plan.summary.clone()
    };
    writeln!(out, "Plan for {}: {what}", plan.connection)?;
    match &plan.step {
        Step::Already { reason } if plan.changes_anything() => writeln!(out, "  {reason}")?,
        Step::Already { reason } => writeln!(out, "  nothing to do: {reason}")?,
        Step::Refused { reason, guard } => writeln!(out, "  refused ({}): {reason}", guard.as_str())?,
        Step::Write => {
            for difference in plan.differences() {
                let member = &difference.member;
                for value in &difference.added {
                    writeln!(out, "  + {member} {value}")?;
                }
                for value in &difference.removed {
                    writeln!(out, "  - {member} {value}")?;
                }
            }
            for call in &plan.calls {
                let call = hub::provisioning::call_in_words(call.method, &call.path, &plan.names);
                writeln!(out, "  call: {call}")?;
            }
        }
    }
    for guard in plan.guards.iter().filter(|guard| guard.passes) {
        writeln!(out, "  guard {}: passed, {}", guard.guard.as_str(), guard.words)?;
    }
    if let Some(ends) = plan.ends {
        let end = |at: Option<DateTime<Utc>>| {
            at.map_or("none".to_owned(), |at| {
                at.format("%Y-%m-%d %H:%M UTC").to_string()
            })
        };
        writeln!(out, "  expiry: {} → {}", end(ends.before), end(ends.after))?;
    }
    for effect in &plan.effects {
        writeln!(
            out,
            "  side effect: {}: {} → {}",
            effect.what, effect.before, effect.after
        )?;
    }
    for warning in &plan.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    for remains in &plan.remains {
        writeln!(out, "  remaining access: {remains}")?;
    }
    Ok(())
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

/// Reads `30m`, `8h`, `7d`.
fn time_span(text: &str) -> Result<TimeDelta, String> {
    let understood = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
        match unit {
            "m" => TimeDelta::try_minutes(number),
            "h" => TimeDelta::try_hours(number),
            "d" => TimeDelta::try_days(number),
            _ => None,
        }
    };
    match understood() {
        Some(span) if span <= timed::LONGEST => Ok(span),
        Some(_) => Err(format!("the maximum is {} days", timed::LONGEST.num_days())),
        None => Err("use a number followed by m, h or d, for example 8h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(time_span("8h"), Ok(TimeDelta::hours(8)));
        assert_eq!(time_span("30m"), Ok(TimeDelta::minutes(30)));
        for bad in ["", "h", "8", "-1h", "0d", "8w", "99999999999999d", "400d", "8µ"] {
            assert!(time_span(bad).is_err(), "{bad}");
        }
    }
}
