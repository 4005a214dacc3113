//! `flareward people`: one list over all connections, and one person with everything.

use super::{lists, person};
use crate::Global;
use crate::output::{Printer, object};
use hub::App;
use hub::access::{AccessView, GrantFilter, Scope};
use model::RiskLevel;
use serde_json::{Value, json};
use store::{LIST_LIMIT_MAX, PersonFilter};

/// What to do with people.
#[derive(Debug, clap::Args)]
pub(crate) struct PeopleArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List people
    List(PersonArgs),
    /// Show one person: accounts, groups and why, risk
    Show {
        /// Address or id
        person: String,
    },
}

/// Which people.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct PersonArgs {
    /// Part of the address or name
    #[arg(long)]
    pub(crate) search: Option<String>,
    /// Only at this risk level
    #[arg(long)]
    pub(crate) risk: Option<RiskLevel>,
}

pub(crate) const COLUMNS: &[&str] = &["email", "name", "risk_level", "risk_since", "id"];

pub(crate) async fn run(args: PeopleArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    match args.action {
        Action::List(filters) => {
            let mut printer = Printer::new(global.output, COLUMNS);
            write(&app, &filters, &mut printer).await?;
            printer.finish("Nobody: connect an account and run `flareward sync`")?;
        }
        Action::Show { person: wanted } => object(global.output, &show(&app, &wanted).await?)?,
    }
    Ok(())
}

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
            printer.row(&json!({
                "id": row.id, "email": row.email, "name": row.name, "risk_level": row.risk_level,
                "risk_since": row.risk_since, "risk_reset_at": row.risk_reset_at,
            }))?;
        }
    }
}

async fn show(app: &App, wanted: &str) -> anyhow::Result<Value> {
    let row = person(app, wanted).await?;
    let labels = lists::labels(app).await?;
    let members = app.store.member_by_person(&row.id).await?;
    let users = app.store.access_user_by_person(&row.id).await?;
    let filter = GrantFilter {
        person_id: Some(row.id.clone()),
        ..GrantFilter::default()
    };
    let view = AccessView::of_person(app, &row, &Scope::Everything).await?;
    let grants = view.grant_page(&filter, LIST_LIMIT_MAX as usize);
    let changes = app.store.risk_change_by_person(&row.id, 20).await?;
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    Ok(json!({
        "id": row.id, "email": row.email, "name": row.name, "risk_level": row.risk_level,
        "risk_since": row.risk_since, "risk_reset_at": row.risk_reset_at,
        "members": members.iter().map(|member| json!({
            "connection": labels.get(&member.connection_id), "status": member.status, "two_factor": member.two_factor,
            "roles": read(&member.roles),
        })).collect::<Vec<_>>(),
        "access_users": users.iter().map(|user| json!({
            "connection": labels.get(&user.connection_id), "access_seat": user.access_seat,
            "gateway_seat": user.gateway_seat, "active_device_count": user.active_device_count,
            "last_login_at": user.last_login_at,
        })).collect::<Vec<_>>(),
        "grants": grants.iter().map(|grant| json!({
            "connection": grant.connection, "kind": grant.kind, "name": grant.entitlement_name,
            "certainty": grant.certainty, "via": grant.via,
        })).collect::<Vec<_>>(),
        "risk_changes": changes.iter().map(|change| json!({
            "at": change.at, "previous": change.previous, "current": change.current, "reason": change.reason,
        })).collect::<Vec<_>>(),
    }))
}
