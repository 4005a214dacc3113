//! `flareward people`: one list over all connections, one person with everything, and further addresses.

use super::person;
use super::removal::{Confirm, Removal};
use crate::output::{self, Format, Printer, object};
use crate::{Global, NotFound};
use anyhow::{Context, bail};
use hub::people::{self, AliasProblem, AliasRequest, Step};
use hub::{Actor, App};
use model::RiskLevel;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::{LIST_LIMIT_MAX, PersonFilter};
use web::api::access::GrantBody;
use web::api::people::{PersonBody, PersonDetailBody};

/// Subcommands of `people`.
#[derive(Debug, clap::Args)]
pub(crate) struct PeopleArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List people
    List(PersonArgs),
    /// Show one person: accounts, groups and applications with the reason, sessions, risk
    Show {
        /// Email address or ID
        person: String,
        /// First fetch last seen identity, sessions and failed logins from Cloudflare
        #[arg(long)]
        refresh: bool,
    },
    /// Manage aliases: additional email addresses of people
    Alias(AliasArgs),
}

/// Subcommands of `people alias`.
#[derive(Debug, clap::Args)]
pub(crate) struct AliasArgs {
    #[command(subcommand)]
    action: AliasAction,
}

#[derive(Debug, clap::Subcommand)]
enum AliasAction {
    /// List aliases
    List,
    /// Add an alias to a person
    Add {
        /// The alias
        address: String,
        /// Person (email address or ID)
        #[arg(long)]
        person: String,
        /// If the address belongs to another person, merge the two people; cannot be undone
        #[arg(long)]
        merge: bool,
    },
    /// Remove an alias
    Remove {
        /// The alias
        address: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Import aliases from a CSV file with the columns email and alias; if any line is invalid, nothing is imported
    Import {
        /// CSV file
        file: PathBuf,
        /// If an alias belongs to another person, merge the two people; cannot be undone
        #[arg(long)]
        merge: bool,
    },
}

const ALIASES: &[&str] = &["alias", "email", "source", "created_at"];

/// Filters for people.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct PersonArgs {
    /// Part of the email address or name
    #[arg(long)]
    pub(crate) search: Option<String>,
    /// Only with this Flareward risk level
    #[arg(long)]
    pub(crate) risk: Option<RiskLevel>,
}

pub(crate) const COLUMNS: &[&str] = &["email", "name", "hub_risk_level", "+hub_risk_since", "+id"];

pub(crate) async fn run(args: PeopleArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let app = crate::open(global).await?;
    match args.action {
        Action::List(filters) => {
            let mut printer = Printer::new(global.output, COLUMNS);
            write(&app, &filters, &mut printer).await?;
            printer.finish("No people: connect an account and run `flareward sync`")?;
        }
        Action::Show {
            person: wanted,
            refresh,
        } => show(&app, &wanted, refresh, global.output).await?,
        Action::Alias(args) => return alias(args, &app, global).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes of the risk level that are shown to people; JSON has more.
const CHANGES_SHOWN: usize = 20;

pub(crate) async fn write(app: &App, filters: &PersonArgs, printer: &mut Printer) -> anyhow::Result<()> {
    let mut filter = PersonFilter {
        search: filters.search.clone(),
        risk_level: filters.risk,
        after_email: None,
        limit: LIST_LIMIT_MAX,
    };
    loop {
        let page = app.store.person_list(&filter).await?;
        let Some(last) = page.last() else { return Ok(()) };
        filter.after_email = Some(last.email.clone());
        for row in page {
            let body = PersonBody::new(row);
            printer.body(&body, &[("hub_risk_since", json!(body.risk_since))])?;
        }
    }
}

async fn show(app: &App, wanted: &str, refresh: bool, format: Format) -> anyhow::Result<()> {
    let row = person(app, wanted).await?;
    if refresh {
        hub::sync::detail::of_person(app, &row.id).await?;
    }
    let body = PersonDetailBody::of(app, row).await?;
    Ok(output::body(format, &body, &shown(&body))?)
}

/// A person as text, line by line.
fn shown(body: &PersonDetailBody) -> Value {
    let grant = |grant: &GrantBody| {
        json!({
            "connection": grant.connection, "kind": grant.kind, "name": grant.entitlement_name,
            "id": grant.entitlement_id, "certainty": grant.certainty, "via": grant.via,
        })
    };
    let names = |roles: &Value| -> Vec<String> {
        let roles = roles.as_array().into_iter().flatten();
        roles
            .filter_map(|role| role["name"].as_str().map(str::to_owned))
            .collect()
    };
    let person = &body.person;
    json!({
        "id": person.id, "email": person.email, "name": person.name, "aliases": body.aliases,
        "last_seen_at": body.last_seen_at, "hub_risk_level": person.hub_risk_level,
        "hub_risk_since": person.risk_since, "hub_risk_reset_at": person.risk_reset_at,
        "members": body.members.iter().map(|member| json!({
            "connection": member.connection, "status": member.status,
            "two_factor": hub::access::yes_no_unknown(member.two_factor), "sign_in": member.sign_in,
            "roles": names(&member.roles), "policies": member.policies, "user_groups": member.user_groups,
            "id": member.id,
        })).collect::<Vec<_>>(),
        "access_users": body.access_users.iter().map(|user| json!({
            "connection": user.connection, "access_seat": hub::access::yes_no_unknown(user.access_seat),
            "gateway_seat": hub::access::yes_no_unknown(user.gateway_seat),
            "active_device_count": user.active_device_count, "last_login_at": user.last_login_at, "id": user.id,
        })).collect::<Vec<_>>(),
        "details": body.details.iter().map(|seen| json!({
            "connection": seen.connection, "read_at": seen.read_at, "last_seen_at": seen.last_seen_at,
            "provider": seen.provider, "methods": seen.methods, "country": seen.country, "devices": seen.devices,
            "sessions": seen.sessions, "failed_logins": seen.failed_logins,
        })).collect::<Vec<_>>(),
        "grants": body.grants.iter().map(grant).collect::<Vec<_>>(),
        "apps": body.apps.iter().map(grant).collect::<Vec<_>>(),
        "hub_risk_changes": body.risk_changes.iter().take(CHANGES_SHOWN).map(|change| json!({
            "at": change.at, "previous": change.previous, "current": change.current, "reason": change.reason,
        })).collect::<Vec<_>>(),
    })
}

async fn alias(args: AliasArgs, app: &App, global: &Global) -> anyhow::Result<ExitCode> {
    let actor = Actor::CommandLine;
    match args.action {
        AliasAction::List => {
            let mut printer = Printer::new(global.output, ALIASES);
            let mut after: Option<String> = None;
            loop {
                let page = app
                    .store
                    .person_alias_list(after.as_deref(), LIST_LIMIT_MAX)
                    .await?;
                let Some(last) = page.last() else { break };
                after = Some(last.address.clone());
                for row in page {
                    printer.row(&json!({
                        "alias": row.address, "email": row.email, "source": row.source,
                        "created_at": row.created_at, "person": row.person_id,
                    }))?;
                }
            }
            printer.finish("No aliases")?;
        }
        AliasAction::Add {
            address,
            person,
            merge,
        } => {
            let request = AliasRequest {
                line: 0,
                person,
                alias: address,
            };
            let steps = match people::plan(app, &[request], merge).await? {
                Ok(steps) => steps,
                Err(problems) => {
                    let words = problems.into_iter().map(|(_, problem)| advised(&problem));
                    bail!("{}", words.collect::<Vec<_>>().join("; "));
                }
            };
            people::apply(app, &steps, "command line", &actor).await?;
            told(&steps, global.output)?;
        }
        AliasAction::Remove { address, confirm } => {
            let owner = people::one(app, &address).await?;
            let aliases = match &owner {
                Some(owner) => app.store.person_alias_by_person(&owner.id).await?,
                None => Vec::new(),
            };
            let wanted = model::address::compared(&address);
            let (Some(owner), true) = (owner, aliases.contains(&wanted)) else {
                return Err(NotFound(format!("{address} is not an alias of any person")).into());
            };
            let removal = Removal {
                summary: format!("remove the alias {wanted} of {}", owner.email),
                counts: vec![
                    ("further_addresses_removed", 1),
                    ("further_addresses_left", i64::try_from(aliases.len())? - 1),
                ],
                notes: vec![format!(
                    "records with {wanted} will no longer belong to a person, unless a synced list has \
                         that address; to restore the alias, run `flareward people alias add {wanted} \
                         --person {}`",
                    owner.email
                )],
            };
            if let Err(code) = removal.agreed(confirm, global.output)? {
                return Ok(code);
            }
            people::alias_remove(app, &address, &actor).await?;
            removal.done(global.output)?;
        }
        AliasAction::Import { file, merge } => {
            let requests = read_csv(&file)?;
            let steps = match people::plan(app, &requests, merge).await? {
                Ok(steps) => steps,
                Err(problems) => {
                    for (line, problem) in &problems {
                        eprintln!("{}, line {line}: {}", file.display(), advised(problem));
                    }
                    bail!(
                        "{} of {} lines are invalid; nothing was imported",
                        problems.len(),
                        requests.len()
                    );
                }
            };
            people::apply(app, &steps, "csv", &actor).await?;
            told(&steps, global.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn advised(problem: &AliasProblem) -> String {
    match problem {
        AliasProblem::Person { .. } => format!("{problem}: add --merge to merge them"),
        AliasProblem::Taken { address, .. } => {
            format!("{problem}: to remove it, run `flareward people alias remove {address}`")
        }
        other => other.to_string(),
    }
}

fn told(steps: &[Step], format: Format) -> anyhow::Result<()> {
    let count = |is: fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count();
    let (added, merged) = (
        count(|step| matches!(step, Step::Add { .. })),
        count(|step| matches!(step, Step::Merge { .. })),
    );
    let already = count(|step| matches!(step, Step::Already));
    if format == Format::Table {
        println!("{added} added, {merged} merged, {already} already present");
        return Ok(());
    }
    let outcome = if added + merged > 0 { "changed" } else { "already" };
    let answer = json!({ "outcome": outcome, "added": added, "merged": merged, "already": already });
    Ok(object(format, &answer)?)
}

/// Reads the columns `email` and `alias`, in any order; ignores other columns.
fn read_csv(file: &Path) -> anyhow::Result<Vec<AliasRequest>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|column| column.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
            .with_context(|| format!("{}, line 1: column \"{name}\" is missing", file.display()))
    };
    let (email, alias) = (column("email")?, column("alias")?);
    let mut requests = Vec::new();
    for record in reader.records() {
        let line = requests.len() + 2;
        let words = || {
            format!(
                "{}, line {line}: invalid CSV, or a different number of cells than the header",
                file.display()
            )
        };
        let record = record.map_err(|_| anyhow::anyhow!(words()))?;
        requests.push(AliasRequest {
            line: record.position().map_or(0, csv::Position::line),
            person: record[email].to_owned(),
            alias: record[alias].to_owned(),
        });
    }
    Ok(requests)
}
