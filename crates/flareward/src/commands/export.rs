//! `flareward export`: lists as files, and one connection's state as a file for programs of governance.

use super::{lists, people};
use crate::output::{Format, Printer};
use crate::progress::ProgressBar;
use crate::sheet::Book;
use crate::{Global, Usage};
use anyhow::{Context, bail};
use clap::ValueEnum;
use hub::App;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The lists to export, the file format and the destination.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// File format
    #[arg(value_enum)]
    form: Form,
    /// Lists to export, comma-separated. `all` selects all access data, without logs. Default: `all` with --dir and
    /// xlsx, else `grants`
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    list: Vec<Choice>,
    /// Output file; without it, a single list is written to standard output
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    file: Option<PathBuf>,
    /// Output folder; one file per list
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Connection, for c1z; optional if there is only one
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Csv,
    Json,
    Ndjson,
    /// A spreadsheet with one sheet per list
    Xlsx,
    /// One connection's state for Baton-compatible programs; the file also keeps the previous export for comparison
    C1z,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    All,
    People,
    Members,
    AccessUsers,
    Groups,
    Roles,
    Grants,
    Apps,
    Policies,
    IdentityProviders,
    ServiceTokens,
    AccountTokens,
    UserGroups,
    Events,
    Detections,
    Rejects,
}

/// A list that can be written.
#[derive(Clone, Copy, PartialEq)]
struct List {
    name: &'static str,
    columns: &'static [&'static str],
    what: Choice,
}

/// The lists of an access review.
const ALL: [Choice; 12] = [
    Choice::People,
    Choice::Members,
    Choice::AccessUsers,
    Choice::Groups,
    Choice::Roles,
    Choice::Grants,
    Choice::Apps,
    Choice::Policies,
    Choice::IdentityProviders,
    Choice::ServiceTokens,
    Choice::AccountTokens,
    Choice::UserGroups,
];

pub(crate) async fn run(args: ExportArgs, global: &Global) -> anyhow::Result<()> {
    if global.output != Format::Table {
        return Err(Usage("the first argument of `export` sets the format: remove -o".to_owned()).into());
    }
    if matches!(args.form, Form::C1z) {
        let Some(file) = args.file else {
            bail!("c1z writes one file: use --file FILE");
        };
        if !args.list.is_empty() {
            bail!("c1z always exports the whole connection: remove --list");
        }
        return baton(global, args.connection.as_deref(), &file).await;
    }
    if args.connection.is_some() {
        bail!("--connection works only with c1z; lists cover all connections");
    }
    let mut chosen = args.list;
    if chosen.is_empty() {
        let has_room = args.dir.is_some() || matches!(args.form, Form::Xlsx);
        chosen.push(if has_room { Choice::All } else { Choice::Grants });
    }
    let mut what = Vec::new();
    for list in chosen.into_iter().flat_map(lists_of) {
        if !what.contains(&list) {
            what.push(list);
        }
    }
    let (format, ending) = match args.form {
        Form::Csv => (Format::Csv, "csv"),
        Form::Json => (Format::Json, "json"),
        Form::Ndjson => (Format::Ndjson, "ndjson"),
        Form::Xlsx => {
            let Some(file) = args.file else {
                bail!("a spreadsheet is one file: use --file FILE");
            };
            return spreadsheet(&crate::open(global).await?, &what, &file).await;
        }
        // Done above.
        Form::C1z => return Ok(()),
    };
    match (what.as_slice(), args.dir, args.file) {
        (lists, Some(folder), _) => {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            let app = crate::open(global).await?;
            for list in lists {
                to_file(
                    &app,
                    *list,
                    format,
                    &folder.join(format!("{}.{ending}", list.name)),
                )
                .await?;
            }
        }
        ([list], None, Some(file)) => to_file(&crate::open(global).await?, *list, format, &file).await?,
        ([list], None, None) => {
            let mut printer = Printer::new(format, list.columns);
            write(&crate::open(global).await?, *list, &mut printer).await?;
            printer.finish("")?;
        }
        (_, None, _) => bail!("{ending} holds one list per file: use --dir FOLDER for several"),
    }
    Ok(())
}

async fn to_file(app: &App, list: List, format: Format, file: &Path) -> anyhow::Result<()> {
    let beside = beside(file)?;
    let mut printer = Printer::to(Box::new(BufWriter::new(beside.reopen()?)), format, list.columns);
    write(app, list, &mut printer).await?;
    let rows = printer.finish("")?;
    put(beside, file)?;
    eprintln!("{rows} rows in {}", file.display());
    Ok(())
}

async fn spreadsheet(app: &App, lists: &[List], file: &Path) -> anyhow::Result<()> {
    let beside = beside(file)?;
    let mut book = Book::new(app.clock.now().timestamp())?;
    let mut rows = 0;
    for list in lists {
        let mut printer = Printer::Sheet(book.sheet(list.name, list.columns)?);
        write(app, *list, &mut printer).await?;
        if let Printer::Sheet(sheet) = printer {
            rows += sheet.rows();
            book.add(sheet);
        }
    }
    book.write(BufWriter::new(beside.reopen()?))?;
    put(beside, file)?;
    eprintln!("{rows} rows on {} sheets in {}", lists.len(), file.display());
    Ok(())
}

/// Writes one connection's state, and reports grants left out because they are not certain.
async fn baton(global: &Global, wanted: Option<&str>, file: &Path) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let row = super::connection(&app, wanted).await?;
    let bar = ProgressBar::new(None, false);
    bar.set_message("people");
    let show = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let report = hub::baton::export::export(&app, &row, file, &show).await?;
    bar.finish_and_clear();
    let done = &report.finished;
    eprintln!(
        "{} resources, {} entitlements and {} grants of {} in {}",
        done.resources,
        done.entitlements,
        done.grants,
        row.label,
        file.display()
    );
    if report.conditional + report.unknown > 0 {
        eprintln!(
            "left out: {} grants that depend on sign-in context and {} that are unknown; the profile of \
                 each group, role and application has its counts and rules",
            report.conditional, report.unknown
        );
    }
    match &done.kept {
        Some(before) => eprintln!("the file also keeps the previous export, {before}"),
        None => eprintln!("the file had no previous export"),
    }
    for problem in &report.refused {
        eprintln!("not written: {problem}");
    }
    Ok(())
}

/// Writes to a temporary file and moves it into place: an interrupted export leaves no partial file under the name.
fn beside(file: &Path) -> anyhow::Result<NamedTempFile> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .with_context(|| format!("cannot write a temporary file next to {}", file.display()))
}

fn put(beside: NamedTempFile, file: &Path) -> anyhow::Result<()> {
    beside
        .persist(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

fn lists_of(choice: Choice) -> Vec<List> {
    let (name, columns) = match choice {
        Choice::All => return ALL.into_iter().flat_map(lists_of).collect(),
        Choice::People => ("people", people::COLUMNS),
        Choice::Members => ("members", lists::MEMBERS),
        Choice::AccessUsers => ("access-users", lists::ACCESS_USERS),
        Choice::Groups => ("groups", lists::GROUPS),
        Choice::Roles => ("roles", lists::ROLES),
        Choice::Grants => ("grants", lists::GRANTS),
        Choice::Apps => ("apps", lists::OBJECTS),
        Choice::Policies => ("policies", lists::OBJECTS),
        Choice::IdentityProviders => ("identity-providers", lists::OBJECTS),
        Choice::ServiceTokens => ("service-tokens", lists::OBJECTS),
        Choice::AccountTokens => ("account-tokens", lists::OBJECTS),
        Choice::UserGroups => ("user-groups", lists::OBJECTS),
        Choice::Events => ("events", lists::EVENTS),
        Choice::Detections => ("detections", lists::DETECTIONS),
        Choice::Rejects => ("rejects", lists::REJECTS),
    };
    vec![List {
        name,
        columns,
        what: choice,
    }]
}

async fn write(app: &App, list: List, printer: &mut Printer) -> anyhow::Result<()> {
    let everything = lists::ByConnection::default();
    match list.what {
        // `lists_of` has put its lists in its place.
        Choice::All => Ok(()),
        Choice::People => people::write(app, &people::PersonArgs::default(), printer).await,
        Choice::Members => lists::write_members(app, &everything, printer).await,
        Choice::AccessUsers => lists::write_access_users(app, &everything, printer).await,
        Choice::Groups => lists::write_groups(app, &everything, printer).await,
        Choice::Roles => lists::write_roles(app, &everything, printer).await,
        Choice::Grants => lists::write_grants(app, &lists::GrantArgs::default(), printer).await,
        Choice::Apps => lists::write_objects(app, "apps", &everything, printer).await,
        Choice::Policies => lists::write_objects(app, "policies", &everything, printer).await,
        Choice::IdentityProviders => {
            lists::write_objects(app, "identity_providers", &everything, printer).await
        }
        Choice::ServiceTokens => lists::write_objects(app, "service_tokens", &everything, printer).await,
        Choice::AccountTokens => lists::write_objects(app, "account_tokens", &everything, printer).await,
        Choice::UserGroups => lists::write_objects(app, "user_groups", &everything, printer).await,
        Choice::Events => lists::write_events(app, &lists::EventArgs::default(), printer).await,
        Choice::Detections => lists::write_detections(app, &lists::DetectionArgs::default(), printer).await,
        Choice::Rejects => lists::write_rejects(app, &everything, printer).await,
    }
}
