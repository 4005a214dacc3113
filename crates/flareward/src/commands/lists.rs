//! The lists: members, Access users, groups, roles, grants, events, detections, rejects.
//!
//! Each is read page by page and printed as it comes.

use super::{connection, person};
use crate::Global;
use crate::output::Printer;
use hub::App;
use hub::access::{AccessView, GrantFilter, Scope, SignIns};
use hub::event::{self, EVENTS_MAX, EventFilter};
use model::{ConnectionId, GrantKind, PersonId};
use serde_json::json;
use std::ops::ControlFlow;
use std::sync::Arc;
use store::{DetectionFilter, LIST_LIMIT_MAX, TimeCursor};
use web::api::access::{AccessGroupBody, AccessUserBody, GrantBody, MemberBody, ObjectBody, RoleBody};
use web::api::batches::RejectBody;
use web::api::detections::DetectionBody;
use web::api::events::EventBody;

/// `… list` with the list's own filters.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs<T: clap::Args> {
    #[command(subcommand)]
    pub(crate) action: ListAction<T>,
}

/// Subcommands of a list.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ListAction<T: clap::Args> {
    /// List all, with filters
    List(T),
}

macro_rules! filters_of {
    ($($filters:ty),+) => {
        $(impl From<ListArgs<$filters>> for $filters {
            fn from(args: ListArgs<$filters>) -> Self {
                let ListAction::List(filters) = args.action;
                filters
            }
        })+
    };
}

filters_of!(ByConnection, ObjectArgs, DetectionArgs, EventArgs);

/// Filter by connection.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ByConnection {
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    pub(crate) connection: Option<String>,
}

/// Objects that are read at once: an application can be large.
const OBJECT_ROWS: i64 = 200;

/// Filters for objects.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ObjectArgs {
    /// Only this kind; default: all
    #[arg(long, value_parser = kind_parser())]
    pub(crate) kind: Option<&'static str>,
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    pub(crate) connection: Option<String>,
}

fn kind_parser() -> impl clap::builder::TypedValueParser<Value = &'static str> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    let names = hub::objects::KINDS
        .iter()
        .map(|(_, name, words)| clap::builder::PossibleValue::new(*name).help(*words));
    PossibleValuesParser::new(names.collect::<Vec<_>>())
        .map(|name| hub::objects::kind_of(&name).unwrap_or_default())
}

/// Filters for grants.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct GrantArgs {
    /// Only this kind: access-group, app, permission-group, role or user-group; default: all except app
    #[arg(long)]
    pub(crate) kind: Option<GrantKind>,
    /// Only for this person (email address or ID)
    #[arg(long)]
    pub(crate) person: Option<String>,
    /// Only this group or role (ID)
    #[arg(long)]
    pub(crate) entitlement: Option<String>,
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    pub(crate) connection: Option<String>,
}

/// Filters for detections.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DetectionArgs {
    /// Only from this rule
    #[arg(long)]
    pub(crate) rule: Option<String>,
    /// Only for this person (email address or ID)
    #[arg(long)]
    pub(crate) person: Option<String>,
    /// Maximum number of results; 0 for all
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

/// Filters for events.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EventArgs {
    /// Only for this dataset
    #[arg(long)]
    pub(crate) dataset: Option<String>,
    /// Only for this person (email address or ID)
    #[arg(long)]
    pub(crate) person: Option<String>,
    /// Only for this connection
    #[arg(long, value_name = "LABEL")]
    pub(crate) connection: Option<String>,
    /// Maximum number of results; 0 for all
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

pub(crate) const MEMBERS: &[&str] = &[
    "+connection",
    "email",
    "+name",
    "status",
    "two_factor",
    "+sign_in",
    "roles",
    "policies",
    "+person",
    "+id",
];
pub(crate) const OBJECTS: &[&str] = &[
    "+connection",
    "+kind",
    "name",
    "type",
    "+status",
    "+expires_at",
    "+last_used_at",
    "detail",
    "+id",
];
pub(crate) const ACCESS_USERS: &[&str] = &[
    "+connection",
    "email",
    "+name",
    "access_seat",
    "gateway_seat",
    "+active_device_count",
    "last_login_at",
    "+person",
    "+id",
];
pub(crate) const GROUPS: &[&str] = &["+connection", "name", "id"];
pub(crate) const ROLES: &[&str] = &["+connection", "name", "description", "+id"];
pub(crate) const GRANTS: &[&str] = &["email", "kind", "group", "certainty", "via", "+connection"];
pub(crate) const DETECTIONS: &[&str] = &["at", "rule", "level", "email", "+detail", "title"];
pub(crate) const EVENTS: &[&str] = &[
    "at",
    "dataset",
    "email",
    "action",
    "target",
    "+source_ip",
    "+country",
];
pub(crate) const REJECTS: &[&str] = &[
    "rejected_at",
    "+connection",
    "dataset",
    "count",
    "reason",
    "+first_line",
    "+samples",
];

macro_rules! command {
    ($name:ident, $args:ty, $columns:ident, $write:ident, $nothing:literal) => {
        pub(crate) async fn $name(args: impl Into<$args>, global: &Global) -> anyhow::Result<()> {
            let app = crate::open(global).await?;
            let mut printer = Printer::new(global.output, $columns);
            $write(&app, &args.into(), &mut printer).await?;
            printer.finish($nothing)?;
            Ok(())
        }
    };
}

command!(
    members,
    ByConnection,
    MEMBERS,
    write_members,
    "No members: connect an account and run `flareward sync`"
);
command!(
    access_users,
    ByConnection,
    ACCESS_USERS,
    write_access_users,
    "No Access users: run `flareward sync`"
);
command!(
    groups,
    ByConnection,
    GROUPS,
    write_groups,
    "No Access groups: run `flareward sync`"
);
command!(
    roles,
    ByConnection,
    ROLES,
    write_roles,
    "No roles: run `flareward sync`"
);
command!(
    grants,
    GrantArgs,
    GRANTS,
    write_grants,
    "No grants: run `flareward sync`"
);
command!(
    detections,
    DetectionArgs,
    DETECTIONS,
    write_detections,
    "No detections"
);
command!(events, EventArgs, EVENTS, write_events, "No events");
command!(
    rejects,
    ByConnection,
    REJECTS,
    write_rejects,
    "No rejected log lines"
);

async fn named(app: &App, label: Option<&str>) -> anyhow::Result<Option<ConnectionId>> {
    Ok(match label {
        Some(label) => Some(connection(app, Some(label)).await?.id),
        None => None,
    })
}

async fn someone(app: &App, wanted: Option<&str>) -> anyhow::Result<Option<PersonId>> {
    Ok(match wanted {
        Some(wanted) => Some(person(app, wanted).await?.id),
        None => None,
    })
}

/// Reads a list of the store to its end, page by page, and prints each row.
macro_rules! each_listed {
    ($app:expr, $filters:expr, $printer:expr, $list:ident, |$row:ident, $labels:ident| $print:expr) => {{
        let only = named($app, $filters.connection.as_deref()).await?;
        let labels = hub::connection::labels($app).await?;
        let $labels = &labels;
        let mut after: Option<(String, String)> = None;
        loop {
            let from = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let page = $app.store.$list(only.as_ref(), from, LIST_LIMIT_MAX).await?;
            let Some(last) = page.last().filter(|_| !$printer.is_unread()) else {
                return Ok(());
            };
            after = Some((last.connection_id.0.clone(), last.id.clone()));
            for $row in page {
                $print?;
            }
        }
    }};
}

pub(crate) async fn write_members(
    app: &App,
    filters: &ByConnection,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let sign_ins = SignIns::of_all(app).await?;
    each_listed!(app, filters, printer, member_list, |row, labels| {
        let body = MemberBody::new(row, &sign_ins, labels)?;
        let roles = body.roles.as_array().into_iter().flatten();
        let roles: Vec<&str> = roles.filter_map(|role| role["name"].as_str()).collect();
        let cells = [
            ("roles", json!(roles)),
            // Unknown is not "no".
            ("two_factor", json!(hub::access::yes_no_unknown(body.two_factor))),
            ("person", json!(body.person_id)),
        ];
        printer.body(&body, &cells)
    })
}

pub(crate) async fn write_access_users(
    app: &App,
    filters: &ByConnection,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    each_listed!(app, filters, printer, access_user_list, |row, labels| {
        let body = AccessUserBody::new(row, labels);
        printer.body(&body, &[("person", json!(body.person_id))])
    })
}

pub(crate) async fn write_groups(
    app: &App,
    filters: &ByConnection,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    each_listed!(app, filters, printer, access_group_list, |row, labels| {
        printer.body(&AccessGroupBody::new(row, labels)?, &[])
    })
}

pub(crate) async fn write_roles(
    app: &App,
    filters: &ByConnection,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    each_listed!(app, filters, printer, role_list, |row, labels| {
        printer.body(&RoleBody::new(row, labels), &[])
    })
}

/// Lists the objects of one kind, by the name that it is stored under.
pub(crate) async fn write_objects(
    app: &App,
    kind: &'static str,
    filters: &ByConnection,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let only = named(app, filters.connection.as_deref()).await?;
    let labels = hub::connection::labels(app).await?;
    let mut after: Option<(String, String)> = None;
    loop {
        let from = after
            .as_ref()
            .map(|(connection, id)| (connection.as_str(), id.as_str()));
        let page = app
            .store
            .account_object_list(kind, only.as_ref(), from, OBJECT_ROWS)
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.connection_id.0.clone(), last.id.clone()));
        for row in page {
            printer.body(&ObjectBody::new(row, &labels)?, &[])?;
        }
    }
}

/// `… list` of one kind of object.
pub(crate) async fn objects(
    kind: &'static str,
    args: ListArgs<ByConnection>,
    global: &Global,
) -> anyhow::Result<()> {
    print_objects(&[kind], &args.into(), global).await
}

/// `objects list`: one kind, or all.
pub(crate) async fn all_objects(args: ListArgs<ObjectArgs>, global: &Global) -> anyhow::Result<()> {
    let filters = ObjectArgs::from(args);
    let kinds: Vec<&'static str> = match &filters.kind {
        Some(kind) => vec![kind],
        None => hub::objects::KINDS.iter().map(|(kind, ..)| *kind).collect(),
    };
    let by = ByConnection {
        connection: filters.connection,
    };
    print_objects(&kinds, &by, global).await
}

async fn print_objects(
    kinds: &[&'static str],
    filters: &ByConnection,
    global: &Global,
) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let mut printer = Printer::new(global.output, OBJECTS);
    for kind in kinds {
        write_objects(&app, kind, filters, &mut printer).await?;
    }
    printer.finish("No objects: run `flareward sync`")?;
    Ok(())
}

pub(crate) async fn write_grants(
    app: &App,
    filters: &GrantArgs,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let filter = GrantFilter {
        kind: filters.kind,
        person_id: someone(app, filters.person.as_deref()).await?,
        connection_id: named(app, filters.connection.as_deref()).await?,
        entitlement_id: filters.entitlement.clone(),
        after: None,
    };
    // One person needs nobody else's rows.
    let view = match &filter.person_id {
        Some(id) => match app.store.person_get(id).await? {
            Some(person) => Arc::new(AccessView::of_person(app, &person, &Scope::Everything).await?),
            None => return Ok(()),
        },
        None => AccessView::current(app).await?,
    };
    let mut failed = None;
    view.grants(&filter, |grant| {
        let body = GrantBody::new(grant);
        match printer.body(&body, &[]) {
            Ok(()) if printer.is_unread() => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Reads a list that is ordered by time, newest first, up to `limit` rows (0: to its end), and prints each row.
macro_rules! newest_first {
    ($app:expr, $list:ident, $filter:expr, $limit:expr, $printer:expr, |$row:ident| $print:expr) => {{
        let mut filter = $filter;
        let mut left = if $limit == 0 { usize::MAX } else { $limit };
        loop {
            let page = $app.store.$list(&filter).await?;
            let Some(last) = page.last().filter(|_| left > 0 && !$printer.is_unread()) else {
                return Ok(());
            };
            filter.before = Some(TimeCursor {
                at: last.at,
                id: last.id.0.clone(),
            });
            for $row in page.into_iter().take(left) {
                left -= 1;
                $print?;
            }
        }
    }};
}

pub(crate) async fn write_detections(
    app: &App,
    filters: &DetectionArgs,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let filter = DetectionFilter {
        person_id: someone(app, filters.person.as_deref()).await?,
        rule_name: filters.rule.clone(),
        before: None,
        limit: LIST_LIMIT_MAX,
    };
    let labels = hub::connection::labels(app).await?;
    newest_first!(app, detection_list, filter, filters.limit, printer, |row| {
        let body = DetectionBody::new(row, &labels)?;
        let cells = [("rule", json!(body.rule_name)), ("email", json!(body.identifier))];
        printer.body(&body, &cells)
    })
}

pub(crate) async fn write_events(
    app: &App,
    filters: &EventArgs,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut filter = EventFilter {
        person_id: someone(app, filters.person.as_deref()).await?,
        dataset: filters.dataset.clone(),
        connection_id: named(app, filters.connection.as_deref()).await?,
        ..EventFilter::default()
    };
    let labels = hub::connection::labels(app).await?;
    let mut left = if filters.limit == 0 {
        usize::MAX
    } else {
        filters.limit
    };
    let mut unread = Vec::new();
    while left > 0 && !printer.is_unread() {
        filter.limit = i64::try_from(left).unwrap_or(EVENTS_MAX);
        let page = event::find(app, &filter).await?;
        unread.extend(page.unread);
        left = left.saturating_sub(page.events.len());
        for event in page.events {
            let body = EventBody::with_record(event, &labels);
            let cells = [
                ("email", json!(body.identifier)),
                ("person", json!(body.person_id)),
            ];
            printer.body(&body, &cells)?;
        }
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    all_read(unread)
}

/// Refuses an answer with gaps: it is printed, but the command fails.
pub(crate) fn all_read(mut unread: Vec<String>) -> anyhow::Result<()> {
    unread.sort_unstable();
    unread.dedup();
    anyhow::ensure!(
        unread.is_empty(),
        "part of the archive could not be read, so events may be missing: {}",
        unread.join("; ")
    );
    Ok(())
}

pub(crate) async fn write_rejects(
    app: &App,
    filters: &ByConnection,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let only = named(app, filters.connection.as_deref()).await?;
    let labels = hub::connection::labels(app).await?;
    for row in app.store.reject_list(only.as_ref(), LIST_LIMIT_MAX).await? {
        printer.body(&RejectBody::new(row, &labels), &[])?;
    }
    Ok(())
}
